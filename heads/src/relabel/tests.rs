use super::*;
use crate::head::Head;
use candle_core::{Device, Tensor};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Numbers that the head reads.
const INPUTS: usize = 3;

fn names(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

/// A probe of four labels with everything that a bundle may say of them.
fn probe(weights: Vec<f32>, bias: Vec<f32>, exponent: f32) -> Bundle {
    let labels = names(&["red", "blue", "navy", "other"]);
    let prototypes =
        (0..4).flat_map(|row| (0..4).map(move |at| if row == at { 0.9 } else { 0.25 })).collect();
    Bundle {
        manifest: Manifest {
            kind: HeadKind::Network,
            backbone: Some("views/1".into()),
            signature: SignatureKind::Probabilities,
            inputs: vec!["garment".into()],
            scale: 0.5,
            exponent,
            prototype_counts: BTreeMap::from([("color".into(), vec![10, 4, 6, 0])]),
            thresholds: BTreeMap::from([("color".into(), vec![0.4, 0.7, 0.6, 0.5])]),
            ..Manifest::external("color", 4, vec![Attribute { name: "color".into(), labels }])
        },
        tensors: BTreeMap::from([
            ("classifier.color.weight".into(), Weights { shape: vec![4, INPUTS], data: weights }),
            ("classifier.color.bias".into(), Weights { shape: vec![4], data: bias }),
            ("prototypes.color".into(), Weights { shape: vec![4, 4], data: prototypes }),
        ]),
        graph: None,
    }
}

fn some_probe() -> Bundle {
    let weights = (0..4 * INPUTS).map(|at| (at * 7 % 5) as f32 - 2.0).collect();
    probe(weights, vec![0.5, -0.25, 0.0, 1.0], 0.5)
}

/// What a bundle, written and read again, says of a row: probabilities by label.
fn told(bundle: &Bundle, row: &[f32]) -> BTreeMap<String, f32> {
    let bundle = Bundle::parse(&bundle.to_bytes().expect("written")).expect("sound");
    let head = Head::reading(&bundle, String::new(), INPUTS).expect("a head");
    let row = Tensor::from_vec(row.to_vec(), (1, INPUTS), &Device::Cpu).expect("a row");
    let signatures = head.signatures(&row).expect("computed");
    let signature = signatures[0].as_ref().expect("finite");
    assert_eq!(signature.values().len(), bundle.manifest.attributes[0].labels.len());
    let scores = head.classify(&bundle.manifest.attributes[0], signature.values()).expect("probabilities");
    scores.into_iter().map(|score| (score.label, score.probability)).collect()
}

fn rename(from: &str, to: &str) -> LabelChange {
    LabelChange::Rename { from: from.into(), to: to.into() }
}

fn merge(from: &[&str], into: &str) -> LabelChange {
    LabelChange::Merge { from: names(from), into: into.into() }
}

fn retire(label: &str) -> LabelChange {
    LabelChange::Retire { label: label.into() }
}

fn changed(bundle: &Bundle, changes: &[LabelChange]) -> Bundle {
    relabel(bundle, "color", changes).expect("sound")
}

#[test]
fn what_is_renamed_is_the_same_but_for_its_name() {
    let before = some_probe();
    let after = changed(&before, &[rename("navy", "dark blue")]);
    assert_eq!(after.tensors, before.tensors);
    let mut manifest = before.manifest.clone();
    manifest.attributes[0].labels[2] = "dark blue".into();
    assert_eq!(after.manifest, manifest);
    assert_eq!(changed(&after, &[rename("dark blue", "navy")]), before);
}

#[test]
fn merged_and_retired_labels_leave_what_belongs_to_the_others() {
    let after = changed(&some_probe(), &[merge(&["navy", "blue"], "blue"), rename("red", "scarlet")]);
    assert_eq!(after.manifest.attributes[0].labels, ["scarlet", "blue", "other"]);
    assert_eq!((after.manifest.dim, after.manifest.groups.as_slice()), (3, [0, 1, 1, 2].as_slice()));
    assert_eq!(after.manifest.prototype_counts["color"], [10, 10, 0]);
    assert_eq!(after.manifest.thresholds["color"], [0.4, 0.6, 0.5]);
    let rows: Vec<&[f32]> = after.tensors["prototypes.color"].data.chunks_exact(3).collect();
    assert!(rows[1][1] > rows[1][0] && rows[1][1] > rows[0][1], "{rows:?}");
    assert_eq!(rows[2], [0.0; 3], "without examples there is none");
    // The outputs of both go.
    let last = changed(&after, &[retire("blue")]);
    assert_eq!(last.manifest.attributes[0].labels, ["scarlet", "other"]);
    assert!(last.manifest.groups.is_empty(), "one each again");
    assert_eq!(last.tensors["classifier.color.weight"].shape, [2, INPUTS]);
    let probe = some_probe();
    let before = &probe.tensors["classifier.color.weight"].data;
    let kept = [&before[..INPUTS], &before[3 * INPUTS..]].concat();
    assert_eq!(last.tensors["classifier.color.weight"].data, kept);
    assert_eq!(last.tensors["classifier.color.bias"].data, [0.5, 1.0]);
}

#[test]
fn an_external_head_keeps_its_dimension() {
    let labels = names(&["calm", "quiet", "loud"]);
    let bundle = Bundle {
        manifest: Manifest {
            prototype_counts: BTreeMap::from([("mood".into(), vec![1, 3, 2])]),
            ..Manifest::external("mood", 2, vec![Attribute { name: "mood".into(), labels }])
        },
        tensors: BTreeMap::from([(
            "prototypes.mood".into(),
            Weights { shape: vec![3, 2], data: vec![1.0, 0.0, 0.0, 1.0, 0.6, 0.8] },
        )]),
        graph: None,
    };
    let after = relabel(&bundle, "mood", &[merge(&["calm", "quiet"], "soft")]).expect("sound");
    assert_eq!((after.manifest.dim, after.manifest.groups.len()), (2, 0));
    assert_eq!(after.manifest.prototype_counts["mood"], [4, 2]);
    let found = &after.tensors["prototypes.mood"].data;
    let wanted = [1.0 / 10f32.sqrt(), 3.0 / 10f32.sqrt(), 0.6, 0.8];
    assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-6), "{found:?}");
    Bundle::parse(&after.to_bytes().expect("written")).expect("sound");
}

