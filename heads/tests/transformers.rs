//! Backbones of views through vision transformers: small ones with random weights, in their hubs' file layout.

#![allow(clippy::expect_used, clippy::panic)]

use lapel_heads::{
    BackboneError, BackboneFault, BackboneManifest, NetworkKind, PIPELINE, Photo, TextTower,
    TransformerConfig, TransformerKind, View, Views, ViewsError, Weights, load_backbone,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

const KINDS: [TransformerKind; 3] = [TransformerKind::DinoV2, TransformerKind::Clip, TransformerKind::SigLip];
type Tensors = BTreeMap<String, Weights>;

fn config(kind: TransformerKind) -> TransformerConfig {
    let (mean, deviation) = kind.normalisation();
    TransformerConfig {
        kind,
        hidden_size: 16,
        intermediate_size: 24,
        layers: 2,
        heads: 2,
        patch_size: 14,
        mean,
        deviation,
    }
}

/// A change of a tower's numbers and of the side of the views.
type Change = fn(&mut TransformerConfig, &mut usize);

fn manifest(architecture: TransformerConfig) -> BackboneManifest {
    BackboneManifest {
        format: 1,
        architecture: architecture.into(),
        input_side: 56,
        views: View::ALL.to_vec(),
        blocks: Vec::new(),
        pipeline: PIPELINE,
        tuned: false,
        mask: None,
    }
}

/// Random weights with a position table of 5 x 5 patches, where pictures have 4 x 4.
fn tensors(config: &TransformerConfig) -> Tensors {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let random = |(name, shape): (String, Vec<usize>)| {
        let data = (0..shape.iter().product()).map(|_| rng.random_range(-0.4..0.4)).collect();
        (name, Weights { shape, data })
    };
    config.tensors(5).into_iter().map(random).collect()
}

#[test]
fn every_kind_is_loaded_by_the_one_door_and_gives_vectors_of_views() {
    let photo =
        Photo::from_rgb(60, 80, (0..60 * 80 * 3).map(|at| (at % 251) as u8).collect()).expect("sized");
    let mut fingerprints = Vec::new();
    for kind in KINDS {
        let bytes = Views::to_bytes(&manifest(config(kind)), &tensors(&config(kind))).expect("written");
        let backbone = load_backbone(&bytes).expect("sound");
        let layout = backbone.layout();
        for view in View::ALL {
            assert_eq!(layout.source(view.name()).expect("a vector").len(), 32, "summary and mean of tokens");
        }
        assert!(layout.source("colour").is_some());
        let canvas = backbone.canvas(&photo);
        let rows = backbone.forward(&[&canvas, &canvas]).expect("computed").to_vec2::<f32>().expect("rows");
        assert!(rows[0].len() == layout.len() && rows[0] == rows[1] && rows[0].iter().all(|v| v.is_finite()));
        assert!(backbone.fingerprint().starts_with(&format!("{}/views/{PIPELINE}/", kind.name())));
        fingerprints.push(backbone.fingerprint().to_owned());
        // The same weights with attention split otherwise are another backbone.
        let other = TransformerConfig { heads: 4, ..config(kind) };
        let bytes = Views::to_bytes(&manifest(other), &tensors(&config(kind))).expect("written");
        fingerprints.push(load_backbone(&bytes).expect("sound").fingerprint().to_owned());
    }
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 2 * KINDS.len());
}

#[test]
fn numbers_out_of_bounds_are_refused_before_anything_is_computed() {
    let cases: [(&str, Change); 12] = [
        ("layers is 1000000000", |c, _| c.layers = 1_000_000_000),
        ("layers is 0", |c, _| c.layers = 0),
        ("hidden_size is 0", |c, _| c.hidden_size = 0),
        ("hidden_size is", |c, _| (c.hidden_size, c.heads) = (usize::MAX - 1, 2)),
        ("intermediate_size is", |c, _| c.intermediate_size = usize::MAX),
        ("does not divide hidden_size", |c, _| c.heads = 3),
        ("heads is 0", |c, _| c.heads = 0),
        ("patch_size is 0", |c, _| c.patch_size = 0),
        ("patches in a row", |c, side| (c.patch_size, *side) = (4, 448)),
        ("input_side is 0", |_, side| *side = 0),
        ("input_side is 57", |_, side| *side = 57),
        ("deviation", |c, _| c.deviation[1] = 0.0),
    ];
    for kind in KINDS {
        for (wanted, change) in cases {
            let (mut config, mut side) = (config(kind), 56);
            change(&mut config, &mut side);
            let manifest = BackboneManifest { input_side: side, ..manifest(config) };
            let bytes = Views::to_bytes(&manifest, &Tensors::new()).expect("written");
            let error = load_backbone(&bytes).err().expect(wanted);
            assert!(matches!(&error, BackboneError::Views(ViewsError::Unsound { .. })), "{error}");
            assert!(error.to_string().contains(wanted), "{wanted}: {error}");
        }
        let pooled = BackboneManifest { blocks: vec![0], ..manifest(config(kind)) };
        assert!(matches!(Views::new(pooled, &Tensors::new()), Err(ViewsError::Unsound { .. })));
    }
}

