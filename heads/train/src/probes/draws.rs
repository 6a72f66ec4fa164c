//! Draws: what else a photo could have looked like, so that heads learn the garment and not the photographer.

use lapel_heads::{Backbone, Canvas, Content, Photo, Rect};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A way to photograph the same garment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Draw {
    /// The photo as it is.
    Plain,
    /// Mirrored, lit and coloured a little differently, nearer or farther.
    Jittered(u8),
    /// Cut out and put on white, anywhere and at any size.
    OnWhite(u8),
    /// The upper half of the garment alone, as of a folded shirt.
    Folded(u8),
}

/// What a half of a garment does not show.
const NOT_WHEN_FOLDED: [&str; 5] = ["sleeve_length", "length", "fit", "pocket", "category"];

impl Draw {
    /// Whether a picture drawn so still shows what an attribute says.
    #[must_use]
    pub fn shows(self, attribute: &str) -> bool {
        !matches!(self, Self::Folded(_)) || !NOT_WHEN_FOLDED.contains(&attribute)
    }

    /// The first so many draws of a photo: plain, then the others in turn.
    #[must_use]
    pub fn first(count: usize) -> Vec<Self> {
        let nth = |n: usize| {
            let round = (n / 3) as u8;
            match n % 3 {
                0 => Self::Jittered(round),
                1 => Self::OnWhite(round),
                _ => Self::Folded(round),
            }
        };
        std::iter::once(Self::Plain).chain((0..).map(nth)).take(count.max(1)).collect()
    }

    /// The photo, drawn so, where a backbone sees the garment. The same photo (`content` tells which), draw and seed
    /// give the same picture.
    #[must_use]
    pub fn of(self, photo: &Photo, backbone: &dyn Backbone, content: &[u8; 32], seed: u64) -> Photo {
        let (kind, round) = match self {
            Self::Plain => return photo.clone(),
            Self::Jittered(round) => (1u64, round),
            Self::OnWhite(round) => (2, round),
            Self::Folded(round) => (3, round),
        };
        let first = content.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let mut rng = ChaCha8Rng::seed_from_u64(first ^ seed.rotate_left(32) ^ kind << 8 ^ u64::from(round));
        let mut picture = Pixels::of(photo);
        match self {
            Self::Plain | Self::Jittered(_) => {
                let zoom = rng.random_range(0.88..1.2);
                let (x, y) = (rng.random_range(-0.06..0.06), rng.random_range(-0.06..0.06));
                picture = picture.framed(zoom, x, y);
            }
            Self::OnWhite(_) => {
                picture = picture.on_white(&backbone.canvas(photo));
                let zoom = rng.random_range(0.45..1.0f32);
                let room = (1.0 - zoom) / 2.0;
                let (x, y) = (rng.random_range(-room..=room), rng.random_range(-room..=room));
                picture = picture.framed(zoom, x, y);
            }
            Self::Folded(_) => {
                picture = picture.upper_half(&backbone.canvas(photo), rng.random_range(0.45..0.62));
            }
        }
        if rng.random_bool(0.5) {
            picture.mirror();
        }
        picture.light([(); 3].map(|()| rng.random_range(0.93..1.07)), rng.random_range(0.82..1.18));
        picture.into_photo().unwrap_or_else(|| photo.clone())
    }
}

/// Pixels that are changed.
pub(super) struct Pixels {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Pixels {
    pub(super) fn of(photo: &Photo) -> Self {
        Self { width: photo.width() as usize, height: photo.height() as usize, rgb: photo.rgb().to_vec() }
    }

