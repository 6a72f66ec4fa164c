//! One column: the signatures of one head by slot, their codes and their index.

mod loading;
mod pictures;
mod spill;
mod state;

pub use loading::LoadingSignatures;
pub use spill::ColumnBytes;
pub use state::RestoreError;

use crate::block::ColumnBlock;
use crate::codes::{Codec, ItemCodes};
use crate::hnsw::{FollowError, Hnsw, Indexed};
use crate::kernels::Rows;
use crate::row_file::RowFile;
use crate::{BLOCK, Precision, Slot};
use pictures::PictureSignatures;
use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Signatures that a codec is trained on, at most; more do not make it better.
const SAMPLE_MAX: usize = 16_384;
/// A column is coded anew when it has this many times the signatures that its codec was trained for.
const GROWTH: u64 = 4;
/// And when newly written signatures are this many times worse coded than the codec's sample was.
const DRIFT_MAX: f64 = 1.5;
/// Newly written signatures before their error says anything.
const DRIFT_COUNT_MIN: u64 = 4096;

/// Signatures by slot. Cloning is cheap; blocks are shared until they are written.
#[derive(Clone)]
pub struct SignatureColumn {
    key: Arc<str>,
    dim: usize,
    blocks: Vec<Arc<ColumnBlock>>,
    count: u64,
    /// Counts the writes; the index says up to which it has followed.
    version: u64,
    index: Arc<Hnsw>,
    codec: Option<Arc<Codec>>,
    /// Sum of the coding errors since the codec came, and their number.
    drift: (f64, u64),
    precision: Precision,
    /// Where rows go that have no room in memory.
    file: Option<Arc<RowFile>>,
    /// Those of pictures, in slots of their own; `None` in the column that these are.
    pictures: Option<Arc<PictureSignatures>>,
}

impl SignatureColumn {
    /// An empty column for signatures of dimension `dim`.
    #[must_use]
    pub fn new(key: &Arc<str>, dim: usize, precision: Precision) -> Self {
        let pictures = Some(Arc::new(PictureSignatures::new(key, dim, precision)));
        Self { pictures, ..Self::of_slots(key, dim, precision) }
    }

