//! Bytes that messages take in memory: so many in all, and nobody has more than half of them.

use super::party::{Parties, Party};
use crate::error::Error;
use futures_util::future::select_all;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// What bytes are of. Each kind has a pool of its own, so that none takes room from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Messages of calls, as they come in.
    Calls,
    /// Messages of streams, until what they carry is stored.
    Streams,
    /// Answers of calls, until they are given to the transport, and images that go in pieces, until they are read.
    Answers,
}

impl Kind {
    /// For refusals.
    fn name(self) -> &'static str {
        match self {
            Self::Calls | Self::Streams => "bytes of requests in flight",
            Self::Answers => "bytes of answers waiting to be read",
        }
    }
}

/// A pool of bytes.
#[derive(Debug)]
pub(super) struct Pool {
    kind: Kind,
    /// Bytes in all, and those that one party may have of them.
    most: usize,
    share: usize,
    /// Shares are counted in the parties, and change under this lock alone.
    used: Mutex<usize>,
    /// Told whenever bytes are given back.
    freed: Notify,
    /// Those that wait for room while all of it is taken.
    waiting: watch::Sender<usize>,
}

impl Pool {
    /// A pool of so many bytes, of which one party has a share at most.
    pub(super) fn new(kind: Kind, most: usize, share: usize) -> Arc<Self> {
        let (used, freed, waiting) = (Mutex::new(0), Notify::new(), watch::Sender::new(0));
        Arc::new(Self { kind, most, share, used, freed, waiting })
    }

    /// Bytes that one party may have at most.
    pub(super) fn share(&self) -> usize {
        self.share
    }

    /// Takes bytes at once.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where a party's share, or the pool, has no room for them.
    pub(super) fn take(self: &Arc<Self>, parties: &Parties, bytes: usize) -> Result<Grant, Error> {
        self.try_take(parties, bytes).map_err(|full| self.refusal(full))
    }

    /// The error is whose share is full; `None` for the pool.
    fn try_take<'a>(
        self: &Arc<Self>,
        parties: &'a Parties,
        bytes: usize,
    ) -> Result<Grant, Option<&'a Party>> {
        let mut used = self.lock();
        let of = |party: &Party| party.bytes(self.kind).load(Ordering::Relaxed);
        let full = parties.iter().find(|party| of(party).saturating_add(bytes) > self.share);
        if let Some(party) = full {
            return Err(Some(party));
        }
        if used.saturating_add(bytes) > self.most {
            return Err(None);
        }
        Ok(self.counted(&mut used, parties, bytes))
    }

    /// Takes bytes that are there already and too few to matter, whether or not there is room for them.
    pub(super) fn take_anyway(self: &Arc<Self>, parties: &Parties, bytes: usize) -> Grant {
        let mut used = self.lock();
        self.counted(&mut used, parties, bytes)
    }

    fn counted(self: &Arc<Self>, used: &mut usize, parties: &Parties, bytes: usize) -> Grant {
        *used += bytes;
        for party in parties.iter() {
            party.bytes(self.kind).fetch_add(bytes, Ordering::Relaxed);
        }
        Grant { pool: self.clone(), parties: parties.clone(), bytes }
    }

    /// Waits until there is room. All of it is taken at once, so that nobody holds a part and waits for the rest.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where there never will be room, or nothing was given back for so long.
    pub(super) async fn take_when_free(
        self: Arc<Self>,
        parties: Parties,
        bytes: usize,
        stall: Duration,
    ) -> Result<Grant, Error> {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // From here on what is given back is noticed.
            freed.as_mut().enable();
            let full = match self.try_take(&parties, bytes) {
                Ok(grant) => return Ok(grant),
                Err(full) => full,
            };
            let _waiting = Waiting::new(full.map_or(&self.waiting, Party::waiting));
            if bytes > self.share || timeout(stall, freed).await.is_err() {
                return Err(self.refusal(full));
            }
        }
    }

    /// Ends when somebody waits for room that these parties, or all, have taken.
    pub(super) async fn is_waited_for(&self, parties: &Parties) {
        let all = parties.iter().map(|party| party.waiting()).chain([&self.waiting]);
        let waiting = all.map(|waiting| {
            let mut waiting = waiting.subscribe();
            // The sender lives as long as its pool or party.
            Box::pin(async move { drop(waiting.wait_for(|waiting| *waiting > 0).await) })
        });
        select_all(waiting).await;
    }

    /// The refusal of those who have what they may already.
    pub(super) fn refuses(&self, parties: &Parties) -> Option<Error> {
        let used = self.lock();
        let has_all = |party: &&Arc<Party>| party.bytes(self.kind).load(Ordering::Relaxed) >= self.share;
        let full = parties.iter().find(has_all).map(|party| &**party);
        (full.is_some() || *used >= self.most).then(|| self.refusal(full))
    }

    fn refusal(&self, full: Option<&Party>) -> Error {
        let (whose, what) = (full.map_or("the server", Party::whose), self.kind.name());
        Error::Exhausted(format!("{whose} has as many {what} as it may; try again in a moment"))
    }

    fn give_back(&self, parties: &Parties, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut used = self.lock();
        *used -= bytes;
        for party in parties.iter() {
            party.bytes(self.kind).fetch_sub(bytes, Ordering::Relaxed);
        }
        drop(used);
        self.freed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // Nothing between two changes of one operation can panic.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        *self.lock()
    }
}

