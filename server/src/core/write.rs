//! Writes of items: checked, embedded, committed together with others that wait, then published.

use super::Core;
use super::backfill::Found;
use super::batch::Batch;
use super::check::check_item;
use super::delete::DeletedWhere;
use super::item::NewItem;
use crate::catalogue::{Computing, Snapshot};
use crate::engine::{EngineError, Priority};
use crate::error::Error;
use crate::request::RequestId;
use crate::stages::{Stage, timed};
use crate::store::{ContentId, ItemChange, Receipt, SignaturesByHead, picture_key};
use futures_util::future::join_all;
use lapel_heads::{Features, Head, PartsCase, Signature};
use lapel_search::{Filter, SignaturesError};
use std::sync::{Arc, PoisonError, mpsc};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// Items of waiting writes that are committed together.
const GROUP_MAX: usize = 4096;

/// What became of an accepted item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upserted {
    /// Whether it was there before.
    pub replaced: bool,
}

/// What the server computed from an item's images.
#[derive(Default)]
pub(super) struct Embedded {
    /// By picture, in their order.
    pub(super) pictures: Vec<EmbeddedPicture>,
    /// By picture and model: what the heads read, for the feature cache.
    pub(super) features: Vec<(Computing, ContentId, Features)>,
}

/// What the server computed from one image.
pub(super) struct EmbeddedPicture {
    pub(super) content: ContentId,
    /// Signatures by head.
    pub(super) computed: Vec<(Arc<Head>, Option<Vec<f32>>)>,
    pub(super) parts_case: Option<PartsCase>,
}

pub(super) type Outcomes = Vec<Result<Upserted, Error>>;

/// A write that waits for its commit.
pub(super) struct Waiting {
    work: Work,
    reply: oneshot::Sender<Answer>,
}

pub(super) enum Work {
    /// Items that were embedded for these heads.
    Upsert(Arc<[Computing]>, Vec<(NewItem, Result<Embedded, Error>)>),
    Delete(Vec<String>, RequestId),
    /// All items that pass, of which there must be as many as are expected.
    DeleteWhere {
        filter: Filter,
        /// That of the state in which the filter was checked.
        generation: u64,
        expected: Option<u64>,
        request: RequestId,
    },
}

impl Work {
    fn len(&self) -> usize {
        match self {
            Self::Upsert(_, items) => items.len(),
            Self::Delete(ids, _) => ids.len(),
            Self::DeleteWhere { .. } => 1,
        }
    }

    /// Whether it is a group of its own: what passes a filter is known of a published state alone.
    fn is_alone(&self) -> bool {
        match self {
            Self::Upsert(..) | Self::Delete(..) => false,
            Self::DeleteWhere { .. } => true,
        }
    }
}

type Answer = Result<Done, Error>;

pub(super) enum Done {
    Upserted(Outcomes),
    /// The ids that did not exist.
    Deleted(Vec<String>),
    DeletedWhere(DeletedWhere),
    /// Heads came in the meantime that need these pictures too.
    Stale(Vec<NewItem>),
}

impl Core {
    /// Writes items in one durable step; an item that is refused does not touch the others. A caller that leaves does
    /// not stop it half way.
    ///
    /// # Errors
    /// The outer error: the store failed and nothing was written. The inner ones: that item was refused.
    pub async fn upsert(self: &Arc<Self>, mut items: Vec<NewItem>) -> Result<Outcomes, Error> {
        loop {
            let snapshot = self.snapshot();
            let prepared = join_all(items.iter().map(|item| self.prepare(&snapshot, item))).await;
            let work = Work::Upsert(snapshot.computing().clone(), items.into_iter().zip(prepared).collect());
            drop(snapshot);
            match timed(Stage::Commit, self.submit(work)).await? {
                Done::Upserted(outcomes) => return Ok(outcomes),
                Done::Stale(again) => items = again,
                Done::Deleted(_) | Done::DeletedWhere(_) => {
                    return Err(Error::Internal("an upsert was answered as a delete".into()));
                }
            }
        }
    }