    /// As [`SignatureColumn::new`], without any for pictures.
    fn of_slots(key: &Arc<str>, dim: usize, precision: Precision) -> Self {
        Self {
            key: key.clone(),
            dim,
            blocks: Vec::new(),
            count: 0,
            version: 0,
            index: Arc::new(Hnsw::new(dim)),
            codec: None,
            drift: (0.0, 0),
            precision,
            file: None,
            pictures: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// Dimension of its signatures.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Signatures in the column.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What its codes were made by; `None` while every signature is only there in full.
    #[must_use]
    pub fn codec(&self) -> Option<&Arc<Codec>> {
        self.codec.as_ref()
    }

    /// The block that a slot lies in.
    pub(crate) fn block(&self, number: usize) -> Option<&ColumnBlock> {
        self.blocks.get(number).map(|block| &**block)
    }

    /// The signature in a slot.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<Cow<'_, [f32]>> {
        self.block(slot as usize / BLOCK)?.get(slot as usize % BLOCK, self.dim)
    }

    /// Hands the signature in a slot as it is kept to `take`, which must not read another.
    pub(crate) fn with_row<T>(&self, slot: Slot, take: impl FnOnce(Rows<'_>) -> T) -> Option<T> {
        self.block(slot as usize / BLOCK)?.with_row(slot as usize % BLOCK, self.dim, take)
    }

    /// Makes the read of a signature that will be scored soon shorter.
    pub(crate) fn prefetch(&self, slot: Slot) {
        if let Some(block) = self.block(slot as usize / BLOCK) {
            block.prefetch(slot as usize % BLOCK, self.dim);
        }
    }

    /// Both codes of the signature in a slot; `None` where there is none, or no codec.
    pub(crate) fn item_codes(&self, slot: Slot) -> Option<ItemCodes<'_>> {
        self.block(slot as usize / BLOCK)?.item_codes(slot as usize % BLOCK)
    }

    /// Whether the slot has a signature.
    #[must_use]
    pub fn has(&self, slot: Slot) -> bool {
        self.block(slot as usize / BLOCK).is_some_and(|block| block.has(slot as usize % BLOCK))
    }

    /// Blocks that it has; slots beyond the last have no signature.
    #[must_use]
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Whether its codes should be made, or made anew, from `items_min` signatures on.
    #[must_use]
    pub fn wants_coding(&self, items_min: u64) -> bool {
        let Some(codec) = &self.codec else { return self.count >= items_min.max(1) };
        let (error, written) = self.drift;
        let worse = error / written.max(1) as f64 > f64::from(codec.error()) * DRIFT_MAX;
        // A sample of the largest size does not get better by growth alone.
        let grown = self.count >= codec.trained_on().saturating_mul(GROWTH)
            && codec.trained_on() < SAMPLE_MAX as u64 * GROWTH;
        grown || (written >= DRIFT_COUNT_MIN && worse)
    }

    /// Trains a codec on this column and codes every block by it. Takes seconds at a million signatures and
    /// changes nothing: see [`crate::LocalSignatures::adopt_codes`].
    #[must_use]
    pub fn coded(&self) -> Self {
        let stride = (self.count as usize).div_ceil(SAMPLE_MAX).max(1);
        let slots = 0..(self.blocks.len() * BLOCK) as Slot;
        let sample = slots.filter(|slot| self.has(*slot)).step_by(stride);
        let sample: Vec<f32> = sample.filter_map(|slot| self.get(slot)).flat_map(Cow::into_owned).collect();
        self.coded_by(Codec::train(&sample, self.dim, self.count))
    }

    /// As [`SignatureColumn::coded`], by a codec that is there.
    #[must_use]
    pub fn coded_by(&self, codec: Codec) -> Self {
        self.coded_with(&Arc::new(codec))
    }

    fn coded_with(&self, codec: &Arc<Codec>) -> Self {
        let blocks = self.blocks.iter().map(|block| Arc::new(block.recoded(codec))).collect();
        // Pictures are of the kind of what the codec was trained on.
        let pictures = self.pictures.as_ref().map(|pictures| Arc::new(pictures.coded_with(codec)));
        Self { blocks, codec: Some(codec.clone()), drift: (0.0, 0), pictures, ..self.clone() }
    }

    /// Takes over the codes of `coded`, which was made from `before`, an earlier state of this column; only the
    /// blocks that were written since are coded here.
    pub(crate) fn adopt(&mut self, before: &Self, coded: &Self) {
        let Some(codec) = &coded.codec else { return };
        for (number, block) in self.blocks.iter_mut().enumerate() {
            let old = before.blocks.get(number).filter(|old| old.written() == block.written());
            *block = match (old, coded.blocks.get(number)) {
                (Some(old), Some(coded)) if Arc::ptr_eq(old, block) => coded.clone(),
                // Its rows were moved.
                (Some(_), Some(coded)) => Arc::new(block.with_codes(coded)),
                _ => Arc::new(block.recoded(codec)),
            };
        }
        self.codec = Some(codec.clone());
        self.drift = (0.0, 0);
        if let (Some(now), Some(before), Some(coded)) =
            (&mut self.pictures, &before.pictures, &coded.pictures)
        {
            Arc::make_mut(now).adopt(before, coded);
        }
    }

    /// Replaces what a slot holds, and returns what it held.
    pub fn set(&mut self, slot: Slot, signature: Option<&[f32]>) -> Option<Vec<f32>> {
        let before = self.get(slot).map(Cow::into_owned);
        self.count -= u64::from(before.is_some());
        self.count += u64::from(signature.is_some());
        if signature.is_some() || before.is_some() {
            self.place(slot, signature.map(|s| self.precision.rounded(s)).as_deref());
        }
        before
    }

    /// Writes a slot, and counts nothing.
    fn place(&mut self, slot: Slot, signature: Option<&[f32]>) {
        let (codec, precision, version) = (self.codec.clone(), self.precision, self.version + 1);
        let block = self.block_mut(slot as usize / BLOCK);
        let error = block.set(slot as usize % BLOCK, signature, codec.as_deref(), precision);
        block.note_write(version);
        if let Some(error) = error {
            self.drift = (self.drift.0 + f64::from(error), self.drift.1 + 1);
        }
        self.version = version;
    }

    /// A block to be written, which is made where there is none.
    fn block_mut(&mut self, number: usize) -> &mut ColumnBlock {
        while self.blocks.len() <= number {
            self.blocks.push(Arc::new(ColumnBlock::new(self.codec.as_deref())));
        }
        Arc::make_mut(&mut self.blocks[number])
    }

    /// Moves a signature to an empty slot.
    pub(crate) fn shift(&mut self, (from, to): (Slot, Slot)) {
        let Some(signature) = self.get(from).map(Cow::into_owned) else { return };
        self.place(to, Some(&signature));
        self.place(from, None);
    }

    /// Drops the blocks from `blocks` on, which hold nothing.
    pub(crate) fn truncate(&mut self, blocks: usize) {
        if self.blocks.len() > blocks {
            self.blocks.truncate(blocks);
            self.version += 1;
        }
    }
}

/// The HNSW index, which follows the column in the background: until it equals the column, searches scan.
impl SignatureColumn {
    fn indexed(&self) -> Indexed<'_> {
        Indexed { blocks: &self.blocks, version: self.version, count: self.count }
    }

    /// Whether nothing has been indexed yet.
    #[must_use]
    pub fn is_index_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether the index equals the column.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.index.is_current(self.indexed())
    }

    /// Nanoseconds that a search of the index takes; `None` while there is none.
    #[must_use]
    pub fn index_search_ns(&self) -> Option<f64> {
        self.index.search_ns()
    }

    /// Signatures that changed since the index was last tuned.
    #[must_use]
    pub fn changed_since_tuning(&self) -> u64 {
        self.index.changed()
    }

    /// Slots of about the `count` nearest signatures; `None` when the index does not equal the column right now.
    #[must_use]
    pub fn nearest(&self, query: &[f32], count: usize) -> Option<Vec<Slot>> {
        self.index.nearest(self.indexed(), query, count)
    }

    /// Brings the index up to the column by comparing blocks; called in the background, one caller at a time.
    ///
    /// # Errors
    /// [`FollowError`]; it is then rebuilt by the next call, and not used until then.
    pub fn follow_index(&self, is_stopping: &dyn Fn() -> bool) -> Result<(), FollowError> {
        let faults = self.faults();
        self.index.follow(self.indexed(), is_stopping)?;
        if self.faults() != faults {
            self.index.clear();
            return Err(FollowError::Index("signatures could not be read".into()));
        }
        Ok(())
    }

    /// Writes the index to a file as it is, be it behind its column, and returns a hash of each signature that it holds,
    /// by slot (0: none); `None` when there is no sound index.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_index(&self, path: &Path) -> io::Result<Option<Vec<u32>>> {
        self.index.save(path)
    }

    /// Takes over an index from a file, in which each slot holds the signature of the given hash (0: none), where that is
    /// what the column holds.
    ///
    /// # Errors
    /// [`FollowError::Index`]; the index is empty then.
    pub fn restore_index(&self, path: &Path, hashes: &[u32]) -> Result<(), FollowError> {
        self.index.restore(self.indexed(), path, hashes)
    }
}
