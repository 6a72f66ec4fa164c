//! Backfill: signatures of new heads for the items that are there already.

use super::Core;
use super::looked::Looked;
use super::means::means;
use crate::catalogue::{Column, Computing, Item, Slot, Snapshot};
use crate::error::Error;
use crate::life::{HeadState, HeadStatus, Progress, Purpose, Skip};
use crate::store::{ContentId, StoreError};
use futures_util::future::join_all;
use lapel_heads::{Head, Signature};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Items that are looked at together.
const BATCH: usize = 64;
/// Items whose signatures are committed together: with the feature cache a batch takes some milliseconds, and a commit, which
/// syncs the disk, may take longer.
const COMMIT: usize = 512;
/// Time after which fewer are committed: without the cache a batch takes a second, and is not to be computed again after a kill.
const COMMIT_AFTER: Duration = Duration::from_millis(200);
/// Before a step that the store refused is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Items that were tried and gave no signature, each with the pictures that it had: what else is written of it, its price,
/// say, changes nothing about that.
pub(crate) type Tried = HashSet<(Arc<str>, Vec<ContentId>)>;

fn pictured(item: &Item) -> (Arc<str>, Vec<ContentId>) {
    (item.id.clone(), item.images().into_iter().map(|image| image.content).collect())
}

/// An item with the signatures that were computed for it, by head key.
pub(crate) struct Found {
    pub(crate) slot: Slot,
    pub(crate) item: Arc<Item>,
    pub(crate) signatures: Vec<(String, Vec<f32>)>,
    /// Those of its pictures, by number, where there are several.
    pub(crate) pictures: Vec<(u32, String, Vec<f32>)>,
    skip: Option<Skip>,
    from_cache: bool,
}

/// Computes what heads lack, then lets them serve. Runs beside queries and writes: its pictures take the bulk queue,
/// and its columns are read by no query until they are whole. An item is committed with its signatures, so after a
/// restart only what is missing is computed. One that runs already is not started again.
pub(crate) fn spawn(core: &Arc<Core>, purpose: Purpose) {
    if !core.backfills().insert(purpose.clone()) {
        return;
    }
    let core = core.clone();
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        let backfill = Backfill { core: &core, purpose };
        let outcome = backfill.run().await;
        // Before it is failed, which waits for the writer: the same model may be dropped and built again until then. A
        // build shows its heads before it asks whether its backfill runs, so it starts one or its heads are seen here.
        let keys = {
            let mut running = core.backfills();
            running.remove(&backfill.purpose);
            backfill.keys()
        };
        if let Err(error) = outcome
            && !core.stopping.is_cancelled()
        {
            backfill.fail(&keys, &error).await;
        }
    });
}

struct Backfill<'a> {
    core: &'a Arc<Core>,
    purpose: Purpose,
}

