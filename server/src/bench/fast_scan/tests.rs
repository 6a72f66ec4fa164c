use super::kernel::{ITEMS, Pair, scores_below};
use super::quantiser::{Codebook, PART};
use super::reservoir::Reservoir;
use super::tables::Tables;
use super::{FastScan, Searcher};
use lapel_search::kernels::CODES;
use lapel_search::{
    Budget, Instructions, ItemIndex, LocalSignatures, PlanKind, Precision, SearchTerm, SignatureColumn,
    SignatureQuery, Signatures, Slot, Tuning,
};
use lapel_values::{Fields, ItemFacts, Labels};
use proptest::prelude::*;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// More than eight blocks, the last one with room.
const ITEMS_THERE: usize = 275;

fn unit(rng: &mut ChaCha8Rng, dim: usize) -> Vec<f32> {
    let values: Vec<f32> = (0..dim).map(|_| rng.random_range(-1.0..1.0f32)).collect();
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    values.iter().map(|v| v / length).collect()
}

fn key(head: usize) -> Arc<str> {
    format!("head{head}").as_str().into()
}

/// A signature of each item under each head, but for the share that is missing.
fn signatures(dims: &[usize], missing: f64) -> LocalSignatures {
    let mut rng = ChaCha8Rng::seed_from_u64(dims.len() as u64);
    let (labels, fields) = (Labels::new(), Fields::new());
    let facts = ItemFacts { labels: &labels, fields: &fields, pictures: 1 };
    let mut local = LocalSignatures::default();
    let item = |at: usize| Some((format!("item{at:03}").as_str().into(), facts));
    local.load_items(ItemIndex::of((0..ITEMS_THERE).map(item)));
    for (head, dim) in dims.iter().enumerate() {
        let mut column = SignatureColumn::new(&key(head), *dim, Precision::F32);
        for slot in 0..ITEMS_THERE as Slot {
            let signature = unit(&mut rng, *dim);
            column.set(slot, (!rng.random_bool(missing)).then_some(&*signature));
        }
        local.add_column(column);
    }
    local
}

fn terms(dims: &[usize], weights: &[f64]) -> Vec<SearchTerm> {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let term = |((head, dim), weight): ((usize, &usize), &f64)| {
        let vector = unit(&mut rng, *dim);
        SearchTerm { column: key(head), vector, weight: *weight, expected: 1.3 }
    };
    dims.iter().enumerate().zip(weights).map(term).collect()
}

proptest! {
    /// The kernels give the same scores and bits, whatever the tables and codes, as far as sums are words.
    #[test]
    fn the_kernels_agree(
        bytes in proptest::collection::vec(any::<([u8; ITEMS], [u8; ITEMS])>(), 0..129), limit in any::<u16>()
    ) {
        let (tables, codes): (Vec<Pair>, Vec<Pair>) =
            bytes.into_iter().map(|(table, codes)| (Pair(table), Pair(codes))).unzip();
        let mut wanted = [0u16; ITEMS];
        for (at, wanted) in wanted.iter_mut().enumerate() {
            for (table, codes) in tables.iter().zip(&codes) {
                for part in 0..2 {
                    let code = codes.0[part * ITEMS / 2 + at % (ITEMS / 2)] >> (at / (ITEMS / 2) * 4) & 15;
                    *wanted += u16::from(table.0[part * CODES + usize::from(code)]);
                }
            }
        }
        // Limits that some scores meet exactly, too.
        for limit in [limit, wanted[3], wanted[3].saturating_add(1), 0, u16::MAX] {
            let below = wanted.iter().enumerate().fold(0, |bits, (at, sum)| bits | u32::from(*sum < limit) << at);
            for level in Instructions::available() {
                let mut scores = [7; ITEMS];
                let found = scores_below(level, &tables, &codes, limit, &mut scores);
                prop_assert_eq!((found, scores), (below, wanted), "{:?}", level);
            }
        }
    }

    /// What the reservoir keeps is what sorting keeps.
    #[test]
    fn the_reservoir_keeps_the_least(scores in proptest::collection::vec(0u16..40, 0..300), most in 1usize..40) {
        let mut reservoir = Reservoir::default();
        reservoir.start(most, 40);
        for (slot, score) in (0..).zip(&scores) {
            reservoir.push(slot, *score);
        }
        let kept: Vec<Slot> = reservoir.slots().collect();
        let mut wanted: Vec<(u16, Slot)> = scores.iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let mut wanted: Vec<Slot> = wanted.into_iter().take(most).map(|(_, slot)| slot).collect();
        wanted.sort_unstable();
        prop_assert_eq!(kept, wanted);
    }
}

