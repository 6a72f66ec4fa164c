//! Reading what a start did not read, piece by piece, for whether it can be.

use crate::items::{signature_table, unseal_signature};
use crate::sealed::unseal;
use crate::{ITEMS, PackedRecord, SIGNATURES, Store, StoreError};
use redb::{ReadableTable, TableHandle};

/// What was found on the way through a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Keys of values that cannot be read.
    pub damaged: Vec<String>,
    /// The first key that was not looked at; `None` at the end.
    pub next: Option<String>,
}

impl Store {
    /// Reads up to `count` records of items from the key `from` on.
    ///
    /// # Errors
    /// When the database fails, or a page cannot be read.
    pub fn check_items(&self, (from, count): (&str, usize)) -> Result<Checked, StoreError> {
        let is_sound =
            |id: &str, sealed: &[u8]| unseal(ITEMS.name(), id, sealed).is_ok_and(PackedRecord::is_record);
        self.read(|transaction| check(&transaction.open_table(ITEMS)?, (from, count), is_sound))
    }

    /// Reads up to `count` stored signatures of a head from the key `from` on.
    ///
    /// # Errors
    /// When the database fails, or a page cannot be read.
    pub fn check_signatures(
        &self,
        (head_key, dim): (&str, usize),
        range: (&str, usize),
    ) -> Result<Checked, StoreError> {
        let name = format!("{SIGNATURES}{head_key}");
        let mut values = Vec::with_capacity(dim);
        let is_sound =
            |key: &str, sealed: &[u8]| unseal_signature(&name, key, sealed, dim, &mut values).is_ok();
        self.read(|transaction| match signature_table(transaction, &name)? {
            Some(table) => check(&table, range, is_sound),
            None => Ok(Checked::default()),
        })
    }
}

fn check(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    (from, count): (&str, usize),
    mut is_sound: impl FnMut(&str, &[u8]) -> bool,
) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    for (at, entry) in table.range(from..)?.enumerate() {
        let (key, value) = entry?;
        if at == count {
            let next = key.value();
            // What is out of order is damaged, and would be met again and again.
            if next <= from {
                return Err(StoreError::Unreadable("keys of a table are out of order".into()));
            }
            checked.next = Some(next.to_owned());
            break;
        }
        if !is_sound(key.value(), value.value()) {
            checked.damaged.push(key.value().to_owned());
        }
    }
    Ok(checked)
}
