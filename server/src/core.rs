//! The running catalogue: the store, the model, and the snapshot that answers come from.

mod apply;
mod backfill;
mod batch;
mod check;
mod delete;
mod heads;
mod index;
mod item;
mod kinds;
mod load;
mod looked;
mod means;
mod memory;
mod mend;
mod models;
mod moment;
mod open;
mod open_error;
mod predict;
pub(crate) mod relabel;
mod stop;
mod stored;
pub(crate) mod teach;
mod turns;
mod verify;
mod versions;
mod warm;
mod write;

pub use crate::request::RequestId;
pub use delete::DeletedWhere;
pub(crate) use delete::{FIRST_IDS, check_count};
pub use heads::Registration;
pub use item::{Named, NewItem, Parts, Scope};
pub(crate) use kinds::with_article;
pub use models::GenerationFiles;
pub use open_error::OpenError;
pub use write::Upserted;

use crate::admission::Admitted;
use crate::caches::Caches;
use crate::catalogue::{Computing, Snapshot};
use crate::config::Config;
use crate::engine::{Engine, Priority};
use crate::error::Error;
use crate::features::FeatureCache;
use crate::life::{Purpose, Registry};
use crate::model::Model;
use crate::profiles::{Profiles, subject_and_name};
use crate::search::{
    Plan, Planner, QueryView, SearchAnswer, SearchSpec, SuggestSpec, Suggestions, search_batch, suggest,
    view_of_embedding, view_of_item, view_of_signatures,
};
use crate::stages::{Stage, planned, timed};
use crate::store::{BackupSummary, ContentId, Outcome, ProfileRecord, Store, StoreError, StoreHealth};
use arc_swap::ArcSwap;
use lapel_heads::{BundleKey, Embedding, Features};
use lapel_search::{Budget, IsAbandoned};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Searches that may run at once; more wait. Fewer than the threads that an index reserves.
const SEARCHES_MAX: usize = 32;

/// What to search like.
#[derive(Clone, Debug)]
pub enum QuerySource {
    /// A photo's bytes.
    Image(Vec<u8>),
    /// An item's id.
    Item(String),
    /// Signatures by head.
    Signatures {
        /// Those that make up the query, at least one.
        given: Vec<(String, Vec<f32>)>,
        /// Those that come beside them.
        also: Vec<(String, Vec<f32>)>,
    },
}

/// Everything behind the services.
pub struct Core {
    pub(crate) config: Config,
    pub(crate) store: Arc<Store>,
    pub(crate) engine: Engine,
    pub(crate) registry: Registry,
    /// Bundles that come over the network must be signed by its owner.
    pub(crate) bundle_key: Option<BundleKey>,
    planner: Planner,
    caches: Caches,
    /// Held while the caches are written.
    saving: Mutex<()>,
    features: Option<Arc<FeatureCache>>,
    /// Heads whose columns the start took over as the last stop left them.
    pub(crate) restored: usize,
    snapshot: ArcSwap<Snapshot>,
    /// Held from reading the snapshot that a write starts from until the next is published.
    writer: Mutex<()>,
    /// Held while heads look at the items for a filter: no two requests have that done twice.
    predictor: Arc<Mutex<()>>,
    /// Held while a head is taught: one at a time.
    teaching: Arc<Mutex<()>>,
    /// Held while a bundle is read that is to be sent.
    pub(crate) reading_bundle: Mutex<()>,
    /// Writes that wait for a commit.
    waiting: StdMutex<Vec<write::Waiting>>,
    /// Backfills that run.
    backfills: StdMutex<HashSet<Purpose>>,
    /// Told of every published snapshot.
    changed: watch::Sender<()>,
    /// Background work, which holds the catalogue open until it ends.
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    /// Cancelled when the time is over in which running requests may finish.
    pub(crate) cut_off: CancellationToken,
    searches: Arc<Semaphore>,
}

impl Core {
    /// The present state; a query pins it and sees no later change.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The model that serves.
    ///
    /// # Errors
    /// Never once the catalogue is open.
    pub fn model(&self) -> Result<Arc<Model>, Error> {
        self.snapshot().model().cloned().ok_or_else(|| Error::Internal("no model serves".into()))
    }

