//! The cut: outlines of body and sleeves, in a picture one unit wide and 4/3 high.

use super::garment::Garment;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tiny_skia::{Path, PathBuilder};

/// Measures of an upper garment; lengths in picture widths, x from the axis.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// Row of the shoulders at the neck.
    pub(super) top: f32,
    /// Row of the hem.
    pub(super) hem: f32,
    /// Half widths: neck opening, shoulders, chest, waist, hem.
    pub(super) neck: f32,
    pub(super) shoulder: f32,
    pub(super) chest: f32,
    pub(super) waist: f32,
    pub(super) bottom: f32,
    /// Rows below `top`: shoulder tip, armpit, waist.
    pub(super) slope: f32,
    pub(super) armpit: f32,
    pub(super) waist_at: f32,
    /// Depth of the neckline below `top`.
    pub(super) depth: f32,
    /// How far out the edge runs between shoulder and armpit, as a share of the shoulder's half width.
    pub(super) armhole: f32,
    /// Sleeve: length, half width at the cuff, angle from straight down.
    pub(super) sleeve: f32,
    pub(super) cuff: f32,
    pub(super) angle: f32,
}

impl Cut {
    pub(super) fn of(garment: &Garment, rng: &mut ChaCha8Rng) -> Self {
        let mut vary = |value: f32, share: f32| value * (1.0 + rng.random_range(-share..share));
        let tall = matches!(garment.length, "knee" | "midi" | "maxi" | "full") || garment.category == "coat";
        let scale = if tall { vary(0.72, 0.05) } else { vary(0.98, 0.05) };
        let width = match garment.fit {
            "slim" => 0.86,
            "loose" => 1.17,
            _ => 1.0,
        } * scale;
        let female = garment.gender == "female";
        let chest = vary(0.225, 0.06) * width;
        let waist = chest * if female { vary(0.86, 0.05) } else { vary(0.98, 0.03) };
        let flare = match garment.fit {
            "flared" => vary(1.55, 0.12),
            "slim" => 0.97,
            _ => 1.04,
        };
        let hem_length = match garment.length {
            "crop" => 0.46,
            "long" if garment.category == "coat" => 1.5,
            "long" => 0.96,
            "mini" => 0.98,
            "knee" => 1.28,
            "midi" => 1.46,
            "maxi" | "full" => 1.66,
            "short" => 1.15,
            _ => 0.78,
        };
        let top = if tall { vary(0.12, 0.2) } else { vary(0.2, 0.12) };
        let (neck, depth) = match garment.neckline {
            Some("v-neck") => (0.085, vary(0.2, 0.15)),
            Some("low-round") => (0.105, vary(0.17, 0.12)),
            Some("boat") => (0.15, 0.035),
            Some("square") => (0.11, vary(0.12, 0.15)),
            Some("off-the-shoulder") => (0.2, 0.1),
            Some(_) => (0.085, vary(0.075, 0.12)),
            None if garment.collar == Some("none") => (0.12, 0.12),
            None => (0.075, 0.05),
        };
        let sleeve = match garment.sleeve_length {
            Some("short") => vary(0.2, 0.15),
            Some("3/4") => vary(0.42, 0.06),
            Some("long") => vary(0.66, 0.06),
            _ => 0.0,
        };
        let short = garment.sleeve_length == Some("short");
        Self {
            top,
            hem: (top + vary(hem_length, 0.04) * scale).min(1.29),
            neck: neck * scale,
            shoulder: chest * vary(if garment.fit == "loose" { 1.04 } else { 0.97 }, 0.04),
            chest,
            waist,
            bottom: chest * flare,
            slope: vary(0.055, 0.2) * scale,
            armpit: vary(0.24, 0.08) * scale,
            waist_at: vary(0.5, 0.05) * scale,
            depth: depth * scale,
            armhole: if sleeve == 0.0 { 0.82 } else { 0.95 },
            sleeve: sleeve * scale,
            cuff: if short { vary(0.088, 0.1) } else { vary(0.058, 0.12) } * width,
            angle: vary(if short { 0.75 } else { 0.33 }, 0.4),
        }
    }

