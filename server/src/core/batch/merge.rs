//! A write that keeps what the item that is there has and the write does not name.

use super::Batch;
use crate::catalogue::Column;
use crate::core::check::{check_counts, check_substance};
use crate::core::item::{Named, NewItem, Parts};
use crate::core::write::EmbeddedPicture;
use crate::error::{Error, Faults};
use crate::store::{ItemChange, SignatureChange, Store};
use std::collections::BTreeMap;

impl Batch<'_> {
    /// A whole item, with the labels, fields and given signatures of the one that is there which it does not name.
    pub(super) fn merge(
        &self,
        mut item: NewItem,
        pictures: &[EmbeddedPicture],
        store: &Store,
        mut faults: Faults,
    ) -> Result<ItemChange, Error> {
        let Some(there) = self.record(&item.id) else {
            check_substance(&item, &mut faults);
            check_counts((item.labels.len(), item.fields.len()), self.limits, &mut faults);
            faults.end()?;
            return self.put(item, pictures);
        };
        if item.image.is_none() {
            // Its images stay, too, so it is a write of what it names.
            let (labels, fields) = (Named::keys(&item.labels), Named::keys(&item.fields));
            return self.revise(item, &Parts { labels, fields, signatures: true }, faults);
        }
        keep(&mut item.labels, &there.labels);
        keep(&mut item.fields, &there.fields);
        self.check_growth(&there, (item.labels.len(), item.fields.len()), &mut faults);
        faults.end()?;
        let mut change = self.put(item, pictures)?;
        if let ItemChange::Put { id, signatures, .. } = &mut change {
            let kept = self.kept_signatures(id, signatures, store)?;
            signatures.extend(kept);
        }
        Ok(change)
    }

    /// The item's signatures of external heads but for those that are named: nothing could compute them again from the new
    /// images.
    fn kept_signatures(
        &self,
        id: &str,
        named: &[(String, Vec<f32>)],
        store: &Store,
    ) -> Result<Vec<(String, Vec<f32>)>, Error> {
        let is_kept = |column: &&Column| {
            !column.head().has_network() && !named.iter().any(|(key, _)| **key == **column.key())
        };
        let one = |column: &Column| {
            let before = self.signature_before(id, column, store).transpose()?;
            Some(before.map(|values| (column.key().to_string(), values)))
        };
        self.before.all_columns().filter(is_kept).filter_map(one).collect()
    }

    /// An item's signature as the changes before this one leave it.
    fn signature_before(&self, id: &str, column: &Column, store: &Store) -> Result<Option<Vec<f32>>, Error> {
        if self.changed.contains_key(id) {
            for change in self.changes.iter().rev().filter(|change| change.id() == id) {
                match change.signature(column.key()) {
                    SignatureChange::Stays => {}
                    SignatureChange::Becomes(values) => return Ok(values.map(<[f32]>::to_vec)),
                }
            }
        }
        let slot = self.before.items().slot(id);
        let Some(in_memory) = slot.and_then(|slot| self.before.signature_column(column)?.get(slot)) else {
            return Ok(None);
        };
        // Memory may have it rounded. A damaged one is better kept so than not at all.
        match store.signature(column.key(), in_memory.len(), id) {
            Ok(stored) => Ok(Some(stored.unwrap_or_else(|| in_memory.into_owned()))),
            Err(error) if error.is_damage() => Ok(Some(in_memory.into_owned())),
            Err(error) => Err(error.into()),
        }
    }
}

/// Adds the entries that are there and not given.
fn keep<V: Clone>(given: &mut BTreeMap<String, V>, there: &BTreeMap<String, V>) {
    for (name, value) in there {
        if !given.contains_key(name) {
            given.insert(name.clone(), value.clone());
        }
    }
}
