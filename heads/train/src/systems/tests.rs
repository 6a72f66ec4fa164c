use super::front::GIVEN_UP;
use super::*;
use crate::dataset::{Collection, DataSet, label_numbers};
use crate::evaluate::{Entrant, EntrantRun, TestSet, evaluate_systems};
use crate::probes::Scaling;
use crate::{Example, Schedule, examples};
use candle_core::{Device, Tensor};
use image::{Rgb, RgbImage};
use indicatif::ProgressBar;
use lapel_heads::{Backbone, Canvas, FeatureLayout, Source};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// Signatures of two parts, whose numbers are the labels.
fn labelled() -> (Signatures, Vec<Vec<Option<u16>>>, Vec<Attribute>) {
    let labels: Vec<Vec<Option<u16>>> =
        vec![vec![Some(0), Some(0)], vec![Some(0), Some(1)], vec![Some(1), None], vec![None, Some(1)]];
    let unit = |l: Option<u16>| match l {
        Some(0) => [1.0, 0.0],
        Some(_) => [0.0, 1.0],
        None => [0.6, 0.8],
    };
    let data = labels.iter().flat_map(|row| row.iter().flat_map(|l| unit(*l))).collect();
    let attribute = |name: &str| Attribute { name: name.into(), labels: vec!["a".into(), "b".into()] };
    (Signatures::new(vec![2, 2], data), labels, vec![attribute("color"), attribute("collar")])
}

#[test]
fn prototypes_are_means_over_the_pictures_that_carry_the_label() {
    let (signatures, labels, attributes) = labelled();
    let training = Labelled { signatures, labels: &labels, attributes: &attributes };
    let prototypes = Prototypes::of(&training, |at| Some(2 * at..2 * at + 2));
    assert_eq!(prototypes.get(0, 0), Some(&[1.0, 0.0][..]));
    assert_eq!(prototypes.get(1, 1), Some(&[0.0, 1.0][..]));
    assert_eq!(prototypes.nearest_other(0, &[0.3, 0.9], 0), Some(1));
    let none = Prototypes::of(&training, |_| None);
    assert_eq!(none.get(0, 0), None);
}

#[test]
fn distances_are_weighted_sums_over_the_parts() {
    let (signatures, ..) = labelled();
    let d = |weights: &[f32]| signatures.distance(signatures.row(0), signatures.row(1), weights);
    assert!((d(&[1.0, 1.0]) - 2f32.sqrt()).abs() < 1e-6);
    assert!(d(&[3.0, 0.0]).abs() < 1e-6 && (d(&[0.0, 2.0]) - 8f32.sqrt()).abs() < 1e-6);
    assert_eq!(signatures.select(&[2]).row(0), signatures.row(2));
}

const COUNT: usize = 240;
const TESTED: usize = 80;
/// Attributes of the striped pictures, and their labels.
const STRIPES: [(&str, usize); 6] =
    [("category", 2), ("collar", 2), ("color", 3), ("fabric", 2), ("pattern", 2), ("sleeve_length", 2)];
const SIDE: u32 = 36;

/// Pictures of one stripe an attribute, whose colour is its label's, with noise. Every label can be told from the
/// picture, so that a system that fails on them does not fail for want of features.
struct StripedSet {
    collection: Collection,
}

impl StripedSet {
    fn new(folder: &Path) -> Self {
        let label = |at: usize| format!("label-{at}");
        let attribute = |(name, labels): (&str, usize)| Attribute {
            name: name.into(),
            labels: (0..labels).map(label).collect(),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut example = |at: usize| {
            let labels = STRIPES.map(|(_, labels)| rng.random_range(0..labels));
            let picture = RgbImage::from_fn(SIDE, SIDE, |_, y| {
                let stripe = y as usize * STRIPES.len() / SIDE as usize;
                let mut colour = [60.0f32; 3];
                colour[labels[stripe]] = 190.0;
                Rgb(colour.map(|c| (c + rng.random_range(-60.0..60.0)) as u8))
            });
            let path = folder.join(format!("{at}.png"));
            picture.save(&path).expect("saved");
            let labels = STRIPES.iter().zip(labels).map(|((name, _), at)| ((*name).to_owned(), label(at)));
            Example { source: examples::Source::Photo(path), variant: 0, labels: labels.collect() }
        };
        let training = (0..COUNT).map(&mut example).collect();
        let test = (COUNT..COUNT + TESTED).map(&mut example).collect();
        let attributes = STRIPES.map(attribute).into();
        Self { collection: Collection { name: "striped".into(), attributes, training, test } }
    }
}

impl DataSet for StripedSet {
    fn collection(&self) -> &Collection {
        &self.collection
    }
}

/// A picture's mean colours, as a backbone gives vectors: enough to tell stripes, and fast.
struct Tiny;

impl Backbone for Tiny {
    fn fingerprint(&self) -> &'static str {
        "tiny"
    }

