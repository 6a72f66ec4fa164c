//! Protocol definitions of Lapel and the code generated from them.

mod codec;
mod fields;

pub use codec::{BoundedCodec, decode};
pub use fields::{FIELDS_MAX, fields_of};

/// Version 1 of the protocol; the comments are those of the `.proto` files.
#[allow(clippy::all, missing_docs)]
pub mod v1 {
    tonic::include_proto!("lapel.v1");
}

/// The compiled descriptors of every file, for reflection and for printing messages as JSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lapel.v1.bin"));
