//! Manipulation: a label's prototype takes the place of the query's signature (section 4.6).

use super::query::QueryView;
use crate::catalogue::{Column, LabelPrototype, Snapshot};
use crate::error::{Error, Faults};
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

impl Manipulation {
    /// The attribute and its wanted label.
    pub(super) fn pair(&self) -> (&str, &str) {
        (&self.attribute, &self.label)
    }
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

/// Edits whose attributes and labels are there, with what takes their place: looked up once, for one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Edits(Vec<Edit>);

#[derive(Clone, Debug)]
struct Edit {
    manipulation: Manipulation,
    head: String,
    wanted: LabelPrototype,
}

impl Edits {
    /// Looks up what the edits name. A label's prototype is the catalogue's own from `items_min` items on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an attribute that is edited twice, [`Error::Faults`] with unknown attributes and labels and
    /// with labels without a prototype: all at once, by their fields.
    pub fn resolve(
        snapshot: &Snapshot,
        manipulations: Vec<Manipulation>,
        items_min: u64,
    ) -> Result<Self, Error> {
        let mut faults = Faults::default();
        let mut attributes = BTreeSet::new();
        let mut edits = Vec::with_capacity(manipulations.len());
        for (at, edit) in manipulations.into_iter().enumerate() {
            if faults.is_full() {
                break;
            }
            if !attributes.insert(edit.attribute.clone()) {
                let twice = format!("{:?} is edited twice; one label an attribute", edit.attribute);
                faults.refuse(format!("manipulations[{at}].attribute"), twice);
                continue;
            }
            let column = match column_of(snapshot, &edit.attribute, &faults) {
                Ok(column) => column,
                Err(unknown) => {
                    faults.unmet(format!("manipulations[{at}].attribute"), unknown);
                    continue;
                }
            };
            match prototype(column, &edit, items_min, &faults) {
                Ok(wanted) => {
                    let head = column.head().name().to_owned();
                    edits.push(Edit { manipulation: edit, head, wanted });
                }
                Err(none) => faults.unmet(format!("manipulations[{at}].label"), none),
            }
        }
        faults.end().map(|()| Self(edits))
    }

    /// The edits as they were asked for.
    pub(super) fn manipulations(&self) -> impl Iterator<Item = &Manipulation> {
        self.0.iter().map(|edit| &edit.manipulation)
    }

    /// Whether one of the edits is of this attribute.
    pub(super) fn changes(&self, attribute: &str) -> bool {
        self.0.iter().any(|edit| edit.manipulation.attribute == attribute)
    }

    /// An edit of an attribute of a column by itself; `None` where the label has no prototype.
    pub(super) fn one(column: &Column, manipulation: &Manipulation, items_min: u64) -> Option<Self> {
        let (attribute, label) = manipulation.pair();
        let wanted = column.prototypes().prototype(column.head(), attribute, label, items_min)?;
        let head = column.head().name().to_owned();
        Some(Self(vec![Edit { manipulation: manipulation.clone(), head, wanted }]))
    }

    /// The other labels of the attribute of the edit in a place, with the distances of their prototypes from the wanted
    /// label's: the closest first, equal ones by name.
    pub(super) fn closest(&self, snapshot: &Snapshot, at: usize, items_min: u64) -> Vec<(String, f64)> {
        let Some(Edit { manipulation, head, wanted }) = self.0.get(at) else { return Vec::new() };
        let Some(column) = snapshot.column(head) else { return Vec::new() };
        let (attribute, label) = manipulation.pair();
        let all = prototypes(column, attribute, items_min).into_iter();
        let others = all.filter(|(other, _)| other != label).map(|(other, prototype)| {
            let apart = distance(wanted.signature.values(), prototype.values());
            (other, f64::from(apart))
        });
        let mut others: Vec<(String, f64)> = others.collect();
        others.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        others
    }

    /// Applies the edits to the query's vectors.
    ///
    /// A special head (one attribute) takes the prototype itself, as the paper does. A head of several attributes
    /// keeps the others: the difference between the wanted label's prototype and that of the label it shows now is
    /// added instead, so that asking for another category does not forget fabric and length.
    pub(super) fn apply(
        &self,
        snapshot: &Snapshot,
        view: &mut QueryView,
        items_min: u64,
    ) -> Vec<ManipulationEffect> {
        let effect = |Edit { manipulation, head, wanted }: &Edit| {
            let Manipulation { attribute, label } = manipulation;
            let own = view.vectors.get(head);
            let joint = snapshot.column(head).filter(|column| column.head().manifest().attributes.len() > 1);
            let edited = match own.zip(joint) {
                Some((own, column)) => {
                    let shown = view.labels.get(attribute).map(String::as_str);
                    moved(own, shown, (label, &wanted.signature), &prototypes(column, attribute, items_min))
                }
                None => wanted.signature.values().to_vec(),
            };
            view.vectors.insert(head.clone(), edited);
            let carrying = Filter::carrying([(&**attribute, &**label)]);
            ManipulationEffect {
                manipulation: manipulation.clone(),
                head: head.clone(),
                prototype_count: wanted.count,
                prototype_from_catalogue: wanted.from_catalogue,
                items_with_label: snapshot.items().count(&carrying),
            }
        };
        self.0.iter().map(effect).collect()
    }
}

/// Items that carry every wanted label; 0 where none is wanted.
pub(super) fn items_with_all(snapshot: &Snapshot, edits: &Edits) -> u64 {
    if edits.0.is_empty() {
        return 0;
    }
    let wanted = edits.manipulations().map(|edit| (&*edit.attribute, &*edit.label));
    snapshot.items().count(&Filter::carrying(wanted))
}

fn column_of<'a>(snapshot: &'a Snapshot, attribute: &str, faults: &Faults) -> Result<&'a Column, Error> {
    snapshot.column_of_attribute(attribute).ok_or_else(|| {
        let valid = faults.choices(attribute, || {
            let attributes = snapshot.columns().iter().flat_map(|c| &c.head().manifest().attributes);
            attributes.map(|a| a.name.as_str()).collect::<BTreeSet<&str>>()
        });
        Error::NotFound { what: "attribute", name: attribute.into(), valid }
    })
}

fn prototype(
    column: &Column,
    edit: &Manipulation,
    items_min: u64,
    faults: &Faults,
) -> Result<LabelPrototype, Error> {
    let known = column.head().manifest().attribute(&edit.attribute);
    let labels: &[String] = known.map(|known| known.labels.as_slice()).unwrap_or_default();
    if !labels.contains(&edit.label) {
        let valid = faults.choices(&edit.label, || labels.iter().map(String::as_str));
        let Manipulation { attribute, label } = edit.clone();
        return Err(Error::UnknownLabel { attribute, label, valid });
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
