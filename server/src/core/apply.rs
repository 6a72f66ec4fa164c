//! Applies changes of heads and models: the pure transition decides, then the change is stored, published and shown, and
//! its remaining effects are carried out.

use super::Core;
use super::backfill::{Tried, is_whole, spawn};
use crate::catalogue::{Column, Precision, Snapshot};
use crate::error::Error;
use crate::life::{Change, Effects, HeadState, Life, Purpose, Refusal, Step};
use crate::model::Model;
use crate::request::{RequestId, now_ms};
use crate::store::{HeadChange, Outcome};
use lapel_heads::Head;
use std::sync::Arc;

/// A change with what comes with it.
pub(super) struct Order {
    pub(super) change: Change,
    pub(super) request: RequestId,
    /// Files of heads, and then of the model, where the change brings any.
    pub(super) files: Vec<Vec<u8>>,
    /// The model that the change adds.
    pub(super) model: Option<Arc<Model>>,
    /// Whether a version may come into service of which fewer items have a signature than of the one that serves.
    pub(super) allow_missing: bool,
}

impl Order {
    /// A change that brings no files.
    pub(super) fn new(change: Change, request: RequestId) -> Self {
        Self { change, request, files: Vec::new(), model: None, allow_missing: true }
    }
}

impl Core {
    /// Applies a caller's change, whether or not the caller stays, and returns its outcome. A repeated request returns the
    /// outcome of the first one.
    pub(super) async fn request_change(self: &Arc<Self>, order: Order) -> Result<Option<Outcome>, Error> {
        // Nobody waits while the store is opened anew.
        self.check_open()?;
        let core = self.clone();
        tokio::spawn(async move {
            let _writer = core.writer.lock().await;
            if let Some(done) = core.outcome(&order.request).await? {
                return Ok(Some(done));
            }
            let (outcome, backfills) = core.apply(order).await?;
            for purpose in backfills {
                core.start_backfill(purpose).await?;
            }
            Ok(outcome)
        })
        .await?
    }

    /// Applies a fault that was seen, even where it cannot be stored. The store is reopened then and the memory read from
    /// it, and the fault is seen again. `holds` is asked under the writer's lock: what was faulty may be gone.
    pub(super) async fn apply_fault(&self, change: Change, holds: impl FnOnce() -> bool) {
        let _writer = self.writer.lock().await;
        if !holds() {
            return;
        }
        if let Err(error) = self.apply(Order::new(change, RequestId::none())).await {
            tracing::error!(%error, "a fault of a head or a model cannot be applied");
        }
    }

    /// Lets a head or a model serve or stand by if every item has been tried; false: some are left to do.
    pub(crate) async fn finish_backfill(&self, purpose: &Purpose, tried: &Tried) -> Result<bool, Error> {
        let _writer = self.writer.lock().await;
        self.try_finish(purpose, tried).await
    }

    /// The caller holds the writer's lock, so that no item can come in between.
    async fn try_finish(&self, purpose: &Purpose, tried: &Tried) -> Result<bool, Error> {
        let life = self.registry.life();
        if !life.unfinished().contains(purpose) {
            return Ok(true);
        }
        let (change, keys) = match purpose {
            Purpose::Head(key) => (Change::HeadFilled { key: key.clone() }, vec![key.clone()]),
            Purpose::Model(fingerprint) => {
                let keys = life.model(fingerprint)?.heads.clone();
                (Change::ModelFilled { fingerprint: fingerprint.clone() }, keys)
            }
            Purpose::Heal(_) => return Ok(true),
        };
        // What is not allowed is told before all of the items have been tried.
        life.step(&change, now_ms())?;
        let snapshot = self.snapshot();
        if !keys.iter().all(|key| is_whole(&snapshot, key, tried)) {
            return Ok(false);
        }
        self.apply(Order::new(change, RequestId::none())).await?;
        Ok(true)
    }

    /// Starts a backfill; a head that lacks nothing needs none. The caller holds the writer's lock.
    async fn start_backfill(self: &Arc<Self>, purpose: Purpose) -> Result<(), Error> {
        let finished = match &purpose {
            Purpose::Head(_) => self.try_finish(&purpose, &Tried::new()).await,
            Purpose::Model(_) | Purpose::Heal(_) => Ok(false),
        };
        match finished {
            Ok(true) => Ok(()),
            Ok(false) => {
                spawn(self, purpose);
                Ok(())
            }
            // The store is opened anew, and every backfill is resumed then.
            Err(error @ Error::Store(_)) => Err(error),
            Err(error) => {
                spawn(self, purpose);
                Err(error)
            }
        }
    }

