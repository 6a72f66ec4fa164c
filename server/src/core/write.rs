//! Writes of items: checked, embedded, committed together with others that wait, then published.

use super::{Core, now_ms};
use crate::catalogue::{Column, Computing, Snapshot};
use crate::engine::Priority;
use crate::error::{Error, Violation};
use crate::store::{ContentId, ItemChange, ItemRecord, Outcome, Receipt, StoreError};
use futures_util::future::join_all;
use lapel_heads::{Features, Head, Labels, PartsCase, Signature, is_name};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, mpsc};
use tokio::sync::oneshot;

/// Longest id, in bytes.
const ID_LEN_MAX: usize = 256;
/// Items of waiting writes that are committed together.
const GROUP_MAX: usize = 4096;

/// A caller's request: its id, empty where none was given, and what it asks for.
#[derive(Clone, Debug)]
pub struct RequestId {
    /// The caller's id.
    pub id: String,
    /// What is asked for, so that an id that is used twice is found.
    pub request: ContentId,
}

impl RequestId {
    /// A request without an id: it is carried out as often as it comes.
    #[must_use]
    pub fn none() -> Self {
        Self { id: String::new(), request: ContentId([0; 16]) }
    }

    pub(crate) fn receipt(&self, outcome: Outcome) -> Option<Receipt> {
        let receipt = || Receipt { request_id: self.id.clone(), request: self.request, outcome };
        (!self.id.is_empty()).then(receipt)
    }
}

/// What is written of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of it; what it had before is replaced.
    #[default]
    Whole,
    /// Signatures are added to the item that is there.
    Signatures,
    /// The labels of the item that is there are replaced.
    Labels,
}

/// An item to write.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// Its id.
    pub id: String,
    /// Its photo's bytes.
    pub image: Option<Vec<u8>>,
    /// Its labels.
    pub labels: Labels,
    /// Signatures by head, computed elsewhere.
    pub signatures: Vec<(String, Vec<f32>)>,
    /// What is written of it.
    pub scope: Scope,
    /// The request that it came with.
    pub request: RequestId,
}

impl NewItem {
    /// A whole item without anything.
    #[must_use]
    pub fn new(id: String) -> Self {
        Self {
            id,
            image: None,
            labels: Labels::new(),
            signatures: Vec::new(),
            scope: Scope::Whole,
            request: RequestId::none(),
        }
    }
}

/// What became of an accepted item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upserted {
    /// Whether it was there before.
    pub replaced: bool,
}

/// What the server computed from an item's image.
#[derive(Default)]
struct Embedded {
    /// Signatures by head.
    computed: Vec<(Arc<Head>, Option<Vec<f32>>)>,
    parts_case: Option<PartsCase>,
    /// By model: what the heads read, for the feature cache.
    features: Vec<(Computing, ContentId, Features)>,
}

type Outcomes = Vec<Result<Upserted, Error>>;

/// A write that waits for its commit.
pub(super) struct Waiting {
    work: Work,
    reply: oneshot::Sender<Result<Done, Error>>,
}

enum Work {
    /// Items that were embedded for these heads.
    Upsert(Arc<[Computing]>, Vec<(NewItem, Result<Embedded, Error>)>),
    Delete(Vec<String>, RequestId),
}

impl Work {
    fn len(&self) -> usize {
        match self {
            Self::Upsert(_, items) => items.len(),
            Self::Delete(ids, _) => ids.len(),
        }
    }
}

