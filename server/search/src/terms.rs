//! A query beside the columns and items that it is about.

use crate::allowed::Allowed;
use crate::codes::{ItemCodes, Refiner};
use crate::kernels::{self, Rows, Tables};
use crate::{Instructions, PlanKind, SearchTerm, SignatureColumn, Slot, TermDistance};

/// A query that is ready to run.
pub(crate) struct Query<'a> {
    /// Heaviest first.
    pub(crate) terms: Vec<BoundTerm<'a>>,
    pub(crate) allowed: Allowed<'a>,
    /// Items that pass the filter, whatever places are searched.
    pub(crate) items_passing: u64,
    pub(crate) k: usize,
    /// What the distance of a hit must not exceed; infinite where anything goes.
    pub(crate) distance_max: f64,
    /// The plan that the caller asks for.
    pub(crate) wanted: Option<PlanKind>,
}

/// One column in play.
#[derive(Clone, Copy)]
pub(crate) struct BoundTerm<'a> {
    pub(crate) column: &'a SignatureColumn,
    pub(crate) vector: &'a [f32],
    pub(crate) weight: f64,
    /// What an item without a signature is scored by.
    pub(crate) expected: f32,
}

impl<'a> BoundTerm<'a> {
    pub(crate) fn new(column: &'a SignatureColumn, term: &'a SearchTerm) -> Self {
        let SearchTerm { column: _, vector, weight, expected } = term;
        Self { column, vector, weight: *weight, expected: *expected }
    }

    /// The same of the pictures of items that have several.
    pub(crate) fn of_pictures(&self) -> Self {
        Self { column: self.column.of_pictures(), ..*self }
    }

    /// What the compressed scan needs; `None` when the column has no codes.
    pub(crate) fn tables(&self) -> Option<Tables> {
        let codec = self.column.codec()?;
        Some(codec.tables(self.vector, self.weight as f32, self.expected))
    }

    /// What a refined estimate needs; `None` when the column has no codes.
    pub(crate) fn refiner(&self) -> Option<Refiner<'a>> {
        Some(self.column.codec()?.refiner(self.vector))
    }

    /// The distance of the item in a slot by both of its codes, or in full where the column has none.
    pub(crate) fn refined(&self, refiner: Option<&Refiner<'_>>, slot: Slot) -> f32 {
        match (refiner, self.column.item_codes(slot)) {
            (Some(refiner), Some(codes)) => refiner.distance(codes),
            _ => self.distance(slot),
        }
    }

    /// Makes the read of an item's codes shorter that will be looked at soon.
    pub(crate) fn prefetch_codes(&self, slot: Slot) {
        if let Some(ItemCodes { group, at: _, finer }) = self.column.item_codes(slot) {
            kernels::prefetch_values(group);
            kernels::prefetch_values(finer);
        }
    }

    /// The distance of the item in a slot: the expected one when it has no signature.
    pub(crate) fn distance(&self, slot: Slot) -> f32 {
        let squared = |row: Rows<'_>| kernels::squared_distance(Instructions::best(), self.vector, row);
        self.column.with_row(slot, squared).map_or(self.expected, f32::sqrt)
    }

    /// The term as a hit has it.
    pub(crate) fn term_distance(&self, slot: Slot) -> TermDistance {
        TermDistance { distance: self.distance(slot), missing: !self.column.has(slot) }
    }
}
