//! Opening: the model's files, the store, and the snapshot rebuilt from it.

use super::{Core, SEARCHES_MAX};
use crate::catalogue::{Column, Precision, Snapshot};
use crate::config::Config;
use crate::engine::{Engine, EngineConfig};
use crate::error::Error;
use crate::heads::{HeadState, HeadStatus, Progress, Registry, spawn_backfill};
use crate::search::Planner;
use crate::store::{HeadRecord, ItemChange, Store, StoreError, StoredState};
use arc_swap::ArcSwap;
use lapel_heads::{AlexNet, AlexNetError, Backbone, Bundle, BundleError, EmbedError, Embedder, Head};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be read.
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
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
    /// The backbone's file is no AlexNet.
    #[error("{path}: {source}")]
    Backbone {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: AlexNetError,
    },
    /// A configured bundle is unsound.
    #[error("{path}: {source}")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BundleError,
    },
    /// The part head is another one.
    #[error("{path}: {source}")]
    PartHead {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: EmbedError,
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
    /// Opens the catalogue: loads the model, rebuilds the columns from the store, goes on with interrupted
    /// backfills, and registers configured heads that the catalogue does not know. One broken stored head
    /// becomes FAILED; the others serve.
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub async fn open(config: Config) -> Result<Arc<Self>, OpenError> {
        let path = &config.model.backbone;
        std::fs::metadata(path).map_err(|source| OpenError::Model { path: path.clone(), source })?;
        let backbone =
            AlexNet::load(path).map_err(|source| OpenError::Backbone { path: path.clone(), source })?;
        let backbone: Arc<dyn Backbone> = Arc::new(backbone);
        let embedder = embedder(&backbone, &config.model.extract_parts)?;
        let store = Arc::new(Store::open(&config.data)?);
        let loaded = load(&store, backbone.as_ref(), config.search.signatures)?;
        let engine = EngineConfig {
            query_max: config.limits.query_images_max,
            bulk_max: config.limits.ingest_images_max,
            photo: config.photo_limits(),
        };
        let planner = Planner::new(&config.search);
        let core = Arc::new(Self {
            planner,
            engine: Engine::start(embedder, engine)?,
            config,
            store,
            registry: loaded.registry,
            backbone,
            snapshot: ArcSwap::from_pointee(loaded.snapshot),
            writer: Mutex::new(()),
            changed: watch::Sender::new(()),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
        });
        super::index::spawn(&core);
        for status in core.registry.all() {
            if let (HeadState::Backfilling, Some(head)) = (&status.state, status.head) {
                spawn_backfill(core.clone(), status.name, status.key, head);
            }
        }
        core.register_configured().await?;
        Ok(core)
    }

    async fn register_configured(self: &Arc<Self>) -> Result<(), OpenError> {
        for path in self.config.model.heads.clone() {
            let bytes = read_model(&path)?;
            let fault = |source| OpenError::Bundle { path: path.clone(), source };
            let name = Bundle::parse(&bytes).map_err(fault)?.manifest.name;
            if self.registry.get(&name).is_ok() {
                continue;
            }
            let registered = self.register_head(bytes).await;
            registered.map_err(|source| OpenError::Register { path, source })?;
        }
        Ok(())
    }
}

fn embedder(backbone: &Arc<dyn Backbone>, path: &Path) -> Result<Embedder, OpenError> {
    let bytes = read_model(path)?;
    let fault = |source| OpenError::Bundle { path: path.to_owned(), source };
    let head = Head::from_bytes(&bytes, backbone.as_ref()).map_err(fault)?;
    Embedder::new(backbone.clone(), head)
        .map_err(|source| OpenError::PartHead { path: path.to_owned(), source })
}

fn read_model(path: &Path) -> Result<Vec<u8>, OpenError> {
    std::fs::read(path).map_err(|source| OpenError::Model { path: path.to_owned(), source })
}

struct Loaded {
    snapshot: Snapshot,
    registry: Registry,
}

fn load(store: &Store, backbone: &dyn Backbone, precision: Precision) -> Result<Loaded, StoreError> {
    let registry = Registry::default();
    let mut snapshot = Snapshot::default();
    let mut signatures: HashMap<String, Vec<(String, Vec<f32>)>> = HashMap::new();
    // The latest head of a name last: it is the one that the name means.
    let mut heads = store.heads()?;
    heads.sort_by_key(|(_, record)| record.registered_ms);
    let tables = store.signature_tables()?;
    for (key, record) in heads {
        // A retirement or failure that was cut off leaves data that no head reads any more.
        if matches!(record.state, StoredState::Retired | StoredState::Failed(_)) && tables.contains(&key) {
            store.drop_head_data(&key)?;
        }
        let status = load_head(store, backbone, &key, &record)?;
        if let Some(head) = &status.head {
            store.signatures(&key, head.dim(), |id, values| {
                signatures.entry(id.to_owned()).or_default().push((key.clone(), values));
            })?;
            snapshot.add_pending(Column::new(&key, head.clone(), precision));
            if status.state == HeadState::Active {
                snapshot.activate(&key);
            }
        }
        registry.insert(status);
    }
    let put = |(id, record): (String, _)| {
        let signatures = signatures.remove(&id).unwrap_or_default();
        ItemChange::Put { id, record, image: None, signatures, replaces: false }
    };
    let all: Vec<ItemChange> = store.items()?.into_iter().map(put).collect();
    snapshot.apply(&all);
    snapshot.generation = store.generation()?;
    tracing::info!(items = snapshot.items().len(), heads = snapshot.columns().len(), "catalogue loaded");
    Ok(Loaded { snapshot, registry })
}

fn load_head(
    store: &Store,
    backbone: &dyn Backbone,
    key: &str,
    record: &HeadRecord,
) -> Result<HeadStatus, StoreError> {
    let mut head = None;
    let mut state = match &record.state {
        StoredState::Backfilling => HeadState::Backfilling,
        StoredState::Active => HeadState::Active,
        StoredState::Retired => HeadState::Retired,
        StoredState::Failed(reason) => HeadState::Failed(reason.clone()),
    };
    if matches!(state, HeadState::Backfilling | HeadState::Active) {
        let bundle = store.bundle(key)?.unwrap_or_default();
        match Head::from_bytes(&bundle, backbone) {
            Ok(loaded) => head = Some(Arc::new(loaded)),
            Err(error) => {
                tracing::error!(head = record.name, %error, "a stored head cannot be loaded");
                state = HeadState::Failed(format!("its bundle cannot be loaded: {error}"));
            }
        }
    }
    Ok(HeadStatus {
        key: key.to_owned(),
        name: record.name.clone(),
        bundle_sha256: record.bundle_sha256.clone(),
        head,
        state,
        progress: Progress::default(),
        registered_ms: record.registered_ms,
    })
}
