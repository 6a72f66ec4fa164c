use super::by_examples::drawn;
use super::*;
use lapel_heads::Source;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

const INPUTS: usize = 24;

fn attribute() -> Attribute {
    Attribute { name: "mood".into(), labels: ["calm", "loud", "rare", "wild"].map(str::to_owned).to_vec() }
}

fn layout() -> FeatureLayout {
    FeatureLayout::Vectors(Arc::from([Source { name: "garment".into(), len: INPUTS }]))
}

/// Photos of four labels, of which the third is rare; each label raises inputs of its own.
fn photos(count: usize, seed: u64) -> LabelledPhotos {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let labels: Vec<u16> = (0..count).map(|at| if at % 20 == 0 { 2 } else { [0, 1, 3][at % 3] }).collect();
    let mut values: Vec<f32> = Vec::with_capacity(count * INPUTS);
    for label in &labels {
        for input in 0..INPUTS {
            let own = if input % 4 == usize::from(*label) { 0.4 } else { 0.0 };
            values.push(rng.random_range(0.0..1.0f32) + own);
        }
    }
    let rows = Tensor::from_vec(values, (count, INPUTS), &Device::Cpu).expect("tensor");
    LabelledPhotos { rows, labels }
}

fn trial<'a>(attribute: &'a Attribute, layout: &'a FeatureLayout) -> Trial<'a> {
    Trial {
        attribute,
        fingerprint: "tiny/1",
        layout,
        exponent: 0.5,
        training: photos(240, 1),
        folds: (0..240).map(|at| (at % 5 == 0).then_some(0)).collect(),
        test: photos(200, 2),
    }
}

#[test]
fn taught_heads_are_measured_beside_the_probe_on_the_same_examples() {
    let (attribute, layout) = (attribute(), layout());
    let trial = trial(&attribute, &layout);
    let draws = Draws { per_label: vec![4, 16], most: 2000, draws: 2, seed: 7 };
    let mut heard = 0;
    let rows = by_examples(&trial, &draws, |_| heard += 1).expect("measured");
    let order: Vec<_> = rows.iter().map(|row| (row.per_label, row.draw)).collect();
    assert_eq!(order, [(Some(4), 0), (Some(4), 1), (Some(16), 0), (Some(16), 1), (None, 0)]);
    assert_eq!(heard, rows.len());
    let examples: Vec<u64> = rows.iter().map(|row| row.cross_validated.photos).collect();
    assert_eq!(examples, [16, 16, 60, 60, 240], "the rare label has twelve");
    let last = rows.last().expect("all examples");
    assert_eq!((last.labels, last.taught.photos, last.probe.photos), (4, 200, 200));
    assert!(last.taught.accuracy > 0.8 && last.probe.accuracy > 0.8, "{last:?}");
    assert!(last.taught.low < last.taught.accuracy && last.taught.accuracy <= last.taught.high, "{last:?}");
    assert!((last.taught.accuracy - last.cross_validated.accuracy).abs() < 0.15, "{last:?}");
    let again = by_examples(&trial, &draws, |_| {}).expect("measured");
    let shares = |rows: &[ByExamples]| -> Vec<_> {
        rows.iter().map(|row| (row.taught.accuracy.to_bits(), row.probe.accuracy.to_bits())).collect()
    };
    assert_eq!(shares(&rows), shares(&again), "the same seed draws the same examples");
}

#[test]
fn fewer_examples_are_among_more() {
    let (attribute, layout) = (attribute(), layout());
    let trial = trial(&attribute, &layout);
    let (few, more) = (drawn(&trial, 4, 3), drawn(&trial, 9, 3));
    assert_eq!((trial.counts(&few), trial.counts(&more)), (vec![4; 4], vec![9; 4]));
    assert!(few.iter().all(|at| more.contains(at)));
    assert_ne!(few, drawn(&trial, 4, 4));
}

#[test]
fn a_label_that_was_not_taught_is_told_wrong() {
    let (attribute, layout) = (attribute(), layout());
    let trial = trial(&attribute, &layout);
    let mut photos: Vec<usize> = (0..240).filter(|at| trial.training.labels[*at] < 2).collect();
    // One example of a label teaches nothing.
    photos.extend((0..240).find(|at| trial.training.labels[*at] == 2));
    let taught = trial.teach(&photos).expect("taught");
    assert_eq!(taught.labels, [0, 1]);
    assert_eq!(taught.worth.examples as usize, photos.len() - 1);
    let told = trial.measured(&taught).expect("measured");
    let known = trial.test.labels.iter().filter(|label| **label < 2).count() as f64 / 200.0;
    assert!(told.photos == 200 && told.accuracy <= known && told.accuracy > 0.7 * known, "{told:?}");
    assert!(told.balanced <= 0.5, "two labels of four: {told:?}");
}

#[test]
fn labels_grow_by_suggestions_and_at_random_from_the_same_photos() {
    let (attribute, layout) = (attribute(), layout());
    let trial = trial(&attribute, &layout);
    let growths = Growths { first: 10, step: 10, suggested: 35, random: vec![10, 60], seeds: vec![1, 2] };
    let grown = growth(&trial, &growths, |_| {}).expect("grown");
    assert_eq!(grown.iter().map(|growth| growth.seed).collect::<Vec<_>>(), [1, 2]);
    for Growth { suggested, random, .. } in &grown {
        let labelled = |points: &[Point]| points.iter().map(|point| point.labelled).collect::<Vec<_>>();
        assert_eq!(labelled(suggested), [10, 20, 30, 35]);
        assert_eq!(labelled(random), [10, 60]);
        assert_eq!(suggested[0].told.accuracy.to_bits(), random[0].told.accuracy.to_bits());
        assert!(suggested[3].told.accuracy > suggested[0].told.accuracy, "{suggested:?}");
    }
    let too_many = Growths { random: vec![1000], ..growths };
    assert!(growth(&trial, &too_many, |_| {}).is_err(), "there are 240");
}

#[test]
fn rows_come_in_half_precision() {
    let rows = Tensor::from_vec(vec![0.1f32; INPUTS], (1, INPUTS), &Device::Cpu).expect("tensor");
    let cached = as_cached(&rows, &layout()).and_then(|rows| rows.to_vec2::<f32>()).expect("rows");
    assert!(cached[0].iter().all(|value| *value != 0.1 && (value - 0.1).abs() < 1e-4));
}
