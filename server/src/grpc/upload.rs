//! An upload: a batch is filled while the one before is embedded and committed, and every message gets a result.

use super::convert;
use super::frames::Fault;
use super::outgoing::{MESSAGE_BYTES, Outgoing};
use super::status::cut_short;
use crate::admission::{Admitted, Held, Working};
use crate::core::{Core, NewItem, Upserted};
use crate::error::{Error, within};
use crate::request::ID_LEN_MAX;
use crate::stages::carried;
use lapel_proto::v1;
use prost::Message;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

/// Items with images that are embedded and committed together.
const BATCH_IMAGES: usize = 64;
/// Items, with images or without, that are committed together.
const BATCH: usize = 1024;
/// Bytes of messages from which on a batch is full; two batches are in memory at a time.
const BATCH_BYTES: usize = 32 << 20;
/// The share of all room that a batch may take at most, so that a stream does not fill it by itself.
const BATCH_SHARE: usize = 8;
/// What a result takes beside its id and the words of its error.
const RESULT_BYTES: usize = 64;
/// Results of one acknowledgement; with the longest ids and errors it stays far below what clients read.
const ACKNOWLEDGED: usize = 1024;
/// When nothing more comes for so long, what has come is stored and acknowledged.
const PAUSE: Duration = Duration::from_millis(100);

/// The outcome of a batch: one result an item, in their order.
type Batch = Result<Vec<Result<Upserted, Error>>, Error>;

/// One stream of items.
pub(super) struct Upload {
    core: Arc<Core>,
    room: Admitted,
    /// Where batches are acknowledged, for callers that hear of them.
    acks: Option<Outgoing<v1::UpsertItemsStreamResponse>>,
    /// Results that were acknowledged.
    acknowledged: usize,
    ids: HashSet<String>,
    /// One a message so far; those of unfinished batches are still without an outcome.
    results: Vec<v1::UpsertResult>,
    /// What the results take at least.
    result_bytes: usize,
    /// Items with the places of their results.
    batch: Vec<(usize, NewItem)>,
    /// The room of the batch's messages.
    held: Vec<Held>,
    /// Images of the batch, and bytes of its messages.
    images: usize,
    bytes: usize,
    /// Bytes of a full batch.
    bytes_max: usize,
    running: Option<Running>,
}

/// A batch that is embedded and committed.
struct Running {
    /// Places of its results.
    places: Vec<usize>,
    outcome: JoinHandle<Batch>,
    /// The caller may wait for its acknowledgement before it goes on.
    _working: Working,
}

impl Upload {
    /// A stream that has not begun, what it has taken, and who hears of its batches.
    pub(super) fn new(
        core: Arc<Core>,
        room: Admitted,
        acks: Option<Outgoing<v1::UpsertItemsStreamResponse>>,
    ) -> Self {
        let bytes_max = BATCH_BYTES.min(core.config.limits.request_bytes_max.0 / BATCH_SHARE);
        Self {
            core,
            room,
            acks,
            acknowledged: 0,
            ids: HashSet::new(),
            results: Vec::new(),
            result_bytes: 0,
            batch: Vec::new(),
            held: Vec::new(),
            images: 0,
            bytes: 0,
            bytes_max,
            running: None,
        }
    }

    /// Cancelled when the server does not wait for the upload any longer.
    pub(super) fn cut_off(&self) -> CancellationToken {
        self.core.cut_off.clone()
    }

    /// Why no further message is taken: the stream has as many as it may, or their results as many bytes as an answer.
    pub(super) fn check_room(&self) -> Result<(), Error> {
        let (count, most) = (self.results.len(), self.core.config.limits.stream_items_max);
        if count == most {
            return Err(Error::Exhausted(format!(
                "a stream has at most {most} items; send the rest in another"
            )));
        }
        if self.acks.is_none() && self.result_bytes + RESULT_BYTES + ID_LEN_MAX > MESSAGE_BYTES {
            let instead = "send the rest in another stream, or use UpsertItemsStream";
            return Err(Error::Exhausted(format!("an answer has no more than {count} results; {instead}")));
        }
        Ok(())
    }

    /// Takes an item and the room that it holds.
    pub(super) async fn take(
        &mut self,
        message: v1::UpsertItemsRequest,
        bytes: usize,
        held: Held,
    ) -> Result<(), Error> {
        let place = self.results.len();
        let once = is_new(&mut self.ids, &message.id);
        self.promise(&message.id);
        match convert::new_item(message, once) {
            Err(error) => self.results[place].error = Some(convert::item_error(error)),
            Ok(item) => {
                self.images += usize::from(item.image.is_some()) + item.more_images.len();
                self.bytes += bytes;
                self.held.push(held);
                self.batch.push((place, item));
            }
        }
        let is_full =
            self.batch.len() >= BATCH || self.images >= BATCH_IMAGES || self.bytes >= self.bytes_max;
        if is_full { self.flush().await } else { Ok(()) }
    }

    /// Notes a message that is none.
    pub(super) fn refuse(&mut self, fault: Fault) {
        let error = match fault {
            Fault::TooLarge => {
                let most = self.core.config.limits.message_bytes_max();
                convert::item_error(Error::MessageTooLarge { most })
            }
            Fault::Unreadable(why) => v1::ItemError {
                code: Code::InvalidArgument as i32,
                message: within(&format!("this message cannot be read: {why}"), ID_LEN_MAX),
                reason: "MESSAGE_UNREADABLE".to_owned(),
            },
        };
        self.promise("");
        if let Some(result) = self.results.last_mut() {
            result.error = Some(error);
        }
    }

