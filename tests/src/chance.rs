//! Long tests of chance: how long they are, and by which seed; both can be given by the environment.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// The seed of a test that has another one each time, so that many runs of a short one try what a long one would: that in
/// `LAPEL_SEED`, or the clock's.
#[must_use]
pub fn seed() -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    given("LAPEL_SEED").unwrap_or_else(clock)
}

/// The number in the environment's variable of this name; without one, so many.
#[must_use]
pub fn so_many(name: &str, many: u64) -> u64 {
    given(name).unwrap_or(many)
}

fn given(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
