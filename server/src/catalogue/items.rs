//! Items by slot, by id and by label.

use crate::store::{ItemChange, ItemRecord};
use imbl::OrdMap;
use lapel_heads::Labels;
use lapel_search::kernels::{Bits, GROUP, GROUPS};
use lapel_search::{BLOCK, Slot};
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

/// An item in memory.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: Arc<str>,
    /// What the store holds of it.
    pub record: ItemRecord,
}

/// What a change did to a slot.
pub(super) struct SlotWrite {
    pub(super) slot: Slot,
    /// The item before.
    pub(super) old: Option<Arc<Item>>,
    /// The item after.
    pub(super) new: Option<Arc<Item>>,
}

/// The items of one block of slots.
#[derive(Clone)]
struct ItemBlock {
    items: Vec<Option<Arc<Item>>>,
    live: Bits,
}

impl ItemBlock {
    fn set(&mut self, at: usize, item: Option<Arc<Item>>) -> Option<Arc<Item>> {
        let bit = 1 << (at % GROUP);
        if item.is_some() {
            self.live[at / GROUP] |= bit;
        } else {
            self.live[at / GROUP] &= !bit;
        }
        std::mem::replace(&mut self.items[at], item)
    }
}

/// All items. Cloning is cheap: blocks, maps and bitmaps are shared until they are written.
#[derive(Clone, Default)]
pub struct Items {
    blocks: Vec<Arc<ItemBlock>>,
    by_id: OrdMap<Arc<str>, Slot>,
    live: Arc<RoaringBitmap>,
    free: Arc<RoaringBitmap>,
    by_label: OrdMap<String, OrdMap<String, Arc<RoaringBitmap>>>,
}

impl Items {
    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Slots that hold an item.
    #[must_use]
    pub fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    /// Number of blocks; every slot lies in one.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The slots of a block that hold an item.
    #[must_use]
    pub fn live_bits(&self, block: usize) -> Bits {
        self.blocks.get(block).map_or([0; GROUPS], |block| block.live)
    }

