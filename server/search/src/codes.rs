//! Compact codes of signatures: ten bytes for 64 numbers, enough to tell which items are worth an exact look.
//!
//! A signature is coded as the nearest of 64 cells, one of four gains, sixteen 4-bit codes of what is left over the
//! gain (one for every four numbers), and the quantised norm of the reconstruction. Signatures cluster by label, so
//! coding the residual and not the vector spends the bits on what tells items of one label apart.

mod codec;
mod kmeans;

pub use codec::Codec;
