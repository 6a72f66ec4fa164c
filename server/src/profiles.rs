//! Weights saved under a name, with versions to go back to.

mod keys;

pub(crate) use keys::{before, key_of, subject_and_name};

use crate::config::Limits;
use crate::error::{Error, Faults};
use crate::request::{ID_LEN_MAX, RequestId, now_ms};
use crate::store::{
    ProfileChange, ProfileKeys, ProfileRecord, ProfileVersion, RequestKey, Store, StoreError,
};
use lapel_heads::is_name;
use std::collections::BTreeMap;

/// Changes of the saved profiles. Each blocks for a write to the disk; its `name` is a key (`keys.rs`): a name, after its
/// subject where it has one. A profile that is nobody's, since it was saved before there were subjects, becomes that of the
/// first subject that saves or undoes it.
pub struct Profiles<'a> {
    pub(crate) store: &'a Store,
    pub(crate) limits: &'a Limits,
}

impl Profiles<'_> {
    /// Saves weights by head; saving what the profile already holds changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name or weights, [`Error::Exhausted`] with too many profiles.
    pub fn save(
        &self,
        name: &str,
        weights: BTreeMap<String, f64>,
        picked_ids: Vec<String>,
        request: &RequestId,
    ) -> Result<ProfileRecord, Error> {
        check_profile(subject_and_name(name).1, &weights, &picked_ids, self.limits)?;
        let saved = ProfileVersion { weights, picked_ids, saved_ms: now_ms() };
        self.change(name, request, |old, count| match old {
            Ok(None) if count >= self.limits.profiles_max as u64 => {
                Err(Error::Exhausted(format!("there are {count} profiles already; delete one first")))
            }
            Ok(Some(old)) if holds(&old, &saved.weights, &saved.picked_ids) => Ok(ProfileChange::Keep),
            // What is damaged is mended by a save.
            Ok(_) | Err(_) => {
                Ok(ProfileChange::Save { version: saved, undo_max: self.limits.profile_undo_max })
            }
        })
    }

    /// Goes back to the version before; `version` other than 0 must be the current one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Precondition`] when there is no earlier version or another is current.
    pub fn undo(&self, name: &str, version: u64, request: &RequestId) -> Result<ProfileRecord, Error> {
        self.change(name, request, |old, _| {
            let old = old?.ok_or_else(|| not_found(name))?;
            let name = subject_and_name(name).1;
            if version != 0 && version != old.version {
                return Err(Error::Precondition {
                    reason: "PROFILE_VERSION",
                    message: format!("version {} of profile {name:?} is current, not {version}", old.version),
                });
            }
            if old.undo_steps == 0 {
                return Err(Error::Precondition {
                    reason: "NOTHING_TO_UNDO",
                    message: format!("profile {name:?} has no earlier version"),
                });
            }
            Ok(ProfileChange::Undo)
        })
    }

    /// Deletes a profile with all its versions.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the store fails.
    pub fn delete(&self, name: &str, request: &RequestId) -> Result<(), Error> {
        let gone = |old, _| match old {
            Ok(None) => Err(not_found(name)),
            Ok(Some(_)) | Err(_) => Ok(ProfileChange::Delete),
        };
        self.store.change_profile(keys_of(name), key(request), gone).map(|_| ())
    }

    fn change(
        &self,
        name: &str,
        request: &RequestId,
        decide: impl FnOnce(Result<Option<ProfileRecord>, StoreError>, u64) -> Result<ProfileChange, Error>,
    ) -> Result<ProfileRecord, Error> {
        let changed = self.store.change_profile(keys_of(name), key(request), decide)?;
        changed.ok_or_else(|| Error::Internal("a profile was changed and not returned".into()))
    }
}