    /// Queues a write; whoever gets the writer's lock first commits for all that wait.
    pub(super) async fn submit(self: &Arc<Self>, work: Work) -> Result<Done, Error> {
        // Nobody waits while the store is opened anew.
        self.check_open()?;
        let (reply, mut answer) = oneshot::channel();
        self.waiting().push(Waiting { work, reply });
        let core = self.clone();
        // On a task of its own: a caller that leaves must not leave the memory behind the store.
        let committing = tokio::spawn(async move {
            let _writer = core.writer.lock().await;
            // Others may stand before it, and a group has an end.
            loop {
                match answer.try_recv() {
                    Ok(done) => return done,
                    // The time that running requests have to end is over.
                    Err(TryRecvError::Empty) if core.cut_off.is_cancelled() => {
                        return Err(EngineError::Stopped.into());
                    }
                    Err(TryRecvError::Empty) => core.commit_group(core.next_group()).await,
                    Err(TryRecvError::Closed) => {
                        return Err(Error::Internal("a write was not answered".into()));
                    }
                }
            }
        });
        committing.await?
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        // Entries are pushed and taken whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_group(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let mut items = 0;
        let mut fits = |w: &Waiting| {
            items += w.work.len();
            items <= GROUP_MAX
        };
        let joined = waiting.iter().take_while(|w| !w.work.is_alone() && fits(w)).count();
        // The first goes alone where it joins no other.
        let count = joined.max(1).min(waiting.len());
        waiting.drain(..count).collect()
    }

    /// Commits writes in their order, in one transaction. The caller holds the writer's lock.
    async fn commit_group(self: &Arc<Self>, group: Vec<Waiting>) {
        let before = self.snapshot();
        let (on, core) = (before.clone(), self.clone());
        let faults = before.signatures().faults();
        let resolved = tokio::task::spawn_blocking(move || resolve(group, &on, &core)).await;
        // After a panic nobody is answered, and each caller notices that.
        let Ok(Resolved { done, changes, receipts, features }) = resolved else { return };
        let committed = match changes.is_empty() && receipts.is_empty() {
            true => Ok(()),
            false => self.commit(changes, receipts, (Snapshot::clone(&before), faults)).await,
        };
        if committed.is_ok() {
            for (on, content, features) in features {
                self.cache_features(&on.model, content, &features).await;
            }
        }
        let failed = committed.err();
        for (reply, outcome) in done {
            let outcome = match (&failed, outcome) {
                (Some(error), Ok(Done::Upserted(_) | Done::Deleted(_) | Done::DeletedWhere(_))) => {
                    Err(error.again())
                }
                (_, outcome) => outcome,
            };
            // The caller may have left.
            let _ = reply.send(outcome);
        }
    }

