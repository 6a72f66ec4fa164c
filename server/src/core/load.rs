//! Reading everything that is kept in memory from the store: at the start, and after a failure.

use super::OpenError;
use super::stored::load_models;
use crate::caches::Caches;
use crate::catalogue::{Column, Item, LoadingColumn, Precision, Snapshot};
use crate::config::Config;
use crate::life::{HeadState, HeadStatus, Life, ModelStatus, Models, file_keys};
use crate::model::Model;
use crate::store::{Damage, HeadRecord, Store, StoreError};
use lapel_heads::{Bundle, BundleError, Head};
use rayon::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

/// What is read of a store.
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    pub(super) life: Life,
    /// Keys of heads that serve or stand by and lack signatures.
    pub(super) lacking: Vec<String>,
}

/// Reads everything that is kept in memory. One broken head becomes FAILED; the others serve.
pub(super) fn load(store: &Store, config: &Config) -> Result<Loaded, OpenError> {
    let (loaded_models, models) = load_models(store, config)?;
    let (mut records, mut damage) = store.heads()?;
    records.sort_by_key(|(_, record)| (record.name.clone(), record.version));
    let heads = records.into_par_iter().map(|(key, record)| load_head(store, &loaded_models, key, record));
    let heads = heads.collect::<Result<Vec<_>, StoreError>>()?;
    drop_leftovers(store, &heads, &models)?;
    let mut items = Vec::new();
    let lost = store.read_items(|id, record| items.push(Arc::new(Item::new(&id.into(), &record))))?;
    let mut snapshot = Snapshot::new(loaded_models);
    snapshot.set_damage(lost.records.iter().map(|(_, id)| id.clone()), lost.lost);
    damage.add(lost);
    let caches = Caches::new(store.folder(), store.disk().clone());
    snapshot.load_items(items, &caches.slots().unwrap_or_default());
    let columns = ColumnsTo {
        caches: &caches,
        precision: config.search.signatures,
        memory_bytes: config.search.memory_bytes.0,
    };
    let lacking = load_columns(store, &mut snapshot, &heads, (&columns, &mut damage))?;
    snapshot.generation = store.generation()?;
    if !damage.is_none() {
        let Damage { records, lost } = &damage;
        tracing::error!(?records, lost, "parts of the store are damaged; the rest is served");
    }
    tracing::info!(items = snapshot.items().len(), heads = snapshot.columns().len(), "catalogue loaded");
    Ok(Loaded { snapshot, life: Life::new(heads, models), lacking })
}

/// Where columns are loaded to.
struct ColumnsTo<'a> {
    caches: &'a Caches,
    precision: Precision,
    /// For exact signatures; 0: as much as they take.
    memory_bytes: usize,
}

/// Adds the columns of all heads that are alive, those that serve as active ones. Returns the keys of heads that lack
/// signatures although their backfill is over.
fn load_columns(
    store: &Store,
    snapshot: &mut Snapshot,
    heads: &[HeadStatus],
    (to, damage): (&ColumnsTo<'_>, &mut Damage),
) -> Result<Vec<String>, StoreError> {
    let alive: Vec<&HeadStatus> = heads.iter().filter(|s| s.is_alive()).collect();
    // The same for each; what one leaves another may have later.
    let memory_bytes = to.memory_bytes.div_ceil(alive.len().max(1));
    let to = ColumnsTo { memory_bytes, ..*to };
    let columns = alive.par_iter().map(|status| load_column(store, snapshot, status, &to));
    let columns: Vec<_> = columns.collect::<Result<Vec<_>, StoreError>>()?;
    let mut lacking = Vec::new();
    for (status, loaded) in alive.iter().zip(columns) {
        let Some((column, lost)) = loaded else { continue };
        damage.add(lost);
        snapshot.add_loaded(column);
        let column = snapshot.column_of_key(&status.key);
        let is_lacking = column.is_some_and(|column| !snapshot.computable(column).is_empty());
        if status.state != HeadState::Backfilling && is_lacking {
            lacking.push(status.key.clone());
        }
        if status.state == HeadState::Active {
            snapshot.activate(&status.key);
        }
    }
    Ok(lacking)
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

fn load_column(
    store: &Store,
    snapshot: &Snapshot,
    status: &HeadStatus,
    to: &ColumnsTo<'_>,
) -> Result<Option<(LoadingColumn, Damage)>, StoreError> {
    let Some(head) = &status.head else { return Ok(None) };
    let (key, dim) = (&status.key, head.dim());
    let empty = || Column::new(key, head.clone(), to.precision).of_version(status.version);
    let items = snapshot.items();
    let fill = |mut column: LoadingColumn| {
        let mut lookup = items.lookup();
        let damage =
            store.signatures(key, dim, |id, values| column.load((items, &mut lookup), id, &values))?;
        Ok::<_, StoreError>((column, damage))
    };
    if to.memory_bytes == 0 {
        to.caches.drop_rows(key);
        return fill(LoadingColumn::new(empty())).map(Some);
    }
    match to.caches.open_rows(key, (dim, to.precision)) {
        Ok(files) => {
            let (column, damage) = fill(LoadingColumn::with_files(empty(), files, to.memory_bytes))?;
            if column.faults() == 0 {
                return Ok(Some((column, damage)));
            }
            tracing::error!(head = status.name, "its file of signatures cannot be read; all are in memory");
        }
        Err(error) => {
            tracing::error!(head = status.name, %error, "there is no file for its signatures; all are in memory");
        }
    }
    fill(LoadingColumn::new(empty())).map(Some)
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
