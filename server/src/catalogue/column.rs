//! Everything about one head: exact signatures by slot, prototypes, index.

use super::items::{Item, Slot};
use super::prototypes::Prototypes;
use super::{BLOCK, Items};
use crate::search::Hnsw;
use lapel_heads::{Head, HeadKind};
use std::sync::Arc;

/// The signatures of one block of slots.
#[derive(Clone)]
pub struct ColumnBlock {
    /// `[BLOCK, dim]`; rows of absent signatures are zero.
    values: Vec<f32>,
    present: [u64; BLOCK / 64],
}

impl ColumnBlock {
    fn new(dim: usize) -> Self {
        Self { values: vec![0.0; BLOCK * dim], present: [0; BLOCK / 64] }
    }

    /// The signature at a position of the block.
    #[must_use]
    pub fn get(&self, at: usize, dim: usize) -> Option<&[f32]> {
        (self.present[at / 64] >> (at % 64) & 1 == 1).then(|| &self.values[at * dim..][..dim])
    }

    fn set(&mut self, at: usize, dim: usize, signature: Option<&[f32]>) {
        let row = &mut self.values[at * dim..][..dim];
        if let Some(signature) = signature {
            row.copy_from_slice(signature);
            self.present[at / 64] |= 1 << (at % 64);
        } else {
            row.fill(0.0);
            self.present[at / 64] &= !(1 << (at % 64));
        }
    }
}

/// A head's column. Cloning is cheap; blocks are shared until they are written.
#[derive(Clone)]
pub struct Column {
    key: Arc<str>,
    head: Arc<Head>,
    blocks: Vec<Arc<ColumnBlock>>,
    count: u64,
    /// Sum of all signatures, for the expected distance of a missing one.
    sum: Vec<f64>,
    prototypes: Prototypes,
    /// Counts the writes; the index says up to which it has followed.
    version: u64,
    index: Arc<Hnsw>,
}

impl Column {
    /// An empty column for a head; `key` names its signatures in the store.
    #[must_use]
    pub fn new(key: &str, head: Arc<Head>) -> Self {
        Self {
            key: key.into(),
            blocks: Vec::new(),
            count: 0,
            sum: vec![0.0; head.dim()],
            prototypes: Prototypes::new(&head),
            version: 0,
            index: Arc::new(Hnsw::new(head.dim())),
            head,
        }
    }

    /// The name of its signatures in the store.
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
        self.count
    }

    /// Counts the writes.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Its HNSW index.
    #[must_use]
    pub fn index(&self) -> &Arc<Hnsw> {
        &self.index
    }

    /// Its blocks; slots beyond the last have no signature.
    #[must_use]
    pub fn blocks(&self) -> &[Arc<ColumnBlock>] {
        &self.blocks
    }

    /// Prototypes of the catalogue's labelled items.
    #[must_use]
    pub fn prototypes(&self) -> &Prototypes {
        &self.prototypes
    }

    /// The signature in a slot.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&[f32]> {
        self.blocks.get(slot as usize / BLOCK)?.get(slot as usize % BLOCK, self.head.dim())
    }

    /// The distance by which an item without a signature is scored: the root mean square of the query's
    /// distances to all signatures of the column. With r the signatures and m their mean, all of unit length,
    /// it is sqrt(2 - 2 q.m); sqrt(2), the distance of unrelated vectors, when there are none.
    #[must_use]
    pub fn expected_distance(&self, query: &[f32]) -> f32 {
        if self.count == 0 {
            return std::f32::consts::SQRT_2;
        }
        let product: f64 = self.sum.iter().zip(query).map(|(s, q)| s * f64::from(*q)).sum();
        (2.0 - 2.0 * product / self.count as f64).max(0.0).sqrt() as f32
    }

    /// Replaces what a slot holds. `old` and `new` are the slot's item before and after, for the prototypes.
    pub(super) fn set(
        &mut self,
        slot: Slot,
        (old, new): (Option<&Arc<Item>>, Option<&Arc<Item>>),
        signature: Option<&[f32]>,
    ) {
        let dim = self.head.dim();
        let (block, at) = (slot as usize / BLOCK, slot as usize % BLOCK);
        let before = self.get(slot).map(<[f32]>::to_vec);
        if let Some(before) = &before {
            self.count -= 1;
            self.sum.iter_mut().zip(before).for_each(|(s, v)| *s -= f64::from(*v));
            if let Some(old) = old {
                self.prototypes.remove(&old.record.labels, before);
            }
        }
        if let Some(signature) = signature {
            self.count += 1;
            self.sum.iter_mut().zip(signature).for_each(|(s, v)| *s += f64::from(*v));
            if let Some(new) = new {
                self.prototypes.add(&new.record.labels, signature);
            }
        }
        if signature.is_none() && before.is_none() {
            return;
        }
        while self.blocks.len() <= block {
            self.blocks.push(Arc::new(ColumnBlock::new(dim)));
        }
        Arc::make_mut(&mut self.blocks[block]).set(at, dim, signature);
        self.version += 1;
    }

    /// Slots whose item lacks a signature that the server could compute: it has an image.
    #[must_use]
    pub fn computable(&self, items: &Items) -> Vec<Slot> {
        if self.head.manifest().kind == HeadKind::External {
            return Vec::new();
        }
        let lacks = |slot: &Slot| {
            self.get(*slot).is_none() && items.get(*slot).is_some_and(|item| item.record.has_image)
        };
        items.live().iter().filter(lacks).collect()
    }
}
