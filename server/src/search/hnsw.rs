//! The ANN index of one signature: usearch's HNSW behind our own lock and limits.
//!
//! The index follows the column in the background. Until it has caught up, and while it is being written,
//! searches are told so and scan instead: an answer never comes from a stale index.

use crate::catalogue::{BLOCK, Column, ColumnBlock};
use std::sync::{Arc, RwLock};
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

/// Threads that may search at once; usearch fails beyond what was reserved, so callers are bounded below it.
pub(super) const SEARCH_THREADS_MAX: usize = 64;

/// Candidates a search keeps (its ef), or the number asked for where that is more; below 256 one result in
/// fifty was missed. Fixed when the index is made: changing it would race with searches.
const EXPANSION_SEARCH: usize = 256;

/// An HNSW index over the signatures of one column, keyed by slot.
pub struct Hnsw {
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
}

impl Hnsw {
    /// An empty index for signatures of dimension `dim`.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { dim, state: RwLock::new(State { version: Some(0), ..State::default() }) }
    }

    /// Slots of about the `count` nearest signatures; `None` when the index does not equal `column` right now.
    #[must_use]
    pub fn nearest(&self, column: &Column, query: &[f32], count: usize) -> Option<Vec<u32>> {
        let state = self.state.try_read().ok()?;
        let index = state.index.as_ref().filter(|_| state.version == Some(column.version()))?;
        if query.len() != self.dim || query.iter().any(|v| !v.is_finite()) {
            return None;
        }

        let found = index.search(query, count.min(index.size())).ok()?;
        Some(found.keys.into_iter().map(|key| key as u32).collect())
    }

    /// Whether the index equals the column.
    #[must_use]
    pub fn is_current(&self, column: &Column) -> bool {
        self.state.try_read().is_ok_and(|state| state.version == Some(column.version()))
    }

    /// Brings the index up to `column` by comparing blocks; called in the background, one caller at a time.
    ///
    /// # Errors
    /// The index's own words; it is then rebuilt by the next call, and not used until then.
    pub fn follow(&self, column: &Column) -> Result<(), String> {
        let Ok(mut state) = self.state.write() else { return Err("a poisoned lock".into()) };
        if state.version == Some(column.version()) {
            return Ok(());
        }
        if state.version.take().is_none() {
            *state = State::default();
        }
        let index = match state.index.take() {
            Some(index) => index,
            None => Index::new(&options(self.dim)).map_err(|e| e.to_string())?,
        };
        let capacity = (column.blocks().len() * BLOCK).next_power_of_two() * 2;
        if index.capacity() < capacity {
            index
                .reserve_capacity_and_threads(capacity, SEARCH_THREADS_MAX + 1)
                .map_err(|e| e.to_string())?;
        }
        for (number, block) in column.blocks().iter().enumerate() {
            let old = state.blocks.get(number);
            if !old.is_some_and(|old| Arc::ptr_eq(old, block)) {
                self.follow_block(&index, number, old, block)?;
            }
        }
        state.index = Some(index);
        state.blocks = column.blocks().to_vec();
        state.version = Some(column.version());
        Ok(())
    }

    fn follow_block(
        &self,
        index: &Index,
        number: usize,
        old: Option<&Arc<ColumnBlock>>,
        new: &ColumnBlock,
    ) -> Result<(), String> {
        for at in 0..BLOCK {
            let before = old.and_then(|old| old.get(at, self.dim));
            let after = new.get(at, self.dim);
            if before == after {
                continue;
            }
            let key = (number * BLOCK + at) as u64;
            if before.is_some() {
                index.remove(key).map_err(|e| e.to_string())?;
            }
            if let Some(after) = after {
                index.add(key, after).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }
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
