use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KINDS: [TransformerKind; 2] = [TransformerKind::Clip, TransformerKind::SigLip];

fn small(kind: TransformerKind) -> TextConfig {
    let projection = if kind == TransformerKind::Clip { 12 } else { 24 };
    let summary = if kind == TransformerKind::Clip { 20 } else { 24 };
    TextConfig {
        kind,
        hidden_size: 24,
        intermediate_size: 40,
        layers: 2,
        heads: 3,
        vocabulary: 10,
        positions: 8,
        projection,
        summary,
        pad: 1,
    }
}

fn random_tensors(config: &TextConfig) -> BTreeMap<String, Weights> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let random = |(name, shape): (String, Vec<usize>)| {
        let data = (0..shape.iter().product()).map(|_| rng.random_range(-0.4..0.4)).collect();
        (name, Weights { shape, data })
    };
    let mut tensors: BTreeMap<String, Weights> = config.tensors().into_iter().map(random).collect();
    tensors.insert(config::LOGIT_SCALE.into(), Weights { shape: Vec::new(), data: vec![3.0] });
    tensors
}

/// Words with a start and an end; the end has the largest number.
fn tokenizer(normalizer: &str) -> String {
    let special =
        |name: &str, id: u32| format!(r#""{name}":{{"id":"{name}","ids":[{id}],"tokens":["{name}"]}}"#);
    let piece = |name: &str| format!(r#"{{"SpecialToken":{{"id":"{name}","type_id":0}}}}"#);
    let text = r#"{"Sequence":{"id":"A","type_id":0}}"#;
    format!(
        r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":{normalizer},
        "pre_tokenizer":{{"type":"Whitespace"}},
        "post_processor":{{"type":"TemplateProcessing","single":[{},{text},{}],"pair":[{text},{text}],
            "special_tokens":{{{},{}}}}},
        "decoder":null,
        "model":{{"type":"WordLevel","unk_token":"<unk>","vocab":{{"<unk>":0,"<pad>":1,"<start>":2,"a":3,"long":4,
            "short":5,"sleeve":6,"photo":7,"of":8,"<end>":9}}}}}}"#,
        piece("<start>"),
        piece("<end>"),
        special("<start>", 2),
        special("<end>", 9)
    )
}

fn tower(kind: TransformerKind) -> TextTower {
    let config = small(kind);
    let tensors = random_tensors(&config);
    TextTower::new(config, &tensors, tokenizer("null").as_bytes()).expect("sound")
}

/// Names as the hubs' files of one layer have them, written down from these.
#[test]
fn tensors_are_named_as_on_the_hubs() {
    let shared = "embeddings.token_embedding.weight embeddings.position_embedding.weight \
        encoder.layers.0.self_attn.q_proj.weight encoder.layers.0.self_attn.q_proj.bias \
        encoder.layers.0.self_attn.k_proj.weight encoder.layers.0.self_attn.k_proj.bias \
        encoder.layers.0.self_attn.v_proj.weight encoder.layers.0.self_attn.v_proj.bias \
        encoder.layers.0.self_attn.out_proj.weight encoder.layers.0.self_attn.out_proj.bias \
        encoder.layers.0.layer_norm1.weight encoder.layers.0.layer_norm1.bias \
        encoder.layers.0.mlp.fc1.weight encoder.layers.0.mlp.fc1.bias \
        encoder.layers.0.mlp.fc2.weight encoder.layers.0.mlp.fc2.bias \
        encoder.layers.0.layer_norm2.weight encoder.layers.0.layer_norm2.bias \
        final_layer_norm.weight final_layer_norm.bias";
    let clip = ["text_projection.weight", "visual_projection.weight", "logit_scale"];
    let siglip = ["text_model.head.weight", "text_model.head.bias", "logit_scale"];
    for (kind, own) in KINDS.into_iter().zip([clip, siglip]) {
        let mut wanted: Vec<String> = shared.split_whitespace().map(|n| format!("text_model.{n}")).collect();
        wanted.extend(own.map(str::to_owned));
        let mut found = TextConfig { layers: 1, ..small(kind) }.names();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{kind:?}");
    }
}

