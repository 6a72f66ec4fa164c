//! The shipped probes keep what they reach on real photos: fails when a figure drops below its recorded floor, and when the
//! photos are missing where they are expected.
//!
//! The floors lie about two standard errors below what was measured when the heads were made.

#![allow(clippy::expect_used, clippy::print_stdout)]

use lapel_heads::shipped_folder;
use lapel_train::probes::{Draw, Picture, ProbeModel, Table, VectorCache};
use std::path::{Path, PathBuf};

/// Percent of labels told right, by attribute.
const TOLD: [(&str, f64); 11] = [
    ("category", 70.5),
    ("collar", 81.5),
    ("color", 67.5),
    ("fabric", 71.0),
    ("fastening", 77.5),
    ("fit", 57.0),
    ("length", 79.0),
    ("neckline", 68.5),
    ("pattern", 78.0),
    ("pocket", 79.5),
    ("sleeve_length", 80.0),
];
/// Mean calibration error over the heads at most.
const CALIBRATION_ERROR: f64 = 0.05;
/// Shares of the first five results after one edit: the asked label, the query's category, both.
const EDITS: [f64; 3] = [0.66, 0.61, 0.39];
/// The photos, where the data that goes with the project lies beside it.
fn wardrobe() -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    if !shared.exists() {
        println!("NOT RUN: {} is not there, the floors on real photos were not checked", shared.display());
        return None;
    }
    let folder = shared.join("data/wardrobe");
    assert!(folder.exists(), "{} is there, but the photos are not in it", shared.display());
    Some(folder)
}

#[test]
fn real_photos_are_told_and_edited_as_well_as_recorded() {
    let Some(folder) = wardrobe() else { return };
    let table = Table::read(&folder).expect("readable");
    assert!(table.test.len() >= 300, "{}", table.test.len());
    let model = ProbeModel::load(&shipped_folder()).expect("shipped");
    assert_eq!(model.heads.len(), TOLD.len());
    let cache = tempfile::tempdir().expect("folder");
    let cache = VectorCache::open(cache.path(), model.backbone.as_ref(), 1).expect("opened");
    let wanted: Vec<_> = table.test.iter().map(|p| (p.path.as_path(), Picture::Drawn(Draw::Plain))).collect();
    let plain = cache.features(&wanted, |_| ()).expect("computed");
    let measured = model.measure(&table.test, &plain).expect("measured");
    let mut low = Vec::new();
    let mut floor = |what: &str, found: f64, least: f64| {
        println!("{what}: {found:.3}, the floor is {least}");
        if found < least {
            low.push(format!("{what}: {found:.3}, the floor is {least}"));
        }
    };
    for (attribute, least) in TOLD {
        let found = measured.iter().find(|m| m.attribute == attribute).expect("a head");
        floor(attribute, 100.0 * found.accuracy, least);
    }
    let error = measured.iter().map(|m| m.calibration_error).sum::<f64>() / measured.len() as f64;
    floor("calibration error, negative", -error, -CALIBRATION_ERROR);
    let edits = model.edits(&table.test, &plain, 1).expect("measured").all;
    for (what, found, least) in [
        ("asked", edits.asked, EDITS[0]),
        ("category kept", edits.category, EDITS[1]),
        ("both", edits.both, EDITS[2]),
    ] {
        floor(what, found, least);
    }
    assert!(low.is_empty(), "{}", low.join("; "));
}
