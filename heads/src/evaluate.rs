//! Measures heads on labelled pictures: accuracy by attribute, and retrieval after a manipulation.

use crate::embedder::{EmbedError, Embedder};
use crate::head::Head;
use crate::labels::Labels;
use crate::photo::Photo;
use crate::prototype::PrototypeSum;
use crate::region::PartsCase;
use crate::signature::{Signature, distance};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A labelled picture with its signatures, one a head.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its labels.
    pub labels: Labels,
    /// The case of "Extract Parts?" seen in it.
    pub case: PartsCase,
    /// Its signatures, in the order of the heads.
    pub signatures: Vec<Option<Signature>>,
}

/// Embeds labelled photos, eight at a time; `done` is told how many.
///
/// # Errors
/// When the model fails.
pub fn measure(
    embedder: &Embedder,
    heads: &[Arc<Head>],
    photos: impl Iterator<Item = (Photo, Labels)>,
    mut done: impl FnMut(usize),
) -> Result<Vec<Measured>, EmbedError> {
    let side = embedder.backbone().input_side();
    let mut photos = photos.map(|(photo, labels)| (photo.fit(side), labels));
    let mut measured = Vec::new();
    loop {
        let (canvases, labels): (Vec<_>, Vec<_>) = photos.by_ref().take(8).unzip();
        if canvases.is_empty() {
            return Ok(measured);
        }
        let embeddings = embedder.embed(&canvases.iter().collect::<Vec<_>>(), heads)?;
        done(embeddings.len());
        let joined = labels.into_iter().zip(embeddings);
        measured.extend(joined.map(|(labels, e)| Measured {
            labels,
            case: e.parts.case,
            signatures: e.signatures,
        }));
    }
}

/// How well an attribute's label is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Accuracy {
    /// The attribute.
    pub attribute: String,
    /// Pictures labelled for it with a label that the head knows.
    pub labelled: usize,
    /// Share of them told right.
    pub accuracy: f64,
    /// Share told right by always answering the most frequent label.
    pub majority: f64,
    /// Mean over the labels of the share told right.
    pub balanced: f64,
    /// Pictures whose label the head does not know; they count in neither share.
    pub unknown: usize,
}

/// Accuracy of each attribute of each head, by name.
#[must_use]
pub fn accuracies(measured: &[Measured], heads: &[Arc<Head>]) -> Vec<Accuracy> {
    let mut all = Vec::new();
    for (at, head) in heads.iter().enumerate() {
        for attribute in &head.manifest().attributes {
            // By label: pictures, and those told right.
            let mut counts: BTreeMap<&String, (usize, usize)> = BTreeMap::new();
            let mut unknown = 0;
            for picture in measured {
                let (Some(label), Some(signature)) =
                    (picture.labels.get(&attribute.name), &picture.signatures[at])
                else {
                    continue;
                };
                if !attribute.labels.contains(label) {
                    unknown += 1;
                    continue;
                }
                let told = head.predict(attribute, signature.values());
                let (seen, right) = counts.entry(label).or_default();
                *seen += 1;
                *right += usize::from(told.is_some_and(|t| &t.label == label));
            }
            let labelled: usize = counts.values().map(|c| c.0).sum();
            let share = |part: usize| part as f64 / labelled.max(1) as f64;
            let recalls = counts.values().map(|(seen, right)| *right as f64 / *seen as f64);
            all.push(Accuracy {
                attribute: attribute.name.clone(),
                labelled,
                accuracy: share(counts.values().map(|c| c.1).sum()),
                majority: share(counts.values().map(|c| c.0).max().unwrap_or(0)),
                balanced: recalls.sum::<f64>() / counts.len().max(1) as f64,
                unknown,
            });
        }
    }
    all.sort_by(|a, b| a.attribute.cmp(&b.attribute));
    all
}

/// Top-k accuracy of retrieval after one manipulation, with the same queries unmanipulated and a random order
/// for comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retrieval {
    /// Queries asked.
    pub queries: usize,
    /// Share with a hit among the k best.
    pub manipulated: f64,
    /// The same when the query is left as it is.
    pub unmanipulated: f64,
    /// The same when k items are drawn at random.
    pub random: f64,
}

/// What [`retrieval`] asks.
#[derive(Clone, Copy, Debug)]
pub struct RetrievalSpec<'a> {
    /// Special attributes: those that are manipulated, and that must be kept otherwise.
    pub special: &'a [&'a str],
    /// Results looked at.
    pub k: usize,
    /// Seed of the manipulations.
    pub seed: u64,
}

