//! Registering, activating and retiring heads: durable first, then visible.

use super::{Core, now_ms};
use crate::catalogue::{Column, Item, Slot, Snapshot};
use crate::error::Error;
use crate::heads::{HeadEvent, HeadState, HeadStatus, Progress, address, spawn_backfill};
use crate::store::{HeadRecord, StoredState};
use lapel_heads::{Bundle, Head};
use std::collections::HashSet;
use std::sync::Arc;

impl Core {
    /// Validates a bundle, makes it durable and starts its backfill; on an empty catalogue the head is active
    /// at once. The same bundle again returns the head that is there.
    ///
    /// # Errors
    /// [`Error::Bundle`] for an unsound bundle, [`Error::Exists`] when its name or an attribute is taken,
    /// [`Error::Exhausted`] with too many heads.
    pub async fn register_head(self: &Arc<Self>, bytes: Vec<u8>) -> Result<HeadStatus, Error> {
        let backbone = self.backbone.clone();
        let (bytes, head) = tokio::task::spawn_blocking(move || {
            let head = Head::from_bytes(&bytes, backbone.as_ref())?;
            Ok::<_, Error>((bytes, Arc::new(head)))
        })
        .await??;
        let _writer = self.writer.lock().await;
        if let Some(there) = self.check_free(&head)? {
            return Ok(there);
        }
        let registered_ms = now_ms();
        let key = format!("{}-{registered_ms}-{}", head.name(), &Bundle::id(&bytes)[..12]);
        let status = HeadStatus {
            key: key.clone(),
            name: head.name().to_owned(),
            bundle_sha256: head.id().to_owned(),
            head: Some(head.clone()),
            state: HeadState::Warming,
            progress: Progress::default(),
            registered_ms,
        };
        let generation = self.snapshot().generation;
        self.write_head(&status, StoredState::Backfilling, Some(bytes), generation).await?;
        let mut next = Snapshot::clone(&self.snapshot());
        next.add_pending(Column::new(&key, head.clone(), self.config.search.signatures));
        self.publish(next);
        self.registry.insert(status);
        let status = self.registry.apply(head.name(), HeadEvent::BackfillStarted)?;
        if self.try_activate(&status, &HashSet::new()).await? {
            return self.registry.get(head.name());
        }
        spawn_backfill(self.clone(), status.name.clone(), key, head);
        Ok(status)
    }

    /// `Some` when this very bundle is registered already.
    fn check_free(&self, head: &Head) -> Result<Option<HeadStatus>, Error> {
        let there: Vec<HeadStatus> = self.registry.all().into_iter().filter(|s| s.head.is_some()).collect();
        if let Some(same) = there.iter().find(|s| s.name == head.name()) {
            if same.bundle_sha256 == head.id() {
                return Ok(Some(same.clone()));
            }
            return Err(Error::Exists(format!(
                "head {:?} is there already with other content (bundle {}); retire it first",
                same.name,
                &same.bundle_sha256[..12]
            )));
        }
        for status in &there {
            let taken = status.head.iter().flat_map(|h| &h.manifest().attributes);
            if let Some(attribute) = taken.map(|a| &a.name).find(|a| head.manifest().attribute(a).is_some()) {
                return Err(Error::Exists(format!(
                    "attribute {attribute:?} is told apart by head {:?} already; retire it first",
                    status.name
                )));
            }
        }
        if there.len() >= self.config.limits.heads_max {
            return Err(Error::Exhausted(format!(
                "there are {} heads already; retire one first",
                there.len()
            )));
        }
        Ok(None)
    }

    /// Makes a head active if every item has been tried; `skipped` are the addresses of those that gave nothing.
    pub(crate) async fn activate_head(
        &self,
        name: &str,
        key: &str,
        skipped: &HashSet<usize>,
    ) -> Result<bool, Error> {
        let _writer = self.writer.lock().await;
        let status = self.registry.get(name)?;
        if status.key != key || status.state != HeadState::Backfilling {
            return Ok(true);
        }
        self.try_activate(&status, skipped).await
    }

