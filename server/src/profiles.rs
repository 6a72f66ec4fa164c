//! Weights saved under a name, with versions to go back to.

use crate::config::Limits;
use crate::core::now_ms;
use crate::error::Error;
use crate::store::{ProfileRecord, ProfileVersion, Store};
use lapel_heads::is_name;
use std::collections::BTreeMap;

/// The saved profiles.
pub struct Profiles<'a> {
    pub(crate) store: &'a Store,
    pub(crate) limits: &'a Limits,
}

impl Profiles<'_> {
    /// A profile.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the store fails.
    pub fn get(&self, name: &str) -> Result<ProfileRecord, Error> {
        self.store.profile(name)?.ok_or_else(|| Error::not_found("profile", name))
    }

    /// Up to `count` profiles after a name.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list(&self, after: &str, count: usize) -> Result<Vec<(String, ProfileRecord)>, Error> {
        Ok(self.store.profiles(after, count)?)
    }

    /// Saves weights by head; saving what the profile already holds changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name or weights, [`Error::Exhausted`] with too many profiles.
    pub fn save(
        &self,
        name: &str,
        weights: BTreeMap<String, f64>,
        picked_ids: Vec<String>,
    ) -> Result<ProfileRecord, Error> {
        if !is_name(name) {
            return Err(Error::invalid(
                "name",
                "a name has 1 to 64 characters, no control characters, no outer spaces",
            ));
        }
        if picked_ids.len() > self.limits.picks_max {
            let most = self.limits.picks_max;
            return Err(Error::invalid(
                "picked_ids",
                format!("{} items are given; at most {most} are kept", picked_ids.len()),
            ));
        }
        if weights.is_empty() || weights.values().all(|w| *w == 0.0) {
            return Err(Error::invalid("weights", "give at least one head a weight above zero"));
        }
        let saved = ProfileVersion { weights, picked_ids, saved_ms: now_ms() };
        self.change(name, |old, count| match old {
            None if count >= self.limits.profiles_max as u64 => {
                Err(Error::Exhausted(format!("there are {count} profiles already; delete one first")))
            }
            None => Ok(ProfileRecord { version: 1, current: saved, earlier: Vec::new() }),
            Some(old)
                if old.current.weights == saved.weights && old.current.picked_ids == saved.picked_ids =>
            {
                Ok(old)
            }
            Some(mut old) => {
                old.earlier.push(std::mem::replace(&mut old.current, saved));
                let surplus = old.earlier.len().saturating_sub(self.limits.profile_undo_max);
                old.earlier.drain(..surplus);
                old.version += 1;
                Ok(old)
            }
        })
    }

    /// Goes back to the version before; `version` other than 0 must be the current one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Precondition`] when there is no earlier version or another is current.
    pub fn undo(&self, name: &str, version: u64) -> Result<ProfileRecord, Error> {
        self.change(name, |old, _| {
            let mut old = old.ok_or_else(|| Error::not_found("profile", name))?;
            if version != 0 && version != old.version {
                return Err(Error::Precondition {
                    reason: "PROFILE_VERSION",
                    message: format!("version {} of profile {name:?} is current, not {version}", old.version),
                });
            }
            old.current = old.earlier.pop().ok_or_else(|| Error::Precondition {
                reason: "NOTHING_TO_UNDO",
                message: format!("profile {name:?} has no earlier version"),
            })?;
            old.version += 1;
            Ok(old)
        })
    }

    /// Deletes a profile with all its versions.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the store fails.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        let gone = |old: Option<ProfileRecord>, _| {
            old.map(|_| None).ok_or_else(|| Error::not_found("profile", name))
        };
        self.store.change_profile(name, gone)
    }

    fn change(
        &self,
        name: &str,
        change: impl FnOnce(Option<ProfileRecord>, u64) -> Result<ProfileRecord, Error>,
    ) -> Result<ProfileRecord, Error> {
        let mut after = None;
        self.store.change_profile(name, |old, count| {
            let changed = change(old, count)?;
            after = Some(changed.clone());
            Ok::<_, Error>(Some(changed))
        })?;
        after.ok_or_else(|| Error::Internal("a profile was changed and not returned".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_versioned_undone_and_deleted() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path()).expect("opens");
        let limits = Limits { profile_undo_max: 2, profiles_max: 1, ..Limits::default() };
        let profiles = Profiles { store: &store, limits: &limits };
        let weights = |w: f64| BTreeMap::from([("color".to_owned(), w)]);
        for w in 1..=4 {
            assert_eq!(profiles.save("ann", weights(f64::from(w)), vec![]).expect("saved").version, w as u64);
        }
        assert_eq!(profiles.save("ann", weights(4.0), vec![]).expect("the same").version, 4);
        assert!(matches!(profiles.save("bob", weights(1.0), vec![]), Err(Error::Exhausted(_))));
        assert!(matches!(profiles.undo("ann", 3), Err(Error::Precondition { .. })));
        assert_eq!(profiles.undo("ann", 4).expect("undone").current.weights, weights(3.0));
        assert_eq!(profiles.undo("ann", 0).expect("undone").current.weights, weights(2.0));
        assert!(matches!(profiles.undo("ann", 0), Err(Error::Precondition { .. })), "only two were kept");
        profiles.delete("ann").expect("deleted");
        assert!(matches!(profiles.get("ann"), Err(Error::NotFound { .. })));
        assert!(matches!(profiles.save("", weights(1.0), vec![]), Err(Error::Invalid(_))));
        assert!(matches!(profiles.save("x", weights(0.0), vec![]), Err(Error::Invalid(_))));
    }
}
