use super::*;
use crate::Source;
use half::f16;
use lapel_heads::{Backbone, Canvas, FeatureLayout, Head, MapShape, Region};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A backbone of four channels and the smallest map that pooling allows, so that a picture has four pooled numbers.
struct Tiny;

impl Backbone for Tiny {
    fn fingerprint(&self) -> &str {
        "tiny/1"
    }

    fn input_side(&self) -> usize {
        8
    }

    fn layout(&self) -> FeatureLayout {
        FeatureLayout::Map(MapShape { channels: 4, height: 3, width: 3 })
    }

    fn forward(&self, _: &[&Canvas]) -> candle_core::Result<Tensor> {
        candle_core::bail!("not used")
    }
}

const LABELS: [&str; 3] = ["red", "green", "blue"];

/// Examples whose label is the largest of the first three numbers; every fifth has no label.
fn examples() -> (Vec<Example>, Pooled) {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut pooled = Vec::new();
    let one = |index: u64| {
        let label = index as usize % LABELS.len();
        let row = (0..4).map(|i| rng.random_range(0.0..1.0f32) + if i == label { 1.0 } else { 0.0 });
        pooled.extend(row.map(f16::from_f32));
        let labels =
            if index % 5 == 4 { vec![] } else { vec![("color".to_owned(), LABELS[label].to_owned())] };
        Example { source: Source::Render(1, index), variant: 0, labels: labels.into_iter().collect() }
    };
    let examples = (0..300).map(one).collect();
    (examples, Pooled::new(pooled, 4))
}

fn recipe(ranking: Ranking) -> HeadRecipe {
    HeadRecipe {
        region: Region::Whole,
        hidden: 16,
        dim: 8,
        ranking,
        input: Input::All,
        ..HeadRecipe::special("color")
    }
}

fn schedule() -> Schedule {
    Schedule {
        epochs_1: 12,
        epochs_2: 4,
        batch: 32,
        rate_1: 0.05,
        rate_2: 0.01,
        dropout: 0.1,
        ..Schedule::default()
    }
}

fn train(ranking: Ranking, checkpoints: &Path, told: impl FnMut(Progress)) -> Trained {
    let (examples, pooled) = examples();
    let validation: Vec<bool> = (0..examples.len()).map(|at| at % 10 == 0).collect();
    let data = HeadData { examples: &examples, pooled: &[Arc::new(pooled)], validation: &validation };
    train_head(&recipe(ranking), data, Tiny.fingerprint(), (&schedule(), checkpoints), told).expect("trained")
}

#[test]
fn a_head_learns_by_every_kind_of_triplet_and_its_prototypes_carry_their_labels() {
    for ranking in [Ranking::Off, Ranking::Random, Ranking::BatchHard, Ranking::SemiHard] {
        let folder = tempfile::tempdir().expect("folder");
        let mut losses = Vec::new();
        let trained = train(ranking, folder.path(), |p| losses.push(p.loss));
        let epochs = if ranking == Ranking::Off { 12 } else { 16 };
        assert!(losses.len() == epochs && losses[11] < 0.5 * losses[0], "{losses:?}");
        let head = Head::from_bytes(&trained.bundle.to_bytes().expect("written"), &Tiny).expect("sound");
        let attribute = &head.manifest().attributes[0];
        let (examples, pooled) = examples();
        let rows: Vec<f32> = (0..300).flat_map(|i| pooled.row(i).iter().map(|v| v.to_f32())).collect();
        let tensor = Tensor::from_vec(rows, (examples.len(), 4), &Device::Cpu).expect("tensor");
        let signatures = head.signatures(&tensor).expect("computed");
        let right = signatures.iter().enumerate().filter(|(i, s)| {
            let told = s.as_ref().and_then(|s| head.predict(attribute, s.values()));
            told.is_some_and(|t| t.label == LABELS[i % LABELS.len()])
        });
        let right = right.count();
        assert!(right > 255, "{ranking:?}: {right} of 300");
        for label in LABELS {
            let prototype = head.prototype("color", label).expect("80 examples");
            assert_eq!(prototype.count, 80);
            assert_eq!(head.predict(attribute, prototype.signature.values()).expect("told").label, label);
        }
    }
}

