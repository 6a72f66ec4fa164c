//! What a group of writes comes to: each is worked out on the state that those before it lead to.

mod merge;

use super::check::check_counts;
use super::delete::{DeletedWhere, FIRST_IDS, check_count, deleted_by_filter};
use super::item::{NewItem, Parts, Scope};
use super::kinds::Kinds;
use super::means::means;
use super::write::{Embedded, EmbeddedPicture, Outcomes, Upserted};
use crate::catalogue::{Column, Computing, Snapshot};
use crate::config::{Config, Limits, UnknownLabels};
use crate::error::{Choices, Error, Faults};
use crate::request::{RequestId, now_ms};
use crate::store::{
    ContentId, ItemChange, ItemRecord, Outcome, PICTURES_MAX, Receipt, Store, StoreError, StoredImage,
};
use lapel_heads::{Features, Head, Signature};
use lapel_search::Filter;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What lets a label be written that is refused.
const TEACH_FIRST: &str =
    "catalog.unknown_labels refuses others: Teach a version that knows it first, which may be held";

/// The changes of one transaction, each worked out on the state that those before it lead to.
pub(super) struct Batch<'a> {
    before: &'a Snapshot,
    limits: &'a Limits,
    kinds: Kinds<'a>,
    unknown_labels: UnknownLabels,
    /// Items that changes before this one wrote or deleted, by the place of the last change of each.
    changed: HashMap<String, usize>,
    pub(super) changes: Vec<ItemChange>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) features: Vec<(Computing, ContentId, Features)>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(before: &'a Snapshot, config: &'a Config) -> Self {
        Self {
            before,
            limits: &config.limits,
            kinds: Kinds::new(config, before.items().fields()),
            unknown_labels: config.catalog.unknown_labels,
            changed: HashMap::new(),
            changes: Vec::new(),
            receipts: Vec::new(),
            features: Vec::new(),
        }
    }

    /// The last change of an item in this batch.
    fn last_change(&self, id: &str) -> Option<&ItemChange> {
        self.changes.get(*self.changed.get(id)?)
    }

    fn record(&self, id: &str) -> Option<Cow<'_, ItemRecord>> {
        match self.last_change(id) {
            Some(change) => change.record().map(Cow::Borrowed),
            None => self.before.items().of_id(id).map(|item| Cow::Owned(item.record())),
        }
    }

    /// Whether there is something under an id, be it a damaged record.
    fn is_there(&self, id: &str) -> bool {
        match self.last_change(id) {
            Some(change) => change.record().is_some(),
            None => self.before.items().slot(id).is_some() || self.before.damage().0.contains(id),
        }
    }

    /// How many pictures there may be under an id; `None` where there is nothing.
    fn pictures(&self, id: &str) -> Option<u32> {
        if let Some(change) = self.last_change(id) {
            return change.record().map(ItemRecord::pictures);
        }
        match self.before.items().of_id(id) {
            Some(item) => Some(item.pictures()),
            // A damaged record does not say.
            None => self.is_there(id).then_some(PICTURES_MAX),
        }
    }

    fn add(&mut self, change: ItemChange) {
        self.changed.insert(change.id().to_owned(), self.changes.len());
        self.changes.push(change);
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
            outcomes.push(self.upsert_one(item, embedded, stored, store));
        }
        Ok(outcomes)
    }

    fn upsert_one(
        &mut self,
        item: NewItem,
        embedded: Result<Embedded, Error>,
        stored: Result<Option<Outcome>, StoreError>,
        store: &Store,
    ) -> Result<Upserted, Error> {
        if let Some(Outcome::Upserted(replaced)) = self.outcome(&item.request, stored)? {
            return Ok(Upserted { replaced });
        }
        let Embedded { pictures, features } = embedded?;
        let request = item.request.clone();
        let replaced = self.is_there(&item.id);
        let change = self.resolve(item, &pictures, store)?;
        if let Some(record) = change.record() {
            self.kinds.note(&record.fields);
        }
        self.add(change);
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
            let pictures = self.pictures(&id).unwrap_or_default();
            self.add(ItemChange::Delete { id, pictures });
        }
        self.receipts.extend(request.receipt(Outcome::Deleted(missing.clone())));
        Ok(missing)
    }

    /// Deletes what passes in the state before the batch: such a work is a batch of its own.
    pub(super) fn delete_where(
        &mut self,
        (filter, generation): (&Filter, u64),
        expected: Option<u64>,
        request: &RequestId,
        store: &Store,
    ) -> Result<DeletedWhere, Error> {
        let stored = store.outcomes(&[(&request.id, request.request)])?.pop().unwrap_or(Ok(None));
        if let Some(deleted) = self.outcome(request, stored)?.and_then(deleted_by_filter) {
            return Ok(deleted);
        }
        // What heads see was looked up in another state: by other heads other items would go.
        let predicted = filter.predicted();
        let lacks = predicted.iter().any(|attribute| self.before.lacks_predictions(attribute));
        if lacks || (!predicted.is_empty() && self.before.generation != generation) {
            let message =
                "the heads that the filter asks have changed meanwhile; nothing was deleted, ask again";
            return Err(Error::Precondition { reason: "HEADS_CHANGED", message: message.to_owned() });
        }
        let items = self.before.items();
        let passing = items.passing(filter);
        let slots = passing.as_ref().unwrap_or(items.live());
        check_count(slots.len(), expected, self.limits.delete_items_max)?;
        let found = slots.iter().filter_map(|slot| items.get(slot));
        let mut found: Vec<(Arc<str>, u32)> = found.map(|item| (item.id.clone(), item.pictures())).collect();
        found.sort_unstable();
        let first_ids: Vec<String> = found.iter().take(FIRST_IDS).map(|(id, _)| id.to_string()).collect();
        let deleted = DeletedWhere { items: found.len() as u64, first_ids };
        let delete = |(id, pictures): (Arc<str>, u32)| ItemChange::Delete { id: id.to_string(), pictures };
        self.changes.extend(found.into_iter().map(delete));
        let DeletedWhere { items, first_ids } = deleted.clone();
        self.receipts.extend(request.receipt(Outcome::DeletedByFilter { items, first_ids }));
        Ok(deleted)
    }

    /// What a write does to its item.
    fn resolve(
        &self,
        mut item: NewItem,
        pictures: &[EmbeddedPicture],
        store: &Store,
    ) -> Result<ItemChange, Error> {
        let mut faults = Faults::default();
        self.kinds.check(&item.fields, &mut faults);
        self.check_labels(&item, &mut faults);
        match std::mem::take(&mut item.scope) {
            Scope::Whole => {
                faults.end()?;
                self.put(item, pictures)
            }
            Scope::Merged => self.merge(item, pictures, store, faults),
            Scope::Part(parts) => self.revise(item, &parts, faults),
        }
    }

    /// Notes labels of attributes that a head with a network serves and that no version knows, where these are to be refused.
    /// One that the item carries already may stay.
    fn check_labels(&self, item: &NewItem, faults: &mut Faults) {
        if self.unknown_labels == UnknownLabels::Accept {
            return;
        }
        let there = self.record(&item.id);
        let there = there.as_ref().map(|record| &record.labels);
        for (attribute, label) in &item.labels {
            let Some((_, known)) = self.before.vocabulary(attribute) else { continue };
            let stays = there.and_then(|labels| labels.get(attribute)) == Some(label);
            if !stays && !self.before.knows_label(attribute, label) {
                let valid = Choices::of(label, known.labels.iter().map(String::as_str));
                let (attribute, label) = (attribute.clone(), label.clone());
                let field = format!("labels[{attribute}]");
                // Not found would mean the item.
                let unknown = Error::UnknownLabel { attribute, label, valid };
                faults.refuse(field, format!("{unknown}; {TEACH_FIRST}"));
            }
        }
    }

    /// Notes where an item has more labels or fields than it may. One from before a limit was lowered is still updated, as
    /// long as it does not grow.
    fn check_growth(&self, there: &ItemRecord, (labels, fields): (usize, usize), faults: &mut Faults) {
        let grown = |now: usize, before: usize| if now > before { now } else { 0 };
        let counts = (grown(labels, there.labels.len()), grown(fields, there.fields.len()));
        check_counts(counts, self.limits, faults);
    }

    /// A whole item, with computed and given signatures under the heads' keys.
    fn put(&self, item: NewItem, pictures: &[EmbeddedPicture]) -> Result<ItemChange, Error> {
        let replaces = self.pictures(&item.id);
        let NewItem { id, image, more_images, labels, fields, signatures: given, scope: _, request: _ } =
            item;
        let by_picture: Vec<Vec<(String, Vec<f32>)>> =
            pictures.iter().map(|picture| self.computed(picture)).collect();
        let mut signatures = means(&by_picture);
        for (name, values) in given {
            signatures.push(self.given(&name, values, image.is_some(), &signatures)?);
        }
        let stored = |picture: &EmbeddedPicture| {
            let EmbeddedPicture { content, computed: _, parts_case } = picture;
            StoredImage { content: *content, parts_case: parts_case.map(crate::cases::stored) }
        };
        let mut stored = pictures.iter().map(stored);
        let first = stored.next();
        let record = ItemRecord {
            labels,
            fields,
            image: first.map(|image| image.content),
            parts_case: first.and_then(|image| image.parts_case),
            updated_ms: now_ms(),
            more_images: stored.collect(),
        };
        let images = image.into_iter().chain(more_images).collect();
        let pictures = if by_picture.len() > 1 { by_picture } else { Vec::new() };
        Ok(ItemChange::Put { id, record, images, signatures, pictures, replaces })
    }

    /// The computed signatures of a picture, under the heads' keys.
    fn computed(&self, picture: &EmbeddedPicture) -> Vec<(String, Vec<f32>)> {
        let one = |(head, values): &(Arc<Head>, Option<Vec<f32>>)| {
            let column = self.before.all_columns().find(|column| Arc::ptr_eq(column.head(), head))?;
            Some((column.key().to_string(), values.clone()?))
        };
        picture.computed.iter().filter_map(one).collect()
    }

    /// Some parts of the item as the changes before this one leave it.
    fn revise(&self, item: NewItem, parts: &Parts, mut faults: Faults) -> Result<ItemChange, Error> {
        let NewItem { id, image: _, more_images: _, labels, fields, signatures: given, scope: _, request: _ } =
            item;
        let there = self.record(&id).ok_or_else(|| Error::not_found("item", &id))?;
        let labels = parts.labels.merged(&there.labels, labels);
        let fields = parts.fields.merged(&there.fields, fields);
        self.check_growth(&there, (labels.len(), fields.len()), &mut faults);
        faults.end()?;
        let mut signatures = Vec::with_capacity(given.len());
        for (name, values) in given {
            signatures.push(self.given(&name, values, there.has_image(), &signatures)?);
        }
        // Signatures that are added leave the item what it is.
        let updated_ms = if parts.changes_record() { now_ms() } else { there.updated_ms };
        let record = ItemRecord {
            labels,
            fields,
            image: there.image,
            parts_case: there.parts_case,
            updated_ms,
            more_images: there.more_images.clone(),
        };
        Ok(ItemChange::Revise { id, record, signatures })
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
        if let Some(serving) = columns().find(|c| c.head().name() == name) {
            return Ok(serving);
        }
        if let Some((head, version)) = name.rsplit_once('@') {
            let versions: BTreeMap<u32, &Column> =
                columns().filter(|c| c.head().name() == head).map(|c| (c.head_version(), c)).collect();
            let exact = versions.iter().find(|(number, _)| number.to_string() == version);
            if let Some((_, column)) = exact {
                return Ok(column);
            }
            if !versions.is_empty() {
                let (head, version) = (head.to_owned(), version.to_owned());
                let numbers: Vec<String> = versions.keys().map(u32::to_string).collect();
                let valid = Choices::listed(numbers.iter().map(String::as_str));
                return Err(Error::UnknownVersion { head, version, valid });
            }
        }
        let names: BTreeSet<&str> = columns().map(|c| c.head().name()).collect();
        Err(Error::NotFound { what: "head", name: name.to_owned(), valid: Choices::of(name, names) })
    }
}

#[cfg(test)]
mod tests;
