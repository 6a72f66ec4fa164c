//! From garment photos to attribute signatures.
//!
//! A photo is fitted to a square [`Canvas`], the [`Backbone`] turns it into features, part extraction finds the
//! garment's regions, and each [`Head`] reads its region or its views and gives a [`Signature`] and label scores.
//! Serving and training lie in other crates.

mod backbone;
mod bundle;
mod colour;
mod embedder;
mod features;
mod feedback;
mod graph;
mod hash;
mod head;
mod jpeg;
mod labels;
mod level;
mod manifest;
mod mask;
mod parts;
mod photo;
mod product;
mod prototype;
mod region;
mod relabel;
mod roi;
mod shipped;
mod signature;
mod signing;
#[cfg(test)]
mod testing;
mod view;

pub use backbone::{
    AlexNet, AlexNetError, Architecture, Backbone, BackboneError, BackboneFault, BackboneManifest,
    FeatureLayout, InvertedResidual, Map, MapShape, NetworkKind, PIPELINE, PROMPT_BYTES_MAX, Source, Tap,
    TextConfig, TextError, TextTower, TransformerConfig, TransformerKind, Views, ViewsError, load_backbone,
};
pub use bundle::{Bundle, BundleError, Weights};
pub use embedder::{EmbedError, Embedded, Embedder, Embedding, HeadFault, PARTS_ATTRIBUTE};
pub use features::Features;
pub use feedback::{PICKS_SHARE, PickDistances, blended, contrasted_weights, personalised_weights};
pub use graph::GraphError;
pub use hash::{sha256, sha256_hex};
pub use head::{Head, LabelScore, Prototype};
pub use labels::Labels;
pub use level::Level;
pub use manifest::{Attribute, FORMAT, HeadKind, Manifest, SignatureKind, is_name};
pub use mask::{MaskHead, MaskLayers, MaskManifest, Odds, between};
pub use parts::extract_parts;
pub use photo::{Canvas, Content, Photo, PhotoError, PhotoLimits, photo_format, photo_pixels};
pub use prototype::SignatureSum;
pub use region::{Parts, PartsCase, Rect, Region};
pub use relabel::{LabelChange, LabelFault, RelabelError, relabel};
pub use roi::{pool_region, pooled_len};
pub use shipped::{ALEXNET_FILE, BACKBONE_FILE, EXTRACT_PARTS_FILE, alexnet_folder, shipped_folder};
pub use signature::{Signature, SignatureError, distance};
pub use signing::{BundleKey, KeyError, new_bundle_keys, sign_bundle};
pub use view::{Square, View};

// For training alone, which computes what serving does and writes what it reads.
pub use backbone::inverted;
pub use backbone::{CONV5, LAYERS as BACKBONE_LAYERS, VisionTransformer, cloth_colours, plain_conv5};
pub use embedder::case_of;
pub use head::store_prototypes;
pub use parts::Silhouette;
pub use roi::crop_matrix;
pub use signature::probabilities;