#[test]
fn what_cannot_be_changed_is_told_with_its_place() {
    let faults = |changes: &[LabelChange]| match relabel(&some_probe(), "color", changes) {
        Err(RelabelError::Changes(faults)) => faults,
        other => panic!("{other:?}"),
    };
    let cases: [(&[LabelChange], Option<usize>, &str, &str); 11] = [
        (&[], None, "", "there are none"),
        (&[rename("green", "lime")], Some(0), "rename.from", "no label \"green\""),
        (&[retire("green")], Some(0), "retire", "no label \"green\""),
        (&[rename("red", "blue")], Some(0), "rename.to", "already"),
        (&[rename("red", " ")], Some(0), "rename.to", "1 to 64 characters"),
        (&[retire("red"), rename("red", "scarlet")], Some(1), "rename.from", "twice"),
        (&[rename("red", "a"), rename("blue", "a")], Some(1), "rename.to", "two changes"),
        (&[merge(&["red"], "a")], Some(0), "merge.from", "two or more"),
        (&[merge(&["red", "red"], "a")], Some(0), "merge.from[1]", "twice"),
        (&[retire("red"), retire("blue"), retire("navy")], None, "", "fewer than two"),
        (&[merge(&["red", "blue", "navy", "other", "more"], "a")], None, "", "name 5 labels"),
    ];
    for (changes, change, field, description) in cases {
        let found = faults(changes);
        assert_eq!((found.len(), found[0].change, found[0].field.as_str()), (1, change, field), "{found:?}");
        assert!(found[0].description.contains(description), "{found:?}");
    }
    assert_eq!(faults(&[retire("green"), rename("green", "red")]).len(), 3, "all at once");
    let other = relabel(&some_probe(), "mood", &[retire("red")]);
    assert_eq!(other, Err(RelabelError::Attribute("mood".into())));
    let mut layer = some_probe();
    layer.manifest.signature = SignatureKind::Layer;
    assert_eq!(relabel(&layer, "color", &[retire("red")]), Err(RelabelError::Layer));
    let mut graph = some_probe();
    graph.manifest.graph = true;
    graph.tensors.retain(|name, _| name.starts_with("prototypes."));
    assert_eq!(relabel(&graph, "color", &[retire("red")]), Err(RelabelError::Graph));
    let merged =
        relabel(&graph, "color", &[merge(&["blue", "navy"], "sea")]).expect("a graph keeps its outputs");
    assert_eq!((merged.manifest.groups, merged.manifest.dim), (vec![0, 1, 1, 2], 3));
    let mut without = some_probe();
    without.tensors.remove("classifier.color.bias");
    assert_eq!(relabel(&without, "color", &[retire("red")]), Err(RelabelError::Tensors));
}

proptest! {
    #[test]
    fn a_merged_label_has_the_sum_and_a_retired_one_is_shared_out(
        weights in proptest::collection::vec(-3.0f32..3.0, 4 * INPUTS),
        bias in proptest::collection::vec(-3.0f32..3.0, 4),
        row in proptest::collection::vec(-3.0f32..3.0, INPUTS),
        exponent in 0.25f32..1.0,
    ) {
        let before = probe(weights, bias, exponent);
        let of = told(&before, &row);
        let near = |found: f32, wanted: f32| (found - wanted).abs() < 2e-4;
        let merged = changed(&before, &[merge(&["blue", "navy"], "sea"), rename("red", "scarlet")]);
        let found = told(&merged, &row);
        prop_assert!(near(found["sea"], of["blue"] + of["navy"]), "{:?} {:?}", found, of);
        prop_assert!(near(found["scarlet"], of["red"]) && near(found["other"], of["other"]));
        let retired = changed(&before, &[retire("other")]);
        let found = told(&retired, &row);
        let rest = 1.0 - of["other"];
        for label in ["red", "blue", "navy"] {
            prop_assert!((found[label] * rest - of[label]).abs() < 2e-4, "{:?} {:?}", found, of);
        }
        // Merged with what was merged, and with what is left then.
        let again = changed(&merged, &[merge(&["sea", "scarlet"], "colour")]);
        let found = told(&again, &row);
        prop_assert!(near(found["colour"], 1.0 - of["other"]) && near(found["other"], of["other"]));
    }
}