    fn input_side(&self) -> usize {
        SIDE as usize
    }

    fn layout(&self) -> FeatureLayout {
        let source = |name: &str| Source { name: name.into(), len: LEN };
        FeatureLayout::Vectors(["garment", "upper", "colour"].map(source).to_vec().into())
    }

    fn forward(&self, batch: &[&Canvas]) -> candle_core::Result<Tensor> {
        let data: Vec<f32> = batch.iter().flat_map(|canvas| blocks(canvas)).collect();
        Tensor::from_vec(data, (batch.len(), 3 * LEN), &Device::Cpu)
    }
}

/// Blocks along a side of a picture.
const BLOCKS: usize = 6;
/// Numbers of a vector of [`Tiny`].
const LEN: usize = 3 * BLOCKS * BLOCKS;

/// Mean colours of blocks, three times.
fn blocks(canvas: &Canvas) -> Vec<f32> {
    let (rgb, side) = (canvas.rgb(), canvas.side());
    let pixels = (side / BLOCKS * (side / BLOCKS)) as f32;
    let mut means = vec![0.0f32; LEN];
    for (at, pixel) in rgb.chunks_exact(3).enumerate() {
        let block = (at / side) * BLOCKS / side * BLOCKS + (at % side) * BLOCKS / side;
        for (channel, value) in pixel.iter().enumerate() {
            means[block * 3 + channel] += f32::from(*value) / (255.0 * pixels);
        }
    }
    means.repeat(3)
}

/// Everything that the line-up learns from.
struct Workshop {
    set: StripedSet,
    training: Prepared,
    test: Prepared,
    scaling: Scaling,
}

impl Workshop {
    fn new(folder: &Path) -> Self {
        let set = StripedSet::new(folder);
        let bar = ProgressBar::hidden();
        let prepare = |examples: &[Example]| {
            Prepared::of_vectors(examples.to_vec(), &Tiny, folder, &bar).expect("prepared")
        };
        let (mut training, mut test) = (prepare(set.training()), prepare(set.test()));
        let scaling = Scaling::of(training.vectors().expect("vectors")).expect("scaling");
        training.scale(&scaling).expect("scaled");
        test.scale(&scaling).expect("scaled");
        Self { training, test, scaling, set }
    }
}

