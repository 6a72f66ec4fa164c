//! Writes: checked, embedded, committed, then published, in this order.

use super::{Core, now_ms};
use crate::catalogue::Snapshot;
use crate::engine::Priority;
use crate::error::{Error, Violation};
use crate::store::{ItemChange, ItemRecord};
use futures_util::future::join_all;
use lapel_heads::{Head, Labels, PartsCase, Signature, is_name};
use std::collections::HashSet;
use std::sync::Arc;

/// Longest id, in bytes.
const ID_LEN_MAX: usize = 256;

/// An item to add or replace.
#[derive(Clone, Debug, Default)]
pub struct NewItem {
    /// Its id.
    pub id: String,
    /// Its photo's bytes.
    pub image: Option<Vec<u8>>,
    /// Its labels.
    pub labels: Labels,
    /// Signatures by head, computed elsewhere.
    pub signatures: Vec<(String, Vec<f32>)>,
    /// Whether the signatures are added to the item that is there, and all else stays as it is.
    pub signatures_only: bool,
}

/// What became of an accepted item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upserted {
    /// Whether it was there before.
    pub replaced: bool,
}

/// What the server computed from an item's image: signatures by head, and the case of part extraction.
#[derive(Default)]
struct Embedded {
    computed: Vec<(Arc<Head>, Option<Vec<f32>>)>,
    parts_case: Option<PartsCase>,
}

impl Core {
    /// Adds or replaces items in one durable step; an item that is refused does not touch the others.
    ///
    /// # Errors
    /// The outer error: the store failed and nothing was written. The inner ones: that item was refused.
    pub async fn upsert(&self, items: Vec<NewItem>) -> Result<Vec<Result<Upserted, Error>>, Error> {
        let (prepared, writer) = loop {
            let snapshot = self.snapshot();
            let embedding = items.iter().map(|item| self.prepare(&snapshot, item));
            let prepared = join_all(embedding).await;
            let writer = self.writer.lock().await;
            // A head that was registered in the meantime needs these pictures too.
            if Arc::ptr_eq(self.snapshot().computing_heads(), snapshot.computing_heads()) {
                break (prepared, writer);
            }
        };
        let next = Snapshot::clone(&self.snapshot());
        let mut changes = Vec::new();
        let mut outcomes = Vec::with_capacity(prepared.len());
        let mut ids = HashSet::new();
        for (item, prepared) in items.into_iter().zip(prepared) {
            outcomes.push(prepared.and_then(|embedded| {
                let replaced = !ids.insert(item.id.clone()) || next.items().slot(&item.id).is_some();
                changes.push(resolve(&next, item, embedded, replaced)?);
                Ok(Upserted { replaced })
            }));
        }
        if !changes.is_empty() {
            self.commit(changes, next).await?;
        }
        drop(writer);
        Ok(outcomes)
    }

    /// Deletes items in one durable step and returns the ids that did not exist.
    ///
    /// # Errors
    /// When the store failed; nothing was deleted then.
    pub async fn delete(&self, ids: Vec<String>) -> Result<Vec<String>, Error> {
        let _writer = self.writer.lock().await;
        let next = Snapshot::clone(&self.snapshot());
        let (found, missing): (Vec<_>, Vec<_>) =
            ids.into_iter().partition(|id| next.items().slot(id).is_some());
        if !found.is_empty() {
            let changes = found.into_iter().map(|id| ItemChange::Delete { id }).collect();
            self.commit(changes, next).await?;
        }
        Ok(missing)
    }

    /// Commits changes and works out what they lead to at the same time, and publishes that when both are done.
    /// The caller holds the writer's lock.
    async fn commit(&self, changes: Vec<ItemChange>, mut next: Snapshot) -> Result<(), Error> {
        let keys: Vec<String> = next.all_columns().map(|c| c.key().to_string()).collect();
        let changes: Arc<[ItemChange]> = changes.into();
        let (store, committed) = (self.store.clone(), changes.clone());
        let commit = tokio::task::spawn_blocking(move || store.apply(&committed, &keys));
        let apply = tokio::task::spawn_blocking(move || {
            next.apply(&changes);
            next
        });
        let (committed, next) = tokio::join!(commit, apply);
        committed??;
        self.publish(next?);
        Ok(())
    }

