//! Profiles.

use super::receipts::{find, keep};
use super::sealed::{decode, encode};
use super::{ContentId, Outcome, PROFILES, ProfileRecord, Receipt, Store, StoreError};
use redb::{ReadableTable, ReadableTableMetadata, TableHandle};
use std::ops::Bound;

/// A request to change a profile, by its id and content; an empty id asks for no receipt.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey<'a> {
    /// The caller's id.
    pub id: &'a str,
    /// What is asked for.
    pub request: ContentId,
}

impl Store {
    /// A profile.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn profile(&self, name: &str) -> Result<Option<ProfileRecord>, StoreError> {
        self.record(PROFILES, name)
    }

    /// Up to `count` profiles whose names come after `after`.
    ///
    /// # Errors
    /// As [`Store::profile`].
    pub fn profiles(&self, after: &str, count: usize) -> Result<Vec<(String, ProfileRecord)>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(PROFILES)?;
            let range = table.range::<&str>((Bound::Excluded(after), Bound::Unbounded))?;
            let mut found = Vec::new();
            for entry in range.take(count) {
                let (name, bytes) = entry?;
                found.push((name.value().to_owned(), decode(PROFILES.name(), name.value(), bytes.value())?));
            }
            Ok(found)
        })
    }

    /// Reads a profile, lets `change` decide, and writes what it returns (`None`: deletes), in one transaction.
    /// `change` is also told how many profiles there are. A request that was carried out before is not repeated: its
    /// outcome is returned.
    ///
    /// # Errors
    /// What `change` returns, or [`StoreError`]; nothing was changed then.
    pub fn change_profile<E: From<StoreError>>(
        &self,
        name: &str,
        key: RequestKey<'_>,
        change: impl FnOnce(Option<ProfileRecord>, u64) -> Result<Option<ProfileRecord>, E>,
    ) -> Result<Option<ProfileRecord>, E> {
        self.write(|transaction| {
            if let Some(Outcome::Profile(before)) = find(transaction, key.id, key.request)? {
                return Ok(before);
            }
            let changed = {
                let mut table = transaction.open_table(PROFILES).map_err(StoreError::from)?;
                let count = table.len().map_err(StoreError::from)?;
                let stored = table.get(name).map_err(StoreError::from)?;
                let old = stored.map(|v| decode(PROFILES.name(), name, v.value())).transpose()?;
                let changed = change(old, count)?;
                match &changed {
                    Some(record) => table.insert(name, encode(PROFILES.name(), name, record).as_slice()),
                    None => table.remove(name),
                }
                .map_err(StoreError::from)?;
                changed
            };
            if !key.id.is_empty() {
                let outcome = Outcome::Profile(changed.clone());
                let receipt = Receipt { request_id: key.id.to_owned(), request: key.request, outcome };
                keep(transaction, &receipt, self.config.receipts_max)?;
            }
            Ok(changed)
        })
    }
}
