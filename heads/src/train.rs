//! Training of heads on cached conv5 features (sections 4.4, 4.5 and 6).
//!
//! Photos and rendered garments become [`Example`]s; their feature maps and parts are computed once and cached
//! on disk ([`FeatureCache`]); each head is then trained in two stages ([`train_head`]) and written as a bundle.

mod examples;
mod features;
mod head_trainer;
mod recipe;
mod sgd;
mod triplets;

pub use examples::{Example, Source, examples_of_photos, examples_of_renders, parts_case};
pub use features::FeatureCache;
pub use head_trainer::{Progress, Schedule, TrainError, train_head};
pub use recipe::{HeadRecipe, recipes};
