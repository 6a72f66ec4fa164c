//! Which examples a head is taught from: items and photos that the caller names, or the items that carry labels or values.

use super::lot;
use crate::catalogue::{Item, Snapshot};
use crate::config::Limits;
use crate::error::{Choices, Error, Faults};
use crate::store::ContentId;
use lapel_heads::is_name;
use lapel_search::{Filter, IsAbandoned, Slot};
use lapel_values::{FieldKind, FieldValue};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Items that are looked up before it is asked whether anybody waits.
pub(super) const ASKED_EVERY: usize = 4096;
pub(super) const NAME: &str = "a label has 1 to 64 characters, no control characters, no outer spaces";

/// Examples that are left out, by reason.
pub(crate) type LeftOut = BTreeMap<&'static str, u64>;

/// Where examples come from.
pub(crate) enum Source {
    /// The caller names them.
    Examples(Vec<Shown>),
    /// The items that carry a label of an attribute.
    Attribute(String),
    /// The items that have a value of a keyword field.
    Field(String),
}

/// An example that the caller names.
pub(crate) struct Shown {
    pub(crate) label: String,
    pub(crate) of: ShownOf,
}

/// What the caller names.
pub(crate) enum ShownOf {
    /// An item by its id.
    Item(String),
    /// A photo.
    Photo(Vec<u8>),
}

/// What examples are sought for.
pub(crate) struct Sought {
    pub(crate) source: Source,
    /// Which items count, where the caller names none.
    pub(crate) filter: Filter,
    /// The labels, in their order; empty: all there are, by name.
    pub(crate) labels: Vec<String>,
}

/// One example.
pub(crate) struct Example {
    /// The label's number.
    pub(crate) label: u16,
    pub(crate) of: ExampleOf,
}

/// What an example shows.
#[derive(Clone)]
pub(crate) enum ExampleOf {
    /// An item with an image.
    Item(Arc<Item>),
    /// A photo, with its place in the request.
    Photo { place: u32, image: Arc<Vec<u8>> },
}

/// The examples that are to be looked at: by label, in an order that does not depend on when items were written.
pub(crate) struct Found {
    pub(crate) labels: Vec<String>,
    pub(crate) examples: Vec<Example>,
    pub(crate) left_out: LeftOut,
}

/// Examples by label.
#[derive(Default)]
struct Gathered {
    by_label: BTreeMap<String, Vec<ExampleOf>>,
    left_out: LeftOut,
}

/// Finds the examples in one state of the catalogue.
///
/// # Errors
/// All faults of the request at once; [`Error::Left`] where nobody waits for them.
pub(crate) fn find(
    snapshot: &Snapshot,
    sought: Sought,
    limits: &Limits,
    is_abandoned: IsAbandoned<'_>,
) -> Result<Found, Error> {
    let Sought { source, filter, labels } = sought;
    let mut faults = Faults::default();
    check_labels(&labels, limits, &mut faults);
    faults.end()?;
    let mut faults = Faults::default();
    let wanted: BTreeSet<&str> = labels.iter().map(String::as_str).collect();
    let is_wanted = |label: &str| wanted.is_empty() || wanted.contains(label);
    let scope = Scope { snapshot, filter: &filter, is_wanted: &is_wanted, is_abandoned };
    let (path, gathered) = match source {
        Source::Examples(shown) => ("examples", named(snapshot, shown, &is_wanted, &mut faults)?),
        Source::Attribute(attribute) => ("label_attribute", scope.carrying(&attribute, &mut faults)?),
        Source::Field(field) => ("field", scope.having(&field, limits, &mut faults)?),
    };
    faults.end()?;
    let Gathered { by_label, left_out } = gathered;
    chosen(path, (labels, by_label), left_out, limits)
}

/// The labels that the caller names.
fn check_labels(labels: &[String], limits: &Limits, faults: &mut Faults) {
    let most = limits.teach_labels_max;
    if labels.len() > most || labels.len() == 1 {
        faults.refuse("labels", format!("there are {}; none, or 2 to {most} are accepted", labels.len()));
        return;
    }
    let mut before = BTreeSet::new();
    for (at, label) in labels.iter().enumerate() {
        if !is_name(label) {
            faults.refuse(format!("labels[{at}]"), NAME);
        } else if !before.insert(label) {
            faults.refuse(format!("labels[{at}]"), format!("{label:?} is given twice"));
        }
    }
}

