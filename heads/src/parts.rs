//! Part extraction (section 4.3): silhouette, jump detection, regions.

mod jump;
mod silhouette;

pub use silhouette::Silhouette;

use crate::photo::Canvas;
use crate::region::{Parts, PartsCase, Rect};
use jump::Jumps;

/// Smallest side of a part, as a fraction of the canvas: about one and a half cells of the 13 x 13 map.
const PART_SIDE_MIN: f32 = 0.12;

/// Finds the parts of the garment on `canvas` for the given case.
#[must_use]
pub fn extract_parts(canvas: &Canvas, case: PartsCase) -> Parts {
    parts_of(canvas.silhouette(), case)
}

/// The parts of a silhouette.
fn parts_of(silhouette: &Silhouette, case: PartsCase) -> Parts {
    let sleeved = match case {
        PartsCase::LowerBody => return Parts { segmented: silhouette.is_found(), ..Parts::none() },
        PartsCase::Sleeved => true,
        PartsCase::Sleeveless => false,
    };
    let jumps = Jumps::find(silhouette, sleeved);
    let body = silhouette.bounds();
    let (left, right) = (jumps.torso_left, jumps.torso_right);
    let (axis, torso_width) = (f32::midpoint(left, right), right - left);
    let height = body.y1 - body.y0;
    let shoulders = jumps.shoulders;
    let rect = |x0: f32, y0: f32, x1: f32, y1: f32| {
        Some(silhouette.to_canvas(Rect { x0, y0, x1, y1 }).clipped(PART_SIDE_MIN))
    };
    // A sleeve's rows are read outside the torso, whose own columns reach down to the hem; its rectangle then
    // takes in a little of the torso, so that the seam is seen.
    let margin = 0.06 * torso_width;
    let rows =
        |x0: f32, x1: f32| silhouette.rows_between(x0, x1).unwrap_or((body.y0, body.y0 + 0.6 * height));
    let (left_sleeve, right_sleeve) = if sleeved {
        let (l, r) = (rows(body.x0, left - margin), rows(right + margin, body.x1));
        (rect(body.x0, l.0, left + margin, l.1), rect(right - margin, r.0, body.x1, r.1))
    } else {
        (None, None)
    };
    let collar_bottom = (shoulders + 0.13 * height).max(body.y0 + 0.2 * height);
    Parts {
        case,
        segmented: silhouette.is_found(),
        torso: rect(left, body.y0, right, body.y1),
        left_sleeve,
        right_sleeve,
        collar: rect(axis - 0.34 * torso_width, body.y0, axis + 0.34 * torso_width, collar_bottom),
        fastening: rect(axis - 0.18 * torso_width, body.y0, axis + 0.18 * torso_width, body.y1),
        chest: rect(
            left + 0.08 * torso_width,
            shoulders + 0.08 * height,
            right - 0.08 * torso_width,
            (shoulders + 0.6 * height).min(body.y1),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Odds;
    use crate::photo::Photo;
    use proptest::prelude::*;

    /// A T-shirt of plain rectangles on a plain background, in a 100 x 100 picture.
    fn shirt(rectangles: &[(usize, usize, usize, usize)]) -> Canvas {
        let mut rgb = vec![230; 100 * 100 * 3];
        for &(x0, y0, x1, y1) in rectangles {
            for y in y0..y1 {
                for x in x0..x1 {
                    rgb[(y * 100 + x) * 3..][..3].copy_from_slice(&[40, 60, 120]);
                }
            }
        }
        Photo::from_rgb(100, 100, rgb).expect("sized").fit(224)
    }

    fn close(found: f32, wanted: f32) -> bool {
        (found - wanted).abs() < 0.05
    }

    #[test]
    fn jumps_part_sleeves_from_the_torso() {
        // Torso 30..70 x 20..90, short sleeves out to 12 and 88 down to row 45.
        let parts = extract_parts(&shirt(&[(30, 20, 70, 90), (12, 22, 88, 45)]), PartsCase::Sleeved);
        assert!(parts.segmented);
        let (torso, sleeve) = (parts.torso.expect("torso"), parts.left_sleeve.expect("sleeve"));
        assert!(close(torso.x0, 0.3) && close(torso.x1, 0.7) && close(torso.y1, 0.9), "{torso:?}");
        assert!(close(sleeve.x0, 0.12) && close(sleeve.y0, 0.22) && close(sleeve.y1, 0.45), "{sleeve:?}");
        let collar = parts.collar.expect("collar");
        assert!(
            close(collar.y0, 0.2) && collar.y1 < 0.45 && collar.x0 > 0.3 && collar.x1 < 0.7,
            "{collar:?}"
        );
    }

    #[test]
    fn long_sleeves_beside_the_torso_are_found_by_the_gap() {
        let canvas = shirt(&[(30, 15, 70, 90), (15, 18, 85, 35), (15, 18, 25, 88), (75, 18, 85, 88)]);
        let parts = extract_parts(&canvas, PartsCase::Sleeved);
        let (torso, sleeve) = (parts.torso.expect("torso"), parts.right_sleeve.expect("sleeve"));
        assert!(close(torso.x0, 0.3) && close(torso.x1, 0.7), "{torso:?}");
        assert!(close(sleeve.x1, 0.85) && close(sleeve.y1, 0.88), "{sleeve:?}");
    }

    #[test]
    fn sleeves_that_hang_below_a_cropped_body_are_no_torso() {
        // Body 30..70 x 20..60; the left sleeve hangs down to row 85, the right one to row 70.
        let canvas = shirt(&[(30, 20, 70, 60), (14, 20, 86, 40), (14, 20, 26, 85), (74, 20, 86, 70)]);
        let parts = extract_parts(&canvas, PartsCase::Sleeved);
        let torso = parts.torso.expect("torso");
        assert!(close(torso.x0, 0.3) && close(torso.x1, 0.7), "{torso:?}");
    }

    #[test]
    fn the_cases_decide_which_parts_there_are() {
        let canvas = shirt(&[(30, 20, 70, 90)]);
        let sleeveless = extract_parts(&canvas, PartsCase::Sleeveless);
        assert!(sleeveless.left_sleeve.is_none() && sleeveless.collar.is_some());
        let torso = sleeveless.torso.expect("torso");
        assert!(close(torso.x0, 0.3) && close(torso.x1, 0.7), "{torso:?}");
        let lower = Parts { segmented: true, ..Parts::none() };
        assert_eq!(extract_parts(&canvas, PartsCase::LowerBody), lower);
    }

    #[test]
    fn a_mask_that_covers_a_picture_of_one_colour_finds_nothing() {
        let all = Odds { side: 2, values: vec![1.0; 4] };
        let grey = Silhouette::from_odds(&shirt(&[]), &all);
        assert!(!grey.is_found() && grey.grid().all(|(.., inside)| inside), "what is pooled stays");
        assert!(Silhouette::from_odds(&shirt(&[(30, 20, 70, 90)]), &all).is_found());
        let none = Odds { side: 2, values: vec![-1.0; 4] };
        assert!(!Silhouette::from_odds(&shirt(&[(30, 20, 70, 90)]), &none).is_found());
    }

    #[test]
    fn a_picture_of_nothing_falls_back_to_proportions() {
        let parts = extract_parts(&shirt(&[]), PartsCase::Sleeved);
        assert!(!parts.segmented);
        assert_eq!(parts.named().len(), 6);
    }

    proptest! {
        /// Whatever the picture, there is no panic and every part lies on the canvas and is large enough.
        #[test]
        fn any_picture_gives_parts_on_the_canvas(
            width in 1u32..70, height in 1u32..70, seed in any::<u64>(), plain in any::<bool>()
        ) {
            let value = |i: u64| if plain { 128 } else { (i.wrapping_mul(seed | 1) >> 32) as u8 };
            let rgb = (0..u64::from(width * height * 3)).map(value).collect();
            let canvas = Photo::from_rgb(width, height, rgb).expect("sized").fit(64);
            for case in PartsCase::ALL {
                for (name, r) in extract_parts(&canvas, case).named() {
                    let inside = r.x0 >= 0.0 && r.y0 >= 0.0 && r.x1 <= 1.0001 && r.y1 <= 1.0001;
                    prop_assert!(inside && r.x1 - r.x0 > 0.11 && r.y1 - r.y0 > 0.11, "{} {:?}", name, r);
                }
            }
        }
    }
}
