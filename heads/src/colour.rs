//! Colours of other spaces, brought to sRGB by the profile that comes with a picture.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

/// Bytes of a profile that is looked at; longer ones describe printers, not pictures.
const PROFILE_MAX: usize = 1 << 20;
/// Values of each colour by which a space is told from sRGB.
const PROBED: [u8; 5] = [0, 64, 128, 192, 255];

/// Brings pixels `[_, 3]` from the space of an ICC profile to sRGB. A profile that cannot be read, and one of another
/// kind than RGB, changes nothing: such files are common, and their pixels are mostly sRGB.
pub(crate) fn to_srgb(rgb: &mut [u8], profile: &[u8]) {
    if profile.len() > PROFILE_MAX {
        return;
    }
    let Some(transform) = transform(profile) else { return };
    let probe: Vec<u8> = PROBED
        .iter()
        .flat_map(|r| PROBED.iter().flat_map(move |g| PROBED.iter().flat_map(move |b| [*r, *g, *b])))
        .collect();
    let mut changed = probe.clone();
    if transform.transform(&probe, &mut changed).is_err()
        || probe.iter().zip(&changed).all(|(a, b)| a.abs_diff(*b) <= 1)
    {
        return;
    }
    let mut target = vec![0; rgb.len()];
    if transform.transform(rgb, &mut target).is_ok() {
        rgb.copy_from_slice(&target);
    }
}

fn transform(profile: &[u8]) -> Option<std::sync::Arc<dyn TransformExecutor<u8> + Send + Sync>> {
    let profile = ColorProfile::new_from_slice(profile).ok()?;
    if profile.color_space != DataColorSpace::Rgb {
        return None;
    }
    let options = TransformOptions::default();
    profile.create_transform_8bit(Layout::Rgb, &ColorProfile::new_srgb(), Layout::Rgb, options).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_of_a_wider_space_become_what_they_look_like() {
        let adobe = ColorProfile::new_adobe_rgb().encode().expect("encoded");
        // Adobe RGB's (144, 144, 60) is a yellower sRGB; grey stays grey.
        let mut pixels = vec![144, 144, 60, 128, 128, 128];
        to_srgb(&mut pixels, &adobe);
        assert!(pixels[2] < 55 && pixels[0].abs_diff(144) < 6, "{pixels:?}");
        assert!(pixels[3..].iter().all(|v| v.abs_diff(128) <= 2), "{pixels:?}");
    }

    #[test]
    fn srgb_and_what_is_no_profile_change_nothing() {
        let srgb = ColorProfile::new_srgb().encode().expect("encoded");
        for profile in [&srgb[..], b"no profile", &[]] {
            let mut pixels = vec![10, 200, 30];
            to_srgb(&mut pixels, profile);
            assert_eq!(pixels, [10, 200, 30]);
        }
    }
}
