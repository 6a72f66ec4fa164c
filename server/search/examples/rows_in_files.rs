//! What searches cost whose exact signatures are in files, beside the same searches in memory.
//!
//! `cargo run --release -p lapel-search --example rows_in_files -- ITEMS HEADS FOLDER [cold]`; with `cold` the signatures are in
//! files alone, every query is asked once, and a line is waited for before: time to drop the files from the page cache.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, missing_docs)]

use lapel_search::{
    Budget, ItemIndex, LoadingSignatures, LocalSignatures, PlanKind, Precision, RowFile, SearchTerm,
    SignatureColumn, SignatureQuery, Signatures, Tuning,
};
use lapel_values::{Fields, ItemFacts, Labels};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const DIM: usize = 64;
const LABELS: u64 = 12;
const QUERIES: u64 = 60;
const ROUNDS: usize = 5;

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    values.iter_mut().for_each(|v| *v /= length);
    values
}

/// A unit vector near the centre of one of a head's labels.
fn signature(head: u64, item: u64) -> Vec<f32> {
    let mut noise = ChaCha8Rng::seed_from_u64(item * 97 + head);
    let label = noise.random_range(0..LABELS);
    let mut centre = ChaCha8Rng::seed_from_u64(head * 1000 + label);
    unit(
        (0..DIM)
            .map(|_| centre.random_range(-1.0..1.0f32) + 0.5 * noise.random_range(-1.0..1.0f32))
            .collect(),
    )
}

fn column(head: u64, items: u64, folder: Option<&Path>) -> SignatureColumn {
    let key: Arc<str> = format!("head{head}").as_str().into();
    let empty = SignatureColumn::new(&key, DIM, Precision::F16);
    let mut loading = match folder {
        None => LoadingSignatures::new(empty),
        Some(folder) => {
            let files = ["items", "pictures"].map(|of| {
                let path = folder.join(format!("{key}.{of}"));
                RowFile::open(&path, &key, (DIM, Precision::F16), Arc::new(|| Ok(()))).unwrap()
            });
            LoadingSignatures::with_files(empty, files, 0)
        }
    };
    (0..items).for_each(|item| {
        loading.set(item as u32, &signature(head, item));
    });
    loading.into_column()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [items, heads, folder, rest @ ..] = &arguments[..] else { panic!("ITEMS HEADS FOLDER [cold]") };
    let (items, heads): (u64, u64) = (items.parse().unwrap(), heads.parse().unwrap());
    let (labels, fields) = (Labels::new(), Fields::new());
    let facts = ItemFacts { labels: &labels, fields: &fields, pictures: 1 };
    let index = ItemIndex::of((0..items).map(|item| Some((format!("{item}").as_str().into(), facts))));
    let catalogue = |folder: Option<&Path>| {
        let mut local = LocalSignatures::default();
        local.load_items(index.clone());
        let begun = Instant::now();
        let columns: Vec<_> = (0..heads).into_par_iter().map(|head| column(head, items, folder)).collect();
        println!("loaded in {:.1} s", begun.elapsed().as_secs_f64());
        for column in columns {
            let coded = column.coded();
            local.add_column(column.clone());
            local.adopt_codes(&column, &coded);
        }
        let bytes = local.columns().iter().map(SignatureColumn::bytes);
        let (rows, codes, filed) =
            bytes.fold((0, 0, 0), |sum, of| (sum.0 + of.rows, sum.1 + of.codes, sum.2 + of.filed));
        println!(
            "{} MB of rows and {} MB of codes in memory, {} MB in files",
            rows >> 20,
            codes >> 20,
            filed >> 20
        );
        local
    };
    let is_cold = rest.first().is_some_and(|word| word == "cold");
    let held = (!is_cold).then(|| catalogue(None));
    let filed = catalogue(Some(Path::new(folder)));
    let tuning = Tuning::of_this_machine();
    if is_cold {
        println!("waiting for a line");
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
    for (name, weights) in [
        ("uniform", vec![1.0; heads as usize]),
        (
            "extreme",
            (0..heads).map(|head| if head == 0 { 0.97 } else { 0.03 / (heads - 1) as f64 }).collect(),
        ),
        ("one-hot", vec![1.0]),
    ] {
        let queries: Vec<SignatureQuery> = (0..QUERIES)
            .map(|seed| {
                let of = items / QUERIES * seed;
                let term = |(head, weight): (u64, &f64)| SearchTerm {
                    column: format!("head{head}").as_str().into(),
                    vector: signature(head, if head == 1 { of + 7 } else { of }),
                    weight: *weight * heads as f64,
                    expected: 1.0,
                };
                let terms = (0..).zip(&weights).map(term).collect();
                SignatureQuery { terms, k: 10, plan: Some(PlanKind::CodeScan), ..SignatureQuery::default() }
            })
            .collect();
        let run = |local: &LocalSignatures, query: &SignatureQuery| {
            let begun = Instant::now();
            let budget = Budget { tuning: &tuning, threads: 1, is_abandoned: &|| false };
            let answer = local.search(std::slice::from_ref(query), &budget).remove(0).unwrap();
            (1e3 * begun.elapsed().as_secs_f64(), answer.plan.rescored, answer.hits)
        };
        let (mut in_memory, mut in_files, mut rescored) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..if is_cold { 1 } else { ROUNDS } {
            for query in &queries {
                let (ms, scored, hits) = run(&filed, query);
                in_files.push(ms);
                rescored.push(scored as f64);
                if let Some(held) = &held {
                    let (ms, _, same) = run(held, query);
                    assert_eq!(hits, same);
                    in_memory.push(ms);
                }
            }
        }
        let at = |of: &mut Vec<f64>, share: f64| {
            of.sort_by(f64::total_cmp);
            of.get((of.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN)
        };
        println!(
            "{name}: {:.0} rescored; ms p50 {:.3} in files, {:.3} in memory; p99 {:.3}, {:.3}",
            at(&mut rescored, 0.5),
            at(&mut in_files, 0.5),
            at(&mut in_memory, 0.5),
            at(&mut in_files, 0.99),
            at(&mut in_memory, 0.99),
        );
    }
}
