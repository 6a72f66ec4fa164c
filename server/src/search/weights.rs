//! Weights: the heads' own, named, or personalised; scaled to sum to the number of heads in play.

use super::manipulate::ManipulationEffect;
use super::query::{QueryView, unknown_head};
use crate::catalogue::Snapshot;
use crate::error::{Error, Faults, Violation};
use lapel_heads::Head;
use lapel_search::SearchTerm;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much each head counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Weighting {
    /// Every head has the weight of its bundle, which is 1 (Eq. 4) unless that says otherwise; times `changed_weight`
    /// where one of its attributes is edited, else times the confidence in the query's label to the power of
    /// `confidence`.
    #[default]
    Own,
    /// What a shopper cares for in general, by head. It takes the place of the heads' own weights; an edit is what is
    /// asked for now, so `changed_weight` still multiplies it, and a head that it gives 0 has its own weight where an
    /// edit asks for it. Heads that are not named have their own.
    Profile {
        /// Finite, not negative.
        by_name: BTreeMap<String, f64>,
    },
    /// By head or attribute, taken as they are.
    Named {
        /// Finite, not negative.
        by_name: BTreeMap<String, f64>,
        /// Whether heads not named weigh 0 instead of their own.
        only_named: bool,
    },
}

/// How a head's weight came about, before all are scaled: `given`, or else `own`, times `factor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightOrigin {
    /// The weight of its bundle.
    pub own: f64,
    /// What stood in its place.
    pub given: Option<f64>,
    /// Probability of the query's likeliest label, where the weight follows it.
    pub confidence: Option<f64>,
    /// Whether one of its attributes is edited.
    pub edited: bool,
    /// By an edit or by confidence; 1 otherwise.
    pub factor: f64,
}

/// A head's weight and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadWeight {
    /// The head.
    pub head: String,
    /// After scaling.
    pub weight: f64,
    /// Before scaling.
    pub origin: WeightOrigin,
}

/// One head in play.
pub(super) struct QueryTerm {
    pub(super) head: Arc<Head>,
    pub(super) origin: WeightOrigin,
    /// What is searched for.
    pub(super) term: SearchTerm,
}

impl QueryTerm {
    pub(super) fn head_weight(&self) -> HeadWeight {
        HeadWeight { head: self.head.name().to_owned(), weight: self.term.weight, origin: self.origin }
    }
}

/// The heads in play, heaviest first, so that a scan can give an item up early.
pub(super) fn terms(
    snapshot: &Snapshot,
    view: &QueryView,
    (weighting, effects): (&Weighting, &[ManipulationEffect]),
) -> Result<Vec<QueryTerm>, Error> {
    let given = Given::new(snapshot, weighting)?;
    let mut terms = Vec::new();
    for column in snapshot.columns() {
        let head = column.head();
        let Some(vector) = view.vectors.get(head.name()) else {
            if given.by_head.get(head.name()).is_some_and(|weight| *weight > 0.0) {
                let name = head.name();
                return Err(Error::Precondition {
                    reason: "QUERY_WITHOUT_SIGNATURE",
                    message: format!("the query has no signature of head {name:?}, so it cannot be weighted"),
                });
            }
            continue;
        };
        let origin = given.origin(head, vector, effects.iter().any(|effect| effect.head == head.name()));
        // A factor may take a weight beyond what is finite.
        let weight = (origin.given.unwrap_or(origin.own) * origin.factor).min(f64::MAX);
        if weight > 0.0 {
            let expected = column.expected_distance(vector);
            let term = SearchTerm { column: column.key().clone(), vector: vector.clone(), weight, expected };
            terms.push(QueryTerm { head: head.clone(), origin, term });
        }
    }
    if terms.is_empty() {
        return Err(Error::invalid(
            "weights",
            "no head is left in play; give at least one head a weight above zero",
        ));
    }
    // Scaled by the largest first: the sum of finite weights may not be.
    let largest = terms.iter().map(|t| t.term.weight).fold(0.0, f64::max);
    let total: f64 = terms.iter().map(|t| t.term.weight / largest).sum();
    let count = terms.len() as f64;
    for QueryTerm { term, .. } in &mut terms {
        term.weight = term.weight / largest / total * count;
    }
    terms.retain(|t| t.term.weight > 0.0);
    check_edits(&terms, &given, effects)?;
    terms.sort_by(|a, b| b.term.weight.total_cmp(&a.term.weight));
    Ok(terms)
}

