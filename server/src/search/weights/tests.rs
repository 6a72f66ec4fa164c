use super::*;
use crate::catalogue::{Column, Precision};
use crate::search::Manipulation;
use crate::testing::network_head;
use lapel_heads::{Attribute, Manifest};

/// `color` is confident by p^2 and weighs 3 (7.5 when edited), `shape` weighs 1 whatever its classifier says,
/// `general` has two attributes.
fn snapshot() -> Snapshot {
    let attribute = |name: &str| Attribute { name: name.into(), labels: vec!["a".into(), "b".into()] };
    let manifest = |name: &str, attributes| Manifest {
        weight: 3.0,
        changed_weight: 2.5,
        confidence: 2.0,
        ..Manifest::external(name, 2, attributes)
    };
    let heads = [
        manifest("color", vec![attribute("color")]),
        Manifest { weight: 1.0, confidence: 0.0, ..manifest("shape", vec![attribute("shape")]) },
        manifest("general", vec![attribute("category"), attribute("fabric")]),
    ];
    let mut snapshot = Snapshot::default();
    for head in heads {
        let name = head.name.clone();
        snapshot.add_reserve(Column::new(&name, network_head(head), Precision::F32));
        snapshot.activate(&name);
    }
    snapshot
}

/// The classifiers' logits are the signature's numbers.
const SIGNATURE: [f32; 2] = [0.6, 0.8];

/// Probability of the likelier of two labels for that signature.
fn sure() -> f64 {
    1.0 / (1.0 + (-0.2f64).exp())
}

/// The heads in play by name, after one attribute was edited or none.
fn weigh(weighting: &Weighting, edited: Option<&str>) -> Result<BTreeMap<String, HeadWeight>, Error> {
    weigh_of(&["color", "shape", "general"], weighting, edited)
}

/// As [`weigh`], for a query with signatures of these heads alone.
fn weigh_of(
    heads: &[&str],
    weighting: &Weighting,
    edited: Option<&str>,
) -> Result<BTreeMap<String, HeadWeight>, Error> {
    let snapshot = snapshot();
    let mut view = QueryView::default();
    for &head in heads {
        view.vectors.insert(head.into(), SIGNATURE.to_vec());
    }
    let effect = |attribute: &str| ManipulationEffect {
        manipulation: Manipulation { attribute: attribute.into(), label: "a".into() },
        head: snapshot.column_of_attribute(attribute).expect("a head").head().name().into(),
        prototype_count: 1,
        prototype_from_catalogue: true,
        items_with_label: 1,
    };
    let effects: Vec<_> = edited.map(effect).into_iter().collect();
    let terms = terms(&snapshot, &view, (weighting, &effects))?;
    let sum: f64 = terms.iter().map(|t| t.term.weight).sum();
    assert!((sum - terms.len() as f64).abs() < 1e-9, "weights sum to the heads in play");
    for pair in terms.windows(2) {
        assert!(pair[0].term.weight >= pair[1].term.weight, "heaviest first");
    }
    Ok(terms.iter().map(|t| (t.head.name().to_owned(), t.head_weight())).collect())
}

fn by_name(weights: &[(&str, f64)]) -> BTreeMap<String, f64> {
    weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect()
}

fn request(weights: &[(&str, f64)], only_named: bool) -> Weighting {
    Weighting::Named { by_name: by_name(weights), only_named }
}

fn profile(weights: &[(&str, f64)]) -> Weighting {
    Weighting::Profile { by_name: by_name(weights) }
}

fn origin(own: f64, given: Option<f64>, edited: bool, factor: f64) -> WeightOrigin {
    WeightOrigin { own, given, confidence: None, edited, factor }
}

