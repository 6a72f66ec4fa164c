//! A queue of pictures, and the thread that takes them through the model in batches.

use super::place::Place;
use super::{EngineError, HeadFailure};
use crate::catalogue::Computing;
use lapel_heads::{Canvas, EmbedError, Embedded, Embedding, Features, Head, Photo};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Pictures in a batch of the model.
const BATCH_MAX: usize = 8;
/// Pictures in a row without a finite signature after which a head has failed.
const SILENT_MAX: u32 = 16;
/// Failures of the model in a row, on one picture each, after which the server says that it does not serve.
const FAILED_MAX: u32 = 3;
/// Time after which a model that failed is tried again while nothing else is to be done.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What is known of a picture.
pub(super) enum Input {
    Canvas(Canvas),
    Features(Features),
}

/// A picture that waits for the model.
pub(super) struct Job {
    pub(super) input: Input,
    pub(super) on: Computing,
    pub(super) reply: oneshot::Sender<Result<Embedding, EngineError>>,
    pub(super) place: Place,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stopped: bool,
}

/// What the thread of a lane remembers from batch to batch.
#[derive(Default)]
pub(super) struct Memory {
    /// By a head's hash: pictures in a row for which it gave nothing.
    silent: HashMap<String, u32>,
    /// The model and heads of the last failure that counts.
    failed: Option<Computing>,
}

/// One queue and the thread that empties it.
pub(super) struct Lane {
    queue: Mutex<Queue>,
    filled: Condvar,
    /// Failures of the model since it last did well, those of other lanes included.
    failed_in_a_row: Arc<AtomicU32>,
    failures: mpsc::Sender<HeadFailure>,
}

impl Lane {
    /// An empty queue. The count is shared by all lanes; heads that fail are told to `failures`.
    pub(super) fn new(failed_in_a_row: Arc<AtomicU32>, failures: mpsc::Sender<HeadFailure>) -> Self {
        Self { queue: Mutex::default(), filled: Condvar::new(), failed_in_a_row, failures }
    }

    /// Ends its thread; jobs that wait are dropped.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.filled.notify_all();
    }

    /// A panic elsewhere cannot leave the queue half changed, so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, job: Job) -> Result<(), EngineError> {
        let mut queue = self.lock();
        if queue.stopped {
            return Err(EngineError::Stopped);
        }
        queue.jobs.push_back(job);
        self.filled.notify_one();
        Ok(())
    }

    /// Runs batches until the server stops; `on` says on which threads.
    pub(super) fn work(&self, on: impl Fn(&mut (dyn FnMut() + Send))) {
        let mut memory = Memory::default();
        while let Some(batch) = self.next_batch() {
            let mut batch = Some(batch);
            on(&mut || match batch.take().unwrap_or_default() {
                batch if batch.is_empty() => self.try_again(&mut memory),
                batch => self.run(batch, &mut memory),
            });
        }
    }

    /// Whether the model works.
    pub(super) fn is_healthy(&self) -> bool {
        self.failed_in_a_row.load(Ordering::Relaxed) < FAILED_MAX
    }

    /// The next jobs of one set of heads; none when it is time to try a model that failed again; `None` when the server
    /// stops.
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
            if self.is_healthy() {
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.filled.wait_timeout(queue, TRY_AGAIN);
            let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return Some(Vec::new());
            }
            queue = woken;
        }
    }

    /// A model that has failed gets well without traffic, which a balancer keeps away from a server that is not well.
    pub(super) fn try_again(&self, memory: &mut Memory) {
        if memory.failed.as_ref().is_some_and(is_well) {
            tracing::info!("the model works again");
            self.did_well(memory);
        }
    }

    fn did_well(&self, memory: &mut Memory) {
        memory.failed = None;
        self.failed_in_a_row.store(0, Ordering::Relaxed);
    }

    /// Counts a failure on one picture, unless the model does well on one that cannot be at fault: however many bad
    /// pictures come, they are no fault of the server.
    fn failed(&self, on: &Computing, memory: &mut Memory) {
        if self.failed_in_a_row.load(Ordering::Relaxed) + 1 >= FAILED_MAX && is_well(on) {
            self.did_well(memory);
        } else {
            memory.failed = Some(on.clone());
            self.failed_in_a_row.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn run(&self, batch: Vec<Job>, memory: &mut Memory) {
        let Some(on) = batch.first().map(|job| job.on.clone()) else { return };
        let (inputs, replies): (Vec<Input>, Vec<_>) =
            batch.into_iter().map(|job| (job.input, (job.reply, job.place))).unzip();
        let embedded = match embedded(&inputs, &on) {
            Ok(embedded) => embedded,
            Err(reason) if inputs.len() > 1 => {
                tracing::warn!(
                    reason,
                    pictures = inputs.len(),
                    "the model failed; each picture is tried alone"
                );
                // Nobody waits for those whose callers have left meanwhile.
                let waited_for = |job: &(Input, (oneshot::Sender<_>, Place))| !job.1.0.is_closed();
                for (input, (reply, place)) in inputs.into_iter().zip(replies).filter(waited_for) {
                    self.run(vec![Job { input, on: on.clone(), reply, place }], memory);
                }
                return;
            }
            Err(reason) => {
                tracing::error!(reason, "the model failed on a picture");
                self.failed(&on, memory);
                for (reply, place) in replies {
                    drop(place);
                    let _ = reply.send(Err(EngineError::Failed(reason.clone())));
                }
                return;
            }
        };
        self.did_well(memory);
        for fault in embedded.faults {
            self.tell(&on.heads[fault.head], fault.reason);
        }
        for (at, head) in on.heads.iter().enumerate().filter(|(_, head)| head.has_network()) {
            self.watch(
                head,
                embedded.embeddings.iter().map(|e| e.signatures[at].is_some()),
                &mut memory.silent,
            );
        }
        for ((reply, place), embedding) in replies.into_iter().zip(embedded.embeddings) {
            // The work has ended: whoever asks again when answered finds the place.
            drop(place);
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

/// Whether a model embeds a grey picture.
fn is_well(on: &Computing) -> bool {
    let side = on.model.backbone().input_side();
    let Some(grey) = Photo::from_rgb(side as u32, side as u32, vec![128; side * side * 3]) else {
        return false;
    };
    let canvas = catch_unwind(AssertUnwindSafe(|| on.model.backbone().canvas(&grey)));
    canvas.is_ok_and(|canvas| embedded(&[Input::Canvas(canvas)], on).is_ok())
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
