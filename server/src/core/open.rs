//! Opening: the store, the model's files, and the snapshot rebuilt from them.

use super::models::file_keys;
use super::{Core, ModelStatus, Models, Registration, SEARCHES_MAX, mend};
use crate::caches::Caches;
use crate::catalogue::{Column, LoadingColumn, Precision, Snapshot};
use crate::config::Config;
use crate::engine::{Engine, EngineConfig};
use crate::error::Error;
use crate::features::FeatureCache;
use crate::heads::{HeadState, HeadStatus, Progress, Registry};
use crate::model::{Model, ModelError};
use crate::search::Planner;
use crate::store::{
    Damage, Disk, HeadChange, HeadRecord, ModelRecord, Store, StoreConfig, StoreError, StoredState,
};
use arc_swap::ArcSwap;
use lapel_heads::{Bundle, BundleError, BundleKey, Head};
use rayon::prelude::*;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file of the model is not there.
    #[error(
        "the model's file {path} cannot be read ({source}); start in the project's folder, or name it in the configuration"
    )]
    Model {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configured files are no model.
    #[error("{path}: {source}")]
    Unsound {
        /// The backbone's file.
        path: PathBuf,
        /// What is wrong with it.
        source: ModelError,
    },
    /// The stored model cannot be loaded, and the configured one is another.
    #[error(
        "the catalogue's backbone {fingerprint} cannot be read ({reason}), and the configured one is {configured}; \
         configure the same, or restore a backup"
    )]
    ModelLost {
        /// The backbone that serves.
        fingerprint: String,
        /// What is wrong with it.
        reason: String,
        /// The configured one.
        configured: String,
    },
    /// The configured key for signed bundles is none.
    #[error("access.bundle_key {path}: {reason}")]
    BundleKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gives no thread.
    #[error("no thread: {0}")]
    Thread(std::io::Error),
    /// A configured bundle is unsound.
    #[error("{path}: {source}")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BundleError,
    },
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A configured head cannot be registered.
    #[error("{path}: {source}")]
    Register {
        /// The bundle's file.
        path: PathBuf,
        /// Why.
        source: Error,
    },
}

impl Core {
    /// Opens the catalogue: loads the models, rebuilds the columns from the store, goes on with interrupted backfills,
    /// and registers configured heads that the catalogue does not know. One broken stored head becomes FAILED; the
    /// others serve.
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub async fn open(config: Config, disk: Disk) -> Result<Arc<Self>, OpenError> {
        let bundle_key = config.access.bundle_key.as_deref().map(read_bundle_key).transpose()?;
        let (store, config, loaded) = tokio::task::spawn_blocking(move || {
            let store = Store::open(StoreConfig {
                folder: config.data.clone(),
                cache_bytes: config.store.cache_bytes.0,
                receipts_max: config.store.request_ids_max,
                disk,
            })?;
            let loaded = load(&store, &config)?;
            Ok::<_, OpenError>((Arc::new(store), config, loaded))
        })
        .await
        .map_err(|e| OpenError::Thread(std::io::Error::other(e)))??;
        let engine = EngineConfig {
            query_max: config.limits.query_images_max,
            bulk_max: config.limits.ingest_images_max,
            decoding_max: config.limits.decoding_pixels_max,
            photo: config.photo_limits(),
        };
        let (engine, failures) = Engine::start(engine).map_err(OpenError::Thread)?;
        let core = Arc::new(Self {
            planner: Planner::new(&config.search),
            caches: Caches::new(store.folder(), store.disk().clone()),
            saving: Mutex::new(()),
            features: FeatureCache::open(store.folder(), &config.features).map(Arc::new),
            config,
            store,
            engine,
            registry: loaded.registry,
            bundle_key,
            models: watch::Sender::new(loaded.models),
            snapshot: ArcSwap::from_pointee(loaded.snapshot),
            writer: Mutex::new(()),
            waiting: Default::default(),
            backfills: Default::default(),
            changed: watch::Sender::new(()),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
        });
        super::index::spawn(&core);
        core.tasks.spawn(mend::keep_mended(core.clone()));
        core.tasks.spawn(mend::keep_sound(core.clone(), failures));
        mend::resume(&core, loaded.lacking);
        core.register_configured().await?;
        Ok(core)
    }

    async fn register_configured(self: &Arc<Self>) -> Result<(), OpenError> {
        let serving = self.snapshot().model().map(|m| m.fingerprint().to_owned());
        for path in self.config.model.heads.clone() {
            let bytes = read_model(&path)?;
            let id = Bundle::id(&bytes);
            if self.registry.all().iter().any(|s| s.bundle_sha256 == id) {
                continue;
            }
            let fault = |source| OpenError::Bundle { path: path.clone(), source };
            let manifest = Bundle::parse(&bytes).map_err(fault)?.manifest;
            if self.registry.versions(&manifest.name).is_ok() {
                continue;
            }
            if manifest.backbone.is_some() && manifest.backbone != serving && self.models().len() > 1 {
                tracing::warn!(
                    head = manifest.name,
                    "this configured head is for a backbone that does not serve"
                );
                continue;
            }
            let registered = self.register_head(bytes, Registration::new()).await;
            registered.map_err(|source| OpenError::Register { path, source })?;
        }
        Ok(())
    }
}

