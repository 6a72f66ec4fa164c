//! How local columns choose and run their plans.

use crate::{Costs, Instructions};

/// Results that may be missing from an answer on average, as a share of those found, were the errors normal and alike. They
/// have longer tails, since signatures of looser labels are coded worse: at 0.0005 about 0.002 were missed of a million.
const MISSES_DEFAULT: f64 = 0.00005;

/// How local columns choose and run their plans.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// What the parts of a scan cost.
    pub costs: Costs,
    /// The instructions that the scans use.
    pub instructions: Instructions,
    /// Results that a scan of codes may miss on average, as a share of those found.
    pub misses: f64,
}

impl Tuning {
    /// What this machine does best; measured on first use, in about 100 milliseconds.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self { costs: Costs::of_this_machine(), instructions: Instructions::best(), misses: MISSES_DEFAULT }
    }
}
