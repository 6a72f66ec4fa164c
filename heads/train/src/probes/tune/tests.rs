use super::*;
use crate::backbone::random_tensors;
use lapel_heads::{Architecture, Labels, PIPELINE, View, sha256};

const ARCHITECTURE: Architecture = Architecture::EfficientNetLite0;

fn manifest() -> BackboneManifest {
    BackboneManifest {
        format: 1,
        architecture: ARCHITECTURE.into(),
        input_side: 32,
        views: View::ALL.to_vec(),
        blocks: vec![10],
        pipeline: PIPELINE,
        tuned: true,
        mask: None,
    }
}

/// Garments that are striped or not.
fn photos(folder: &Path) -> Vec<TablePhoto> {
    (0..18u32)
        .map(|at| {
            let striped = at % 2 == 0;
            let mut picture = image::RgbImage::from_pixel(48, 64, image::Rgb([225, 222, 218]));
            for (x, y, pixel) in picture.enumerate_pixels_mut() {
                if (8..40).contains(&x) && (10..56).contains(&y) {
                    let dark = striped && (y / 4) % 2 == 0;
                    let [shade, hue] = [if dark { 30 } else { 120 }, (at * 13 % 80) as u8];
                    *pixel = image::Rgb([shade + hue, shade, shade / 2]);
                }
            }
            let path = folder.join(format!("{at}.png"));
            picture.save(&path).expect("written");
            let label = if striped { "striped" } else { "plain" };
            TablePhoto {
                id: at.to_string(),
                content: Some(sha256(&fs_err::read(&path).expect("there"))),
                path,
                labels: Labels::from([("pattern".to_owned(), label.to_owned())]),
            }
        })
        .collect()
}

#[test]
fn a_run_that_was_cut_off_ends_as_one_that_was_not_and_blocks_before_the_first_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let (photos, tensors, manifest) = (photos(folder.path()), random_tensors(ARCHITECTURE), manifest());
    let attributes = [Attribute { name: "pattern".into(), labels: vec!["plain".into(), "striped".into()] }];
    let views = Views::new(manifest.clone(), &tensors).expect("sound");
    let canvases = canvases(&views, &photos.iter().collect::<Vec<_>>()).expect("read");
    let rows = views.forward(&canvases.iter().collect::<Vec<_>>()).expect("computed");
    let settings = TuneSettings { epochs: 2, batch: 4, rate: 1e-3, from: 11, side: 32, seed: 3 };
    let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
    let mut losses = Vec::new();
    let tuned =
        tune((&manifest, &tensors), (&photos, &rows), &attributes, &settings, &whole, |_, _, epoch| {
            if let Some(epoch) = epoch {
                losses.push(epoch.loss);
                if epoch.number == 1 {
                    fs_err::copy(&whole, &cut).expect("copied");
                }
            }
        })
        .expect("tuned");
    assert!(losses.iter().all(|loss| loss.is_finite()) && losses.len() == 2, "{losses:?}");
    let resumed = tune((&manifest, &tensors), (&photos, &rows), &attributes, &settings, &cut, |_, _, _| ());
    let resumed = resumed.expect("tuned");
    let bits = |w: &Weights| (w.shape.clone(), w.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
    let same = |a: &Weights, b: &Weights| bits(a) == bits(b);
    assert!(tuned.keys().eq(tensors.keys()), "every tensor is there, and no other");
    for (name, weights) in &tuned {
        assert!(same(weights, &resumed[name]), "{name}");
        let block = name.strip_prefix("_blocks.").and_then(|n| n.split('.').next()?.parse::<usize>().ok());
        let stays = name.starts_with("_conv_stem") || block.is_some_and(|block| block < settings.from);
        assert_eq!(same(weights, &tensors[name]), stays, "{name}");
    }
}

#[test]
fn each_attribute_counts_alike_and_unknown_labels_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut photos = photos(folder.path());
    photos[1].labels.clear();
    let attributes = [Attribute { name: "pattern".into(), labels: vec!["plain".into(), "striped".into()] }];
    let lessons = Lessons::new(photos.iter().collect(), &attributes);
    let rows = [0, 1, 2].map(|photo| (photo, Draw::Plain));
    let targets = lessons.targets(&rows).expect("targets").to_vec2::<f32>().expect("rows");
    let wanted = [[0.025, 0.475], [0.0, 0.0], [0.025, 0.475]];
    assert_eq!(targets.len(), wanted.len());
    let gaps = targets.iter().flatten().zip(wanted.as_flattened()).map(|(a, b)| (a - b).abs());
    assert!(gaps.fold(0.0, f32::max) < 1e-6, "{targets:?}");
    let even = Tensor::zeros((3, 2), candle_core::DType::F32, &Device::Cpu).expect("zeros");
    let loss = lessons.loss(&even, &lessons.targets(&rows).expect("targets")).expect("loss");
    assert!((loss.to_scalar::<f32>().expect("one") - 2f32.ln()).abs() < 1e-5);
}