enum Done {
    Upserted(Outcomes),
    /// The ids that did not exist.
    Deleted(Vec<String>),
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
            match self.submit(work).await? {
                Done::Upserted(outcomes) => return Ok(outcomes),
                Done::Stale(again) => items = again,
                Done::Deleted(_) => return Err(Error::Internal("an upsert was answered as a delete".into())),
            }
        }
    }

    /// Deletes items in one durable step and returns the ids that did not exist.
    ///
    /// # Errors
    /// When the store failed; nothing was deleted then.
    pub async fn delete(
        self: &Arc<Self>,
        ids: Vec<String>,
        request: RequestId,
    ) -> Result<Vec<String>, Error> {
        match self.submit(Work::Delete(ids, request)).await? {
            Done::Deleted(missing) => Ok(missing),
            Done::Upserted(_) | Done::Stale(_) => {
                Err(Error::Internal("a delete was answered as an upsert".into()))
            }
        }
    }

    /// Queues a write; whoever gets the writer's lock first commits for all that wait.
    async fn submit(self: &Arc<Self>, work: Work) -> Result<Done, Error> {
        let (reply, mut answer) = oneshot::channel();
        self.waiting().push(Waiting { work, reply });
        let core = self.clone();
        // On a task of its own: a caller that leaves must not leave the memory behind the store.
        let committing = tokio::spawn(async move {
            let _writer = core.writer.lock().await;
            if let Ok(done) = answer.try_recv() {
                return done;
            }
            let group = core.next_group();
            core.commit_group(group).await;
            match answer.await {
                Ok(done) => done,
                Err(_) => Err(Error::Internal("a write was not answered".into())),
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
        let count = waiting.iter().take_while(|w| fits(w)).count().max(1).min(waiting.len());
        waiting.drain(..count).collect()
    }

    /// Commits writes in their order, in one transaction. The caller holds the writer's lock.
    async fn commit_group(&self, group: Vec<Waiting>) {
        let before = self.snapshot();
        let mut batch = Batch::new(&before);
        let mut done = Vec::with_capacity(group.len());
        for Waiting { work, reply } in group {
            let outcome = match work {
                Work::Upsert(computing, items) if !Arc::ptr_eq(&computing, before.computing()) => {
                    Ok(Done::Stale(items.into_iter().map(|(item, _)| item).collect()))
                }
                Work::Upsert(_, items) => batch.upsert(items, &self.store).map(Done::Upserted),
                Work::Delete(ids, request) => batch.delete(ids, &request, &self.store).map(Done::Deleted),
            };
            done.push((reply, outcome));
        }
        let Batch { changes, receipts, features, .. } = batch;
        let committed = match changes.is_empty() && receipts.is_empty() {
            true => Ok(()),
            false => self.commit(changes, receipts, Snapshot::clone(&before)).await,
        };
        if committed.is_ok() {
            for (on, content, features) in features {
                self.cache_features(&on.model, content, &features).await;
            }
        }
        let failed = committed.err();
        for (reply, outcome) in done {
            let outcome = match (&failed, outcome) {
                (Some(error), Ok(Done::Upserted(_) | Done::Deleted(_))) => Err(error.again()),
                (_, outcome) => outcome,
            };
            // The caller may have left.
            let _ = reply.send(outcome);
        }
    }

    /// Writes changes and works out what they lead to at the same time; only when both have succeeded are they made
    /// durable, and then published. The caller holds the writer's lock.
    async fn commit(
        &self,
        changes: Vec<ItemChange>,
        receipts: Vec<Receipt>,
        mut next: Snapshot,
    ) -> Result<(), Error> {
        let keys: Vec<String> = next.all_columns().map(|c| c.key().to_string()).collect();
        let changes: Arc<[ItemChange]> = changes.into();
        let (store, written) = (self.store.clone(), changes.clone());
        let (agree, agreed) = mpsc::channel();
        let commit = tokio::task::spawn_blocking(move || {
            store.prepare(&written, &keys, &receipts).commit(|| agreed.recv().is_ok())
        });
        let apply = tokio::task::spawn_blocking(move || {
            next.apply(&changes);
            // A panic before this is a no.
            let _ = agree.send(());
            next
        });
        let (committed, next) = tokio::join!(commit, apply);
        let next = next?;
        match committed? {
            Ok(true) => {
                self.publish(next);
                Ok(())
            }
            Ok(false) => Err(Error::Internal("a write was given up".into())),
            Err(error) => {
                self.mend_store();
                Err(error.into())
            }
        }
    }

    async fn prepare(&self, snapshot: &Snapshot, item: &NewItem) -> Result<Embedded, Error> {
        self.check(item)?;
        let mut embedded = Embedded::default();
        let Some(image) = &item.image else { return Ok(embedded) };
        let content = ContentId::of(image);
        for on in snapshot.computing().iter() {
            let embedding = self.engine.embed(image.clone(), on.clone(), Priority::Bulk).await?;
            let values = embedding.signatures.into_iter().map(|s| s.map(Signature::into_values));
            embedded.computed.extend(on.heads.iter().cloned().zip(values));
            // The first model is the one that serves.
            embedded.parts_case.get_or_insert(embedding.features.parts.case);
            if self.caches_features() {
                embedded.features.push((on.clone(), content, embedding.features));
            }
        }
        Ok(embedded)
    }

    fn check(&self, item: &NewItem) -> Result<(), Error> {
        let mut violations = Vec::new();
        let mut refuse = |field: &str, wanted: String| violations.push(Violation::new(field, wanted));
        if !is_id(&item.id) {
            refuse("id", format!("an id has 1 to {ID_LEN_MAX} bytes and no control characters"));
        }
        let has_image = item.image.is_some();
        match item.scope {
            Scope::Whole if !has_image && item.signatures.is_empty() => {
                refuse("image", "an item needs an image, or signatures computed elsewhere".into());
            }
            Scope::Signatures if has_image || !item.labels.is_empty() => {
                refuse(
                    "signatures_only",
                    "the item keeps its image and its labels; send signatures alone".into(),
                );
            }
            Scope::Signatures if item.signatures.is_empty() => {
                refuse("signatures", "there are none to add".into());
            }
            Scope::Labels if has_image || !item.signatures.is_empty() => {
                refuse(
                    "labels_only",
                    "the item keeps its image and its signatures; send labels alone".into(),
                );
            }
            Scope::Whole | Scope::Signatures | Scope::Labels => {}
        }
        let most = self.config.limits.item_labels_max;
        if item.labels.len() > most {
            refuse("labels", format!("there are {} labels; at most {most} are accepted", item.labels.len()));
        }
        for (attribute, label) in &item.labels {
            if !is_name(attribute) || !is_name(label) {
                let wanted =
                    "attributes and labels have 1 to 64 characters, no control characters, no outer spaces";
                refuse(&format!("labels[{attribute}]"), wanted.into());
            }
        }
        if violations.is_empty() { Ok(()) } else { Err(Error::Invalid(violations)) }
    }
}

fn is_id(id: &str) -> bool {
    (1..=ID_LEN_MAX).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// The changes of one transaction, each worked out on the state that those before it lead to.
struct Batch<'a> {
    before: &'a Snapshot,
    /// Items that changes before this one wrote or deleted.
    records: HashMap<String, Option<ItemRecord>>,
    changes: Vec<ItemChange>,
    receipts: Vec<Receipt>,
    features: Vec<(Computing, ContentId, Features)>,
}

impl<'a> Batch<'a> {
    fn new(before: &'a Snapshot) -> Self {
        Self {
            before,
            records: HashMap::new(),
            changes: Vec::new(),
            receipts: Vec::new(),
            features: Vec::new(),
        }
    }

    fn record(&self, id: &str) -> Option<ItemRecord> {
        if let Some(record) = self.records.get(id) {
            return record.clone();
        }
        let slot = self.before.items().slot(id)?;
        self.before.items().get(slot).map(|item| item.record.clone())
    }

    /// Whether there is something under an id, be it a damaged record.
    fn is_there(&self, id: &str) -> bool {
        self.record(id).is_some() || (!self.records.contains_key(id) && self.before.damage().0.contains(id))
    }

    /// What an earlier request of the same id led to, on disk or in this batch.
    fn outcome(
        &self,
        request: &RequestId,
        stored: Result<Option<Outcome>, StoreError>,
    ) -> Result<Option<Outcome>, Error> {
        match self.receipts.iter().find(|r| !request.id.is_empty() && r.request_id == request.id) {
            Some(receipt) if receipt.request == request.request => Ok(Some(receipt.outcome.clone())),
            Some(receipt) => Err(StoreError::RequestId(receipt.request_id.clone()).into()),
            None => Ok(stored?),
        }
    }

    fn upsert(
        &mut self,
        items: Vec<(NewItem, Result<Embedded, Error>)>,
        store: &crate::store::Store,
    ) -> Result<Outcomes, Error> {
        let requests: Vec<_> =
            items.iter().map(|(i, _)| (i.request.id.as_str(), i.request.request)).collect();
        let stored = store.outcomes(&requests)?;
        let mut outcomes = Vec::with_capacity(items.len());
        for ((item, embedded), stored) in items.into_iter().zip(stored) {
            outcomes.push(self.upsert_one(item, embedded, stored));
        }
        Ok(outcomes)
    }

    fn upsert_one(
        &mut self,
        item: NewItem,
        embedded: Result<Embedded, Error>,
        stored: Result<Option<Outcome>, StoreError>,
    ) -> Result<Upserted, Error> {
        if let Some(Outcome::Upserted(replaced)) = self.outcome(&item.request, stored)? {
            return Ok(Upserted { replaced });
        }
        let mut embedded = embedded?;
        let features = std::mem::take(&mut embedded.features);
        let request = item.request.clone();
        let replaced = self.is_there(&item.id);
        let change = self.resolve(item, embedded)?;
        match &change {
            ItemChange::Put { id, record, .. } | ItemChange::Label { id, record } => {
                self.records.insert(id.clone(), Some(record.clone()));
            }
            ItemChange::Sign { .. } | ItemChange::Delete { .. } => {}
        }
        self.changes.push(change);
        self.receipts.extend(request.receipt(Outcome::Upserted(replaced)));
        self.features.extend(features);
        Ok(Upserted { replaced })
    }

    fn delete(
        &mut self,
        ids: Vec<String>,
        request: &RequestId,
        store: &crate::store::Store,
    ) -> Result<Vec<String>, Error> {
        let stored = store.outcomes(&[(&request.id, request.request)])?.pop().unwrap_or(Ok(None));
        if let Some(Outcome::Deleted(missing)) = self.outcome(request, stored)? {
            return Ok(missing);
        }
        let (found, missing): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| self.is_there(id));
        for id in found {
            self.records.insert(id.clone(), None);
            self.changes.push(ItemChange::Delete { id });
        }
        self.receipts.extend(request.receipt(Outcome::Deleted(missing.clone())));
        Ok(missing)
    }

    /// Joins computed and given signatures under the heads' keys.
    fn resolve(&self, item: NewItem, embedded: Embedded) -> Result<ItemChange, Error> {
        let replaces = self.is_there(&item.id);
        let NewItem { id, image, labels, signatures: given, scope, .. } = item;
        let there = || self.record(&id).ok_or_else(|| Error::not_found("item", &id));
        if scope == Scope::Labels {
            let record = ItemRecord { labels, updated_ms: now_ms(), ..there()? };
            return Ok(ItemChange::Label { id, record });
        }
        let has_image = if scope == Scope::Signatures { there()?.has_image() } else { image.is_some() };
        let mut signatures = Vec::new();
        for (head, values) in embedded.computed {
            let column = self.before.all_columns().find(|c| Arc::ptr_eq(c.head(), &head));
            signatures.extend(column.and_then(|c| Some((c.key().to_string(), values?))));
        }
        for (name, values) in given {
            signatures.push(self.given(&name, values, has_image, &signatures)?);
        }
        if scope == Scope::Signatures {
            return Ok(ItemChange::Sign { id, signatures });
        }
        let record = ItemRecord {
            labels,
            image: image.as_deref().map(ContentId::of),
            parts_case: embedded.parts_case,
            updated_ms: now_ms(),
        };
        Ok(ItemChange::Put { id, record, image, signatures, replaces })
    }

    /// A signature computed elsewhere, under the key of the head that `name` means: the version that serves, or
    /// `name@version`.
    fn given(
        &self,
        name: &str,
        values: Vec<f32>,
        has_image: bool,
        others: &[(String, Vec<f32>)],
    ) -> Result<(String, Vec<f32>), Error> {
        let field = format!("signatures[{name}]");
        let column = self.column(name)?;
        if has_image && column.head().has_network() {
            let wanted = "the server computes this head's signature from the image; send one or the other";
            return Err(Error::invalid(field, wanted));
        }
        if others.iter().any(|(key, _)| **key == **column.key()) {
            return Err(Error::invalid(field, "this head is given twice"));
        }
        let signature =
            Signature::of_dim(values, column.head().dim()).map_err(|e| Error::signature(field, e))?;
        Ok((column.key().to_string(), signature.into_values()))
    }

    fn column(&self, name: &str) -> Result<&Column, Error> {
        let columns = || self.before.all_columns();
        // Active columns come first.
        let serving = columns().find(|c| c.head().name() == name);
        let exact = || {
            let (name, version) = name.rsplit_once('@')?;
            let version: u32 = version.parse().ok()?;
            columns().find(|c| c.head().name() == name && c.head_version() == version)
        };
        serving.or_else(exact).ok_or_else(|| {
            let mut valid: Vec<String> = columns().map(|c| c.head().name().to_owned()).collect();
            valid.sort();
            valid.dedup();
            Error::NotFound { what: "head", name: name.to_owned(), valid }
        })
    }
}
