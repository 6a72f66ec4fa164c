//! Prototypes of a data set's labels (section 4.6).

use super::Labelled;
use super::signatures::normalise;
use std::ops::Range;

/// By attribute and label: the normalised mean of one part over the training pictures that carry the label.
pub struct Prototypes {
    by_attribute: Vec<Vec<Option<Vec<f32>>>>,
}

impl Prototypes {
    /// `range` gives the part of a row in which an attribute's prototypes live; attributes without one have none.
    #[must_use]
    pub fn of(training: &Labelled<'_>, range: impl Fn(usize) -> Option<Range<usize>>) -> Self {
        Self::weighted(training, range, |_, _, _| 1.0)
    }

    /// As [`Prototypes::of`], each picture by a weight of attribute, label and its part of the row.
    #[must_use]
    pub fn weighted(
        training: &Labelled<'_>,
        range: impl Fn(usize) -> Option<Range<usize>>,
        weight: impl Fn(usize, usize, &[f32]) -> f32,
    ) -> Self {
        let attribute = |(at, attribute): (usize, &lapel_heads::Attribute)| {
            let Some(range) = range(at) else { return vec![None; attribute.labels.len()] };
            let mut sums = vec![vec![0.0f32; range.len()]; attribute.labels.len()];
            let mut counts = vec![0usize; attribute.labels.len()];
            for (picture, labels) in training.labels.iter().enumerate() {
                if let Some(label) = labels[at] {
                    let row = &training.signatures.row(picture)[range.clone()];
                    let weight = weight(at, usize::from(label), row);
                    for (sum, value) in sums[usize::from(label)].iter_mut().zip(row) {
                        *sum += weight * value;
                    }
                    counts[usize::from(label)] += 1;
                }
            }
            let prototype = |(mut sum, count): (Vec<f32>, usize)| {
                normalise(&mut sum);
                (count > 0).then_some(sum)
            };
            sums.into_iter().zip(counts).map(prototype).collect()
        };
        Self { by_attribute: training.attributes.iter().enumerate().map(attribute).collect() }
    }

    /// The prototype of a label; `None` where no training picture carries it.
    #[must_use]
    pub fn get(&self, attribute: usize, label: u16) -> Option<&[f32]> {
        self.by_attribute[attribute][usize::from(label)].as_deref()
    }

    /// The label of `attribute`, other than `wanted`, whose prototype is nearest to `part`: what is given up for
    /// `wanted`, since nobody asks for a label that is there.
    #[must_use]
    pub fn nearest_other(&self, attribute: usize, part: &[f32], wanted: u16) -> Option<u16> {
        let product = |p: &Vec<f32>| p.iter().zip(part).map(|(a, b)| a * b).sum::<f32>();
        let known =
            self.by_attribute[attribute].iter().enumerate().filter(|(at, _)| *at != usize::from(wanted));
        let scored = known.filter_map(|(at, p)| Some((at as u16, product(p.as_ref()?))));
        scored.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
    }
}
