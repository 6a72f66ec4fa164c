//! Heads are made from words alone, where the backbone has a text tower, and only there.

use crate::teach::{reason, teach};
use crate::transformers::{generation, random};
use lapel_client::{Client, v1};
use lapel_heads::{Photo, PhotoLimits, TextConfig, TextTower, TransformerKind, Weights, load_backbone};
use lapel_render::{render, to_jpeg};
use lapel_tests::{TestServer, by_default, ingest, item, settled};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::Path;
use tonic::Code;
use tonic_types::StatusExt;
use v1::HeadState::{Active, Standby};
use v1::teach_request::Source;

/// Numbers of a picture's summary in the backbone of [`generation`], and of the space shared with texts.
const SUMMARY: usize = 32;
const SHARED: usize = 16;
/// Labels with their captions; of the last there is none, so that it has the usual one.
const WORDS: [(&str, &[&str]); 3] =
    [("long", &["a long sleeve"]), ("short", &["a short sleeve", "short"]), ("photo", &[])];
const USUAL: &str = "a photo of a garment with photo look";

/// Words with a start and an end.
const TOKENIZER: &str = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
    "normalizer":{"type":"Lowercase"},"pre_tokenizer":{"type":"Whitespace"},
    "post_processor":{"type":"TemplateProcessing",
        "single":[{"SpecialToken":{"id":"<start>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
            {"SpecialToken":{"id":"<end>","type_id":0}}],
        "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":0}}],
        "special_tokens":{"<start>":{"id":"<start>","ids":[1],"tokens":["<start>"]},
            "<end>":{"id":"<end>","ids":[9],"tokens":["<end>"]}}},
    "decoder":null,
    "model":{"type":"WordLevel","unk_token":"<unk>","vocab":{"<unk>":0,"<start>":1,"a":2,"long":3,"short":4,
        "sleeve":5,"photo":6,"garment":7,"with":8,"<end>":9}}}"#;

