//! What the catalogue keeps of a head's signatures: sums and prototypes. The signatures themselves are in a column of
//! the same key behind [`lapel_search::Signatures`].

use super::Items;
use super::item::Item;
use super::prototypes::Prototypes;
use crate::store::{SignatureChange, of_key};
use lapel_heads::{Head, SignatureSum};
use lapel_search::{LoadingSignatures, OpenedRows, Precision, SignatureColumn, SlotLookup};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A head's statistics over its signatures. Cloning is cheap.
#[derive(Clone)]
pub struct Column {
    key: Arc<str>,
    head: Arc<Head>,
    head_version: u32,
    /// Of all signatures, for the expected distance of a missing one.
    sum: SignatureSum,
    prototypes: Prototypes,
    precision: Precision,
}

/// What a column knows of its signatures, to be kept beside them.
#[derive(Serialize, Deserialize)]
pub struct Statistics {
    sum: SignatureSum,
    prototypes: Vec<Vec<SignatureSum>>,
}

/// A column that is filled before anybody reads it.
pub struct LoadingColumn {
    column: Column,
    signatures: LoadingSignatures,
}

/// An item before and after a change; `None` where it is not there.
pub(super) type BeforeAndAfter<'a> = (Option<&'a Arc<Item>>, Option<&'a Arc<Item>>);

impl Column {
    /// An empty column for a head; `key` names its signatures in the store.
    #[must_use]
    pub fn new(key: &str, head: Arc<Head>, precision: Precision) -> Self {
        Self {
            key: key.into(),
            head_version: 1,
            precision,
            sum: SignatureSum::new(head.dim()),
            prototypes: Prototypes::new(&head),
            head,
        }
    }

    /// The same column for another version of its head than the first.
    #[must_use]
    pub fn of_version(self, head_version: u32) -> Self {
        Self { head_version, ..self }
    }

    /// The version of its head.
    #[must_use]
    pub fn head_version(&self) -> u32 {
        self.head_version
    }

    /// The name of its signatures, in the store and in the search.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// The head.
    #[must_use]
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// Signatures in the column.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.sum.count()
    }

    /// Prototypes of the catalogue's labelled items.
    #[must_use]
    pub fn prototypes(&self) -> &Prototypes {
        &self.prototypes
    }

    /// What it knows of its signatures.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics { sum: self.sum.clone(), prototypes: self.prototypes.sums() }
    }

    /// The same column with what was known of its signatures; `None` where that is not of such a head.
    #[must_use]
    pub fn with_statistics(self, Statistics { sum, prototypes }: Statistics) -> Option<Self> {
        let is_fit = sum.dim() == self.head.dim();
        let prototypes = self.prototypes.with_sums(prototypes).filter(|_| is_fit)?;
        Some(Self { sum, prototypes, ..self })
    }

    /// The empty column that its signatures go to.
    #[must_use]
    pub fn signatures(&self) -> SignatureColumn {
        SignatureColumn::new(&self.key, self.head.dim(), self.precision)
    }

    /// The distance by which an item without a signature is scored: the root mean square of the query's
    /// distances to all signatures of the column. With r the signatures and m their mean, all of unit length,
    /// it is sqrt(2 - 2 q.m); sqrt(2), the distance of unrelated vectors, when there are none.
    #[must_use]
    pub fn expected_distance(&self, query: &[f32]) -> f32 {
        if self.count() == 0 {
            return std::f32::consts::SQRT_2;
        }
        let product: f64 = self.sum.mean().iter().zip(query).map(|(m, q)| m * f64::from(*q)).sum();
        (2.0 - 2.0 * product).max(0.0).sqrt() as f32
    }

    /// Takes in what a change did to an item that had the signature `before`.
    pub(super) fn follow(
        &mut self,
        (old, new): BeforeAndAfter<'_>,
        before: Option<&[f32]>,
        change: SignatureChange<'_>,
    ) {
        match change {
            SignatureChange::Becomes(after) => {
                if let Some(before) = before {
                    self.sum.remove(before);
                    self.forget(old, before);
                }
                if let Some(after) = after.map(|signature| self.precision.rounded(signature)) {
                    self.sum.add(&after);
                    self.learn(new, &after);
                }
            }
            SignatureChange::Stays => {
                let is_relabelled = match (old, new) {
                    (Some(old), Some(new)) => !Arc::ptr_eq(old, new) && !old.has_labels_of(new),
                    (old, new) => old.is_some() || new.is_some(),
                };
                if let Some(before) = before.filter(|_| is_relabelled) {
                    self.forget(old, before);
                    self.learn(new, before);
                }
            }
        }
    }

    fn learn(&mut self, item: Option<&Arc<Item>>, signature: &[f32]) {
        if let Some(item) = item {
            self.prototypes.add(item, signature);
        }
    }

    fn forget(&mut self, item: Option<&Arc<Item>>, signature: &[f32]) {
        if let Some(item) = item {
            self.prototypes.remove(item, signature);
        }
    }
}

impl LoadingColumn {
    /// An empty one, all of which will be in memory.
    #[must_use]
    pub fn new(column: Column) -> Self {
        Self { signatures: LoadingSignatures::new(column.signatures()), column }
    }

    /// An empty one of which `memory_bytes` of exact signatures will be in memory, and others in these files of items and of
    /// pictures.
    #[must_use]
    pub fn with_files(column: Column, files: [OpenedRows; 2], memory_bytes: usize) -> Self {
        Self { signatures: LoadingSignatures::with_files(column.signatures(), files, memory_bytes), column }
    }

    /// One that is there as it was, with its signatures.
    #[must_use]
    pub fn restored(column: Column, signatures: SignatureColumn) -> Self {
        Self { signatures: LoadingSignatures::new(signatures), column }
    }

    /// Takes in a stored signature, by its key, of an item or a picture that is there, whose slot `lookup` of the items has.
    pub fn load(&mut self, (items, lookup): (Items<'_>, &mut SlotLookup<'_>), key: &str, signature: &[f32]) {
        let (id, picture) = of_key(key);
        let Some(slot) = lookup.slot(id) else { return };
        let pictures = items.pictures().of_item(slot);
        if let Some(number) = picture {
            if let Some(slot) = pictures.get(number as usize) {
                self.signatures.set_picture(*slot, signature);
            }
            return;
        }
        let before = self.signatures.set(slot, signature);
        let change = SignatureChange::Becomes(Some(signature));
        self.column.follow((None, items.get(slot)), before.as_deref(), change);
        self.signatures.lend(slot, pictures);
    }

    /// How often a signature could not be read that is in a file.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.signatures.faults()
    }

    pub(super) fn into_parts(self) -> (Column, SignatureColumn) {
        (self.column, self.signatures.into_column())
    }
}
