use super::generate::{Generator, Shape};
use super::measure::{Narrow, measure, regimes, solve};
use super::{files, set};
use crate::catalogue::Precision;
use crate::config::SearchConfig;
use crate::search::Planner;

fn shape(missing: f64) -> Shape {
    Shape {
        items: 6000,
        heads: 4,
        dim: 32,
        labels: 6,
        zipf: 1.0,
        correlation: 0.3,
        spread: (0.3, 0.9),
        variants: 0.2,
        missing,
        seed: 5,
    }
}

#[test]
fn every_regime_finds_the_true_best_by_codes() {
    for missing in [0.0, 0.3] {
        let generator = Generator::new(shape(missing)).expect("sound");
        let mut snapshot = set::catalogue(&generator, Precision::F32, false).expect("made");
        set::code(&mut snapshot);
        let mut planner = Planner::new(&SearchConfig::default());
        (planner.tuning.costs.exact_number, planner.tuning.costs.random_row) = (1e6, 1e3);
        let mut regimes = regimes(&generator, &snapshot, &planner, 20).expect("drawn");
        solve(&snapshot, &planner, &mut regimes, &Narrow::default());
        let outcomes = measure(&snapshot, &planner, &regimes, &Narrow::default());
        assert_eq!(outcomes.len(), 18);
        for outcome in outcomes {
            assert_eq!(outcome.plans.get("codes"), Some(&20), "{outcome:?}");
            assert!(outcome.recall_10 >= 0.98 && outcome.recall_100 >= 0.98, "{missing}: {outcome:?}");
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_items_in_any_order() {
    let generator = Generator::new(shape(0.2)).expect("sound");
    let all = generator.items(0, 300);
    assert_eq!(all[200..], generator.items(200, 100));
    let missing = all.iter().flat_map(|s| &s.signatures).filter(|s| s.is_none()).count();
    assert!((180..300).contains(&missing), "about a fifth of 1,200: {missing}");
    let of_first = all.iter().filter(|sample| sample.labels[0] == 0).count();
    let of_last = all.iter().filter(|sample| sample.labels[0] == 5).count();
    assert!(of_first > of_last, "labels follow Zipf's law");
}

#[test]
fn files_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().expect("folder");
    let generator = Generator::new(Shape { items: 70, ..shape(0.3) }).expect("sound");
    files::write(folder.path(), &generator).expect("written");
    let read = files::read(folder.path(), 1).expect("read");
    for (a, b) in generator.items(0, 70).iter().zip(read.items(0, 70)) {
        assert_eq!(a.labels, b.labels);
        for (a, b) in a.signatures.iter().zip(&b.signatures) {
            assert_eq!(a.is_some(), b.is_some());
            let pairs = a.iter().flatten().zip(b.iter().flatten());
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-6), "but for scaling to unit length");
        }
    }
    std::fs::remove_file(folder.path().join("signatures_02.npy")).expect("removed");
    let error = files::read(folder.path(), 1).map(|_| ()).expect_err("refused");
    assert!(error.to_string().contains("signatures_02.npy"), "{error}");
}
