//! Everything about one head: exact signatures by slot, their codes, prototypes, index.

use super::Items;
use super::items::Item;
use super::prototypes::Prototypes;
use crate::search::Hnsw;
use lapel_heads::{Head, HeadKind, SignatureSum};
use lapel_search::codes::Codec;
use lapel_search::kernels::Rows;
use lapel_search::{BLOCK, ColumnBlock, Precision, Slot};
use std::borrow::Cow;
use std::sync::Arc;

/// Signatures that a codec is trained on, at most; more do not make it better.
const SAMPLE_MAX: usize = 16_384;
/// A column is coded anew when it has this many times the signatures that its codec was trained for.
const GROWTH: u64 = 4;
/// And when newly written signatures are this many times worse coded than the codec's sample was.
const DRIFT_MAX: f64 = 1.5;
/// Newly written signatures before their error says anything.
const DRIFT_COUNT_MIN: u64 = 4096;

/// A head's column. Cloning is cheap; blocks are shared until they are written.
#[derive(Clone)]
pub struct Column {
    key: Arc<str>,
    head: Arc<Head>,
    head_version: u32,
    blocks: Vec<Arc<ColumnBlock>>,
    /// Of all signatures, for the expected distance of a missing one.
    sum: SignatureSum,
    prototypes: Prototypes,
    /// Counts the writes; the index says up to which it has followed.
    version: u64,
    index: Arc<Hnsw>,
    codec: Option<Arc<Codec>>,
    /// Sum of the coding errors since the codec came, and their number.
    drift: (f64, u64),
    precision: Precision,
}

impl Column {
    /// An empty column for a head; `key` names its signatures in the store.
    #[must_use]
    pub fn new(key: &str, head: Arc<Head>, precision: Precision) -> Self {
        Self {
            key: key.into(),
            head_version: 1,
            blocks: Vec::new(),
            codec: None,
            drift: (0.0, 0),
            precision,
            sum: SignatureSum::new(head.dim()),
            prototypes: Prototypes::new(&head),
            version: 0,
            index: Arc::new(Hnsw::new(head.dim())),
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
        self.sum.count()
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

    /// What its codes were made by; `None` while every signature is only there in full.
    #[must_use]
    pub fn codec(&self) -> Option<&Arc<Codec>> {
        self.codec.as_ref()
    }

    /// The block that a slot lies in.
    #[must_use]
    pub fn block(&self, number: usize) -> Option<&ColumnBlock> {
        self.blocks.get(number).map(|block| &**block)
    }

    /// The signature in a slot.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<Cow<'_, [f32]>> {
        self.block(slot as usize / BLOCK)?.get(slot as usize % BLOCK, self.head.dim())
    }

    /// The signature in a slot as it is kept.
    #[must_use]
    pub fn row(&self, slot: Slot) -> Option<Rows<'_>> {
        self.block(slot as usize / BLOCK)?.row(slot as usize % BLOCK, self.head.dim())
    }

    /// Whether the slot has a signature.
    #[must_use]
    pub fn has(&self, slot: Slot) -> bool {
        self.row(slot).is_some()
    }