    async fn prepare(&self, snapshot: &Snapshot, item: &NewItem) -> Result<Embedded, Error> {
        self.check(item)?;
        let heads = snapshot.computing_heads();
        let Some(image) = &item.image else { return Ok(Embedded::default()) };
        let embedding = self.engine.embed(image.clone(), heads.clone(), Priority::Bulk).await?;
        let values = embedding.signatures.into_iter().map(|s| s.map(Signature::into_values));
        let computed = heads.iter().cloned().zip(values).collect();
        Ok(Embedded { computed, parts_case: Some(embedding.parts.case) })
    }

    fn check(&self, item: &NewItem) -> Result<(), Error> {
        let mut violations = Vec::new();
        if !is_id(&item.id) {
            let wanted = format!("an id has 1 to {ID_LEN_MAX} bytes and no control characters");
            violations.push(Violation::new("id", wanted));
        }
        if item.image.is_none() && item.signatures.is_empty() {
            violations
                .push(Violation::new("image", "an item needs an image, or signatures computed elsewhere"));
        }
        if item.signatures_only && (item.image.is_some() || !item.labels.is_empty()) {
            let wanted = "the item keeps its image and its labels; send signatures alone";
            violations.push(Violation::new("signatures_only", wanted));
        }
        let most = self.config.limits.item_labels_max;
        if item.labels.len() > most {
            let found = item.labels.len();
            violations.push(Violation::new(
                "labels",
                format!("there are {found} labels; at most {most} are accepted"),
            ));
        }
        for (attribute, label) in &item.labels {
            if !is_name(attribute) || !is_name(label) {
                let wanted =
                    "attributes and labels have 1 to 64 characters, no control characters, no outer spaces";
                violations.push(Violation::new(format!("labels[{attribute}]"), wanted));
            }
        }
        if violations.is_empty() { Ok(()) } else { Err(Error::Invalid(violations)) }
    }
}

fn is_id(id: &str) -> bool {
    (1..=ID_LEN_MAX).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// Joins computed and given signatures under the heads' keys.
fn resolve(
    snapshot: &Snapshot,
    item: NewItem,
    embedded: Embedded,
    replaces: bool,
) -> Result<ItemChange, Error> {
    let NewItem { id, image, labels, signatures: given, signatures_only } = item;
    let mut has_image = image.is_some();
    if signatures_only {
        let there = snapshot.items().slot(&id).and_then(|slot| snapshot.items().get(slot));
        has_image = there.ok_or_else(|| Error::not_found("item", &id))?.record.has_image;
    }
    let mut signatures = Vec::new();
    for (head, values) in embedded.computed {
        let column = snapshot.all_columns().find(|c| Arc::ptr_eq(c.head(), &head));
        signatures.extend(column.and_then(|c| Some((c.key().to_string(), values?))));
    }
    for (name, values) in given {
        let field = format!("signatures[{name}]");
        let column = snapshot.all_columns().find(|c| c.head().name() == name);
        let column = column.ok_or_else(|| Error::NotFound {
            what: "head",
            name: name.clone(),
            valid: snapshot.all_columns().map(|c| c.head().name().to_owned()).collect(),
        })?;
        if has_image && column.head().has_network() {
            let wanted = "the server computes this head's signature from the image; send one or the other";
            return Err(Error::invalid(field, wanted));
        }
        if signatures.iter().any(|(key, _)| **key == **column.key()) {
            return Err(Error::invalid(field, "this head is given twice"));
        }
        let signature =
            Signature::of_dim(values, column.head().dim()).map_err(|e| Error::signature(field, e))?;
        signatures.push((column.key().to_string(), signature.into_values()));
    }
    if signatures_only {
        return Ok(ItemChange::Sign { id, signatures });
    }
    let record = ItemRecord {
        labels,
        has_image: image.is_some(),
        parts_case: embedded.parts_case,
        updated_ms: now_ms(),
    };
    Ok(ItemChange::Put { id, record, image, signatures, replaces })
}
