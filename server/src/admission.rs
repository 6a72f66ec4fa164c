//! What a request takes of the server: places, bytes of messages and answers, and pictures in the model's queue.
//!
//! [`Admission`] has the bounds. The gate makes one [`Admitted`] a request; whoever works for the request holds a copy, and
//! what the request has taken is given back with the last of them: when the work has ended, not when the caller has left.

mod activity;
mod party;
mod pool;
mod turn;

use crate::config::Limits;
use crate::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

pub(crate) use activity::Activity;
use activity::Busy;
pub(crate) use party::Party;
use party::{Parties, Places};
pub(crate) use pool::Grant;
use pool::{Kind, Pool};
use turn::Turn;

/// Answers of up to so many bytes are given even where there is no room for one: the work is done, and they are small.
const SMALL_ANSWER: usize = 64 << 10;
/// What is kept of a stream's message may take so much more than was announced, even where there is no room for it: it is in
/// memory already. Nobody gets room until that is given back, so that a stream does this once at a time.
const SMALL_SURPLUS: usize = 64 << 10;

/// The connection that a request came on.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The connection, and its address.
    pub(crate) connection: Arc<Party>,
    pub(crate) address: Arc<Party>,
    pub(crate) activity: Arc<Activity>,
}

/// The bounds of the server on all requests together.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Places,
    /// For those who ask for the server's health, who need no token and must take nothing from those who have one.
    health: Places,
    calls: Arc<Pool>,
    streams: Arc<Pool>,
    answers: Arc<Pool>,
    /// How long may pass without any progress.
    stall: Duration,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let pool = |kind| Pool::new(kind, limits.pool_bytes(), limits.share_bytes());
        Arc::new(Self {
            places: Places::new(limits.requests_max, limits.streams_max),
            health: Places::new(limits.requests_max, limits.streams_max),
            calls: pool(Kind::Calls),
            streams: pool(Kind::Streams),
            answers: pool(Kind::Answers),
            stall: limits.stall(),
        })
    }

    /// Lets a stream begin.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where the server, the connection or the token has no place for it.
    pub(crate) fn stream(
        self: &Arc<Self>,
        origin: Option<&Origin>,
        token: Option<&Arc<Party>>,
    ) -> Result<Admitted, Error> {
        let admitted = self.request(true, origin, token);
        admitted.take_places()?;
        Ok(admitted)
    }

    /// Lets somebody ask for the server's health, or watch it (`lasts`). Its connection is of no more use for that: anybody
    /// may ask.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where the server, the address or the connection has no place for it.
    pub(crate) fn health(self: &Arc<Self>, lasts: bool, origin: Option<&Origin>) -> Result<Admitted, Error> {
        let admitted = self.request(lasts, origin, None);
        let mut permits = vec![self.health.take(lasts, "the server")?];
        if let Some(Origin { connection, address, activity: _ }) = origin {
            permits.push(address.health(lasts)?);
            permits.push(connection.place(lasts)?);
        }
        admitted.places().permits = permits;
        Ok(admitted)
    }

    /// Lets a call begin. Until its message is whole it has a place among those of its connection alone, so that calls
    /// which never go on take none from others; [`Admitted::enter`] takes the rest.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where the connection has no place for it, or there is none for any call now, or too many
    /// answers wait to be read.
    pub(crate) fn call(
        self: &Arc<Self>,
        origin: Option<&Origin>,
        token: Option<&Arc<Party>>,
    ) -> Result<Admitted, Error> {
        let admitted = self.request(false, origin, token);
        self.places.refuse_call("the server")?;
        token.map_or(Ok(()), |token| token.refuse_call())?;
        if let Some(full) = self.answers.refuses(&admitted.0.parties) {
            return Err(full);
        }
        if let Some(origin) = origin {
            admitted.places().permits.push(origin.connection.place(false)?);
        }
        Ok(admitted)
    }

    fn request(
        self: &Arc<Self>,
        lasts: bool,
        origin: Option<&Origin>,
        token: Option<&Arc<Party>>,
    ) -> Admitted {
        let of_origin = origin.map(|origin| [&origin.connection, &origin.address]);
        let parties = of_origin.into_iter().flatten().chain(token).cloned().collect();
        let (admission, activity) = (self.clone(), origin.map(|origin| origin.activity.clone()));
        Admitted(Arc::new(Request {
            admission,
            lasts,
            parties,
            activity,
            places: Mutex::default(),
            message: Mutex::default(),
            turn: Mutex::default(),
        }))
    }
}

/// What one request has taken. It is given back with the last copy, but for what is held beside it.
#[derive(Clone, Debug)]
pub(crate) struct Admitted(Arc<Request>);

#[derive(Debug)]
struct Request {
    admission: Arc<Admission>,
    /// It is a stream, and no call.
    lasts: bool,
    /// The connection first.
    parties: Parties,
    activity: Option<Arc<Activity>>,
    places: Mutex<Taken>,
    /// Room of the message that is on its way in, or has come in and is not held by anybody yet.
    message: Mutex<Option<Grant>>,
    turn: Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Taken {
    permits: Vec<OwnedSemaphorePermit>,
    _busy: Option<Busy>,
}

/// Room of something that is kept; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _grants: [Option<Grant>; 2],
}

/// The server's work on what a stream brought, until dropped: its time is not the caller's.
#[derive(Debug)]
pub(crate) struct Working(Admitted);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.turn().end(Instant::now());
    }
}

/// What a picture of a query has taken beside its place in the queue; whoever works on the picture holds it.
pub(crate) struct PictureAdmitted {
    _shares: Vec<OwnedSemaphorePermit>,
    _request: Admitted,
}

