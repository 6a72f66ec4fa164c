//! Strangers of one kind: so many at a time, one after the other, until they are told to leave.

use super::target::Target;
use super::{cancelled, dripping, half_open, idle, malformed, oversized, silent, slow, unread};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// What a client of HTTP/2 says first, with empty settings.
pub(super) const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Kinds of strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sockets that say nothing, or not enough, or nothing more.
    Silent,
    /// What they say comes byte by byte.
    Dripping,
    /// Calls whose message never ends.
    HalfOpen,
    /// Searches by photos of 40 megapixels whose callers leave.
    Cancelled,
    /// Messages beyond the bound.
    Oversized,
    /// What is no message, or no HTTP/2, or asks for nothing that there is.
    Malformed,
    /// Uploads that send an item and nothing more.
    Idle,
    /// Exports that are read slowly, or not at all.
    Slow,
    /// Calls whose answers are not read.
    Unread,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Silent,
        Self::Dripping,
        Self::HalfOpen,
        Self::Cancelled,
        Self::Oversized,
        Self::Malformed,
        Self::Idle,
        Self::Slow,
        Self::Unread,
    ];

    /// For reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent sockets",
            Self::Dripping => "slow drips",
            Self::HalfOpen => "half-open streams",
            Self::Cancelled => "cancelled photos",
            Self::Oversized => "oversized messages",
            Self::Malformed => "malformed messages",
            Self::Idle => "idle uploads",
            Self::Slow => "slow readers",
            Self::Unread => "unread answers",
        }
    }

    /// Strangers at a time, and how soon one follows the other. Where the server has a bound on the address or the
    /// connection, more come than it lets in.
    fn pace(self) -> (usize, Duration) {
        let (at_once, every_ms) = match self {
            Self::Silent => (600, 10),
            Self::Dripping => (32, 50),
            // More than there are places for calls.
            Self::HalfOpen => (300, 20),
            // A decoder is busy with such a photo to its end. Faster than the machine decodes them they would be an
            // overload, which `just overload` is about.
            Self::Cancelled => (4, 1000),
            Self::Oversized => (4, 500),
            Self::Malformed => (8, 20),
            Self::Idle => (40, 50),
            Self::Slow => (40, 250),
            Self::Unread => (300, 50),
        };
        (at_once, Duration::from_millis(every_ms))
    }

    /// Where they come from. The good searches come from 127.0.0.1.
    pub(super) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 0, 2 + self as u8)
    }

    async fn visit(self, server: Target, number: u64) -> End {
        match self {
            Self::Silent => silent::visit(server, number).await,
            Self::Dripping => dripping::visit(server, number).await,
            Self::HalfOpen => half_open::visit(server).await,
            Self::Cancelled => cancelled::visit(server, number).await,
            Self::Oversized => oversized::visit(server, number).await,
            Self::Malformed => malformed::visit(server, number).await,
            Self::Idle => idle::visit(server).await,
            Self::Slow => slow::visit(server, number).await,
            Self::Unread => unread::visit(server, number).await,
        }
    }
}

/// How a visit ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// The server did what it was asked.
    Answered,
    /// The server refused it, gave it up, or closed the connection.
    Refused,
    /// The stranger had enough.
    Left,
}

impl End {
    /// That of a call.
    pub(super) fn of<T>(answer: &Result<T, tonic::Status>) -> Self {
        if answer.is_ok() { Self::Answered } else { Self::Refused }
    }
}

/// What the strangers of one kind did. Those that had not ended when all were told to leave are in `begun` alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deeds {
    /// Visits.
    pub begun: u64,
    /// Of these, ended with the answer that a good caller gets.
    pub answered: u64,
    /// Refused, given up or closed by the server.
    pub refused: u64,
    /// Left by the stranger himself.
    pub left: u64,
}

impl Deeds {
    fn note(&mut self, end: End) {
        match end {
            End::Answered => self.answered += 1,
            End::Refused => self.refused += 1,
            End::Left => self.left += 1,
        }
    }
}

/// Keeps strangers coming until they are told to leave. When it returns, none of them holds a connection.
pub(super) async fn crowd(kind: Kind, server: Target, leave: CancellationToken) -> Deeds {
    let (at_once, every) = kind.pace();
    let (mut here, mut deeds) = (JoinSet::new(), Deeds::default());
    let mut next = interval(every);
    // Who is late does not bring the others along.
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while leave.run_until_cancelled(next.tick()).await.is_some() {
        while let Some(ended) = here.try_join_next() {
            deeds.note(ended.expect("no stranger panics"));
        }
        if here.len() < at_once {
            here.spawn(kind.visit(server.of(deeds.begun), deeds.begun));
            deeds.begun += 1;
        }
    }
    here.shutdown().await;
    deeds
}