    /// Decides, stores, publishes and shows a change, and deletes the data of what has retired. Returns the outcome, and the
    /// backfills to be started. What changes nothing is remembered, too, where it has an id: a late repetition would carry
    /// it out when it does change something. The caller holds the writer's lock.
    async fn apply(&self, order: Order) -> Result<(Option<Outcome>, Vec<Purpose>), Error> {
        let Order { mut change, request, files, model, allow_missing } = order;
        if let Change::Register(new) = &mut change {
            new.hold |= lacks_signatures(&new.head, &self.snapshot());
        }
        let Step { life, effects, outcome, files: keys } = self.registry.life().step(&change, now_ms())?;
        if let Some(model) = &model {
            check_parts(&self.snapshot(), model)?;
        }
        if !allow_missing {
            check_whole(&self.snapshot(), &effects.activate)?;
        }
        let receipt = outcome.clone().and_then(|outcome| request.receipt(outcome));
        if !effects.is_durable() {
            if receipt.is_some() {
                let generation = self.snapshot().generation;
                self.store_change(HeadChange { generation, receipt, ..HeadChange::default() }).await?;
            }
            return Ok((outcome, effects.backfills));
        }
        let next =
            next_snapshot(&self.snapshot(), &life, &effects, model.as_ref(), self.config.search.precision())?;
        let stored = HeadChange {
            heads: effects.heads,
            models: effects.models,
            bundles: keys.into_iter().zip(files).collect(),
            generation: next.generation,
            receipt,
        };
        if let Err(error) = self.store_change(stored).await {
            if !change.is_fault() {
                return Err(error);
            }
            tracing::error!(%error, "a fault of a head or a model cannot be stored");
        }
        log_service(&life, &effects.activate, effects.switch.as_deref(), next.generation);
        self.publish(next);
        self.registry.show(&life);
        effects.drop_models.iter().for_each(|fingerprint| self.forget_features(fingerprint));
        if !effects.delete.is_empty() {
            self.drop_data(effects.delete).await;
            self.registry.show(&life.step(&Change::Drained, now_ms())?.life);
        }
        Ok((outcome, effects.backfills))
    }

    async fn store_change(&self, change: HeadChange) -> Result<(), Error> {
        self.check_open()?;
        let store = self.store.clone();
        Ok(tokio::task::spawn_blocking(move || store.change_heads(&change)).await??)
    }

    /// Data that cannot be deleted now is only wasted space: nothing reads it, and the next start deletes it.
    async fn drop_data(&self, keys: Vec<String>) {
        let (store, owned) = (self.store.clone(), keys.clone());
        let outcome = tokio::task::spawn_blocking(move || store.drop_data(&owned)).await;
        if !matches!(outcome, Ok(Ok(()))) {
            tracing::warn!(?keys, "the data of heads that are gone could not be deleted");
        }
    }
}

/// Refuses a model that is there with another "Extract Parts?" head.
fn check_parts(there: &Snapshot, new: &Model) -> Result<(), Refusal> {
    let same = there.models().iter().find(|m| m.fingerprint() == new.fingerprint());
    if same.is_some_and(|m| m.extract_parts_id() != new.extract_parts_id()) {
        return Err(Refusal::OtherParts { fingerprint: new.fingerprint().to_owned() });
    }
    Ok(())
}

/// Whether an external head has fewer signatures than the version that it would take the place of: they come with the items,
/// so that no backfill brings the others.
fn lacks_signatures(head: &Head, there: &Snapshot) -> bool {
    let is_same = |column: &&Column| column.head().name() == head.name() && column.head().id() == head.id();
    let signed = there.all_columns().find(is_same).map_or(0, Column::count);
    let serving = there.column(head.name()).map_or(0, Column::count);
    !head.has_network() && signed < serving
}

/// Refuses columns that come into service with fewer signatures than those that they take the place of.
fn check_whole(there: &Snapshot, activated: &[String]) -> Result<(), Refusal> {
    for next in activated.iter().filter_map(|key| there.column_of_key(key)) {
        if let Some(serving) = there.column(next.head().name())
            && next.count() < serving.count()
        {
            return Err(Refusal::Incomplete {
                name: next.head().name().to_owned(),
                version: next.head_version(),
                signed: next.count(),
                serving: serving.head_version(),
                serving_signed: serving.count(),
            });
        }
    }
    Ok(())
}

/// The snapshot that follows from another by a change.
fn next_snapshot(
    before: &Snapshot,
    life: &Life,
    effects: &Effects,
    model: Option<&Arc<Model>>,
    precision: Precision,
) -> Result<Snapshot, Error> {
    let lacks = |what: &str, name: &str| Error::Internal(format!("{name} has no {what}"));
    let mut next = Snapshot::clone(before);
    for fingerprint in &effects.add_models {
        let model = model.filter(|m| m.fingerprint() == fingerprint);
        next.add_model(model.ok_or_else(|| lacks("model", fingerprint))?.clone());
    }
    for key in &effects.add {
        let status = life.of_key(key).and_then(|s| s.head.clone().map(|head| (s.version, head)));
        let (version, head) = status.ok_or_else(|| lacks("head", key))?;
        next.add_reserve(Column::new(key, head, precision).of_version(version));
    }
    if let Some(fingerprint) = &effects.switch {
        if !next.switch(fingerprint, &effects.activate) {
            return Err(lacks("model", fingerprint));
        }
    } else if let Some(key) = effects.activate.iter().find(|key| !next.activate(key)) {
        return Err(lacks("column", key));
    }
    effects.drop.iter().for_each(|key| next.drop_column(key));
    effects.drop_models.iter().for_each(|fingerprint| next.drop_model(fingerprint));
    next.generation = before.generation + u64::from(effects.serves_anew);
    // Answers come from the snapshot, and what is shown from the states: they must not differ.
    let is_active = |key: &str| life.of_key(key).is_some_and(|s| s.state == HeadState::Active);
    let active = life.heads().filter(|s| s.state == HeadState::Active).count();
    if next.columns().len() != active || !next.columns().iter().all(|column| is_active(column.key())) {
        return Err(Error::Internal("the columns in service are not those of the active heads".into()));
    }
    Ok(next)
}

fn log_service(life: &Life, activated: &[String], switched: Option<&str>, generation: u64) {
    if let Some(backbone) = switched {
        tracing::info!(backbone, generation, "backbone in service");
    }
    for status in activated.iter().filter_map(|key| life.of_key(key)) {
        tracing::info!(head = status.name, version = status.version, generation, "head in service");
    }
}
