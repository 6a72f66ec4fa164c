use super::front::GIVEN_UP;
use super::*;
use crate::dataset::{Collection, DataSet, RenderSet, label_numbers};
use crate::evaluate::{Entrant, EntrantRun, TestSet, evaluate_systems};
use crate::probes::Scaling;
use crate::{Example, Schedule};
use candle_core::{Device, Tensor};
use indicatif::ProgressBar;
use lapel_heads::{Backbone, Canvas, FeatureLayout, Source};
use std::collections::BTreeMap;
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
    assert_eq!(prototypes.nearest(0, &[0.3, 0.9]), Some(1));
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

const COUNT: usize = 320;

/// Rendered garments whose labels are the most frequent one of an attribute and "other", so that few are enough.
struct CoarseSet {
    collection: Collection,
}

impl CoarseSet {
    fn new() -> Self {
        let fine = RenderSet::new(11, COUNT as u64, 80);
        let frequent = |a: &Attribute| {
            let count =
                |l: &&String| fine.training().iter().filter(|e| e.labels.get(&a.name) == Some(l)).count();
            (a.name.clone(), a.labels.iter().max_by_key(count).expect("a label").clone())
        };
        let frequent: BTreeMap<String, String> = fine.attributes().iter().map(frequent).collect();
        let coarse = |examples: &[Example]| -> Vec<Example> {
            let mut examples = examples.to_vec();
            for (name, label) in examples.iter_mut().flat_map(|e| &mut e.labels) {
                if frequent.get(name).is_some_and(|f| f != label) {
                    *label = "other".into();
                }
            }
            examples
        };
        let attribute = |(name, label): (&String, &String)| Attribute {
            name: name.clone(),
            labels: vec![label.clone(), "other".into()],
        };
        let attributes = frequent.iter().map(attribute).collect();
        let (training, test) = (coarse(fine.training()), coarse(fine.test()));
        Self { collection: Collection { name: "coarse".into(), attributes, training, test } }
    }
}

impl DataSet for CoarseSet {
    fn collection(&self) -> &Collection {
        &self.collection
    }
}

/// Two halves of a picture's mean colours, as a backbone gives vectors: enough to tell something, and fast.
struct Tiny;

impl Backbone for Tiny {
    fn fingerprint(&self) -> &'static str {
        "tiny"
    }

    fn input_side(&self) -> usize {
        32
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

/// Numbers of a vector of [`Tiny`].
const LEN: usize = 3 * 64;

/// Mean colours of 8 x 8 blocks, three times.
fn blocks(canvas: &Canvas) -> Vec<f32> {
    let (rgb, side) = (canvas.rgb(), canvas.side());
    let mut sums = vec![0.0f32; LEN];
    for (at, pixel) in rgb.chunks_exact(3).enumerate() {
        let block = (at / side) * 8 / side * 8 + (at % side) * 8 / side;
        for (channel, value) in pixel.iter().enumerate() {
            sums[block * 3 + channel] += f32::from(*value) / 255.0;
        }
    }
    sums.repeat(3)
}

/// Everything that the line-up learns from.
struct Workshop {
    set: CoarseSet,
    training: Prepared,
    test: Prepared,
    scaling: Scaling,
}

impl Workshop {
    fn new(folder: &Path) -> Self {
        let set = CoarseSet::new();
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
        steps: 60,
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
    // The frequent label.
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
        assert!(nearer * 10 >= all * 7, "{}: {nearer} of {all}", member.name);
    }
}
