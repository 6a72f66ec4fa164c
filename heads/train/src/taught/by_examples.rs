//! Heads that are taught from so many examples a label, beside `lapel-train`'s probe on the same examples.

use super::{Told, Trial};
use crate::probes::{Draw, Pictures, Scaling, fit_probe};
use lapel_fit::select_rows;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::time::Instant;

/// Which examples are drawn.
pub struct Draws {
    /// How many of each label; a label of fewer gives all it has.
    pub per_label: Vec<usize>,
    /// How many of each label there may be where all are taught from.
    pub most: usize,
    /// How often fewer than all are drawn.
    pub draws: u64,
    /// Seed of the draws.
    pub seed: u64,
}

/// Heads of one attribute from the same examples.
#[derive(Clone, Debug, Serialize)]
pub struct ByExamples {
    /// The attribute.
    pub attribute: String,
    /// Examples of each label that were asked for; nothing: all.
    pub per_label: Option<usize>,
    /// The number of the draw.
    pub draw: u64,
    /// Labels of the taught head.
    pub labels: usize,
    /// What it tells of the photos that are measured on.
    pub taught: Told,
    /// What Teach says that it is worth.
    pub cross_validated: Told,
    /// How long the fit took.
    pub seconds: f64,
    /// What `lapel-train`'s probe tells of the photos that are measured on.
    pub probe: Told,
    /// How long its fit took.
    pub probe_seconds: f64,
}

/// Teaches and measures heads from every number of examples; `progress` hears of each.
///
/// # Errors
/// When fewer than two labels have two photos, or the tensor library fails.
pub fn by_examples(
    trial: &Trial<'_>,
    draws: &Draws,
    mut progress: impl FnMut(&ByExamples),
) -> anyhow::Result<Vec<ByExamples>> {
    let mut rows = Vec::new();
    let mut measure = |per_label: Option<usize>, draw: u64| -> anyhow::Result<()> {
        let photos = drawn(trial, per_label.unwrap_or(draws.most), draws.seed + draw);
        let row = compare(trial, &photos, (per_label, draw))?;
        progress(&row);
        rows.push(row);
        Ok(())
    };
    for per_label in &draws.per_label {
        for draw in 0..draws.draws {
            measure(Some(*per_label), draw)?;
        }
    }
    measure(None, 0)?;
    Ok(rows)
}

/// Up to so many training photos of each label. Of one seed, fewer are among more.
pub(super) fn drawn(trial: &Trial<'_>, per_label: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..trial.training.labels.len()).collect();
    order.shuffle(&mut rng);
    let mut counts = vec![0; trial.attribute.labels.len()];
    order.retain(|at| {
        let count = &mut counts[usize::from(trial.training.labels[*at])];
        *count += 1;
        *count <= per_label
    });
    order.sort_unstable();
    order
}

fn compare(
    trial: &Trial<'_>,
    photos: &[usize],
    (per_label, draw): (Option<usize>, u64),
) -> anyhow::Result<ByExamples> {
    let taught = trial.teach(photos)?;
    let (probe, probe_seconds) = probe(trial, photos)?;
    Ok(ByExamples {
        attribute: trial.attribute.name.clone(),
        per_label,
        draw,
        labels: taught.labels.len(),
        taught: trial.measured(&taught)?,
        cross_validated: Told::of(&taught.worth),
        seconds: taught.seconds,
        probe,
        probe_seconds,
    })
}

/// What the probe tells that `lapel-train` fits to photos as they are, and how long its fit took.
fn probe(trial: &Trial<'_>, photos: &[usize]) -> anyhow::Result<(Told, f64)> {
    let rows = select_rows(&trial.training.rows, photos)?;
    let begun = Instant::now();
    let scaling = Scaling::of(&rows)?;
    let pictures = Pictures {
        photo: (0..photos.len()).collect(),
        draw: vec![Draw::Plain; photos.len()],
        fold: photos.iter().map(|at| trial.folds[*at]).collect(),
        refit: true,
        inputs: scaling.apply(&rows)?,
        scaling,
    };
    let labels = photos.iter().map(|at| Some(trial.training.labels[*at])).collect();
    let probe = fit_probe(trial.attribute, labels, &pictures)?;
    let seconds = begun.elapsed().as_secs_f64();
    let told = probe.probabilities(&pictures.scaling.apply(&trial.test.rows)?)?;
    Ok((trial.told(&told), seconds))
}