tokio::task_local! {
    static PRESENT: Admitted;
}

impl Admitted {
    /// What a request that has passed the gate has taken.
    ///
    /// # Errors
    /// [`Error::Internal`] for one that has not.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Error> {
        let admitted = request.extensions().get::<Self>().cloned();
        admitted.ok_or_else(|| Error::Internal("a request that has not passed the gate".into()))
    }

    /// What the request that the present task works for has taken, to be held by work that outlasts the task.
    pub(crate) fn present() -> Option<Self> {
        PRESENT.try_with(Clone::clone).ok()
    }

    /// Runs a request's work, which finds it by [`Admitted::present`].
    pub(crate) async fn run<F: Future>(self, work: F) -> F::Output {
        PRESENT.scope(self, work).await
    }

    /// Takes the places of a call whose message is whole.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where there is none.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        self.take_places()
    }

    fn take_places(&self) -> Result<(), Error> {
        let Request { admission, lasts, parties, activity, .. } = &*self.0;
        let mut permits = vec![admission.places.take(*lasts, "the server")?];
        // A call has its connection's place already.
        let taken = self.places().permits.len();
        for party in parties.iter().skip(taken) {
            permits.push(party.place(*lasts)?);
        }
        let mut places = self.places();
        places.permits.extend(permits);
        places._busy = activity.as_ref().map(Busy::new);
        Ok(())
    }

    /// Lets one more picture into the model's queue; `None` where a party has as many there as it may.
    pub(crate) fn picture(&self) -> Option<PictureAdmitted> {
        let shares = self.0.parties.iter().map(|party| party.picture()).collect::<Option<_>>()?;
        Some(PictureAdmitted { _shares: shares, _request: self.clone() })
    }

    /// Whether it is a stream.
    pub(crate) fn lasts(&self) -> bool {
        self.0.lasts
    }

    /// Notes that something of its message has come.
    pub(crate) fn comes(&self) {
        if let Some(activity) = &self.0.activity {
            activity.touch();
        }
    }

    /// Takes room for bytes of a call's message that have come in.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where there is none.
    pub(crate) fn grow(&self, bytes: usize) -> Result<(), Error> {
        let mut message = self.message();
        match message.as_mut() {
            Some(grant) => grant.grow(bytes),
            None => {
                *message = Some(self.pool().take(&self.0.parties, bytes)?);
                Ok(())
            }
        }
    }

    /// Lets the room of the message before go and takes that of the next, which is announced, as far as nobody waits for
    /// it; whether there was room.
    pub(crate) fn next_message(&self, bytes: usize) -> bool {
        let mut message = self.message();
        *message = None;
        *message = self.pool().take(&self.0.parties, bytes.min(self.pool().share())).ok();
        message.is_some()
    }

    /// As [`Admitted::next_message`], but waits for the room.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where nothing is given back for `limits.stall_seconds`.
    pub(crate) fn next_message_when_free(
        &self,
        bytes: usize,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'static + use<> {
        let admitted = self.clone();
        async move {
            let Request { admission, parties, .. } = &*admitted.0;
            let pool = admitted.pool().clone();
            let bytes = bytes.min(pool.share());
            let grant = pool.take_when_free(parties.clone(), bytes, admission.stall).await?;
            *admitted.message() = Some(grant);
            Ok(())
        }
    }

    /// Holds room for a part of a stream that is kept while the stream goes on: that of the message that brought it, of
    /// which the rest is given back, and more where it has not enough.
    ///
    /// # Errors
    /// [`Error::Exhausted`] when there is no room for what is more by much.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Held, Error> {
        let mut message = self.message();
        let missing = bytes.saturating_sub(message.as_ref().map_or(0, Grant::bytes));
        let more = match missing {
            0 => None,
            missing if missing <= SMALL_SURPLUS => Some(self.pool().take_anyway(&self.0.parties, missing)),
            missing => Some(self.pool().take(&self.0.parties, missing)?),
        };
        let moved = message.take().map(|mut message| message.split(bytes));
        Ok(Held { _grants: [moved, more] })
    }

    /// Gives the room of a message back of which nothing is kept.
    pub(crate) fn forget_message(&self) {
        *self.message() = None;
    }

    /// Notes that the server works on what came, until the result is dropped.
    pub(crate) fn works(&self) -> Working {
        self.turn().begin(Instant::now());
        Working(self.clone())
    }

    /// For how long the server has worked on what came.
    pub(crate) fn worked(&self) -> Duration {
        self.turn().worked(Instant::now())
    }

    /// Ends when a stream waits for room that this one has a part of: then what is held is to be stored, however little it
    /// is.
    pub(crate) async fn crowded(&self) {
        self.0.admission.streams.is_waited_for(&self.0.parties).await;
    }

    /// Takes room for an answer until it is read: that of a call, or one of a stream that is in memory as a whole.
    ///
    /// # Errors
    /// [`Error::Exhausted`] for a large one where there is none.
    pub(crate) fn answer(&self, bytes: usize) -> Result<Grant, Error> {
        let (answers, parties) = (&self.0.admission.answers, &self.0.parties);
        if bytes <= SMALL_ANSWER {
            Ok(answers.take_anyway(parties, bytes))
        } else {
            answers.take(parties, bytes)
        }
    }

    fn pool(&self) -> &Arc<Pool> {
        let Admission { calls, streams, .. } = &*self.0.admission;
        if self.0.lasts { streams } else { calls }
    }

    fn places(&self) -> MutexGuard<'_, Taken> {
        // Places are put in whole.
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self) -> MutexGuard<'_, Option<Grant>> {
        self.0.message.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
