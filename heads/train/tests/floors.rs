//! The shipped heads keep what they reach: fails when a figure drops below its recorded floor.
//!
//! The floors lie about two standard errors below what was measured on the same pictures when the heads were made.

#![allow(clippy::expect_used, clippy::print_stdout)]

use indicatif::ProgressBar;
use lapel_heads::{ALEXNET_FILE, AlexNet, EXTRACT_PARTS_FILE, Head, alexnet_folder};
use lapel_train::dataset::{DataSet, PhotoSet, RenderSet};
use lapel_train::evaluate::{Entrant, SetReport, TestSet, accuracies, evaluate_systems, measure};
use lapel_train::systems::{HeadSystem, PartWeights};
use lapel_train::{Example, Prepared};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const HEADS: [&str; 7] = ["collar", "color", "fastening", "general", "neckline", "pattern", "sleeve_length"];

/// Percent of labels told right, by attribute, and top-20 accuracy after one change.
struct Floors {
    told: &'static [(&'static str, f64)],
    one_change: f64,
}

const RENDERED: Floors = Floors {
    told: &[
        ("category", 84.0),
        ("collar", 86.0),
        ("color", 84.0),
        ("fabric", 65.5),
        ("fastening", 82.5),
        ("fit", 75.5),
        ("length", 90.0),
        ("neckline", 82.5),
        ("pattern", 93.0),
        ("pocket", 58.0),
        ("sleeve_length", 97.0),
    ],
    one_change: 96.0,
};

/// On 700 photos; the heads are those that were made when there were 300, in whose smaller gallery a change found more.
const PHOTOS: Floors = Floors {
    told: &[
        ("category", 60.0),
        ("collar", 76.0),
        ("color", 60.0),
        ("fabric", 62.0),
        ("fastening", 73.0),
        ("fit", 56.0),
        ("length", 78.0),
        ("neckline", 68.0),
        ("pattern", 70.5),
        ("pocket", 78.5),
        ("sleeve_length", 80.5),
    ],
    one_change: 76.0,
};

fn load(name: &str, backbone: &AlexNet) -> Head {
    let bytes = std::fs::read(alexnet_folder().join(name)).expect("shipped");
    Head::from_bytes(&bytes, backbone).expect("sound")
}

/// What the shipped heads reach on a set.
fn reached(set: &dyn DataSet) -> (BTreeMap<String, f64>, SetReport) {
    let backbone = AlexNet::load(&alexnet_folder().join(ALEXNET_FILE)).expect("shipped");
    let extract_parts = load(EXTRACT_PARTS_FILE, &backbone);
    let heads: Vec<Head> = HEADS.iter().map(|h| load(&format!("{h}.safetensors"), &backbone)).collect();
    let shared: Vec<Arc<Head>> = heads.iter().cloned().map(Arc::new).collect();
    let folder = tempfile::tempdir().expect("folder");
    let bar = ProgressBar::hidden();
    let prepare = |examples: &[Example]| {
        let mut prepared =
            Prepared::new(examples.to_vec(), &backbone, folder.path(), (&bar, &bar)).expect("prepared");
        prepared.find_cases(&extract_parts).expect("cases");
        prepared
    };
    let (training, test) = (prepare(set.training()), prepare(set.test()));
    let rows: Vec<usize> = (0..training.examples().len()).collect();
    let weights = PartWeights::of_manifests(&heads);
    let system = HeadSystem::new("Lapel", Arc::new(heads));
    let of = TestSet { set, training: &training, rows: &rows, test: &test };
    let entrant = Entrant::shipped("Lapel", (&system, &weights), of);
    let report = evaluate_systems(&[entrant], |_, _| true, |_| {}).expect("measured");
    let told = accuracies(&measure(&test, &shared).expect("measured"), &shared);
    (told.into_iter().map(|a| (a.attribute, 100.0 * a.accuracy)).collect(), report)
}

fn check(set: &dyn DataSet, floors: &Floors) {
    let (told, report) = reached(set);
    let one = 100.0 * report.systems[0].scores.one.top_20.mean;
    println!("{}: {told:.1?}; top-20 after one change {one:.1}", report.name);
    let mut low: Vec<String> = floors
        .told
        .iter()
        .filter(|(attribute, floor)| told[*attribute] < *floor)
        .map(|(attribute, floor)| {
            format!("{attribute}: {:.1} % told, the floor is {floor} %", told[*attribute])
        })
        .collect();
    if one < floors.one_change {
        low.push(format!("top-20 after one change: {one:.1} %, the floor is {} %", floors.one_change));
    }
    assert!(low.is_empty(), "on {}: {}", report.name, low.join("; "));
}

#[test]
fn rendered_garments_are_told_and_found_as_well_as_recorded() {
    check(&RenderSet::new(1, 1500, 1000), &RENDERED);
}

#[test]
fn real_photos_are_told_and_found_as_well_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/wardrobe");
    if !folder.exists() {
        println!("skipped: the real photos are not part of the project");
        return;
    }
    check(&PhotoSet::read(&folder).expect("readable"), &PHOTOS);
}