#[test]
fn features_are_candles() {
    for kind in KINDS {
        let (config, tower) = (small(kind), tower(kind));
        let ids = tower.tokenizer.ids("A photo of a long sleeve").expect("tokens");
        assert_eq!((ids[0], ids.len()), (2, 8), "a start, six words, an end");
        let found = tower.features(&ids).expect("features");
        let read = random_tensors(&config).into_iter().map(|(name, w)| {
            let tensor = Tensor::from_slice(&w.data, w.shape.as_slice(), &Device::Cpu).expect("a tensor");
            (name, tensor)
        });
        let weights = VarBuilder::from_tensors(read.collect(), DType::F32, &Device::Cpu);
        let ids = Tensor::from_slice(&ids, (1, ids.len()), &Device::Cpu).expect("ids");
        let texts = weights.pp("text_model");
        let wanted = if kind == TransformerKind::Clip {
            let projection = weights.get((12, 24), "text_projection.weight").expect("a tensor");
            let pooled = ClipTextTransformer::new(texts, &clip_config(&config)).and_then(|t| t.forward(&ids));
            pooled.and_then(|pooled| pooled.matmul(&projection.t()?))
        } else {
            siglip::TextModel::new(&siglip_config(&config), texts).and_then(|t| t.forward(&ids))
        };
        let wanted = wanted.and_then(|features| features.squeeze(0)?.to_vec1::<f32>()).expect("features");
        let worst = found.iter().zip(&wanted).map(|(f, w)| (f - w).abs()).fold(0.0, f32::max);
        assert!(found.len() == wanted.len() && worst < 1e-5, "{kind:?}: {worst}");
    }
}

