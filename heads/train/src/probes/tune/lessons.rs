//! What the network ought to say of photos, and how far it is from that.

use crate::probes::draws::Draw;
use crate::probes::model::numbers;
use crate::probes::table::TablePhoto;
use candle_core::{D, Device, Tensor};
use lapel_fit::{accuracy, argmax};
use lapel_heads::Attribute;

/// Share of a label's certainty that is spread over all of the attribute's: photos are sometimes labelled wrongly.
const SMOOTHED: f32 = 0.1;

/// Photos with the attributes that are learnt from them.
pub(super) struct Lessons<'a> {
    pub(super) photos: Vec<&'a TablePhoto>,
    pub(super) attributes: &'a [Attribute],
    /// By attribute, then by photo.
    pub(super) labels: Vec<Vec<Option<u16>>>,
}

impl<'a> Lessons<'a> {
    pub(super) fn new(photos: Vec<&'a TablePhoto>, attributes: &'a [Attribute]) -> Self {
        let owned: Vec<TablePhoto> = photos.iter().map(|photo| (*photo).clone()).collect();
        let labels = attributes.iter().map(|attribute| numbers(attribute, &owned)).collect();
        Self { photos, attributes, labels }
    }

    pub(super) fn outputs(&self) -> usize {
        self.attributes.iter().map(|attribute| attribute.labels.len()).sum()
    }

    /// What logits `[rows, outputs]` of pictures of photos ought to say, as shares that sum to one for each attribute
    /// over all rows that show it.
    pub(super) fn targets(&self, rows: &[(usize, Draw)]) -> candle_core::Result<Tensor> {
        let outputs = self.outputs();
        let mut targets = vec![0.0f32; rows.len() * outputs];
        let mut first = 0;
        for (attribute, labels) in self.attributes.iter().zip(&self.labels) {
            let count = attribute.labels.len();
            let label = |(photo, draw): &(usize, Draw)| {
                labels[*photo].filter(|_| draw.shows(&attribute.name)).map(usize::from)
            };
            let known = rows.iter().filter_map(label).count().max(1) as f32;
            for (row, shown) in rows.iter().enumerate() {
                let Some(label) = label(shown) else { continue };
                let to = &mut targets[row * outputs + first..][..count];
                to.fill(SMOOTHED / count as f32 / known);
                to[label] += (1.0 - SMOOTHED) / known;
            }
            first += count;
        }
        Tensor::from_vec(targets, (rows.len(), outputs), &Device::Cpu)
    }

    /// Cross entropy of logits, summed over the attributes.
    pub(super) fn loss(&self, logits: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
        let mut first = 0;
        let mut parts = Vec::with_capacity(self.attributes.len());
        for attribute in self.attributes {
            let count = attribute.labels.len();
            let logs =
                candle_nn::ops::log_softmax(&logits.narrow(1, first, count)?.contiguous()?, D::Minus1)?;
            parts.push((logs * targets.narrow(1, first, count)?)?.sum_all()?.neg()?);
            first += count;
        }
        Tensor::stack(&parts, 0)?.sum_all()
    }

    /// Mean accuracy and balanced accuracy over the attributes, by logits of each photo.
    pub(super) fn accuracy(&self, logits: &[Vec<f32>]) -> (f64, f64) {
        let mut first = 0;
        let mut sums = (0.0, 0.0);
        for (attribute, labels) in self.attributes.iter().zip(&self.labels) {
            let count = attribute.labels.len();
            let told = |photo: usize| argmax(logits[photo][first..first + count].iter().copied());
            let (plain, balanced) = accuracy(labels, told, count);
            sums = (sums.0 + plain, sums.1 + balanced);
            first += count;
        }
        let count = self.attributes.len().max(1) as f64;
        (sums.0 / count, sums.1 / count)
    }
}
