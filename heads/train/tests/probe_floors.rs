//! The shipped probes keep what they reach on real photos: fails when a figure drops below its recorded floor, as they are or
//! recomposed, and when the photos are missing where they are expected.
//!
//! The floors lie about two standard errors below what was measured when the heads were made.

#![allow(clippy::expect_used, clippy::print_stdout)]

use lapel_heads::shipped_folder;
use lapel_train::probes::{Draw, Measurement, Picture, ProbeModel, Recomposed, Table, VectorCache};
use std::path::{Path, PathBuf};

/// Percent of labels told right, by attribute.
const TOLD: [(&str, f64); 11] = [
    ("category", 77.0),
    ("collar", 86.5),
    ("color", 69.5),
    ("fabric", 77.0),
    ("fastening", 81.5),
    ("fit", 61.5),
    ("length", 83.5),
    ("neckline", 77.5),
    ("pattern", 82.0),
    ("pocket", 80.5),
    ("sleeve_length", 87.5),
];
/// Calibration error of a head at most.
const CALIBRATION_ERROR: f64 = 0.06;
/// Shares of the first five results after one edit: the asked label, the query's category, both.
const EDITS: [f64; 3] = [0.80, 0.64, 0.53];
/// Photos that are recomposed.
const RECOMPOSED: usize = 120;
/// Percent of the labels still shown that a recomposition may cost, in the mean over the attributes.
const COST: [(Recomposed, f64); 6] = [
    (Recomposed::WhiteBackground, 6.0),
    (Recomposed::HalfInCorner, 6.0),
    (Recomposed::UpperHalf, 12.0),
    (Recomposed::AdobeRgb, 3.0),
    (Recomposed::LowQuality, 3.0),
    (Recomposed::Enlarged, 3.0),
];

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
    for m in &measured {
        floor(
            &format!("calibration error of {}, negative", m.attribute),
            -m.calibration_error,
            -CALIBRATION_ERROR,
        );
    }
    let edits = model.edits(&table.test, &plain, 1).expect("measured").all;
    for (what, found, least) in [
        ("asked", edits.asked, EDITS[0]),
        ("category kept", edits.category, EDITS[1]),
        ("both", edits.both, EDITS[2]),
    ] {
        floor(what, found, least);
    }
    let some = &table.test[..RECOMPOSED];
    let as_they_are =
        model.measure(some, &plain.narrow(0, 0, RECOMPOSED).expect("enough")).expect("measured");
    for (how, cost) in COST {
        let wanted: Vec<_> = some.iter().map(|p| (p.path.as_path(), Picture::Recomposed(how))).collect();
        let rows = cache.features(&wanted, |_| ()).expect("computed");
        let recomposed = model.measure(some, &rows).expect("measured");
        let least = 100.0 * mean(how, &as_they_are) - cost;
        floor(how.name(), 100.0 * mean(how, &recomposed), least);
    }
    assert!(low.is_empty(), "{}", low.join("; "));
}

/// Mean accuracy over the attributes that a recomposed photo still shows.
fn mean(how: Recomposed, measured: &[Measurement]) -> f64 {
    let shown = |m: &&Measurement| how.shown().is_none_or(|names| names.contains(&m.attribute.as_str()));
    let shown: Vec<f64> = measured.iter().filter(shown).map(|m| m.accuracy).collect();
    shown.iter().sum::<f64>() / shown.len() as f64
}
