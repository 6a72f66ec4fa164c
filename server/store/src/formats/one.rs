//! Format 1: values without checksums, heads without versions, images without ids.

use super::super::sealed::{encode, seal};
use super::two;
use super::{StoreError, rewrite, set_number, walk};
use crate::values::{ContentId, Labels, StoredPartsCase};
use redb::{ReadableTable, TableDefinition, TableHandle, WriteTransaction};
use serde::Deserialize;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Where it kept its numbers.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

#[derive(Deserialize)]
struct ItemRecord {
    labels: Labels,
    has_image: bool,
    parts_case: Option<StoredPartsCase>,
    updated_ms: u64,
}

#[derive(Deserialize)]
enum StoredState {
    Backfilling,
    Active,
    Retired,
    Failed(String),
}

#[derive(Deserialize)]
struct HeadRecord {
    name: String,
    bundle_sha256: String,
    state: StoredState,
    registered_ms: u64,
}

/// To format 2: values are sealed, items name their image, and names that were used more than once become versions.
pub(super) fn upgrade(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let generation = transaction.open_table(META)?.get("generation")?.map_or(0, |v| v.value());
    set_number(transaction, "generation", generation)?;
    transaction.delete_table(META)?;
    let mut images: HashMap<String, ContentId> = HashMap::new();
    rewrite(transaction, "images", |id, image| {
        images.insert(id.to_owned(), ContentId::of(image));
        Ok(seal("images", id, image.to_vec()))
    })?;
    rewrite(transaction, "items", |id, value| {
        let ItemRecord { labels, has_image, parts_case, updated_ms } = old("items", id, value)?;
        let image = images.get(id).copied().filter(|_| has_image);
        Ok(encode("items", id, &two::ItemRecord { labels, image, parts_case, updated_ms }))
    })?;
    heads(transaction)?;
    let names: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
    for name in names {
        if ["bundles", "profiles"].contains(&name.as_str()) || name.starts_with("signatures/") {
            rewrite(transaction, &name, |key, value| Ok(seal(&name, key, value.to_vec())))?;
        }
    }
    Ok(())
}

/// Names that were used more than once become versions, in the order in which they were registered.
fn heads(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut by_age: Vec<(u64, String, String)> = Vec::new();
    {
        let table = transaction.open_table(TableDefinition::<&str, &[u8]>::new("heads"))?;
        // What cannot be read is told below.
        walk(&table, "heads", |key, value| {
            let HeadRecord { name, registered_ms, .. } = old("heads", key, value)?;
            by_age.push((registered_ms, key.to_owned(), name));
            Ok(ControlFlow::Continue(()))
        })?;
    }
    by_age.sort_by_key(|(registered_ms, ..)| *registered_ms);
    let (mut latest, mut versions) = (HashMap::<String, u32>::new(), HashMap::<String, u32>::new());
    for (_, key, name) in by_age {
        let version = latest.entry(name).or_insert(0);
        *version += 1;
        versions.insert(key, *version);
    }
    rewrite(transaction, "heads", |key, value| {
        let record: HeadRecord = old("heads", key, value)?;
        let version = versions.get(key).copied().ok_or_else(|| StoreError::damaged("heads", key))?;
        Ok(encode("heads", key, &head(record, version)))
    })
}

fn head(record: HeadRecord, version: u32) -> two::HeadRecord {
    let HeadRecord { name, bundle_sha256, state, registered_ms } = record;
    let (state, served_ms) = match state {
        StoredState::Backfilling => (two::StoredState::Backfilling, 0),
        StoredState::Active => (two::StoredState::Active, registered_ms),
        StoredState::Retired => (two::StoredState::Retired, 0),
        StoredState::Failed(reason) => (two::StoredState::Failed(reason), 0),
    };
    // The backbone is told by the bundle when the head is loaded.
    let (backbone, promotes_itself) = (None, true);
    two::HeadRecord {
        name,
        version,
        bundle_sha256,
        backbone,
        state,
        promotes_itself,
        served_ms,
        registered_ms,
    }
}

fn old<'a, T: Deserialize<'a>>(table: &str, key: &str, value: &'a [u8]) -> Result<T, StoreError> {
    postcard::from_bytes(value).map_err(|_| StoreError::damaged(table, key))
}
