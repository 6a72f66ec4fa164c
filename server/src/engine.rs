//! The model's threads: two bounded queues, batches that grow while the model is busy.
//!
//! A caller gets a permit or is refused at once (queries), or waits for one (ingest, backfill); the permit covers
//! decoding too, of which no more pixels are under way at a time than are configured. No connection and no token has more
//! than half of the places for queries. Permits belong to the work, and so does what its request has taken of the server:
//! when a caller leaves, all of it is given back once the work has noticed and ended. Queries and bulk work have a thread
//! each. The bulk thread and its helpers have the lowest priority the system knows, so that they have the machine when
//! nobody asks, and queries have it when somebody does.
//!
//! When the model fails on a batch, each of its pictures is tried alone: one that it cannot bear fails alone. A head that
//! fails on a batch, or gives nothing for many pictures in a row, is told to whoever receives the
//! [`HeadFailure`]s; the other heads of the batch are not touched.

mod decoding;
mod lane;
mod place;

use crate::admission::Admitted;
use crate::catalogue::Computing;
use crate::stages::{Stage, timed};
use decoding::Decoding;
use lane::{Input, Job, Lane};
use lapel_heads::{Embedding, Features, Head, PhotoLimits, photo_pixels};
use place::Place;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Failures that may wait to be handled; further ones are noticed again with the next batch.
const FAILURES_MAX: usize = 64;

/// Why a picture was not embedded.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Too many pictures of queries are waiting.
    #[error("{0} images are waiting for the model already; try again in a moment")]
    Busy(usize),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
    /// The model failed on this picture.
    #[error("the model failed on this picture")]
    Failed(String),
}

/// Which queue a picture takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A caller waits for the answer.
    Query,
    /// Ingest and backfill.
    Bulk,
}

/// A head that cannot go on.
pub struct HeadFailure {
    /// The head.
    pub head: Arc<Head>,
    /// What happened.
    pub reason: String,
}

/// The handle to the model's threads.
pub struct Engine {
    query: Arc<Lane>,
    bulk: Arc<Lane>,
    /// Bulk work runs here, at the lowest priority.
    bulk_pool: Arc<ThreadPool>,
    /// Heads are fitted here, at the same priority.
    fit_pool: ThreadPool,
    query_permits: Arc<Semaphore>,
    bulk_permits: Arc<Semaphore>,
    /// For photos of queries, one a core.
    decoders: Arc<Semaphore>,
    /// Thousands of pixels of queries and of bulk work that are being decoded; each takes some kilobytes.
    query_pixels: Arc<Semaphore>,
    bulk_pixels: Arc<Semaphore>,
    query_max: usize,
    bulk_max: usize,
    limits: PhotoLimits,
}

/// Bounds of the engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Pictures of queries that may wait.
    pub query_max: usize,
    /// Pictures of ingest and backfill that may wait.
    pub bulk_max: usize,
    /// Pixels that may be decoded at a time, of queries and of bulk work each.
    pub decoding_max: u64,
    /// Bounds on photos.
    pub photo: PhotoLimits,
}

