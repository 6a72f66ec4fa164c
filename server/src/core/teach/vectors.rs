//! Examples are looked at: the backbone's vectors of each.

use super::examples::{Example, ExampleOf, Found, LeftOut};
use super::{TeachProgress, TeachStep};
use crate::catalogue::{Computing, Item};
use crate::core::Core;
use crate::error::Error;
use crate::model::Model;
use crate::store::ContentId;
use futures_util::future::join_all;
use lapel_heads::{FeatureLayout, Features};
use std::sync::Arc;
use tokio::sync::watch;

/// Examples that are looked at together.
const BATCH: usize = 32;
/// Examples of a label that teach something.
const LABEL_MIN: usize = 2;

/// What was seen.
pub(super) struct Seen {
    /// Flat, one example after the other.
    pub(super) vectors: Vec<f32>,
    /// The label's number of each.
    pub(super) told: Vec<u16>,
    pub(super) labels: Vec<String>,
    pub(super) examples: Vec<ExampleOf>,
    pub(super) left_out: LeftOut,
}

/// The vectors of one example, and whether the feature cache had them; or why there are none.
type Vectors = Result<(Vec<f32>, bool), &'static str>;

impl Core {
    /// Looks at examples, a batch at a time, and leaves out what cannot be looked at.
    pub(super) async fn look_at_examples(
        &self,
        model: &Arc<Model>,
        found: Found,
        progress: &watch::Sender<TeachProgress>,
    ) -> Result<Seen, Error> {
        let Found { labels, examples, left_out } = found;
        let on = Computing { model: model.clone(), heads: Arc::from([]) };
        let len = model.backbone().layout().len();
        let total = examples.len() as u64;
        progress.send_replace(TeachProgress { step: TeachStep::Looking, total, ..TeachProgress::default() });
        let mut seen = Seen {
            vectors: Vec::with_capacity(examples.len().saturating_mul(len)),
            told: Vec::with_capacity(examples.len()),
            labels,
            examples: Vec::with_capacity(examples.len()),
            left_out,
        };
        for batch in examples.chunks(BATCH) {
            let looked =
                join_all(batch.iter().map(|example| self.vectors_of(example.of.clone(), on.clone()))).await;
            let mut from_cache = 0;
            for (example, vectors) in batch.iter().zip(looked) {
                match vectors? {
                    Ok((vectors, was_cached)) => {
                        from_cache += u64::from(was_cached);
                        seen.take(example, &vectors);
                    }
                    Err(reason) => *seen.left_out.entry(reason).or_insert(0) += 1,
                }
            }
            progress.send_modify(|now| {
                now.done += batch.len() as u64;
                now.from_cache += from_cache;
            });
        }
        Ok(seen)
    }

    async fn vectors_of(&self, of: ExampleOf, on: Computing) -> Result<Vectors, Error> {
        match of {
            ExampleOf::Item(item) => self.vectors_of_item(&item, on).await,
            ExampleOf::Photo { place: _, image } => {
                let layout = on.model.backbone().layout();
                let looked = self.look_at_sent(image.to_vec(), on).await?;
                Ok(match looked {
                    Ok(looked) => Ok((as_cached(looked.embedding.features, &layout), looked.from_cache)),
                    Err(skip) => Err(skip.name()),
                })
            }
        }
    }

    /// The mean over the pictures of an item that can be looked at.
    async fn vectors_of_item(&self, item: &Arc<Item>, on: Computing) -> Result<Vectors, Error> {
        let layout = on.model.backbone().layout();
        let images: Vec<ContentId> = item.images().into_iter().map(|image| image.content).collect();
        let (mut sum, mut count, mut is_cached) = (Vec::new(), 0u8, true);
        let mut skipped = "no_image";
        for (number, content) in (0..).zip(images) {
            match self.look_at_stored(&item.id, (number, content), on.clone()).await? {
                Ok(looked) => {
                    add(&mut sum, as_cached(looked.embedding.features, &layout));
                    count += 1;
                    is_cached &= looked.from_cache;
                }
                Err(skip) => skipped = skip.name(),
            }
        }
        // Its label was that of the pictures it had: of an item that was written anew meanwhile, it may be another.
        let snapshot = self.snapshot();
        let is_there = snapshot.items().of_id(&item.id).is_some_and(|now| now.has_pictures_of(item));
        if !is_there {
            return Ok(Err("gone"));
        }
        if count == 0 {
            return Ok(Err(skipped));
        }
        sum.iter_mut().for_each(|value| *value /= f32::from(count));
        Ok(Ok((sum, is_cached)))
    }
}