/// The examples that the caller names. One that is named again with its label counts once.
fn named(
    snapshot: &Snapshot,
    shown: Vec<Shown>,
    is_wanted: &dyn Fn(&str) -> bool,
    faults: &mut Faults,
) -> Result<Gathered, Error> {
    #[derive(PartialEq, Eq, Hash)]
    enum Key {
        Item(String),
        Photo(ContentId),
    }
    let mut gathered = Gathered::default();
    let mut before: HashMap<Key, (usize, String)> = HashMap::new();
    for (at, Shown { label, of }) in shown.into_iter().enumerate() {
        if faults.is_full() {
            break;
        }
        if !is_name(&label) {
            faults.refuse(format!("examples.examples[{at}].label"), NAME);
            continue;
        }
        let who = match &of {
            ShownOf::Item(id) => format!("item {id:?}"),
            ShownOf::Photo(_) => "the photo".to_owned(),
        };
        let key = match &of {
            ShownOf::Item(id) => Key::Item(id.clone()),
            ShownOf::Photo(image) => Key::Photo(ContentId::of(image)),
        };
        if let Some((first, other)) = before.get(&key) {
            if *other != label {
                let wanted = format!("{who} is {label:?} here and {other:?} in examples.examples[{first}]");
                faults.refuse(format!("examples.examples[{at}].label"), wanted);
            }
            continue;
        }
        before.insert(key, (at, label.clone()));
        let of = match of {
            ShownOf::Photo(image) => ExampleOf::Photo { place: at as u32, image: Arc::new(image) },
            ShownOf::Item(id) => {
                let item = snapshot.item(&id).cloned().map_err(Error::from);
                match faults.gather(&format!("examples.examples[{at}].item_id"), item)? {
                    Some(item) => ExampleOf::Item(item),
                    None => continue,
                }
            }
        };
        if is_wanted(&label) {
            gathered.take(&label, of);
        }
    }
    Ok(gathered)
}

/// Which items of a snapshot are examples, and of which labels.
struct Scope<'a> {
    snapshot: &'a Snapshot,
    filter: &'a Filter,
    is_wanted: &'a (dyn Fn(&str) -> bool + Sync),
    is_abandoned: IsAbandoned<'a>,
}

impl Scope<'_> {
    /// The items that carry a label of an attribute.
    fn carrying(&self, attribute: &str, faults: &mut Faults) -> Result<Gathered, Error> {
        let items = self.snapshot.items();
        let mut gathered = Gathered::default();
        let Some(by_label) = items.label_index().of_attribute(attribute) else {
            let valid = Choices::of(attribute, items.labels().map(|(name, _)| name.as_str()));
            let unknown = Error::NotFound { what: "attribute", name: attribute.to_owned(), valid };
            faults.unmet("label_attribute", unknown);
            return Ok(gathered);
        };
        let passing = items.passing(self.filter);
        for (label, slots) in by_label.iter().filter(|(label, _)| (self.is_wanted)(label)) {
            self.each(slots.iter(), passing.as_ref(), |item| {
                gathered.take(label, ExampleOf::Item(item.clone()));
            })?;
        }
        Ok(gathered)
    }

    /// The items that have a value of a keyword field.
    fn having(&self, field: &str, limits: &Limits, faults: &mut Faults) -> Result<Gathered, Error> {
        let items = self.snapshot.items();
        let mut gathered = Gathered::default();
        match items.fields().kind(field) {
            Some(FieldKind::Keyword) => {}
            Some(kind) => {
                faults.refuse("field", format!("{field:?} has values of the kind {kind}; keyword is wanted"));
                return Ok(gathered);
            }
            None => {
                let valid = Choices::of(field, items.fields().iter().map(|(name, _, _)| name.as_str()));
                faults.unmet("field", Error::NotFound { what: "field", name: field.to_owned(), valid });
                return Ok(gathered);
            }
        }
        let passing = items.passing(self.filter);
        self.each(items.live().iter(), passing.as_ref(), |item| {
            if let Some(FieldValue::Keyword(value)) = item.field(field)
                && (self.is_wanted)(&value)
                // Many values more are no more wrong than one.
                && (gathered.by_label.len() <= limits.teach_labels_max
                    || gathered.by_label.contains_key(&value))
            {
                gathered.take(&value, ExampleOf::Item(item.clone()));
            }
        })?;
        Ok(gathered)
    }

    fn each(
        &self,
        slots: impl Iterator<Item = Slot>,
        passing: Option<&RoaringBitmap>,
        mut take: impl FnMut(&Arc<Item>),
    ) -> Result<(), Error> {
        let items = self.snapshot.items();
        for (at, slot) in slots.enumerate() {
            if at.is_multiple_of(ASKED_EVERY) && (self.is_abandoned)() {
                return Err(Error::Left);
            }
            let passes = passing.is_none_or(|passing| passing.contains(slot));
            if let Some(item) = items.get(slot).filter(|_| passes) {
                take(item);
            }
        }
        Ok(())
    }
}

