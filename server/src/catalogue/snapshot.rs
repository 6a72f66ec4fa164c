//! One consistent state of the catalogue.

use super::column::Column;
use super::items::{Item, Items, Slot};
use crate::store::ItemChange;
use lapel_heads::Head;
use rayon::prelude::*;
use std::sync::Arc;

/// Items and columns as a query sees them. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Number of the set of backbone and active heads that answers come from.
    pub generation: u64,
    items: Items,
    /// Columns of the active heads, by head name.
    active: Vec<Column>,
    /// Columns of heads whose backfill is going on; no query reads them.
    pending: Vec<Column>,
    /// The active heads, shared so that the model can tell pictures of one set of heads by address.
    heads: Arc<[Arc<Head>]>,
    /// The active and pending heads that compute signatures, likewise.
    computing: Arc<[Arc<Head>]>,
}

impl Snapshot {
    /// The items.
    #[must_use]
    pub fn items(&self) -> &Items {
        &self.items
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

    /// The column of a head whose backfill is going on.
    #[must_use]
    pub fn pending(&self, key: &str) -> Option<&Column> {
        self.pending.iter().find(|c| &**c.key() == key)
    }

    /// Columns that writes must fill: active and pending.
    pub fn all_columns(&self) -> impl Iterator<Item = &Column> {
        self.active.iter().chain(&self.pending)
    }

    /// The active heads, in the order of [`Snapshot::columns`].
    #[must_use]
    pub fn heads(&self) -> &Arc<[Arc<Head>]> {
        &self.heads
    }

    /// The heads that a new picture must be embedded for: active and pending ones with a network.
    #[must_use]
    pub fn computing_heads(&self) -> &Arc<[Arc<Head>]> {
        &self.computing
    }

    fn list_active(&mut self) {
        self.heads = self.active.iter().map(|c| c.head().clone()).collect();
    }

    fn list_computing(&mut self) {
        self.computing = self.all_columns().map(Column::head).filter(|h| h.has_network()).cloned().collect();
    }

    /// Applies changes in their order; an item that is put has the signatures given, and no other. Columns are
    /// independent, and are written side by side.
    pub fn apply(&mut self, changes: &[ItemChange]) {
        let place = |change| self.items.apply(change);
        let writes: Vec<_> = changes.iter().map(place).collect();
        let columns: Vec<&mut Column> = self.active.iter_mut().chain(&mut self.pending).collect();
        columns.into_par_iter().for_each(|column| {
            for (change, write) in changes.iter().zip(&writes) {
                let Some(write) = write else { continue };
                let signature = change.signature(column.key());
                if signature.is_none() && matches!(change, ItemChange::Sign { .. }) {
                    continue;
                }
                column.set(write.slot, (write.old.as_ref(), write.new.as_ref()), signature);
            }
        });
    }

    /// Adds a signature of one head to the item in a slot, if it is still the same item.
    pub fn add_signature(&mut self, key: &str, (slot, item): (Slot, &Arc<Item>), signature: &[f32]) -> bool {
        let same = self.items.get(slot).is_some_and(|now| Arc::ptr_eq(now, item));
        let column = self.active.iter_mut().chain(&mut self.pending).find(|c| &**c.key() == key);
        match column {
            Some(column) if same => {
                column.set(slot, (Some(item), Some(item)), Some(signature));
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes over codes that were made from `before`, an earlier state of a column; false when the column is gone.
    pub fn adopt_codes(&mut self, before: &Column, coded: &Column) -> bool {
        let mut columns = self.active.iter_mut().chain(&mut self.pending);
        let column = columns.find(|column| column.key() == before.key());
        column.map(|column| column.adopt(before, coded)).is_some()
    }

    /// Adds a column that no query reads yet.
    pub fn add_pending(&mut self, column: Column) {
        self.pending.push(column);
        self.list_computing();
    }

    /// Makes a pending column active: the next generation.
    pub fn activate(&mut self, key: &str) -> bool {
        let Some(at) = self.pending.iter().position(|c| &**c.key() == key) else { return false };
        let column = self.pending.remove(at);
        let place = self.active.partition_point(|c| c.head().name() < column.head().name());
        self.active.insert(place, column);
        // The same heads compute as before, so writes under way need not embed their pictures again.
        self.list_active();
        self.generation += 1;
        true
    }

    /// Drops a column, active (the next generation) or pending.
    pub fn drop_column(&mut self, key: &str) {
        let before = self.active.len();
        self.active.retain(|c| &**c.key() != key);
        self.pending.retain(|c| &**c.key() != key);
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
    use lapel_heads::{Labels, Signature};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn labels(label: u8) -> Labels {
        if label == 0 { Labels::new() } else { Labels::from([("style".into(), format!("s{label}"))]) }
    }

    fn put(id: &str, label: u8, signatures: Vec<(String, Vec<f32>)>) -> ItemChange {
        let record = ItemRecord { labels: labels(label), has_image: false, parts_case: None, updated_ms: 0 };
        ItemChange::Put { id: id.into(), record, image: None, signatures, replaces: true }
    }

    fn delete(id: &str) -> ItemChange {
        ItemChange::Delete { id: id.into() }
    }

    fn vector(angle: f32) -> Vec<f32> {
        vec![angle.cos(), angle.sin()]
    }

    proptest! {
        /// Random writes against a plain map: items, labels, signatures, sums and prototypes agree.
        #[test]
        fn snapshots_agree_with_a_plain_map(
            writes in proptest::collection::vec((0u8..30, 0u8..4, proptest::option::of(0f32..6.2)), 1..200)
        ) {
            let mut snapshot = Snapshot::default();
            snapshot.add_pending(Column::new("k", external_head("style", 2, &["s1", "s2"]), Precision::F32));
            snapshot.activate("k");
            let mut model: BTreeMap<String, (u8, Option<f32>)> = BTreeMap::new();
            for (id, label, angle) in writes {
                let id = format!("i{id}");
                if label == 3 {
                    prop_assert_eq!(snapshot.items().slot(&id).is_some(), model.remove(&id).is_some());
                    snapshot.apply(&[delete(&id)]);
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
                let total: f64 = wanted.iter().map(|a| f64::from(vector(*a)[0])).sum();
                prop_assert!((sum.sum()[0] - total).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn an_older_snapshot_does_not_change() {
        let mut snapshot = Snapshot::default();
        snapshot.add_pending(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
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
        snapshot.add_pending(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
        let before = snapshot.computing_heads().clone();
        snapshot.activate("k");
        assert!(Arc::ptr_eq(&before, snapshot.computing_heads()));
        assert_eq!(snapshot.heads().len(), 1);
    }

    #[test]
    fn the_expected_distance_is_the_root_mean_square() {
        let mut snapshot = Snapshot::default();
        snapshot.add_pending(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
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
