//! The mask's head comes with the backbone, finds the garment and belongs to the backbone's identity.

#![allow(clippy::expect_used)]

use lapel_heads::{
    BACKBONE_FILE, Backbone, BackboneFault, BackboneManifest, Canvas, PartsCase, Photo, PhotoLimits, Rect,
    Views, ViewsError, Weights, extract_parts, shipped_folder,
};
use std::collections::BTreeMap;

fn shipped() -> (BackboneManifest, BTreeMap<String, Weights>) {
    let bytes = std::fs::read(shipped_folder().join(BACKBONE_FILE)).expect("shipped");
    Views::read(&bytes).expect("a backbone of views")
}

/// A photo that comes with the project.
fn photo(name: &str) -> Photo {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/queries").join(name);
    Photo::decode(&std::fs::read(path).expect("there"), PhotoLimits::default()).expect("sound")
}

/// The middle half of a box in fractions of a photo.
fn middle(photo: &Photo, of: Rect) -> Photo {
    let along = |from: f32, to: f32, size: u32| {
        let (middle, half) = (f32::midpoint(from, to), (to - from) / 4.0);
        (((middle - half) * size as f32) as u32, ((middle + half) * size as f32) as u32)
    };
    let ((left, right), (top, bottom)) =
        (along(of.x0, of.x1, photo.width()), along(of.y0, of.y1, photo.height()));
    let row = |y: u32| {
        let at = |x: u32| ((y * photo.width() + x) * 3) as usize;
        &photo.rgb()[at(left)..at(right)]
    };
    let rgb = (top..bottom).flat_map(row).copied().collect();
    Photo::from_rgb(right - left, bottom - top, rgb).expect("sized")
}

fn share_inside(canvas: &Canvas) -> f64 {
    let inside: Vec<bool> = canvas.silhouette().grid().map(|(.., inside)| inside).collect();
    inside.iter().filter(|inside| **inside).count() as f64 / inside.len() as f64
}

#[test]
fn the_garment_is_found_even_where_nothing_else_is_seen() {
    let (manifest, tensors) = shipped();
    let views = Views::new(manifest, &tensors).expect("sound");
    for name in ["shirt.jpg", "dress.jpg"] {
        let photo = photo(name);
        let canvas = views.canvas(&photo);
        assert!(extract_parts(&canvas, PartsCase::Sleeved).segmented, "{name}");
        let whole = share_inside(&canvas);
        let near = share_inside(&views.canvas(&middle(&photo, canvas.silhouette().bounds())));
        assert!((0.1..0.95).contains(&whole), "{name}: {whole}");
        assert!(near > 0.8, "{name}: the garment fills the photo, and {near} of it is seen");
    }
}

#[test]
fn trousers_too_are_told_from_a_picture_of_one_colour() {
    let (manifest, tensors) = shipped();
    let views = Views::new(manifest, &tensors).expect("sound");
    for case in PartsCase::ALL {
        let parts = |photo: &Photo| extract_parts(&views.canvas(photo), case);
        assert!(parts(&photo("dress.jpg")).segmented, "{case:?}");
        for value in [0, 128, 255] {
            let blank = Photo::from_rgb(300, 400, vec![value; 300 * 400 * 3]).expect("sized");
            assert!(!parts(&blank).segmented, "{case:?} {value}");
        }
    }
}

#[test]
fn a_backbone_with_another_mask_is_another_backbone() {
    let (manifest, tensors) = shipped();
    let views = Views::new(manifest.clone(), &tensors).expect("sound");
    let (mask, own) = Views::mask_of(&manifest, &tensors).expect("the shipped backbone has a mask");
    let (same, again) = Views::with_mask((manifest.clone(), tensors.clone()), (mask.clone(), own.clone()));
    assert_eq!((&same, &again), (&manifest, &tensors));
    let mut other = own;
    other.get_mut("out.bias").expect("there").data[0] += 1.0;
    let (changed, all) = Views::with_mask((manifest.clone(), tensors.clone()), (mask, other));
    let changed = Views::new(changed, &all).expect("sound");
    assert_ne!(changed.fingerprint(), views.fingerprint());
    // Without one, colours tell; that is another backbone, too.
    let bare = BackboneManifest { mask: None, ..manifest };
    let bare = Views::new(bare, &tensors).expect("sound");
    assert_ne!(bare.fingerprint(), views.fingerprint());
    assert!(share_inside(&bare.canvas(&photo("shirt.jpg"))) > 0.1);
}

#[test]
fn a_mask_that_is_not_whole_is_refused() {
    let (manifest, tensors) = shipped();
    let without = |name: &str| {
        let mut tensors = tensors.clone();
        tensors.remove(name).expect(name);
        Views::new(manifest.clone(), &tensors).err()
    };
    for name in ["mask.out.weight", "mask._conv_stem.weight", "mask._blocks.4._project_conv.bias"] {
        let error = without(name);
        let missing = |e: &ViewsError| matches!(e, ViewsError::Mask(BackboneFault::MissingTensor { .. }));
        assert!(error.as_ref().is_some_and(missing), "{name}: {error:?}");
    }
    let mut odd = manifest.clone();
    odd.mask.as_mut().expect("a mask").input_side = 1 << 20;
    let error = Views::new(odd, &tensors).err();
    assert!(matches!(error, Some(ViewsError::Unsound { .. })), "{error:?}");
}
