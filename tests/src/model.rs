//! What a catalogue should hold, in plain maps, and what it should answer.

mod fields;

use crate::external_bundle;
use lapel_client::{Client, v1};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// External heads that the model's items have signatures of, with their dimensions.
pub const HEADS: [(&str, usize); 2] = [("mood", 4), ("style", 3)];
/// Labels of each head's attribute.
pub const LABELS: [&str; 3] = ["one", "two", "three"];

/// An item of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelItem {
    /// Labels by attribute.
    pub labels: BTreeMap<String, String>,
    /// Unit signatures by head.
    pub signatures: BTreeMap<String, Vec<f32>>,
    /// Its image's bytes; empty: none.
    pub image: Vec<u8>,
    /// Those of further images; none without an image.
    pub more_images: Vec<Vec<u8>>,
    /// Values by field.
    pub fields: BTreeMap<String, v1::FieldValue>,
}

/// Items by id.
pub type ModelItems = BTreeMap<String, ModelItem>;

/// A vector scaled to unit length in the way the server does it.
#[must_use]
pub fn unit(values: &[f32]) -> Vec<f32> {
    lapel_heads::Signature::new(values.to_vec()).expect("not zero").into_values()
}

/// The message that stores a model item.
#[must_use]
pub fn message(id: &str, item: &ModelItem) -> v1::UpsertItemsRequest {
    let signatures = item.signatures.iter();
    v1::UpsertItemsRequest {
        id: id.to_owned(),
        labels: item.labels.clone(),
        image: item.image.clone(),
        more_images: item.more_images.clone(),
        fields: item.fields.clone(),
        signatures: signatures
            .map(|(head, v)| v1::Signature { head: head.clone(), values: v.clone() })
            .collect(),
        ..v1::UpsertItemsRequest::default()
    }
}

/// Everything a server holds of the model, read through its export.
pub async fn exported(client: &mut Client) -> Result<ModelItems, tonic::Status> {
    let request = v1::ExportItemsRequest { all_images: true, ..v1::ExportItemsRequest::default() };
    let mut stream = client.catalog.export_items(request).await?.into_inner();
    let mut items = ModelItems::new();
    while let Some(exported) = stream.message().await? {
        let Some(item) = exported.item else {
            // They come by id.
            let mut last = items.last_entry().expect("an item comes first");
            last.get_mut().more_images.push(exported.image);
            continue;
        };
        let of_model = |s: &v1::Signature| HEADS.iter().any(|(head, _)| *head == s.head);
        let signatures = exported.signatures.into_iter().filter(of_model).map(|s| (s.head, s.values));
        let (labels, fields) = (item.labels, item.fields);
        let item_in_full = ModelItem {
            labels,
            signatures: signatures.collect(),
            image: exported.image,
            fields,
            more_images: Vec::new(),
        };
        items.insert(item.id, item_in_full);
    }
    Ok(items)
}

/// The distances that a search over all items gives, nearest first: the sum over the query's heads of the weight times
/// the distance, for an item without a signature times the root mean square of the distances of all others.
#[must_use]
pub fn distances(
    items: &ModelItems,
    query: &BTreeMap<String, Vec<f32>>,
    weights: &BTreeMap<String, f64>,
) -> Vec<(f64, String)> {
    let distance = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
    };
    let mut expected = BTreeMap::new();
    for (head, q) in query {
        let all: Vec<f64> =
            items.values().filter_map(|i| Some(distance(q, i.signatures.get(head)?).powi(2))).collect();
        let mean = if all.is_empty() { 2.0 } else { all.iter().sum::<f64>() / all.len() as f64 };
        expected.insert(head, mean.sqrt());
    }
    let total = |item: &ModelItem| {
        let term = |(head, q): (&String, &Vec<f32>)| {
            weights[head] * item.signatures.get(head).map_or(expected[head], |s| distance(q, s))
        };
        query.iter().map(term).sum::<f64>()
    };
    let mut all: Vec<(f64, String)> = items.iter().map(|(id, item)| (total(item), id.clone())).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    all
}

