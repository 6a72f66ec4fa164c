//! One consistent state of the catalogue.

mod lacking;
mod predictions;
mod service;
mod vocabulary;

pub use vocabulary::Unknown;

use super::column::Column;
use super::item::{Item, facts};
use super::items::{Items, Placed, Records, Write};
use crate::model::Model;
use crate::store::{ItemChange, SignatureChange, picture_key};
use imbl::OrdSet;
use lapel_heads::Head;
use lapel_search::{
    Change, DamagedSlot, ItemIndex, ItemIndexBuilder, ItemIndexState, ItemRows, LocalSignatures,
    NewSignatures, SignatureColumn, Signatures, SignaturesError, Slot,
};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// The heads that compute signatures of a new picture on one model.
#[derive(Clone)]
pub struct Computing {
    /// The model.
    pub model: Arc<Model>,
    /// Its heads, shared so that the engine can tell pictures of one set of heads by address.
    pub heads: Arc<[Arc<Head>]>,
}

/// Items and columns as a query sees them. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Number of the set of backbone and active heads that answers come from.
    pub generation: u64,
    records: Records,
    /// Ids, labels and fields of the items, and their signatures in a column a head.
    signatures: LocalSignatures,
    /// Ids of items whose record is damaged.
    damaged: OrdSet<String>,
    /// Records on damaged pages.
    lost: u64,
    /// The models, the one that serves first.
    models: Vec<Arc<Model>>,
    /// Columns of the active heads, by head name.
    active: Vec<Column>,
    /// Columns that writes fill and no query reads: of heads whose backfill is going on, and of those on standby.
    reserve: Vec<Column>,
    /// The active heads, shared so that the engine can tell pictures of one set of heads by address.
    heads: Arc<[Arc<Head>]>,
    /// The heads that a new picture must be embedded for, by model.
    computing: Arc<[Computing]>,
}

impl Snapshot {
    /// A state without items on some models, the one that serves first.
    #[must_use]
    pub fn new(models: Vec<Arc<Model>>) -> Self {
        Self { models, ..Self::default() }
    }

