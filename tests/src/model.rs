//! What a catalogue should hold, in plain maps, and what it should answer.

use lapel_client::{Client, v1};
use std::collections::BTreeMap;

/// An item of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelItem {
    /// Labels by attribute.
    pub labels: BTreeMap<String, String>,
    /// Unit signatures by head.
    pub signatures: BTreeMap<String, Vec<f32>>,
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
        signatures: signatures
            .map(|(head, v)| v1::Signature { head: head.clone(), values: v.clone() })
            .collect(),
        ..v1::UpsertItemsRequest::default()
    }
}

/// Everything a server holds, read through its export.
pub async fn exported(client: &mut Client) -> Result<ModelItems, tonic::Status> {
    let mut stream = client.catalog.export_items(v1::ExportItemsRequest::default()).await?.into_inner();
    let mut items = ModelItems::new();
    while let Some(exported) = stream.message().await? {
        let item = exported.item.expect("an item");
        let signatures = exported.signatures.into_iter().map(|s| (s.head, s.values)).collect();
        items.insert(item.id, ModelItem { labels: item.labels, signatures });
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
        let found = f64::from(result.distance);
        assert!((found - distance).abs() < 2e-4, "{context}: distance {found} where {distance} is the next");
        let own =
            own.get(&result.item_id).unwrap_or_else(|| panic!("{context}: {} is not there", result.item_id));
        assert!((found - own).abs() < 2e-4, "{context}: {} has distance {own}, not {found}", result.item_id);
    }
}