/// Retrieval after one manipulation (section 7.2) within one set: each picture in turn is the query and all
/// others the gallery.
///
/// One random special attribute, known of the query, is set to another label that some target has. A target
/// carries the wanted label and contradicts the query on no other special attribute, at least two of which are
/// known of both. (The paper asks for all to be known, which few pictures here are; missing labels count
/// neither way.) Prototypes are the
/// set's own where five pictures carry the label, as a catalogue's are, and the heads' otherwise.
#[must_use]
pub fn retrieval(
    measured: &[Measured],
    heads: &[Arc<Head>],
    spec: RetrievalSpec<'_>,
) -> BTreeMap<String, Retrieval> {
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    let prototypes = gallery_prototypes(measured, heads);
    let mut totals: BTreeMap<String, Retrieval> = BTreeMap::new();
    for (query_at, query) in measured.iter().enumerate() {
        let Some((attribute, label, targets)) = target(query_at, measured, spec.special, &mut rng) else {
            continue;
        };
        let Some(head) = heads.iter().position(|h| h.manifest().attribute(attribute).is_some()) else {
            continue;
        };
        let brought = heads[head].prototype(attribute, &label).map(|p| p.signature.clone());
        let own = prototypes.get(&(attribute.to_owned(), label)).filter(|sum| sum.count() >= 5);
        let Some(wanted) = own.and_then(PrototypeSum::prototype).or(brought) else { continue };
        let mut edited = query.signatures.clone();
        edited[head] = Some(wanted);
        let mut order: Vec<usize> = (0..measured.len()).filter(|i| *i != query_at).collect();
        order.shuffle(&mut rng);
        let hit = |order: &[usize]| order.iter().take(spec.k).any(|i| targets.contains(i));
        let shares = [
            hit(&ranked(&edited, measured, query_at)),
            hit(&ranked(&query.signatures, measured, query_at)),
            hit(&order),
        ];
        for key in [attribute, "all"] {
            let total = totals.entry(key.to_owned()).or_default();
            total.queries += 1;
            total.manipulated += f64::from(u8::from(shares[0]));
            total.unmanipulated += f64::from(u8::from(shares[1]));
            total.random += f64::from(u8::from(shares[2]));
        }
    }
    for total in totals.values_mut() {
        let n = total.queries as f64;
        total.manipulated /= n;
        total.unmanipulated /= n;
        total.random /= n;
    }
    totals
}

/// A random manipulation that has targets: attribute, label, and the targets.
fn target<'a>(
    query_at: usize,
    measured: &[Measured],
    special: &[&'a str],
    rng: &mut ChaCha8Rng,
) -> Option<(&'a str, String, Vec<usize>)> {
    let query = &measured[query_at].labels;
    let mut attributes: Vec<&str> = special.iter().copied().filter(|a| query.contains_key(*a)).collect();
    attributes.shuffle(rng);
    attributes.into_iter().find_map(|attribute| {
        let mut by_label: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
        for (i, other) in measured.iter().enumerate().filter(|(i, _)| *i != query_at) {
            let known = special.iter().filter(|a| **a != attribute);
            let both = known.filter_map(|a| Some(query.get(*a)? == other.labels.get(*a)?));
            let (same, all) = both.fold((0, 0), |(same, all), equal| (same + usize::from(equal), all + 1));
            match other.labels.get(attribute) {
                Some(label) if Some(label) != query.get(attribute) && same == all && all >= 2 => {
                    by_label.entry(label).or_default().push(i);
                }
                Some(_) | None => {}
            }
        }
        let labels: Vec<_> = by_label.into_iter().collect();
        labels.choose(rng).map(|(label, targets)| (attribute, (*label).clone(), targets.clone()))
    })
}

/// The others by distance (Eq. 4).
fn ranked(query: &[Option<Signature>], measured: &[Measured], query_at: usize) -> Vec<usize> {
    let score = |other: &Measured| -> f32 {
        let pairs = query.iter().zip(&other.signatures);
        pairs
            .map(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => distance(a.values(), b.values()),
                _ => std::f32::consts::SQRT_2,
            })
            .sum()
    };
    let others = measured.iter().enumerate().filter(|(i, _)| *i != query_at);
    let mut scored: Vec<(f32, usize)> = others.map(|(i, other)| (score(other), i)).collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    scored.into_iter().map(|(_, i)| i).collect()
}

fn gallery_prototypes(
    measured: &[Measured],
    heads: &[Arc<Head>],
) -> BTreeMap<(String, String), PrototypeSum> {
    let mut sums = BTreeMap::new();
    for (at, head) in heads.iter().enumerate() {
        for attribute in &head.manifest().attributes {
            for picture in measured {
                if let (Some(label), Some(signature)) =
                    (picture.labels.get(&attribute.name), &picture.signatures[at])
                {
                    sums.entry((attribute.name.clone(), label.clone()))
                        .or_insert_with(|| PrototypeSum::new(head.dim()))
                        .add(signature.values());
                }
            }
        }
    }
    sums
}

/// A seed for pictures that no training used.
#[must_use]
pub fn fresh_seed() -> u64 {
    ChaCha8Rng::seed_from_u64(0x1a9e1).random()
}