    /// The caller holds the writer's lock, so no item can come in between.
    async fn try_activate(&self, status: &HeadStatus, skipped: &HashSet<usize>) -> Result<bool, Error> {
        let mut next = Snapshot::clone(&self.snapshot());
        let Some(column) = next.pending(&status.key) else { return Ok(true) };
        let tried =
            |slot: &Slot| next.items().get(*slot).is_some_and(|item| skipped.contains(&address(item)));
        if !column.computable(next.items()).iter().all(tried) {
            return Ok(false);
        }
        next.activate(&status.key);
        self.write_head(status, StoredState::Active, None, next.generation).await?;
        let generation = next.generation;
        self.publish(next);
        self.registry.apply(&status.name, HeadEvent::BackfillDone)?;
        tracing::info!(head = status.name, generation, "head active");
        Ok(true)
    }

    /// Stores what a backfill computed, for the items that are still the same; returns how many were.
    pub(crate) async fn store_backfill(
        &self,
        key: &str,
        found: Vec<(Slot, Arc<Item>, Option<Vec<f32>>)>,
    ) -> Result<u64, Error> {
        let _writer = self.writer.lock().await;
        let mut next = Snapshot::clone(&self.snapshot());
        let mut stored = Vec::new();
        for (slot, item, signature) in found {
            if let Some(signature) = signature
                && next.add_signature(key, (slot, &item), &signature)
            {
                stored.push((item.id.to_string(), signature));
            }
        }
        let count = stored.len() as u64;
        if count > 0 {
            let (store, key) = (self.store.clone(), key.to_owned());
            tokio::task::spawn_blocking(move || store.add_signatures(&key, &stored)).await??;
            self.publish(next);
        }
        Ok(count)
    }

    /// Takes a head out of service and deletes its data.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none or it is retired, [`Error::Precondition`] for the last active head.
    pub async fn retire_head(&self, name: &str) -> Result<HeadStatus, Error> {
        let _writer = self.writer.lock().await;
        let status = self.registry.get(name)?;
        if status.state == HeadState::Retired {
            return Err(Error::not_found("head in service", name));
        }
        let mut next = Snapshot::clone(&self.snapshot());
        if status.state == HeadState::Active && next.columns().len() == 1 {
            return Err(Error::Precondition {
                reason: "LAST_HEAD",
                message: format!("{name:?} is the last active head; register another one first"),
            });
        }
        status.state.next(HeadEvent::Retire).map_err(|e| Error::Internal(e.to_string()))?;
        next.drop_column(&status.key);
        self.write_head(&status, StoredState::Retired, None, next.generation).await?;
        self.publish(next);
        self.registry.apply(name, HeadEvent::Retire)?;
        self.drop_data(&status.key).await;
        self.registry.apply(name, HeadEvent::Drained)
    }

    /// Turns a head that cannot be made to serve into a failed one; queries never saw it.
    pub(crate) async fn fail_head(&self, name: &str, key: &str, reason: &str) {
        let _writer = self.writer.lock().await;
        let Ok(status) = self.registry.get(name) else { return };
        if status.key != key || status.state.is_settled() {
            return;
        }
        let mut next = Snapshot::clone(&self.snapshot());
        next.drop_column(key);
        let generation = next.generation;
        self.publish(next);
        let failed = StoredState::Failed(reason.to_owned());
        if let Err(error) = self.write_head(&status, failed, None, generation).await {
            tracing::error!(head = name, %error, "a failed head cannot be recorded");
        }
        if let Ok(mut failed) = self.registry.apply(name, HeadEvent::Fail(reason.to_owned())) {
            failed.head = None;
            self.registry.insert(failed);
        }
        self.drop_data(key).await;
    }

    async fn write_head(
        &self,
        status: &HeadStatus,
        state: StoredState,
        bundle: Option<Vec<u8>>,
        generation: u64,
    ) -> Result<(), Error> {
        let record = HeadRecord {
            name: status.name.clone(),
            bundle_sha256: status.bundle_sha256.clone(),
            state,
            registered_ms: status.registered_ms,
        };
        let (store, key) = (self.store.clone(), status.key.clone());
        let write = move || store.put_head(&key, &record, bundle.as_deref(), generation);
        Ok(tokio::task::spawn_blocking(write).await??)
    }

    /// Data that cannot be deleted now is only wasted space: nothing reads it any more.
    async fn drop_data(&self, key: &str) {
        let (store, owned) = (self.store.clone(), key.to_owned());
        let outcome = tokio::task::spawn_blocking(move || store.drop_head_data(&owned)).await;
        if !matches!(outcome, Ok(Ok(()))) {
            tracing::warn!(key, "the data of a head that is gone could not be deleted");
        }
    }
}
