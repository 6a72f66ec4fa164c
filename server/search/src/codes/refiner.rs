//! A query's distance to one signature by both of its codes: closer than the scan's estimate, cheaper than an exact look.

use super::codec::Codec;
use super::finer::FinerProducts;
use super::products::Products;
use crate::kernels::{CELLS, GROUP, byte_of};
use std::cell::OnceCell;

/// The codes of one item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemCodes<'a> {
    /// Those of its group.
    pub(crate) group: &'a [u8],
    /// Its position there.
    pub(crate) at: usize,
    /// Its finer code.
    pub(crate) finer: &'a [u8],
}

/// Estimates distances of one query to signatures of one column, one by one.
pub(crate) struct Refiner<'a> {
    codec: &'a Codec,
    query: &'a [f32],
    products: Products,
    /// By cell, made when the first signature of it is met: a query meets few of them.
    finer: [OnceCell<FinerProducts>; CELLS],
}

impl<'a> Refiner<'a> {
    pub(super) fn new(codec: &'a Codec, query: &'a [f32], products: Products) -> Self {
        Self { codec, query, products, finer: [const { OnceCell::new() }; CELLS] }
    }

    /// The estimated Euclidean distance of the query to a coded signature.
    pub(crate) fn distance(&self, codes: ItemCodes<'_>) -> f32 {
        let ItemCodes { group, at, finer } = codes;
        let byte = byte_of(at);
        let mut fields = group.chunks_exact(GROUP).map(|field| field[byte]);
        let (cell, share) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
        let of_cell = usize::from(cell) % CELLS;
        let products = self.finer[of_cell]
            .get_or_init(|| self.codec.finer_products(self.query, of_cell, self.products.centres[of_cell]));
        let residual = self.products.residual(fields) + products.product(finer);
        (2.0 * self.products.half(cell, share, residual)).sqrt()
    }
}
