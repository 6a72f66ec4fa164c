//! Formats of the tables, and the steps from each to the next.
//!
//! A format's records are frozen: what changes becomes a new struct in the module of the next format, with a step that
//! writes it. `STEPS` run from the format that is found to today's, in one transaction. A record that cannot be read is
//! passed over, told in the log, and stays damaged for whoever asks for it; it never stops a start.
//!
//! To change the format: write the fixture of today's (`tests/fixture.rs`), add a module and a step, see to it that the
//! format is told where its number is damaged (`MARKS`), and tell in `docs/upgrade.md` what changes.

pub(super) mod four;
mod one;
pub(super) mod three;
pub(super) mod two;

use super::sealed::{decode, unseal};
use super::{ABOUT, StoreError, TABLES, guarded, set_number, walk};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle, WriteTransaction};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Brings the tables from one format to the next.
type Upgrade = fn(&WriteTransaction) -> Result<(), StoreError>;

/// The steps: the first from format 1 to 2.
const STEPS: [Upgrade; 3] = [one::upgrade, two::upgrade, three::upgrade];
/// Version of the tables' layout.
pub(super) const FORMAT: u64 = STEPS.len() as u64 + 1;
/// Formats that brought a table, with that table: the last that is there tells the format where its number is damaged.
///
/// Format 4 brought none. It is then taken for format 3, and the step from there leaves items as they are that are of
/// format 4 already; nothing else differs. A table that only tells the format would be one more thing to be damaged.
const MARKS: [(u64, &str); 2] = [(2, "about"), (3, "profile_versions")];

/// Makes the tables of a new database and those that a restored one lacks, brings an older one up to date, and refuses a
/// newer one.
pub(super) fn bring_up(database: &Database) -> Result<(), StoreError> {
    let (from, is_told) = match found(database)? {
        Found::Nothing => (FORMAT, false),
        Found::Told(format) => (format, true),
        Found::Guessed(format) => (format, false),
    };
    if from == FORMAT && is_told && has_all_tables(database)? {
        return Ok(());
    }
    let steps = from.checked_sub(1).and_then(|at| STEPS.get(usize::try_from(at).ok()?..));
    let steps = steps.ok_or(StoreError::Format { found: from })?;
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    for (format, upgrade) in (from..).zip(steps) {
        tracing::info!("bringing the catalogue from format {format} to format {}", format + 1);
        upgrade(&transaction)?;
    }
    for table in TABLES {
        transaction.open_table(table)?;
    }
    set_number(&transaction, "format", FORMAT)?;
    transaction.commit()?;
    Ok(())
}

enum Found {
    /// A new database.
    Nothing,
    /// The format that it says it has.
    Told(u64),
    /// The number is damaged; this is the format by the tables that are there.
    Guessed(u64),
}

fn found(database: &Database) -> Result<Found, StoreError> {
    let reading = database.begin_read()?;
    let names: Vec<String> = reading.list_tables()?.map(|table| table.name().to_owned()).collect();
    let there = |name: &str| names.iter().any(|n| n == name);
    if there(one::META.name()) {
        let told = reading.open_table(one::META)?.get("format")?.map(|value| value.value());
        return Ok(Found::Told(told.unwrap_or(1)));
    }
    if !there(ABOUT.name()) {
        return Ok(Found::Nothing);
    }
    let told = guarded(|| match reading.open_table(ABOUT)?.get("format")? {
        Some(value) => decode(ABOUT.name(), "format", value.value()),
        None => Err(StoreError::damaged(ABOUT.name(), "format")),
    });
    match told {
        Ok(format) => Ok(Found::Told(format)),
        Err(error) if error.is_damage() => {
            let format =
                MARKS.iter().take_while(|(_, name)| there(name)).last().map_or(1, |(format, _)| *format);
            tracing::error!(%error, format, "the format is told by the tables that are there");
            Ok(Found::Guessed(format))
        }
        Err(error) => Err(error),
    }
}

/// Whether every table is there. A restored catalogue lacks those without a record: a backup does not tell of them.
fn has_all_tables(database: &Database) -> Result<bool, StoreError> {
    let reading = database.begin_read()?;
    let names: HashSet<String> = reading.list_tables()?.map(|table| table.name().to_owned()).collect();
    Ok(TABLES.iter().all(|table| names.contains(table.name())))
}

/// Replaces every value of a table, one at a time; `new` gives the new value, sealed.
fn rewrite(
    transaction: &WriteTransaction,
    name: &str,
    mut new: impl FnMut(&str, &[u8]) -> Result<Vec<u8>, StoreError>,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(TableDefinition::<&str, &[u8]>::new(name))?;
    let mut keys = Vec::new();
    let lost = walk(&table, name, |key, _| {
        keys.push(key.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    if lost.lost > 0 {
        tracing::error!(table = name, lost.lost, "records on damaged pages stay as they are");
    }
    for key in keys {
        let written = guarded(|| {
            let (value, damage) = match table.get(key.as_str())? {
                Some(old) => match new(&key, old.value()) {
                    Err(error) if error.is_damage() => (spoiled(name, &key, old.value()), Some(error)),
                    new => (new?, None),
                },
                None => return Err(StoreError::damaged(name, &key)),
            };
            // The record can be read and its page not be copied: another one on it is damaged.
            table.insert(key.as_str(), value.as_slice())?;
            Ok(damage)
        });
        match written {
            Ok(None) => {}
            Ok(Some(error)) => tracing::error!(%error, "it stays as it is"),
            Err(error) if error.is_damage() => {
                tracing::error!(table = name, key, %error, "it stays as it is");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A value that could not be read, as it is. With a sound seal it could be taken for a record of the next format, so the
/// seal is broken.
fn spoiled(table: &str, key: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if unseal(table, key, &value).is_ok()
        && let Some(last) = value.last_mut()
    {
        *last ^= 0xff;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_tables_that_are_always_there() {
        let names: Vec<&str> = TABLES.iter().map(TableHandle::name).collect();
        assert!(MARKS.iter().all(|(_, mark)| names.contains(mark)), "{MARKS:?} of {names:?}");
        assert!(MARKS.is_sorted() && MARKS.iter().all(|(format, _)| *format <= FORMAT));
    }
}