#[test]
fn own_weights_follow_confidence_and_edits() {
    let plain = weigh(&Weighting::Own, None).expect("weighed");
    let color = plain["color"].origin;
    let p = color.confidence.expect("it follows its classifier");
    assert!((p - sure()).abs() < 1e-6 && (color.factor - p * p).abs() < 1e-12, "{color:?}");
    assert_eq!(plain["shape"].origin, origin(1.0, None, false, 1.0), "its exponent is 0");
    assert_eq!(plain["general"].origin, origin(3.0, None, false, 1.0), "of which attribute?");
    let ratio = plain["color"].weight / plain["shape"].weight;
    assert!((ratio - 3.0 * sure() * sure()).abs() < 1e-5, "{ratio}");
    let edited = weigh(&Weighting::Own, Some("color")).expect("weighed");
    assert_eq!(edited["color"].origin, origin(3.0, None, true, 2.5), "an edit is no guess");
    assert!((edited["color"].weight / edited["shape"].weight - 7.5).abs() < 1e-9);
    let general = weigh(&Weighting::Own, Some("fabric")).expect("weighed");
    assert_eq!(general["general"].origin, origin(3.0, None, true, 2.5));
    assert_eq!(general["color"].origin, color, "the others are weighed as before");
}

#[test]
fn weights_of_a_request_stand_and_others_follow_the_rule() {
    for edited in [None, Some("color")] {
        let given = weigh(&request(&[("color", 2.0)], false), edited).expect("weighed");
        assert_eq!(given["color"].origin, origin(3.0, Some(2.0), edited.is_some(), 1.0));
        assert!((given["color"].weight / given["shape"].weight - 2.0).abs() < 1e-9);
        let only = weigh(&request(&[("color", 2.0)], true), edited).expect("weighed");
        assert_eq!(only.into_keys().collect::<Vec<_>>(), ["color"]);
    }
    let others = weigh(&request(&[("shape", 2.0)], false), None).expect("weighed");
    assert!(others["color"].origin.confidence.is_some_and(|p| (p - sure()).abs() < 1e-6));
    let edited = weigh(&request(&[("shape", 2.0)], false), Some("color")).expect("weighed");
    assert_eq!(edited["color"].origin, origin(3.0, None, true, 2.5));
}

#[test]
fn a_profile_replaces_own_weights_and_an_edit_still_counts_more() {
    let saved = profile(&[("color", 2.0), ("shape", 2.0)]);
    let plain = weigh(&saved, None).expect("weighed");
    assert_eq!(
        plain["color"].origin,
        origin(3.0, Some(2.0), false, 1.0),
        "no guess of a classifier scales it"
    );
    let edited = weigh(&saved, Some("color")).expect("weighed");
    assert_eq!(edited["color"].origin, origin(3.0, Some(2.0), true, 2.5));
    assert!((edited["color"].weight / edited["shape"].weight - 2.5).abs() < 1e-9);
    let unnamed = weigh(&saved, Some("category")).expect("weighed");
    assert_eq!(unnamed["general"].origin, origin(3.0, None, true, 2.5));
    let none = weigh(&profile(&[("color", 0.0)]), Some("shape")).expect("weighed");
    assert!(!none.contains_key("color"), "0 stays 0 where nothing is asked of the head");
    let asked = weigh(&profile(&[("color", 0.0)]), Some("color")).expect("weighed");
    assert_eq!(asked["color"].origin, origin(3.0, None, true, 2.5), "as if the profile did not name it");
    let huge = weigh(&profile(&[("color", f64::MAX)]), Some("color")).expect("weighed");
    assert!((huge["color"].weight - 3.0).abs() < 1e-9, "scaled without overflow: {huge:?}");
    let both = weigh(&profile(&[("color", 1.7e308), ("category", 1.7e308)]), Some("color")).expect("weighed");
    let ratio = both["color"].weight / both["general"].weight;
    assert!((ratio - 2.5).abs() < 1e-9, "the edit counts in full: {ratio}");
}