    /// Writes changes and works out what they lead to at the same time; only when both have succeeded are they made
    /// durable, and then published; none of it where a signature could not be read since there were so many `faults`. The
    /// caller holds the writer's lock.
    async fn commit(
        &self,
        changes: Vec<ItemChange>,
        receipts: Vec<Receipt>,
        (mut next, faults): (Snapshot, u64),
    ) -> Result<(), Error> {
        self.check_open()?;
        let keys: Vec<String> = next.all_columns().map(|c| c.key().to_string()).collect();
        let changes: Arc<[ItemChange]> = changes.into();
        let (store, written) = (self.store.clone(), changes.clone());
        let (agree, agreed) = mpsc::channel();
        let commit = tokio::task::spawn_blocking(move || {
            store.prepare(&written, &keys, &receipts).commit(|| agreed.recv().is_ok())
        });
        let apply = tokio::task::spawn_blocking(move || {
            // What is worked out of a change takes more memory than the change, and a filter may delete any number of items.
            changes.chunks(GROUP_MAX).for_each(|chunk| next.apply(chunk));
            if next.signatures().faults() != faults {
                return Err(SignaturesError::Unreadable);
            }
            // A panic before this is a no, too.
            let _ = agree.send(());
            Ok(next)
        });
        let (committed, next) = tokio::join!(commit, apply);
        let next = next??;
        match committed? {
            Ok(true) => {
                self.publish(next);
                Ok(())
            }
            Ok(false) => Err(Error::Internal("a write was given up".into())),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores what a backfill computed, for the items that are still the same.
    pub(crate) async fn store_backfill(&self, found: &[Found]) -> Result<(), Error> {
        if found.iter().all(|f| f.signatures.is_empty() && f.pictures.is_empty()) {
            return Ok(());
        }
        let _writer = self.writer.lock().await;
        self.check_open()?;
        let mut next = Snapshot::clone(&self.snapshot());
        let faults = next.signatures().faults();
        let mut by_head = SignaturesByHead::new();
        for Found { slot, item, signatures, pictures, .. } in found {
            for (number, key, values) in pictures {
                if next.add_picture_signature(key, (*slot, item), (*number, values)) {
                    let picture = (picture_key(&item.id, *number), values.clone());
                    by_head.entry(key.clone()).or_default().push(picture);
                }
            }
            for (key, values) in signatures {
                if next.add_signature(key, (*slot, item), values) {
                    by_head.entry(key.clone()).or_default().push((item.id.to_string(), values.clone()));
                }
            }
        }
        if next.signatures().faults() != faults {
            return Err(SignaturesError::Unreadable.into());
        }
        if by_head.is_empty() {
            return Ok(());
        }
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.add_signatures(&by_head)).await??;
        self.publish(next);
        Ok(())
    }

    async fn prepare(&self, snapshot: &Snapshot, item: &NewItem) -> Result<Embedded, Error> {
        check_item(item, &self.config.limits)?;
        let pictures = item.image.iter().chain(&item.more_images);
        // Side by side, so that they share batches of the model.
        let pictures = join_all(pictures.map(|image| self.embed_picture(snapshot, image))).await;
        let mut embedded = Embedded::default();
        for (number, picture) in pictures.into_iter().enumerate() {
            let (picture, features) = picture.map_err(|error| match (error, number.checked_sub(1)) {
                (Error::Photo(fault), Some(at)) => Error::Picture { at, fault },
                (error, _) => error,
            })?;
            embedded.pictures.push(picture);
            embedded.features.extend(features);
        }
        Ok(embedded)
    }

    /// What one image is for the heads of every model, and what they read of it where that is kept.
    async fn embed_picture(
        &self,
        snapshot: &Snapshot,
        image: &[u8],
    ) -> Result<(EmbeddedPicture, Vec<(Computing, ContentId, Features)>), Error> {
        let content = ContentId::of(image);
        let mut picture = EmbeddedPicture { content, computed: Vec::new(), parts_case: None };
        let mut features = Vec::new();
        for on in snapshot.computing().iter() {
            let embedding = self.engine.embed(image.to_vec(), on.clone(), Priority::Bulk).await?;
            let values = embedding.signatures.into_iter().map(|s| s.map(Signature::into_values));
            picture.computed.extend(on.heads.iter().cloned().zip(values));
            // The first model is the one that serves.
            picture.parts_case.get_or_insert(embedding.features.parts.case);
            if self.caches_features() {
                features.push((on.clone(), content, embedding.features));
            }
        }
        Ok((picture, features))
    }
}

/// A group of writes, worked out.
struct Resolved {
    done: Vec<(oneshot::Sender<Answer>, Answer)>,
    changes: Vec<ItemChange>,
    receipts: Vec<Receipt>,
    features: Vec<(Computing, ContentId, Features)>,
}

/// Works out what a group of writes comes to. It reads receipts from the disk.
fn resolve(group: Vec<Waiting>, before: &Snapshot, core: &Core) -> Resolved {
    let mut batch = Batch::new(before, &core.config);
    let store = &core.store;
    let mut done = Vec::with_capacity(group.len());
    for Waiting { work, reply } in group {
        let outcome = match work {
            Work::Upsert(computing, items) if !Arc::ptr_eq(&computing, before.computing()) => {
                Ok(Done::Stale(items.into_iter().map(|(item, _)| item).collect()))
            }
            Work::Upsert(_, items) => batch.upsert(items, store).map(Done::Upserted),
            Work::Delete(ids, request) => batch.delete(ids, &request, store).map(Done::Deleted),
            Work::DeleteWhere { filter, generation, expected, request } => {
                batch.delete_where((&filter, generation), expected, &request, store).map(Done::DeletedWhere)
            }
        };
        done.push((reply, outcome));
    }
    let Batch { changes, receipts, features, .. } = batch;
    Resolved { done, changes, receipts, features }
}