/// Compares an answer with the model: the same distances at every place, and the distance of each item its own.
///
/// # Panics
/// When they differ.
pub fn check_answer(
    answer: &v1::SearchResponse,
    items: &ModelItems,
    query: &BTreeMap<String, Vec<f32>>,
    k: usize,
    context: &str,
) {
    let wanted = distances(items, query, &answer.weights);
    assert_eq!(answer.results.len(), wanted.len().min(k), "{context}: number of results");
    let own: BTreeMap<&String, f64> = wanted.iter().map(|(d, id)| (id, *d)).collect();
    for (result, (distance, _)) in answer.results.iter().zip(&wanted) {
        let found = result.distance;
        assert!((found - distance).abs() < 2e-4, "{context}: distance {found} where {distance} is the next");
        let own =
            own.get(&result.item_id).unwrap_or_else(|| panic!("{context}: {} is not there", result.item_id));
        assert!((found - own).abs() < 2e-4, "{context}: {} has distance {own}, not {found}", result.item_id);
    }
}

/// Compares an answer that an approximate index may have given: each item has its own distance, and at most two of ten
/// are missed.
///
/// # Panics
/// When they differ.
pub fn check_approximate(
    answer: &v1::SearchResponse,
    items: &ModelItems,
    query: &BTreeMap<String, Vec<f32>>,
    k: usize,
    context: &str,
) {
    let wanted = distances(items, query, &answer.weights);
    let own: BTreeMap<&String, f64> = wanted.iter().map(|(d, id)| (id, *d)).collect();
    for result in &answer.results {
        let own = own.get(&result.item_id).unwrap_or_else(|| panic!("{context}: {} is gone", result.item_id));
        assert!((result.distance - own).abs() < 2e-4, "{context}: {} is not at {own}", result.item_id);
    }
    let count = wanted.len().min(k);
    let last = wanted.get(count.saturating_sub(1)).map_or(0.0, |(distance, _)| *distance);
    let found = answer.results.iter().filter(|r| r.distance <= last + 2e-4).count();
    assert!(found + 2 >= count, "{context}: {found} of the nearest {count}");
}

/// Registers the heads of the model.
///
/// # Errors
/// The server's status.
pub async fn register_heads(client: &mut Client) -> Result<(), tonic::Status> {
    for (head, dim) in HEADS {
        client.register_bundle(&external_bundle(head, dim, &LABELS)).await?;
    }
    Ok(())
}

/// A change of the model's items.
#[derive(Clone, Debug)]
pub enum Op {
    /// Items are added or replaced, in one stream.
    Put(Vec<(String, ModelItem)>),
    /// An item's labels are replaced.
    Relabel(String, BTreeMap<String, String>),
    /// Some fields of an item are set, those that are given as `None` removed.
    Update(String, BTreeMap<String, Option<v1::FieldValue>>),
    /// An item gets a signature.
    Sign(String, String, Vec<f32>),
    /// Items are deleted.
    Delete(Vec<String>),
}

/// What random changes are made of.
pub struct Changes<'a> {
    /// Begins every id.
    pub prefix: &'a str,
    /// Different ids.
    pub ids: u32,
    /// Most items of one stream.
    pub items_max: usize,
    /// Images to choose from; empty: none is sent.
    pub images: &'a [Vec<u8>],
}

