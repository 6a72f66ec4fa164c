//! Linear heads on a backbone's vectors: the convex fit, its calibration, and what it is worth.
//!
//! [`teach`] fits a head to labelled examples in a running server; `lapel-train` fits its probes by the same parts. The
//! fit is convex and nothing in it is drawn at random, so that the same examples give the same bundle, byte for byte.

mod calibration;
mod error;
mod folds;
mod linear_head;
mod rotation;
mod scaling;
mod softmax;
mod suggestion;
mod teach;
mod thresholds;
mod words;
mod worth;

pub use calibration::{accuracy, argmax, calibration_error, cross_entropy, probabilities, temperature};
pub use error::TeachError;
pub use linear_head::{HeadWeights, LinearHead, add_signatures, signature};
pub use scaling::Scaling;
pub use softmax::{DECAYS, Linear, Rows, fit, select_rows};
pub use suggestion::{Unlabelled, doubt, to_label_next};
pub use teach::{Examples, Lesson, Taught, teach};
pub use thresholds::thresholds;
pub use words::{Summaries, WordedHead, from_words};
pub use worth::{Doubtful, LabelWorth, Share, Worth};
