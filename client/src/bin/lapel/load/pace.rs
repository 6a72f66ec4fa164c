//! How requests of a load test follow each other.

use std::fmt;

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// So many a second.
    Open(f64),
    /// So many under way.
    Closed(usize),
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(rate) => write!(f, "{rate:.0} a second"),
            Self::Closed(count) => write!(f, "{count} in flight"),
        }
    }
}
