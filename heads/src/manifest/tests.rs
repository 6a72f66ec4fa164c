use super::*;

pub(crate) fn sound() -> Manifest {
    Manifest {
        format: FORMAT,
        name: "collar".into(),
        kind: HeadKind::Network,
        backbone: Some("alexnet/conv5/0".into()),
        region: Region::Collar,
        context: false,
        inputs: Vec::new(),
        signature: SignatureKind::Layer,
        graph: false,
        exponent: 0.5,
        weight: 1.0,
        changed_weight: 1.0,
        confidence: 0.0,
        hidden: 8,
        dim: 4,
        scale: 8.0,
        attributes: vec![Attribute { name: "collar".into(), labels: vec!["polo".into(), "hood".into()] }],
        groups: Vec::new(),
        prototype_counts: BTreeMap::new(),
        thresholds: BTreeMap::new(),
        description: String::new(),
    }
}

#[test]
fn faults_are_all_named() {
    assert_eq!(sound().faults(), Vec::<String>::new());
    let mut bad = sound();
    bad.dim = 0;
    bad.backbone = None;
    bad.attributes[0].labels[1] = "polo".into();
    bad.prototype_counts.insert("collar".into(), vec![1]);
    assert_eq!(bad.faults().len(), 4, "{:?}", bad.faults());
}

#[test]
fn confidence_is_0_unless_written_and_has_bounds() {
    let json = serde_json::to_value(sound()).expect("json");
    assert!(json.get("confidence").is_none(), "0 is not written, so that older servers read the bundle");
    assert_eq!(serde_json::from_value::<Manifest>(json).expect("read").confidence, 0.0);
    let exponent = |confidence| Manifest { confidence, ..sound() };
    let json = serde_json::to_value(exponent(0.5)).expect("json");
    assert_eq!(serde_json::from_value::<Manifest>(json).expect("read"), exponent(0.5));
    for accepted in [0.0, 1.0, 4.0] {
        assert_eq!(exponent(accepted).faults(), Vec::<String>::new());
    }
    for refused in [-0.1, 4.1, f32::INFINITY, f32::NAN] {
        assert_eq!(exponent(refused).faults(), [format!("confidence is {refused}; 0 to 4 is accepted")]);
    }
}

#[test]
fn the_exponent_is_a_half_unless_written_and_has_bounds() {
    let json = serde_json::to_value(sound()).expect("json");
    assert!(json.get("exponent").is_none(), "a half is not written, so that older servers read the bundle");
    let with = |exponent| Manifest { exponent, ..sound() };
    let json = serde_json::to_value(with(0.75)).expect("json");
    assert_eq!(serde_json::from_value::<Manifest>(json).expect("read"), with(0.75));
    for refused in [0.2, 1.1, f32::NAN] {
        assert_eq!(with(refused).faults(), [format!("exponent is {refused}; 0.25 to 1 is accepted")]);
    }
}

#[test]
fn thresholds_are_absent_unless_written_and_have_bounds() {
    let json = serde_json::to_value(sound()).expect("json");
    assert!(json.get("thresholds").is_none(), "none are not written, so that older servers read the bundle");
    assert!(serde_json::from_value::<Manifest>(json).expect("read").thresholds.is_empty());
    let of = |attribute: &str, thresholds: &[f32]| Manifest {
        thresholds: BTreeMap::from([(attribute.to_owned(), thresholds.to_vec())]),
        ..sound()
    };
    let sound = of("collar", &[0.0, 1.0]);
    assert_eq!(sound.faults(), Vec::<String>::new());
    let json = serde_json::to_value(&sound).expect("json");
    assert_eq!(serde_json::from_value::<Manifest>(json).expect("read"), sound);
    for (refused, fault) in [
        (of("collar", &[0.5]), "thresholds of collar has 1 numbers for 2 labels"),
        (of("colar", &[0.5, 0.5]), "thresholds of \"colar\", which is none of the attributes"),
        (of("collar", &[0.5, 1.5]), "a threshold of collar is 1.5; 0 to 1 is accepted"),
        (of("collar", &[-0.1, 0.5]), "a threshold of collar is -0.1; 0 to 1 is accepted"),
        (of("collar", &[f32::NAN, 0.5]), "a threshold of collar is NaN; 0 to 1 is accepted"),
        (of("collar", &[f32::INFINITY, 0.5]), "a threshold of collar is inf; 0 to 1 is accepted"),
    ] {
        assert_eq!(refused.faults(), [fault]);
    }
}

#[test]
fn groups_are_absent_unless_written_and_give_every_label_an_output() {
    let json = serde_json::to_value(sound()).expect("json");
    assert!(json.get("groups").is_none(), "none are not written, so that older servers read the bundle");
    let probe = Manifest {
        signature: SignatureKind::Probabilities,
        hidden: 0,
        dim: 2,
        inputs: vec!["garment".into()],
        ..sound()
    };
    let with = |groups: &[usize]| Manifest { groups: groups.to_vec(), ..probe.clone() };
    for groups in [&[][..], &[0, 1], &[1, 0, 1]] {
        let manifest = with(groups);
        assert_eq!(manifest.faults(), Vec::<String>::new());
        let json = serde_json::to_value(&manifest).expect("json");
        assert_eq!(serde_json::from_value::<Manifest>(json).expect("read"), manifest);
    }
    assert_eq!(with(&[1, 0, 1]).outputs_of(&probe.attributes[0]), 3);
    assert_eq!(probe.outputs_of(&probe.attributes[0]), 2);
    for (refused, fault) in [
        (with(&[0, 2]), "groups has the number 2; the 2 labels are counted from 0"),
        (with(&[0, 0]), "groups has no output for label 1, counted from 0"),
        (with(&[1; 1001]), "groups has 1001 numbers; at most 1000 are accepted"),
        (
            Manifest { groups: vec![0, 1], ..sound() },
            "groups is given; only outputs of the signature probabilities are grouped",
        ),
    ] {
        assert_eq!(refused.faults(), [fault]);
    }
}

#[test]
fn a_graph_takes_the_place_of_layers_and_is_no_external_heads() {
    let graph = Manifest { graph: true, hidden: 0, ..sound() };
    assert_eq!(graph.faults(), Vec::<String>::new());
    let json = serde_json::to_value(&graph).expect("json");
    assert_eq!(serde_json::from_value::<Manifest>(json).expect("read"), graph);
    assert!(serde_json::to_value(sound()).expect("json").get("graph").is_none(), "others do not speak of it");
    assert_eq!(Manifest { graph: true, ..sound() }.faults(), ["hidden is 8; with a graph it is 0"]);
    let external = Manifest { graph: true, ..Manifest::external("mood", 2, Vec::new()) };
    assert_eq!(external.faults(), ["graph is true; an external head's signatures come with the items"]);
}

#[test]
fn a_description_is_bounded() {
    let with = |bytes| Manifest { description: "x".repeat(bytes), ..sound() };
    assert_eq!(with(1024).faults(), Vec::<String>::new());
    assert_eq!(with(1025).faults(), ["description has 1025 bytes; at most 1024 are accepted"]);
}

#[test]
fn unknown_keys_are_refused() {
    let mut json = serde_json::to_value(sound()).expect("json");
    json["regoin"] = "collar".into();
    assert!(serde_json::from_value::<Manifest>(json).is_err());
}