    /// Whether the model works and the store takes writes.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.engine.is_healthy() && self.store.health() == StoreHealth::Open
    }

    /// Refuses a change while the store is not open: the memory may then lack what is on disk.
    fn check_open(&self) -> Result<(), Error> {
        match self.store.health() {
            StoreHealth::Open => Ok(()),
            StoreHealth::Failed | StoreHealth::Reopening => Err(StoreError::Reopening.into()),
        }
    }

    /// The saved profiles, to be changed; they are written to the disk at once.
    #[must_use]
    pub fn profiles(&self) -> Profiles<'_> {
        Profiles { store: &self.store, limits: &self.config.limits }
    }

    /// The saved profile of a key.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the store fails.
    pub async fn profile(&self, key: &str) -> Result<ProfileRecord, Error> {
        let (store, wanted) = (self.store.clone(), key.to_owned());
        let found = tokio::task::spawn_blocking(move || store.profile(&wanted)).await??;
        found.ok_or_else(|| Error::not_found("profile", subject_and_name(key).1))
    }

    /// Up to `count` profiles, by their keys, whose keys come after `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn profiles_after(
        &self,
        after: &str,
        count: usize,
    ) -> Result<Vec<(String, ProfileRecord)>, Error> {
        let (store, after) = (self.store.clone(), after.to_owned());
        Ok(tokio::task::spawn_blocking(move || store.profiles(&after, count)).await??)
    }

    /// What an earlier request of this id led to.
    async fn outcome(&self, request: &RequestId) -> Result<Option<Outcome>, Error> {
        let (store, request) = (self.store.clone(), request.clone());
        let found = move || store.outcomes(&[(&request.id, request.request)]);
        Ok(tokio::task::spawn_blocking(found).await??.pop().transpose()?.flatten())
    }

    fn publish(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.changed.send_replace(());
    }

    /// One of an item's images, by its number from 0 on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn image(&self, id: &str, number: u32) -> Result<Option<Vec<u8>>, Error> {
        let (store, id) = (self.store.clone(), id.to_owned());
        Ok(tokio::task::spawn_blocking(move || store.picture(&id, number)).await??)
    }

    /// Hands a backup of this moment to `take`, piece by piece.
    ///
    /// # Errors
    /// When a record is damaged, or `take` refuses.
    pub fn backup(&self, take: impl FnMut(Vec<u8>) -> Result<(), Error>) -> Result<BackupSummary, Error> {
        self.store.backup(take)
    }

    pub(crate) fn backfills(&self) -> MutexGuard<'_, HashSet<Purpose>> {
        // Entries are inserted and removed whole.
        self.backfills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caches_features(&self) -> bool {
        self.features.is_some()
    }

    /// Photos whose features are cached.
    #[must_use]
    pub fn features_cached(&self) -> u64 {
        self.features.as_ref().map_or(0, |cache| cache.len())
    }

    fn forget_features(&self, fingerprint: &str) {
        if let Some(cache) = &self.features {
            cache.forget(fingerprint);
        }
    }

    /// What the heads of a model read of a photo, where that is cached. A backfill asks for one photo after the other, so they
    /// are read and checked behind queries like the rest of its work.
    pub(crate) async fn cached_features(&self, model: &Arc<Model>, content: ContentId) -> Option<Features> {
        let (cache, model) = (self.features.clone()?, model.clone());
        self.engine.bulk(move || cache.get(&model, content)).await.ok()?
    }

    /// Keeps what the heads of a model read of a photo.
    pub(crate) async fn cache_features(&self, model: &Arc<Model>, content: ContentId, features: &Features) {
        let Some(cache) = self.features.clone() else { return };
        let (model, features) = (model.clone(), features.clone());
        // It is a cache: what cannot be kept is computed again.
        let _ = tokio::task::spawn_blocking(move || cache.put(&model, content, &features)).await;
    }

    /// Embeds a photo for the active heads of a snapshot.
    ///
    /// # Errors
    /// The photo's fault, or the model's.
    pub async fn embed(&self, snapshot: &Snapshot, image: Vec<u8>) -> Result<Embedding, Error> {
        self.embed_for(snapshot, image, snapshot.heads().clone()).await
    }

    /// The parts of a photo, without any signature.
    ///
    /// # Errors
    /// The photo's fault, or the model's.
    pub async fn parts(&self, snapshot: &Snapshot, image: Vec<u8>) -> Result<lapel_heads::Parts, Error> {
        Ok(self.embed_for(snapshot, image, Arc::from([])).await?.features.parts)
    }

    async fn embed_for(
        &self,
        snapshot: &Snapshot,
        image: Vec<u8>,
        heads: Arc<[Arc<lapel_heads::Head>]>,
    ) -> Result<Embedding, Error> {
        let model = snapshot.model().cloned().ok_or_else(|| Error::Internal("no model serves".into()))?;
        self.engine.embed(image, Computing { model, heads }, Priority::Query).await
    }

    /// What a query looks like to the heads of a snapshot.
    ///
    /// # Errors
    /// [`Error`], by the kind of query.
    pub async fn view(&self, snapshot: &Snapshot, source: QuerySource) -> Result<QueryView, Error> {
        match source {
            QuerySource::Image(image) => {
                let embedding = self.embed(snapshot, image).await?;
                let mut view = view_of_embedding(snapshot.heads(), &embedding);
                let parts = &embedding.features.parts;
                if snapshot.model().is_some_and(|model| !model.embedder().may_show_garment(parts)) {
                    view.labels.clear();
                }
                Ok(view)
            }
            QuerySource::Item(id) => view_of_item(snapshot, &id),
            QuerySource::Signatures { given, also } => view_of_signatures(snapshot, given, also),
        }
    }

    /// Searches a snapshot with one query; see [`Core::search_batch`].
    ///
    /// # Errors
    /// As `search_batch`, of this one query.
    pub async fn search(
        &self,
        snapshot: &Arc<Snapshot>,
        view: QueryView,
        spec: SearchSpec,
    ) -> Result<SearchAnswer, Error> {
        let answers = self.search_batch(snapshot, vec![(view, spec)]).await?;
        answers
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(Error::Internal("a search without an answer".into())))
    }

    /// Searches a snapshot with several queries, which share the pass over memory, off the threads that serve
    /// connections. While no other search runs and the model is idle, a second thread helps. When the caller leaves, the
    /// search ends at its next block.
    ///
    /// # Errors
    /// When the search as a whole failed; the inner errors are those of one query.
    pub async fn search_batch(
        &self,
        snapshot: &Arc<Snapshot>,
        queries: Vec<(QueryView, SearchSpec)>,
    ) -> Result<Vec<Result<SearchAnswer, Error>>, Error> {
        let answers = self.searching(snapshot, move |snapshot, planner, threads, is_abandoned| {
            search_batch(snapshot, queries, planner, threads, is_abandoned)
        });
        let answers = answers.await?;
        if let Some(answer) = answers.iter().rev().find_map(|answer| answer.as_ref().ok()) {
            planned(|| {
                let heads = answer.weights.iter().filter(|(_, w)| **w > 0.0).count();
                let Plan { kind, scanned, rescored, .. } = answer.plan;
                format!("{kind:?} of {heads} heads: {scanned} items scanned, {rescored} rescored")
            });
        }
        Ok(answers)
    }

    /// Suggests edits of a query, as a search runs.
    ///
    /// # Errors
    /// As [`Core::search`].
    pub async fn suggest(
        &self,
        snapshot: &Arc<Snapshot>,
        view: QueryView,
        spec: SuggestSpec,
    ) -> Result<Suggestions, Error> {
        let found = self.searching(snapshot, move |snapshot, planner, threads, is_abandoned| {
            let budget = Budget { tuning: &planner.tuning, threads, is_abandoned };
            suggest(snapshot, view, spec, (planner.prototype_items_min, &budget))
        });
        found.await?
    }

    /// Runs a search off the threads that serve connections, once there is a place for it, with the threads that it may use.
    /// It is told when its caller has left.
    async fn searching<T: Send + 'static>(
        &self,
        snapshot: &Arc<Snapshot>,
        search: impl FnOnce(&Snapshot, &Planner, usize, IsAbandoned<'_>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let searching = async {
            let permit = self.searches.clone().acquire_owned().await;
            let permit = permit.map_err(|e| Error::Internal(e.to_string()))?;
            let is_alone = self.searches.available_permits() == SEARCHES_MAX - 1;
            let threads = if is_alone && self.engine.is_idle() { 2 } else { 1 };
            let (snapshot, planner) = (snapshot.clone(), self.planner);
            // The search holds what its request has taken until it has ended, and not until its caller has left.
            let admitted = Admitted::present();
            let abandoned = CancellationToken::new();
            let _present = abandoned.clone().drop_guard();
            let found = tokio::task::spawn_blocking(move || {
                let _held = (permit, admitted);
                search(&snapshot, &planner, threads, &|| abandoned.is_cancelled())
            });
            Ok::<_, Error>(found.await?)
        };
        timed(Stage::Search, searching).await
    }
}