impl Backfill<'_> {
    async fn run(&self) -> Result<(), Error> {
        let started = Instant::now();
        let (mut tried, mut progress) = (Tried::new(), Progress::default());
        loop {
            let keys = self.keys();
            if keys.is_empty() {
                // Either it is over, or none of its heads could be loaded.
                return self.finish(&tried).await.map(drop);
            }
            let todo = todo(&self.core.snapshot(), &keys, &tried);
            progress.total = progress.done + todo.len() as u64;
            self.core.registry.set_progress(&keys, &progress);
            if todo.is_empty() {
                // Items may come in between; this looks again under the writer's lock.
                if self.finish(&tried).await? {
                    return Ok(());
                }
                continue;
            }
            // The signatures of some batches are committed while those of the next are computed.
            let mut computed: Vec<Found> = Vec::new();
            let mut committed = Instant::now();
            for batch in todo.chunks(BATCH).map(Some).chain([None]) {
                if self.core.stopping.is_cancelled() {
                    return Ok(());
                }
                if self.keys().is_empty() {
                    break;
                }
                let next = async {
                    match batch {
                        Some(batch) => self.compute(batch).await,
                        None => Ok(Vec::new()),
                    }
                };
                let is_due =
                    batch.is_none() || computed.len() >= COMMIT || committed.elapsed() >= COMMIT_AFTER;
                let mut due = Vec::new();
                if is_due {
                    (due, committed) = (std::mem::take(&mut computed), Instant::now());
                }
                let (next, stored) = tokio::join!(next, self.store(&due));
                stored?;
                for found in &due {
                    progress.done += 1;
                    progress.from_cache += u64::from(found.from_cache);
                    if let Some(skip) = found.skip {
                        tracing::warn!(item = %found.item.id, reason = skip.name(), "no signature for this item");
                        *progress.skipped.entry(skip).or_insert(0) += 1;
                        tried.insert(pictured(&found.item));
                    }
                }
                progress.per_second = progress.done as f64 / started.elapsed().as_secs_f64().max(1e-3);
                self.core.registry.set_progress(&keys, &progress);
                // What a failing store kept from being computed is found to be missing by the next round.
                match next {
                    Ok(found) => computed.extend(found),
                    Err(error) if self.waits_for(&error).await => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Keys of the heads that it is for, as long as they want it.
    fn keys(&self) -> Vec<String> {
        let registry = &self.core.registry;
        let backfills = |key: &str| registry.of_key(key).is_some_and(|s| s.state == HeadState::Backfilling);
        match &self.purpose {
            Purpose::Head(key) => Some(key.clone()).into_iter().filter(|k| backfills(k)).collect(),
            Purpose::Model(fingerprint) => {
                let of_model = |s: &HeadStatus| {
                    s.state == HeadState::Backfilling && s.backbone.as_ref() == Some(fingerprint)
                };
                registry.all().into_iter().filter(of_model).map(|s| s.key).collect()
            }
            Purpose::Heal(keys) => keys.clone(),
        }
    }

    /// Turns what it was for into failed: the heads with these keys, and not those of a later build of the same model.
    async fn fail(&self, keys: &[String], error: &Error) {
        tracing::error!(purpose = ?self.purpose, %error, "the backfill failed");
        let reason = format!("the backfill failed: {error}");
        match &self.purpose {
            Purpose::Head(key) => self.core.fail_head(key, &reason).await,
            Purpose::Model(fingerprint) => {
                self.core.fail_model(fingerprint, &reason, || self.keys() == keys).await;
            }
            Purpose::Heal(_) => {}
        }
    }

    async fn finish(&self, tried: &Tried) -> Result<bool, Error> {
        loop {
            match self.core.finish_backfill(&self.purpose, tried).await {
                Err(error) if self.waits_for(&error).await => {}
                other => return other,
            }
        }
    }

    async fn store(&self, found: &[Found]) -> Result<(), Error> {
        while let Err(error) = self.core.store_backfill(found).await {
            if !self.waits_for(&error).await {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether the error is one that passes, after some time.
    async fn waits_for(&self, error: &Error) -> bool {
        let passes = match error {
            Error::Store(error) => matches!(**error, StoreError::Database(_) | StoreError::Reopening),
            Error::Unreadable => true,
            _ => false,
        };
        if passes {
            tracing::warn!(%error, "the backfill waits for the store");
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = self.core.stopping.cancelled() => return false,
            }
        }
        passes
    }

    async fn compute(&self, batch: &[(Slot, Arc<Item>)]) -> Result<Vec<Found>, Error> {
        let snapshot = self.core.snapshot();
        let keys = self.keys();
        // By model: the heads to compute, with their keys.
        let mut groups = Vec::new();
        for model in snapshot.models() {
            let wanted = |c: &&Column| {
                keys.iter().any(|k| **k == **c.key()) && c.head().has_network() && model.is_read_by(c.head())
            };
            let columns: Vec<_> = snapshot.all_columns().filter(wanted).collect();
            let heads: Arc<[Arc<Head>]> = columns.iter().map(|c| c.head().clone()).collect();
            let keys: Vec<String> = columns.iter().map(|c| c.key().to_string()).collect();
            if !heads.is_empty() {
                groups.push((Computing { model: model.clone(), heads }, keys));
            }
        }
        let one =
            |(slot, item): &(Slot, Arc<Item>)| self.compute_one(&snapshot, (*slot, item.clone()), &groups);
        join_all(batch.iter().map(one)).await.into_iter().collect()
    }

    /// Computes what the pictures of an item lack, then what the item itself is found by.
    async fn compute_one(
        &self,
        snapshot: &Snapshot,
        (slot, item): (Slot, Arc<Item>),
        groups: &[(Computing, Vec<String>)],
    ) -> Result<Found, Error> {
        let images: Vec<ContentId> = item.images().into_iter().map(|image| image.content).collect();
        let mut found = Found {
            slot,
            item,
            signatures: Vec::new(),
            pictures: Vec::new(),
            // Then there is nothing to look at.
            skip: images.is_empty().then_some(Skip::NoImage),
            from_cache: false,
        };
        for (on, keys) in groups {
            let mut by_picture: Vec<Vec<(String, Vec<f32>)>> = Vec::with_capacity(images.len());
            for (number, content) in (0..).zip(&images) {
                let had = snapshot.reading(|| had(snapshot, &found.item, number, keys))?;
                let is_whole = had.len() == keys.len();
                by_picture.push(if is_whole {
                    had
                } else {
                    self.look_at(&mut found, (number, *content), (on, keys), had).await?
                });
            }
            let is_whole =
                |key: &str| by_picture.iter().all(|picture| picture.iter().any(|(of, _)| of == key));
            // A mean of all pictures is not replaced by one of those that are left.
            let is_wanted =
                |(key, _): &(String, Vec<f32>)| is_whole(key) || !is_signed(snapshot, &found.item, key);
            let signatures: Vec<_> = means(&by_picture).into_iter().filter(is_wanted).collect();
            found.signatures.extend(signatures);
        }
        Ok(found)
    }

    /// The signatures of one picture by head key: those that can be computed, and those that it `had` where none can.
    async fn look_at(
        &self,
        found: &mut Found,
        (number, content): (u32, ContentId),
        (on, keys): (&Computing, &[String]),
        had: Vec<(String, Vec<f32>)>,
    ) -> Result<Vec<(String, Vec<f32>)>, Error> {
        let looked = self.core.look_at_stored(&found.item.id, (number, content), on.clone()).await?;
        let Looked { embedding, from_cache } = match looked {
            Ok(looked) => looked,
            Err(skip) => {
                found.skip = Some(skip);
                return Ok(had);
            }
        };
        found.from_cache |= from_cache;
        let is_one_of_several = found.item.pictures() > 1;
        let mut signatures = Vec::with_capacity(keys.len());
        for (key, values) in keys.iter().zip(embedding.signatures) {
            let Some(values) = values.map(Signature::into_values) else {
                found.skip = Some(Skip::NoSignature);
                continue;
            };
            if is_one_of_several {
                found.pictures.push((number, key.clone(), values.clone()));
            }
            signatures.push((key.clone(), values));
        }
        Ok(signatures)
    }
}

/// The slot of an item, where it still has these pictures.
fn slot_of(snapshot: &Snapshot, item: &Item) -> Option<Slot> {
    let now = snapshot.items().of_id(&item.id)?;
    if now.has_pictures_of(item) { snapshot.items().slot(&item.id) } else { None }
}

/// Whether an item itself has a signature under a key.
fn is_signed(snapshot: &Snapshot, item: &Item, key: &str) -> bool {
    let Some(slot) = slot_of(snapshot, item) else { return false };
    snapshot.column_of_key(key).is_some_and(|column| snapshot.has_signature(column, slot))
}

/// The signatures under some keys that one of several pictures of an item has.
fn had(snapshot: &Snapshot, item: &Item, number: u32, keys: &[String]) -> Vec<(String, Vec<f32>)> {
    let Some(slot) = slot_of(snapshot, item) else { return Vec::new() };
    let one = |key: &String| {
        let column = snapshot.column_of_key(key)?;
        Some((key.clone(), snapshot.picture_signature(column, slot, number)?.into_owned()))
    };
    keys.iter().filter_map(one).collect()
}

/// Items that lack a signature of one of the heads, their own or a picture's, and were not tried.
fn todo(snapshot: &Snapshot, keys: &[String], tried: &Tried) -> Vec<(Slot, Arc<Item>)> {
    let mut slots = BTreeMap::new();
    for column in keys.iter().filter_map(|key| snapshot.column_of_key(key)) {
        for slot in snapshot.computable(column) {
            let item = snapshot.items().get(slot);
            if let Some(item) = item.filter(|item| !tried.contains(&pictured(item))) {
                slots.insert(slot, item.clone());
            }
        }
    }
    slots.into_iter().collect()
}

/// Whether nothing is left to do for a head.
pub(crate) fn is_whole(snapshot: &Snapshot, key: &str, tried: &Tried) -> bool {
    todo(snapshot, &[key.to_owned()], tried).is_empty()
}
