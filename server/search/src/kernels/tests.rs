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
    let centres = std::array::from_fn(|_| rng.random_range(-127..=127));
    let gains = std::array::from_fn(|_| rng.random_range(0..=127));
    let (near, near_scale) = (rng.random(), rng.random_range(0..=32_767));
    Tables {
        base: rng.random_range(8_000..=16_256),
        centres,
        share_min: rng.random_range(-16_000..=16_000),
        share_step: rng.random(),
        luts: (0..subs).map(|_| std::array::from_fn(|_| rng.random_range(0..=63))).collect(),
        lut_offset: rng.random_range(-4096..=4096),
        lut_scale: rng.random_range(1..=60),
        gains,
        near,
        near_scale,
        near_slope: rng.random(),
        words: WordTables::of(centres, gains, near, near_scale),
        weight: rng.random(),
        missing: 90.0,
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
    fn estimates_agree_with_plain_rust(seed: u64, pairs in 1usize..40, heads in 1usize..4) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut head = |pairs: usize| {
            let mut codes = vec![0; group_bytes(2 * pairs) * GROUPS];
            rng.fill(&mut codes[..]);
            (tables(rng, 2 * pairs), codes, bits(rng))
        };
        let heads: Vec<_> = (0..heads).map(|at| head(pairs + at)).collect();
        let term = |(tables, codes, present)| CodedTerm { tables, codes, present, next: codes };
        let terms: Vec<CodedTerm<'_>> = heads.iter().map(|(t, c, p)| term((t, c.as_slice(), p))).collect();
        let start = floats(&mut ChaCha8Rng::seed_from_u64(seed), GROUP, 1.0);
        for group in 0..GROUPS {
            let run = |level| {
                let mut sums = [0.0; GROUP];
                sums.copy_from_slice(&start);
                add_estimates(level, &terms, group, &mut sums);
                sums
            };
            let portable = run(Instructions::Portable);
            for level in others() {
                // The reciprocal square roots have 12 bits and more; all before them is the same.
                close(&run(level), &portable, 1e-3)?;
            }
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
    fn the_nearest_column_is_the_first_of_the_least_distance(seed: u64, rows in 0usize..9, columns in 0usize..70) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        // Few values, so that several columns are equally near.
        let mut few = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.random_range(-2i8..3).into()).collect() };
        let (vector, matrix, halves) = (few(rows), few(rows * columns), few(columns));
        for level in Instructions::available() {
            let mut products = vec![7.0; columns];
            let found = nearest(level, &vector, &matrix, &halves, &mut products);
            let by_hand = (0..columns).fold(None, |best: Option<(usize, f32)>, column| {
                let product: f32 = (0..rows).map(|row| vector[row] * matrix[row * columns + column]).sum();
                let value = product - halves[column];
                if best.is_some_and(|(_, most)| most >= value) { best } else { Some((column, value)) }
            });
            prop_assert_eq!(found, by_hand.map_or(0, |(column, _)| column));
        }
    }

    #[test]
    fn products_with_numbers_of_two_bits_agree(seed: u64, dim in 1usize..150) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let vector = floats(rng, dim, 1.0);
        let numbers: Vec<u8> = (0..dim).map(|_| rng.random_range(0..4)).collect();
        let mut bytes = vec![0u8; dim.div_ceil(4)];
        for (at, number) in numbers.iter().enumerate() {
            bytes[at % dim.div_ceil(4)] |= number << (2 * (at / dim.div_ceil(4)));
        }
        let by_hand: f32 = vector.iter().zip(&numbers).map(|(v, n)| v * f32::from(*n)).sum();
        for level in Instructions::available() {
            prop_assert!((product_of_quarters(level, &vector, &bytes) - by_hand).abs() < 1e-4, "{level:?}");
        }
    }

    #[test]
    fn masks_and_minima_are_the_same(seed: u64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let start = floats(rng, GROUP, 1.0);
        for allowed in [u64::MAX, 0, rng.random()] {
            let run = |level| {
                let mut sums = [0.0; GROUP];
                sums.copy_from_slice(&start);
                let least = finish(level, allowed, &mut sums);
                (sums, least, between(level, &sums, (-0.3, 0.4)))
            };
            for level in others() {
                prop_assert_eq!(run(level), run(Instructions::Portable));
            }
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
