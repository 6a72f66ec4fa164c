//! Profiles: a small record each, and every version under a key of its own, so that a save writes one version.

use super::formats::three::{ProfileEntry, version_key};
use super::receipts::{find, keep};
use super::sealed::{decode, encode};
use super::{
    Outcome, PROFILE_VERSIONS, PROFILES, ProfileRecord, ProfileVersion, Receipt, RequestHash, Store,
    StoreError, StoreHealth,
};
use redb::{ReadableTable, ReadableTableMetadata, Table, TableHandle, WriteTransaction};
use std::ops::Bound;

/// Bytes of versions after which a list ends: more than one answer holds.
const LIST_BYTES: usize = 8 << 20;

/// A request to change a profile, by its id and content; an empty id asks for no receipt.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey<'a> {
    /// The caller's id.
    pub id: &'a str,
    /// What is asked for.
    pub request: RequestHash,
}

/// The keys of a profile.
#[derive(Clone, Copy, Debug)]
pub struct ProfileKeys<'a> {
    /// Its own.
    pub own: &'a str,
    /// The key of a profile that is nobody's: it stands in while there is none of its own, and a change makes it that.
    pub unowned: Option<&'a str>,
}

/// What becomes of a profile.
#[derive(Clone, Debug)]
pub enum ProfileChange {
    /// It holds what it held.
    Keep,
    /// This becomes its latest version; of the earlier ones `undo_max` are kept.
    Save {
        /// The version.
        version: ProfileVersion,
        /// Earlier versions to keep, at most.
        undo_max: usize,
    },
    /// The version before becomes what it holds.
    Undo,
    /// It goes, with all of its versions.
    Delete,
}