    /// The item in a slot.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Arc<Item>> {
        self.blocks.get(slot as usize / BLOCK)?.items.get(slot as usize % BLOCK)?.as_ref()
    }

    /// The slot of an id.
    #[must_use]
    pub fn slot(&self, id: &str) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    /// Slots of the items whose ids come after `after`, by id.
    pub fn after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = Slot> + 'a {
        self.by_id.range::<_, str>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, slot)| *slot)
    }

    /// Slots of the items that carry a label.
    #[must_use]
    pub fn with_label(&self, attribute: &str, label: &str) -> Option<&Arc<RoaringBitmap>> {
        self.by_label.get(attribute)?.get(label)
    }

    /// Labels of an attribute and the slots that carry them; `None` where no item has a label of it.
    #[must_use]
    pub fn labels_of(&self, attribute: &str) -> Option<&OrdMap<String, Arc<RoaringBitmap>>> {
        self.by_label.get(attribute)
    }

    /// Attributes, their labels and the slots that carry them.
    pub fn labels(&self) -> impl Iterator<Item = (&String, &OrdMap<String, Arc<RoaringBitmap>>)> {
        self.by_label.iter()
    }

    /// Applies a change; `None` when there was no item to change.
    pub(super) fn apply(&mut self, change: &ItemChange) -> Option<SlotWrite> {
        match change {
            ItemChange::Put { id, record, .. } => {
                let old = self.slot(id).and_then(|slot| self.get(slot).cloned());
                let slot = self.put(id, record.clone());
                Some(SlotWrite { slot, old, new: self.get(slot).cloned() })
            }
            ItemChange::Label { id, record } => {
                let slot = self.slot(id)?;
                let old = self.get(slot).cloned();
                self.put(id, record.clone());
                Some(SlotWrite { slot, old, new: self.get(slot).cloned() })
            }
            ItemChange::Sign { id, .. } => {
                let slot = self.slot(id)?;
                let item = self.get(slot).cloned();
                Some(SlotWrite { slot, old: item.clone(), new: item })
            }
            ItemChange::Delete { id } => {
                self.remove(id).map(|(slot, old)| SlotWrite { slot, old: Some(old), new: None })
            }
        }
    }

    /// Puts items in where there are none, into the slots that they had where those are known; each id has one slot.
    pub(super) fn load(&mut self, items: Vec<(String, ItemRecord)>, slots: &[Option<String>]) {
        let mut known: HashMap<String, ItemRecord> = items.into_iter().collect();
        let had = slots.iter().map(|id| id.as_ref().and_then(|id| known.remove_entry(id)));
        let mut placed: Vec<Option<(String, ItemRecord)>> = had.collect();
        let mut rest: Vec<_> = known.into_iter().collect();
        rest.sort_by(|a, b| a.0.cmp(&b.0));
        let mut rest = rest.into_iter();
        for slot in placed.iter_mut().filter(|slot| slot.is_none()) {
            *slot = rest.next();
        }
        placed.extend(rest.map(Some));
        // Labels are gathered first: one bitmap after the other is written, not one item after the other.
        let mut by_label: HashMap<String, HashMap<String, RoaringBitmap>> = HashMap::new();
        let (mut live, mut free) = (RoaringBitmap::new(), RoaringBitmap::new());
        for (slot, placed) in placed.into_iter().enumerate() {
            if slot / BLOCK == self.blocks.len() {
                self.blocks.push(Arc::new(ItemBlock { items: vec![None; BLOCK], live: [0; GROUPS] }));
            }
            let Some((id, record)) = placed else {
                free.insert(slot as Slot);
                continue;
            };
            live.insert(slot as Slot);
            for (attribute, label) in &record.labels {
                let of_attribute = match by_label.get_mut(attribute) {
                    Some(there) => there,
                    None => by_label.entry(attribute.clone()).or_default(),
                };
                match of_attribute.get_mut(label) {
                    Some(slots) => slots.insert(slot as Slot),
                    None => of_attribute.entry(label.clone()).or_default().insert(slot as Slot),
                };
            }
            let id: Arc<str> = id.as_str().into();
            self.by_id.insert(id.clone(), slot as Slot);
            let block = Arc::make_mut(&mut self.blocks[slot / BLOCK]);
            block.set(slot % BLOCK, Some(Arc::new(Item { id, record })));
        }
        let shared = |of: HashMap<String, RoaringBitmap>| -> OrdMap<String, Arc<RoaringBitmap>> {
            of.into_iter().map(|(label, slots)| (label, Arc::new(slots))).collect()
        };
        self.by_label = by_label.into_iter().map(|(attribute, of)| (attribute, shared(of))).collect();
        (self.live, self.free) = (Arc::new(live), Arc::new(free));
    }

    /// Puts an item into its slot, the one it had before or a free one.
    fn put(&mut self, id: &str, record: ItemRecord) -> Slot {
        let slot = match self.slot(id) {
            Some(slot) => {
                self.unlabel(slot);
                slot
            }
            None => self.free_slot(),
        };
        let id: Arc<str> = self.get(slot).map_or_else(|| id.into(), |old| old.id.clone());
        self.place(slot, id, record);
        slot
    }

    /// Writes a slot that holds nothing, or an earlier state of the same item.
    fn place(&mut self, slot: Slot, id: Arc<str>, record: ItemRecord) {
        while self.blocks.len() <= slot as usize / BLOCK {
            self.blocks.push(Arc::new(ItemBlock { items: vec![None; BLOCK], live: [0; GROUPS] }));
        }
        self.label(slot, &record.labels);
        self.by_id.insert(id.clone(), slot);
        Arc::make_mut(&mut self.live).insert(slot);
        let block = Arc::make_mut(&mut self.blocks[slot as usize / BLOCK]);
        block.set(slot as usize % BLOCK, Some(Arc::new(Item { id, record })));
    }

    /// Empties the slot of an id and returns what was there.
    fn remove(&mut self, id: &str) -> Option<(Slot, Arc<Item>)> {
        let slot = self.by_id.remove(id)?;
        self.unlabel(slot);
        Arc::make_mut(&mut self.live).remove(slot);
        Arc::make_mut(&mut self.free).insert(slot);
        let block = Arc::make_mut(self.blocks.get_mut(slot as usize / BLOCK)?);
        Some((slot, block.set(slot as usize % BLOCK, None)?))
    }

    /// Moves the item in the last slot to the first free one; `None` when there is no free slot before it.
    pub(super) fn shift_last(&mut self) -> Option<(Slot, Slot)> {
        let (from, to) = (self.live.max()?, self.free.min()?);
        if to > from {
            return None;
        }
        let item = self.get(from)?.clone();
        Arc::make_mut(self.blocks.get_mut(from as usize / BLOCK)?).set(from as usize % BLOCK, None);
        Arc::make_mut(self.blocks.get_mut(to as usize / BLOCK)?).set(to as usize % BLOCK, Some(item.clone()));
        for (attribute, label) in &item.record.labels {
            if let Some(slots) = self.by_label.get_mut(attribute).and_then(|of| of.get_mut(label)) {
                let slots = Arc::make_mut(slots);
                slots.remove(from);
                slots.insert(to);
            }
        }
        self.by_id.insert(item.id.clone(), to);
        let (live, free) = (Arc::make_mut(&mut self.live), Arc::make_mut(&mut self.free));
        live.remove(from);
        live.insert(to);
        free.remove(to);
        free.insert(from);
        Some((from, to))
    }

    /// Drops the blocks behind the last item and returns how many are left.
    pub(super) fn truncate(&mut self) -> usize {
        let slots = self.live.max().map_or(0, |last| last + 1);
        let blocks = (slots as usize).div_ceil(BLOCK);
        self.blocks.truncate(blocks);
        Arc::make_mut(&mut self.free).remove_range(slots..);
        blocks
    }

    /// Slots without an item.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.free.len()
    }

    fn free_slot(&mut self) -> Slot {
        if let Some(slot) = self.free.min() {
            Arc::make_mut(&mut self.free).remove(slot);
            return slot;
        }
        self.live.max().map_or(0, |last| last + 1)
    }

    fn label(&mut self, slot: Slot, labels: &Labels) {
        for (attribute, label) in labels {
            let of_attribute = self.by_label.entry(attribute.clone()).or_default();
            Arc::make_mut(of_attribute.entry(label.clone()).or_default()).insert(slot);
        }
    }

    fn unlabel(&mut self, slot: Slot) {
        let Some(item) = self.get(slot).cloned() else { return };
        for (attribute, label) in &item.record.labels {
            let Some(of_attribute) = self.by_label.get_mut(attribute) else { continue };
            if let Some(slots) = of_attribute.get_mut(label) {
                Arc::make_mut(slots).remove(slot);
                if slots.is_empty() {
                    of_attribute.remove(label);
                }
            }
            if of_attribute.is_empty() {
                self.by_label.remove(attribute);
            }
        }
    }
}