/// Checks what needs no store to be seen of a profile: its name, weights by head or attribute, and picks.
///
/// # Errors
/// [`Error::Invalid`] with all faults.
pub(crate) fn check_profile(
    name: &str,
    weights: &BTreeMap<String, f64>,
    picked_ids: &[String],
    limits: &Limits,
) -> Result<(), Error> {
    let mut faults = Faults::default();
    if !is_name(name) {
        faults.refuse("name", "a name has 1 to 64 characters, no control characters, no outer spaces");
    }
    let most = limits.picks_max;
    if picked_ids.len() > most {
        faults.refuse("picked_ids", format!("{} items are given; at most {most} are kept", picked_ids.len()));
    }
    if let Some(at) = picked_ids.iter().position(|id| id.len() > ID_LEN_MAX) {
        faults.refuse(format!("picked_ids[{at}]"), format!("an item's id has at most {ID_LEN_MAX} bytes"));
    }
    if weights.is_empty() || weights.values().all(|w| *w == 0.0) {
        faults.refuse("weights", "give at least one head a weight above zero");
    }
    faults.end()
}

/// Whether this is what a profile holds now, so that a save of it changes nothing.
pub(crate) fn holds(record: &ProfileRecord, weights: &BTreeMap<String, f64>, picked_ids: &[String]) -> bool {
    record.current.weights == *weights && record.current.picked_ids == picked_ids
}

fn not_found(key: &str) -> Error {
    Error::not_found("profile", subject_and_name(key).1)
}

/// A profile's key, and that of the one that is nobody's and has its name.
fn keys_of(key: &str) -> ProfileKeys<'_> {
    let (subject, name) = subject_and_name(key);
    // What is no name could be another's key.
    let unowned = (!subject.is_empty() && is_name(name)).then_some(name);
    ProfileKeys { own: key, unowned }
}

fn key(request: &RequestId) -> RequestKey<'_> {
    RequestKey { id: &request.id, request: request.request }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ContentId, RequestHash};
    use crate::testing::store_in;

    #[test]
    fn profiles_are_versioned_undone_and_deleted() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(store_in(folder.path())).expect("opens");
        let none = &RequestId::none();
        let limits = Limits { profile_undo_max: 2, profiles_max: 1, ..Limits::default() };
        let profiles = Profiles { store: &store, limits: &limits };
        let weights = |w: f64| BTreeMap::from([("color".to_owned(), w)]);
        for w in 1..=4 {
            assert_eq!(
                profiles.save("ann", weights(f64::from(w)), vec![], none).expect("saved").version,
                w as u64
            );
        }
        assert_eq!(profiles.save("ann", weights(4.0), vec![], none).expect("the same").version, 4);
        assert!(matches!(profiles.save("bob", weights(1.0), vec![], none), Err(Error::Exhausted(_))));
        assert!(matches!(profiles.undo("ann", 3, none), Err(Error::Precondition { .. })));
        assert_eq!(profiles.undo("ann", 4, none).expect("undone").current.weights, weights(3.0));
        assert_eq!(profiles.undo("ann", 0, none).expect("undone").current.weights, weights(2.0));
        assert!(
            matches!(profiles.undo("ann", 0, none), Err(Error::Precondition { .. })),
            "only two were kept"
        );
        let asked = |what: &[u8]| RequestHash { request: ContentId::of(what), message: ContentId::of(b"") };
        let once = &RequestId { id: "r1".into(), request: asked(b"red") };
        let first = profiles.save("ann", weights(7.0), vec![], once).expect("saved");
        profiles.save("ann", weights(8.0), vec![], none).expect("saved");
        let again = profiles.save("ann", weights(7.0), vec![], once).expect("the first outcome");
        assert_eq!((&again, again.version), (&first, first.version), "a repeated request changes nothing");
        assert_eq!(store.profile("ann").expect("read").expect("there").current.weights, weights(8.0));
        let other = &RequestId { id: "r1".into(), request: asked(b"blue") };
        assert!(profiles.undo("ann", 0, other).is_err(), "the id was used for another request");
        profiles.delete("ann", none).expect("deleted");
        assert!(store.profile("ann").expect("read").is_none());
        assert!(matches!(profiles.save("", weights(1.0), vec![], none), Err(Error::Invalid(_))));
        assert!(matches!(profiles.save("x", weights(0.0), vec![], none), Err(Error::Invalid(_))));
        let long = vec!["i".repeat(ID_LEN_MAX + 1)];
        assert!(matches!(profiles.save("x", weights(1.0), long, none), Err(Error::Invalid(_))));
    }
}
