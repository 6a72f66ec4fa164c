//! Decoding of photos, fitting, and the search for a garment's parts.

use lapel_heads::{PartsCase, Photo, PhotoLimits, extract_parts};

/// Side of a canvas: small, since there is nothing to find in more pixels.
const SIDE: usize = 64;

/// Decodes a photo; what can be decoded becomes a canvas and parts.
///
/// # Panics
/// When that fails in a way that is no [`lapel_heads::PhotoError`].
pub fn image(bytes: &[u8]) {
    let limits = PhotoLimits { bytes_max: 1 << 16, pixels_max: 1 << 18 };
    let Ok(photo) = Photo::decode(bytes, limits) else { return };
    assert!(u64::from(photo.width()) * u64::from(photo.height()) <= limits.pixels_max);
    assert_eq!(photo.rgb().len(), photo.width() as usize * photo.height() as usize * 3);
    let canvas = photo.fit(SIDE);
    for case in PartsCase::ALL {
        let parts = extract_parts(&canvas, case);
        for (name, rect) in parts.named() {
            let sound = |from: f32, to: f32| 0.0 <= from && from <= to && to <= 1.0;
            assert!(sound(rect.x0, rect.x1) && sound(rect.y0, rect.y1), "{name} of {case:?}: {rect:?}");
        }
    }
}