    /// The body without sleeves. `strapless` and `spaghetti` begin at the chest.
    pub(super) fn body(&self, garment: &Garment) -> Option<Path> {
        let mut p = PathBuilder::new();
        let x = |v: f32| 0.5 + v;
        let bare = matches!(garment.sleeve_length, Some("spaghetti" | "strapless"));
        let armpit = self.top + self.armpit;
        if bare {
            let edge = armpit - 0.06;
            p.move_to(x(-self.chest * 0.86), edge);
            if garment.sleeve_length == Some("spaghetti") {
                p.quad_to(x(-self.chest * 0.4), edge - 0.05, x(0.0), edge + 0.04);
                p.quad_to(x(self.chest * 0.4), edge - 0.05, x(self.chest * 0.86), edge);
            } else {
                p.quad_to(x(0.0), edge + 0.02, x(self.chest * 0.86), edge);
            }
        } else {
            self.neckline(garment, &mut p);
            p.line_to(x(self.shoulder), self.top + self.slope);
            p.quad_to(x(self.shoulder * self.armhole), armpit - 0.08, x(self.chest), armpit);
        }
        self.side(&mut p, armpit, 1.0);
        p.quad_to(x(0.0), self.hem + 0.03, x(-self.bottom), self.hem);
        let waist = self.top + self.waist_at;
        p.quad_to(
            x(-self.waist * 1.02),
            (waist + self.hem) / 2.0,
            x(-self.waist),
            waist.min(self.hem - 0.01),
        );
        p.quad_to(x(-self.waist), armpit + 0.1, x(-self.chest), armpit);
        if !bare {
            p.quad_to(
                x(-self.shoulder * self.armhole),
                armpit - 0.08,
                x(-self.shoulder),
                self.top + self.slope,
            );
        }
        p.close();
        p.finish()
    }

    fn side(&self, p: &mut PathBuilder, armpit: f32, sign: f32) {
        let x = |v: f32| 0.5 + sign * v;
        let waist = self.top + self.waist_at;
        p.quad_to(x(self.waist), armpit + 0.1, x(self.waist), waist.min(self.hem - 0.01));
        p.quad_to(x(self.waist * 1.02), (waist + self.hem) / 2.0, x(self.bottom), self.hem);
    }

    /// From the left to the right end of the neck opening.
    fn neckline(&self, garment: &Garment, p: &mut PathBuilder) {
        let (l, r, top, low) = (0.5 - self.neck, 0.5 + self.neck, self.top, self.top + self.depth);
        p.move_to(l, top);
        match garment.neckline {
            Some("v-neck") => {
                p.line_to(0.5, low);
                p.line_to(r, top);
            }
            Some("square") => {
                p.line_to(l + 0.01, low);
                p.line_to(r - 0.01, low);
                p.line_to(r, top);
            }
            _ => p.cubic_to(l + 0.01, low + self.depth * 0.35, r - 0.01, low + self.depth * 0.35, r, top),
        }
    }

    /// The far side of the neck opening, seen from inside.
    pub(super) fn back_of_neck(&self, garment: &Garment) -> Option<Path> {
        let mut p = PathBuilder::new();
        self.neckline(garment, &mut p);
        p.quad_to(0.5, self.top + 0.025, 0.5 - self.neck, self.top);
        p.close();
        p.finish()
    }

    /// One sleeve; `sign` is -1 for the left of the picture, 1 for the right.
    pub(super) fn sleeve(&self, garment: &Garment, sign: f32) -> Option<Path> {
        if self.sleeve == 0.0 {
            return None;
        }
        let drop = if garment.neckline == Some("off-the-shoulder") { 0.09 } else { 0.0 };
        let tip = (0.5 + sign * self.shoulder * 0.97, self.top + self.slope + drop);
        let pit = (0.5 + sign * self.chest * 0.98, self.top + self.armpit + 0.01);
        let (end, across) = self.cuff_of(sign);
        let outer = (end.0 + across.0, end.1 + across.1);
        let inner = (end.0 - across.0, end.1 - across.1);
        let mut p = PathBuilder::new();
        p.move_to(tip.0 - sign * 0.04, tip.1 - 0.012);
        p.quad_to(
            tip.0 + sign * 0.035,
            tip.1 + 0.01,
            (tip.0 + outer.0) / 2.0 + sign * 0.02,
            (tip.1 + outer.1) / 2.0,
        );
        p.quad_to(outer.0 + sign * 0.004, outer.1 - 0.05, outer.0, outer.1);
        p.line_to(inner.0, inner.1);
        p.quad_to((pit.0 + inner.0) / 2.0 + sign * 0.012, (pit.1 + inner.1) / 2.0 - 0.03, pit.0, pit.1);
        p.line_to(0.5 + sign * self.shoulder * 0.8, pit.1 - 0.06);
        p.close();
        p.finish()
    }

