//! Backfill: signatures of a new head for the items that are there already.

use super::lifecycle::HeadState;
use super::registry::Progress;
use crate::catalogue::{Item, Slot};
use crate::core::Core;
use crate::engine::Priority;
use crate::error::Error;
use lapel_heads::Head;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// Items whose signatures are committed together.
const BATCH: usize = 32;

/// Computes what the head lacks, then makes it active. Runs beside queries and writes: its pictures wait in
/// the bulk queue, and its column is read by no query until it is whole.
pub(crate) fn spawn(core: Arc<Core>, name: String, key: String, head: Arc<Head>) {
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        let outcome = Backfill { core: core.clone(), name: name.clone(), key: key.clone(), head }.run().await;
        if let Err(error) = outcome {
            tracing::error!(head = name, %error, "the backfill failed");
            core.fail_head(&name, &key, &format!("the backfill failed: {error}")).await;
        }
    });
}

/// Tells an item from every other that is alive; a replaced item has another address.
pub(crate) fn address(item: &Arc<Item>) -> usize {
    Arc::as_ptr(item) as usize
}

struct Backfill {
    core: Arc<Core>,
    name: String,
    key: String,
    head: Arc<Head>,
}

impl Backfill {
    async fn run(&self) -> Result<(), Error> {
        let started = Instant::now();
        // Items that were tried and gave no signature; by address.
        let mut skipped: HashSet<usize> = HashSet::new();
        let mut kept: Vec<Arc<Item>> = Vec::new();
        let mut computed = 0u64;
        loop {
            if !self.is_wanted() || self.core.stopping.is_cancelled() {
                return Ok(());
            }
            let todo = self.todo(&skipped);
            let done = computed + skipped.len() as u64;
            let per_second = done as f64 / started.elapsed().as_secs_f64().max(1e-3);
            let total = done + todo.len() as u64;
            let progress = Progress { total, done, skipped: skipped.len() as u64, per_second };
            self.core.registry.set_progress(&self.name, &self.key, progress);
            if todo.is_empty() {
                // Items may come in between; activation looks again under the writer's lock.
                if self.core.activate_head(&self.name, &self.key, &skipped).await? {
                    return Ok(());
                }
                continue;
            }
            let batch = &todo[..todo.len().min(BATCH)];
            let found = self.compute(batch).await?;
            for (slot, item, signature) in &found {
                if signature.is_none() {
                    tracing::warn!(head = self.name, item = %item.id, slot, "no signature for this item");
                    skipped.insert(address(item));
                    // Kept alive, so that no other item can take its address.
                    kept.push(item.clone());
                }
            }
            computed += self.core.store_backfill(&self.key, found).await?;
        }
    }

    fn is_wanted(&self) -> bool {
        let status = self.core.registry.get(&self.name);
        status.is_ok_and(|s| s.key == self.key && s.state == HeadState::Backfilling)
    }

    fn todo(&self, skipped: &HashSet<usize>) -> Vec<(Slot, Arc<Item>)> {
        let snapshot = self.core.snapshot();
        let Some(column) = snapshot.pending(&self.key) else { return Vec::new() };
        let items = column.computable(snapshot.items()).into_iter();
        let with_item = items.filter_map(|slot| Some((slot, snapshot.items().get(slot)?.clone())));
        with_item.filter(|(_, item)| !skipped.contains(&address(item))).collect()
    }

    async fn compute(
        &self,
        batch: &[(Slot, Arc<Item>)],
    ) -> Result<Vec<(Slot, Arc<Item>, Option<Vec<f32>>)>, Error> {
        let heads: Arc<[Arc<Head>]> = Arc::from([self.head.clone()]);
        let one = |slot: Slot, item: Arc<Item>| {
            let heads = heads.clone();
            async move {
                let Some(image) = self.core.image(&item.id).await? else { return Ok((slot, item, None)) };
                match self.core.engine.embed(image, heads, Priority::Bulk).await {
                    Ok(mut embedding) => {
                        let signature = embedding.signatures.pop().flatten();
                        Ok((slot, item, signature.map(lapel_heads::Signature::into_values)))
                    }
                    Err(Error::Photo(_)) => Ok((slot, item, None)),
                    Err(error) => Err(error),
                }
            }
        };
        futures_util::future::try_join_all(batch.iter().map(|(slot, item)| one(*slot, item.clone()))).await
    }
}
