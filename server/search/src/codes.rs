//! Compact codes of signatures: eleven bytes for 64 numbers, enough to tell which items are worth an exact look.
//!
//! A signature is coded as the nearest of 64 cells, its length along the cell's centre, one of four gains, and eighteen
//! 4-bit codes of what is left over the gain (two for every seven numbers). Signatures cluster by label, so coding the
//! residual and not the vector spends the bits on what tells items of one label apart.
//!
//! What that leaves over is coded again, in two bits a number (sixteen bytes for 64), by item and not by group: these are read
//! for the items alone that the scan of the first has left.

mod codec;
mod finer;
mod kmeans;
mod products;
mod refiner;

pub use codec::Codec;
pub(crate) use refiner::{ItemCodes, Refiner};
