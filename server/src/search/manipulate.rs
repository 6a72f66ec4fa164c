//! Manipulation: a label's prototype takes the place of the query's signature (section 4.6).

use super::query::QueryView;
use crate::catalogue::{Column, LabelPrototype, Snapshot};
use crate::error::Error;
use lapel_heads::{Signature, distance};
use roaring::RoaringBitmap;
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
/// keeps the others: the difference between the wanted label's prototype and that of the label it shows now is
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
            Some(own) => {
                let shown = view.labels.get(&edit.attribute).map(String::as_str);
                let prototypes = prototypes(column, &edit.attribute, items_min);
                moved(own, shown, (&edit.label, &wanted.signature), &prototypes)
            }
            None => wanted.signature.values().to_vec(),
        };
        view.vectors.insert(head.to_owned(), edited);
        let carrying = snapshot.items().with_label(&edit.attribute, &edit.label);
        effects.push(ManipulationEffect {
            manipulation: edit.clone(),
            head: head.to_owned(),
            prototype_count: wanted.count,
            prototype_from_catalogue: wanted.from_catalogue,
            items_with_label: carrying.map_or(0, |slots| slots.len()),
        });
    }
    Ok(effects)
}

/// Items that carry every wanted label.
pub(super) fn items_with_all(snapshot: &Snapshot, manipulations: &[Manipulation]) -> u64 {
    let carrying = |edit: &Manipulation| {
        let slots = snapshot.items().with_label(&edit.attribute, &edit.label);
        slots.map_or_else(RoaringBitmap::new, |s| s.as_ref().clone())
    };
    manipulations.iter().map(carrying).reduce(|a, b| a & b).map_or(0, |all| all.len())
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

/// Labels of an attribute with their prototypes.
fn prototypes(column: &Column, attribute: &str, items_min: u64) -> Vec<(String, Signature)> {
    let head = column.head();
    let labels = head.manifest().attribute(attribute).map(|a| a.labels.as_slice()).unwrap_or_default();
    let with_prototype = |label: &String| {
        let found = column.prototypes().prototype(head, attribute, label, items_min)?;
        Some((label.clone(), found.signature))
    };
    labels.iter().filter_map(with_prototype).collect()
}

/// `own + wanted - present`, scaled to unit length; `wanted` should they cancel out. Present is the prototype of the label
/// that the query shows, or else the nearest of another label than the wanted one: the wanted one, which a doubtful query may
/// well be nearest to, would move nothing. A query that shows the wanted label stays as it is.
fn moved(
    own: &[f32],
    shown: Option<&str>,
    (label, wanted): (&str, &Signature),
    prototypes: &[(String, Signature)],
) -> Vec<f32> {
    if shown == Some(label) {
        return own.to_vec();
    }
    let far = |(_, prototype): &&(String, Signature)| distance(own, prototype.values());
    let others = || prototypes.iter().filter(|(other, _)| other != label);
    let of_shown = others().find(|(other, _)| Some(other.as_str()) == shown);
    let present = of_shown.or_else(|| others().min_by(|a, b| far(a).total_cmp(&far(b))));
    let Some((_, present)) = present else { return wanted.values().to_vec() };
    let parts = own.iter().zip(wanted.values()).zip(present.values());
    let sum = parts.map(|((o, w), p)| o + w - p).collect();
    Signature::new(sum).map_or_else(|_| wanted.values().to_vec(), Signature::into_values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(values: [f32; 3]) -> Signature {
        Signature::new(values.to_vec()).expect("not zero")
    }

    /// A query nearest to the wanted label, which its classifier does not see or is unsure of.
    #[test]
    fn a_query_that_is_nearest_to_the_wanted_label_moves_towards_it() {
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(unit);
        let prototypes: Vec<_> = ["a", "b", "c"].map(str::to_owned).into_iter().zip(axes.clone()).collect();
        let own = unit([0.6, 0.5, 0.4]);
        let edited = |shown| moved(own.values(), shown, ("a", &axes[0]), &prototypes);
        let gained = |edited: &[f32], lost: usize| {
            assert!(
                edited[0] > own.values()[0] + 0.1 && edited[lost] < own.values()[lost] - 0.1,
                "{edited:?}"
            );
        };
        // Nothing is seen of it: the nearest other label goes.
        gained(&edited(None), 1);
        // What is seen goes, however near others are.
        gained(&edited(Some("c")), 2);
        // A label without a prototype is as good as none.
        assert_eq!(edited(Some("d")), edited(None));
        assert_eq!(edited(Some("a")), own.values(), "it is there already");
        let alone = &prototypes[..1];
        assert_eq!(moved(own.values(), None, ("a", &axes[0]), alone), axes[0].values());
    }
}
