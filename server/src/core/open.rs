//! Opening: the store, the model's files, and the snapshot rebuilt from them.

use super::kinds::contradictions;
use super::load::load;
use super::stored::{check_configured, read_model};
use super::{Core, OpenError, Registration, SEARCHES_MAX, mend, verify};
use crate::caches::Caches;
use crate::config::Config;
use crate::engine::{Engine, EngineConfig};
use crate::features::FeatureCache;
use crate::life::Registry;
use crate::search::Planner;
use crate::store::{Disk, Store, StoreConfig};
use arc_swap::ArcSwap;
use lapel_heads::{Bundle, BundleKey};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
            // Opening the catalogue changes its file.
            let left = Caches::new(&config.data, disk.clone()).sealed();
            let store = Store::open(StoreConfig {
                folder: config.data.clone(),
                cache_bytes: config.store.cache_bytes.0,
                receipts_max: config.store.request_ids_max,
                disk,
            })?;
            let loaded = load(&store, &config, left)?;
            check_configured(&store, &config, &loaded.life)?;
            let contradicted = contradictions(&config.catalog.fields, loaded.snapshot.items().fields());
            if !contradicted.is_empty() {
                return Err(OpenError::Fields(contradicted));
            }
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
        let registry = Registry::default();
        registry.show(&loaded.life);
        let core = Arc::new(Self {
            planner: Planner::new(&config.search),
            caches: Caches::new(store.folder(), store.disk().clone()),
            saving: Mutex::new(()),
            features: FeatureCache::open(store.folder(), &config.features).map(Arc::new),
            config,
            store,
            engine,
            registry,
            bundle_key,
            restored: loaded.restored.columns.len(),
            snapshot: ArcSwap::from_pointee(loaded.snapshot),
            writer: Mutex::new(()),
            predictor: Arc::default(),
            teaching: Arc::default(),
            reading_bundle: Mutex::default(),
            waiting: Default::default(),
            backfills: Default::default(),
            changed: watch::Sender::new(()),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            cut_off: CancellationToken::new(),
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
        });
        super::index::spawn(&core);
        core.tasks.spawn(mend::keep_mended(core.clone()));
        core.tasks.spawn(mend::keep_sound(core.clone(), failures));
        mend::resume(&core, loaded.lacking);
        core.tasks.spawn(verify::verify(core.clone(), loaded.restored));
        core.register_configured().await?;
        Ok(core)
    }

    /// Registers the configured heads whose names the catalogue does not know.
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
            if let Ok(there) = self.registry.get(&manifest.name, 0) {
                tracing::warn!(
                    head = manifest.name,
                    configured = id,
                    stored = there.bundle_sha256,
                    "the catalogue keeps its own head of this name; `lapel heads register --update` changes it"
                );
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
            registered.map_err(|source| OpenError::Register { path, source: Box::new(source) })?;
        }
        Ok(())
    }
}

fn read_bundle_key(path: &Path) -> Result<BundleKey, OpenError> {
    let fault = |reason: String| OpenError::BundleKey { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| fault(e.to_string()))?;
    BundleKey::from_text(&text).map_err(|e| fault(e.to_string()))
}
