use super::*;
use proptest::prelude::*;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

fn others() -> Vec<Instructions> {
    Instructions::available().into_iter().filter(|level| *level != Instructions::Portable).collect()
}

fn floats(rng: &mut ChaCha8Rng, count: usize, scale: f32) -> Vec<f32> {
    (0..count).map(|_| scale * (2.0 * rng.random::<f32>() - 1.0)).collect()
}

fn tables(rng: &mut ChaCha8Rng, subs: usize) -> Tables {
    let mut cells = [0.0; CELLS];
    cells.copy_from_slice(&floats(rng, CELLS, 2.0));
    let mut gains = [0.0; GAINS];
    gains.copy_from_slice(&floats(rng, GAINS, 1e-3));
    Tables {
        base: 2.0,
        cells,
        gains,
        offset: -50.0 * subs as f32,
        share_min: 0.4,
        share_step: 0.004,
        near: [0.1, 0.2, 0.5, 0.9],
        near_slope: 0.8,
        luts: (0..subs).map(|_| std::array::from_fn(|_| rng.random_range(0..=127))).collect(),
        weight: 1.7,
        missing: 0.9,
    }
}

fn bits(rng: &mut ChaCha8Rng) -> Bits {
    // Full, empty and mixed groups.
    std::array::from_fn(|group| match group % 4 {
        0 => u64::MAX,
        1 => 0,
        _ => rng.random(),
    })
}

fn close(a: &[f32], b: &[f32], tolerance: f32) -> Result<(), TestCaseError> {
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        prop_assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{at}: {a} and {b}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn estimates_agree_with_plain_rust(seed: u64, pairs in 1usize..40) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let tables = tables(rng, 2 * pairs);
        let mut codes = vec![0; group_bytes(2 * pairs) * GROUPS];
        rng.fill(&mut codes[..]);
        let (present, wanted) = (bits(rng), bits(rng));
        let start: Vec<f32> = floats(rng, BLOCK, 1.0);
        let run = |level| {
            let mut sums: Sums = [0.0; BLOCK];
            sums.copy_from_slice(&start);
            add_estimates(level, &tables, &codes, (&present, &wanted), &[], &mut sums);
            sums
        };
        let portable = run(Instructions::Portable);
        for level in others() {
            // The reciprocal square roots have 12 bits and more.
            close(&run(level), &portable, 1e-3)?;
        }
    }

    #[test]
    fn distances_agree_with_plain_rust(seed: u64, dim in 1usize..150) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let rows = floats(rng, GROUP * dim, 1.0);
        let halves: Vec<f16> = rows.iter().map(|v| f16::from_f32(*v)).collect();
        let query = floats(rng, dim, 1.0);
        let term = ExactTerm { query: &query, weight: 0.6, missing: 1.2 };
        let present: u64 = rng.random();
        for rows in [Rows::F32(&rows), Rows::F16(&halves)] {
            let run = |level| {
                let mut sums = [0.5; GROUP];
                add_distances(level, &term, rows, present, &mut sums);
                sums
            };
            for level in others() {
                close(&run(level), &run(Instructions::Portable), 1e-5)?;
                let one = squared_distance(level, &query, rows.row(3, dim));
                close(&[one], &[squared_distance(Instructions::Portable, &query, rows.row(3, dim))], 1e-5)?;
            }
        }
    }

    #[test]
    fn products_agree_with_plain_rust(seed: u64, rows in 0usize..80, columns in 0usize..130) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (vector, matrix) = (floats(rng, rows, 1.0), floats(rng, rows * columns, 1.0));
        let run = |level| {
            let mut out = vec![7.0; columns];
            products(level, &vector, &matrix, &mut out);
            out
        };
        for level in others() {
            close(&run(level), &run(Instructions::Portable), 1e-5)?;
        }
        for (column, found) in run(Instructions::Portable).iter().enumerate() {
            let by_hand: f32 = (0..rows).map(|row| vector[row] * matrix[row * columns + column]).sum();
            prop_assert!((found - by_hand).abs() < 1e-4);
        }
    }

    #[test]
    fn masks_and_minima_are_the_same(seed: u64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (allowed, start) = (bits(rng), floats(rng, BLOCK, 1.0));
        let run = |level| {
            let mut sums: Sums = [0.0; BLOCK];
            sums.copy_from_slice(&start);
            let mut minima = [0.0; GROUPS];
            finish(level, &allowed, &mut sums, &mut minima);
            let group = &sums.as_chunks::<GROUP>().0[2];
            (sums, minima, between(level, group, (-0.3, 0.4)))
        };
        for level in others() {
            prop_assert_eq!(run(level), run(Instructions::Portable));
        }
    }
}

#[test]
fn bounds_are_exclusive_and_inclusive() {
    let mut sums = [9.0; GROUP];
    (sums[0], sums[1], sums[2], sums[63]) = (1.0, 2.0, 3.0, 2.5);
    for level in Instructions::available() {
        assert_eq!(between(level, &sums, (1.0, 3.0)), 0b110 | 1 << 63, "{level:?}");
    }
}
