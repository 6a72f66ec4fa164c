//! Manipulation: a label's prototype takes the place of the query's signature (section 4.6).

use super::query::QueryView;
use crate::catalogue::{Column, LabelPrototype, Snapshot};
use crate::error::Error;
use lapel_heads::{Signature, distance};
use lapel_search::Filter;
use std::collections::BTreeSet;

/// An edit: this attribute should have that label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manipulation {
    /// The attribute.
    pub attribute: String,
    /// The wanted label.
    pub label: String,
}

/// What an edit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManipulationEffect {
    /// The edit.
    pub manipulation: Manipulation,
    /// The head whose signature changed.
    pub head: String,
    /// Items behind the prototype.
    pub prototype_count: u64,
    /// Whether they are the catalogue's.
    pub prototype_from_catalogue: bool,
    /// Items that carry the label.
    pub items_with_label: u64,
}

/// Applies the edits to the query's vectors.
///
/// A special head (one attribute) takes the prototype itself, as the paper does. A head of several attributes
/// keeps the others: the difference between the wanted label's prototype and the one nearest to the query is
/// added instead, so that asking for another category does not forget fabric and length.
pub(super) fn apply(
    snapshot: &Snapshot,
    view: &mut QueryView,
    manipulations: &[Manipulation],
    items_min: u64,
) -> Result<Vec<ManipulationEffect>, Error> {
    let mut attributes = BTreeSet::new();
    let mut effects = Vec::with_capacity(manipulations.len());
    for (at, edit) in manipulations.iter().enumerate() {
        if !attributes.insert(&edit.attribute) {
            let field = format!("manipulations[{at}].attribute");
            return Err(Error::invalid(
                field,
                format!("{:?} is edited twice; one label an attribute", edit.attribute),
            ));
        }
        let column = column_of(snapshot, &edit.attribute)?;
        let wanted = prototype(column, edit, items_min)?;
        let head = column.head().name();
        let own = view.vectors.get(head).filter(|_| column.head().manifest().attributes.len() > 1);
        let edited = match own {
            Some(own) => moved(column, &edit.attribute, own, &wanted.signature, items_min),
            None => wanted.signature.values().to_vec(),
        };
        view.vectors.insert(head.to_owned(), edited);
        let carrying = Filter::carrying([(&*edit.attribute, &*edit.label)]);
        effects.push(ManipulationEffect {
            manipulation: edit.clone(),
            head: head.to_owned(),
            prototype_count: wanted.count,
            prototype_from_catalogue: wanted.from_catalogue,
            items_with_label: snapshot.items().count(&carrying),
        });
    }
    Ok(effects)
}

/// Items that carry every wanted label; 0 where none is wanted.
pub(super) fn items_with_all(snapshot: &Snapshot, manipulations: &[Manipulation]) -> u64 {
    if manipulations.is_empty() {
        return 0;
    }
    let wanted = manipulations.iter().map(|edit| (&*edit.attribute, &*edit.label));
    snapshot.items().count(&Filter::carrying(wanted))
}

fn column_of<'a>(snapshot: &'a Snapshot, attribute: &str) -> Result<&'a Column, Error> {
    snapshot.column_of_attribute(attribute).ok_or_else(|| {
        let attributes = snapshot.columns().iter().flat_map(|c| &c.head().manifest().attributes);
        let mut valid: Vec<String> = attributes.map(|a| a.name.clone()).collect();
        valid.sort();
        Error::NotFound { what: "attribute", name: attribute.into(), valid }
    })
}

fn prototype(column: &Column, edit: &Manipulation, items_min: u64) -> Result<LabelPrototype, Error> {
    let labels =
        column.head().manifest().attribute(&edit.attribute).map(|a| a.labels.clone()).unwrap_or_default();
    if !labels.contains(&edit.label) {
        return Err(Error::NotFound { what: "label", name: edit.label.clone(), valid: labels });
    }
    let found = column.prototypes().prototype(column.head(), &edit.attribute, &edit.label, items_min);
    found.ok_or_else(|| Error::Precondition {
        reason: "LABEL_WITHOUT_PROTOTYPE",
        message: format!(
            "no item of the catalogue is labelled {} = {}, and the head brings no prototype for it",
            edit.attribute, edit.label
        ),
    })
}

/// `own + wanted - nearest`, scaled to unit length; `wanted` should they cancel out.
fn moved(column: &Column, attribute: &str, own: &[f32], wanted: &Signature, items_min: u64) -> Vec<f32> {
    let head = column.head();
    let labels = head.manifest().attribute(attribute).map(|a| a.labels.as_slice()).unwrap_or_default();
    let nearest = labels
        .iter()
        .filter_map(|label| column.prototypes().prototype(head, attribute, label, items_min))
        .min_by(|a, b| distance(own, a.signature.values()).total_cmp(&distance(own, b.signature.values())));
    let Some(nearest) = nearest else { return wanted.values().to_vec() };
    let parts = own.iter().zip(wanted.values()).zip(nearest.signature.values());
    let sum = parts.map(|((o, w), n)| o + w - n).collect();
    Signature::new(sum).map_or_else(|_| wanted.values().to_vec(), Signature::into_values)
}
