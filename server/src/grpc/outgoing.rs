//! Answers of many messages. A caller that reads slowly slows their making down, not the memory up; one that reads nothing
//! for too long is given up, what was made for it is let go, and its places are given back.

use crate::admission::Admitted;
use crate::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_stream::Stream;
use tonic::{Request, Status};

/// Messages that may wait for the caller.
const AHEAD: usize = 4;

type Message<T> = Result<T, Status>;

/// What waits for the caller; `None` once it was given up.
struct Queue<T>(Arc<Mutex<Option<mpsc::Receiver<Message<T>>>>>);

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, Option<mpsc::Receiver<Message<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream that a service answers with.
pub struct Answers<T>(Queue<T>);

impl<T> Stream for Answers<T> {
    type Item = Message<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.lock().as_mut() {
            Some(queue) => queue.poll_recv(cx),
            None => Poll::Ready(Some(Err(Error::Stalled.into()))),
        }
    }
}

impl<T> Drop for Answers<T> {
    fn drop(&mut self) {
        // The other end holds the queue, too, and learns from its end that the caller has left.
        drop(self.0.lock().take());
    }
}

/// The end at which an answer is made. Whoever has it says with [`Outgoing::end`] that the answer is whole, or why not; an
/// answer whose maker was lost ends with an error, never as if it were whole.
pub(super) struct Outgoing<T> {
    sender: mpsc::Sender<Message<T>>,
    /// Room for the status at the end, however little the caller reads; `None` once it was told.
    last: Option<OwnedPermit<Message<T>>>,
    queue: Queue<T>,
    /// What its request has taken; `None` for one that has not passed the gate.
    admitted: Option<Admitted>,
    stall: Duration,
}

impl<T: Send + 'static> Outgoing<T> {
    /// Both ends of the answer to a request whose caller may read nothing for so long.
    pub(super) fn new<M>(request: &Request<M>, stall: Duration) -> (Self, Answers<T>) {
        let (sender, receiver) = mpsc::channel(AHEAD + 1);
        let last = sender.clone().try_reserve_owned().ok();
        let queue = Arc::new(Mutex::new(Some(receiver)));
        let answers = Answers(Queue(queue.clone()));
        let admitted = Admitted::of(request).ok();
        (Self { sender, last, queue: Queue(queue), admitted, stall }, answers)
    }

    /// Sends a message, once the caller has read enough of those before.
    pub(super) async fn send(&self, message: T) -> Result<(), Error> {
        let sent = self.sender.send_timeout(Ok(message), self.stall).await;
        sent.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => {
                self.give_up();
                Error::Stalled
            }
            SendTimeoutError::Closed(_) => Error::Left,
        })
    }

    /// The connection does not ask for the rest of an answer that its caller does not read, so it would hold what waits
    /// for it, and its places, for as long as the caller likes.
    fn give_up(&self) {
        drop(self.queue.lock().take());
        if let Some(admitted) = &self.admitted {
            admitted.give_back();
        }
    }

    /// As [`Outgoing::send`], on a thread that may wait.
    pub(super) fn send_blocking(&self, message: T) -> Result<(), Error> {
        Handle::current().block_on(self.send(message))
    }

    /// Ends the answer: it is whole, or it is not and the caller hears why.
    pub(super) fn end(mut self, outcome: Result<(), Error>) {
        let last = self.last.take();
        if let (Some(last), Err(error)) = (last, outcome) {
            drop(last.send(Err(error.into())));
        }
    }
}

impl<T> Drop for Outgoing<T> {
    fn drop(&mut self) {
        if let Some(last) = self.last.take() {
            drop(last.send(Err(Error::Internal("an answer was not ended".into()).into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt;
    use tonic::Code;

    fn ends<T: Send + 'static>(stall: Duration) -> (Outgoing<T>, Answers<T>) {
        Outgoing::new(&Request::new(()), stall)
    }

    #[tokio::test]
    async fn a_caller_that_reads_nothing_is_given_up_and_told() {
        let (outgoing, mut answers) = ends(Duration::from_millis(10));
        let mut sent = Ok(());
        for number in 0..=AHEAD {
            assert!(sent.is_ok(), "there is room for {AHEAD}");
            sent = outgoing.send(number).await;
        }
        assert!(matches!(sent, Err(Error::Stalled)));
        outgoing.end(sent);
        let status = answers.next().await.expect("a status").expect_err("what waited was let go");
        assert_eq!(status.code(), Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn an_answer_that_fails_tells_what_there_is_and_why() {
        let (outgoing, mut answers) = ends(Duration::from_secs(1));
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
        let (outgoing, answers) = ends(Duration::from_secs(600));
        outgoing.send(1).await.expect("somebody is there");
        drop(answers);
        assert!(matches!(outgoing.send(2).await, Err(Error::Left)));
    }

    #[tokio::test]
    async fn an_answer_is_whole_only_where_its_maker_says_so() {
        let (outgoing, mut answers) = ends::<u8>(Duration::from_secs(1));
        outgoing.end(Ok(()));
        assert!(answers.next().await.is_none());
        let (outgoing, mut answers) = ends::<u8>(Duration::from_secs(1));
        drop(outgoing);
        assert!(answers.next().await.expect("a status").is_err(), "its maker was lost");
    }
}