/// The file of a CLIP's text tower with random weights, and what brings pictures into the space of texts.
fn text_tower() -> (Vec<u8>, Weights) {
    let config = TextConfig {
        kind: TransformerKind::Clip,
        hidden_size: 24,
        intermediate_size: 32,
        layers: 2,
        heads: 3,
        vocabulary: 10,
        positions: 12,
        projection: SHARED,
        summary: SUMMARY,
        pad: 0,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut tensors: BTreeMap<String, Weights> =
        config.tensors().into_iter().map(|(name, shape)| (name, random(&mut rng, shape))).collect();
    tensors.insert("logit_scale".into(), Weights { shape: Vec::new(), data: vec![2.0] });
    let bytes = TextTower::to_bytes(&config, &tensors, TOKENIZER.as_bytes()).expect("written");
    (bytes, tensors["visual_projection.weight"].clone())
}

/// A server on a small CLIP with one head, with or without a text tower; what its backbone's file has for one.
async fn start(folder: &Path, text: Option<&[u8]>) -> (TestServer, Vec<u8>) {
    let (_, files) = generation(TransformerKind::Clip);
    let plain = files[0].bytes.clone();
    let backbone = text.map_or_else(|| plain.clone(), |text| TextTower::put_into(&plain, text).expect("put"));
    let paths = ["backbone", "extract_parts", "color"].map(|name| folder.join(format!("{name}.safetensors")));
    for (path, bytes) in paths.iter().zip([&backbone, &files[1].bytes, &files[2].bytes]) {
        std::fs::write(path, bytes).expect("written");
    }
    let [backbone, extract_parts, color] = paths;
    let server = TestServer::start_with(move |config| {
        config.model.backbone = backbone;
        config.model.extract_parts = extract_parts;
        config.model.heads = vec![color];
    })
    .await;
    (server, plain)
}

fn from_words(words: &[(&str, &[&str])]) -> v1::TeachRequest {
    let label = |(label, prompts): &(&str, &[&str])| v1::WordedLabel {
        label: (*label).to_owned(),
        prompts: prompts.iter().map(|prompt| (*prompt).to_owned()).collect(),
    };
    let labels = words.iter().map(label).collect();
    let source = Some(Source::Words(v1::TaughtWords { labels }));
    v1::TeachRequest { name: "look".into(), source, ..Default::default() }
}

/// The labels of a picture, the likeliest first.
async fn seen(client: &mut Client, image: Vec<u8>) -> Vec<String> {
    let source = Some(v1::describe_request::Source::Image(image));
    let request = v1::DescribeRequest { source, labels_max: 3, ..Default::default() };
    let answer = client.search.describe(request).await.expect("described").into_inner();
    let of_look = answer.attributes.into_iter().find(|attribute| attribute.attribute == "look");
    of_look.expect("the head serves").labels.into_iter().map(|label| label.label).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Cosines of a picture with the labels' texts, the nearest first.
fn cosines(backbone: &[u8], (text, projection): (&[u8], &Weights), image: &[u8]) -> Vec<(String, f32)> {
    let (backbone, tower) =
        (load_backbone(backbone).expect("sound"), TextTower::from_bytes(text).expect("sound"));
    let photo = Photo::decode(image, PhotoLimits::default()).expect("a photo");
    let row =
        backbone.forward(&[&backbone.canvas(&photo)]).expect("computed").to_vec2::<f32>().expect("rows");
    let first = backbone.layout().source("garment").expect("a view").start;
    let summary = &row[0][first..first + SUMMARY];
    let picture: Vec<f32> = projection.data.chunks_exact(SUMMARY).map(|row| dot(row, summary)).collect();
    let cosine = |(label, prompts): &(&str, &[&str])| {
        let prompts = if prompts.is_empty() { &[USUAL][..] } else { *prompts };
        let mut mean = vec![0.0; SHARED];
        for prompt in prompts {
            let direction = tower.direction(prompt).expect("read");
            mean.iter_mut().zip(direction).for_each(|(sum, value)| *sum += value);
        }
        let lengths = dot(&mean, &mean).sqrt() * dot(&picture, &picture).sqrt();
        ((*label).to_owned(), dot(&mean, &picture) / lengths)
    };
    let mut found: Vec<(String, f32)> = WORDS.iter().map(cosine).collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn words_make_a_head_that_tells_what_the_network_tells() {
    let folder = tempfile::tempdir().expect("folder");
    let (text, projection) = text_tower();
    let (server, backbone) = start(folder.path(), Some(&text)).await;
    let mut client = server.client().await;
    // Nothing is stored yet: rendered pictures tell how long summaries are.
    let dry = v1::TeachRequest { dry_run: true, ..from_words(&WORDS) };
    let (told, taught) = teach(&mut client, dry.clone()).await.expect("read");
    assert_eq!((taught.head, taught.worth, taught.held_because.as_str()), (None, None, ""));
    assert_eq!(told.last().expect("progress").examples_total, 8);
    ingest(&mut client, 31, 12).await;
    let (_, taught) = teach(&mut client, from_words(&WORDS)).await.expect("read");
    assert_eq!(taught.worth, None);
    assert!(taught.held_because.contains("nothing tells whether it is right"), "{}", taught.held_because);
    assert_eq!(settled(&mut client, "look").await.state(), Standby);
    let promote = v1::PromoteHeadRequest { name: "look".into(), ..Default::default() };
    client.heads.promote_head(promote).await.expect("promoted");
    let mut compared = 0;
    for at in 0..12 {
        let image = to_jpeg(&render(31, at).photo);
        let wanted = cosines(&backbone, (&text, &projection), &image);
        let found = seen(&mut client, image).await;
        // The cache and the file round; what is as near is told either way.
        if wanted.windows(2).all(|pair| pair[0].1 - pair[1].1 > 0.003) {
            assert_eq!(
                found,
                wanted.iter().map(|(label, _)| label.clone()).collect::<Vec<_>>(),
                "{wanted:?}"
            );
            compared += 1;
        }
    }
    assert!(compared > 3, "{compared}");
    // Items that carry the labels tell what it is worth.
    for at in 20..26 {
        let mut labelled = item(&format!("g{at}"), &render(31, at));
        let look = if at % 2 == 0 { "long" } else { "short" };
        labelled.labels.insert("look".into(), look.into());
        let results = client.upsert(vec![labelled]).await.expect("stored");
        assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
    }
    let (told, taught) = teach(&mut client, dry).await.expect("read");
    assert_eq!(told.last().expect("progress").examples_total, 6);
    let worth = taught.worth.expect("examined");
    let labels: Vec<(&str, u64)> =
        worth.labels.iter().map(|one| (one.label.as_str(), one.examples)).collect();
    assert_eq!((worth.examples, labels), (6, vec![("long", 3), ("short", 3), ("photo", 0)]));
    let update = v1::TeachRequest { update: true, insist: true, ..from_words(&WORDS[..2]) };
    let (_, taught) = teach(&mut client, update).await.expect("read");
    assert_eq!((taught.head.expect("registered").version, taught.held_because.as_str()), (2, ""));
    assert_eq!(settled(&mut client, "look").await.state(), Active);
    server.finish().await;
}

#[tokio::test]
async fn words_that_cannot_be_read_are_told_plainly() {
    let folder = tempfile::tempdir().expect("folder");
    let (text, _) = text_tower();
    let (server, _) = start(folder.path(), Some(&text)).await;
    let mut client = server.client().await;
    let endless = "long ".repeat(20_000);
    let named = v1::TeachRequest { labels: vec!["long".into(), "short".into()], ..from_words(&WORDS) };
    let cases = [
        ("no words", from_words(&[]), "words.labels"),
        ("one label", from_words(&WORDS[..1]), "words.labels"),
        ("a label twice", from_words(&[("long", &[]), ("long", &[])]), "words.labels[1].label"),
        ("no label", from_words(&[("long", &[]), ("", &[])]), "words.labels[1].label"),
        ("an empty prompt", from_words(&[("long", &[" "]), ("short", &[])]), "words.labels[0].prompts[0]"),
        (
            "100 KB",
            from_words(&[("long", &["long", &endless]), ("short", &[])]),
            "words.labels[0].prompts[1]",
        ),
        ("labels twice", named, "labels"),
    ];
    for (case, request, field) in cases {
        let refused = teach(&mut client, request).await.expect_err(case);
        assert_eq!(refused.code(), Code::InvalidArgument, "{case}: {refused:?}");
        let bad = refused.get_error_details().bad_request().map(|bad| bad.field_violations.clone());
        assert!(bad.is_some_and(|bad| bad.iter().any(|fault| fault.field == field)), "{case}: {refused:?}");
    }
    server.finish().await;
}

async fn refused_by(server: &TestServer, wanted: &str) {
    let mut client = server.client().await;
    let refused = teach(&mut client, from_words(&WORDS)).await.expect_err(wanted);
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, wanted));
}

#[tokio::test]
async fn a_backbone_without_a_sound_text_tower_reads_no_words() {
    let shipped = TestServer::start_with(|config| {
        by_default(config);
        config.model.heads.truncate(1);
    })
    .await;
    refused_by(&shipped, "NO_TEXT_TOWER").await;
    shipped.finish().await;
    let folder = tempfile::tempdir().expect("folder");
    let (server, _) = start(folder.path(), Some(b"no text tower")).await;
    refused_by(&server, "UNSOUND_TEXT_TOWER").await;
    server.finish().await;
}

#[tokio::test]
async fn a_text_tower_comes_to_a_catalogue_that_has_none() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut server, plain) = start(folder.path(), None).await;
    let mut client = server.client().await;
    let dry = v1::TeachRequest { dry_run: true, ..from_words(&WORDS) };
    let refused = teach(&mut client, dry.clone()).await.expect_err("no text tower");
    assert_eq!(reason(&refused), "NO_TEXT_TOWER");
    let with_text = TextTower::put_into(&plain, &text_tower().0).expect("put");
    std::fs::write(folder.path().join("backbone.safetensors"), with_text).expect("written");
    server.restart().await;
    let mut client = server.client().await;
    teach(&mut client, dry).await.expect("read");
    server.finish().await;
}
