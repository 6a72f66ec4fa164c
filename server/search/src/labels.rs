//! The secondary index of labels: which slots carry a label.

use crate::Slot;
use crate::ordinals::Ordinals;
use hashbrown::HashMap;
use imbl::OrdMap;
use lapel_values::Labels;
use rayon::prelude::*;
use roaring::RoaringBitmap;
use std::borrow::Cow;
use std::sync::Arc;

/// Attributes, their labels, and the slots that carry each, as a server leaves them when it stops.
pub(crate) type LabelState<'a> = Vec<(Cow<'a, str>, Vec<(Cow<'a, str>, Cow<'a, RoaringBitmap>)>)>;

/// Slots that are gathered before they are added to a bitmap.
const AT_ONCE: usize = 4096;

/// Labels of one attribute and the slots that carry them.
pub type LabelSlots = OrdMap<String, Arc<RoaringBitmap>>;

/// Slots by attribute and label. Cloning is cheap; bitmaps are shared until they are written.
#[derive(Clone, Default)]
pub struct LabelIndex {
    by_attribute: OrdMap<String, LabelSlots>,
    /// Of the same attributes.
    ordinals: OrdMap<String, Ordinals>,
}

/// What many items carry, by ascending slot: one bitmap after the other is written, not one item after the other.
#[derive(Default)]
pub(crate) struct GatheredLabels {
    attributes: Vec<(String, HashMap<String, GatheredSlots>)>,
    places: HashMap<String, usize>,
}

/// Ascending slots; the last of them are not in the bitmap yet, to which many are added for the price of a few.
#[derive(Default)]
struct GatheredSlots {
    bitmap: RoaringBitmap,
    last: Vec<Slot>,
}

impl GatheredLabels {
    /// Takes in an item, whose slot is behind those of the items before it.
    pub(crate) fn add(&mut self, slot: Slot, labels: &[(&str, &str)]) {
        let mut next = 0;
        for (attribute, label) in labels {
            // Most items have the same attributes, in the same order.
            let is_next = self.attributes.get(next).is_some_and(|(known, _)| known == attribute);
            let at = if is_next { next } else { self.place(attribute) };
            self.attributes[at].1.entry_ref(*label).or_default().push(slot);
            next = at + 1;
        }
    }

    fn place(&mut self, attribute: &str) -> usize {
        if let Some(at) = self.places.get(attribute) {
            return *at;
        }
        self.attributes.push((attribute.to_owned(), HashMap::new()));
        self.places.insert(attribute.to_owned(), self.attributes.len() - 1);
        self.attributes.len() - 1
    }

    /// The index of all of them.
    pub(crate) fn into_index(self) -> LabelIndex {
        let shared = |(label, slots): (String, GatheredSlots)| (label, Arc::new(slots.into_bitmap()));
        let of_attribute = |(attribute, by_label): (String, HashMap<String, GatheredSlots>)| {
            (attribute, by_label.into_iter().map(shared).collect::<LabelSlots>())
        };
        let by_attribute: OrdMap<String, LabelSlots> =
            self.attributes.into_iter().map(of_attribute).collect();
        LabelIndex { ordinals: by_attribute.iter().map(ordinals_of).collect(), by_attribute }
    }
}

impl GatheredSlots {
    fn push(&mut self, slot: Slot) {
        self.last.push(slot);
        if self.last.len() == AT_ONCE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        // They ascend, so that none is refused.
        let _ = self.bitmap.append(self.last.drain(..));
    }

    fn into_bitmap(mut self) -> RoaringBitmap {
        self.flush();
        self.bitmap
    }
}

