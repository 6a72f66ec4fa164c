//! Answers of many messages. A caller that reads slowly slows their making down, not the memory up; one that reads nothing
//! for too long is given up by the gate, and the making of its answer ends as if it had left. And what a single message of
//! an answer may have.

use crate::admission::{Admitted, Grant};
use crate::engine::EngineError;
use crate::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::OwnedPermit;
use tokio_stream::Stream;
use tonic::{Request, Status};

/// Messages that may wait for the caller.
const AHEAD: usize = 4;
/// Bytes of a message that clients read unless they are told otherwise.
pub(super) const MESSAGE_BYTES: usize = 4 << 20;
/// Bytes of a file or an image in one message: slow callers see progress, quick ones do not wait for each.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// An answer that clients can read; `instead` says what to ask for where it is too large.
///
/// # Errors
/// [`Error::Precondition`] with the reason ANSWER_TOO_LARGE.
pub(super) fn readable<M: prost::Message>(answer: M, instead: impl FnOnce() -> String) -> Result<M, Error> {
    let bytes = answer.encoded_len();
    if bytes <= MESSAGE_BYTES {
        return Ok(answer);
    }
    let message = format!(
        "the answer would have {bytes} bytes or more, and clients read {MESSAGE_BYTES} unless they are told otherwise; {}",
        instead()
    );
    Err(Error::Precondition { reason: "ANSWER_TOO_LARGE", message })
}

type Message<T> = Result<T, Status>;

/// What the answers of a batch, which share one message, may still have.
pub(super) struct BatchRoom(usize);

/// What each answer of a batch is sure of, so that the errors of those that do not fit have their place.
const BATCH_SHARE: usize = 2 << 10;

impl BatchRoom {
    /// For so many answers.
    pub(super) fn new(count: usize) -> Self {
        Self(MESSAGE_BYTES.saturating_sub(count * BATCH_SHARE))
    }

    /// The next answer, if there is room for it beside those before it.
    ///
    /// # Errors
    /// [`Error::Precondition`] with the reason ANSWER_TOO_LARGE.
    pub(super) fn fit<M: prost::Message>(&mut self, answer: M) -> Result<M, Error> {
        let bytes = answer.encoded_len().saturating_sub(BATCH_SHARE / 2);
        if bytes > self.0 {
            let message = format!(
                "the answers of the batch would have more than the {MESSAGE_BYTES} bytes that clients read unless they are \
                 told otherwise; ask for this one in another batch, for fewer results, show_fields or facets, or without explanations"
            );
            return Err(Error::Precondition { reason: "ANSWER_TOO_LARGE", message });
        }
        self.0 -= bytes;
        Ok(answer)
    }
}

/// The stream that a service answers with.
pub struct Answers<T> {
    messages: mpsc::Receiver<Message<T>>,
    /// Room of what the answer is made of, where all of it is in memory before the first message is read.
    _room: Option<Grant>,
}

impl<T> Answers<T> {
    /// The same answer, which holds room until it is read, or nobody reads it any more.
    pub(super) fn holding(self, room: Grant) -> Self {
        Self { _room: Some(room), ..self }
    }
}

impl<T> Stream for Answers<T> {
    type Item = Message<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(cx)
    }
}

/// The end at which an answer is made. Whoever has it says with [`Outgoing::end`] that the answer is whole, or why not; an
/// answer whose maker was lost ends with an error, never as if it were whole.
pub(super) struct Outgoing<T> {
    sender: mpsc::Sender<Message<T>>,
    /// Room for the status at the end, however little the caller reads; `None` once it was told.
    last: Option<OwnedPermit<Message<T>>>,
    /// What its request has taken, held until its making has ended; `None` for one that has not passed the gate.
    _admitted: Option<Admitted>,
}

impl<T: Send + 'static> Outgoing<T> {
    /// Both ends of the answer to a request.
    pub(super) fn new<M>(request: &Request<M>) -> (Self, Answers<T>) {
        let (sender, receiver) = mpsc::channel(AHEAD + 1);
        let last = sender.clone().try_reserve_owned().ok();
        let answers = Answers { messages: receiver, _room: None };
        (Self { sender, last, _admitted: Admitted::of(request).ok() }, answers)
    }

    /// Sends a message, once the caller has read enough of those before. A caller that reads slowly is waited for as long
    /// as it reads.
    ///
    /// # Errors
    /// [`Error::Left`] where the caller has left, or was given up.
    pub(super) async fn send(&self, message: T) -> Result<(), Error> {
        self.sender.send(Ok(message)).await.map_err(|_| Error::Left)
    }

    /// As [`Outgoing::send`], on a thread that may wait.
    pub(super) fn send_blocking(&self, message: T) -> Result<(), Error> {
        Handle::current().block_on(self.send(message))
    }

    /// Ends when the caller has left, or was given up: for whoever waits for something to send.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Ends the answer: it is whole, or it is not and the caller hears why.
    pub(super) fn end(self, outcome: Result<(), Error>) {
        self.end_with(outcome.map_err(Status::from));
    }

    /// As [`Outgoing::end`], with the status as it is told.
    pub(super) fn end_with(mut self, outcome: Result<(), Status>) {
        let last = self.last.take();
        if let (Some(last), Err(status)) = (last, outcome) {
            drop(last.send(Err(status)));
        }
    }
}