#[test]
fn an_edit_of_a_head_that_is_left_out_is_refused() {
    for (weighting, says) in [
        (request(&[("color", 0.0)], false), "a weight above 0"),
        // So much lighter than the others that nothing is left of it.
        (request(&[("color", f64::MIN_POSITIVE), ("shape", f64::MAX)], false), "counts as 0"),
        (request(&[("shape", 1.0)], true), "only_named leaves its head \"color\" out"),
    ] {
        let refused = weigh(&weighting, Some("color")).expect_err("nothing would come of it");
        let violations = match refused {
            Error::Invalid(violations) => violations,
            other => panic!("{other}"),
        };
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].field, "manipulations[0]");
        assert!(violations[0].description.contains(says), "{violations:?}");
    }
    weigh(&request(&[("color", 0.0)], false), Some("shape")).expect("what is edited is in play");
}

#[test]
fn two_names_of_one_head_are_both_told() {
    let told = |weights: &[(&str, f64)]| {
        weigh(&request(weights, false), None).expect_err("one head, two weights").to_string()
    };
    let attributes = told(&[("category", 2.0), ("fabric", 3.0)]);
    assert!(attributes.contains(r#""category" and "fabric" both lead to head "general""#), "{attributes}");
    let head = told(&[("fabric", 2.0), ("general", 3.0)]);
    assert!(head.contains(r#""fabric" and "general" both lead to head "general""#), "{head}");
    weigh(&request(&[("category", 2.0), ("color", 3.0)], false), None).expect("two heads");
}

#[test]
fn weights_of_picks_and_profiles_leave_out_heads_without_a_signature() {
    let weights = [("color", 2.0), ("shape", 1.0), ("general", 3.0)];
    for weighting in [Weighting::Picks { by_head: by_name(&weights) }, profile(&weights)] {
        let left = weigh_of(&["color", "shape"], &weighting, None).expect("weighed");
        assert_eq!(left.keys().collect::<Vec<_>>(), ["color", "shape"]);
        assert!((left["color"].weight / left["shape"].weight - 2.0).abs() < 1e-9, "{left:?}");
    }
    let missing = profile(&[("color", 0.0), ("shape", 1.0)]);
    // Heads that do not serve any more are not in what is weighed.
    let gone = profile(&[("color", 0.0)]);
    for (weighting, says) in [(missing, "the query has no signature"), (gone, "do not serve any more")] {
        let faults = match weigh_of(&["color"], &weighting, None).expect_err("nothing is left") {
            Error::Faults(faults) => faults,
            other => panic!("{other}"),
        };
        let fields: Vec<&str> = faults.all().iter().map(crate::error::Fault::field).collect();
        assert_eq!(fields, ["profile"], "{faults}");
        assert!(faults.to_string().contains(says), "{faults}");
    }
    let named = weigh_of(&["color"], &request(&[("color", 0.0)], false), None).expect_err("nothing is left");
    assert!(matches!(&named, Error::Invalid(violations) if violations[0].field == "weights"), "{named}");
}

#[test]
fn all_heads_that_are_weighted_by_hand_without_a_signature_are_told() {
    let weighting = request(&[("color", 2.0), ("shape", 1.0), ("fabric", 3.0)], false);
    let faults = match weigh_of(&["color"], &weighting, None).expect_err("two are not there") {
        Error::Faults(faults) => faults,
        other => panic!("{other}"),
    };
    let fields: Vec<&str> = faults.all().iter().map(crate::error::Fault::field).collect();
    assert_eq!(fields, ["weights.by_head[fabric]", "weights.by_head[shape]"], "by the names that were given");
    assert!(faults.to_string().contains("no signature of head \"general\""), "{faults}");
    weigh_of(&["color"], &request(&[("color", 2.0), ("shape", 0.0)], false), None).expect("0 needs none");
}

#[test]
fn a_weight_that_scaling_takes_counts_as_none() {
    let left = weigh(&request(&[("color", 1e308), ("shape", 1e-308)], true), None).expect("weighed");
    assert_eq!(left.keys().collect::<Vec<_>>(), ["color"]);
    assert!((left["color"].weight - 1.0).abs() < 1e-9, "one head in play: {left:?}");
    let faint = weigh(&request(&[("color", 1.0), ("shape", 5e-324)], true), None).expect("weighed");
    assert!(faint["shape"].weight > 0.0, "what can be told apart stays: {faint:?}");
}
