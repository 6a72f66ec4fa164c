//! Filters in the domain of the points.

/// Points of a side and taps of a filter at most.
const SIDE_MAX: usize = 8;
const TAPS_MAX: usize = 5;

/// G, `[point, tap]`, in the order of [`input_points`](super::input_points).
pub(super) fn filter_transform(taps: usize) -> Vec<Vec<f64>> {
    let row = |scale: f64, point: f64| (0..taps as i32).map(|tap| scale * point.powi(tap)).collect();
    let finite: &[(f64, f64)] = match taps {
        3 => {
            &[(1.0 / 4.0, 0.0), (-1.0 / 6.0, 1.0), (-1.0 / 6.0, -1.0), (1.0 / 24.0, 2.0), (1.0 / 24.0, -2.0)]
        }
        _ => &[
            (1.0, 0.0),
            (-2.0 / 9.0, 1.0),
            (-2.0 / 9.0, -1.0),
            (1.0 / 90.0, 2.0),
            (1.0 / 90.0, -2.0),
            (32.0 / 45.0, 0.5),
            (32.0 / 45.0, -0.5),
        ],
    };
    let infinity = (0..taps).map(|at| f64::from(u8::from(at + 1 == taps))).collect();
    finite.iter().map(|(scale, point)| row(*scale, *point)).chain([infinity]).collect()
}

/// G g G' in double precision, point by point.
pub(super) fn transformed_filter(
    transform: &[Vec<f64>],
    filter: impl Fn(usize, usize) -> f32,
) -> impl Iterator<Item = f32> {
    let (side, taps) = (transform.len(), transform[0].len());
    // g G'.
    let mut half = [[0.0; SIDE_MAX]; TAPS_MAX];
    for (row, half) in half.iter_mut().enumerate().take(taps) {
        for (value, across) in half.iter_mut().zip(transform) {
            *value = across.iter().enumerate().map(|(column, g)| f64::from(filter(row, column)) * g).sum();
        }
    }
    (0..side * side).map(move |point| {
        let down = transform[point / side].iter().zip(&half);
        down.map(|(g, half)| g * half[point % side]).sum::<f64>() as f32
    })
}
