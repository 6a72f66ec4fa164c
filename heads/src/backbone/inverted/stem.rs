//! What the stem's filter sees of a picture, pixel by pixel: its convolution becomes a product.

use super::layout::Frame;
use crate::product::{LINE, Line};

/// Numbers that the filter sees, by row, column and colour.
pub(crate) const SEEN: usize = 27;
/// Lines of them.
pub(crate) const SEEN_LINES: usize = 2;
const STRIDE: usize = 2;
/// Numbers of a row of the filter.
const ACROSS: usize = 9;

/// Writes what the filter sees at some rows of its outputs into two planes, `apart` lines apart.
pub(crate) fn seen(
    picture: &[u8],
    frame: Frame,
    normalised: &[[f32; 256]; 3],
    rows: std::ops::Range<usize>,
    (out, apart): (&mut [Line], usize),
) {
    // Three rows of normalised pixels with the zeros around them.
    let mut filter_rows = vec![0.0; 3 * 3 * frame.padded];
    let (first, second) = out.split_at_mut(apart);
    for (to, row) in rows.enumerate() {
        for (tap, values) in filter_rows.chunks_exact_mut(3 * frame.padded).enumerate() {
            let from = (row * STRIDE + tap).checked_sub(frame.before).filter(|from| *from < frame.side);
            let Some(from) = from else {
                values.fill(0.0);
                continue;
            };
            let pixels = picture[from * 3 * frame.side..][..3 * frame.side].as_chunks::<3>().0;
            let inside = values.as_chunks_mut::<3>().0.iter_mut().skip(frame.before);
            for (to, pixel) in inside.zip(pixels) {
                for ((to, table), value) in to.iter_mut().zip(normalised).zip(pixel) {
                    *to = table[usize::from(*value)];
                }
            }
        }
        let place = to * frame.out;
        let targets = first[place..][..frame.out].iter_mut().zip(&mut second[place..][..frame.out]);
        for (column, (first, second)) in targets.enumerate() {
            let mut all = [0.0; SEEN_LINES * LINE];
            for (tap, to) in all[..SEEN].chunks_exact_mut(ACROSS).enumerate() {
                let from = tap * 3 * frame.padded + column * STRIDE * 3;
                to.copy_from_slice(&filter_rows[from..][..ACROSS]);
            }
            let (low, high) = all.split_at(LINE);
            first.0.copy_from_slice(low);
            second.0.copy_from_slice(high);
        }
    }
}