impl<T> Drop for Outgoing<T> {
    fn drop(&mut self) {
        let Some(last) = self.last.take() else { return };
        let error = if std::thread::panicking() {
            Error::Internal("the maker of an answer panicked".into())
        } else {
            // The runtime ends, with all that still runs in it.
            tracing::warn!("an answer was cut off");
            EngineError::Stopped.into()
        };
        drop(last.send(Err(error.into())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_proto::v1::GetItemImageResponse;
    use prost::Message;
    use tokio_stream::StreamExt;

    fn ends<T: Send + 'static>() -> (Outgoing<T>, Answers<T>) {
        Outgoing::new(&Request::new(()))
    }

    #[tokio::test]
    async fn no_more_is_made_than_a_caller_reads() {
        let (outgoing, mut answers) = ends();
        for number in 0..AHEAD {
            outgoing.send(number).await.expect("there is room");
        }
        let mut next = Box::pin(outgoing.send(AHEAD));
        assert!(futures_util::poll!(next.as_mut()).is_pending(), "there is room for {AHEAD}");
        assert_eq!(answers.next().await.expect("kept").expect("a message"), 0);
        next.await.expect("it goes on once something is read");
    }

    #[test]
    fn an_answer_is_refused_where_clients_could_not_read_it() {
        let answer = |bytes| GetItemImageResponse { image: vec![0; bytes], ..Default::default() };
        let head = answer(MESSAGE_BYTES).encoded_len() - MESSAGE_BYTES;
        readable(answer(MESSAGE_BYTES - head), String::new).expect("it fits");
        let refused = readable(answer(MESSAGE_BYTES - head + 1), || "ask for pieces".into());
        let refused = refused.expect_err("one byte more");
        assert!(matches!(refused, Error::Precondition { reason: "ANSWER_TOO_LARGE", .. }));
        assert!(refused.to_string().ends_with("ask for pieces"), "{refused}");
    }

    #[test]
    fn the_answers_of_a_batch_are_readable_together() {
        let answer = |bytes| GetItemImageResponse { image: vec![0; bytes], ..Default::default() };
        for bytes in [10, 1500, 40_000, 300_000] {
            let mut room = BatchRoom::new(100);
            let (mut given, mut told) = (0, 0);
            for _ in 0..100 {
                match room.fit(answer(bytes)) {
                    Ok(answer) => given += answer.encoded_len() + 10,
                    Err(error) => told += error.to_string().len() + 100,
                }
            }
            assert!(given + told <= MESSAGE_BYTES, "{given} and {told}");
            assert!(told == 0 || given > MESSAGE_BYTES * 4 / 5, "{given}: there was room for more");
        }
    }

    #[tokio::test]
    async fn an_answer_that_fails_tells_what_there_is_and_why() {
        let (outgoing, mut answers) = ends();
        for number in 0..AHEAD {
            outgoing.send(number).await.expect("there is room");
        }
        outgoing.end(Err(Error::Late));
        for number in 0..AHEAD {
            assert_eq!(answers.next().await.expect("kept").expect("a message"), number);
        }
        assert!(answers.next().await.expect("a status").is_err());
        assert!(answers.next().await.is_none());
    }

    #[tokio::test]
    async fn a_caller_that_leaves_is_noticed_at_once() {
        let (outgoing, answers) = ends();
        outgoing.send(1).await.expect("somebody is there");
        drop(answers);
        assert!(matches!(outgoing.send(2).await, Err(Error::Left)));
    }

    #[tokio::test]
    async fn an_answer_is_whole_only_where_its_maker_says_so() {
        let (outgoing, mut answers) = ends::<u8>();
        outgoing.end(Ok(()));
        assert!(answers.next().await.is_none());
        let (outgoing, mut answers) = ends::<u8>();
        drop(outgoing);
        assert!(answers.next().await.expect("a status").is_err(), "its maker was lost");
    }
}
