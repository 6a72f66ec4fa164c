//! The model's thread: a bounded queue, batches that grow while the model is busy.
//!
//! A caller gets a permit or is refused at once (queries), or waits for one (ingest, backfill); the permit
//! covers decoding too. One thread owns the model. Queries go first; a batch of ingest is at most
//! [`BATCH_MAX`] pictures, which bounds how long a query waits behind one.

use lapel_heads::{Canvas, Embedder, Embedding, Head, Photo, PhotoError, PhotoLimits};
use std::collections::VecDeque;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Pictures in a batch of the model.
const BATCH_MAX: usize = 8;
/// Panics in a row after which the server says that it does not serve.
const PANICS_MAX: u32 = 3;

/// Why a picture was not embedded.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Too many pictures of queries are waiting.
    #[error("{0} images are waiting for the model already; try again in a moment")]
    Busy(usize),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
    /// The model failed.
    #[error("the model failed")]
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

struct Job {
    canvas: Canvas,
    heads: Arc<[Arc<Head>]>,
    reply: oneshot::Sender<Result<Embedding, EngineError>>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Queue {
    query: VecDeque<Job>,
    bulk: VecDeque<Job>,
    stopped: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    panics: AtomicU32,
}

/// The handle to the model's thread.
pub struct Engine {
    shared: Arc<Shared>,
    query_permits: Arc<Semaphore>,
    bulk_permits: Arc<Semaphore>,
    /// One a core: a large photo takes a hundred megabytes while it is decoded.
    decoders: Semaphore,
    query_max: usize,
    bulk_max: usize,
    limits: PhotoLimits,
    side: usize,
}

/// Bounds of the engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Pictures of queries that may wait.
    pub query_max: usize,
    /// Pictures of ingest and backfill that may wait.
    pub bulk_max: usize,
    /// Bounds on photos.
    pub photo: PhotoLimits,
}

impl Engine {
    /// Starts the model's thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(embedder: Embedder, config: EngineConfig) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { queue: Mutex::default(), filled: Condvar::new(), panics: AtomicU32::new(0) });
        let side = embedder.backbone().input_side();
        let worker = shared.clone();
        std::thread::Builder::new().name("model".into()).spawn(move || worker.work(&embedder))?;
        Ok(Self {
            shared,
            query_permits: Arc::new(Semaphore::new(config.query_max)),
            bulk_permits: Arc::new(Semaphore::new(config.bulk_max)),
            decoders: Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get)),
            query_max: config.query_max,
            bulk_max: config.bulk_max,
            limits: config.photo,
            side,
        })
    }

    /// Decodes a photo and embeds it for `heads`.
    ///
    /// # Errors
    /// The photo's fault, or [`EngineError`].
    pub async fn embed(
        &self,
        image: Vec<u8>,
        heads: Arc<[Arc<Head>]>,
        priority: Priority,
    ) -> Result<Embedding, crate::Error> {
        let permit = match priority {
            Priority::Query => {
                self.query_permits.clone().try_acquire_owned().map_err(|_| EngineError::Busy(self.query_max))
            }
            Priority::Bulk => {
                self.bulk_permits.clone().acquire_owned().await.map_err(|_| EngineError::Stopped)
            }
        }?;
        let (limits, side) = (self.limits, self.side);
        let decode = move || Ok::<_, PhotoError>(Photo::decode(&image, limits)?.fit(side));
        let decoder = self.decoders.acquire().await.map_err(|_| EngineError::Stopped)?;
        let canvas = tokio::task::spawn_blocking(decode).await??;
        drop(decoder);
        let (reply, answer) = oneshot::channel();
        self.shared.push(Job { canvas, heads, reply, _permit: permit }, priority)?;
        Ok(answer.await.map_err(|_| EngineError::Stopped)??)
    }

    /// Whether no picture is being embedded or waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.query_permits.available_permits() == self.query_max
            && self.bulk_permits.available_permits() == self.bulk_max
    }

    /// Whether the model works: it has not panicked several times in a row.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.shared.panics.load(Ordering::Relaxed) < PANICS_MAX
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.filled.notify_all();
    }
}

impl Shared {
    /// A panic elsewhere cannot leave the queue half changed, so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job, priority: Priority) -> Result<(), EngineError> {
        let mut queue = self.lock();
        if queue.stopped {
            return Err(EngineError::Stopped);
        }
        match priority {
            Priority::Query => queue.query.push_back(job),
            Priority::Bulk => queue.bulk.push_back(job),
        }
        self.filled.notify_one();
        Ok(())
    }

    fn work(&self, embedder: &Embedder) {
        while let Some(batch) = self.next_batch() {
            self.run(embedder, batch);
        }
    }

    /// The next jobs of one set of heads, queries first; `None` when the server stops.
    fn next_batch(&self) -> Option<Vec<Job>> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                queue.query.clear();
                queue.bulk.clear();
                return None;
            }
            let lane = if queue.query.is_empty() { &mut queue.bulk } else { &mut queue.query };
            let batch = take_batch(lane);
            if !batch.is_empty() {
                return Some(batch);
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self, embedder: &Embedder, batch: Vec<Job>) {
        let Some(heads) = batch.first().map(|job| job.heads.clone()) else { return };
        let canvases: Vec<&Canvas> = batch.iter().map(|job| &job.canvas).collect();
        match catch_unwind(AssertUnwindSafe(|| embedder.embed(&canvases, &heads))) {
            Ok(Ok(embeddings)) => {
                self.panics.store(0, Ordering::Relaxed);
                for (job, embedding) in batch.into_iter().zip(embeddings) {
                    // The caller may have left.
                    let _ = job.reply.send(Ok(embedding));
                }
            }
            Ok(Err(error)) => fail(batch, &error.to_string()),
            Err(_) => {
                self.panics.fetch_add(1, Ordering::Relaxed);
                fail(batch, "the model panicked");
            }
        }
    }
}

fn take_batch(lane: &mut VecDeque<Job>) -> Vec<Job> {
    let mut batch: Vec<Job> = Vec::new();
    while batch.len() < BATCH_MAX
        && let Some(job) = lane.front()
    {
        if job.reply.is_closed() {
            lane.pop_front();
            continue;
        }
        if batch.first().is_some_and(|first| !Arc::ptr_eq(&first.heads, &job.heads)) {
            break;
        }
        batch.extend(lane.pop_front());
    }
    batch
}

fn fail(batch: Vec<Job>, reason: &str) {
    tracing::error!(reason, pictures = batch.len(), "the model failed on a batch");
    for job in batch {
        let _ = job.reply.send(Err(EngineError::Failed(reason.to_owned())));
    }
}