#[test]
fn a_head_that_nothing_tells_of_is_not_trained() {
    let (examples, pooled) = examples();
    let folder = tempfile::tempdir().expect("folder");
    let (pooled, validation) = ([Arc::new(pooled)], vec![false; 300]);
    let data = HeadData { examples: &examples, pooled: &pooled, validation: &validation };
    let recipe = HeadRecipe::extract_parts();
    let trained =
        train_head(&recipe, data, Tiny.fingerprint(), (&schedule(), folder.path()), |_| {}).map(|_| ());
    let refused = trained.expect_err("its labels are fixed, but no example has one");
    assert!(matches!(refused, TrainError::NoExamples { .. }), "{refused}");
}

#[test]
fn the_best_epoch_is_the_one_that_told_most_held_out_labels_right() {
    let folder = tempfile::tempdir().expect("folder");
    let trained = train(Ranking::Random, folder.path(), |_| {});
    let (examples, pooled) = examples();
    let head = trained.head().expect("sound");
    let held: Vec<usize> = (0..300).filter(|i| i % 10 == 0 && i % 5 != 4).collect();
    let rows: Vec<f32> = held.iter().flat_map(|i| pooled.row(*i).iter().map(|v| v.to_f32())).collect();
    let signatures = head.signatures(&Tensor::from_vec(rows, (held.len(), 4), &Device::Cpu).expect("tensor"));
    let attribute = &head.manifest().attributes[0];
    let right = held.iter().zip(signatures.expect("computed")).filter(|(i, s)| {
        let told = s.as_ref().and_then(|s| head.predict(attribute, s.values()));
        told.is_some_and(|t| Some(&t.label) == examples[**i].labels.get("color"))
    });
    let share = right.count() as f32 / held.len() as f32;
    let best = trained.trace[12..].iter().map(|t| t[1]).fold(0.0, f32::max);
    assert!((share - best).abs() < 0.02, "{share} {best}");
}

#[test]
fn pictures_that_look_different_train_another_head() {
    let folder = tempfile::tempdir().expect("folder");
    let (examples, pooled) = examples();
    let rows: Vec<f16> = (0..examples.len()).flat_map(|at| pooled.row(at).to_vec()).collect();
    let inverted = rows.iter().map(|value| f16::from_f32(2.0) - *value).collect();
    let validation: Vec<bool> = (0..examples.len()).map(|at| at % 10 == 0).collect();
    let trained = |pooled: Pooled| {
        let data = HeadData { examples: &examples, pooled: &[Arc::new(pooled)], validation: &validation };
        let of = (&schedule(), folder.path());
        train_head(&recipe(Ranking::Off), data, Tiny.fingerprint(), of, |_| {}).expect("trained").bundle
    };
    assert_ne!(trained(pooled), trained(Pooled::new(inverted, 4)), "by the same names, other pictures");
}

#[test]
fn an_interrupted_run_ends_with_the_same_weights() {
    let (whole, cut) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let wanted = train(Ranking::Random, whole.path(), |_| {});
    for stop in [3, 13] {
        let interrupted = catch_unwind(AssertUnwindSafe(|| {
            train(Ranking::Random, cut.path(), |p| assert!(p.epoch < stop, "interrupted"));
        }));
        assert!(interrupted.is_err());
    }
    let mut epochs = Vec::new();
    let found = train(Ranking::Random, cut.path(), |p| epochs.push(p.epoch));
    assert_eq!(epochs, [13, 14, 15, 16], "it went on where it was cut off");
    assert_eq!(found.bundle, wanted.bundle);
    assert_eq!(found.trace, wanted.trace);
}
