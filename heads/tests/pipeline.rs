//! What the shipped backbone of views gives for a drawn garment is pinned: whoever changes decoding, fitting, silhouette,
//! views, pooling or colours changes what every stored signature means, and raises `PIPELINE`.

#![allow(clippy::expect_used, clippy::panic)]

use lapel_heads::{
    BACKBONE_FILE, Backbone, FeatureLayout, PIPELINE, Photo, PhotoLimits, Views, ViewsError, load_backbone,
    shipped_folder,
};
use std::sync::Arc;

/// For each source: the mean of its numbers, and the root of the mean of their squares.
const GOLDEN: [(&str, f32, f32); 3] =
    [("garment", 0.8360, 3.5367), ("upper", 0.8100, 3.5508), ("colour", 0.015_72, 0.069_53)];
const GOLDEN_PIPELINE: u32 = 2;

fn backbone() -> Arc<dyn Backbone> {
    load_backbone(&bytes()).expect("the shipped backbone")
}

fn bytes() -> Vec<u8> {
    std::fs::read(shipped_folder().join(BACKBONE_FILE)).expect("shipped")
}

/// A striped shirt with a collar on a floor of planks.
fn photo() -> Photo {
    let (width, height) = (300usize, 400usize);
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let sleeve = (60..240).contains(&x) && (90..170).contains(&y);
            let body = (100..200).contains(&x) && (80..330).contains(&y);
            let collar = (130..170).contains(&x) && (70..100).contains(&y);
            let pixel = if collar {
                [235, 235, 240]
            } else if sleeve || body {
                if y / 12 % 2 == 0 { [30, 40, 110] } else { [210, 215, 225] }
            } else {
                [170, 130, 90].map(|v| v + (x / 50 % 2) as u8 * 10)
            };
            rgb.extend(pixel);
        }
    }
    Photo::from_rgb(width as u32, height as u32, rgb).expect("sized")
}

#[test]
fn features_are_what_they_were_when_heads_were_trained() {
    let backbone = backbone();
    let canvas = backbone.canvas(&photo());
    let features = backbone.forward(&[&canvas]).expect("computed").to_vec2::<f32>().expect("rows").remove(0);
    let layout = backbone.layout();
    assert_eq!(GOLDEN_PIPELINE, PIPELINE, "a new version of the pipeline has golden features of its own");
    let found = GOLDEN.map(|(name, ..)| {
        let part = &features[layout.source(name).expect("a source")];
        let mean = |of: fn(f32) -> f32| part.iter().map(|v| of(*v)).sum::<f32>() / part.len() as f32;
        (name, mean(|v| v), mean(|v| v * v).sqrt())
    });
    let near =
        |(a, b): (&(&str, f32, f32), &(&str, f32, f32))| (a.1 - b.1).abs() < 2e-3 && (a.2 - b.2).abs() < 2e-3;
    assert!(
        GOLDEN.iter().zip(&found).all(near),
        "{found:?}; a changed pipeline gets another version, and heads are trained anew; another backbone gets golden \
         features of its own"
    );
}

/// What a catalogue of the first version was made with is served as it was.
#[test]
fn the_first_version_of_the_pipeline_gives_what_it_gave() {
    let (manifest, tensors) = Views::read(&bytes()).expect("shipped");
    let first = lapel_heads::BackboneManifest { pipeline: 1, mask: None, ..manifest };
    let first = Views::new(first, &tensors).expect("still served");
    let canvas = first.canvas(&photo());
    let features = first.forward(&[&canvas]).expect("computed").to_vec2::<f32>().expect("rows").remove(0);
    let colours = &features[first.layout().source("colour").expect("a source")];
    let mean = |of: fn(f32) -> f32| colours.iter().map(|v| of(*v)).sum::<f32>() / colours.len() as f32;
    let (mean, size) = (mean(|v| v), mean(|v| v * v).sqrt());
    assert_eq!(colours.len(), 592);
    assert!((mean - 0.015_19).abs() < 2e-4 && (size - 0.058_12).abs() < 2e-4, "{mean} {size}");
}

#[test]
fn a_photo_alone_and_in_a_batch_gives_the_same_features() {
    let backbone = backbone();
    let plain = backbone.canvas(&photo());
    let other = backbone.canvas(&Photo::from_rgb(64, 80, vec![90; 64 * 80 * 3]).expect("sized"));
    let rows = |batch: &[&lapel_heads::Canvas]| {
        backbone.forward(batch).expect("computed").to_vec2::<f32>().expect("rows")
    };
    assert_eq!(rows(&[&plain])[0], rows(&[&other, &plain, &other])[1]);
}

#[test]
fn the_garments_size_in_the_photo_hardly_matters() {
    let backbone = backbone();
    let photo = photo();
    // The same photo in the corner of a picture twice as large, of the floor's colour.
    let (width, height) = (photo.width() as usize, photo.height() as usize);
    let mut rgb = [170u8, 130, 90].repeat(4 * width * height);
    for y in 0..height {
        rgb[(y * 2 * width) * 3..][..width * 3].copy_from_slice(&photo.rgb()[y * width * 3..][..width * 3]);
    }
    let small = Photo::from_rgb(2 * width as u32, 2 * height as u32, rgb).expect("sized");
    let canvases = [backbone.canvas(&photo), backbone.canvas(&small)];
    let rows = backbone.forward(&canvases.each_ref()).expect("computed").to_vec2::<f32>().expect("rows");
    let garment = backbone.layout().source("garment").expect("a source");
    let (a, b) = (&rows[0][garment.clone()], &rows[1][garment]);
    let norm = |v: &[f32]| v.iter().map(|v| v * v).sum::<f32>().sqrt();
    let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    let cosine = product / norm(a) / norm(b);
    assert!(cosine > 0.9, "{cosine}");
}

#[test]
fn files_that_are_no_backbone_are_told_why() {
    let bytes = bytes();
    let cut = load_backbone(&bytes[..bytes.len() / 2]).err().expect("cut short");
    assert!(cut.to_string().contains("safetensors") || cut.to_string().contains("weights"), "{cut}");
    let head = std::fs::read(shipped_folder().join("color.safetensors")).expect("shipped");
    let error = load_backbone(&head).err().expect("a head is no backbone").to_string();
    assert!(error.contains("lack the tensor") && error.contains("manifest"), "{error}");
    let Ok(views) = Views::from_bytes(&bytes) else { panic!("sound") };
    let tensors = std::collections::BTreeMap::new();
    let with = |change: fn(&mut lapel_heads::BackboneManifest)| {
        let mut manifest = views.manifest().clone();
        change(&mut manifest);
        Views::new(manifest, &tensors).err().expect("unsound")
    };
    assert!(matches!(with(|m| m.pipeline += 1), ViewsError::Pipeline { found } if found == PIPELINE + 1));
    assert!(matches!(with(|_| ()), ViewsError::Network(_)), "no tensors at all");
    assert!(matches!(views.layout(), FeatureLayout::Vectors(_)));
    assert!(Photo::decode(&bytes, PhotoLimits::default()).is_err());
}