    pub(super) fn into_photo(self) -> Option<Photo> {
        Photo::from_rgb(self.width as u32, self.height as u32, self.rgb)
    }

    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// Everything `zoom` times as large, moved by shares of the sides; edges repeated.
    fn framed(&self, zoom: f32, x: f32, y: f32) -> Self {
        let source = |at: usize, size: usize, moved: f32| {
            let centred = at as f32 + 0.5 - size as f32 * (0.5 + moved);
            let from = centred / zoom + size as f32 / 2.0 - 0.5;
            from.clamp(0.0, (size - 1) as f32)
        };
        let mut rgb = Vec::with_capacity(self.rgb.len());
        for row in 0..self.height {
            let v = source(row, self.height, y);
            for column in 0..self.width {
                let u = source(column, self.width, x);
                rgb.extend(self.between(u, v));
            }
        }
        Self { rgb, ..*self }
    }

    /// Everything at half its size in the lower right corner, white elsewhere.
    pub(super) fn in_corner(&self) -> Self {
        let mut rgb = vec![255; self.rgb.len()];
        let (left, top) = (self.width - self.width / 2, self.height - self.height / 2);
        for y in 0..self.height / 2 {
            for x in 0..self.width / 2 {
                let corners =
                    [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| self.pixel(2 * x + dx, 2 * y + dy));
                let at = ((top + y) * self.width + left + x) * 3;
                for colour in 0..3 {
                    let sum: u16 = corners.iter().map(|pixel| u16::from(pixel[colour])).sum();
                    rgb[at + colour] = (sum / 4) as u8;
                }
            }
        }
        Self { rgb, ..*self }
    }

    /// Bilinear.
    fn between(&self, u: f32, v: f32) -> [u8; 3] {
        let (x, y) = (u as usize, v as usize);
        let (right, below) = ((x + 1).min(self.width - 1), (y + 1).min(self.height - 1));
        let (du, dv) = (u - x as f32, v - y as f32);
        let corners =
            [self.pixel(x, y), self.pixel(right, y), self.pixel(x, below), self.pixel(right, below)];
        std::array::from_fn(|c| {
            let [a, b, c, d] = corners.map(|pixel| f32::from(pixel[c]));
            ((a + (b - a) * du) * (1.0 - dv) + (c + (d - c) * du) * dv).round() as u8
        })
    }

    /// White where the silhouette is not.
    pub(super) fn on_white(&self, canvas: &Canvas) -> Self {
        let inside = Inside::of(canvas);
        let mut rgb = Vec::with_capacity(self.rgb.len());
        for y in 0..self.height {
            for x in 0..self.width {
                let white = !inside.at(x, y, (self.width, self.height));
                rgb.extend(if white { [255; 3] } else { self.pixel(x, y) });
            }
        }
        Self { rgb, ..*self }
    }

    /// The garment's box from its top to a share of its height.
    pub(super) fn upper_half(&self, canvas: &Canvas, share: f32) -> Self {
        let Rect { x0, y0, x1, y1 } = canvas.silhouette().bounds();
        let along = |from: f32, to: f32, size: usize| {
            let first = ((from * size as f32) as usize).min(size - 1);
            (first, ((to * size as f32).ceil() as usize).clamp(first + 1, size))
        };
        let (margin_x, margin_y) = (0.04 * (x1 - x0), 0.05 * (y1 - y0));
        let (left, right) = along(x0 - margin_x, x1 + margin_x, self.width);
        let (top, bottom) = along(y0 - margin_y, y0 + share * (y1 - y0), self.height);
        let row = |y: usize| &self.rgb[(y * self.width + left) * 3..(y * self.width + right) * 3];
        Self {
            width: right - left,
            height: bottom - top,
            rgb: (top..bottom).flat_map(row).copied().collect(),
        }
    }

    fn mirror(&mut self) {
        for row in self.rgb.chunks_exact_mut(self.width * 3) {
            let mirrored: Vec<u8> = row.as_chunks::<3>().0.iter().rev().flatten().copied().collect();
            row.copy_from_slice(&mirrored);
        }
    }

