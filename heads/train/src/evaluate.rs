//! The experiments of section 7: label accuracy, retrieval with and without manipulation, personalisation.

mod accuracy;
mod interval;
mod personalisation;
mod picks;
mod protocol;
mod ranking;
mod run;

pub use accuracy::{Accuracy, Measured, accuracies, measure};
pub use interval::{Interval, Observation, bootstrap, bootstrap_difference};
pub use personalisation::{
    PersonalisationRow, PersonalisedExample, Shopper, personalisation, personalised_example, shoppers,
};
pub use picks::{Picked, PicksRow, picks};
pub use protocol::{Asked, CATEGORY, Trial, adde_trial, seed_trials, special_attributes};
pub use ranking::{Gains, Outcome, Pictures, best_gain, gain_of, outcomes, ranked, relevances};
pub use run::{
    Entrant, EntrantRun, ProtocolScores, SetReport, SystemScores, Table, TestSet, evaluate_systems,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seed for pictures that no training used.
#[must_use]
pub fn fresh_seed() -> u64 {
    ChaCha8Rng::seed_from_u64(0x1a9e1).random()
}
