//! The columns of a start: as the last stop left them, or filled from the store.

use crate::caches::{Caches, Stop};
use crate::catalogue::{Column, LoadingColumn, Precision, Snapshot};
use crate::config::SearchConfig;
use crate::life::{HeadState, HeadStatus};
use crate::store::{Damage, Store, StoreError};
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

/// Bytes of signatures beyond the bound that a stop may leave in memory: those that were to be moved next.
const MOVED_LATER: usize = 64 << 20;

/// Columns as the last stop left them, by key.
pub(super) type LeftColumns = HashMap<String, LoadingColumn>;

/// The columns of the heads that are alive, and where they are loaded to.
pub(super) struct Columns<'a> {
    caches: &'a Caches,
    /// Heads with their empty columns.
    empty: Vec<(&'a HeadStatus, Column)>,
    precision: Precision,
    /// For the exact signatures of each; 0: as much as they take.
    memory_bytes: usize,
}

/// How the columns came to be.
pub(super) struct Origins {
    /// Keys of heads that lack signatures although their backfill is over.
    pub(super) lacking: Vec<String>,
    /// Keys and dimensions of the columns that were restored.
    pub(super) restored: Vec<(String, usize)>,
}

impl<'a> Columns<'a> {
    pub(super) fn new(caches: &'a Caches, search: &SearchConfig, heads: &'a [HeadStatus]) -> Self {
        let alive = heads.iter().filter(|status| status.is_alive());
        let empty = |status: &'a HeadStatus| {
            let column = Column::new(&status.key, status.head.clone()?, search.precision());
            Some((status, column.of_version(status.version)))
        };
        let empty: Vec<_> = alive.filter_map(empty).collect();
        // The same for each; what one leaves another may have later.
        let memory_bytes = search.memory_bytes.0.div_ceil(empty.len().max(1));
        Self { caches, empty, precision: search.precision(), memory_bytes }
    }

    /// Those that are there as the last stop left them.
    pub(super) fn restore(&self, stop: Stop) -> LeftColumns {
        let with_files = self.memory_bytes > 0;
        let bound = self.memory_bytes * self.empty.len();
        let room = AtomicU64::new(if with_files { (bound + MOVED_LATER) as u64 } else { u64::MAX });
        let restore = |(status, empty): &(&HeadStatus, Column)| {
            let restored = self.caches.restore(empty.clone(), stop, (with_files, &room));
            let told = restored.inspect_err(|error| {
                tracing::warn!(head = status.name, %error, "its signatures are read from the store");
            });
            Some((status.key.clone(), told.ok()?))
        };
        self.empty.par_iter().filter_map(restore).collect()
    }

    /// Adds all columns, those of heads that serve as active ones; what was not left is read from the store.
    pub(super) fn load(
        &self,
        store: &Store,
        snapshot: &mut Snapshot,
        mut left: LeftColumns,
        damage: &mut Damage,
    ) -> Result<Origins, StoreError> {
        let known: Vec<_> = self.empty.iter().map(|(status, _)| left.remove(&status.key)).collect();
        let filled = &*snapshot;
        let columns = self.empty.par_iter().zip(known).map(|((status, empty), known)| match known {
            Some(column) => Ok((column, None)),
            None => self.read(store, filled, (status, empty)).map(|(column, lost)| (column, Some(lost))),
        });
        let columns: Vec<_> = columns.collect::<Result<Vec<_>, StoreError>>()?;
        let pictured = snapshot.pictured();
        let mut origins = Origins { lacking: Vec::new(), restored: Vec::new() };
        for ((status, empty), (column, read)) in self.empty.iter().zip(columns) {
            match read {
                Some(lost) => damage.add(lost),
                None => origins.restored.push((status.key.clone(), empty.head().dim())),
            }
            snapshot.add_loaded(column);
            let column = snapshot.column_of_key(&status.key);
            let is_lacking =
                column.is_some_and(|column| !snapshot.computable_of(column, &pictured).is_empty());
            if status.state != HeadState::Backfilling && is_lacking {
                origins.lacking.push(status.key.clone());
            }
            if status.state == HeadState::Active {
                snapshot.activate(&status.key);
            }
        }
        Ok(origins)
    }

    /// Fills the column of a head from the store, and tells what could not be read there.
    fn read(
        &self,
        store: &Store,
        snapshot: &Snapshot,
        (status, empty): (&HeadStatus, &Column),
    ) -> Result<(LoadingColumn, Damage), StoreError> {
        let (key, dim) = (&status.key, empty.head().dim());
        let items = snapshot.items();
        let fill = |mut column: LoadingColumn| {
            let mut lookup = items.lookup();
            let damage =
                store.signatures(key, dim, |id, values| column.load((items, &mut lookup), id, values))?;
            Ok::<_, StoreError>((column, damage))
        };
        if self.memory_bytes == 0 {
            self.caches.drop_rows(key);
            return fill(LoadingColumn::new(empty.clone()));
        }
        match self.caches.open_rows(key, (dim, self.precision)) {
            Ok(files) => {
                let (column, damage) =
                    fill(LoadingColumn::with_files(empty.clone(), files, self.memory_bytes))?;
                if column.faults() == 0 {
                    return Ok((column, damage));
                }
                tracing::error!(
                    head = status.name,
                    "its file of signatures cannot be read; all are in memory"
                );
            }
            Err(error) => {
                tracing::error!(head = status.name, %error, "there is no file for its signatures; all are in memory");
            }
        }
        fill(LoadingColumn::new(empty.clone()))
    }
}