#[test]
fn points_that_are_few_are_their_own_centroids() {
    let points: Vec<[f32; PART]> = (0..10).map(|at| [at as f32, 1.0, -0.5 * at as f32, 0.0]).collect();
    let codebook = Codebook::train(&points.repeat(20), 1);
    let probe = [0.3, -0.7, 0.2, 5.0];
    for point in &points {
        let product: f32 = point.iter().zip(probe).map(|(a, b)| a * b).sum();
        assert_eq!(codebook.products(&probe)[usize::from(codebook.nearest(point))], product);
    }
}

#[test]
fn tables_are_losses_in_equal_steps() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut tables = Tables::default();
    // The last so many that the step is what keeps the sum a word.
    for parts in [2, 96, 600] {
        let points: Vec<[f32; PART]> = (0..64).map(|_| std::array::from_fn(|_| rng.random())).collect();
        let codebooks: Vec<Codebook> = (0..parts).map(|seed| Codebook::train(&points, seed)).collect();
        let query: Vec<f32> = (0..parts * PART as u64).map(|_| rng.random_range(-1.0..1.0)).collect();
        let (pairs, largest) = tables.of_query(&codebooks, &query);
        let entries: Vec<&[u8; CODES]> =
            pairs.iter().flat_map(|pair| pair.0.as_chunks::<CODES>().0).collect();
        let losses: Vec<[f32; CODES]> = codebooks
            .iter()
            .zip(query.as_chunks::<PART>().0)
            .map(|(codebook, part)| {
                let products = codebook.products(part);
                products.map(|product| products.iter().copied().fold(f32::MIN, f32::max) - product)
            })
            .collect();
        let most = |part: &&[u8; CODES]| part.iter().copied().max().map(u32::from);
        let (widest, sum) =
            (entries.iter().filter_map(most).max(), entries.iter().filter_map(most).sum::<u32>());
        assert!(sum < u32::from(u16::MAX) && sum == u32::from(largest), "{sum}");
        assert!(widest == Some(255) || sum > 65_534 - 2 * parts as u32, "{widest:?}, {sum}");
        let step = losses.as_flattened().iter().sum::<f32>()
            / entries.iter().flat_map(|part| part.iter()).map(|entry| f32::from(*entry)).sum::<f32>();
        for (entry, loss) in entries.iter().flat_map(|part| part.iter()).zip(losses.as_flattened()) {
            assert!((f32::from(*entry) - loss / step).abs() < 1.0, "{entry} of {loss} in steps of {step}");
        }
    }
}

/// With as many candidates as there are items the answer is the exact scan's, whatever the codes say.
#[test]
fn all_candidates_rescored_are_the_exact_scan() {
    for (dims, missing) in [(vec![8, 8, 8], 0.0), (vec![16, 5, 30], 0.3)] {
        let local = signatures(&dims, missing);
        let scan = FastScan::new(&local);
        let terms = terms(&dims, &[1.5, 1.0, 0.5]);
        let exact = SignatureQuery {
            terms: terms.clone(),
            k: 20,
            plan: Some(PlanKind::ExactScan),
            ..SignatureQuery::default()
        };
        let tuning = Tuning::of_this_machine();
        let budget = Budget { tuning: &tuning, threads: 1, is_abandoned: &|| false };
        let wanted = local.search(&[exact], &budget).remove(0).unwrap().hits;
        let mut searcher = Searcher::new(&scan, Instructions::best());
        searcher.scan(&terms, 1000);
        assert_eq!(searcher.candidates.len(), ITEMS_THERE);
        let found = searcher.rescore(&terms, 20);
        assert_eq!(found.len(), 20);
        for ((distance, slot), hit) in found.iter().zip(&wanted) {
            assert!((distance - hit.distance).abs() < 1e-9, "{distance} of {}", hit.distance);
            assert_eq!(local.items().slot(&hit.id), Some(*slot));
        }
    }
}

/// Few candidates hold the best by the weighted sum of products, among them an item that is asked for by itself.
#[test]
fn the_scan_finds_what_codes_can_tell() {
    let dims = [32, 32];
    let local = signatures(&dims, 0.0);
    let scan = FastScan::new(&local);
    let mut searcher = Searcher::new(&scan, Instructions::best());
    for slot in [0, 31, 32, 274] {
        let mut terms = terms(&dims, &[2.0, 1.0]);
        for (term, column) in terms.iter_mut().zip(local.columns()) {
            term.vector = column.get(slot).unwrap().into_owned();
        }
        searcher.scan(&terms, 5);
        assert_eq!(searcher.candidates.len(), 5);
        assert_eq!(searcher.rescore(&terms, 1), [(0.0, slot)]);
        let best: Vec<Slot> = searcher.candidates.clone();
        for level in Instructions::available() {
            let mut same = Searcher::new(&scan, level);
            same.scan(&terms, 5);
            assert_eq!(same.candidates, best, "{level:?}");
        }
    }
}
