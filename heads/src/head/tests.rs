use super::*;
use crate::manifest::FORMAT;
use crate::region::Region;
use crate::testing::TinyBackbone;
use std::collections::BTreeMap;

const TINY: TinyBackbone = TinyBackbone { channels: 2 };

fn weights(shape: &[usize], data: &[f32]) -> Weights {
    Weights { shape: shape.to_vec(), data: data.to_vec() }
}

fn bundle() -> Bundle {
    let attribute = Attribute { name: "color".into(), labels: vec!["red".into(), "blue".into()] };
    Bundle {
        manifest: Manifest {
            format: FORMAT,
            name: "color".into(),
            kind: HeadKind::Network,
            backbone: Some("tiny/1".into()),
            region: Region::Chest,
            context: false,
            inputs: Vec::new(),
            signature: SignatureKind::Layer,
            graph: false,
            exponent: 0.5,
            weight: 1.0,
            changed_weight: 1.0,
            confidence: 0.0,
            hidden: 2,
            dim: 2,
            scale: 2.0,
            attributes: vec![attribute],
            groups: Vec::new(),
            prototype_counts: BTreeMap::new(),
            thresholds: BTreeMap::new(),
            description: String::new(),
        },
        tensors: BTreeMap::from([
            ("fc6.weight".into(), weights(&[2, 2], &[1.0, 0.0, 0.0, 1.0])),
            ("fc6.bias".into(), weights(&[2], &[0.0, 0.1])),
            ("fc7.weight".into(), weights(&[2, 2], &[1.0, 0.0, 0.0, -1.0])),
            ("fc7.bias".into(), weights(&[2], &[0.0, 0.0])),
            ("classifier.color.weight".into(), weights(&[2, 2], &[1.0, 0.0, 0.0, -1.0])),
            ("classifier.color.bias".into(), weights(&[2], &[0.0, 0.0])),
        ]),
        graph: None,
    }
}

fn build(bundle: &Bundle) -> Result<Head, BundleError> {
    Head::from_bytes(&bundle.to_bytes().expect("written"), &TINY)
}

#[test]
fn signatures_and_scores_follow_the_layers() {
    let head = build(&bundle()).expect("sound");
    let pooled = Tensor::new(&[[3.0f32, 3.9], [-1.0, -1.0]], &Device::Cpu).expect("tensor");
    let found = head.signatures(&pooled).expect("computed");
    let signature = found[0].as_ref().expect("a direction");
    assert!((signature.values()[0] - 0.6).abs() < 1e-6 && (signature.values()[1] + 0.8).abs() < 1e-6);
    assert!(found[1].is_none(), "an all-zero fc7 has no direction");
    let attribute = &head.manifest().attributes[0];
    let scores = head.classify(attribute, signature.values()).expect("a classifier");
    let blue = 1.0 / (1.0 + (2.0f32 * (0.6 - 0.8)).exp());
    assert!((scores[1].probability - blue).abs() < 1e-6);
    assert_eq!(head.predict(attribute, signature.values()).expect("labels").label, "blue");
}

#[test]
fn a_prediction_is_unsure_below_the_threshold_of_its_own_label() {
    let mut with = bundle();
    with.manifest.thresholds.insert("color".into(), vec![0.4, 0.7]);
    let (with, without) = (build(&with).expect("sound"), build(&bundle()).expect("sound"));
    let attribute = &with.manifest().attributes[0];
    let score = |label: &str, probability| LabelScore { label: label.into(), probability };
    for (label, probability, unsure) in
        [("red", 0.39, true), ("red", 0.4, false), ("blue", 0.69, true), ("blue", 0.7, false)]
    {
        assert_eq!(with.is_unsure(attribute, &score(label, probability)), unsure, "{label} {probability}");
        let below_half = probability < 0.5;
        assert_eq!(
            without.is_unsure(attribute, &score(label, probability)),
            below_half,
            "{label} {probability}"
        );
    }
    assert!(with.is_unsure(attribute, &score("green", 1.0)), "none of its labels");
}