impl Changes<'_> {
    /// A random change of `items`.
    pub fn next(&self, random: &mut ChaCha8Rng, items: &ModelItems) -> Op {
        let id = |random: &mut ChaCha8Rng| format!("{}{:03}", self.prefix, random.random_range(0..self.ids));
        let known = items.keys().filter(|id| id.starts_with(self.prefix)).choose(random).cloned();
        match (random.random_range(0..11), known) {
            (0, Some(id)) => Op::Relabel(id, random_labels(random)),
            (1, Some(id)) => {
                let (head, dim) = HEADS[random.random_range(0..HEADS.len())];
                Op::Sign(id, head.to_owned(), random_signature(random, dim))
            }
            (10, Some(id)) => Op::Update(id, fields::random_update(random)),
            (2 | 3, Some(_)) => {
                let count = random.random_range(1..=self.items_max.min(3));
                let mut ids: Vec<String> = (0..count).map(|_| id(random)).collect();
                ids.sort();
                ids.dedup();
                Op::Delete(ids)
            }
            _ => {
                let count = random.random_range(1..=self.items_max);
                let put: BTreeMap<String, ModelItem> =
                    (0..count).map(|_| (id(random), self.item(random))).collect();
                Op::Put(put.into_iter().collect())
            }
        }
    }

    fn item(&self, random: &mut ChaCha8Rng) -> ModelItem {
        let image =
            self.images.choose(random).filter(|_| random.random_bool(0.1)).cloned().unwrap_or_default();
        let more = if image.is_empty() { 0 } else { random.random_range(0..4) };
        let more_images = (0..more).filter_map(|_| self.images.choose(random).cloned()).collect();
        let mut signatures = BTreeMap::new();
        for (at, (head, dim)) in HEADS.iter().enumerate() {
            // An item has an image or a signature at least.
            if at == 0 || random.random_bool(0.8) {
                signatures.insert((*head).to_owned(), random_signature(random, *dim));
            }
        }
        let given = fields::random_update(random).into_iter();
        let fields = given.filter_map(|(name, value)| Some((name, value?))).collect();
        ModelItem { labels: random_labels(random), signatures, image, more_images, fields }
    }
}

/// A random unit vector.
pub fn random_signature(random: &mut ChaCha8Rng, dim: usize) -> Vec<f32> {
    loop {
        let values: Vec<f32> = (0..dim).map(|_| random.random_range(-1.0..1.0f32)).collect();
        // Scaling again must change nothing, not even the last bit.
        let once = unit(&values);
        if unit(&once) == once {
            return once;
        }
    }
}

fn random_labels(random: &mut ChaCha8Rng) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (head, _) in HEADS {
        if let Some(label) = LABELS.choose(random).filter(|_| random.random_bool(0.7)) {
            labels.insert(head.to_owned(), (*label).to_owned());
        }
    }
    labels
}

impl Op {
    /// What it does to the model.
    pub fn apply(&self, items: &mut ModelItems) {
        match self {
            Self::Put(put) => items.extend(put.iter().cloned()),
            Self::Relabel(id, labels) => {
                if let Some(item) = items.get_mut(id) {
                    item.labels = labels.clone();
                }
            }
            Self::Update(id, update) => {
                if let Some(item) = items.get_mut(id) {
                    for (name, value) in update {
                        item.fields.remove(name);
                        item.fields.extend(value.clone().map(|value| (name.clone(), value)));
                    }
                }
            }
            Self::Sign(id, head, values) => {
                if let Some(item) = items.get_mut(id) {
                    item.signatures.insert(head.clone(), values.clone());
                }
            }
            Self::Delete(ids) => items.retain(|id, _| !ids.contains(id)),
        }
    }