impl Gathered {
    fn take(&mut self, label: &str, of: ExampleOf) {
        let has_image = match &of {
            ExampleOf::Item(item) => item.has_image(),
            ExampleOf::Photo { .. } => true,
        };
        if has_image {
            match self.by_label.get_mut(label) {
                Some(of_label) => of_label.push(of),
                None => {
                    self.by_label.insert(label.to_owned(), vec![of]);
                }
            }
        } else {
            *self.left_out.entry("no_image").or_insert(0) += 1;
        }
    }
}

/// The examples of the labels that are to be told, as many of each as may be.
fn chosen(
    path: &str,
    (labels, mut by_label): (Vec<String>, BTreeMap<String, Vec<ExampleOf>>),
    mut left_out: LeftOut,
    limits: &Limits,
) -> Result<Found, Error> {
    let mut faults = Faults::default();
    let labels: Vec<String> = if labels.is_empty() {
        let most = limits.teach_labels_max;
        if by_label.len() > most {
            let wanted = format!(
                "there are more than {most} labels (limits.teach_labels_max); name those that are to be told (labels), or give \
                 a filter"
            );
            faults.refuse(path, wanted);
        }
        by_label.keys().cloned().collect()
    } else {
        for (at, label) in labels.iter().enumerate().filter(|(_, label)| !by_label.contains_key(*label)) {
            faults.refuse(format!("labels[{at}]"), format!("no example with an image is {label:?}"));
        }
        labels
    };
    // Values of fields may be anything.
    for label in labels.iter().filter(|label| !is_name(label)) {
        faults.refuse(path, format!("{label:?} cannot be a label: {NAME}"));
    }
    if faults.all().is_empty() && labels.len() < 2 {
        let all = labels
            .first()
            .map_or_else(|| "there is none with an image".to_owned(), |one| format!("all are {one:?}"));
        faults.refuse(path, format!("examples of two labels at least are wanted; {all}"));
    }
    faults.end()?;
    let mut examples = Vec::new();
    for (number, label) in (0..).zip(&labels) {
        let mut of_label = by_label.remove(label).unwrap_or_default();
        let over = of_label.len().saturating_sub(limits.teach_examples_max);
        if over > 0 {
            of_label.sort_by_cached_key(|of| (of.lot(), of.order()));
            of_label.truncate(limits.teach_examples_max);
            *left_out.entry("over_limit").or_insert(0) += over as u64;
        }
        of_label.sort_by_cached_key(ExampleOf::order);
        examples.extend(of_label.into_iter().map(|of| Example { label: number, of }));
    }
    Ok(Found { labels, examples, left_out })
}

impl ExampleOf {
    /// Items by id, then photos by their place.
    fn order(&self) -> (u32, Option<Arc<str>>) {
        match self {
            Self::Item(item) => (0, Some(item.id.clone())),
            Self::Photo { place, .. } => (place.saturating_add(1), None),
        }
    }

    pub(super) fn lot(&self) -> u32 {
        match self {
            Self::Item(item) => lot(item.id.as_bytes()),
            Self::Photo { image, .. } => lot(image),
        }
    }
}

#[cfg(test)]
mod tests;