/// Somebody who waits; until dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

/// Bytes of a pool; given back when dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    pool: Arc<Pool>,
    parties: Parties,
    bytes: usize,
}

impl Grant {
    /// Takes more at once.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let mut more = self.pool.take(&self.parties, bytes)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }

    /// Gives up to so many bytes back.
    pub(crate) fn release(&mut self, bytes: usize) {
        drop(self.split(bytes));
    }

    /// Parts with up to so many bytes.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { pool: self.pool.clone(), parties: self.parties.clone(), bytes }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.pool.give_back(&self.parties, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn one(party: Party) -> Parties {
        Parties::from([Arc::new(party)])
    }

    fn connection() -> Parties {
        one(Party::connection(&Limits::default()))
    }

    #[test]
    fn nobody_takes_more_than_half_and_everything_comes_back() {
        let pool = Pool::new(Kind::Calls, 100, 50);
        let (one, other) = (connection(), self::one(Party::token(&Limits::default())));
        let mut held = pool.take(&one, 40).expect("there is room");
        held.grow(10).expect("half of it");
        let refused = held.grow(1).expect_err("more than half").to_string();
        assert!(refused.starts_with("this connection has as many bytes of requests"), "{refused}");
        assert!(pool.refuses(&one).is_some() && pool.refuses(&other).is_none());
        let theirs = pool.take(&other, 50).expect("the other half");
        assert!(pool.take(&self::one(Party::address(&Limits::default())), 1).is_err(), "all of it is taken");
        let part = held.split(30);
        drop(held);
        assert_eq!((pool.used(), part.bytes()), (80, 30));
        drop((part, theirs));
        assert_eq!(pool.used(), 0);
        assert!(pool.take(&one, 50).is_ok(), "the share came back, too");
    }

    #[tokio::test]
    async fn whoever_waits_gets_its_room_when_there_is_some() {
        let pool = Pool::new(Kind::Streams, 100, 50);
        let party = connection();
        let held = pool.take(&party, 50).expect("there is room");
        let long = Duration::from_secs(600);
        let waiting = tokio::spawn(pool.clone().take_when_free(party.clone(), 20, long));
        pool.is_waited_for(&party).await;
        drop(held);
        assert_eq!(waiting.await.expect("no panic").expect("there is room").bytes(), 20);
    }

    #[tokio::test]
    async fn who_waits_for_its_own_share_is_nobody_elses_affair() {
        let pool = Pool::new(Kind::Streams, 100, 50);
        let (one, other) = (connection(), connection());
        let _held = pool.take(&one, 50).expect("there is room");
        let waiting = pool.clone().take_when_free(one.clone(), 1, Duration::from_secs(600));
        tokio::select! {
            biased;
            _ = waiting => panic!("its share is full"),
            () = pool.is_waited_for(&other) => panic!("the other half is free"),
            () = pool.is_waited_for(&one) => {}
        }
    }

    #[tokio::test]
    async fn whoever_waits_in_vain_is_told() {
        let pool = Pool::new(Kind::Streams, 100, 50);
        let party = connection();
        let _held = pool.take(&party, 50).expect("there is room");
        let soon = Duration::from_millis(10);
        assert!(pool.clone().take_when_free(party.clone(), 20, soon).await.is_err(), "nothing is given back");
        let never = pool.clone().take_when_free(party, 51, Duration::from_secs(600)).await;
        assert!(never.is_err(), "more than a share");
    }
}
