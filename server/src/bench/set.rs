//! The catalogue that is measured, in memory, without a store.

use super::generate::{Generator, Sample};
use crate::catalogue::{Column, Precision, Slot, Snapshot};
use crate::store::{Fields, ItemChange, ItemRecord};
use lapel_heads::{Attribute, Bundle, Head, Labels, Manifest};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Filters that are measured: attribute and the share of items that pass.
pub(super) const FILTERS: [(&str, f64); 3] = [("half", 0.5), ("twentieth", 0.05), ("thousandth", 0.001)];
/// Items that are drawn at a time.
const CHUNK: usize = 1 << 16;

/// The name of a head and of its attribute.
pub(super) fn head_name(head: usize) -> String {
    format!("head{head:02}")
}

/// The name of a label.
pub(super) fn label_name(label: usize) -> String {
    format!("label{label:02}")
}

/// The id of an item.
fn id(at: usize) -> String {
    format!("item{at:08}")
}

/// Labels of an item: those of its attributes, and those that filters look at.
fn labels(at: usize, sample: &Sample) -> Labels {
    let own = sample.labels.iter().enumerate().map(|(head, label)| (head_name(head), label_name(*label)));
    let mut rng = ChaCha8Rng::seed_from_u64(at as u64);
    let passes = FILTERS.iter().filter(|(_, share)| rng.random_bool(*share));
    own.chain(passes.map(|(name, _)| ((*name).to_owned(), "yes".to_owned()))).collect()
}

/// A bundle of an external head for the bench.
fn bundle(head: usize, dim: usize, labels: usize) -> anyhow::Result<Vec<u8>> {
    let name = head_name(head);
    let labels = (0..labels).map(label_name).collect();
    let manifest = Manifest::external(&name, dim, vec![Attribute { name: name.clone(), labels }]);
    Ok(Bundle { manifest, tensors: BTreeMap::new(), graph: None }.to_bytes()?)
}

/// A catalogue of what a generator makes, without codes.
/// With fields, where `shop` says so.
pub(super) fn catalogue(generator: &Generator, precision: Precision, shop: bool) -> anyhow::Result<Snapshot> {
    let shape = generator.shape();
    let mut snapshot = Snapshot::default();
    for head in 0..shape.heads {
        add_head(&mut snapshot, head, (shape.dim, shape.labels), precision)?;
    }
    for first in (0..shape.items).step_by(CHUNK) {
        let samples = generator.items(first, CHUNK.min(shape.items - first));
        let changes = samples.into_iter().enumerate();
        let fields = |at: usize| if shop { super::shop::fields(at) } else { Fields::new() };
        let changes: Vec<_> =
            changes.map(|(at, sample)| put(first + at, first + at, sample, fields(first + at))).collect();
        snapshot.apply(&changes);
    }
    Ok(snapshot)
}

fn add_head(
    snapshot: &mut Snapshot,
    head: usize,
    (dim, labels): (usize, usize),
    precision: Precision,
) -> anyhow::Result<()> {
    let key = head_name(head);
    let bytes = bundle(head, dim, labels)?;
    let head = Arc::new(Head::reading(&Bundle::parse(&bytes)?, Bundle::id(&bytes), 0)?);
    snapshot.add_reserve(Column::new(&key, head, precision));
    snapshot.activate(&key);
    Ok(())
}

/// Puts item `at` as the `drawn`-th one that a generator made.
fn put(at: usize, drawn: usize, sample: Sample, fields: Fields) -> ItemChange {
    let labels = labels(drawn, &sample);
    let record =
        ItemRecord { labels, fields, image: None, parts_case: None, updated_ms: 0, more_images: Vec::new() };
    let signatures = sample.signatures.into_iter().enumerate();
    let signatures = signatures.filter_map(|(head, values)| Some((head_name(head), values?))).collect();
    ItemChange::Put {
        id: id(at),
        record,
        images: Vec::new(),
        signatures,
        pictures: Vec::new(),
        replaces: Some(1),
    }
}

/// Codes every column that wants it.
pub(super) fn code(snapshot: &mut Snapshot) {
    for column in snapshot.signatures().columns().to_vec() {
        if column.wants_coding(1) {
            let coded = column.coded();
            snapshot.adopt_codes(&column, &coded);
        }
    }
}

/// Replaces a share of the items by new ones, as a running catalogue sees it: codes are those of the writes.
pub(super) fn replace(snapshot: &mut Snapshot, generator: &Generator, share: f64) {
    let items = generator.shape().items;
    let mut rng = ChaCha8Rng::seed_from_u64(generator.shape().seed ^ 1);
    for at in rand::seq::index::sample(&mut rng, items, (items as f64 * share) as usize) {
        let drawn = items + at;
        let changes: Vec<_> = generator
            .items(drawn, 1)
            .into_iter()
            .map(|sample| put(at, drawn, sample, Fields::new()))
            .collect();
        snapshot.apply(&changes);
    }
}

/// Deletes a share of the items.
pub(super) fn delete(snapshot: &mut Snapshot, generator: &Generator, share: f64) {
    let items = generator.shape().items;
    let mut rng = ChaCha8Rng::seed_from_u64(generator.shape().seed ^ 2);
    for at in rand::seq::index::sample(&mut rng, items, (items as f64 * share) as usize) {
        snapshot.apply(&[ItemChange::Delete { id: id(at), pictures: 1 }]);
    }
}

/// Adds one more head whose signatures are those of the first, shifted by an item, and codes it.
pub(super) fn add_a_head(snapshot: &mut Snapshot, generator: &Generator) -> anyhow::Result<()> {
    let shape = generator.shape();
    let given: Vec<_> = (0..shape.items as Slot)
        .filter_map(|slot| {
            let next = (slot + 1) % shape.items as Slot;
            Some((slot, snapshot.signatures().columns().first()?.get(next)?.into_owned()))
        })
        .collect();
    let start = std::time::Instant::now();
    add_head(snapshot, shape.heads, (shape.dim, shape.labels), Precision::F32)?;
    let key = head_name(shape.heads);
    for (slot, values) in given {
        if let Some(item) = snapshot.items().get(slot).cloned() {
            snapshot.add_signature(&key, (slot, &item), &values);
        }
    }
    code(snapshot);
    println!(
        "a head added with its signatures, searchable by codes after {:.2} s",
        start.elapsed().as_secs_f64()
    );
    snapshot.drop_column(&key);
    Ok(())
}
