use super::*;
use crate::dataset::{Collection, DataSet, RenderSet, label_numbers};
use crate::evaluate::{TestSet, evaluate_systems};
use crate::{Example, HeadData, HeadRecipe, Schedule, train_head};
use indicatif::ProgressBar;
use lapel_heads::{ALEXNET_FILE, AlexNet, Backbone, alexnet_folder};
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

/// Everything that the line-up learns from.
struct Workshop {
    set: CoarseSet,
    training: Prepared,
    test: Prepared,
    fingerprint: String,
}

impl Workshop {
    fn new(folder: &Path) -> Self {
        let set = CoarseSet::new();
        let backbone = AlexNet::load(&alexnet_folder().join(ALEXNET_FILE)).expect("shipped");
        let bar = ProgressBar::hidden();
        let prepare = |examples: &[Example]| {
            Prepared::new(examples.to_vec(), &backbone, folder, (&bar, &bar)).expect("prepared")
        };
        let (training, test) = (prepare(set.training()), prepare(set.test()));
        Self { training, test, fingerprint: backbone.fingerprint().to_owned(), set }
    }
}

#[test]
fn every_system_is_trained_asked_and_measured_and_training_goes_on_from_its_checkpoints() {
    let folder = tempfile::tempdir().expect("folder");
    let mut shop = Workshop::new(folder.path());
    let schedule = Schedule { epochs_1: 3, epochs_2: 1, ..Schedule::default() };
    let validation: Vec<bool> = (0..COUNT).map(|at| at % 6 == 0).collect();
    let recipe = HeadRecipe::extract_parts();
    let pooled = shop.training.inputs(recipe.region, false).expect("pooled");
    let data = HeadData { examples: shop.training.examples(), pooled: &pooled, validation: &validation };
    let settings = (&schedule, folder.path());
    let parts = train_head(&recipe, data, &shop.fingerprint, settings, |_| {})
        .expect("trained")
        .head()
        .expect("sound");
    shop.training.find_cases(&parts).expect("cases");
    shop.test.find_cases(&parts).expect("cases");
    let rows: Vec<usize> = (0..COUNT).collect();
    let lesson = Lesson {
        attributes: shop.set.attributes(),
        training: &shop.training,
        rows: rows.clone(),
        held_out: &shop.test,
        held_out_rows: (0..80).collect(),
    };
    let lessons = [lesson];
    let epochs = std::sync::atomic::AtomicUsize::new(0);
    let told = |_: &str, _: &str, _: usize, _: usize, _: f32| {
        epochs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let line_up = LineUp {
        plain: &shop.training,
        tuned: &shop.training,
        fingerprints: [&shop.fingerprint, &shop.fingerprint],
        validation: &validation,
        attributes: shop.set.attributes(),
        schedule: &schedule,
        checkpoints: folder.path(),
        lessons: &lessons,
        told: &told,
    };
    let trained = line_up.train().expect("trained");
    assert!(trained.rules.changed >= 1.0 && trained.rules.weights.len() == trained.lapel.len());
    assert!(trained.traces.iter().all(|t| t.epochs.iter().all(|e| e[0].is_finite())));
    let first = epochs.load(std::sync::atomic::Ordering::Relaxed);
    let again = line_up.train().expect("trained");
    assert_eq!(epochs.load(std::sync::atomic::Ordering::Relaxed), first, "nothing was trained again");
    let of = || TestSet { set: &shop.set, training: &shop.training, rows: &rows, test: &shop.test };
    let measure = |line_up: &TrainedLineUp| {
        let systems: Vec<(&dyn System, TestSet<'_>)> =
            line_up.members.iter().map(|m| (m.system.as_ref(), of())).collect();
        evaluate_systems(&systems, &[systems.len() - 1], |_| {}).expect("measured")
    };
    let report = measure(&trained);
    assert_eq!(report.systems.last().map(|s| s.name.as_str()), Some("Lapel"));
    for system in &report.systems {
        let scores = &system.scores;
        assert!(scores.one.top_20.count > 20, "{}", system.name);
        assert!(scores.one.curve.windows(2).all(|k| k[0] <= k[1]) && scores.one.curve[49] <= 1.0);
        assert!(
            scores.one.top_20.mean >= scores.one.top_20.low
                && scores.one.top_20.mean <= scores.one.top_20.high
        );
    }
    assert_eq!(
        serde_json::to_string(&report).expect("json"),
        serde_json::to_string(&measure(&again)).expect("json"),
        "the same training gives the same figures"
    );
    a_change_moves_the_query_towards_what_is_wanted(&trained, &shop, &rows);
}

/// Of every system: the changed query is nearer to the pictures that carry the wanted label than the query was.
fn a_change_moves_the_query_towards_what_is_wanted(trained: &TrainedLineUp, shop: &Workshop, rows: &[usize]) {
    let attributes = shop.set.attributes();
    let at = attributes.iter().position(|a| a.name == "sleeve_length").expect("an attribute");
    // The frequent label.
    let to = 0;
    let labels: Vec<Vec<Option<u16>>> =
        rows.iter().map(|r| label_numbers(&shop.training.examples()[*r].labels, attributes)).collect();
    for member in &trained.members {
        let signatures = member.system.signatures(&shop.training).expect("signatures");
        let labelled = Labelled { signatures: signatures.clone(), labels: &labels, attributes };
        let searcher = member.system.fit(labelled).expect("fitted");
        let (mut nearer, mut all) = (0, 0);
        for query in (0..COUNT).filter(|q| labels[*q][at].is_some_and(|l| l != to)) {
            let mean = |q: &Query| -> f32 {
                let targets: Vec<usize> = (0..COUNT).filter(|p| labels[*p][at] == Some(to)).collect();
                let sum: f32 = targets
                    .iter()
                    .map(|p| signatures.distance(&q.vector, signatures.row(*p), &plain(&signatures)))
                    .sum();
                sum / targets.len() as f32
            };
            let change = Change { attribute: at, to, from: None };
            let asked = searcher.query(signatures.row(query), &[change]);
            nearer += usize::from(mean(&asked) < mean(&searcher.query(signatures.row(query), &[])));
            all += 1;
        }
        assert!(nearer * 10 >= all * 7, "{}: {nearer} of {all}", member.system.name());
    }
}

fn plain(signatures: &Signatures) -> Vec<f32> {
    vec![1.0; signatures.parts().len()]
}
