//! Weights: the heads' own, named, or personalised; scaled to sum to the number of heads in play.

use super::manipulate::ManipulationEffect;
use super::query::{QueryView, unknown_head};
use crate::catalogue::{Column, Snapshot};
use crate::error::{Error, Faults, Violation};
use lapel_heads::Head;
use lapel_search::SearchTerm;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Path of the weights that a search names.
pub const NAMED: &str = "weights.by_head";

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
    /// What picks say (Eq. 5), by head, taken as they are: they may become a profile, which an edit multiplies when it is
    /// used. Heads that are not named have their own weight.
    Picks {
        /// Finite, not negative.
        by_head: BTreeMap<String, f64>,
    },
    /// By head or attribute, taken as they are. The query needs a signature of each head that weighs more than 0 here:
    /// whoever names a head by hand means it.
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

/// The heads in play, heaviest first, so that a scan can give an item up early. Heads that the query has no signature of
/// are left out.
pub(super) fn terms(
    snapshot: &Snapshot,
    view: &QueryView,
    (weighting, effects): (&Weighting, &[ManipulationEffect]),
) -> Result<Vec<QueryTerm>, Error> {
    let given = Given::new(snapshot, weighting)?;
    if let Weighting::Named { by_name, .. } = weighting {
        check_signatures(snapshot, view, by_name)?;
    }
    let mut terms = Vec::new();
    for column in snapshot.columns() {
        let head = column.head();
        let Some(vector) = view.vectors.get(head.name()) else { continue };
        let origin = given.origin(head, vector, effects.iter().any(|effect| effect.head == head.name()));
        // Its factor comes with the scaling.
        let weight = origin.given.unwrap_or(origin.own);
        if weight > 0.0 && origin.factor > 0.0 {
            let expected = column.expected_distance(vector);
            let term = SearchTerm { column: column.key().clone(), vector: vector.clone(), weight, expected };
            terms.push(QueryTerm { head: head.clone(), origin, term });
        }
    }
    if terms.is_empty() {
        return Err(none_in_play(weighting));
    }
    let too_light = scale(&mut terms);
    check_edits(&terms, &given, (effects, &too_light))?;
    terms.sort_by(|a, b| b.term.weight.total_cmp(&a.term.weight));
    Ok(terms)
}

/// A head that the caller weighs by hand takes part, so the query must have a signature of it.
fn check_signatures(
    snapshot: &Snapshot,
    view: &QueryView,
    by_name: &BTreeMap<String, f64>,
) -> Result<(), Error> {
    let mut faults = Faults::default();
    for (name, _) in by_name.iter().filter(|(_, weight)| **weight > 0.0) {
        let Some(column) = column_named(snapshot, name) else { continue };
        let head = column.head().name();
        if !view.vectors.contains_key(head) {
            let message = format!("the query has no signature of head {head:?}, so it cannot be weighted");
            let missing = Error::Precondition { reason: "QUERY_WITHOUT_SIGNATURE", message };
            faults.unmet(format!("{NAMED}[{name}]"), missing);
        }
    }
    faults.end()
}

/// That no head has a weight above zero: the fault of whatever gave the weights.
fn none_in_play(weighting: &Weighting) -> Error {
    let Weighting::Profile { by_name } = weighting else {
        return Error::invalid(
            "weights",
            "no head is left in play: of the heads that the query has a signature of, at least one must have a weight \
             above zero",
        );
    };
    // What a profile weighs is more than 0 for one head at least; those that do not serve are left out before.
    let why = if by_name.values().any(|weight| *weight > 0.0) {
        "the query has no signature of the heads that the profile gives a weight above zero"
    } else {
        "the heads that the profile gives a weight above zero do not serve any more"
    };
    let message =
        format!("no head is left in play: {why}; save it with weights of others, or search without it");
    let mut faults = Faults::default();
    faults.unmet("profile", Error::Precondition { reason: "PROFILE_WITHOUT_HEADS", message });
    Error::Faults(faults)
}

/// Multiplies weights by their factors, and scales them so that they sum to the number of heads in play. Those so much
/// smaller than the largest that nothing is left of them count as 0: the names of their heads are returned, and their
/// terms are gone.
fn scale(terms: &mut Vec<QueryTerm>) -> BTreeSet<String> {
    // By the largest before each step: neither products nor sums of finite weights need be finite.
    divide_by_largest(terms);
    terms.iter_mut().for_each(|t| t.term.weight *= t.origin.factor);
    divide_by_largest(terms);
    let is_left = |t: &QueryTerm| t.term.weight > 0.0;
    let too_light = terms.iter().filter(|t| !is_left(t)).map(|t| t.head.name().to_owned()).collect();
    terms.retain(is_left);
    let total: f64 = terms.iter().map(|t| t.term.weight).sum();
    // At least 1, so that no weight becomes 0 by it.
    let factor = terms.len() as f64 / total;
    terms.iter_mut().for_each(|t| t.term.weight *= factor);
    too_light
}

fn divide_by_largest(terms: &mut [QueryTerm]) {
    let largest = terms.iter().map(|t| t.term.weight).fold(0.0, f64::max);
    terms.iter_mut().for_each(|t| t.term.weight /= largest);
}

/// An edit of a head that weighs nothing would be told as done and do nothing.
fn check_edits(
    terms: &[QueryTerm],
    given: &Given,
    (effects, too_light): (&[ManipulationEffect], &BTreeSet<String>),
) -> Result<(), Error> {
    let mut violations = Vec::new();
    for (at, effect) in effects.iter().enumerate() {
        let ManipulationEffect { head, manipulation, .. } = effect;
        if terms.iter().any(|term| term.head.name() == head) {
            continue;
        }
        let attribute = &manipulation.attribute;
        if too_light.contains(head) {
            violations.push(Violation::new(
                format!("manipulations[{at}]"),
                format!(
                    "{attribute} is changed, but the weight of its head {head:?} is so much smaller than the largest that \
                     it counts as 0; give it a larger one"
                ),
            ));
        } else if given.by_head.contains_key(head) {
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
                Self { by_head: head_weights(snapshot, by_name, "profile")?, only: false, follow_edits: true }
            }
            Weighting::Picks { by_head } => {
                Self { by_head: by_head.clone(), only: false, follow_edits: false }
            }
            Weighting::Named { by_name, only_named } => {
                let by_head = head_weights(snapshot, by_name, NAMED)?;
                Self { by_head, only: *only_named, follow_edits: false }
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

/// The column of the head that a name leads to: its own, or that of an attribute of it.
fn column_named<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a Column> {
    snapshot.column(name).or_else(|| snapshot.column_of_attribute(name))
}

/// Weights by head from weights by head or attribute, which are the map at `path` of the request.
///
/// # Errors
/// [`Error::Invalid`] or [`Error::Faults`] with all unknown names, bad numbers, and two names of one head.
pub fn head_weights(
    snapshot: &Snapshot,
    by_name: &BTreeMap<String, f64>,
    path: &str,
) -> Result<BTreeMap<String, f64>, Error> {
    let mut weights = BTreeMap::new();
    let mut names = BTreeMap::new();
    let mut faults = Faults::default();
    for (name, weight) in by_name {
        if faults.is_full() {
            break;
        }
        let field = format!("{path}[{name}]");
        if !weight.is_finite() || *weight < 0.0 {
            faults.refuse(
                field.clone(),
                format!("{weight} is no weight; a finite number, 0 or more, is wanted"),
            );
        }
        let Some(column) = column_named(snapshot, name) else {
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