    /// Middle of the cuff and half of its width as a vector.
    pub(super) fn cuff_of(&self, sign: f32) -> ((f32, f32), (f32, f32)) {
        let (sin, cos) = self.angle.sin_cos();
        let start = (0.5 + sign * self.shoulder * 0.97, self.top + self.slope + 0.06);
        let end = (start.0 + sign * sin * self.sleeve, start.1 + cos * self.sleeve);
        (end, (sign * cos * self.cuff, -sin * self.cuff))
    }
}

/// Measures of trousers, shorts and skirts.
#[derive(Clone, Debug)]
pub(super) struct Lower {
    pub(super) top: f32,
    pub(super) hem: f32,
    pub(super) waist: f32,
    pub(super) hip: f32,
    pub(super) leg: f32,
    pub(super) crotch: f32,
}

impl Lower {
    pub(super) fn of(garment: &Garment, rng: &mut ChaCha8Rng) -> Self {
        let mut vary = |value: f32, share: f32| value * (1.0 + rng.random_range(-share..share));
        let skirt = garment.category == "skirt";
        let (top, span) = match (garment.length, skirt) {
            ("full" | "maxi", _) => (vary(0.1, 0.2), vary(1.1, 0.04)),
            ("3/4" | "midi", _) => (vary(0.16, 0.2), vary(0.9, 0.05)),
            ("knee", true) => (vary(0.25, 0.2), vary(0.7, 0.06)),
            ("knee", false) => (vary(0.25, 0.2), vary(0.78, 0.06)),
            (_, true) => (vary(0.33, 0.15), vary(0.48, 0.1)),
            _ => (vary(0.33, 0.15), vary(0.55, 0.08)),
        };
        let small = if span > 0.85 { 0.82 } else { 1.1 };
        let fit = match garment.fit {
            "slim" => 0.88,
            "loose" => 1.14,
            _ => 1.0,
        } * small;
        let waist = vary(0.2, 0.07) * fit;
        let leg = match garment.fit {
            "slim" => 0.062,
            "flared" => 0.16,
            "loose" => 0.13,
            _ => 0.1,
        } * small;
        let leg = if skirt {
            let flare = if garment.fit == "flared" { vary(2.0, 0.15) } else { vary(1.2, 0.1) };
            (waist * flare).min(0.45)
        } else if span < 0.85 {
            vary(leg.max(0.1), 0.08)
        } else {
            vary(leg, 0.08)
        };
        Self {
            top,
            hem: (top + span).min(1.26),
            waist,
            hip: waist * vary(1.2, 0.05),
            leg,
            crotch: top + 0.36 * small,
        }
    }

    pub(super) fn outline(&self, garment: &Garment) -> Option<Path> {
        let mut p = PathBuilder::new();
        let hip_at = self.top + (self.crotch - self.top) * 0.6;
        p.move_to(0.5 - self.waist, self.top);
        p.quad_to(0.5, self.top + 0.02, 0.5 + self.waist, self.top);
        if garment.category == "skirt" {
            p.quad_to(0.5 + self.hip, hip_at, 0.5 + self.leg, self.hem);
            p.quad_to(0.5, self.hem + 0.05, 0.5 - self.leg, self.hem);
            p.quad_to(0.5 - self.hip, hip_at, 0.5 - self.waist, self.top);
        } else {
            let middle = self.hip * 0.55;
            p.quad_to(0.5 + self.hip, hip_at - 0.05, 0.5 + self.hip, self.crotch);
            p.quad_to(
                0.5 + middle + self.leg,
                (self.crotch + self.hem) / 2.0,
                0.5 + middle + self.leg,
                self.hem,
            );
            p.line_to(0.5 + middle - self.leg, self.hem + 0.01);
            p.quad_to(0.5 + 0.02, self.crotch + 0.15, 0.5, self.crotch);
            p.quad_to(0.5 - 0.02, self.crotch + 0.15, 0.5 - middle + self.leg, self.hem + 0.01);
            p.line_to(0.5 - middle - self.leg, self.hem);
            p.quad_to(0.5 - middle - self.leg, (self.crotch + self.hem) / 2.0, 0.5 - self.hip, self.crotch);
            p.quad_to(0.5 - self.hip, hip_at - 0.05, 0.5 - self.waist, self.top);
        }
        p.close();
        p.finish()
    }
}
