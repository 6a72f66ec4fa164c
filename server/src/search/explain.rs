//! Reasons: the terms of a distance, and what became of each wanted label.

use super::manipulate::Edits;
use super::query::QueryView;
use super::weights::QueryTerm;
use crate::catalogue::{Item, Snapshot, seen};
use crate::error::Error;
use lapel_heads::{Head, Region};
use lapel_search::{Signatures, TermDistance};
use std::borrow::Cow;
use std::sync::Arc;

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
    /// Whether that prediction is below its label's threshold; it then counts as not known.
    pub unsure: bool,
    /// Whether the wanted label was asked for by an edit; otherwise it is the query's own.
    pub edited: bool,
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

/// What is wanted of attributes of the active heads.
pub(super) struct Wanted {
    attributes: Vec<WantedAttribute>,
}

struct WantedAttribute {
    name: String,
    label: Option<String>,
    edited: bool,
    /// The head that tells it apart, and the key of its column.
    head: Arc<Head>,
    column: Arc<str>,
}

/// An item and the signatures of [`Wanted::columns`].
type Compared<'a> = (&'a Item, Vec<Option<Cow<'a, [f32]>>>);

impl Wanted {
    /// What is wanted of those attributes that are edited, or of `all`.
    pub(super) fn new(snapshot: &Snapshot, view: &QueryView, edits: &Edits, all: bool) -> Self {
        let known = snapshot.columns().iter().flat_map(|column| &column.head().manifest().attributes);
        let wanted = known.filter_map(|attribute| {
            let column = snapshot.column_of_attribute(&attribute.name)?;
            let edit = edits.manipulations().find(|edit| edit.attribute == attribute.name);
            let label = edit.map(|e| &e.label).or_else(|| view.labels.get(&attribute.name)).cloned();
            let (head, key) = (column.head().clone(), column.key().clone());
            let name = attribute.name.clone();
            (all || edit.is_some()).then(|| WantedAttribute {
                name,
                label,
                edited: edit.is_some(),
                head,
                column: key,
            })
        });
        let mut attributes: Vec<_> = wanted.collect();
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        Self { attributes }
    }

    /// Columns whose signatures tell the labels that some of the items do not carry.
    fn columns(&self, items: &[&Item]) -> Vec<&str> {
        let lacks = |wanted: &&WantedAttribute| items.iter().any(|item| item.label(&wanted.name).is_none());
        let mut columns: Vec<&str> = self.attributes.iter().filter(lacks).map(|a| &*a.column).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Compares items with what is wanted.
    ///
    /// # Errors
    /// When their signatures cannot be read.
    pub(super) fn compare(
        &self,
        signatures: &dyn Signatures,
        items: &[&Item],
    ) -> Result<Vec<Vec<AttributeMatch>>, Error> {
        let columns = self.columns(items);
        if columns.is_empty() {
            let one = |item: &&Item| self.compare_one(&columns, &(*item, Vec::new()));
            return Ok(items.iter().map(one).collect());
        }
        let ids: Vec<&str> = items.iter().map(|item| &*item.id).collect();
        let rows = signatures.rows(&ids, &columns)?;
        Ok(items.iter().zip(rows).map(|(item, row)| self.compare_one(&columns, &(*item, row))).collect())
    }

    fn compare_one(&self, columns: &[&str], (item, row): &Compared<'_>) -> Vec<AttributeMatch> {
        let predicted = |wanted: &WantedAttribute| {
            let at = columns.iter().position(|key| **key == *wanted.column)?;
            let attribute = wanted.head.manifest().attribute(&wanted.name)?;
            seen(&wanted.head, attribute, row.get(at)?.as_deref()?, item.parts_case().map(crate::cases::of))
        };
        let compare = |wanted: &WantedAttribute| {
            let label = item.label(&wanted.name).map(ToOwned::to_owned);
            let guessed = if label.is_none() { predicted(wanted) } else { None };
            let (predicted, unsure) = guessed.as_ref().map_or((false, false), |seen| (true, seen.unsure));
            let found = label.or(guessed.map(|seen| seen.label));
            let outcome = match (&wanted.label, &found) {
                (Some(_), Some(_)) if unsure => Outcome::Unknown,
                (Some(w), Some(f)) if w == f && wanted.edited => Outcome::Changed,
                (Some(w), Some(f)) if w == f => Outcome::Kept,
                (Some(_), Some(_)) => Outcome::Differs,
                (None, _) | (_, None) => Outcome::Unknown,
            };
            AttributeMatch {
                attribute: wanted.name.clone(),
                wanted: wanted.label.clone(),
                found,
                predicted,
                unsure,
                edited: wanted.edited,
                outcome,
            }
        };
        self.attributes.iter().map(compare).collect()
    }
}

/// Whether an item has the labels that the edits ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditsMet {
    /// Nothing is asked for.
    NoEdits,
    /// One is not there, or not known.
    NotAll,
    /// All are stored with the item.
    All,
    /// All are there, at least one by prediction alone.
    AllPredicted,
}

impl EditsMet {
    pub(super) fn of(compared: &[AttributeMatch]) -> Self {
        let mut met = Self::NoEdits;
        for edited in compared.iter().filter(|m| m.edited) {
            if edited.outcome != Outcome::Changed {
                return Self::NotAll;
            }
            let by_prediction = edited.predicted || met == Self::AllPredicted;
            met = if by_prediction { Self::AllPredicted } else { Self::All };
        }
        met
    }
}

/// The reason of a hit; `distances` are those of the terms, in their order.
pub(super) fn explain(
    terms: &[QueryTerm],
    distances: &[TermDistance],
    attributes: Vec<AttributeMatch>,
) -> Explanation {
    let term = |(t, found): (&QueryTerm, &TermDistance)| Term {
        head: t.head.name().to_owned(),
        weight: t.term.weight,
        distance: f64::from(found.distance),
        missing: found.missing,
        region: t.head.manifest().region,
    };
    Explanation { terms: terms.iter().zip(distances).map(term).collect(), attributes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_met_when_every_label_that_was_asked_for_is_there() {
        use Outcome::{Changed, Differs, Kept, Unknown};
        let stored = |edited, outcome| AttributeMatch {
            attribute: "category".into(),
            wanted: Some("dress".into()),
            found: Some("dress".into()),
            predicted: false,
            unsure: false,
            edited,
            outcome,
        };
        let predicted = |edited, outcome| AttributeMatch { predicted: true, ..stored(edited, outcome) };
        for (compared, wanted) in [
            (vec![stored(false, Kept), stored(false, Differs)], EditsMet::NoEdits),
            (vec![stored(true, Changed), stored(false, Differs), stored(false, Unknown)], EditsMet::All),
            (vec![stored(true, Changed), predicted(false, Kept)], EditsMet::All),
            (vec![predicted(true, Changed), stored(true, Changed)], EditsMet::AllPredicted),
            (vec![stored(true, Changed), predicted(true, Changed)], EditsMet::AllPredicted),
            (vec![stored(true, Changed), stored(true, Differs)], EditsMet::NotAll),
            (vec![predicted(true, Changed), stored(true, Unknown)], EditsMet::NotAll),
        ] {
            assert_eq!(EditsMet::of(&compared), wanted, "{compared:?}");
        }
    }
}
