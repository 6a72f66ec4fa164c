//! Labels that grow by what a server suggests, beside labels that grow at random.

use super::{LABEL_MIN, TaughtHead, Told, Trial};
use lapel_fit::{Unlabelled, doubt, select_rows, to_label_next};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Orders that are drawn at most, until one begins with photos that a head can be taught from.
const ORDERS_MAX: usize = 1000;

/// How labels grow.
pub struct Growths {
    /// Photos that are labelled first, at random.
    pub first: usize,
    /// Photos that are suggested, and labelled, at a time.
    pub step: usize,
    /// Photos that are labelled at last where they are suggested.
    pub suggested: usize,
    /// Numbers of photos, labelled at random, that heads are measured of.
    pub random: Vec<usize>,
    /// One growth each.
    pub seeds: Vec<u64>,
}

/// A head of so many labelled photos.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Point {
    /// Labelled photos.
    pub labelled: usize,
    /// Labels that the head tells.
    pub labels: usize,
    /// What it tells of the photos that are measured on.
    pub told: Told,
}

/// The heads of one attribute and seed.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    /// The attribute.
    pub attribute: String,
    /// The seed.
    pub seed: u64,
    /// Of labels that were suggested, from the first on.
    pub suggested: Vec<Point>,
    /// Of labels at random, of which the first are the same.
    pub random: Vec<Point>,
}

/// Lets the labels of an attribute grow in both ways; `progress` hears of each seed.
///
/// # Errors
/// When there are too few photos, or the tensor library fails.
pub fn growth(
    trial: &Trial<'_>,
    growths: &Growths,
    mut progress: impl FnMut(&Growth),
) -> anyhow::Result<Vec<Growth>> {
    let mut all = Vec::new();
    for seed in &growths.seeds {
        let order = order(trial, growths.first, *seed)?;
        let random = growths.random.iter().map(|count| {
            anyhow::ensure!(
                *count <= order.len(),
                "{}: {count} labelled photos are wanted, and there are {}",
                trial.attribute.name,
                order.len()
            );
            let photos = &order[..*count];
            point(trial, photos.len(), &trial.teach(photos)?)
        });
        let grown = Growth {
            attribute: trial.attribute.name.clone(),
            seed: *seed,
            random: random.collect::<anyhow::Result<_>>()?,
            suggested: suggested(trial, growths, &order[..growths.first])?,
        };
        progress(&grown);
        all.push(grown);
    }
    Ok(all)
}

/// All training photos in an order at random, of which the first have two labels twice each.
fn order(trial: &Trial<'_>, first: usize, seed: u64) -> anyhow::Result<Vec<usize>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..trial.training.labels.len()).collect();
    let name = &trial.attribute.name;
    anyhow::ensure!(first <= order.len(), "{name}: there are {} labelled photos", order.len());
    for _ in 0..ORDERS_MAX {
        order.shuffle(&mut rng);
        let counts = trial.counts(&order[..first]);
        if counts.into_iter().filter(|count| *count >= LABEL_MIN).count() > 1 {
            return Ok(order);
        }
    }
    anyhow::bail!("{name}: {first} photos at random do not have two labels twice each")
}

/// Heads of the first photos, and of those that are suggested after them.
fn suggested(trial: &Trial<'_>, growths: &Growths, first: &[usize]) -> anyhow::Result<Vec<Point>> {
    let mut photos = first.to_vec();
    let mut points = Vec::new();
    loop {
        let taught = trial.teach(&photos)?;
        points.push(point(trial, photos.len(), &taught)?);
        let wanted = growths.step.min(growths.suggested.saturating_sub(photos.len()));
        let next = next(trial, &taught, &photos, wanted)?;
        if next.is_empty() {
            return Ok(points);
        }
        photos.extend(next);
    }
}

fn point(trial: &Trial<'_>, labelled: usize, taught: &TaughtHead) -> anyhow::Result<Point> {
    Ok(Point { labelled, labels: taught.labels.len(), told: trial.measured(taught)? })
}

/// The training photos to label next, by the head of those that are labelled.
fn next(
    trial: &Trial<'_>,
    taught: &TaughtHead,
    labelled: &[usize],
    wanted: usize,
) -> anyhow::Result<Vec<usize>> {
    let open: Vec<usize> = (0..trial.training.labels.len()).filter(|at| !labelled.contains(at)).collect();
    if wanted == 0 || open.is_empty() {
        return Ok(Vec::new());
    }
    let looked = taught.looked(&select_rows(&trial.training.rows, &open)?)?;
    let seen: Vec<(usize, f32)> =
        open.iter().zip(&looked).filter_map(|(at, looked)| Some((*at, doubt(looked.as_ref()?)))).collect();
    let doubts: Vec<f32> = seen.iter().map(|(_, doubt)| *doubt).collect();
    let row = |photo: usize| trial.training.rows.get(photo)?.to_vec1::<f32>();
    let appearance = |at: usize| row(seen[at].0).ok();
    let labelled = labelled.iter().map(|photo| row(*photo)).collect::<candle_core::Result<Vec<_>>>()?;
    let unlabelled = Unlabelled { doubts: &doubts, appearance: &appearance };
    let chosen = to_label_next(&unlabelled, &labelled, wanted, &|| false)?;
    Ok(chosen.into_iter().filter_map(|at| seen.get(at).map(|(photo, _)| *photo)).collect())
}