#[test]
fn a_labels_weights_give_the_networks_logits() {
    for kind in KINDS {
        let (config, tower) = (small(kind), tower(kind));
        let directions: Vec<Vec<f32>> =
            ["long sleeve", "a photo of long"].map(|text| tower.direction(text).expect("read")).to_vec();
        for direction in &directions {
            assert!((direction.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let weights = tower.label_weights(&directions).expect("weights");
        assert_eq!(weights.len(), config.summary);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let summary: Vec<f32> = (0..config.summary).map(|_| rng.random_range(-1.0..1.0)).collect();
        let seen: Vec<f32> = match kind {
            TransformerKind::Clip => {
                let projection = &random_tensors(&config)["visual_projection.weight"].data;
                projection.chunks_exact(config.summary).map(|row| dot(row, &summary)).collect()
            }
            TransformerKind::SigLip | TransformerKind::DinoV2 => summary.clone(),
        };
        let mean: Vec<f32> = directions[0].iter().zip(&directions[1]).map(|(a, b)| a + b).collect();
        let length = dot(&seen, &seen).sqrt();
        let cosine = dot(&seen, &mean) / length / dot(&mean, &mean).sqrt();
        let found = dot(&weights, &summary) / tower.mean_length(&summary).expect("a length");
        assert!((found - 3f32.exp() * cosine).abs() < 1e-3, "{kind:?}: {found} {cosine}");
        let opposite = directions[0].iter().map(|v| -v).collect();
        let nothing = tower.label_weights(&[directions[0].clone(), opposite]);
        assert!(matches!(nothing, Err(TextError::NoDirection { .. })));
        assert!(matches!(tower.mean_length(&vec![0.0; config.summary]), Err(TextError::NoDirection { .. })));
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn texts_are_cut_and_filled_up() {
    let ids = |kind, text: &str| tower(kind).tokenizer.ids(text).expect("tokens");
    assert_eq!(ids(TransformerKind::Clip, "Long sleeve"), [2, 4, 6, 9]);
    assert_eq!(ids(TransformerKind::SigLip, "Long sleeve"), [2, 4, 6, 9, 1, 1, 1, 1]);
    assert_eq!(ids(TransformerKind::Clip, ""), [2, 9]);
    let many = "long ".repeat(100);
    for kind in KINDS {
        assert_eq!(ids(kind, &many), [2, 4, 4, 4, 4, 4, 4, 9], "the end stays");
    }
    let endless = "long ".repeat(20_000);
    let error = tower(TransformerKind::Clip).direction(&endless).expect_err("too long");
    assert!(matches!(error, TextError::Prompt { bytes: 100_000 }), "{error}");
    // What the file says of cutting and filling up counts as far as it says with what.
    let json = tokenizer("null").replace(
        "\"padding\":null",
        r#""padding":{"strategy":"BatchLongest","direction":"Right","pad_to_multiple_of":null,"pad_id":7,
            "pad_type_id":0,"pad_token":"photo"}"#,
    );
    let json = json.replace(
        "\"truncation\":null",
        r#""truncation":{"direction":"Right","max_length":1,"strategy":"LongestFirst","stride":0}"#,
    );
    let config = small(TransformerKind::SigLip);
    let tower = TextTower::new(config.clone(), &random_tensors(&config), json.as_bytes()).expect("sound");
    assert_eq!(tower.tokenizer.ids("long").expect("tokens"), [2, 4, 9, 7, 7, 7, 7, 7]);
}

#[test]
fn hostile_tokenizers_are_refused() {
    let config = small(TransformerKind::Clip);
    let tensors = random_tensors(&config);
    let refused = |json: &[u8]| {
        let read = TextTower::new(config.clone(), &tensors, json);
        let read = read.and_then(|tower| tower.direction("long short"));
        let error = read.err().map_or_else(String::new, |error| error.to_string());
        assert!(error.is_empty() || error.contains("tokenizer.json"), "{error}");
        error
    };
    let sound = tokenizer("null");
    assert_eq!(refused(sound.as_bytes()), "");
    for bytes in [&b""[..], b"{}", b"[]", b"\xff\xfe", b"null", b"{\"version\":\"2.0\"}"] {
        assert!(!refused(bytes).is_empty(), "{bytes:?}");
    }
    for end in (0..sound.len()).step_by(37) {
        assert!(!refused(&sound.as_bytes()[..end]).is_empty(), "{end}");
    }
    assert!(refused(sound.replace("\"long\":4", "\"long\":400").as_bytes()).contains("token 400"));
    assert!(refused(sound.replace("[9]", "[4000000000]").as_bytes()).contains("token 4000000000"));
    let doubling = r#"{"type":"Replace","pattern":{"String":"l"},"content":"ll"}"#;
    let steps = |count: usize| {
        format!(r#"{{"type":"Sequence","normalizers":[{}]}}"#, vec![doubling; count].join(","))
    };
    assert_eq!(refused(tokenizer(&steps(2)).as_bytes()), "");
    assert!(refused(tokenizer(&steps(64)).as_bytes()).contains("times longer"));
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!refused(tokenizer(&nested).as_bytes()).is_empty());
}

#[test]
fn unsound_numbers_and_tensors_are_refused_by_name() {
    for kind in KINDS {
        let (config, json) = (small(kind), tokenizer("null"));
        let sound = random_tensors(&config);
        let with = |config: TextConfig, tensors: &BTreeMap<String, Weights>| {
            TextTower::new(config, tensors, json.as_bytes()).err().map_or_else(String::new, |e| e.to_string())
        };
        for (wanted, absurd) in [
            ("vocabulary is 0", TextConfig { vocabulary: 0, ..config.clone() }),
            ("layers is 1000000", TextConfig { layers: 1_000_000, ..config.clone() }),
            ("positions is", TextConfig { positions: usize::MAX, ..config.clone() }),
            ("does not divide", TextConfig { heads: 7, ..config.clone() }),
            ("reads no texts", TextConfig { kind: TransformerKind::DinoV2, ..config.clone() }),
        ] {
            assert!(with(absurd, &sound).contains(wanted), "{wanted}");
        }
        for name in config.names() {
            let mut lacking = sound.clone();
            lacking.remove(&name);
            assert!(with(config.clone(), &lacking).contains(&name), "{name}");
            let mut larger = sound.clone();
            if let Some(weights) = larger.get_mut(&name) {
                weights.shape.push(2);
                weights.data.extend_from_within(..);
            }
            assert!(with(config.clone(), &larger).contains(&name), "{name}");
        }
        let mut endless = sound;
        endless.insert(config::LOGIT_SCALE.into(), Weights { shape: vec![1], data: vec![90.0] });
        assert!(with(config, &endless).contains("is accepted"));
    }
}

#[test]
fn a_file_keeps_what_a_text_says() {
    for kind in KINDS {
        let (config, json) = (small(kind), tokenizer("null"));
        let bytes = TextTower::to_bytes(&config, &random_tensors(&config), json.as_bytes()).expect("written");
        let read = TextTower::from_bytes(&bytes).expect("sound");
        assert_eq!(read.config(), &config);
        let [found, wanted] =
            [&read, &tower(kind)].map(|tower| tower.direction("a short sleeve").expect("read"));
        assert!(dot(&found, &wanted) > 0.999, "but for half precision");
        for end in (0..bytes.len()).step_by(bytes.len() / 50 + 1) {
            assert!(TextTower::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
    }
}