#[test]
fn a_prototype_comes_back_with_its_count() {
    let mut sums = vec![SignatureSum::new(2), SignatureSum::new(2)];
    sums[1].add(&[0.0, 1.0]);
    let mut with = bundle();
    store_prototypes(&mut with, &HashMap::from([("color".to_owned(), sums)]));
    let head = build(&with).expect("sound");
    assert_eq!(head.prototype("color", "blue").expect("one member").count, 1);
    assert!(head.prototype("color", "red").is_none() && head.prototype("color", "green").is_none());
}

/// A changed bundle and whether the error is the right one.
type Case = (fn(&mut Bundle), fn(&BundleError) -> bool);

#[test]
fn unsound_bundles_are_refused_with_the_cause() {
    let cases: [Case; 6] = [
        (|b| b.manifest.backbone = Some("tiny/2".into()), |e| matches!(e, BundleError::Backbone { .. })),
        (|b| b.manifest.hidden = 3, |e| matches!(e, BundleError::Shape { .. })),
        (
            |b| {
                b.tensors.remove("fc7.bias");
            },
            |e| matches!(e, BundleError::MissingTensor { .. }),
        ),
        (
            |b| {
                b.tensors.insert("fc8.bias".into(), weights(&[1], &[0.0]));
            },
            |e| matches!(e, BundleError::UnknownTensor { .. }),
        ),
        (|b| b.manifest.attributes.clear(), |e| matches!(e, BundleError::Unsound { .. })),
        (
            |b| {
                b.tensors.insert("fc7.weight".into(), weights(&[2, 2], &[0.0; 4]));
            },
            |e| matches!(e, BundleError::Probe),
        ),
    ];
    for (at, (change, expected)) in cases.iter().enumerate() {
        let mut changed = bundle();
        change(&mut changed);
        let error = build(&changed).err().expect("refused");
        assert!(expected(&error), "case {at}: {error}");
    }
}

#[test]
fn a_classifier_that_could_overflow_is_refused() {
    let with = |weight: f32, bias: f32, scale: f32| {
        let mut bundle = bundle();
        bundle.manifest.scale = scale;
        bundle.tensors.insert("classifier.color.weight".into(), weights(&[2, 2], &[weight; 4]));
        bundle.tensors.insert("classifier.color.bias".into(), weights(&[2], &[bias, 0.0]));
        build(&bundle)
    };
    // Every number is finite; the product, the sum of a row, or the sum with the bias is not.
    for (weight, bias, scale) in [(2.0, 0.0, 3e38), (2e38, 0.0, 1.0), (1e38, 2e38, 1.0), (-2.0, 0.0, 3e38)] {
        let refused = with(weight, bias, scale).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(refused.contains("classifier.color.weight"), "{weight} {bias} {scale}: {refused}");
    }
    let head = with(1e38, -1e38, 1.0).expect("large, but nothing overflows");
    let attribute = &head.manifest().attributes[0];
    for signature in [[1.0, 0.0], [-0.6, -0.8], [0.6, -0.8]] {
        let scores = head.classify(attribute, &signature).expect("a classifier");
        assert!((scores.iter().map(|s| s.probability).sum::<f32>() - 1.0).abs() < 1e-6, "{scores:?}");
    }
}

