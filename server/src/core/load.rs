//! Reading everything that is kept in memory from the store: at the start, and after a failure.

mod columns;

use super::OpenError;
use super::stored::load_models;
use crate::caches::{Caches, SavedItems, Stop};
use crate::catalogue::{Item, Snapshot};
use crate::config::Config;
use crate::life::{HeadState, HeadStatus, Life, ModelStatus, Models, file_keys};
use crate::model::Model;
use crate::store::{Damage, HeadRecord, Store, StoreError};
use columns::{Columns, LeftColumns, Origins};
use lapel_heads::{Bundle, BundleError, Head};
use rayon::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

/// What is read of a store.
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    pub(super) life: Life,
    pub(super) restored: Restored,
    /// Keys of heads that serve or stand by and lack signatures.
    pub(super) lacking: Vec<String>,
}

/// What is as the last stop left it; the store was not asked for it.
#[derive(Default)]
pub(super) struct Restored {
    /// Whether the items are.
    pub(super) items: bool,
    /// Keys and dimensions of the columns that are.
    pub(super) columns: Vec<(String, usize)>,
}

/// Reads everything that is kept in memory: items and columns as the last stop `left` them, where it has and the store is what it was.
/// One broken head becomes FAILED; the others serve.
pub(super) fn load(store: &Store, config: &Config, left: Option<Stop>) -> Result<Loaded, OpenError> {
    let (loaded_models, models) = load_models(store, config)?;
    let (mut records, mut damage) = store.heads()?;
    records.sort_by_key(|(_, record)| (record.name.clone(), record.version));
    let heads = records.into_par_iter().map(|(key, record)| load_head(store, &loaded_models, key, record));
    let heads = heads.collect::<Result<Vec<_>, StoreError>>()?;
    drop_leftovers(store, &heads, &models)?;
    let mut snapshot = Snapshot::new(loaded_models);
    let caches = Caches::new(store.folder(), store.disk().clone());
    let columns = Columns::new(&caches, &config.search, &heads);
    let left = left.and_then(|stop| restore(&caches, &columns, &mut snapshot, stop));
    let (items, left) = (left.is_some(), left.unwrap_or_default());
    if !items {
        damage.add(read_items(store, &mut snapshot, &caches)?);
    }
    let Origins { lacking, restored } = columns.load(store, &mut snapshot, left, &mut damage)?;
    caches.drop_states();
    snapshot.generation = store.generation()?;
    if !damage.is_none() {
        let Damage { records, lost } = &damage;
        tracing::error!(?records, lost, "parts of the store are damaged; the rest is served");
    }
    let (count, heads_served) = (snapshot.items().len(), snapshot.columns().len());
    tracing::info!(items = count, heads = heads_served, restored = restored.len(), "catalogue loaded");
    let restored = Restored { items, columns: restored };
    Ok(Loaded { snapshot, life: Life::new(heads, models), restored, lacking })
}

/// Puts the items that a stop has left into a snapshot, and returns the columns that it has left. `None`, and a snapshot without items,
/// where it has not left the items: columns go by their slots.
fn restore(
    caches: &Caches,
    columns: &Columns<'_>,
    snapshot: &mut Snapshot,
    stop: Stop,
) -> Option<LeftColumns> {
    let (items, columns) = rayon::join(|| caches.restore_items(stop), || columns.restore(stop));
    let told = items.inspect_err(|error| tracing::warn!(%error, "the catalogue is read from the store"));
    let SavedItems { blocks, index } = told.ok()?;
    if snapshot.restore_items(blocks, index) {
        return Some(columns);
    }
    tracing::warn!("items are not those that their index was of; the catalogue is read from the store");
    None
}

/// Reads the items from the store, and returns what could not be read.
fn read_items(store: &Store, snapshot: &mut Snapshot, caches: &Caches) -> Result<Damage, StoreError> {
    let mut items = Vec::new();
    let lost = store.read_items(|id, record| items.push(Arc::new(Item::of_packed(id.into(), record))))?;
    snapshot.set_damage(lost.records.iter().map(|(_, id)| id.clone()), lost.lost);
    snapshot.load_items(items, &caches.slots().unwrap_or_default());
    Ok(lost)
}

/// A retirement that was cut off leaves data that nothing reads any more. That of failed heads stays until they are
/// retired.
fn drop_leftovers(store: &Store, heads: &[HeadStatus], models: &Models) -> Result<(), StoreError> {
    let tables: HashSet<String> = store.signature_tables()?.into_iter().collect();
    let heads = heads.iter().filter(|s| s.state == HeadState::Retired).map(|s| s.key.clone());
    let over = |m: &&ModelStatus| m.state == HeadState::Retired;
    let files = models.values().filter(over).flat_map(|m| file_keys(&m.fingerprint));
    // A damaged file is there, too.
    let is_left = |key: &String| tables.contains(key) || !matches!(store.bundle(key), Ok(None));
    let left: Vec<String> = heads.chain(files).filter(is_left).collect();
    if left.is_empty() { Ok(()) } else { store.drop_data(&left) }
}

fn load_head(
    store: &Store,
    models: &[Arc<Model>],
    key: String,
    record: HeadRecord,
) -> Result<HeadStatus, StoreError> {
    let status = HeadStatus::from_record(key, record);
    if !status.is_alive() {
        return Ok(status);
    }
    let loaded = build_head(store, models, &status.key)?;
    if let Err(reason) = &loaded {
        tracing::error!(head = status.name, reason, "a stored head cannot be loaded");
    }
    Ok(status.with_head(loaded.map(Arc::new)))
}

/// The inner error says why the head is broken.
fn build_head(store: &Store, models: &[Arc<Model>], key: &str) -> Result<Result<Head, String>, StoreError> {
    let bytes = match store.bundle(key) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Err("its bundle is gone".into())),
        Err(error) if error.is_damage() => return Ok(Err(format!("its bundle cannot be read: {error}"))),
        Err(error) => return Err(error),
    };
    let build = || {
        let bundle = Bundle::parse(&bytes)?;
        let wanted = bundle.manifest.backbone.as_deref();
        let model = models.iter().find(|m| Some(m.fingerprint()) == wanted).or(models.first());
        let Some(model) = model else { return Err(BundleError::Probe) };
        Head::new(&bundle, Bundle::id(&bytes), model.backbone())
    };
    Ok(build().map_err(|error| format!("its bundle cannot be loaded: {error}")))
}