#[test]
fn tensors_that_are_not_the_networks_are_refused_by_name() {
    for kind in KINDS {
        let sound = tensors(&config(kind));
        assert!(Views::new(manifest(config(kind)), &sound).is_ok());
        for name in sound.keys() {
            let with = |change: fn(&mut Tensors, &str)| {
                let mut changed = sound.clone();
                change(&mut changed, name);
                match Views::new(manifest(config(kind)), &changed) {
                    Err(ViewsError::Network(fault)) => fault,
                    other => panic!("{name}: {:?}", other.err()),
                }
            };
            let missing = with(|tensors, name| drop(tensors.remove(name)));
            assert!(
                matches!(&missing, BackboneFault::MissingTensor { name: n, .. } if n == name),
                "{missing}"
            );
            let shape = with(|tensors, name| {
                let weights = tensors.get_mut(name).expect("there");
                weights.shape.push(2);
                weights.data.extend_from_within(..);
            });
            assert!(matches!(&shape, BackboneFault::Shape { name: n, .. } if n == name), "{shape}");
            let nan = with(|tensors, name| tensors.get_mut(name).expect("there").data[0] = f32::NAN);
            assert!(matches!(&nan, BackboneFault::NotFinite { name: n } if n == name), "{nan}");
        }
        let mut nan = sound.clone();
        nan.values_mut().for_each(|w| w.data[0] = f32::NAN);
        let bytes = Views::to_bytes(&manifest(config(kind)), &nan).expect("written");
        assert!(matches!(
            load_backbone(&bytes).err(),
            Some(BackboneError::Views(ViewsError::Network(BackboneFault::NotFinite { .. })))
        ));
        // A position table that is no square's.
        let mut oblong = sound;
        let table =
            oblong.values_mut().find(|w| w.shape.contains(&25) || w.shape.contains(&26)).expect("a table");
        let at = table.shape.len() - 2;
        table.shape[at] -= 1;
        table.data.truncate(table.shape.iter().product());
        let error = Views::new(manifest(config(kind)), &oblong).err();
        assert!(matches!(&error, Some(ViewsError::Network(BackboneFault::Shape { .. }))), "{error:?}");
    }
}

#[test]
fn a_text_tower_beside_a_network_is_no_part_of_it() {
    let config = config(TransformerKind::Clip);
    let plain = Views::to_bytes(&manifest(config.clone()), &tensors(&config)).expect("written");
    assert_eq!(TextTower::file_in(&plain).expect("safetensors"), None);
    let first = TextTower::put_into(&plain, b"no text tower at all").expect("written");
    let with_text = TextTower::put_into(&first, b"another").expect("written");
    assert_eq!(TextTower::file_in(&with_text).expect("safetensors"), Some(&b"another"[..]));
    let [found, wanted] =
        [&with_text, &plain].map(|bytes| load_backbone(bytes).expect("sound").fingerprint().to_owned());
    assert_eq!(found, wanted);
    let [(manifest, read), (other, others)] =
        [&with_text, &plain].map(|bytes| Views::read(bytes).expect("sound"));
    assert!(manifest == other && read.len() == others.len() && read.keys().all(|name| name != "text"));
    assert!(TextTower::file_in(b"nothing").is_err() && TextTower::put_into(b"nothing", b"").is_err());
}

#[test]
fn manifests_of_other_networks_are_still_read() {
    let json = r#"{"format":1,"architecture":"efficientnet_lite0","input_side":224,"views":["garment","upper"],
        "blocks":[4,10],"pipeline":2}"#;
    let manifest: BackboneManifest = serde_json::from_str(json).expect("a manifest");
    assert!(
        matches!(manifest.architecture, NetworkKind::InvertedResidual(_)) && manifest.faults().is_empty()
    );
    let written = serde_json::to_string(&manifest).expect("written");
    assert_eq!(serde_json::from_str::<BackboneManifest>(&written).expect("read"), manifest);
    for unknown in ["\"resnet50\"", "{}", "{\"kind\":\"siglip\"}", "7"] {
        let error =
            serde_json::from_str::<BackboneManifest>(&json.replace("\"efficientnet_lite0\"", unknown));
        assert!(error.expect_err(unknown).to_string().contains("architecture"));
    }
}
