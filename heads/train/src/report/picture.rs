//! Small pictures inside the page.

use base64::Engine;
use lapel_heads::{Canvas, Parts, Photo, Rect};
use lapel_render::to_jpeg;

/// Side of a picture on the page, in pixels.
const SIDE: usize = 112;

/// A canvas as the address of an inline picture.
pub(super) fn address(rgb: &[u8], side: usize) -> String {
    let photo = Photo::from_rgb(side as u32, side as u32, rgb.to_vec());
    let jpeg = photo.map(|p| to_jpeg(&p)).unwrap_or_default();
    format!("data:image/jpeg;base64,{}", base64::engine::general_purpose::STANDARD.encode(jpeg))
}

/// A canvas at the size of the page's pictures.
pub(super) fn small(canvas: &Canvas) -> String {
    address(&resized(canvas.rgb(), canvas.side()), SIDE)
}

/// Pixels `[side, side, 3]` at [`SIDE`], each the mean of those that it covers.
fn resized(rgb: &[u8], side: usize) -> Vec<u8> {
    let covered = |at: usize| {
        let from = at * side / SIDE;
        from..((at + 1) * side / SIDE).max(from + 1)
    };
    let mut small = Vec::with_capacity(SIDE * SIDE * 3);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let pixels = || covered(y).flat_map(|y| covered(x).map(move |x| (y * side + x) * 3));
            let count = pixels().count() as u32;
            for channel in 0..3 {
                let sum: u32 = pixels().map(|at| u32::from(rgb[at + channel])).sum();
                small.push((sum / count) as u8);
            }
        }
    }
    small
}

/// A canvas with what part extraction found: the background darkened, the jumps as white lines, the parts as frames.
pub(super) fn with_parts(canvas: &Canvas, parts: &Parts) -> String {
    let side = canvas.side();
    let mut rgb: Vec<u8> = canvas.rgb().iter().map(|v| v / 3).collect();
    for (x, y, inside) in canvas.silhouette().grid() {
        if inside {
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let at = ((y + dy).min(side - 1) * side + (x + dx).min(side - 1)) * 3;
                rgb[at..at + 3].copy_from_slice(&canvas.rgb()[at..at + 3]);
            }
        }
    }
    let mut dot = |x: f32, y: f32, colour: [u8; 3]| {
        let at = |v: f32| ((v * side as f32) as usize).min(side - 1);
        rgb[(at(y) * side + at(x)) * 3..][..3].copy_from_slice(&colour);
    };
    if let Some(torso) = parts.torso {
        for step in 0..side / 2 {
            let v = 2.0 * step as f32 / side as f32;
            dot(torso.x0, v, [255; 3]);
            dot(torso.x1, v, [255; 3]);
        }
    }
    let colour = |name: &str| match name {
        "left_sleeve" | "right_sleeve" => Some([80, 200, 255]),
        "collar" => Some([255, 90, 60]),
        "fastening" => Some([255, 220, 0]),
        "chest" => Some([90, 255, 120]),
        _ => None,
    };
    for (name, rect) in parts.named() {
        if let Some(colour) = colour(name) {
            frame(rect, side, |x, y| dot(x, y, colour));
        }
    }
    let whole = Canvas::new(side, canvas.content(), rgb);
    small(&whole)
}

fn frame(rect: Rect, side: usize, mut dot: impl FnMut(f32, f32)) {
    for step in 0..=side * 2 {
        let t = step as f32 / (side * 2) as f32;
        let (x, y) = (rect.x0 + (rect.x1 - rect.x0) * t, rect.y0 + (rect.y1 - rect.y0) * t);
        // Two pixels thick, so that it is seen at half the size.
        for inset in [0.0, 1.0 / side as f32] {
            dot(x, rect.y0 + inset);
            dot(x, rect.y1 - inset);
            dot(rect.x0 + inset, y);
            dot(rect.x1 - inset, y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canvases_of_any_side_are_shown_whole() {
        for side in [1, 2, 50, 111, 112, 113, 200, 224, 300] {
            let shade = |x: usize| (255 * x / (side - 1).max(1)) as u8;
            let rgb: Vec<u8> = (0..side * side).flat_map(|at| [shade(at % side), 7, 9]).collect();
            let small = resized(&rgb, side);
            assert_eq!(small.len(), SIDE * SIDE * 3, "{side}");
            let row: Vec<u8> = small[..SIDE * 3].chunks_exact(3).map(|pixel| pixel[0]).collect();
            assert!(row.windows(2).all(|pair| pair[0] <= pair[1]), "{side}: {row:?}");
            assert!(side == 1 || row[0] < 8 && row[SIDE - 1] > 247, "{side}: from edge to edge");
            assert!(small.chunks_exact(3).all(|pixel| pixel[1..] == [7, 9]), "{side}");
        }
    }
}
