//! Backbones that look at views through vision transformers: generations of them are built on a live server and serve.

use lapel_client::{Upload, v1};
use lapel_heads::{
    Attribute, BackboneManifest, Bundle, EXTRACT_PARTS_FILE, HeadKind, Manifest, NetworkKind,
    PARTS_ATTRIBUTE, PIPELINE, PartsCase, SignatureKind, TransformerConfig, TransformerKind, View, Views,
    Weights, load_backbone,
};
use lapel_render::render;
use lapel_tests::{TestServer, by_image, by_item, ingest, item, watched};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tonic::Code;

fn manifest(kind: TransformerKind) -> BackboneManifest {
    let (mean, deviation) = kind.normalisation();
    let tower = TransformerConfig {
        kind,
        hidden_size: 32,
        intermediate_size: 64,
        layers: 2,
        heads: 4,
        patch_size: 14,
        mean,
        deviation,
    };
    BackboneManifest {
        format: 1,
        architecture: tower.into(),
        input_side: 112,
        views: View::ALL.to_vec(),
        blocks: Vec::new(),
        pipeline: PIPELINE,
        tuned: false,
        mask: None,
    }
}

pub(crate) fn random(rng: &mut ChaCha8Rng, shape: Vec<usize>) -> Weights {
    let data = (0..shape.iter().product()).map(|_| rng.random_range(-0.3..0.3)).collect();
    Weights { shape, data }
}

/// A head for one attribute on all vectors, with random weights.
fn head(name: &str, attribute: &str, labels: Vec<String>, backbone: &[u8]) -> Vec<u8> {
    let backbone = load_backbone(backbone).expect("sound");
    let (inputs, count) = (["garment", "upper", "colour"].map(str::to_owned).to_vec(), labels.len());
    let manifest = Manifest {
        kind: HeadKind::Network,
        backbone: Some(backbone.fingerprint().to_owned()),
        signature: SignatureKind::Probabilities,
        inputs,
        ..Manifest::external(name, count, vec![Attribute { name: attribute.to_owned(), labels }])
    };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let tensors = BTreeMap::from([
        (format!("classifier.{attribute}.weight"), random(&mut rng, vec![count, backbone.layout().len()])),
        (format!("classifier.{attribute}.bias"), random(&mut rng, vec![count])),
    ]);
    Bundle { manifest, tensors, graph: None }.to_bytes().expect("written")
}

/// A backbone with random weights in the hub's layout, and two heads on it.
pub(crate) fn generation(kind: TransformerKind) -> (String, Vec<Upload>) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let manifest = manifest(kind);
    let NetworkKind::VisionTransformer(tower) = &manifest.architecture else {
        unreachable!("it is made of one")
    };
    // A position table of 16 x 16 patches; pictures have 8 x 8.
    let tensors =
        tower.tensors(16).into_iter().map(|(name, shape)| (name, random(&mut rng, shape))).collect();
    let backbone = Views::to_bytes(&manifest, &tensors).expect("written");
    let parts = PartsCase::ALL.map(|case| case.name().to_owned()).to_vec();
    let parts = head(EXTRACT_PARTS_FILE.trim_end_matches(".safetensors"), PARTS_ATTRIBUTE, parts, &backbone);
    let colours = ["red", "green", "blue"].map(str::to_owned).to_vec();
    let color = head("color", "color", colours, &backbone);
    let fingerprint = load_backbone(&backbone).expect("sound").fingerprint().to_owned();
    let files = vec![
        Upload::unsigned(v1::GenerationFile::Backbone, backbone),
        Upload::unsigned(v1::GenerationFile::ExtractParts, parts),
        Upload::unsigned(v1::GenerationFile::Head, color),
    ];
    (fingerprint, files)
}

/// Builds a generation of this kind beside the one that serves, and searches with it.
async fn is_built_and_serves(kind: TransformerKind) {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 31, 12).await;
    let before = client.search.search(by_item("g1", 5)).await.expect("answers").into_inner();
    let (fingerprint, files) = generation(kind);
    let built = client.build_generation(&files, false).await.expect("accepted");
    assert_eq!(built.backbone, fingerprint);
    let serving = watched(&mut client).await;
    assert_eq!(serving.state(), v1::HeadState::Active, "{serving:?}");
    server.restart().await;
    let mut client = server.client().await;
    let picture = item("", &render(31, 1)).image;
    for request in [by_item("g1", 5), by_image(picture, 5)] {
        let answer = client.search.search(request).await.expect("answers").into_inner();
        assert!(answer.generation > before.generation, "{}", answer.generation);
        assert_eq!((answer.weights.len(), answer.results.len()), (1, 5), "one head, five of twelve");
    }
    // The photo of an item finds that item.
    let found = client.search.search(by_image(item("", &render(31, 1)).image, 1)).await.expect("answers");
    let found = found.into_inner().results;
    assert!(found[0].item_id == "g1" && found[0].distance < 1e-3, "{found:?}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_on_dinov2_is_built_and_serves() {
    is_built_and_serves(TransformerKind::DinoV2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_on_a_siglip_tower_is_built_and_serves() {
    is_built_and_serves(TransformerKind::SigLip).await;
}

#[tokio::test]
async fn unsound_transformers_are_refused_and_the_server_goes_on() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let (_, files) = generation(TransformerKind::SigLip);
    let with = |manifest: BackboneManifest| {
        let mut files = files.clone();
        files[0].bytes = Views::to_bytes(&manifest, &BTreeMap::new()).expect("written");
        files
    };
    let absurd = |change: fn(&mut TransformerConfig)| {
        let mut manifest = manifest(TransformerKind::SigLip);
        if let NetworkKind::VisionTransformer(tower) = &mut manifest.architecture {
            change(tower);
        }
        with(manifest)
    };
    let cases = [
        ("lack the tensor", absurd(|_| ())),
        ("layers is 1000000000", absurd(|tower| tower.layers = 1_000_000_000)),
        ("does not divide", absurd(|tower| tower.heads = 5)),
        ("input_side is 0", with(BackboneManifest { input_side: 0, ..manifest(TransformerKind::SigLip) })),
    ];
    for (reason, files) in cases {
        let refused = client.build_generation(&files, false).await.expect_err(reason);
        assert_eq!(refused.code(), Code::InvalidArgument, "{reason}");
        assert!(refused.message().contains(reason), "{reason}: {}", refused.message());
    }
    ingest(&mut client, 31, 6).await;
    client.search.search(by_item("g1", 5)).await.expect("it serves on");
    server.finish().await;
}
