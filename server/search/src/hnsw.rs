//! The ANN index of one signature: usearch's HNSW behind our own lock and limits.
//!
//! The index follows the column in the background. Until it has caught up, and while it is being written,
//! searches are told so and scan instead: an answer never comes from a stale index.

use crate::block::ColumnBlock;
use crate::kernels::Rows;
use crate::{BLOCK, Instructions, Slot, kernels};
use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Instant;
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

/// Threads that may search at once; usearch fails beyond what was reserved, so callers are bounded below it.
const SEARCH_THREADS_MAX: usize = 64;

/// Candidates a search keeps (its ef), or the number asked for where that is more: at first; an index that misses too
/// much with that is given more.
const EXPANSION_SEARCH: usize = 256;
/// Most that an index is given; one that needs more is not used, a scan is faster.
const EXPANSION_SEARCH_MAX: usize = 4096;
/// Share of the true ten that an index must find. The queries it is measured with are signatures of its own, which
/// are found more easily than others.
const RECALL_MIN: f64 = 0.99;

/// What an index is about: a column's signatures and the number of writes that led to them.
#[derive(Clone, Copy)]
pub(crate) struct Indexed<'a> {
    pub(crate) blocks: &'a [Arc<ColumnBlock>],
    pub(crate) version: u64,
    pub(crate) count: u64,
}

/// An HNSW index over the signatures of one column, keyed by slot.
pub(crate) struct Hnsw {
    dim: usize,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    index: Option<Index>,
    /// The blocks as they were indexed.
    blocks: Vec<Arc<ColumnBlock>>,
    /// The column's version that the index equals; `None`: never built, or a write to it failed.
    version: Option<u64>,
    /// Nanoseconds of a search, measured when the index was last tuned; `None` when it finds too little.
    search_ns: Option<f64>,
    /// Signatures that were added, replaced or removed since then.
    changed: u64,
}

/// Searches by which the index's recall and cost are measured, and their results.
const MEASURED: usize = 32;
const MEASURED_K: usize = 10;

/// An index is tuned anew once one in so many of its signatures has changed.
const TUNED_SHARE: u64 = 4;

/// Why an index was not brought up to its column.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The library's own words.
    #[error("{0}")]
    Index(String),
    /// The server is stopping.
    #[error("stopped")]
    Stopped,
}

impl FollowError {
    fn index(error: impl std::fmt::Display) -> Self {
        Self::Index(error.to_string())
    }
}

impl<'a> Indexed<'a> {
    fn squared_distance(self, query: &[f32], slot: Slot) -> Option<f32> {
        let squared = |row: Rows<'_>| kernels::squared_distance(Instructions::best(), query, row);
        self.blocks.get(slot as usize / BLOCK)?.with_row(slot as usize % BLOCK, query.len(), squared)
    }

    fn get(self, slot: Slot, dim: usize) -> Option<Cow<'a, [f32]>> {
        self.blocks.get(slot as usize / BLOCK)?.get(slot as usize % BLOCK, dim)
    }
}

impl Hnsw {
    /// An empty index for signatures of dimension `dim`.
    pub(crate) fn new(dim: usize) -> Self {
        Self { dim, state: RwLock::new(State { version: Some(0), ..State::default() }) }
    }

    /// Slots of about the `count` nearest signatures; `None` when the index does not equal `column` right now.
    pub(crate) fn nearest(&self, column: Indexed<'_>, query: &[f32], count: usize) -> Option<Vec<u32>> {
        let state = self.state.try_read().ok()?;
        let index = state.index.as_ref().filter(|_| state.version == Some(column.version))?;
        if query.len() != self.dim || query.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let found = index.search(query, count.min(index.size())).ok()?;
        Some(found.keys.into_iter().map(|key| key as u32).collect())
    }

    /// Nanoseconds that a search takes; `None` while there is no index.
    pub(crate) fn search_ns(&self) -> Option<f64> {
        self.state.try_read().ok()?.search_ns
    }

    /// Whether the index equals the column.
    pub(crate) fn is_current(&self, column: Indexed<'_>) -> bool {
        self.state.try_read().is_ok_and(|state| state.version == Some(column.version))
    }