#[test]
fn every_system_is_trained_asked_and_measured_and_training_goes_on_from_its_checkpoints() {
    let folder = tempfile::tempdir().expect("folder");
    let shop = Workshop::new(folder.path());
    let schedule = Schedule { epochs_1: 3, epochs_2: 1, ..Schedule::default() };
    let set_aside: Vec<bool> = (0..COUNT).map(|at| at % 6 == 0).collect();
    let rows: Vec<usize> = (0..COUNT).collect();
    let side = Side { name: "tiny", backbone: &Tiny, training: &shop.training, scaling: &shop.scaling };
    let line_up = LineUp {
        sides: &[side],
        set_aside: &set_aside,
        attributes: shop.set.attributes(),
        learnable: shop.set.attributes(),
        schedule: &schedule,
        steps: 200,
        seeds: &[1, 2],
        checkpoints: folder.path(),
        told: &|_| (),
    };
    let trained = line_up.train().expect("trained");
    assert!(trained.traces.iter().all(|t| t.epochs.len() == 4 && t.epochs.iter().all(|e| e[0].is_finite())));
    let written = || std::fs::read_dir(folder.path()).expect("folder").count();
    let first = written();
    let again = line_up.train().expect("trained");
    assert_eq!(written(), first, "nothing was trained again");
    let set = TestSet { set: &shop.set, training: &shop.training, rows: &rows, test: &shop.test };
    let measure = |line_up: &TrainedLineUp| {
        let entrant = |member: &Member| Entrant {
            name: member.name.clone(),
            backbone: "tiny".into(),
            weightings: vec!["learned".into()],
            runs: (0..2)
                .map(|seed| EntrantRun {
                    system: line_up.members.iter().find(|m| m.name == member.name).expect("trained").systems
                        [seed]
                        .as_ref(),
                    weights: vec![member.fronts[seed].taken.weights.clone()],
                    set,
                })
                .collect(),
            personal: false,
        };
        let entrants: Vec<Entrant<'_>> = line_up.members.iter().map(entrant).collect();
        evaluate_systems(&entrants, |e, _| e.name == "Lapel", |_| {}).expect("measured")
    };
    let report = measure(&trained);
    assert_eq!(report.systems.last().map(|s| s.name.as_str()), Some("Lapel"));
    for system in &report.systems {
        let one = &system.scores.one;
        assert!(one.top_20.count > 20 && one.top_20_by_seed.len() == 2, "{}", system.name);
        assert!(one.curve.windows(2).all(|k| k[0] <= k[1]) && one.curve[49] <= 1.0);
        assert!(one.top_20.mean >= one.top_20.low && one.top_20.mean <= one.top_20.high);
        assert!(one.mean_rank.mean >= 1.0 && (0.0..=1.0).contains(&one.ndcg_20.mean));
    }
    let same_seeds = &report.systems.last().expect("Lapel").scores.one.top_20_by_seed;
    assert_eq!(same_seeds.len(), 2);
    assert_eq!(
        serde_json::to_string(&report).expect("json"),
        serde_json::to_string(&measure(&again)).expect("json"),
        "the same training gives the same figures"
    );
    for member in &trained.members {
        let front = &member.fronts[0];
        assert!(front.taken.reached.changed >= front.equal.changed - 1e-9, "{}", member.name);
        assert!(front.taken.reached.kept >= front.equal.kept - GIVEN_UP - 1e-9, "{}", member.name);
        assert!(front.taken.reached.category >= front.equal.category - GIVEN_UP - 1e-9, "{}", member.name);
    }
    a_change_moves_the_query_towards_what_is_wanted(&trained, &shop, &rows);
}

/// Of every system: the changed query is nearer to the pictures that carry the wanted label than the query was.
fn a_change_moves_the_query_towards_what_is_wanted(trained: &TrainedLineUp, shop: &Workshop, rows: &[usize]) {
    let attributes = shop.set.attributes();
    let at = attributes.iter().position(|a| a.name == "color").expect("an attribute");
    let to = 0;
    let labels: Vec<Vec<Option<u16>>> =
        rows.iter().map(|r| label_numbers(&shop.training.examples()[*r].labels, attributes)).collect();
    for member in &trained.members {
        let system = &member.systems[0];
        let signatures = system.signatures(&shop.training).expect("signatures");
        let labelled = Labelled { signatures: signatures.clone(), labels: &labels, attributes };
        let searcher = system.fit(labelled).expect("fitted");
        let weights = PartWeights::equal(signatures.parts().len());
        let search = Search { searcher: searcher.as_ref(), weights: &weights };
        let targets: Vec<usize> = (0..COUNT).filter(|p| labels[*p][at] == Some(to)).collect();
        let (mut nearer, mut all) = (0, 0);
        for query in (0..COUNT).filter(|q| labels[*q][at].is_some_and(|l| l != to)) {
            let mean = |changes: &[Change]| -> f32 {
                search.distances(&signatures, query, (changes, &targets)).iter().sum()
            };
            nearer += usize::from(mean(&[Change { attribute: at, to, from: None }]) < mean(&[]));
            all += 1;
        }
        assert!(nearer * 10 >= all * 9, "{}: {nearer} of {all}", member.name);
    }
}
