//! Reasons: the terms of a distance, and what became of each wanted label.

use super::manipulate::Manipulation;
use super::query::{QueryView, seen};
use super::weights::QueryTerm;
use crate::catalogue::{Slot, Snapshot};
use lapel_heads::Region;

/// Why an item ranks where it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// One a head in play; the contributions sum to the distance.
    pub terms: Vec<Term>,
    /// One an attribute.
    pub attributes: Vec<AttributeMatch>,
}

/// One head's part of a distance.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// The head.
    pub head: String,
    /// Its weight.
    pub weight: f64,
    /// Distance of the signatures, or the expected one.
    pub distance: f64,
    /// Whether the item lacks a signature.
    pub missing: bool,
    /// Where the head looks.
    pub region: Region,
}

/// How an item compares with what was wanted of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeMatch {
    /// The attribute.
    pub attribute: String,
    /// The wanted label, when known.
    pub wanted: Option<String>,
    /// The item's label, when known.
    pub found: Option<String>,
    /// Whether the item's label is predicted.
    pub predicted: bool,
    /// The comparison.
    pub outcome: Outcome,
}

/// The outcome of comparing an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Asked for by an edit, and there.
    Changed,
    /// The query's own, and there too.
    Kept,
    /// The item has another label.
    Differs,
    /// One of the two is not known.
    Unknown,
}

/// What is wanted of each attribute of the active heads.
pub(super) struct Wanted {
    attributes: Vec<WantedAttribute>,
}

struct WantedAttribute {
    name: String,
    label: Option<String>,
    edited: bool,
    /// Whether it has a head of its own, or was edited: such attributes decide whether a result matches.
    decides: bool,
}

impl Wanted {
    pub(super) fn new(snapshot: &Snapshot, view: &QueryView, manipulations: &[Manipulation]) -> Self {
        let mut attributes = Vec::new();
        for column in snapshot.columns() {
            let own = &column.head().manifest().attributes;
            for attribute in own {
                let edit = manipulations.iter().find(|m| m.attribute == attribute.name);
                let label = edit.map(|e| &e.label).or_else(|| view.labels.get(&attribute.name)).cloned();
                attributes.push(WantedAttribute {
                    name: attribute.name.clone(),
                    label,
                    edited: edit.is_some(),
                    decides: edit.is_some() || own.len() == 1,
                });
            }
        }
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        Self { attributes }
    }

    pub(super) fn compare(&self, snapshot: &Snapshot, slot: Slot) -> Vec<AttributeMatch> {
        let record = snapshot.items().get(slot).map(|item| &item.record);
        let stored = record.map(|r| &r.labels);
        let predicted = |attribute: &str| {
            let column = snapshot.column_of_attribute(attribute)?;
            let head = column.head();
            seen(head, head.manifest().attribute(attribute)?, &column.get(slot)?, record?.parts_case)
        };
        let compare = |wanted: &WantedAttribute| {
            let label = stored.and_then(|labels| labels.get(&wanted.name)).cloned();
            let guessed = if label.is_none() { predicted(&wanted.name) } else { None };
            let from_model = guessed.is_some();
            let found = label.or(guessed);
            let outcome = match (&wanted.label, &found) {
                (Some(w), Some(f)) if w == f && wanted.edited => Outcome::Changed,
                (Some(w), Some(f)) if w == f => Outcome::Kept,
                (Some(_), Some(_)) => Outcome::Differs,
                (None, _) | (_, None) => Outcome::Unknown,
            };
            AttributeMatch {
                attribute: wanted.name.clone(),
                wanted: wanted.label.clone(),
                found,
                predicted: from_model,
                outcome,
            }
        };
        self.attributes.iter().map(compare).collect()
    }

    /// Whether every deciding attribute whose wanted label is known has it; an edit must be met, an unknown
    /// label of a kept attribute is no contradiction.
    pub(super) fn all_match(&self, compared: &[AttributeMatch]) -> bool {
        self.attributes.iter().zip(compared).filter(|(w, _)| w.decides).all(|(w, m)| match m.outcome {
            Outcome::Changed | Outcome::Kept => true,
            Outcome::Unknown => !w.edited,
            Outcome::Differs => false,
        })
    }
}

pub(super) fn explain(terms: &[QueryTerm<'_>], slot: Slot, attributes: Vec<AttributeMatch>) -> Explanation {
    let term = |t: &QueryTerm<'_>| Term {
        head: t.column.head().name().to_owned(),
        weight: t.weight,
        distance: f64::from(t.distance(slot)),
        missing: !t.column.has(slot),
        region: t.column.head().manifest().region,
    };
    Explanation { terms: terms.iter().map(term).collect(), attributes }
}