    /// Another light: a factor a colour, and one for all.
    fn light(&mut self, colours: [f32; 3], all: f32) {
        let tables = colours.map(|factor| {
            let value = |value: usize| (value as f32 * factor * all).round().min(255.0) as u8;
            (0..256).map(value).collect::<Vec<u8>>()
        });
        for pixel in self.rgb.as_chunks_mut::<3>().0 {
            for (value, table) in pixel.iter_mut().zip(&tables) {
                *value = table[usize::from(*value)];
            }
        }
    }
}

/// The silhouette of a photo, pixel by pixel.
struct Inside {
    content: Content,
    side: usize,
    bits: Vec<bool>,
}

impl Inside {
    fn of(canvas: &Canvas) -> Self {
        let side = canvas.side();
        let mut bits = vec![false; side * side];
        for (x, y, inside) in canvas.silhouette().grid() {
            // The grid has every second pixel.
            for (x, y) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
                if x < side && y < side {
                    bits[y * side + x] = inside;
                }
            }
        }
        Self { content: canvas.content(), side, bits }
    }

    fn at(&self, x: usize, y: usize, (width, height): (usize, usize)) -> bool {
        let Content { left, top, width: wide, height: high } = self.content;
        let (x, y) = (left + x * wide / width, top + y * high / height);
        self.bits[y.min(self.side - 1) * self.side + x.min(self.side - 1)]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use candle_core::Tensor;
    use lapel_heads::FeatureLayout;

    /// A backbone that finds garments by their colours, and is nothing else.
    pub(crate) struct ByColours;

    impl Backbone for ByColours {
        fn fingerprint(&self) -> &str {
            "none"
        }

        fn input_side(&self) -> usize {
            224
        }

        fn layout(&self) -> FeatureLayout {
            FeatureLayout::Vectors([].into())
        }

        fn forward(&self, _: &[&Canvas]) -> candle_core::Result<Tensor> {
            candle_core::bail!("it gives no features")
        }
    }

    /// A dark garment, wider at the top, on a light ground.
    fn photo() -> Photo {
        let mut rgb = vec![220; 90 * 120 * 3];
        for y in 20..100 {
            for x in if y < 50 { 15..75 } else { 25..65 } {
                rgb[(y * 90 + x) * 3..][..3].copy_from_slice(&[40, 60, 120]);
            }
        }
        Photo::from_rgb(90, 120, rgb).expect("sized")
    }

    #[test]
    fn draws_differ_repeat_and_come_in_turn() {
        let content = [7; 32];
        let draws = Draw::first(7);
        assert_eq!(draws[..4], [Draw::Plain, Draw::Jittered(0), Draw::OnWhite(0), Draw::Folded(0)]);
        let pictures: Vec<Vec<u8>> =
            draws.iter().map(|draw| draw.of(&photo(), &ByColours, &content, 1).rgb().to_vec()).collect();
        for (at, picture) in pictures.iter().enumerate() {
            assert!(pictures[..at].iter().all(|other| other != picture), "{:?}", draws[at]);
            assert_eq!(draws[at].of(&photo(), &ByColours, &content, 1).rgb(), &picture[..]);
        }
        assert_ne!(
            draws[1].of(&photo(), &ByColours, &[8; 32], 1).rgb(),
            &pictures[1][..],
            "another photo, another draw"
        );
    }

    #[test]
    fn a_garment_on_white_has_nothing_else_around() {
        let picture = Draw::OnWhite(0).of(&photo(), &ByColours, &[3; 32], 5);
        let light = picture.rgb().as_chunks::<3>().0.iter().filter(|p| p.iter().all(|v| *v > 195)).count();
        let dark = picture.rgb().as_chunks::<3>().0.iter().filter(|p| p[0] < 80).count();
        assert!(dark > 500 && light > 4000, "{dark} {light}");
    }

    #[test]
    fn half_a_garment_is_lower_and_does_not_show_its_length() {
        let picture = Draw::Folded(0).of(&photo(), &ByColours, &[3; 32], 5);
        assert!(picture.height() < 70, "{}", picture.height());
        assert!(!Draw::Folded(0).shows("length") && Draw::Folded(0).shows("collar"));
        assert!(Draw::OnWhite(0).shows("length"));
    }
}
