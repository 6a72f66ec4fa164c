//! Why a stream was cut off, and whether trying again may help.

use anyhow::anyhow;
use std::error::Error;
use tonic::{Code, Status};

/// How tonic begins a status of its own that keeps no source.
const OF_TRANSPORT: [&str; 3] = ["Service was not ready", "h2 protocol error", "transport error"];

/// Why a stream was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The connection broke or could not be made; the server said nothing.
    Connection,
    /// The server is starting or ending.
    Unavailable,
    /// The server has no room for it now.
    Exhausted,
    /// A deadline passed, the server's for a stream that stands still too: this machine was suspended, or the program was.
    Late,
    /// The server refused the stream.
    Refused,
}

impl Interruption {
    /// Why a stream ended with this status. One that the server sent has no source; what tonic makes of a broken connection
    /// has, under several codes.
    pub(crate) fn of(status: &Status) -> Self {
        let is_transport = status.source().is_some()
            || (status.code() == Code::Unknown
                && OF_TRANSPORT.iter().any(|start| status.message().starts_with(start)));
        match status.code() {
            _ if is_transport => Self::Connection,
            Code::Unavailable => Self::Unavailable,
            Code::ResourceExhausted => Self::Exhausted,
            Code::DeadlineExceeded => Self::Late,
            _ => Self::Refused,
        }
    }

    /// Whether another try may go well.
    pub(crate) fn passes(self) -> bool {
        match self {
            Self::Connection | Self::Unavailable | Self::Exhausted | Self::Late => true,
            Self::Refused => false,
        }
    }

    /// Whether another try at once would most likely meet the same.
    pub(crate) fn needs_pause(self) -> bool {
        matches!(self, Self::Connection | Self::Unavailable | Self::Late)
    }

    /// The error of an upload that is given up. The sources of a broken connection are left out: it worked before, and they
    /// would be read as a mistake with encryption.
    pub(crate) fn into_error(self, status: Status) -> anyhow::Error {
        let error = anyhow::Error::from(status);
        match self {
            Self::Connection => {
                anyhow!("the connection to the server was lost and did not come back: {}", error.root_cause())
            }
            Self::Unavailable | Self::Exhausted | Self::Late | Self::Refused => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_client::TlsMistake;
    use std::io::{self, ErrorKind};

    #[test]
    fn a_broken_connection_is_told_from_a_refusal() {
        let reset = || Status::from_error(Box::new(io::Error::from(ErrorKind::ConnectionReset)));
        assert_eq!((reset().code(), Interruption::of(&reset())), (Code::Unknown, Interruption::Connection));
        for (status, cut, passes) in [
            (
                Status::unknown("h2 protocol error: error reading a body from connection"),
                Interruption::Connection,
                true,
            ),
            (Status::unavailable("starting"), Interruption::Unavailable, true),
            (Status::resource_exhausted("full"), Interruption::Exhausted, true),
            (Status::deadline_exceeded("nothing came for 60 seconds"), Interruption::Late, true),
            (Status::unknown("something else"), Interruption::Refused, false),
            (Status::invalid_argument("no"), Interruption::Refused, false),
            (Status::permission_denied("no"), Interruption::Refused, false),
        ] {
            assert_eq!((Interruption::of(&status), cut.passes()), (cut, passes), "{status}");
        }
    }

    #[test]
    fn a_connection_that_worked_is_no_mistake_with_encryption() {
        let address = "http://127.0.0.1:7700";
        let status = || Status::from_error(Box::new(io::Error::from(ErrorKind::ConnectionReset)));
        assert!(TlsMistake::of(&status(), address).is_some());
        let error = Interruption::Connection.into_error(status());
        assert_eq!(TlsMistake::of(&*error, address), None, "{error:#}");
        assert!(error.to_string().starts_with("the connection to the server was lost"), "{error:#}");
    }
}