    /// Adds the result of the next message, still without an outcome.
    fn promise(&mut self, id: &str) {
        // An id that is too long is no item's, and is not said again in full.
        let id = if id.len() > ID_LEN_MAX { within(id, ID_LEN_MAX / 2) } else { id.to_owned() };
        self.result_bytes += RESULT_BYTES + id.len();
        let message = self.results.len() as u64 + 1;
        self.results.push(v1::UpsertResult { id, message, ..v1::UpsertResult::default() });
    }

    /// Whether anything is kept that is not durable.
    pub(super) fn keeps(&self) -> bool {
        self.running.is_some() || !self.batch.is_empty()
    }

    /// Whether there is something to acknowledge, now or soon.
    pub(super) fn has_unsettled(&self) -> bool {
        self.acks.is_some() && self.acknowledged < self.results.len()
    }

    /// While nothing comes: waits for the running batch, or for a moment, and stores and acknowledges what has come. May
    /// be dropped at any time.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        match &mut self.running {
            Some(running) => {
                let outcome = (&mut running.outcome).await;
                self.note(outcome)?;
            }
            None => {
                tokio::time::sleep(PAUSE).await;
                self.start();
            }
        }
        self.acknowledge().await
    }

    /// Waits until everything taken is durable, and acknowledged where somebody hears of it.
    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        // Nothing is read of the caller meanwhile.
        let _working = self.room.works();
        while self.keeps() {
            self.flush().await?;
        }
        self.acknowledge().await
    }

    /// What the caller hears when the stream does not go on: what came before is stored and told.
    pub(super) async fn cut_short(&mut self, cause: &Status) -> Result<Status, Error> {
        self.finish().await?;
        let stored = self.results.iter().filter(|result| result.error.is_none()).count();
        Ok(cut_short(cause, self.results.len() + 1, stored))
    }

    /// All results, with as many words as an answer holds.
    pub(super) fn into_answer(self) -> v1::UpsertItemsResponse {
        let mut answer = v1::UpsertItemsResponse { results: self.results };
        if answer.encoded_len() > MESSAGE_BYTES {
            let refused = answer.results.iter().filter(|result| result.error.is_some()).count();
            let share = MESSAGE_BYTES.saturating_sub(self.result_bytes) / refused.max(1);
            for error in answer.results.iter_mut().filter_map(|result| result.error.as_mut()) {
                // Three bytes say that there was more.
                error.message = within(&error.message, share.saturating_sub(3));
            }
        }
        answer
    }

    /// Ends the acknowledgements; an upload without them has nothing to end.
    pub(super) fn end(self, received: Result<(), Status>) {
        if let Some(acks) = self.acks {
            acks.end_with(received);
        }
    }

    /// Waits for the running batch, starts the filled one, and acknowledges.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        if let Some(running) = &mut self.running {
            let outcome = (&mut running.outcome).await;
            self.note(outcome)?;
        }
        self.start();
        self.acknowledge().await
    }

    /// Notes what became of the batch that ran.
    fn note(&mut self, outcome: Result<Batch, JoinError>) -> Result<(), Error> {
        let Some(Running { places, .. }) = self.running.take() else { return Ok(()) };
        for (place, outcome) in places.into_iter().zip(outcome??) {
            match outcome {
                Ok(upserted) => self.results[place].replaced = upserted.replaced,
                Err(error) => self.results[place].error = Some(convert::item_error(error)),
            }
        }
        Ok(())
    }

    /// Starts the filled batch, if there is one.
    fn start(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let (places, items) = std::mem::take(&mut self.batch).into_iter().unzip();
        (self.images, self.bytes) = (0, 0);
        let (core, held) = (self.core.clone(), std::mem::take(&mut self.held));
        let stored = async move {
            let outcome = core.upsert(items).await;
            // Not the caller decides how long they are in memory: it may have left.
            drop(held);
            outcome
        };
        let working = self.room.works();
        self.running = Some(Running { places, outcome: tokio::spawn(carried(stored)), _working: working });
    }

    /// Tells the results up to the first message without an outcome.
    async fn acknowledge(&mut self) -> Result<(), Error> {
        let Some(acks) = &self.acks else { return Ok(()) };
        let running = self.running.as_ref().and_then(|running| running.places.first());
        let waiting = running.copied().or_else(|| self.batch.first().map(|(place, _)| *place));
        let known = waiting.unwrap_or(self.results.len());
        while self.acknowledged < known {
            let end = known.min(self.acknowledged + ACKNOWLEDGED);
            let results = self.results[self.acknowledged..end].to_vec();
            acks.send(v1::UpsertItemsStreamResponse { results, acknowledged: end as u64 }).await?;
            self.acknowledged = end;
        }
        Ok(())
    }
}

/// Whether no message before had this id. One that is too long is no item's: it is refused for that, and not kept until
/// the stream ends.
fn is_new(ids: &mut HashSet<String>, id: &str) -> bool {
    id.len() > ID_LEN_MAX || ids.insert(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_no_item_has_is_not_kept() {
        let mut ids = HashSet::new();
        let (longest, longer) = ("i".repeat(ID_LEN_MAX), "i".repeat(ID_LEN_MAX + 1));
        assert!(is_new(&mut ids, &longest) && !is_new(&mut ids, &longest));
        assert!(is_new(&mut ids, &longer) && is_new(&mut ids, &longer), "refused for its length alone");
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), [longest]);
    }
}