impl Store {
    /// A profile.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn profile(&self, key: &str) -> Result<Option<ProfileRecord>, StoreError> {
        self.read(|transaction| {
            record(&transaction.open_table(PROFILES)?, &transaction.open_table(PROFILE_VERSIONS)?, key)
        })
    }

    /// Up to `count` profiles whose keys come after `after`; fewer than there are only where together they take several
    /// times what an answer may hold. Damaged ones are passed over, and told in the log.
    ///
    /// # Errors
    /// When the database fails.
    pub fn profiles(&self, after: &str, count: usize) -> Result<Vec<(String, ProfileRecord)>, StoreError> {
        self.read(|transaction| {
            let (entries, versions) =
                (transaction.open_table(PROFILES)?, transaction.open_table(PROFILE_VERSIONS)?);
            let (mut found, mut bytes) = (Vec::new(), 0);
            for entry in entries.range::<&str>((Bound::Excluded(after), Bound::Unbounded))? {
                if found.len() >= count || bytes > LIST_BYTES {
                    break;
                }
                let (key, sealed) = entry?;
                let key = key.value();
                let read = decode(PROFILES.name(), key, sealed.value());
                match read.and_then(|entry| opened(&versions, key, &entry)) {
                    Ok(record) => {
                        bytes += record.bytes();
                        found.push((key.to_owned(), record));
                    }
                    Err(error) if error.is_damage() => tracing::error!(%error, "a profile is not listed"),
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        })
    }

    /// Reads a profile, lets `decide` what becomes of it, and does it, in one transaction. `decide` is told what there is,
    /// or that it is damaged, and how many profiles there are. A request that was carried out before is not repeated: its
    /// outcome is returned.
    ///
    /// # Errors
    /// What `decide` returns, or [`StoreError`]; nothing was changed then.
    pub fn change_profile<E: From<StoreError>>(
        &self,
        keys: ProfileKeys<'_>,
        request: RequestKey<'_>,
        decide: impl FnOnce(Result<Option<ProfileRecord>, StoreError>, u64) -> Result<ProfileChange, E>,
    ) -> Result<Option<ProfileRecord>, E> {
        // As with items: what is told while the store is read anew is one thing for all writes.
        if self.health() != StoreHealth::Open {
            return Err(StoreError::Reopening.into());
        }
        self.write(|transaction| {
            if let Some(Outcome::Profile(before)) = find(transaction, request.id, request.request)? {
                return Ok(before);
            }
            let changed = Shelf::open(transaction)?.change(keys, decide)?;
            if !request.id.is_empty() {
                let outcome = Outcome::Profile(changed.clone());
                let (request_id, request) = (request.id.to_owned(), request.request);
                keep(transaction, &[Receipt { request_id, request, outcome }], self.config.receipts_max)?;
            }
            Ok(changed)
        })
    }
}

impl ProfileRecord {
    /// Bytes that it takes in an answer, at least.
    fn bytes(&self) -> usize {
        let ProfileVersion { weights, picked_ids, .. } = &self.current;
        let names = weights.keys().chain(picked_ids).map(String::len);
        names.sum::<usize>() + 8 * weights.len() + picked_ids.len()
    }
}

/// The tables of profiles in a transaction.
struct Shelf<'t> {
    entries: Table<'t, &'static str, &'static [u8]>,
    versions: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Shelf<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        let (entries, versions) =
            (transaction.open_table(PROFILES)?, transaction.open_table(PROFILE_VERSIONS)?);
        Ok(Self { entries, versions })
    }

    fn change<E: From<StoreError>>(
        mut self,
        keys: ProfileKeys<'_>,
        decide: impl FnOnce(Result<Option<ProfileRecord>, StoreError>, u64) -> Result<ProfileChange, E>,
    ) -> Result<Option<ProfileRecord>, E> {
        let count = self.entries.len().map_err(StoreError::from)?;
        let at = self.place(keys)?;
        let stored = match record(&self.entries, &self.versions, at) {
            Err(error) if !error.is_damage() => return Err(error.into()),
            stored => stored,
        };
        let change = decide(stored, count)?;
        if matches!(change, ProfileChange::Delete) {
            self.clear(at)?;
            return Ok(None);
        }
        if at != keys.own {
            self.rename(at, keys.own)?;
        }
        match change {
            ProfileChange::Save { version, undo_max } => self.save(keys.own, &version, undo_max)?,
            ProfileChange::Undo => self.undo(keys.own)?,
            ProfileChange::Keep | ProfileChange::Delete => {}
        }
        Ok(record(&self.entries, &self.versions, keys.own)?)
    }

    /// The key that the profile has now, or would have.
    fn place<'k>(&self, keys: ProfileKeys<'k>) -> Result<&'k str, StoreError> {
        let Some(unowned) = keys.unowned else { return Ok(keys.own) };
        let stands_in = self.entries.get(keys.own)?.is_none() && self.entries.get(unowned)?.is_some();
        Ok(if stands_in { unowned } else { keys.own })
    }

    fn save(&mut self, key: &str, version: &ProfileVersion, undo_max: usize) -> Result<(), StoreError> {
        let mut entry = self.sound_entry(key)?;
        let place = entry.places.last().map_or(0, |last| last + 1);
        self.write_version(key, place, version)?;
        entry.places.push(place);
        let surplus = entry.places.len().saturating_sub(undo_max + 1);
        for place in entry.places.drain(..surplus) {
            self.versions.remove(version_key(key, place).as_str())?;
        }
        entry.version += 1;
        self.write_entry(key, &entry)
    }

    fn undo(&mut self, key: &str) -> Result<(), StoreError> {
        let mut entry = entry(&self.entries, key)?.unwrap_or_default();
        if let Some(place) = entry.places.pop() {
            self.versions.remove(version_key(key, place).as_str())?;
        }
        self.drop_damaged_end(key, &mut entry)?;
        if entry.places.is_empty() {
            return Err(StoreError::damaged(PROFILES.name(), key));
        }
        entry.version += 1;
        self.write_entry(key, &entry)
    }

    /// What is stored of a profile, less what cannot be read of its latest versions; a damaged record is begun anew.
    fn sound_entry(&mut self, key: &str) -> Result<ProfileEntry, StoreError> {
        match entry(&self.entries, key) {
            Ok(found) => {
                let mut entry = found.unwrap_or_default();
                self.drop_damaged_end(key, &mut entry)?;
                Ok(entry)
            }
            Err(error) if error.is_damage() => {
                tracing::error!(%error, "the profile begins anew");
                self.clear(key)?;
                Ok(ProfileEntry::default())
            }
            Err(error) => Err(error),
        }
    }

    /// Drops the latest versions up to one that can be read.
    fn drop_damaged_end(&mut self, key: &str, entry: &mut ProfileEntry) -> Result<(), StoreError> {
        while let Some(place) = entry.places.last().copied() {
            match version(&self.versions, key, place) {
                Ok(_) => break,
                Err(error) if error.is_damage() => {
                    tracing::error!(%error, "a version of a profile is dropped");
                    self.versions.remove(version_key(key, place).as_str())?;
                    entry.places.pop();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives a profile another key, which none has. What is damaged of it stays behind.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        let mut entry = self.sound_entry(from)?;
        let mut moved = Vec::new();
        for place in std::mem::take(&mut entry.places) {
            match version(&self.versions, from, place) {
                Ok(version) => {
                    self.write_version(to, place, &version)?;
                    moved.push(place);
                }
                Err(error) if error.is_damage() => {
                    tracing::error!(%error, "a version of a profile is dropped");
                }
                Err(error) => return Err(error),
            }
        }
        entry.places = moved;
        self.clear(from)?;
        self.write_entry(to, &entry)
    }

    /// Removes a profile and all of its versions.
    fn clear(&mut self, key: &str) -> Result<(), StoreError> {
        self.entries.remove(key)?;
        let (first, last) = (version_key(key, 0), version_key(key, u64::MAX));
        let range = self.versions.range(first.as_str()..=last.as_str())?;
        let keys = range.map(|entry| Ok(entry?.0.value().to_owned()));
        for key in keys.collect::<Result<Vec<String>, StoreError>>()? {
            self.versions.remove(key.as_str())?;
        }
        Ok(())
    }

    fn write_version(&mut self, key: &str, place: u64, version: &ProfileVersion) -> Result<(), StoreError> {
        let key = version_key(key, place);
        self.versions.insert(key.as_str(), encode(PROFILE_VERSIONS.name(), &key, version).as_slice())?;
        Ok(())
    }

    fn write_entry(&mut self, key: &str, entry: &ProfileEntry) -> Result<(), StoreError> {
        self.entries.insert(key, encode(PROFILES.name(), key, entry).as_slice())?;
        Ok(())
    }
}

fn entry(
    entries: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<ProfileEntry>, StoreError> {
    entries.get(key)?.map(|sealed| decode(PROFILES.name(), key, sealed.value())).transpose()
}

fn version(
    versions: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
    place: u64,
) -> Result<ProfileVersion, StoreError> {
    let key = version_key(key, place);
    match versions.get(key.as_str())? {
        Some(sealed) => decode(PROFILE_VERSIONS.name(), &key, sealed.value()),
        None => Err(StoreError::damaged(PROFILE_VERSIONS.name(), &key)),
    }
}

/// A profile as it is now.
fn record(
    entries: &impl ReadableTable<&'static str, &'static [u8]>,
    versions: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<ProfileRecord>, StoreError> {
    entry(entries, key)?.map(|entry| opened(versions, key, &entry)).transpose()
}

fn opened(
    versions: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
    entry: &ProfileEntry,
) -> Result<ProfileRecord, StoreError> {
    let [earlier @ .., last] = entry.places.as_slice() else {
        return Err(StoreError::damaged(PROFILES.name(), key));
    };
    let current = version(versions, key, *last)?;
    Ok(ProfileRecord { version: entry.version, current, undo_steps: earlier.len() as u32 })
}
