//! Weights: the heads' own, named, or personalised; scaled to sum to the number of heads in play.

use super::manipulate::ManipulationEffect;
use super::query::{QueryView, unknown_head};
use crate::catalogue::{Column, Slot, Snapshot};
use crate::error::{Error, Violation};
use crate::kernels::{self, Level, Tables};
use std::collections::BTreeMap;

/// How much each head counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Weighting {
    /// Every head has the weight of its bundle, which is 1 (Eq. 4) unless that says otherwise, times the bundle's
    /// `changed_weight` where one of its attributes is edited.
    #[default]
    Own,
    /// By head or attribute.
    Named {
        /// Finite, not negative.
        by_name: BTreeMap<String, f64>,
        /// Whether heads not named weigh 0 instead of their own.
        only_named: bool,
    },
}

/// One head in play.
pub(super) struct QueryTerm<'a> {
    pub(super) column: &'a Column,
    pub(super) vector: Vec<f32>,
    pub(super) weight: f64,
    /// What an item without a signature is scored by.
    pub(super) expected: f32,
}

impl QueryTerm<'_> {
    /// What the compressed scan needs; `None` when the column has no codes.
    pub(super) fn tables(&self) -> Option<Tables> {
        let codec = self.column.codec()?;
        Some(codec.tables(&self.vector, self.weight as f32, self.expected))
    }

    /// The distance of the item in a slot: the expected one when it has no signature.
    pub(super) fn distance(&self, slot: Slot) -> f32 {
        let squared = |row| kernels::squared_distance(Level::best(), &self.vector, row);
        self.column.row(slot).map_or(self.expected, |row| squared(row).sqrt())
    }
}

/// The heads in play, heaviest first, so that a scan can give an item up early.
pub(super) fn terms<'a>(
    snapshot: &'a Snapshot,
    view: &QueryView,
    (weighting, effects): (&Weighting, &[ManipulationEffect]),
) -> Result<Vec<QueryTerm<'a>>, Error> {
    let (named, only_named) = match weighting {
        Weighting::Own => (BTreeMap::new(), false),
        Weighting::Named { by_name, only_named } => (head_weights(snapshot, by_name)?, *only_named),
    };
    let own = |column: &Column| {
        let manifest = column.head().manifest();
        let changed = effects.iter().any(|e| e.head == manifest.name);
        f64::from(manifest.weight) * if changed { f64::from(manifest.changed_weight) } else { 1.0 }
    };
    let mut terms = Vec::new();
    for column in snapshot.columns() {
        let name = column.head().name();
        let weight = named.get(name).copied().unwrap_or(if only_named { 0.0 } else { own(column) });
        let Some(vector) = view.vectors.get(name) else {
            if weight > 0.0 && named.contains_key(name) {
                return Err(Error::Precondition {
                    reason: "QUERY_WITHOUT_SIGNATURE",
                    message: format!("the query has no signature of head {name:?}, so it cannot be weighted"),
                });
            }
            continue;
        };
        if weight > 0.0 {
            let expected = column.expected_distance(vector);
            terms.push(QueryTerm { column, vector: vector.clone(), weight, expected });
        }
    }
    if terms.is_empty() {
        return Err(Error::invalid(
            "weights",
            "no head is left in play; give at least one head a weight above zero",
        ));
    }
    // Scaled by the largest first: the sum of finite weights may not be.
    let largest = terms.iter().map(|t| t.weight).fold(0.0, f64::max);
    let total: f64 = terms.iter().map(|t| t.weight / largest).sum();
    let count = terms.len() as f64;
    for term in &mut terms {
        term.weight = term.weight / largest / total * count;
    }
    terms.retain(|t| t.weight > 0.0);
    terms.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    Ok(terms)
}

/// Weights by head from weights by head or attribute.
///
/// # Errors
/// [`Error::NotFound`] for an unknown name, [`Error::Invalid`] for bad numbers, all at once.
pub fn head_weights(
    snapshot: &Snapshot,
    by_name: &BTreeMap<String, f64>,
) -> Result<BTreeMap<String, f64>, Error> {
    let mut weights = BTreeMap::new();
    let mut violations = Vec::new();
    for (name, weight) in by_name {
        let field = format!("weights.by_head[{name}]");
        let column = snapshot.column(name).or_else(|| snapshot.column_of_attribute(name));
        let head = column.ok_or_else(|| unknown_head(snapshot, name))?.head().name().to_owned();
        if !weight.is_finite() || *weight < 0.0 {
            violations.push(Violation::new(
                field,
                format!("{weight} is no weight; a finite number, 0 or more, is wanted"),
            ));
        } else if weights.insert(head.clone(), *weight).is_some() {
            violations.push(Violation::new(
                field,
                format!("head {head:?} is weighted twice, once by another name"),
            ));
        }
    }
    if violations.is_empty() { Ok(weights) } else { Err(Error::Invalid(violations)) }
}
