//! The model's threads: two bounded queues, batches that grow while the model is busy.
//!
//! A caller gets a permit or is refused at once (queries), or waits for one (ingest, backfill); the permit covers
//! decoding too, of which no more pixels are under way at a time than are configured. Queries and bulk work have a thread
//! each. The bulk thread and its helpers have the lowest priority the system knows, so that they have the machine when
//! nobody asks, and queries have it when somebody does.
//!
//! When the model fails on a batch, each of its pictures is tried alone: one that it cannot bear fails alone. A head that
//! fails on a batch, or gives nothing for many pictures in a row, is told to whoever receives the
//! [`HeadFailure`]s; the other heads of the batch are not touched.

use crate::catalogue::Computing;
use crate::stages::{Stage, timed};
use lapel_heads::{
    Canvas, EmbedError, Embedded, Embedding, Features, Head, Photo, PhotoError, PhotoLimits, photo_pixels,
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::{HashMap, VecDeque};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc, oneshot};

/// Pictures in a batch of the model.
const BATCH_MAX: usize = 8;
/// Panics in a row after which the server says that it does not serve.
const PANICS_MAX: u32 = 3;
/// Pictures in a row without a finite signature after which a head has failed.
const SILENT_MAX: u32 = 16;
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

/// What is known of a picture.
enum Input {
    Canvas(Canvas),
    Features(Features),
}

struct Job {
    input: Input,
    on: Computing,
    reply: oneshot::Sender<Result<Embedding, EngineError>>,
    permit: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stopped: bool,
}

/// One queue and the thread that empties it.
struct Lane {
    queue: Mutex<Queue>,
    filled: Condvar,
    panics: Arc<AtomicU32>,
    failures: mpsc::Sender<HeadFailure>,
}

