//! Linear probes: heads on the vectors of a backbone of views, one for each attribute.
//!
//! A probe is a convex fit, so the same labels give the same head, other labels another one, and teaching an attribute
//! touches no other. What it is worth is measured by cross-validation over photos; the probabilities that come out of
//! it are calibrated, choose the weights for edits and are the prototypes.

mod draws;
mod edits;
mod fit;
mod measure;
mod model;
mod recomposed;
mod table;
mod tune;
mod vectors;

pub use draws::Draw;
pub use edits::{
    Choice, Edit, EditTable, EditWeights, EditedHead, Shares, choose_weights, draw_edits, edit_table,
};
pub use fit::{FOLDS, LABEL_MIN, Pictures, Probe, fit_probe};
pub use lapel_fit::{Scaling, accuracy, argmax, calibration_error, signature, thresholds};
pub use measure::{Confusion, LabelMeasurement, Measurement, WrongPhoto};
pub use model::{ProbeModel, numbers, probe_bundles};
pub use recomposed::Recomposed;
pub use table::{Fault, Table, TablePhoto, is_set_aside};
pub use tune::{Epoch, TuneSettings, tune};
pub use vectors::{Picture, VectorCache};