    /// How many items it touches.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Put(put) => put.len(),
            Self::Relabel(..) | Self::Update(..) | Self::Sign(..) => 1,
            Self::Delete(ids) => ids.len(),
        }
    }

    /// Whether it touches none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends it to a server. An empty `request_id` gives none.
    ///
    /// # Errors
    /// The server's status; an item that the server refused by itself is an error with that item's code.
    pub async fn send(&self, client: &mut Client, request_id: &str) -> Result<(), tonic::Status> {
        let messages = match self {
            Self::Put(put) => put.iter().map(|(id, item)| message(id, item)).collect(),
            Self::Relabel(id, labels) => vec![v1::UpsertItemsRequest {
                id: id.clone(),
                labels: labels.clone(),
                labels_only: true,
                ..Default::default()
            }],
            Self::Update(id, update) => {
                let paths = update.keys().map(|name| format!("fields.{name}")).collect();
                let given = update.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
                vec![v1::UpsertItemsRequest {
                    id: id.clone(),
                    fields: given.collect(),
                    update_mask: Some(prost_types::FieldMask { paths }),
                    ..Default::default()
                }]
            }
            Self::Sign(id, head, values) => vec![v1::UpsertItemsRequest {
                id: id.clone(),
                signatures: vec![v1::Signature { head: head.clone(), values: values.clone() }],
                signatures_only: true,
                ..Default::default()
            }],
            Self::Delete(ids) => {
                let request = v1::DeleteItemsRequest { ids: ids.clone(), request_id: request_id.to_owned() };
                client.catalog.delete_items(request).await?;
                return Ok(());
            }
        };
        let numbered = messages.into_iter().enumerate().map(|(at, message)| {
            let request_id = if request_id.is_empty() { String::new() } else { format!("{request_id}-{at}") };
            v1::UpsertItemsRequest { request_id, ..message }
        });
        for result in client.upsert(numbered.collect()).await? {
            if let Some(error) = result.error {
                return Err(tonic::Status::new(error.code.into(), error.message));
            }
        }
        Ok(())
    }
}

/// Compares searches and counts of a server with the model: an exact scan, whatever plan the server chooses, and the
/// index of one head; the counts behind the prototypes.
///
/// # Panics
/// When they differ.
pub async fn check_answers(client: &mut Client, items: &ModelItems, random: &mut ChaCha8Rng, context: &str) {
    let query: BTreeMap<String, Vec<f32>> =
        HEADS.iter().map(|(head, dim)| ((*head).to_owned(), random_signature(random, *dim))).collect();
    let one: BTreeMap<String, Vec<f32>> = query.clone().into_iter().take(1).collect();
    let plans = [(&query, true, 0), (&query, false, 0), (&one, false, v1::PlanKind::Hnsw as i32)];
    for (query, exact, plan) in plans {
        let signatures =
            query.iter().map(|(head, v)| v1::Signature { head: head.clone(), values: v.clone() });
        let set = v1::SignatureSet { signatures: signatures.collect() };
        let by_head = query.keys().map(|head| (head.clone(), random.random_range(0.1..3.0))).collect();
        let request = v1::SearchRequest {
            query: Some(v1::Query {
                source: Some(v1::query::Source::Signatures(set)),
                also_signatures: Vec::new(),
            }),
            weighting: Some(v1::search_request::Weighting::Weights(v1::Weights {
                by_head,
                only_named: true,
            })),
            k: 10,
            exact,
            plan,
            ..Default::default()
        };
        let answer = client.search.search(request).await.expect("answers").into_inner();
        let context = format!("{context}, exact {exact}, plan {plan}");
        if plan == 0 {
            check_answer(&answer, items, query, 10, &context);
        } else {
            check_approximate(&answer, items, query, 10, &context);
        }
    }
    fields::check(client, items, random, context).await;
    let listed =
        client.heads.list_labels(v1::ListLabelsRequest::default()).await.expect("listed").into_inner();
    for attribute in listed.attributes.iter().filter(|a| HEADS.iter().any(|(head, _)| *head == a.head)) {
        for label in &attribute.labels {
            let carries = |i: &&ModelItem| i.labels.get(&attribute.attribute) == Some(&label.label);
            let carriers = || items.values().filter(carries);
            let signed = carriers().filter(|i| i.signatures.contains_key(&attribute.head)).count() as u64;
            assert_eq!(label.items, carriers().count() as u64, "{context}: items with {}", label.label);
            assert_eq!(label.prototype_count, signed, "{context}: prototype of {}", label.label);
        }
    }
}