/// The handle to the model's threads.
pub struct Engine {
    query: Arc<Lane>,
    bulk: Arc<Lane>,
    /// Bulk work runs here, at the lowest priority.
    bulk_pool: Arc<ThreadPool>,
    panics: Arc<AtomicU32>,
    query_permits: Arc<Semaphore>,
    bulk_permits: Arc<Semaphore>,
    /// For photos of queries, one a core.
    decoders: Semaphore,
    /// Thousands of pixels of queries and of bulk work that are being decoded; each takes some kilobytes.
    query_pixels: Semaphore,
    bulk_pixels: Semaphore,
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
        let panics = Arc::new(AtomicU32::new(0));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let bulk_pool = ThreadPoolBuilder::new()
            .num_threads(cores)
            .thread_name(|at| format!("bulk-{at}"))
            .start_handler(|_| give_way())
            .build()
            .map_err(std::io::Error::other)?;
        let bulk_pool = Arc::new(bulk_pool);
        let lane = || {
            let (queue, filled) = (Mutex::default(), Condvar::new());
            Arc::new(Lane { queue, filled, panics: panics.clone(), failures: failures.clone() })
        };
        let (query, bulk) = (lane(), lane());
        let worker = query.clone();
        std::thread::Builder::new().name("model".into()).spawn(move || worker.work(|batch| batch()))?;
        let (worker, pool) = (bulk.clone(), bulk_pool.clone());
        std::thread::Builder::new()
            .name("bulk".into())
            .spawn(move || worker.work(|batch| pool.install(batch)))?;
        let pixels = || Semaphore::new(thousands(config.decoding_max) as usize);
        let engine = Self {
            query,
            bulk,
            bulk_pool,
            panics,
            query_permits: Arc::new(Semaphore::new(config.query_max)),
            bulk_permits: Arc::new(Semaphore::new(config.bulk_max)),
            decoders: Semaphore::new(cores),
            query_pixels: pixels(),
            bulk_pixels: pixels(),
            query_max: config.query_max,
            bulk_max: config.bulk_max,
            limits: config.photo,
        };
        Ok((engine, failed))
    }

    /// Decodes a photo and embeds it for some heads of a model.
    ///
    /// # Errors
    /// The photo's fault, or [`EngineError`].
    pub async fn embed(
        &self,
        image: Vec<u8>,
        on: Computing,
        priority: Priority,
    ) -> Result<Embedding, crate::Error> {
        let permit = self.permit(priority).await?;
        let (limits, model) = (self.limits, on.model.clone());
        let pixels = thousands(photo_pixels(&image, limits)?);
        let decode = move || {
            let photo = Photo::decode(&image, limits)?;
            Ok::<_, PhotoError>(model.backbone().canvas(&photo))
        };
        let canvas = match priority {
            Priority::Query => {
                let decoding = async {
                    let _decoder = self.decoders.acquire().await.map_err(|_| EngineError::Stopped)?;
                    let _pixels = room(&self.query_pixels, pixels).await?;
                    Ok::<_, crate::Error>(tokio::task::spawn_blocking(decode).await??)
                };
                timed(Stage::Decode, decoding).await?
            }
            Priority::Bulk => {
                // The pool has as many threads as there may be decoders.
                let _pixels = room(&self.bulk_pixels, pixels).await?;
                let (send, decoded) = oneshot::channel();
                self.bulk_pool.spawn(move || drop(send.send(catch_unwind(AssertUnwindSafe(decode)))));
                let decoded = decoded.await.map_err(|_| EngineError::Stopped)?;
                decoded.map_err(|_| EngineError::Failed("decoding panicked".into()))??
            }
        };
        Ok(timed(Stage::Model, self.queue(Input::Canvas(canvas), on, priority, permit)).await?)
    }

    /// Signatures of a picture whose features are known.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn embed_features(&self, features: Features, on: Computing) -> Result<Embedding, EngineError> {
        let permit = self.permit(Priority::Bulk).await?;
        self.queue(Input::Features(features), on, Priority::Bulk, permit).await
    }

    async fn permit(&self, priority: Priority) -> Result<OwnedSemaphorePermit, EngineError> {
        match priority {
            Priority::Query => {
                self.query_permits.clone().try_acquire_owned().map_err(|_| EngineError::Busy(self.query_max))
            }
            Priority::Bulk => {
                self.bulk_permits.clone().acquire_owned().await.map_err(|_| EngineError::Stopped)
            }
        }
    }

    async fn queue(
        &self,
        input: Input,
        on: Computing,
        priority: Priority,
        permit: OwnedSemaphorePermit,
    ) -> Result<Embedding, EngineError> {
        let (reply, answer) = oneshot::channel();
        let lane = match priority {
            Priority::Query => &self.query,
            Priority::Bulk => &self.bulk,
        };
        lane.push(Job { input, on, reply, permit })?;
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

    /// Whether the model works: it has not panicked several times in a row.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.panics.load(Ordering::Relaxed) < PANICS_MAX
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for lane in [&self.query, &self.bulk] {
            lane.lock().stopped = true;
            lane.filled.notify_all();
        }
    }
}