impl Engine {
    /// Starts the model's threads; the receiver is told of heads that fail.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(config: EngineConfig) -> std::io::Result<(Self, mpsc::Receiver<HeadFailure>)> {
        let (failures, failed) = mpsc::channel(FAILURES_MAX);
        let failed_in_a_row = Arc::new(AtomicU32::new(0));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let pool = |name: &'static str| {
            ThreadPoolBuilder::new()
                .num_threads(cores)
                .thread_name(move |at| format!("{name}-{at}"))
                .start_handler(|_| give_way())
                .build()
                .map_err(std::io::Error::other)
        };
        // Of its own: a batch that waits for its helpers takes up whatever else its pool has to do, and would end after it.
        let (bulk_pool, fit_pool) = (pool("bulk")?, pool("fit")?);
        let bulk_pool = Arc::new(bulk_pool);
        let lane = || Arc::new(Lane::new(failed_in_a_row.clone(), failures.clone()));
        let (query, bulk) = (lane(), lane());
        let worker = query.clone();
        std::thread::Builder::new().name("model".into()).spawn(move || worker.work(|batch| batch()))?;
        let (worker, pool) = (bulk.clone(), bulk_pool.clone());
        std::thread::Builder::new()
            .name("bulk".into())
            .spawn(move || worker.work(|batch| pool.install(batch)))?;
        let pixels = || Arc::new(Semaphore::new(thousands(config.decoding_max) as usize));
        let engine = Self {
            query,
            bulk,
            bulk_pool,
            fit_pool,
            query_permits: Arc::new(Semaphore::new(config.query_max)),
            bulk_permits: Arc::new(Semaphore::new(config.bulk_max)),
            decoders: Arc::new(Semaphore::new(cores)),
            query_pixels: pixels(),
            bulk_pixels: pixels(),
            query_max: config.query_max,
            bulk_max: config.bulk_max,
            limits: config.photo,
        };
        Ok((engine, failed))
    }

    /// Decodes a photo and embeds it for some heads of a model. When the caller leaves, the work ends at its next step, and
    /// until then keeps its places.
    ///
    /// # Errors
    /// The photo's fault, or [`EngineError`].
    pub async fn embed(
        &self,
        image: Vec<u8>,
        on: Computing,
        priority: Priority,
    ) -> Result<Embedding, crate::Error> {
        let place = self.place(priority).await?;
        let limits = self.limits;
        // Reading a header takes up what lies before the pixels, too.
        let sized = move || Ok::<_, crate::Error>((thousands(photo_pixels(&image, limits)?), image));
        let abandoned = CancellationToken::new();
        let _present = abandoned.clone().drop_guard();
        let decoding = |image, decoder, pixels| Decoding {
            image,
            limits,
            model: on.model.clone(),
            abandoned,
            place,
            _decoder: decoder,
            _pixels: pixels,
        };
        let (canvas, place) = match priority {
            Priority::Query => {
                let decoded = async {
                    let decoder = acquire(&self.decoders, 1).await?;
                    let sized = tokio::task::spawn_blocking(move || (decoder, sized()));
                    let (decoder, sized) = sized.await?;
                    let (wanted, image) = sized?;
                    let pixels = acquire(&self.query_pixels, wanted).await?;
                    let decoding = decoding(image, Some(decoder), pixels);
                    tokio::task::spawn_blocking(move || decoding.run()).await?
                };
                timed(Stage::Decode, decoded).await?
            }
            Priority::Bulk => {
                // The pool has as many threads as there may be decoders.
                let (wanted, image) = on_pool(&self.bulk_pool, sized).await??;
                let decoding = decoding(image, None, acquire(&self.bulk_pixels, wanted).await?);
                on_pool(&self.bulk_pool, move || decoding.run()).await??
            }
        };
        Ok(timed(Stage::Model, self.queue(Input::Canvas(canvas), on, priority, place)).await?)
    }

    /// Signatures of a picture whose features are known.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn embed_features(&self, features: Features, on: Computing) -> Result<Embedding, EngineError> {
        let place = self.place(Priority::Bulk).await?;
        self.queue(Input::Features(features), on, Priority::Bulk, place).await
    }

    /// Does bulk work that takes no model, at the lowest priority, on as many threads as there are cores. It runs to its end
    /// whether or not the caller waits for it.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when it panics.
    pub async fn bulk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        on_pool(&self.bulk_pool, work).await
    }

    /// Fits a head, at the lowest priority. The work runs to its end whether or not the caller waits for it.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when it panics.
    pub async fn fit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        on_pool(&self.fit_pool, work).await
    }

    async fn place(&self, priority: Priority) -> Result<Place, EngineError> {
        match priority {
            Priority::Query => {
                let of_request = match Admitted::present() {
                    Some(admitted) => {
                        Some(admitted.picture().ok_or(EngineError::Busy(self.query_max.div_ceil(2)))?)
                    }
                    None => None,
                };
                let of_queue = self.query_permits.clone().try_acquire_owned();
                let of_queue = of_queue.map_err(|_| EngineError::Busy(self.query_max))?;
                Ok(Place::of_query(of_queue, of_request))
            }
            Priority::Bulk => Ok(Place::from(acquire(&self.bulk_permits, 1).await?)),
        }
    }

    async fn queue(
        &self,
        input: Input,
        on: Computing,
        priority: Priority,
        place: Place,
    ) -> Result<Embedding, EngineError> {
        let (reply, answer) = oneshot::channel();
        let lane = match priority {
            Priority::Query => &self.query,
            Priority::Bulk => &self.bulk,
        };
        lane.push(Job { input, on, reply, place })?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// Pictures that have a place in each queue.
    #[must_use]
    pub fn waiting(&self) -> [(&'static str, usize); 2] {
        let taken = |most: usize, permits: &Semaphore| most - permits.available_permits();
        [
            ("query", taken(self.query_max, &self.query_permits)),
            ("bulk", taken(self.bulk_max, &self.bulk_permits)),
        ]
    }

    /// Whether no picture is being embedded or waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting().iter().all(|(_, taken)| *taken == 0)
    }

    /// Whether the model works: it has not failed several times in a row, lastly on a picture that cannot be at fault.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.query.is_healthy()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.query.stop();
        self.bulk.stop();
    }
}

fn thousands(pixels: u64) -> u32 {
    u32::try_from(pixels.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// Runs work on a pool's threads; it ends there although nobody waits for it any more.
async fn on_pool<T: Send + 'static>(
    pool: &ThreadPool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EngineError> {
    let (send, done) = oneshot::channel();
    pool.spawn(move || drop(send.send(catch_unwind(AssertUnwindSafe(work)))));
    let done = done.await.map_err(|_| EngineError::Stopped)?;
    done.map_err(|_| EngineError::Failed("bulk work panicked".into()))
}

/// Places of a semaphore, to be kept by whatever takes them up.
async fn acquire(places: &Arc<Semaphore>, count: u32) -> Result<OwnedSemaphorePermit, EngineError> {
    places.clone().acquire_many_owned(count).await.map_err(|_| EngineError::Stopped)
}

/// Lets every other thread of the machine go first.
fn give_way() {
    // Without the right to do so, bulk work runs like any other.
    let _ = rustix::process::setpriority_process(None, 19);
}

#[cfg(test)]
mod tests;
