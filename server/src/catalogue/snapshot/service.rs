//! Which models and heads serve, and which columns writes fill.

use super::{Computing, Snapshot};
use crate::catalogue::column::{Column, LoadingColumn};
use crate::model::Model;
use lapel_heads::Head;
use std::sync::Arc;

impl Snapshot {
    fn list_active(&mut self) {
        self.heads = self.active.iter().map(|c| c.head().clone()).collect();
        self.drop_stale_predictions();
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

    /// Adds an empty column that no query reads yet.
    pub fn add_reserve(&mut self, column: Column) {
        self.add_loaded(LoadingColumn::new(column));
    }

    /// Adds a column with its signatures that no query reads yet.
    pub fn add_loaded(&mut self, column: LoadingColumn) {
        let (column, signatures) = column.into_parts();
        self.signatures.add_column(signatures);
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

    /// The same state as one request sees it that wants the columns with these keys in the place of those of the same heads
    /// that serve, or beside them where none of a head does. All that reads the active columns then reads these.
    #[must_use]
    pub fn with_versions(&self, keys: &[String]) -> Self {
        let mut view = self.clone();
        for key in keys {
            // One that serves already stays where it is.
            view.activate(key);
        }
        view.generation = self.generation;
        view
    }

    /// Drops a column, active (the next generation) or reserve.
    pub fn drop_column(&mut self, key: &str) {
        let before = self.active.len();
        self.active.retain(|c| &**c.key() != key);
        self.reserve.retain(|c| &**c.key() != key);
        self.signatures.drop_column(key);
        self.list_active();
        self.list_computing();
        if self.active.len() < before {
            self.generation += 1;
        }
    }
}