fn thousands(pixels: u64) -> u32 {
    u32::try_from(pixels.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// Room for so many thousands of pixels.
async fn room(pixels: &Semaphore, wanted: u32) -> Result<SemaphorePermit<'_>, EngineError> {
    pixels.acquire_many(wanted).await.map_err(|_| EngineError::Stopped)
}

/// Lets every other thread of the machine go first.
fn give_way() {
    // Without the right to do so, bulk work runs like any other.
    let _ = rustix::process::setpriority_process(None, 19);
}

impl Lane {
    /// A panic elsewhere cannot leave the queue half changed, so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Result<(), EngineError> {
        let mut queue = self.lock();
        if queue.stopped {
            return Err(EngineError::Stopped);
        }
        queue.jobs.push_back(job);
        self.filled.notify_one();
        Ok(())
    }

    /// Runs batches until the server stops; `on` says on which threads.
    fn work(&self, on: impl Fn(&mut (dyn FnMut() + Send))) {
        // By a head's hash: pictures in a row for which it gave nothing.
        let mut silent = HashMap::new();
        while let Some(batch) = self.next_batch() {
            let mut batch = Some(batch);
            on(&mut || self.run(batch.take().unwrap_or_default(), &mut silent));
        }
    }

    /// The next jobs of one set of heads; `None` when the server stops.
    fn next_batch(&self) -> Option<Vec<Job>> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                queue.jobs.clear();
                return None;
            }
            let batch = take_batch(&mut queue.jobs);
            if !batch.is_empty() {
                return Some(batch);
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self, batch: Vec<Job>, silent: &mut HashMap<String, u32>) {
        let Some(on) = batch.first().map(|job| job.on.clone()) else { return };
        let (inputs, replies): (Vec<Input>, Vec<_>) =
            batch.into_iter().map(|job| (job.input, (job.reply, job.permit))).unzip();
        let embedded = match embedded(&inputs, &on) {
            Ok(embedded) => embedded,
            Err(reason) if inputs.len() > 1 => {
                tracing::warn!(
                    reason,
                    pictures = inputs.len(),
                    "the model failed; each picture is tried alone"
                );
                for (input, (reply, permit)) in inputs.into_iter().zip(replies) {
                    self.run(vec![Job { input, on: on.clone(), reply, permit }], silent);
                }
                return;
            }
            Err(reason) => {
                tracing::error!(reason, "the model failed on a picture");
                self.panics.fetch_add(1, Ordering::Relaxed);
                for (reply, _permit) in replies {
                    let _ = reply.send(Err(EngineError::Failed(reason.clone())));
                }
                return;
            }
        };
        self.panics.store(0, Ordering::Relaxed);
        for fault in embedded.faults {
            self.tell(&on.heads[fault.head], fault.reason);
        }
        for (at, head) in on.heads.iter().enumerate().filter(|(_, head)| head.has_network()) {
            self.watch(head, embedded.embeddings.iter().map(|e| e.signatures[at].is_some()), silent);
        }
        for ((reply, _permit), embedding) in replies.into_iter().zip(embedded.embeddings) {
            // The caller may have left.
            let _ = reply.send(Ok(embedding));
        }
    }

    fn watch(&self, head: &Arc<Head>, spoke: impl Iterator<Item = bool>, silent: &mut HashMap<String, u32>) {
        let count = silent.entry(head.id().to_owned()).or_insert(0);
        for spoke in spoke {
            *count = if spoke { 0 } else { *count + 1 };
            if *count == SILENT_MAX {
                let reason = format!("its output was zero or not finite for {SILENT_MAX} pictures in a row");
                self.tell(head, reason);
                // The same bundle may be registered again.
                *count = 0;
            }
        }
        if *count == 0 {
            silent.remove(head.id());
        }
    }

    fn tell(&self, head: &Arc<Head>, reason: String) {
        tracing::error!(head = head.name(), reason, "a head failed");
        // When too many wait, it fails again with the next batch.
        let _ = self.failures.try_send(HeadFailure { head: head.clone(), reason });
    }
}

/// What is computed from a batch, or why it is not.
fn embedded(inputs: &[Input], on: &Computing) -> Result<Embedded, String> {
    let computed = catch_unwind(AssertUnwindSafe(|| {
        let features = features(inputs, on)?;
        on.model.embedder().signatures(features, &on.heads)
    }));
    match computed {
        Ok(computed) => computed.map_err(|error: EmbedError| error.to_string()),
        Err(_) => Err("the model panicked".into()),
    }
}

/// What the heads read of each picture: computed in one batch for those that come as canvases.
fn features(inputs: &[Input], on: &Computing) -> Result<Vec<Features>, EmbedError> {
    let canvases: Vec<&Canvas> = inputs
        .iter()
        .filter_map(|input| match input {
            Input::Canvas(canvas) => Some(canvas),
            Input::Features(_) => None,
        })
        .collect();
    let computed = if canvases.is_empty() { Vec::new() } else { on.model.embedder().features(&canvases)? };
    let mut computed = computed.into_iter();
    let take = |input: &Input| match input {
        Input::Features(features) => Some(features.clone()),
        Input::Canvas(_) => computed.next(),
    };
    Ok(inputs.iter().filter_map(take).collect())
}