fn read_bundle_key(path: &Path) -> Result<BundleKey, OpenError> {
    let fault = |reason: String| OpenError::BundleKey { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| fault(e.to_string()))?;
    BundleKey::from_text(&text).map_err(|e| fault(e.to_string()))
}

fn read_model(path: &Path) -> Result<Vec<u8>, OpenError> {
    std::fs::read(path).map_err(|source| OpenError::Model { path: path.to_owned(), source })
}

/// What is read of a store.
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    pub(super) registry: Registry,
    pub(super) models: Models,
    /// Keys of heads that serve or stand by and lack signatures.
    pub(super) lacking: Vec<String>,
}

/// Reads everything that is kept in memory.
pub(super) fn load(store: &Store, config: &Config) -> Result<Loaded, OpenError> {
    let (loaded_models, models) = load_models(store, config)?;
    let registry = Registry::default();
    let (mut records, mut damage) = store.heads()?;
    records.sort_by_key(|(_, record)| (record.name.clone(), record.version));
    drop_leftovers(store, &records)?;
    let heads = records.into_par_iter().map(|(key, record)| load_head(store, &loaded_models, key, record));
    let statuses = heads.collect::<Result<Vec<_>, StoreError>>()?;
    let (items, lost) = store.items()?;
    let mut snapshot = Snapshot::new(loaded_models);
    snapshot.set_damage(lost.records.iter().map(|(_, id)| id.clone()), lost.lost);
    damage.add(lost);
    let caches = Caches::new(store.folder(), store.disk().clone());
    snapshot.load_items(items, &caches.slots().unwrap_or_default());
    let precision = config.search.signatures;
    let alive: Vec<&HeadStatus> = statuses.iter().filter(|s| s.is_alive()).collect();
    let columns = alive.par_iter().map(|status| load_column(store, &snapshot, status, precision));
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
    statuses.into_iter().for_each(|status| registry.insert(status));
    snapshot.generation = store.generation()?;
    if !damage.is_none() {
        let Damage { records, lost } = &damage;
        tracing::error!(?records, lost, "parts of the store are damaged; the rest is served");
    }
    tracing::info!(items = snapshot.items().len(), heads = snapshot.columns().len(), "catalogue loaded");
    Ok(Loaded { snapshot, registry, models, lacking })
}

/// A retirement that was cut off leaves data that no head reads any more. That of failed heads stays until they are retired.
fn drop_leftovers(store: &Store, records: &[(String, HeadRecord)]) -> Result<(), StoreError> {
    let tables: HashSet<String> = store.signature_tables()?.into_iter().collect();
    let is_over = |record: &HeadRecord| record.state == StoredState::Retired;
    let over = records.iter().filter(|(key, record)| is_over(record) && tables.contains(key));
    let over: Vec<String> = over.map(|(key, _)| key.clone()).collect();
    if over.is_empty() { Ok(()) } else { store.drop_data(&over) }
}

fn load_column(
    store: &Store,
    snapshot: &Snapshot,
    status: &HeadStatus,
    precision: Precision,
) -> Result<Option<(LoadingColumn, Damage)>, StoreError> {
    let Some(head) = &status.head else { return Ok(None) };
    let column = Column::new(&status.key, head.clone(), precision).of_version(status.version);
    let mut column = LoadingColumn::new(column);
    let items = snapshot.items();
    let damage = store.signatures(&status.key, head.dim(), |id, values| column.load(items, id, &values))?;
    Ok(Some((column, damage)))
}