impl Seen {
    fn take(&mut self, example: &Example, vectors: &[f32]) {
        self.vectors.extend_from_slice(vectors);
        self.told.push(example.label);
        self.examples.push(example.of.clone());
    }

    /// Leaves out labels with fewer than two examples, and numbers the others anew.
    pub(super) fn drop_rare(&mut self, len: usize) {
        let mut counts = vec![0; self.labels.len()];
        for label in &self.told {
            if let Some(count) = counts.get_mut(usize::from(*label)) {
                *count += 1;
            }
        }
        let mut next = 0u16;
        let number = |count: &usize| {
            (*count >= LABEL_MIN).then(|| {
                next += 1;
                next - 1
            })
        };
        let numbers: Vec<Option<u16>> = counts.iter().map(number).collect();
        if numbers.iter().all(Option::is_some) {
            return;
        }
        let number = |label: &u16| numbers.get(usize::from(*label)).copied().flatten();
        let (mut told, mut examples, mut few) = (Vec::new(), Vec::new(), 0);
        for (at, (label, example)) in self.told.iter().zip(self.examples.drain(..)).enumerate() {
            let Some(label) = number(label) else {
                few += 1;
                continue;
            };
            // In place: there may be no room for all of them twice.
            self.vectors.copy_within(at * len..(at + 1) * len, told.len() * len);
            told.push(label);
            examples.push(example);
        }
        self.vectors.truncate(told.len() * len);
        if few > 0 {
            *self.left_out.entry("few").or_insert(0) += few;
        }
        (self.told, self.examples) = (told, examples);
        let mut numbers = numbers.into_iter();
        self.labels.retain(|_| numbers.next().flatten().is_some());
    }
}

fn add(sum: &mut Vec<f32>, vectors: Vec<f32>) {
    if sum.is_empty() {
        *sum = vectors;
    } else {
        sum.iter_mut().zip(vectors).for_each(|(sum, value)| *sum += value);
    }
}

/// The vectors in the precision of the feature cache, whether or not they came from it: the same examples give the same head.
fn as_cached(features: Features, layout: &FeatureLayout) -> Vec<f32> {
    let cached = Features::from_bytes(features.parts, &features.map_to_bytes(), layout);
    cached.map_or(features.map, |cached| cached.map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_one_example_are_left_out_and_the_others_keep_their_vectors() {
        let photo = |place| ExampleOf::Photo { place, image: Arc::new(Vec::new()) };
        let mut seen = Seen {
            vectors: (0..10u8).map(f32::from).collect(),
            told: vec![0, 1, 2, 0, 2],
            labels: ["a", "b", "c"].map(str::to_owned).to_vec(),
            examples: (0..5).map(photo).collect(),
            left_out: LeftOut::from([("few", 1)]),
        };
        seen.drop_rare(2);
        assert_eq!(seen.vectors, [0.0, 1.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        assert_eq!((seen.told, seen.labels), (vec![0, 1, 0, 1], vec!["a".to_owned(), "c".to_owned()]));
        let places = seen.examples.iter().map(|of| match of {
            ExampleOf::Photo { place, .. } => *place,
            ExampleOf::Item(_) => panic!("all are photos"),
        });
        assert!(places.eq([0, 2, 3, 4]));
        assert_eq!(seen.left_out, LeftOut::from([("few", 2)]));
    }
}
