//! Waistband, fastening and pockets of what is worn below.

use super::{Pen, belt, polygon, seam};
use crate::cloth::Cloth;
use crate::garment::Garment;
use crate::outline::Lower;
use crate::palette::scaled;
use rand_chacha::ChaCha8Rng;

/// Height of the waistband, in picture widths.
const BAND: f32 = 0.045;

/// Waistband, fastening and pockets of trousers, shorts and skirts.
pub(crate) fn lower(
    pen: &mut Pen<'_>,
    garment: &Garment,
    lower: &Lower,
    cloth: &Cloth,
    rng: &mut ChaCha8Rng,
) {
    let (dark, top) = (seam(cloth.main), lower.top);
    let band = top + BAND;
    pen.stroke(
        polygon(
            &[(0.5 - lower.waist * 1.04, band), (0.5, band + 0.015), (0.5 + lower.waist * 1.04, band)],
            false,
        ),
        dark,
        0.005,
        1.0,
    );
    if garment.category != "skirt" {
        pen.line(&[(0.5, band), (0.5, lower.crotch)], dark, 0.004);
    }
    fasten(pen, garment, lower, cloth, rng);
    pockets(pen, garment, lower, cloth);
}

/// What closes it, below the waistband.
fn fasten(pen: &mut Pen<'_>, garment: &Garment, lower: &Lower, cloth: &Cloth, rng: &mut ChaCha8Rng) {
    let (dark, top) = (seam(cloth.main), lower.top);
    let band = top + BAND;
    match garment.fastening {
        "button" => {
            pen.dot(
                0.5,
                top + 0.026,
                0.013,
                if garment.fabric == "denim" { [190.0, 150.0, 95.0] } else { cloth.second },
            );
            pen.stroke(
                polygon(&[(0.53, band), (0.53, lower.crotch - 0.09), (0.5, lower.crotch - 0.05)], false),
                dark,
                0.004,
                0.9,
            );
            if garment.category == "skirt" {
                for i in 1..6 {
                    pen.dot(0.5, band + (lower.hem - band) * i as f32 / 6.0, 0.011, cloth.second);
                }
            }
        }
        "zip" => pen.line(&[(0.5, top + 0.01), (0.5, lower.crotch - 0.06)], [185.0, 185.0, 178.0], 0.013),
        "laces" => {
            for sign in [-1.0, 1.0] {
                pen.line(
                    &[(0.5 + sign * 0.008, top + 0.03), (0.5 + sign * 0.035, top + 0.17)],
                    [232.0, 230.0, 225.0],
                    0.009,
                );
            }
        }
        "belt" => belt(pen, (0.5 - lower.waist * 1.02, 0.5 + lower.waist * 1.02), top + 0.025, cloth, rng),
        _ => {}
    }
}

fn pockets(pen: &mut Pen<'_>, garment: &Garment, lower: &Lower, cloth: &Cloth) {
    let (dark, band) = (seam(cloth.main), lower.top + BAND);
    for sign in [-1.0, 1.0] {
        let edge = 0.5 + sign * lower.waist;
        match garment.pocket {
            "side" => {
                pen.line(&[(edge - sign * 0.06, band), (edge + sign * 0.012, band + 0.12)], dark, 0.007);
            }
            "zip" => {
                pen.line(&[(edge - sign * 0.05, band), (edge, band + 0.13)], [200.0, 200.0, 195.0], 0.012);
                pen.line(&[(edge - sign * 0.05, band), (edge, band + 0.13)], [40.0, 40.0, 42.0], 0.004);
            }
            "cargo" => {
                let (cx, y) = (0.5 + sign * lower.hip * 0.82, lower.crotch + 0.06);
                let box_ = [(cx - 0.055, y), (cx + 0.055, y), (cx + 0.05, y + 0.14), (cx - 0.05, y + 0.14)];
                pen.piece(polygon(&box_, true), scaled(cloth.main, 0.93));
                pen.piece(
                    polygon(
                        &[
                            (cx - 0.06, y - 0.005),
                            (cx + 0.06, y - 0.005),
                            (cx + 0.058, y + 0.04),
                            (cx - 0.058, y + 0.04),
                        ],
                        true,
                    ),
                    scaled(cloth.main, 0.86),
                );
            }
            _ => {}
        }
    }
}