impl LabelIndex {
    /// See [`LabelIndex::restore`].
    pub(crate) fn state(&self) -> LabelState<'_> {
        let mut state = LabelState::new();
        for (attribute, labels) in &self.by_attribute {
            let labels = labels.iter().map(|(label, slots)| (label.into(), Cow::Borrowed(&**slots)));
            state.push((attribute.into(), labels.collect()));
        }
        state
    }

    /// The index that had a state; `None` where it has a label that nothing carries, or a slot that is not `live`.
    pub(crate) fn restore(state: LabelState<'_>, live: &RoaringBitmap) -> Option<Self> {
        let mut by_attribute = OrdMap::new();
        for (attribute, labels) in state {
            let is_sound = |slots: &RoaringBitmap| !slots.is_empty() && slots.is_subset(live);
            if labels.is_empty() || !labels.iter().all(|(_, slots)| is_sound(slots)) {
                return None;
            }
            let shared = |(label, slots): (Cow<'_, str>, Cow<'_, RoaringBitmap>)| {
                (label.into_owned(), Arc::new(slots.into_owned()))
            };
            by_attribute.insert(attribute.into_owned(), labels.into_iter().map(shared).collect());
        }
        let attributes: Vec<_> = by_attribute.iter().collect();
        let ordinals: Vec<_> = attributes.into_par_iter().map(ordinals_of).collect();
        Some(Self { ordinals: ordinals.into_iter().collect(), by_attribute })
    }

    /// The one place that changes the index: the item in a slot had the labels `before` and has those of `after`.
    pub(crate) fn replace(&mut self, slot: Slot, before: Option<&Labels>, after: Option<&Labels>) {
        let differs = |other: Option<&Labels>, (attribute, label): (&String, &String)| {
            other.and_then(|labels| labels.get(attribute)) != Some(label)
        };
        for (attribute, label) in before.into_iter().flatten().filter(|entry| differs(after, *entry)) {
            self.remove(slot, attribute, label);
        }
        for (attribute, label) in after.into_iter().flatten().filter(|entry| differs(before, *entry)) {
            let of_attribute = self.by_attribute.entry(attribute.clone()).or_default();
            Arc::make_mut(of_attribute.entry(label.clone()).or_default()).insert(slot);
            let ordinals = self.ordinals.entry(attribute.clone()).or_default();
            ordinals.insert(slot, label);
            if ordinals.is_due() {
                *ordinals = made(of_attribute, ordinals.entries());
            }
        }
    }

    /// A label that nothing carries is forgotten, and so is an attribute without labels.
    fn remove(&mut self, slot: Slot, attribute: &str, label: &str) {
        let Some(of_attribute) = self.by_attribute.get_mut(attribute) else { return };
        if let Some(slots) = of_attribute.get_mut(label) {
            Arc::make_mut(slots).remove(slot);
            if let Some(ordinals) = self.ordinals.get_mut(attribute) {
                ordinals.remove(slot);
            }
            if slots.is_empty() {
                of_attribute.remove(label);
            }
        }
        if of_attribute.is_empty() {
            self.by_attribute.remove(attribute);
            self.ordinals.remove(attribute);
        }
    }

    /// Slots of the items that carry a label; `None` where none does.
    #[must_use]
    pub fn carrying(&self, attribute: &str, label: &str) -> Option<&RoaringBitmap> {
        self.by_attribute.get(attribute)?.get(label).map(|slots| &**slots)
    }

    /// Labels of an attribute and the slots that carry them; `None` where no item has a label of it.
    #[must_use]
    pub fn of_attribute(&self, attribute: &str) -> Option<&LabelSlots> {
        self.by_attribute.get(attribute)
    }

    /// Which label of an attribute each slot has, where that is kept.
    pub(crate) fn ordinals(&self, attribute: &str) -> Option<&Ordinals> {
        self.ordinals.get(attribute)
    }

    /// Attributes, their labels and the slots that carry them.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &LabelSlots)> {
        self.by_attribute.iter()
    }

    /// Slots of the items that carry one of these labels.
    pub(crate) fn carrying_any(&self, attribute: &str, labels: &[String]) -> Cow<'_, RoaringBitmap> {
        let mut carrying = labels.iter().filter_map(|label| self.carrying(attribute, label));
        let Some(first) = carrying.next() else { return Cow::Owned(RoaringBitmap::new()) };
        carrying.fold(Cow::Borrowed(first), |any, slots| Cow::Owned(any.into_owned() | slots))
    }

    /// Slots of the items that have a label of an attribute.
    pub(crate) fn present(&self, attribute: &str) -> RoaringBitmap {
        let carrying = self.of_attribute(attribute).into_iter().flat_map(LabelSlots::values);
        carrying.fold(RoaringBitmap::new(), |any, slots| any | &**slots)
    }
}

/// The ordinals of an attribute's labels and the slots that carry them.
fn ordinals_of((attribute, labels): (&String, &LabelSlots)) -> (String, Ordinals) {
    let entries = labels.values().map(|slots| slots.len()).sum();
    (attribute.clone(), made(labels, entries))
}

/// The ordinals of labels and the slots that carry them.
fn made(labels: &LabelSlots, entries: u64) -> Ordinals {
    let mut ordinals = Ordinals::default();
    ordinals.make(labels.iter().map(|(label, slots)| (label.as_str(), slots.iter())), entries);
    ordinals
}