    /// Brings the index up to `column` by comparing blocks; called in the background, one caller at a time.
    ///
    /// # Errors
    /// [`FollowError`]; it is then rebuilt by the next call, and not used until then.
    pub(crate) fn follow(
        &self,
        column: Indexed<'_>,
        is_stopping: &dyn Fn() -> bool,
    ) -> Result<(), FollowError> {
        let Ok(mut state) = self.state.write() else {
            return Err(FollowError::Index("a poisoned lock".into()));
        };
        if state.version == Some(column.version) {
            return Ok(());
        }
        if state.version.take().is_none() {
            *state = State::default();
        }
        let index = match state.index.take() {
            Some(index) => index,
            None => Index::new(&options(self.dim)).map_err(FollowError::index)?,
        };
        let capacity = (column.blocks.len() * BLOCK).next_power_of_two() * 2;
        if index.capacity() < capacity {
            index
                .reserve_capacity_and_threads(capacity, SEARCH_THREADS_MAX + 1)
                .map_err(FollowError::index)?;
        }
        let mut changed = state.changed;
        for (number, block) in column.blocks.iter().enumerate() {
            if is_stopping() {
                return Err(FollowError::Stopped);
            }
            let old = state.blocks.get(number);
            if old.is_none_or(|old| old.written() != block.written()) {
                changed += self.follow_block(&index, number, old, block)?;
            }
        }
        // Measuring takes many passes over the column, and a few writes change nothing that it would find.
        if changed * TUNED_SHARE >= column.count {
            state.search_ns = tune(&index, column);
            changed = 0;
        }
        state.changed = changed;
        state.index = Some(index);
        state.blocks = column.blocks.to_vec();
        state.version = Some(column.version);
        Ok(())
    }

    /// Writes the index to a file as it is, be it behind its column, and returns a hash of each signature that it holds,
    /// by slot (0: none); `None` when there is no sound index.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save(&self, path: &Path) -> std::io::Result<Option<Vec<u32>>> {
        let Ok(state) = self.state.read() else { return Ok(None) };
        let Some(index) = state.index.as_ref().filter(|_| state.version.is_some()) else { return Ok(None) };
        index.save(&path.to_string_lossy()).map_err(std::io::Error::other)?;
        let of_block = |block: &Arc<ColumnBlock>| {
            let hash = |at| block.get(at, self.dim).map_or(0, |signature| signature_hash(&signature));
            (0..BLOCK).map(hash).collect::<Vec<u32>>()
        };
        Ok(Some(state.blocks.iter().flat_map(of_block).collect()))
    }

    /// Takes over an index from a file, in which each slot holds the signature of the given hash (0: none), where that is
    /// what `column` holds.
    ///
    /// # Errors
    /// [`FollowError::Index`]; this index is empty then.
    pub(crate) fn restore(
        &self,
        column: Indexed<'_>,
        path: &Path,
        hashes: &[u32],
    ) -> Result<(), FollowError> {
        let Ok(mut state) = self.state.write() else {
            return Err(FollowError::Index("a poisoned lock".into()));
        };
        *state = State::default();
        let index = Index::new(&options(self.dim)).map_err(FollowError::index)?;
        index.load(&path.to_string_lossy()).map_err(FollowError::index)?;
        let capacity = ((column.blocks.len() * BLOCK).next_power_of_two() * 2).max(index.size());
        index.reserve_capacity_and_threads(capacity, SEARCH_THREADS_MAX + 1).map_err(FollowError::index)?;
        let wanted = hashes.iter().filter(|hash| **hash != 0).count();
        if index.dimensions() != self.dim || index.size() != wanted {
            return Err(FollowError::Index(format!("{} signatures where {wanted} were noted", index.size())));
        }
        // Patching an index that was read from a file lost items in tests, so one that is behind is built anew.
        for slot in 0..hashes.len().max(column.blocks.len() * BLOCK) {
            let now = column.get(slot as Slot, self.dim).as_deref().map_or(0, signature_hash);
            if hashes.get(slot).copied().unwrap_or(0) != now {
                return Err(FollowError::Index("it is behind its column".into()));
            }
        }
        state.search_ns = tune(&index, column);
        state.index = Some(index);
        state.blocks = column.blocks.to_vec();
        state.version = Some(column.version);
        Ok(())
    }

    /// Forgets everything, so that it is built anew.
    pub(crate) fn clear(&self) {
        if let Ok(mut state) = self.state.write() {
            *state = State::default();
        }
    }

    /// Looks at blocks of its column from now on that have the same signatures as those it was built from; where the index is
    /// being written, another time does as well.
    pub(crate) fn share(&self, blocks: &[Arc<ColumnBlock>]) {
        let Ok(mut state) = self.state.try_write() else { return };
        for (old, now) in state.blocks.iter_mut().zip(blocks) {
            if old.written() == now.written() {
                *old = now.clone();
            }
        }
    }

    /// Whether nothing has been indexed yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.try_read().is_ok_and(|state| state.index.is_none())
    }

    /// Brings one block up, and returns how many signatures changed.
    fn follow_block(
        &self,
        index: &Index,
        number: usize,
        old: Option<&Arc<ColumnBlock>>,
        new: &ColumnBlock,
    ) -> Result<u64, FollowError> {
        let mut changed = 0;
        for at in 0..BLOCK {
            // What cannot be read any more is indexed anew.
            let before = old.filter(|old| !old.is_damaged(at)).and_then(|old| old.get(at, self.dim));
            let after = new.get(at, self.dim);
            if before == after {
                continue;
            }
            let key = (number * BLOCK + at) as u64;
            if old.is_some_and(|old| old.has(at)) {
                index.remove(key).map_err(FollowError::index)?;
            }
            if let Some(after) = after {
                index.add(key, &after).map_err(FollowError::index)?;
            }
            changed += 1;
        }
        Ok(changed)
    }

    /// Signatures that changed since it was last tuned.
    pub(crate) fn changed(&self) -> u64 {
        self.state.read().map_or(u64::MAX, |state| state.changed)
    }
}

