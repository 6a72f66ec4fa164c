//! The running catalogue: the store, the model, and the snapshot that answers come from.

mod heads;
mod index;
mod open;
mod write;

pub use open::OpenError;
pub use write::{NewItem, Upserted};

use crate::catalogue::Snapshot;
use crate::config::Config;
use crate::engine::{Engine, Priority};
use crate::error::Error;
use crate::heads::Registry;
use crate::profiles::Profiles;
use crate::search::{
    Planner, QueryView, SearchAnswer, SearchSpec, search_batch, view_of_embedding, view_of_item,
    view_of_signatures,
};
use crate::store::Store;
use arc_swap::ArcSwap;
use lapel_heads::{Backbone, Embedding};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
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
    Signatures(Vec<(String, Vec<f32>)>),
}

/// Everything behind the services.
pub struct Core {
    pub(crate) config: Config,
    pub(crate) store: Arc<Store>,
    pub(crate) engine: Engine,
    pub(crate) registry: Registry,
    planner: Planner,
    backbone: Arc<dyn Backbone>,
    snapshot: ArcSwap<Snapshot>,
    /// Held from reading the snapshot that a write starts from until the next is published.
    writer: Mutex<()>,
    /// Told of every published snapshot.
    changed: watch::Sender<()>,
    /// Background work, which holds the catalogue open until it ends.
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
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

    /// Fingerprint of the backbone that heads must be trained on.
    #[must_use]
    pub fn backbone_fingerprint(&self) -> &str {
        self.backbone.fingerprint()
    }

    /// Whether the model works.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.engine.is_healthy()
    }

    /// The saved profiles.
    #[must_use]
    pub fn profiles(&self) -> Profiles<'_> {
        Profiles { store: &self.store, limits: &self.config.limits }
    }

    /// Ends background work and waits for it; an unfinished backfill goes on at the next start.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn publish(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.changed.send_replace(());
    }

    /// An item's image.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn image(&self, id: &str) -> Result<Option<Vec<u8>>, Error> {
        let (store, id) = (self.store.clone(), id.to_owned());
        Ok(tokio::task::spawn_blocking(move || store.image(&id)).await??)
    }

    /// Embeds a photo for the active heads of a snapshot.
    ///
    /// # Errors
    /// The photo's fault, or the model's.
    pub async fn embed(&self, snapshot: &Snapshot, image: Vec<u8>) -> Result<Embedding, Error> {
        self.engine.embed(image, snapshot.heads().clone(), Priority::Query).await
    }

    /// The parts of a photo, without any signature.
    ///
    /// # Errors
    /// The photo's fault, or the model's.
    pub async fn parts(&self, image: Vec<u8>) -> Result<lapel_heads::Parts, Error> {
        Ok(self.engine.embed(image, Arc::from([]), Priority::Query).await?.parts)
    }

    /// What a query looks like to the heads of a snapshot.
    ///
    /// # Errors
    /// [`Error`], by the kind of query.
    pub async fn view(&self, snapshot: &Snapshot, source: QuerySource) -> Result<QueryView, Error> {
        match source {
            QuerySource::Image(image) => {
                let embedding = self.embed(snapshot, image).await?;
                Ok(view_of_embedding(snapshot.heads(), &embedding))
            }
            QuerySource::Item(id) => view_of_item(snapshot, &id),
            QuerySource::Signatures(given) => view_of_signatures(snapshot, given),
        }
    }

    /// Searches a snapshot with one query; see [`Core::search_batch`].
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown head, attribute or label, [`Error::Invalid`] for weights that leave no
    /// head in play, [`Error::Precondition`] for a label without a prototype.
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
    /// connections. While no other search runs and the model is idle, a second thread helps.
    ///
    /// # Errors
    /// When the search as a whole failed; the inner errors are those of one query.
    pub async fn search_batch(
        &self,
        snapshot: &Arc<Snapshot>,
        queries: Vec<(QueryView, SearchSpec)>,
    ) -> Result<Vec<Result<SearchAnswer, Error>>, Error> {
        let permit =
            self.searches.clone().acquire_owned().await.map_err(|e| Error::Internal(e.to_string()))?;
        let is_alone = self.searches.available_permits() == SEARCHES_MAX - 1;
        let threads = if is_alone && self.engine.is_idle() { 2 } else { 1 };
        let (snapshot, planner) = (snapshot.clone(), self.planner);
        let answers = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            search_batch(&snapshot, queries, &planner, threads)
        });
        Ok(answers.await?)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