    /// Bytes of what the compressed scan needs.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.code_bytes()).sum()
    }

    /// Whether its codes should be made, or made anew, from `items_min` signatures on.
    #[must_use]
    pub fn wants_coding(&self, items_min: u64) -> bool {
        let Some(codec) = &self.codec else { return self.count() >= items_min.max(1) };
        let (error, written) = self.drift;
        let worse = error / written.max(1) as f64 > f64::from(codec.error()) * DRIFT_MAX;
        // A sample of the largest size does not get better by growth alone.
        let grown =
            self.count() >= codec.trained_on() * GROWTH && codec.trained_on() < SAMPLE_MAX as u64 * GROWTH;
        grown || (written >= DRIFT_COUNT_MIN && worse)
    }

    /// Trains a codec on this column and codes every block by it. Takes seconds at a million signatures and
    /// changes nothing: see [`Column::adopt`].
    #[must_use]
    pub fn coded(&self) -> Self {
        let stride = (self.count() as usize).div_ceil(SAMPLE_MAX).max(1);
        let dim = self.head.dim();
        let slots = 0..(self.blocks.len() * BLOCK) as Slot;
        let sample: Vec<f32> =
            slots.filter_map(|slot| self.get(slot)).step_by(stride).flat_map(Cow::into_owned).collect();
        self.coded_by(Codec::train(&sample, dim, self.count()))
    }

    /// As [`Column::coded`], by a codec that is there.
    #[must_use]
    pub fn coded_by(&self, codec: Codec) -> Self {
        let blocks = self.blocks.iter().map(|block| Arc::new(block.recoded(&codec))).collect();
        Self { blocks, codec: Some(Arc::new(codec)), drift: (0.0, 0), ..self.clone() }
    }

    /// Takes over the codes of `coded`, which was made from `before`, an earlier state of this column; only the
    /// blocks that were written since are coded here.
    pub(super) fn adopt(&mut self, before: &Self, coded: &Self) {
        let Some(codec) = &coded.codec else { return };
        for (number, block) in self.blocks.iter_mut().enumerate() {
            let same = before.blocks.get(number).is_some_and(|old| Arc::ptr_eq(old, block));
            *block = match coded.blocks.get(number).filter(|_| same) {
                Some(coded) => coded.clone(),
                None => Arc::new(block.recoded(codec)),
            };
        }
        self.codec = Some(codec.clone());
        self.drift = (0.0, 0);
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

    /// Replaces what a slot holds. `old` and `new` are the slot's item before and after, for the prototypes.
    pub(super) fn set(
        &mut self,
        slot: Slot,
        (old, new): (Option<&Arc<Item>>, Option<&Arc<Item>>),
        signature: Option<&[f32]>,
    ) {
        let signature = signature.map(|s| self.precision.rounded(s));
        let signature = signature.as_deref();
        let before = self.get(slot).map(Cow::into_owned);
        if let Some(before) = &before {
            self.sum.remove(before);
            if let Some(old) = old {
                self.prototypes.remove(&old.record.labels, before);
            }
        }
        if let Some(signature) = signature {
            self.sum.add(signature);
            if let Some(new) = new {
                self.prototypes.add(&new.record.labels, signature);
            }
        }
        if signature.is_some() || before.is_some() {
            self.place(slot, signature);
        }
    }

    /// Writes a slot and nothing that is counted over slots.
    fn place(&mut self, slot: Slot, signature: Option<&[f32]>) {
        let (block, at) = (slot as usize / BLOCK, slot as usize % BLOCK);
        while self.blocks.len() <= block {
            self.blocks.push(Arc::new(ColumnBlock::new(self.codec.as_deref())));
        }
        let block = Arc::make_mut(&mut self.blocks[block]);
        if let Some(error) = block.set(at, signature, self.codec.as_deref(), self.precision) {
            self.drift = (self.drift.0 + f64::from(error), self.drift.1 + 1);
        }
        self.version += 1;
    }

    /// Takes in a stored signature of an item that is there.
    pub fn load(&mut self, items: &Items, id: &str, signature: &[f32]) {
        if let Some(slot) = items.slot(id) {
            self.set(slot, (None, items.get(slot)), Some(signature));
        }
    }

    /// Moves a signature from an item's old labels to its new ones.
    pub(super) fn relabel(&mut self, slot: Slot, old: Option<&Arc<Item>>, new: Option<&Arc<Item>>) {
        if old.map(|item| &item.record.labels) == new.map(|item| &item.record.labels) {
            return;
        }
        let Some(signature) = self.get(slot).map(Cow::into_owned) else { return };
        if let Some(old) = old {
            self.prototypes.remove(&old.record.labels, &signature);
        }
        if let Some(new) = new {
            self.prototypes.add(&new.record.labels, &signature);
        }
    }

    /// Moves a signature to an empty slot; sums and prototypes do not change.
    pub(super) fn shift(&mut self, from: Slot, to: Slot) {
        let Some(signature) = self.get(from).map(Cow::into_owned) else { return };
        self.place(to, Some(&signature));
        self.place(from, None);
    }

    /// Drops the blocks from `blocks` on, which hold nothing.
    pub(super) fn truncate(&mut self, blocks: usize) {
        if self.blocks.len() > blocks {
            self.blocks.truncate(blocks);
            self.version += 1;
        }
    }

    /// Slots whose item lacks a signature that the server could compute: it has an image.
    #[must_use]
    pub fn computable(&self, items: &Items) -> Vec<Slot> {
        if self.head.manifest().kind == HeadKind::External {
            return Vec::new();
        }
        let lacks = |slot: &Slot| {
            self.get(*slot).is_none() && items.get(*slot).is_some_and(|item| item.record.has_image())
        };
        items.live().iter().filter(lacks).collect()
    }
}
