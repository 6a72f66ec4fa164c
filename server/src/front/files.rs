//! Files that the process may have open, of which every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the server has open besides connections, at most about so many.
const OWN_FILES: u64 = 128;

/// Asks the system for as many files as so many connections take, as far as an ordinary process may; says so in the log where
/// that is less.
pub(crate) fn allow(connections_max: usize) {
    let wanted = connections_max as u64 + OWN_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None`: there is no limit.
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let most = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum });
    if most < wanted || raised.is_err() {
        tracing::warn!(
            files = current.unwrap_or(most).max(most),
            wanted,
            "fewer files may be open than limits.connections_max takes; raise the limit (ulimit -n, LimitNOFILE)"
        );
    }
}
