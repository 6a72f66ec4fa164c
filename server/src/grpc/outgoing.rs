//! Answers of many messages. A caller that reads slowly slows their making down, not the memory up; one that reads nothing
//! for too long is given up, and what was made for it is let go.

use crate::error::Error;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Messages that may wait for the caller.
const AHEAD: usize = 4;

/// The stream that a service answers with.
pub(super) type Answers<T> = ReceiverStream<Result<T, Status>>;

/// The end at which an answer is made. Whoever has it says with [`Outgoing::end`] that the answer is whole, or why not; an
/// answer whose maker was lost ends with an error, never as if it were whole.
pub(super) struct Outgoing<T> {
    sender: mpsc::Sender<Result<T, Status>>,
    /// Room for the status at the end, however little the caller reads; `None` once it was told.
    last: Option<OwnedPermit<Result<T, Status>>>,
    stall: Duration,
}

impl<T: Send + 'static> Outgoing<T> {
    /// Both ends of an answer whose caller may read nothing for so long.
    pub(super) fn new(stall: Duration) -> (Self, Answers<T>) {
        let (sender, receiver) = mpsc::channel(AHEAD + 1);
        let last = sender.clone().try_reserve_owned().ok();
        (Self { sender, last, stall }, ReceiverStream::new(receiver))
    }

    /// Sends a message, once the caller has read enough of those before.
    pub(super) async fn send(&self, message: T) -> Result<(), Error> {
        let sent = self.sender.send_timeout(Ok(message), self.stall).await;
        sent.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => Error::Stalled,
            SendTimeoutError::Closed(_) => Error::Left,
        })
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

    #[tokio::test]
    async fn a_caller_that_reads_nothing_is_given_up_and_told() {
        let (outgoing, mut answers) = Outgoing::new(Duration::from_millis(10));
        let mut sent = Ok(());
        for number in 0..=AHEAD {
            assert!(sent.is_ok(), "there is room for {AHEAD}");
            sent = outgoing.send(number).await;
        }
        assert!(matches!(sent, Err(Error::Stalled)));
        outgoing.end(sent);
        for number in 0..AHEAD {
            assert_eq!(answers.next().await.expect("kept").expect("a message"), number);
        }
        let status = answers.next().await.expect("a status").expect_err("not whole");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(answers.next().await.is_none());
    }

    #[tokio::test]
    async fn an_answer_is_whole_only_where_its_maker_says_so() {
        let (outgoing, mut answers) = Outgoing::<u8>::new(Duration::from_secs(1));
        outgoing.end(Ok(()));
        assert!(answers.next().await.is_none());
        let (outgoing, mut answers) = Outgoing::<u8>::new(Duration::from_secs(1));
        drop(outgoing);
        assert!(answers.next().await.expect("a status").is_err(), "its maker was lost");
    }
}
