//! One consistent state of the catalogue.

use super::column::Column;
use super::items::{Item, Items};
use crate::error::Error;
use crate::model::Model;
use crate::store::{ItemChange, ItemRecord, SignatureChange, StoreError};
use imbl::OrdSet;
use lapel_heads::Head;
use lapel_search::Slot;
use rayon::prelude::*;
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
    items: Items,
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
    pub fn items(&self) -> &Items {
        &self.items
    }

    /// The slot of an id.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`StoreError::Damaged`] where there was an item that cannot be read.
    pub fn slot(&self, id: &str) -> Result<Slot, Error> {
        self.items.slot(id).ok_or_else(|| {
            if self.damaged.contains(id) {
                return StoreError::Damaged { table: "items".into(), key: id.to_owned() }.into();
            }
            Error::not_found("item", id)
        })
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

    fn all_columns_mut(&mut self) -> impl Iterator<Item = &mut Column> {
        self.active.iter_mut().chain(&mut self.reserve)
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

    fn list_active(&mut self) {
        self.heads = self.active.iter().map(|c| c.head().clone()).collect();
    }

    fn list_computing(&mut self) {
        let of_model = |model: &Arc<Model>| {
            let reads = |h: &&Arc<Head>| h.has_network() && model.is_read_by(h);
            let heads: Arc<[_]> = self.all_columns().map(Column::head).filter(reads).cloned().collect();
            Computing { model: model.clone(), heads }
        };
        self.computing = self.models.iter().map(of_model).collect();
    }

    /// Adds a model beside the one that serves.
    pub fn add_model(&mut self, model: Arc<Model>) {
        self.models.push(model);
        self.list_computing();
    }

    /// Makes another model the one that serves, with these heads of its own; external heads stay. The next generation.
    pub fn switch(&mut self, fingerprint: &str, keys: &[String]) -> bool {
        let Some(at) = self.models.iter().position(|m| m.fingerprint() == fingerprint) else { return false };
        self.models.swap(0, at);
        let (stay, leave): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.active).into_iter().partition(|c| !c.head().has_network());
        self.active = stay;
        let (enter, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut self.reserve)
            .into_iter()
            .partition(|c| keys.iter().any(|k| **k == **c.key()));
        self.active.extend(enter);
        self.active.sort_by(|a, b| a.head().name().cmp(b.head().name()));
        self.reserve = wait;
        self.reserve.extend(leave);
        self.list_active();
        self.list_computing();
        self.generation += 1;
        true
    }

    /// Drops a model that does not serve; its columns are dropped before.
    pub fn drop_model(&mut self, fingerprint: &str) {
        let serving = self.models.first().cloned();
        self.models.retain(|m| {
            m.fingerprint() != fingerprint || serving.as_ref().is_some_and(|s| Arc::ptr_eq(s, m))
        });
        self.list_computing();
    }

    /// Puts items in before there is any column, into the slots that they had where those are known.
    pub fn load_items(&mut self, items: Vec<(String, ItemRecord)>, slots: &[Option<String>]) {
        self.items.load(items, slots);
    }

    /// Applies changes in their order; an item that is put has the signatures given, and no other. Columns are
    /// independent, and are written side by side.
    pub fn apply(&mut self, changes: &[ItemChange]) {
        for change in changes {
            if !self.damaged.is_empty()
                && matches!(change, ItemChange::Put { .. } | ItemChange::Delete { .. })
            {
                self.damaged.remove(change.id());
            }
        }
        let place = |change| self.items.apply(change);
        let writes: Vec<_> = changes.iter().map(place).collect();
        let columns: Vec<&mut Column> = self.active.iter_mut().chain(&mut self.reserve).collect();
        columns.into_par_iter().for_each(|column| {
            for (change, write) in changes.iter().zip(&writes) {
                let Some(write) = write else { continue };
                let (old, new) = (write.old.as_ref(), write.new.as_ref());
                match change.signature(column.key()) {
                    SignatureChange::Becomes(signature) => column.set(write.slot, (old, new), signature),
                    SignatureChange::Stays => column.relabel(write.slot, old, new),
                }
            }
        });
    }

    /// Adds a signature of one head to the item in a slot, if it is still the same item.
    pub fn add_signature(&mut self, key: &str, (slot, item): (Slot, &Arc<Item>), signature: &[f32]) -> bool {
        let same = self.items.get(slot).is_some_and(|now| Arc::ptr_eq(now, item));
        match self.all_columns_mut().find(|c| &**c.key() == key) {
            Some(column) if same => {
                column.set(slot, (Some(item), Some(item)), Some(signature));
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes over codes that were made from `before`, an earlier state of a column; false when the column is gone.
    pub fn adopt_codes(&mut self, before: &Column, coded: &Column) -> bool {
        let column = self.all_columns_mut().find(|column| column.key() == before.key());
        column.map(|column| column.adopt(before, coded)).is_some()
    }

    /// Moves up to `most` items from the last slots into free ones before them, and gives back the memory behind the
    /// last item; returns how many were moved.
    pub fn compact(&mut self, most: usize) -> usize {
        let mut moved = 0;
        while moved < most
            && let Some((from, to)) = self.items.shift_last()
        {
            self.all_columns_mut().for_each(|column| column.shift(from, to));
            moved += 1;
        }
        let blocks = self.items.truncate();
        self.all_columns_mut().for_each(|column| column.truncate(blocks));
        moved
    }

    /// Adds a column that no query reads yet.
    pub fn add_reserve(&mut self, column: Column) {
        self.reserve.push(column);
        self.list_computing();
    }

    /// Makes a reserve column active, in the place of the active one of its head's name, which becomes a reserve: the
    /// next generation.
    pub fn activate(&mut self, key: &str) -> bool {
        let Some(at) = self.reserve.iter().position(|c| &**c.key() == key) else { return false };
        let column = self.reserve.remove(at);
        if let Some(at) = self.active.iter().position(|c| c.head().name() == column.head().name()) {
            self.reserve.push(self.active.remove(at));
        }
        let place = self.active.partition_point(|c| c.head().name() < column.head().name());
        self.active.insert(place, column);
        // The same heads compute as before, so writes under way need not embed their pictures again.
        self.list_active();
        self.generation += 1;
        true
    }

    /// Drops a column, active (the next generation) or reserve.
    pub fn drop_column(&mut self, key: &str) {
        let before = self.active.len();
        self.active.retain(|c| &**c.key() != key);
        self.reserve.retain(|c| &**c.key() != key);
        self.list_active();
        self.list_computing();
        if self.active.len() < before {
            self.generation += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{BLOCK, Precision};
    use crate::store::ItemRecord;
    use crate::testing::external_head;
    use lapel_heads::{Labels, Signature, SignatureSum};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn labels(label: u8) -> Labels {
        if label == 0 { Labels::new() } else { Labels::from([("style".into(), format!("s{label}"))]) }
    }

    fn put(id: &str, label: u8, signatures: Vec<(String, Vec<f32>)>) -> ItemChange {
        let record = ItemRecord { labels: labels(label), image: None, parts_case: None, updated_ms: 0 };
        ItemChange::Put { id: id.into(), record, image: None, signatures, replaces: true }
    }

    fn delete(id: &str) -> ItemChange {
        ItemChange::Delete { id: id.into() }
    }

    fn vector(angle: f32) -> Vec<f32> {
        vec![angle.cos(), angle.sin()]
    }

    proptest! {
        /// Random writes against a plain map, with compaction now and then: items, labels, signatures, sums and
        /// prototypes agree, the sums bit for bit.
        #[test]
        fn snapshots_agree_with_a_plain_map(
            writes in proptest::collection::vec((0u8..30, 0u8..6, proptest::option::of(0f32..6.2)), 1..200)
        ) {
            let mut snapshot = Snapshot::default();
            snapshot.add_reserve(Column::new("k", external_head("style", 2, &["s1", "s2"]), Precision::F32));
            snapshot.activate("k");
            let mut model: BTreeMap<String, (u8, Option<f32>)> = BTreeMap::new();
            for (id, label, angle) in writes {
                let id = format!("i{id}");
                if label == 3 {
                    prop_assert_eq!(snapshot.items().slot(&id).is_some(), model.remove(&id).is_some());
                    snapshot.apply(&[delete(&id)]);
                    continue;
                }
                if label == 4 {
                    snapshot.compact(3);
                    continue;
                }
                if label == 5 {
                    // Its labels change, and nothing else.
                    let record = ItemRecord { labels: labels(1), image: None, parts_case: None, updated_ms: 1 };
                    snapshot.apply(&[ItemChange::Label { id: id.clone(), record }]);
                    if let Some(there) = model.get_mut(&id) {
                        there.0 = 1;
                    }
                    continue;
                }
                let signatures: Vec<_> = angle.iter().map(|a| ("k".to_owned(), vector(*a))).collect();
                snapshot.apply(&[put(&id, label, signatures)]);
                model.insert(id, (label, angle));
            }
            let column = &snapshot.columns()[0];
            prop_assert_eq!(snapshot.items().len(), model.len());
            prop_assert_eq!(snapshot.items().live().len() as usize, model.len());
            prop_assert_eq!(column.count() as usize, model.values().filter(|m| m.1.is_some()).count());
            for (id, (label, angle)) in &model {
                let slot = snapshot.items().slot(id).expect("there");
                prop_assert_eq!(&snapshot.items().get(slot).expect("there").record.labels, &labels(*label));
                prop_assert_eq!(column.get(slot).map(std::borrow::Cow::into_owned), angle.map(vector));
            }
            for label in [1u8, 2] {
                let name = format!("s{label}");
                let members: Vec<_> = model.values().filter(|m| m.0 == label).collect();
                let carried = snapshot.items().with_label("style", &name).map_or(0, |b| b.len());
                prop_assert_eq!(carried as usize, members.len());
                let sum = column.prototypes().sum("style", &name).expect("a known label");
                let wanted: Vec<_> = members.iter().filter_map(|m| m.1).collect();
                prop_assert_eq!(sum.count() as usize, wanted.len());
                let mut anew = SignatureSum::new(2);
                wanted.iter().for_each(|angle| anew.add(&vector(*angle)));
                prop_assert_eq!(sum, &anew);
            }
        }
    }

    #[test]
    fn compaction_gives_back_what_deleted_items_took() {
        let mut snapshot = Snapshot::default();
        snapshot.add_reserve(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
        snapshot.activate("k");
        let count = 4 * BLOCK;
        for i in 0..count {
            snapshot.apply(&[put(&format!("{i:05}"), 1, vec![("k".into(), vector(i as f32))])]);
        }
        let kept = |i: &usize| i.is_multiple_of(10);
        for i in (0..count).filter(|i| !kept(i)) {
            snapshot.apply(&[delete(&format!("{i:05}"))]);
        }
        let before = snapshot.clone();
        while snapshot.compact(64) == 64 {}
        assert_eq!((before.items().blocks(), snapshot.items().blocks()), (4, 1));
        assert_eq!(snapshot.columns()[0].blocks().len(), 1);
        assert_eq!(snapshot.items().free(), 0);
        for state in [&before, &snapshot] {
            for i in (0..count).filter(kept) {
                let slot = state.items().slot(&format!("{i:05}")).expect("there");
                assert_eq!(state.columns()[0].get(slot).as_deref(), Some(vector(i as f32).as_slice()));
            }
        }
        let sum = |s: &Snapshot| s.columns()[0].prototypes().sum("style", "s1").cloned();
        assert_eq!(sum(&before), sum(&snapshot));
        assert_eq!(snapshot.items().with_label("style", "s1").map(|b| b.len()), Some(count as u64 / 10 + 1));
    }

    #[test]
    fn an_older_snapshot_does_not_change() {
        let mut snapshot = Snapshot::default();
        snapshot.add_reserve(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
        snapshot.activate("k");
        for i in 0..BLOCK + 5 {
            snapshot.apply(&[put(&format!("{i}"), 1, vec![("k".into(), vector(0.1))])]);
        }
        let old = snapshot.clone();
        snapshot.apply(&[delete("7")]);
        snapshot.apply(&[put("8", 0, vec![("k".into(), vector(1.0))])]);
        let slot = old.items().slot("8").expect("there");
        assert!(old.items().slot("7").is_some() && snapshot.items().slot("7").is_none());
        assert_eq!(old.columns()[0].get(slot).as_deref(), Some(vector(0.1).as_slice()));
        assert_eq!(snapshot.columns()[0].get(slot).as_deref(), Some(vector(1.0).as_slice()));
    }

    #[test]
    fn activation_leaves_the_computing_heads_as_they_are() {
        let mut snapshot = Snapshot::default();
        snapshot.add_reserve(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
        let before = snapshot.computing().clone();
        snapshot.activate("k");
        assert!(Arc::ptr_eq(&before, snapshot.computing()));
        assert_eq!(snapshot.heads().len(), 1);
    }

    #[test]
    fn the_expected_distance_is_the_root_mean_square() {
        let mut snapshot = Snapshot::default();
        snapshot.add_reserve(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
        snapshot.activate("k");
        let angles = [0.1f32, 0.9, 2.0, 4.0];
        for (i, angle) in angles.iter().enumerate() {
            snapshot.apply(&[put(&format!("{i}"), 0, vec![("k".into(), vector(*angle))])]);
        }
        let query = Signature::new(vector(1.3)).expect("unit");
        let squares = angles.iter().map(|a| lapel_heads::distance(query.values(), &vector(*a)).powi(2));
        let wanted = (squares.sum::<f32>() / angles.len() as f32).sqrt();
        assert!((snapshot.columns()[0].expected_distance(query.values()) - wanted).abs() < 1e-5);
    }
}
