use super::*;
use image::ImageEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use moxcms::{ColorProfile, Layout, TransformOptions};
use proptest::prelude::*;

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture =
        image::RgbImage::from_fn(20, 10, |x, _| image::Rgb([if x < 10 { 250 } else { 5 }, 100, 30]));
    picture.write_to(&mut bytes, format).expect("encodes");
    bytes.into_inner()
}

#[test]
fn the_three_formats_decode() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let photo = Photo::decode(&encoded(format), PhotoLimits::default()).expect("decodes");
        assert_eq!((photo.width(), photo.height()), (20, 10));
        assert!(photo.rgb()[0] > 200 && photo.rgb()[19 * 3] < 60, "{format:?} keeps its pixels");
    }
}

#[test]
fn a_jpeg_with_a_profile_has_the_pixels_of_its_srgb_twin() {
    let colour = |x: u32, y: u32| image::Rgb([40 + 2 * x as u8, 60 + 2 * y as u8, 100]);
    let picture = image::RgbImage::from_fn(64, 64, colour).into_raw();
    let jpeg = |rgb: &[u8], profile: Option<Vec<u8>>| {
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 100);
        if let Some(profile) = profile {
            encoder.set_icc_profile(profile).expect("set");
        }
        encoder.write_image(rgb, 64, 64, image::ExtendedColorType::Rgb8).expect("encodes");
        bytes
    };
    let adobe = ColorProfile::new_adobe_rgb();
    let options = TransformOptions::default();
    let transform = ColorProfile::new_srgb().create_transform_8bit(Layout::Rgb, &adobe, Layout::Rgb, options);
    let mut wide = vec![0; picture.len()];
    transform.expect("a transform").transform(&picture, &mut wide).expect("transformed");
    let decode = |bytes: &[u8]| Photo::decode(bytes, PhotoLimits::default()).expect("decodes");
    let twin = decode(&jpeg(&picture, None));
    let apart = |photo: &Photo| {
        let sum: u64 = photo.rgb().iter().zip(twin.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / twin.rgb().len() as f64
    };
    let tagged = decode(&jpeg(&wide, Some(adobe.encode().expect("encoded"))));
    assert!(apart(&tagged) < 1.5, "{}", apart(&tagged));
    let untagged = decode(&jpeg(&wide, None));
    assert!(apart(&untagged) > 3.0, "the profile matters: {}", apart(&untagged));
}

#[test]
fn a_profile_that_is_too_large_is_passed_over() {
    let rgb = [90; 20 * 10 * 3];
    let png = |profile: Vec<u8>| {
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        encoder.set_icc_profile(profile).expect("set");
        encoder.write_image(&rgb, 20, 10, image::ExtendedColorType::Rgb8).expect("encodes");
        bytes
    };
    let profile = |png: &[u8]| {
        let (mut decoder, _) = decoder(png, PhotoLimits::default()).expect("a sound header");
        decoder.icc_profile().expect("read").map(|profile| profile.len())
    };
    assert_eq!(profile(&png(vec![0; 1000])), Some(1000));
    let large = png(vec![0; PNG_BESIDE_MAX as usize + 1]);
    assert!(large.len() < 100_000, "it is compressed: {}", large.len());
    assert_eq!(profile(&large), None);
    assert_eq!(Photo::decode(&large, PhotoLimits::default()).expect("decodes").rgb(), rgb);
}

#[test]
fn bad_bytes_are_typed_errors() {
    let limits = PhotoLimits { bytes_max: 1000, pixels_max: 150 };
    let jpeg = encoded(ImageFormat::Jpeg);
    assert!(matches!(Photo::decode(&[], limits), Err(PhotoError::Empty)));
    assert!(matches!(Photo::decode(&[0; 1001], limits), Err(PhotoError::TooManyBytes { .. })));
    assert!(matches!(Photo::decode(&jpeg, limits), Err(PhotoError::TooManyPixels { width: 20, .. })));
    assert!(matches!(
        Photo::decode(b"GIF89a\x01\x00\x01\x00", limits),
        Err(PhotoError::Format { found }) if found == "GIF"
    ));
    let large = lapel_render::to_jpeg(&lapel_render::render(1, 1).photo);
    for (whole, share) in [(&jpeg, 0.5), (&large, 0.1), (&large, 0.5), (&large, 0.999)] {
        let cut = &whole[..(whole.len() as f64 * share) as usize];
        assert!(matches!(Photo::decode(cut, PhotoLimits::default()), Err(PhotoError::Damaged { .. })));
    }
}

#[test]
fn fitting_keeps_the_aspect_ratio_and_repeats_the_edge() {
    let photo = Photo::decode(&encoded(ImageFormat::Png), PhotoLimits::default()).expect("decodes");
    let canvas = photo.fit(40);
    assert_eq!(canvas.content(), Content { left: 0, top: 10, width: 40, height: 20 });
    assert_eq!(canvas.rgb()[..3], canvas.rgb()[40 * 3 * 10..40 * 3 * 10 + 3]);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), magic in 0..4usize) {
        let head: &[u8] = [b"\xff\xd8\xff".as_slice(), b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBPVP8 ", b""][magic];
        bytes.splice(0..0, head.iter().copied());
        let _ = Photo::decode(&bytes, PhotoLimits::default());
    }
}