/// Gives the index the expansion that it needs, and returns the nanoseconds that a search then takes; `None` when no
/// expansion is enough. The queries are signatures spread over the column. The caller holds the lock exclusively: an
/// expansion must not change under a search.
fn tune(index: &Index, column: Indexed<'_>) -> Option<f64> {
    let dim = index.dimensions();
    let slots = (column.blocks.len() * BLOCK) as Slot;
    let spread = (0..slots).step_by((slots as usize / MEASURED).max(1));
    let queries: Vec<_> = spread.filter_map(|slot| Some(column.get(slot, dim)?.into_owned())).collect();
    let squared = |query: &[f32], slot: Slot| column.squared_distance(query, slot);
    let last = |query: &Vec<f32>| {
        let mut all: Vec<f32> = (0..slots).filter_map(|slot| squared(query, slot)).collect();
        let at = MEASURED_K.min(all.len()).checked_sub(1)?;
        Some((*all.select_nth_unstable_by(at, f32::total_cmp).1, at + 1))
    };
    let truth: Vec<(f32, usize)> = queries.iter().filter_map(last).collect();
    let wanted: usize = truth.iter().map(|(_, count)| count).sum();
    let mut expansion = EXPANSION_SEARCH;
    while expansion <= EXPANSION_SEARCH_MAX {
        index.change_expansion_search(expansion);
        let (mut found, mut ns) = (0, 0.0);
        for (query, (last, _)) in queries.iter().zip(&truth) {
            let start = Instant::now();
            let keys = index.search(query, MEASURED_K).ok()?.keys;
            ns += start.elapsed().as_nanos() as f64;
            let is_true = |key: &&u64| squared(query, **key as Slot).is_some_and(|d| d <= last * 1.000_01);
            found += keys.iter().filter(is_true).count();
        }
        if found as f64 >= RECALL_MIN * wanted as f64 {
            return (!queries.is_empty()).then(|| ns / queries.len() as f64);
        }
        expansion *= 2;
    }
    None
}

/// Tells a signature from others; never 0.
fn signature_hash(signature: &[f32]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for value in signature {
        sum.update(&value.to_le_bytes());
    }
    sum.finalize().max(1)
}

fn options(dim: usize) -> IndexOptions {
    IndexOptions {
        dimensions: dim,
        metric: MetricKind::L2sq,
        quantization: ScalarKind::F32,
        connectivity: 16,
        expansion_add: 128,
        expansion_search: EXPANSION_SEARCH,
        multi: false,
    }
}
