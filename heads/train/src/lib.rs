//! Training and evaluation of Lapel's backbone and heads.
//!
//! Data sets ([`dataset`]) give [`Example`]s: photos and rendered garments. Their feature maps and parts are computed
//! once and cached on disk ([`FeatureCache`]); the backbone is fine-tuned ([`train_backbone`]); each head is then
//! trained in two stages ([`train_head`], sections 4.4, 4.5 and 6) and written as a bundle. The compared [`systems`]
//! are measured ([`evaluate`]) and shown ([`report`]).

mod adam;
mod backbone;
mod backbone_trainer;
mod canvases;
mod checkpoint;
pub mod dataset;
pub mod evaluate;
mod examples;
mod feature_table;
mod features;
mod head_trainer;
mod inputs;
mod loss;
mod mask_trainer;
mod network;
mod npy;
mod prepared;
pub mod probes;
mod published;
mod recipe;
mod region_vectors;
pub mod report;
mod saliency;
mod sgd;
pub mod systems;
pub mod taught;
mod triplets;
mod vocabulary;
mod whole_file;

pub(crate) use adam::Adam;
pub use backbone::{Gradients, Tape, TrainableAlexNet, TrainableInverted, max_pool};
pub use backbone_trainer::{BackboneData, BackboneSchedule, train_backbone};
pub use canvases::CanvasCache;
pub use examples::{Example, Source, examples_of_photos, examples_of_renders, parts_case};
pub use feature_table::{FeaturePhoto, feature_photos, write_features};
pub use features::{FeatureCache, Pooled};
pub use head_trainer::{HeadData, Progress, Schedule, TrainError, Trained, train_head};
pub(crate) use loss::hinge;
pub use mask_trainer::{MaskLesson, agreement, train_mask};
pub use network::{Network, NetworkConfig};
pub use prepared::Prepared;
pub use published::{Published, published_backbone, whole_network};
pub use recipe::{HeadRecipe, Input, Ranking, is_special};
pub use saliency::{SALIENCY_SIDE, Saliency, TEACHER_SIDE};
pub(crate) use sgd::Sgd;
pub use whole_file::write_whole;