fn load_head(
    store: &Store,
    models: &[Arc<Model>],
    key: String,
    record: HeadRecord,
) -> Result<HeadStatus, StoreError> {
    let mut head = None;
    let mut state = match &record.state {
        StoredState::Backfilling => HeadState::Backfilling,
        StoredState::Standby => HeadState::Standby,
        StoredState::Active => HeadState::Active,
        StoredState::Retired => HeadState::Retired,
        StoredState::Failed(reason) => HeadState::Failed(reason.clone()),
    };
    if matches!(state, HeadState::Backfilling | HeadState::Standby | HeadState::Active) {
        match build_head(store, models, &key)? {
            Ok(loaded) => head = Some(Arc::new(loaded)),
            Err(reason) => {
                tracing::error!(head = record.name, reason, "a stored head cannot be loaded");
                state = HeadState::Failed(reason);
            }
        }
    }
    let backbone = head.as_ref().and_then(|h: &Arc<Head>| h.manifest().backbone.clone());
    Ok(HeadStatus {
        key,
        name: record.name,
        version: record.version,
        bundle_sha256: record.bundle_sha256,
        backbone: record.backbone.or(backbone),
        head,
        state,
        progress: Progress::default(),
        promotes_itself: record.promotes_itself,
        served_ms: record.served_ms,
        registered_ms: record.registered_ms,
    })
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

/// The models that are alive, the one that serves first, and the states of all. A catalogue without any gets the
/// configured one.
fn load_models(store: &Store, config: &Config) -> Result<(Vec<Arc<Model>>, Models), OpenError> {
    let (records, _) = store.models()?;
    let mut states: Models =
        records.into_iter().map(|(f, record)| (f.clone(), model_status(f, record))).collect();
    let serving = states.values().find(|m| m.state == HeadState::Active).cloned();
    let Some(serving) = serving else {
        let model = configured_model(store, config)?;
        let status = model_status(
            model.fingerprint().to_owned(),
            ModelRecord {
                state: StoredState::Active,
                promotes_itself: false,
                heads: Vec::new(),
                registered_ms: super::now_ms(),
            },
        );
        states.insert(status.fingerprint.clone(), status);
        return Ok((vec![Arc::new(model)], states));
    };
    let first = match stored_model(store, &serving.fingerprint)? {
        Ok(model) => {
            tell_of_another(config, model.fingerprint());
            model
        }
        Err(reason) => {
            tracing::error!(fingerprint = serving.fingerprint, reason, "the stored backbone cannot be read");
            let (model, _, _) = configured_files(config)?;
            if model.fingerprint() != serving.fingerprint {
                let configured = model.fingerprint().to_owned();
                return Err(OpenError::ModelLost { fingerprint: serving.fingerprint, reason, configured });
            }
            configured_model(store, config)?
        }
    };
    let mut models = vec![Arc::new(first)];
    for status in
        states.values_mut().filter(|m| matches!(m.state, HeadState::Backfilling | HeadState::Standby))
    {
        match stored_model(store, &status.fingerprint)? {
            Ok(model) => models.push(Arc::new(model)),
            Err(reason) => status.state = HeadState::Failed(reason),
        }
    }
    Ok((models, states))
}

/// Says so where a catalogue keeps another backbone than the configured one.
fn tell_of_another(config: &Config, serving: &str) {
    match configured_files(config) {
        Ok((model, ..)) if model.fingerprint() == serving => {}
        Ok((model, ..)) => tracing::warn!(
            serving,
            configured = model.fingerprint(),
            "the catalogue keeps the backbone that it was made with, and heads of the configured one cannot be registered; \
             `lapel generations build` changes it"
        ),
        Err(error) => {
            tracing::warn!(serving, %error, "the configured backbone cannot be read; the catalogue has its own");
        }
    }
}

fn model_status(fingerprint: String, record: ModelRecord) -> ModelStatus {
    let state = match record.state {
        StoredState::Backfilling => HeadState::Backfilling,
        StoredState::Standby => HeadState::Standby,
        StoredState::Active => HeadState::Active,
        StoredState::Retired => HeadState::Retired,
        StoredState::Failed(reason) => HeadState::Failed(reason),
    };
    let ModelRecord { promotes_itself, heads, registered_ms, .. } = record;
    ModelStatus { fingerprint, state, promotes_itself, heads, registered_ms }
}

fn configured_files(config: &Config) -> Result<(Model, Vec<u8>, Vec<u8>), OpenError> {
    let path = &config.model.backbone;
    let (backbone, extract_parts) = (read_model(path)?, read_model(&config.model.extract_parts)?);
    let model = Model::from_bytes(&backbone, &extract_parts)
        .map_err(|source| OpenError::Unsound { path: path.clone(), source })?;
    Ok((model, backbone, extract_parts))
}

/// Stores the configured model as the one that serves.
fn configured_model(store: &Store, config: &Config) -> Result<Model, OpenError> {
    let (model, backbone, extract_parts) = configured_files(config)?;
    let fingerprint = model.fingerprint().to_owned();
    let bundles = file_keys(&fingerprint).into_iter().zip([backbone, extract_parts]).collect();
    let record = ModelRecord {
        state: StoredState::Active,
        promotes_itself: false,
        heads: Vec::new(),
        registered_ms: super::now_ms(),
    };
    let generation = store.generation()?;
    let models = vec![(fingerprint, record)];
    store.change_heads(&HeadChange { models, bundles, generation, ..HeadChange::default() })?;
    Ok(model)
}

/// The inner error says why the model is broken.
fn stored_model(store: &Store, fingerprint: &str) -> Result<Result<Model, String>, StoreError> {
    let mut files = Vec::new();
    for key in file_keys(fingerprint) {
        match store.bundle(&key) {
            Ok(Some(bytes)) => files.push(bytes),
            Ok(None) => return Ok(Err(format!("{key} is gone"))),
            Err(error) if error.is_damage() => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        }
    }
    let model = Model::from_bytes(&files[0], &files[1]).map_err(|e| e.to_string());
    Ok(model.and_then(|model| {
        let found = model.fingerprint().to_owned();
        if found == fingerprint { Ok(model) } else { Err(format!("the file is of backbone {found}")) }
    }))
}
