//! Everything that the server and the trainer read from outside, one function each that takes any bytes.
//!
//! Each fails by panicking. Under `cargo fuzz` (`just fuzz`) the bytes are a fuzzer's, in `cargo test` the committed
//! corpora and mutations of them.

mod bundle;
mod config;
mod dataset;
mod image;
mod onnx;
mod requests;

pub use bundle::{TinyBackbone, bundle};
pub use config::config;
pub use dataset::dataset;
pub use image::image;
pub use onnx::onnx;
pub use requests::{requests, streamed};

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every target under its name, which is that of its corpus too.
pub const TARGETS: [(&str, Target); 6] = [
    ("image", image),
    ("bundle", bundle),
    ("onnx", onnx),
    ("requests", requests),
    ("config", config),
    ("dataset", dataset),
];
