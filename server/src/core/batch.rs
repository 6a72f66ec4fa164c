//! What a group of writes comes to: each is worked out on the state that those before it lead to.

use super::write::{Embedded, NewItem, Outcomes, Scope, Upserted};
use crate::catalogue::{Column, Computing, Snapshot};
use crate::error::{Choices, Error};
use crate::request::{RequestId, now_ms};
use crate::store::{ContentId, ItemChange, ItemRecord, Outcome, Receipt, Store, StoreError};
use lapel_heads::{Features, Signature};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The changes of one transaction, each worked out on the state that those before it lead to.
pub(super) struct Batch<'a> {
    before: &'a Snapshot,
    /// Items that changes before this one wrote or deleted.
    records: HashMap<String, Option<ItemRecord>>,
    pub(super) changes: Vec<ItemChange>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) features: Vec<(Computing, ContentId, Features)>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(before: &'a Snapshot) -> Self {
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

    pub(super) fn upsert(
        &mut self,
        items: Vec<(NewItem, Result<Embedded, Error>)>,
        store: &Store,
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

    pub(super) fn delete(
        &mut self,
        ids: Vec<String>,
        request: &RequestId,
        store: &Store,
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
            parts_case: embedded.parts_case.map(crate::cases::stored),
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
            let names: BTreeSet<&str> = columns().map(|c| c.head().name()).collect();
            Error::NotFound { what: "head", name: name.to_owned(), valid: Choices::of(name, names) }
        })
    }
}
