use super::*;
use crate::Instructions;
use crate::kernels::{self, BLOCK, CodedTerm, GROUPS, Rows, add_estimates};
use rand::prelude::*;

/// Unit vectors around a few centres.
fn clustered(count: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |scale: f32| (0..dim).map(|_| scale * (rng.random::<f32>() - 0.5)).collect::<Vec<_>>();
    let centres: Vec<Vec<f32>> = (0..6).map(|_| draw(2.0)).collect();
    let mut all = Vec::new();
    for at in 0..count {
        let noise = draw(0.8);
        let row: Vec<f32> = centres[at % 6].iter().zip(noise).map(|(c, n)| c + n).collect();
        let long = length(&row);
        all.extend(row.iter().map(|v| v / long));
    }
    all
}

/// Distances of a query to signatures by both of their codes.
fn refined(codec: &Codec, signatures: &[f32], query: &[f32]) -> Vec<f32> {
    let refiner = codec.refiner(query);
    let (mut group, mut finer) = (vec![0; codec.group_bytes()], vec![0; codec.finer_bytes()]);
    let one = |(at, signature)| {
        codec.encode(signature, &mut group, at % GROUP, &mut finer);
        refiner.distance(ItemCodes { group: &group, at: at % GROUP, finer: &finer })
    };
    signatures.chunks_exact(codec.dim()).enumerate().map(one).collect()
}

fn estimates(codec: &Codec, signatures: &[f32], query: &[f32]) -> Vec<f32> {
    let bytes = codec.group_bytes();
    let mut codes = vec![0; bytes * GROUPS];
    for (at, signature) in signatures.chunks_exact(codec.dim()).take(BLOCK).enumerate() {
        let mut finer = vec![0; codec.finer_bytes()];
        codec.encode(signature, &mut codes[at / GROUP * bytes..][..bytes], at % GROUP, &mut finer);
    }
    let tables = codec.tables(query, 1.0, 9.0);
    let term = CodedTerm { tables: &tables, codes: &codes, present: &[u64::MAX; GROUPS], next: &[] };
    let mut sums = vec![[0.0; GROUP]; GROUPS];
    for (group, sums) in sums.iter_mut().enumerate() {
        add_estimates(Instructions::Portable, &[term], group, sums);
    }
    sums.into_flattened()
}

#[test]
fn estimates_follow_true_distances() {
    for dim in [2, 7, 16, 64, 100] {
        let signatures = clustered(BLOCK, dim, dim as u64);
        let codec = Codec::train(&signatures, dim, BLOCK as u64);
        let query = clustered(1, dim, dim as u64);
        let estimates = estimates(&codec, &signatures, &query);
        let pairs = signatures.chunks_exact(dim).zip(&estimates);
        let distance = |row| kernels::squared_distance(Instructions::Portable, &query, Rows::F32(row)).sqrt();
        let error = pairs.map(|(row, e)| (distance(row) - e).powi(2)).sum::<f32>();
        let error = (error / BLOCK as f32).sqrt();
        assert!(error < 0.1, "dim {dim}: {error}");
    }
}

#[test]
fn finer_codes_leave_less_than_half_of_the_error() {
    for dim in [7, 16, 64, 100, 600] {
        let signatures = clustered(BLOCK, dim, dim as u64);
        let codec = Codec::train(&signatures, dim, BLOCK as u64);
        // Signatures that it was not trained on.
        let others = clustered(2 * BLOCK, dim, dim as u64).split_off(BLOCK * dim);
        let query = clustered(7, dim, dim as u64 + 1).split_off(6 * dim);
        let exact = |row| kernels::squared_distance(Instructions::Portable, &query, Rows::F32(row)).sqrt();
        let error = |found: Vec<f32>| {
            let pairs = others.chunks_exact(dim).zip(found);
            pairs.map(|(row, found)| (exact(row) - found).powi(2)).sum::<f32>().sqrt()
        };
        let (coarse, fine) =
            (error(estimates(&codec, &others, &query)), error(refined(&codec, &others, &query)));
        assert!(fine < 0.5 * coarse, "dim {dim}: {fine} of {coarse}");
    }
}