#[test]
fn a_probe_gives_powers_of_its_probabilities() {
    let attribute = Attribute { name: "mood".into(), labels: vec!["calm".into(), "loud".into()] };
    let bundle = Bundle {
        manifest: Manifest {
            kind: HeadKind::Network,
            backbone: Some("views/1".into()),
            signature: SignatureKind::Probabilities,
            inputs: vec!["garment".into()],
            scale: 0.5,
            ..Manifest::external("mood", 2, vec![attribute.clone()])
        },
        tensors: BTreeMap::from([
            ("classifier.mood.weight".into(), weights(&[2, 3], &[1.0, 0.0, 0.0, 0.0, 2.0, 0.0])),
            ("classifier.mood.bias".into(), weights(&[2], &[0.0, 1.0])),
        ]),
        graph: None,
    };
    let bundle = Bundle::parse(&bundle.to_bytes().expect("written")).expect("read");
    let head = Head::reading(&bundle, String::new(), 3).expect("sound");
    let rows = Tensor::new(&[[2.0f32, 1.0, 9.0], [f32::NAN, 0.0, 0.0]], &Device::Cpu).expect("tensor");
    let signatures = head.signatures(&rows).expect("computed");
    // Logits 2 and 3, halved.
    let loud = 1.0 / (1.0 + (-0.5f32).exp());
    let signature = signatures[0].as_ref().expect("finite").values();
    assert!((signature[1] - loud.sqrt()).abs() < 1e-6 && (signature[0] - (1.0 - loud).sqrt()).abs() < 1e-6);
    assert!(signatures[1].is_none(), "what is not finite is no signature");
    let told = head.predict(&attribute, signature).expect("labels");
    assert!(told.label == "loud" && (told.probability - loud).abs() < 1e-6, "{told:?}");
    let squared = Manifest { exponent: 1.0, ..bundle.manifest.clone() };
    let squared = Bundle { manifest: squared, ..bundle.clone() };
    let squared = Head::reading(&squared, String::new(), 3).expect("sound");
    let signatures = squared.signatures(&rows).expect("computed");
    let values = signatures[0].as_ref().expect("finite").values();
    assert!((values[1] / values[0] - loud / (1.0 - loud)).abs() < 1e-5, "{values:?}");
    assert!((values.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-6);
    let told = squared.predict(&attribute, values).expect("labels");
    assert!(told.label == "loud" && (told.probability - loud).abs() < 1e-6, "{told:?}");
    let unsound = |change: fn(&mut Manifest)| {
        let mut manifest = bundle.manifest.clone();
        change(&mut manifest);
        manifest.faults()
    };
    assert!(unsound(|m| m.dim = 3)[0].contains("probabilities"));
    assert!(unsound(|m| m.hidden = 4)[0].contains("probabilities"));
    assert!(unsound(|m| m.context = true)[0].contains("context is true"));
    assert!(unsound(|m| m.kind = HeadKind::External)[0].contains("come with the items"));
    // A signature that no probe gives, from a caller, tells nothing.
    assert_eq!(probabilities(&[-1.0, 0.0], 0.5), [0.5, 0.5]);
    let other = BundleError::Inputs { fault: String::new() };
    let read = Head::new(
        &Bundle {
            manifest: Manifest { backbone: Some("tiny/1".into()), ..bundle.manifest.clone() },
            ..bundle
        },
        String::new(),
        &TINY,
    );
    assert!(
        read.is_err_and(|e| std::mem::discriminant(&e) == std::mem::discriminant(&other)),
        "a map has no vectors"
    );
}

/// An external head of two numbers that brings a classifier of one of its two attributes.
fn external_bundle() -> Bundle {
    let attribute = |name: &str, labels: [&str; 2]| Attribute {
        name: name.into(),
        labels: labels.map(str::to_owned).to_vec(),
    };
    let attributes = vec![attribute("mood", ["calm", "loud"]), attribute("price", ["low", "high"])];
    Bundle {
        manifest: Manifest {
            scale: 2.0,
            thresholds: BTreeMap::from([("mood".into(), vec![0.9, 0.5])]),
            ..Manifest::external("mood", 2, attributes)
        },
        tensors: BTreeMap::from([
            ("classifier.mood.weight".into(), weights(&[2, 2], &[1.0, 0.0, 0.0, 1.0])),
            ("classifier.mood.bias".into(), weights(&[2], &[0.0, 0.5])),
        ]),
        graph: None,
    }
}

#[test]
fn an_external_head_classifies_what_comes_with_the_items() {
    let head = build(&external_bundle()).expect("sound");
    let [mood, price] = head.manifest().attributes.as_slice() else { panic!("two attributes") };
    assert!(!head.has_network() && head.inputs() == 0);
    assert!(head.predicts("mood") && !head.predicts("price") && !head.predicts("color"));
    // Logits 1.6 and 1.2 + 0.5.
    let scores = head.classify(mood, &[0.8, 0.6]).expect("a classifier");
    let loud = 1.0 / (1.0 + (-0.1f32).exp());
    assert!((scores[1].probability - loud).abs() < 1e-6, "{scores:?}");
    assert!(head.classify(price, &[0.8, 0.6]).is_none());
    for (signature, label, unsure) in [([0.0, 1.0], "loud", false), ([1.0, 0.0], "calm", true)] {
        let predicted = head.predict(mood, &signature).expect("a classifier");
        assert_eq!((predicted.label.as_str(), head.is_unsure(mood, &predicted)), (label, unsure));
    }
    let without = Bundle { tensors: BTreeMap::new(), ..external_bundle() };
    assert!(!build(&without).expect("classifiers are optional").predicts("mood"));
}

#[test]
fn unsound_classifiers_of_an_external_head_are_refused_with_the_cause() {
    let cases: [Case; 6] = [
        (
            |b| {
                b.tensors.remove("classifier.mood.bias");
            },
            |e| matches!(e, BundleError::MissingTensor { name, .. } if name == "classifier.mood.bias"),
        ),
        (
            |b| {
                b.tensors.remove("classifier.mood.weight");
            },
            |e| matches!(e, BundleError::MissingTensor { name, .. } if name == "classifier.mood.weight"),
        ),
        (
            |b| {
                b.tensors.insert("classifier.mood.weight".into(), weights(&[2, 3], &[0.0; 6]));
            },
            |e| matches!(e, BundleError::Shape { .. }),
        ),
        (
            |b| {
                b.tensors.insert("classifier.color.bias".into(), weights(&[2], &[0.0; 2]));
            },
            |e| matches!(e, BundleError::UnknownTensor { .. }),
        ),
        (
            |b| {
                b.tensors.insert("fc7.bias".into(), weights(&[2], &[0.0; 2]));
            },
            |e| matches!(e, BundleError::UnknownTensor { .. }),
        ),
        (
            |b| {
                b.tensors.insert("classifier.mood.weight".into(), weights(&[2, 2], &[f32::MAX; 4]));
            },
            |e| matches!(e, BundleError::NotFinite { .. }),
        ),
    ];
    for (at, (change, expected)) in cases.iter().enumerate() {
        let mut changed = external_bundle();
        change(&mut changed);
        let error = build(&changed).err().expect("refused");
        assert!(expected(&error), "case {at}: {error}");
    }
}

/// Written by client/python/src/lapel/bundle.py; tests/python/test_bundle_writer.py has what, and holds them together.
const FROM_PYTHON: &[u8] = include_bytes!("../../testdata/from-python.safetensors");

#[test]
fn what_python_writes_is_what_is_written_here() {
    let wanted = Bundle {
        manifest: Manifest {
            kind: HeadKind::Network,
            backbone: Some("tiny/1".into()),
            inputs: vec!["garment".into(), "colour".into()],
            signature: SignatureKind::Probabilities,
            scale: 0.5,
            prototype_counts: BTreeMap::from([("mood".into(), vec![3, 5])]),
            description: "written by Python".into(),
            ..Manifest::external(
                "mood",
                2,
                vec![Attribute { name: "mood".into(), labels: vec!["calm".into(), "s\u{fc}\u{df}".into()] }],
            )
        },
        tensors: BTreeMap::from([
            ("classifier.mood.weight".into(), weights(&[2, 4], &[1.0, 0.0, -0.5, 2.0, 0.0, 1.0, 0.25, -1.0])),
            ("classifier.mood.bias".into(), weights(&[2], &[0.5, -0.5])),
            ("prototypes.mood".into(), weights(&[2, 2], &[1.0, 0.0, 0.25, 0.75])),
        ]),
        graph: None,
    };
    let read = Bundle::parse(FROM_PYTHON).expect("sound");
    assert_eq!(read, wanted);
    assert_eq!(Bundle::parse(&wanted.to_bytes().expect("written")).expect("sound"), read);

    let head = Head::reading(&read, Bundle::id(FROM_PYTHON), 4).expect("a head");
    let row = Tensor::new(&[[1.0f32, 0.0, 0.0, 1.0]], &Device::Cpu).expect("tensor");
    let found = head.signatures(&row).expect("computed");
    let scores = head.classify(&read.manifest.attributes[0], found[0].as_ref().expect("finite").values());
    // Logits of 3.5 and -1.5, divided by the temperature 2.
    let calm = 1.0 / (1.0 + (-2.5f32).exp());
    assert!((scores.expect("probabilities")[0].probability - calm).abs() < 1e-5);
    assert_eq!(head.prototype("mood", "calm").map(|prototype| prototype.count), Some(3));
}