fn take_batch(jobs: &mut VecDeque<Job>) -> Vec<Job> {
    let mut batch: Vec<Job> = Vec::new();
    while batch.len() < BATCH_MAX
        && let Some(job) = jobs.front()
    {
        if job.reply.is_closed() {
            jobs.pop_front();
            continue;
        }
        let same = |first: &Job| {
            Arc::ptr_eq(&first.on.heads, &job.on.heads) && Arc::ptr_eq(&first.on.model, &job.on.model)
        };
        if batch.first().is_some_and(|first| !same(first)) {
            break;
        }
        batch.extend(jobs.pop_front());
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use lapel_heads::{
        ALEXNET_FILE, Backbone, EXTRACT_PARTS_FILE, FeatureLayout, PartsCase, alexnet_folder, load_backbone,
    };

    /// The shipped backbone, which cannot bear pictures whose first pixel is black.
    struct Delicate(Arc<dyn Backbone>);

    impl Backbone for Delicate {
        fn fingerprint(&self) -> &str {
            self.0.fingerprint()
        }

        fn input_side(&self) -> usize {
            self.0.input_side()
        }

        fn layout(&self) -> FeatureLayout {
            self.0.layout()
        }

        fn forward(&self, batch: &[&Canvas]) -> candle_core::Result<candle_core::Tensor> {
            assert!(batch.iter().all(|canvas| canvas.rgb()[..3] != [0; 3]), "a black pixel");
            self.0.forward(batch)
        }
    }

    fn computing() -> Computing {
        let file = |name: &str| alexnet_folder().join(name);
        let backbone = std::fs::read(file(ALEXNET_FILE)).expect("shipped");
        let backbone = Arc::new(Delicate(load_backbone(&backbone).expect("shipped")));
        let parts = std::fs::read(file(EXTRACT_PARTS_FILE)).expect("shipped");
        let model = Arc::new(Model::new(backbone, &parts).expect("a model"));
        Computing { model, heads: Arc::new([]) }
    }

    fn canvas(first: u8) -> Canvas {
        let mut rgb = vec![200; 224 * 224 * 3];
        rgb[..3].fill(first);
        Photo::from_rgb(224, 224, rgb).expect("sized").fit(224)
    }

    #[test]
    fn a_picture_that_the_model_cannot_bear_fails_alone() {
        let (failures, _failed) = mpsc::channel(1);
        let panics = Arc::new(AtomicU32::new(0));
        let lane = Lane { queue: Mutex::default(), filled: Condvar::new(), panics: panics.clone(), failures };
        let (permits, on) = (Arc::new(Semaphore::new(9)), computing());
        let (batch, answers): (Vec<Job>, Vec<_>) = [9, 0, 9, 9]
            .map(|first| {
                let (reply, answer) = oneshot::channel();
                let permit = permits.clone().try_acquire_owned().expect("room");
                (Job { input: Input::Canvas(canvas(first)), on: on.clone(), reply, permit }, answer)
            })
            .into_iter()
            .unzip();
        lane.run(batch, &mut HashMap::new());
        let outcomes: Vec<_> = answers.into_iter().map(|a| a.blocking_recv().expect("answered")).collect();
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true]);
        assert!(matches!(outcomes[1], Err(EngineError::Failed(_))));
        let case = outcomes[0].as_ref().expect("embedded").features.parts.case;
        assert!(PartsCase::ALL.contains(&case));
        assert_eq!(
            panics.load(Ordering::Relaxed),
            0,
            "the model is well: the pictures after it were embedded"
        );
        assert_eq!(permits.available_permits(), 9, "every place is given back");
    }
}
