//! Older formats become the present one when a catalogue is opened.

use super::sealed::{decode, encode, seal};
use super::{
    ABOUT, BUNDLES, ContentId, FORMAT, HEADS, HeadRecord, IMAGES, ITEMS, ItemRecord, Labels, PROFILES,
    SIGNATURES, StoreError, StoredPartsCase, StoredState, TABLES, set_number,
};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle, WriteTransaction};
use serde::Deserialize;
use std::collections::HashMap;

/// Where format 1 kept its numbers.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

#[derive(Deserialize)]
struct ItemRecord1 {
    labels: Labels,
    has_image: bool,
    parts_case: Option<StoredPartsCase>,
    updated_ms: u64,
}

#[derive(Deserialize)]
enum StoredState1 {
    Backfilling,
    Active,
    Retired,
    Failed(String),
}

#[derive(Deserialize)]
struct HeadRecord1 {
    name: String,
    bundle_sha256: String,
    state: StoredState1,
    registered_ms: u64,
}

/// Makes the tables of a new database, brings an older one up to date, and refuses a newer one.
pub(super) fn bring_up(database: &Database) -> Result<(), StoreError> {
    let reading = database.begin_read()?;
    let names: Vec<String> = reading.list_tables()?.map(|t| t.name().to_owned()).collect();
    let there = |name: &str| names.iter().any(|n| n == name);
    if there(ABOUT.name()) {
        let table = reading.open_table(ABOUT)?;
        let found = table.get("format")?.map_or(Ok(0), |value| decode("about", "format", value.value()))?;
        return if found == FORMAT { Ok(()) } else { Err(StoreError::Format { found }) };
    }
    if there("meta") {
        let found = reading.open_table(META)?.get("format")?.map_or(0, |v| v.value());
        if found != 1 {
            return Err(StoreError::Format { found });
        }
    }
    drop(reading);
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    if there("meta") {
        tracing::info!("bringing the catalogue from format 1 to format {FORMAT}");
        from_1(&transaction, &names)?;
    }
    for table in TABLES {
        transaction.open_table(table)?;
    }
    set_number(&transaction, "format", FORMAT)?;
    transaction.commit()?;
    Ok(())
}

fn from_1(transaction: &WriteTransaction, names: &[String]) -> Result<(), StoreError> {
    let generation = transaction.open_table(META)?.get("generation")?.map_or(0, |v| v.value());
    set_number(transaction, "generation", generation)?;
    transaction.delete_table(META)?;
    let mut images: HashMap<String, ContentId> = HashMap::new();
    rewrite(transaction, IMAGES.name(), |id, image| {
        images.insert(id.to_owned(), ContentId::of(image));
        Ok(seal(IMAGES.name(), id, image.to_vec()))
    })?;
    rewrite(transaction, ITEMS.name(), |id, value| {
        let ItemRecord1 { labels, has_image, parts_case, updated_ms } = old("items", id, value)?;
        let image = images.get(id).copied().filter(|_| has_image);
        Ok(encode(ITEMS.name(), id, &ItemRecord { labels, image, parts_case, updated_ms }))
    })?;
    // Names that were used more than once become versions, in their order.
    let mut versions: HashMap<String, u32> = HashMap::new();
    let mut heads: Vec<(String, HeadRecord1)> = Vec::new();
    rewrite(transaction, HEADS.name(), |key, value| {
        heads.push((key.to_owned(), old("heads", key, value)?));
        Ok(Vec::new())
    })?;
    heads.sort_by_key(|(_, record)| record.registered_ms);
    let mut records: HashMap<String, HeadRecord> = HashMap::new();
    for (key, record) in heads {
        let version = versions.entry(record.name.clone()).or_insert(0);
        *version += 1;
        records.insert(key, head(record, *version));
    }
    rewrite(transaction, HEADS.name(), |key, _| {
        let record = records.get(key).ok_or_else(|| StoreError::damaged("heads", key))?;
        Ok(encode(HEADS.name(), key, record))
    })?;
    for name in names {
        let is_plain = [BUNDLES.name(), PROFILES.name()].contains(&name.as_str());
        if is_plain || name.starts_with(SIGNATURES) {
            rewrite(transaction, name, |key, value| Ok(seal(name, key, value.to_vec())))?;
        }
    }
    Ok(())
}

fn head(record: HeadRecord1, version: u32) -> HeadRecord {
    let HeadRecord1 { name, bundle_sha256, state, registered_ms } = record;
    let (state, served_ms) = match state {
        StoredState1::Backfilling => (StoredState::Backfilling, 0),
        StoredState1::Active => (StoredState::Active, registered_ms),
        StoredState1::Retired => (StoredState::Retired, 0),
        StoredState1::Failed(reason) => (StoredState::Failed(reason), 0),
    };
    // The backbone is told by the bundle when the head is loaded.
    let backbone = None;
    HeadRecord {
        name,
        version,
        bundle_sha256,
        backbone,
        state,
        promotes_itself: true,
        served_ms,
        registered_ms,
    }
}

fn old<'a, T: Deserialize<'a>>(table: &str, key: &str, value: &'a [u8]) -> Result<T, StoreError> {
    postcard::from_bytes(value).map_err(|_| StoreError::damaged(table, key))
}

/// Replaces every value of a table, one at a time. One that cannot be read stays as it is: without a checksum it is told as
/// damaged to whoever asks for it, and the rest is served.
fn rewrite(
    transaction: &WriteTransaction,
    name: &str,
    mut new: impl FnMut(&str, &[u8]) -> Result<Vec<u8>, StoreError>,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(TableDefinition::<&str, &[u8]>::new(name))?;
    let keys: Vec<String> =
        table.iter()?.map(|entry| Ok(entry?.0.value().to_owned())).collect::<Result<_, StoreError>>()?;
    for key in keys {
        let value = table.get(key.as_str())?.map(|v| new(&key, v.value())).transpose();
        match value {
            Ok(Some(value)) => {
                table.insert(key.as_str(), value.as_slice())?;
            }
            Ok(None) => {}
            Err(error) if error.is_damage() => tracing::error!(%error, "it is left as it is"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