/// An edit of a head that weighs nothing would be told as done and do nothing.
fn check_edits(terms: &[QueryTerm], given: &Given, effects: &[ManipulationEffect]) -> Result<(), Error> {
    let mut violations = Vec::new();
    for (at, effect) in effects.iter().enumerate() {
        let ManipulationEffect { head, manipulation, .. } = effect;
        if terms.iter().any(|term| term.head.name() == head) {
            continue;
        }
        let attribute = &manipulation.attribute;
        if given.by_head.contains_key(head) {
            violations.push(Violation::new(
                format!("manipulations[{at}]"),
                format!(
                    "{attribute} is changed, but the weight given for its head {head:?} leaves it out of the search; \
                     give it a weight above 0, or none"
                ),
            ));
        } else if given.only {
            violations.push(Violation::new(
                format!("manipulations[{at}]"),
                format!("{attribute} is changed, but only_named leaves its head {head:?} out; give it a weight too"),
            ));
        } else {
            return Err(Error::Precondition {
                reason: "EDIT_WITHOUT_WEIGHT",
                message: format!(
                    "{attribute} is changed, but the bundle of head {head:?} gives that the weight 0; \
                     give the head a weight in the request"
                ),
            });
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(Error::Invalid(violations)) }
}

/// Weights that take the place of the heads' own.
#[derive(Default)]
struct Given {
    by_head: BTreeMap<String, f64>,
    /// Whether other heads weigh 0.
    only: bool,
    /// Whether an edit still multiplies them.
    follow_edits: bool,
}

impl Given {
    fn new(snapshot: &Snapshot, weighting: &Weighting) -> Result<Self, Error> {
        Ok(match weighting {
            Weighting::Own => Self::default(),
            Weighting::Profile { by_name } => {
                Self { by_head: head_weights(snapshot, by_name)?, only: false, follow_edits: true }
            }
            Weighting::Named { by_name, only_named } => {
                Self { by_head: head_weights(snapshot, by_name)?, only: *only_named, follow_edits: false }
            }
        })
    }

    /// The one place that decides what a head weighs before scaling; `vector` is the query's.
    fn origin(&self, head: &Head, vector: &[f32], edited: bool) -> WeightOrigin {
        let manifest = head.manifest();
        let named = self.by_head.get(head.name()).copied();
        // A profile that cares nothing for a head says so in general; an edit asks for it now.
        let named = named.filter(|weight| !(edited && self.follow_edits && *weight == 0.0));
        let given = named.or(self.only.then_some(0.0));
        let confidence = if given.is_none() && !edited { confidence(head, vector) } else { None };
        let factor = match confidence {
            Some(p) => p.powf(f64::from(manifest.confidence)),
            None if edited && (given.is_none() || self.follow_edits) => f64::from(manifest.changed_weight),
            None => 1.0,
        };
        WeightOrigin { own: f64::from(manifest.weight), given, confidence, edited, factor }
    }
}

/// The probability of a query's likeliest label, where the head's weight follows it: `None` for a head that does not
/// ask for it, has several attributes, or has no classifier.
fn confidence(head: &Head, vector: &[f32]) -> Option<f64> {
    let manifest = head.manifest();
    let [attribute] = manifest.attributes.as_slice() else { return None };
    if manifest.confidence == 0.0 {
        return None;
    }
    let probability = head.predict(attribute, vector)?.probability;
    probability.is_finite().then_some(f64::from(probability))
}

/// Weights by head from weights by head or attribute.
///
/// # Errors
/// [`Error::Invalid`] or [`Error::Faults`] with all unknown names, bad numbers, and two names of one head.
pub fn head_weights(
    snapshot: &Snapshot,
    by_name: &BTreeMap<String, f64>,
) -> Result<BTreeMap<String, f64>, Error> {
    let mut weights = BTreeMap::new();
    let mut names = BTreeMap::new();
    let mut faults = Faults::default();
    for (name, weight) in by_name {
        if faults.is_full() {
            break;
        }
        let field = format!("weights.by_head[{name}]");
        if !weight.is_finite() || *weight < 0.0 {
            faults.refuse(
                field.clone(),
                format!("{weight} is no weight; a finite number, 0 or more, is wanted"),
            );
        }
        let Some(column) = snapshot.column(name).or_else(|| snapshot.column_of_attribute(name)) else {
            faults.unmet(field, unknown_head(snapshot, name));
            continue;
        };
        let head = column.head().name().to_owned();
        if let Some(other) = names.insert(head.clone(), name) {
            faults.refuse(
                field,
                format!("{other:?} and {name:?} both lead to head {head:?}; weigh it by one name"),
            );
        }
        weights.insert(head, *weight);
    }
    faults.end().map(|()| weights)
}

#[cfg(test)]
mod tests;