    /// The items.
    #[must_use]
    pub fn items(&self) -> Items<'_> {
        Items { index: self.signatures.items(), records: &self.records }
    }

    /// The slot of an id.
    ///
    /// # Errors
    /// [`NoItem`].
    pub fn slot(&self, id: &str) -> Result<Slot, NoItem> {
        self.items().slot(id).ok_or_else(|| {
            let id = id.to_owned();
            if self.damaged.contains(&id) { NoItem::Damaged(id) } else { NoItem::Unknown(id) }
        })
    }

    /// The item of an id.
    ///
    /// # Errors
    /// [`NoItem`].
    pub fn item(&self, id: &str) -> Result<&Arc<Item>, NoItem> {
        let slot = self.slot(id)?;
        self.items().get(slot).ok_or_else(|| NoItem::Unknown(id.to_owned()))
    }

    /// The signatures of the items, as a search asks for them.
    #[must_use]
    pub fn signatures(&self) -> &LocalSignatures {
        &self.signatures
    }

    /// What is made of signatures that are read one by one, where all of them can be read.
    ///
    /// # Errors
    /// [`SignaturesError::Unreadable`].
    pub fn reading<T>(&self, read: impl FnOnce() -> T) -> Result<T, SignaturesError> {
        let faults = self.signatures.faults();
        let read = read();
        if self.signatures.faults() == faults { Ok(read) } else { Err(SignaturesError::Unreadable) }
    }

    /// The signatures of items under the active heads, in the order of [`Snapshot::columns`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn active_signatures(&self, ids: &[&str]) -> Result<ItemRows<'_>, SignaturesError> {
        let columns: Vec<&str> = self.active.iter().map(|column| &**column.key()).collect();
        self.signatures.rows(ids, &columns)
    }

    /// The signature in a slot under a column.
    #[cfg(test)]
    pub fn signature(&self, column: &Column, slot: Slot) -> Option<Cow<'_, [f32]>> {
        self.signatures.column(column.key())?.get(slot)
    }

    /// Whether an item has a signature under a column.
    #[must_use]
    pub fn has_signature(&self, column: &Column, slot: Slot) -> bool {
        self.signatures.column(column.key()).is_some_and(|column| column.has(slot))
    }

    /// The signatures of the items under a column.
    #[must_use]
    pub fn signature_column(&self, column: &Column) -> Option<&SignatureColumn> {
        self.signatures.column(column.key())
    }

    /// The signature under a column of one picture, by its number, of the item in a slot that has several.
    #[must_use]
    pub fn picture_signature(&self, column: &Column, slot: Slot, number: u32) -> Option<Cow<'_, [f32]>> {
        let picture = self.items().pictures().of_item(slot).get(number as usize)?;
        self.signatures.column(column.key())?.picture(*picture)
    }

    /// Ids of items whose record is damaged, and records on damaged pages.
    #[must_use]
    pub fn damage(&self) -> (&OrdSet<String>, u64) {
        (&self.damaged, self.lost)
    }

    /// Notes what could not be read of the store.
    pub fn set_damage(&mut self, damaged: impl IntoIterator<Item = String>, lost: u64) {
        self.damaged = damaged.into_iter().collect();
        self.lost = lost;
    }

    /// Adds to what could not be read of the store.
    pub fn add_damage(&mut self, damaged: impl IntoIterator<Item = String>, lost: u64) {
        self.damaged.extend(damaged);
        self.lost += lost;
    }

    /// The model that serves; `None` only before a catalogue is opened.
    #[must_use]
    pub fn model(&self) -> Option<&Arc<Model>> {
        self.models.first()
    }

    /// All models, the one that serves first.
    #[must_use]
    pub fn models(&self) -> &[Arc<Model>] {
        &self.models
    }

    /// Columns of the active heads, by head name.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.active
    }

    /// The column of an active head.
    #[must_use]
    pub fn column(&self, head: &str) -> Option<&Column> {
        self.active.iter().find(|c| c.head().name() == head)
    }

    /// The column of an active head that tells an attribute apart.
    #[must_use]
    pub fn column_of_attribute(&self, attribute: &str) -> Option<&Column> {
        self.active.iter().find(|c| c.head().manifest().attribute(attribute).is_some())
    }

    /// The column with a key, whether queries read it or not.
    #[must_use]
    pub fn column_of_key(&self, key: &str) -> Option<&Column> {
        self.all_columns().find(|c| &**c.key() == key)
    }

    /// Columns that writes must fill: active and reserve.
    pub fn all_columns(&self) -> impl Iterator<Item = &Column> {
        self.active.iter().chain(&self.reserve)
    }

    /// The signatures of all columns, those of active heads first.
    pub fn signature_columns(&self) -> impl Iterator<Item = &SignatureColumn> {
        self.all_columns().filter_map(|column| self.signatures.column(column.key()))
    }

    /// The active heads, in the order of [`Snapshot::columns`].
    #[must_use]
    pub fn heads(&self) -> &Arc<[Arc<Head>]> {
        &self.heads
    }

    /// The heads that a new picture must be embedded for, by model.
    #[must_use]
    pub fn computing(&self) -> &Arc<[Computing]> {
        &self.computing
    }

    /// Puts items in before there is any column, into the slots that they had where those are known.
    pub fn load_items(&mut self, items: Vec<Arc<Item>>, slots: &[Option<String>]) {
        let Placed { items, slots } = Placed::of(items, slots);
        let mut index = ItemIndexBuilder::with_slots(&slots);
        for item in &items {
            match item {
                Some(item) => index.push(Some((item.id.clone(), &item.entries()))),
                None => index.push(None),
            }
        }
        self.signatures.load_items(index.build());
        self.records = Records::of(items);
    }

    /// Puts items in by slot, [`BLOCK`] a block and fewer in the last, before there is any column. Returns whether they are those that
    /// the state is of; otherwise there is nothing.
    #[must_use]
    pub fn restore_items(&mut self, blocks: Vec<Vec<Option<Arc<Item>>>>, index: ItemIndexState<'_>) -> bool {
        let id = |item: &Option<Arc<Item>>| item.as_ref().map(|item| item.id.clone());
        let ids = blocks.par_iter().map(|items| items.iter().map(id).collect()).collect();
        let by_slot = (0..).zip(blocks.iter().flatten());
        let fields = by_slot.filter_map(|(slot, item)| Some((slot, item.as_ref()?.fields())));
        let Some(index) = ItemIndex::restore(index, ids, fields) else { return false };
        self.signatures.load_items(index);
        self.records = Records::of_blocks(blocks);
        true
    }

    /// Applies changes in their order; an item that is put has the signatures given, and no other.
    pub fn apply(&mut self, changes: &[ItemChange]) {
        for change in changes {
            if !self.damaged.is_empty()
                && matches!(change, ItemChange::Put { .. } | ItemChange::Delete { .. })
            {
                self.damaged.remove(change.id());
            }
        }
        let (writes, last) = self.writes(changes);
        for slot in last.keys().filter_map(|id| self.signatures.items().slot(id)) {
            self.records.set(slot, None);
        }
        let replaced = self.signatures.write(&writes.iter().map(search_change).collect::<Vec<_>>());
        for item in last.into_values().flatten() {
            if let Some(slot) = self.signatures.items().slot(&item.id) {
                self.records.set(slot, Some(item));
            }
        }
        let columns: Vec<&mut Column> = self.active.iter_mut().chain(&mut self.reserve).collect();
        columns.into_par_iter().for_each(|column| {
            let Some(replaced) = replaced.iter().find(|replaced| replaced.column == *column.key()) else {
                return;
            };
            for (write, before) in writes.iter().zip(&replaced.signatures) {
                let items = (write.old.as_ref(), write.new.as_ref());
                column.follow(items, before.as_deref(), write.change.signature(column.key()));
            }
        });
        self.follow_writes(&writes);
    }

    /// What changes do to their items, each on the state that those before it lead to, and what every item is in the end.
    fn writes<'a>(&self, changes: &'a [ItemChange]) -> (Vec<Write<'a>>, HashMap<&'a str, Option<Arc<Item>>>) {
        let (mut writes, mut last) = (Vec::with_capacity(changes.len()), HashMap::new());
        for change in changes {
            let id = change.id();
            let stored = || self.items().of_id(id).cloned();
            let old = last.get(id).cloned().unwrap_or_else(stored);
            let Some(write) = Write::of(change, old) else { continue };
            last.insert(id, write.new.clone());
            writes.push(write);
        }
        (writes, last)
    }

    /// Adds a signature of one head to the item in a slot, of its only picture or the mean of several, if it still has the
    /// same pictures, whatever else changed of it.
    pub fn add_signature(&mut self, key: &str, (slot, item): (Slot, &Arc<Item>), signature: &[f32]) -> bool {
        let is_same = |now: &&Arc<Item>| now.id == item.id && now.has_pictures_of(item);
        let Some(now) = self.records.get(slot).filter(is_same) else { return false };
        let columns = &mut self.active.iter_mut().chain(&mut self.reserve);
        let Some(column) = columns.find(|column| &**column.key() == key) else { return false };
        let before = self.signatures.sign(key, slot, signature).flatten();
        let change = SignatureChange::Becomes(Some(signature));
        column.follow((Some(now), Some(now)), before.as_deref(), change);
        self.follow_signature(key, slot);
        true
    }

    /// The same of one picture, by its number, of an item that has several.
    pub fn add_picture_signature(
        &mut self,
        key: &str,
        (slot, item): (Slot, &Arc<Item>),
        (number, signature): (u32, &[f32]),
    ) -> bool {
        let is_same = |now: &Arc<Item>| now.id == item.id && now.has_pictures_of(item);
        self.records.get(slot).is_some_and(is_same)
            && self.signatures.sign_picture(key, (slot, number as usize), signature)
    }

    /// Takes over codes that were made from `before`, an earlier state of a column; false when the column is gone.
    pub fn adopt_codes(&mut self, before: &SignatureColumn, coded: &SignatureColumn) -> bool {
        self.signatures.adopt_codes(before, coded)
    }

    /// Takes over where `spilled`, which was made from `before`, an earlier state of a column, has its signatures; false when the
    /// column is gone.
    pub fn adopt_rows(&mut self, before: &SignatureColumn, spilled: &SignatureColumn) -> bool {
        self.signatures.adopt_rows(before, spilled)
    }

    /// Takes signatures of up to `most` groups of a column that could not be read from elsewhere: what `find` has by item or
    /// picture.
    ///
    /// # Errors
    /// Those of `find`.
    pub fn mend<E>(
        &mut self,
        key: &str,
        most: usize,
        mut find: impl FnMut(&str) -> Result<Option<Vec<f32>>, E>,
    ) -> Result<(), E> {
        let items = self.signatures.items().clone();
        let id = |slot| items.id(slot).map(ToString::to_string).unwrap_or_default();
        let is_mended = self.signatures.mend(key, most, |damaged| match damaged {
            DamagedSlot::Item(slot) => find(&id(slot)),
            DamagedSlot::Picture { item, number } => find(&picture_key(&id(item), number)),
        });
        is_mended.map(drop)
    }

    /// Moves up to `most` items and pictures, where the first or the second is asked for, from the last slots into free ones
    /// before them, and gives back the memory behind the last ones; returns how many were moved.
    pub fn compact(&mut self, (items, pictures): (bool, bool), most: usize) -> usize {
        let mut moved = 0;
        while items
            && moved < most
            && let Some((from, to)) = self.signatures.items().gap()
            && let Some(item) = self.records.get(from).cloned()
        {
            self.signatures.shift((from, to), facts(&item.record()));
            self.records.set(from, None);
            self.records.set(to, Some(item));
            moved += 1;
        }
        while pictures
            && moved < most
            && let Some(slots) = self.signatures.items().pictures().gap()
        {
            self.signatures.shift_picture(slots);
            moved += 1;
        }
        self.records.truncate(self.signatures.truncate());
        moved
    }
}

/// A change as the search takes it.
fn search_change<'a>(write: &'a Write<'_>) -> Change<'a> {
    let signatures = match write.change {
        ItemChange::Put { signatures, .. } => NewSignatures::Only(signatures),
        ItemChange::Revise { signatures, .. } => NewSignatures::Also(signatures),
        ItemChange::Delete { .. } => NewSignatures::Only(&[]),
    };
    let pictures: &[Vec<(String, Vec<f32>)>] = match write.change {
        ItemChange::Put { pictures, .. } => pictures,
        ItemChange::Revise { .. } | ItemChange::Delete { .. } => &[],
    };
    let (before, after) = write.facts();
    Change { id: &write.id, before, after, signatures, pictures }
}

/// Why an id leads to no item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoItem {
    /// There is none.
    #[error("there is no item {0:?}")]
    Unknown(String),
    /// There was one, and its record cannot be read any more.
    #[error("the record of item {0:?} is damaged")]
    Damaged(String),
}

#[cfg(test)]
mod tests;