#[test]
fn a_twin_is_refined_to_nearly_nothing() {
    let signatures = clustered(BLOCK, 64, 3);
    let codec = Codec::train(&signatures, 64, BLOCK as u64);
    for at in [5, 100, 1000] {
        let distances = refined(&codec, &signatures, &signatures[at * 64..][..64]);
        let next = distances.iter().enumerate().filter(|(other, _)| *other != at);
        let next = next.map(|(_, distance)| *distance).fold(f32::INFINITY, f32::min);
        assert!(distances[at] < 0.5 * next, "{} {next}", distances[at]);
    }
}

#[test]
fn a_twin_is_estimated_near() {
    let signatures = clustered(BLOCK, 64, 3);
    let codec = Codec::train(&signatures, 64, BLOCK as u64);
    for at in [5, 100, 1000] {
        let estimates = estimates(&codec, &signatures, &signatures[at * 64..][..64]);
        let least = estimates.iter().copied().fold(f32::INFINITY, f32::min);
        assert!(estimates[at] <= least + 1e-6, "{} {least}", estimates[at]);
    }
}

#[test]
fn odd_samples_train_a_codec() {
    let same = [0.6, 0.8].repeat(50);
    for (sample, dim) in [(&[][..], 3), (&same, 2), (&same[..2], 2), (&[1.0], 1)] {
        let codec = Codec::train(sample, dim, 1);
        let mut group = vec![0; codec.group_bytes()];
        let mut finer = vec![0; codec.finer_bytes()];
        let error = codec.encode(&vec![0.3; dim], &mut group, 63, &mut finer);
        assert!(error.is_finite() && codec.error().is_finite());
        assert!(codec.is_sound(dim));
        assert!(refined(&codec, &vec![0.3; 2 * dim], &vec![0.3; dim]).iter().all(|d| d.is_finite()));
        let tables = codec.tables(&vec![0.3; dim], 1.0, 1.0);
        assert!(tables.weight.is_finite() && tables.base > 0);
    }
}

#[test]
fn the_same_sample_gives_the_same_codec() {
    let signatures = clustered(500, 16, 8);
    assert_eq!(Codec::train(&signatures, 16, 500), Codec::train(&signatures, 16, 500));
}

#[test]
fn sixty_four_numbers_take_eleven_bytes_and_sixteen() {
    let codec = Codec::train(&clustered(100, 64, 1), 64, 100);
    assert_eq!((codec.group_bytes(), codec.finer_bytes()), (11 * GROUP, 16));
}

#[test]
fn integers_lose_little_of_an_estimate() {
    for dim in [2, 7, 16, 64, 100, 600] {
        let signatures = clustered(BLOCK, dim, dim as u64);
        let codec = Codec::train(&signatures, dim, BLOCK as u64);
        let query = clustered(3, dim, 99).split_off(2 * dim);
        let estimates = estimates(&codec, &signatures, &query);
        let cell = codec.cells.nearest(&query, &mut [0.0; CELLS]);
        let (near, _) = codec.lowering(&query, cell, codec.twin);
        let (mut lost, mut error, mut range) = (0.0, 0.0, 0.0f32);
        for (row, estimate) in signatures.chunks_exact(dim).zip(&estimates) {
            let code = codec.code(row);
            let squared = codec.estimate(&query, &code);
            // Nearer ones are lowered.
            if squared > near[usize::from(code.gain)] {
                lost += (squared - estimate * estimate).powi(2);
                let exact = kernels::squared_distance(Instructions::Portable, &query, Rows::F32(row));
                error += (squared - exact).powi(2);
                range = range.max(squared);
            }
        }
        let least = (BLOCK as f32).sqrt() * 0.004 * range;
        assert!(lost.sqrt() < (0.3 * error.sqrt()).max(least), "dim {dim}: {} {}", lost.sqrt(), error.sqrt());
    }
}
