//! Training of heads on cached conv5 features (sections 4.4, 4.5 and 6).
//!
//! Photos and rendered garments become [`Example`]s; their feature maps and parts are computed once and cached
//! on disk ([`FeatureCache`]); each head is then trained in two stages ([`train_head`]) and written as a bundle.

mod backbone_trainer;
mod canvases;
mod checkpoint;
mod examples;
mod features;
mod head_trainer;
mod inputs;
mod loss;
mod prepared;
mod recipe;
mod sgd;
mod triplets;
mod vocabulary;

pub use backbone_trainer::{BackboneData, BackboneSchedule, train_backbone};
pub use canvases::CanvasCache;
pub use examples::{Example, Source, examples_of_photos, examples_of_renders, parts_case};
pub use features::{FeatureCache, Pooled};
pub use head_trainer::{HeadData, Progress, Schedule, TrainError, Trained, train_head};
pub(crate) use loss::hinge;
pub use prepared::Prepared;
pub use recipe::{HeadRecipe, Input, Ranking, is_special};
pub(crate) use sgd::Sgd;
