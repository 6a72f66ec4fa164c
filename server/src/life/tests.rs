//! The transition, state by state and change by change, and by random changes.

mod random;
mod tables;

use super::refusal::Refusal;
use super::{
    Change, HeadState, HeadStatus, Life, ModelStatus, Models, NewHead, NewModel, Progress, Purpose, Registry,
    Step,
};
use crate::store::StoredState;
use crate::testing::{head, network_head};
use lapel_heads::{Attribute, Bundle, Head, Manifest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A head that tells one attribute apart, external or on a backbone. Heads of different dimensions have different bundles.
fn new_head(name: &str, attribute: &str, backbone: Option<&str>, dim: usize) -> Arc<Head> {
    let labels = (0..dim).map(|label| format!("{attribute}{label}")).collect();
    let manifest = Manifest::external(name, dim, vec![Attribute { name: attribute.into(), labels }]);
    match backbone {
        Some(backbone) => network_head(Manifest { backbone: Some(backbone.to_owned()), ..manifest }),
        None => head(&Bundle { manifest, tensors: BTreeMap::new(), graph: None }),
    }
}

/// Version 1 of a head.
fn version_1(head: &Arc<Head>, state: HeadState) -> HeadStatus {
    HeadStatus {
        key: format!("{}-1", head.name()),
        name: head.name().to_owned(),
        version: 1,
        bundle_sha256: head.id().to_owned(),
        backbone: head.manifest().backbone.clone(),
        head: state.is_alive().then(|| head.clone()),
        state,
        progress: Progress::default(),
        promotes_itself: true,
        served_ms: 5,
        registered_ms: 1,
    }
}

fn model(fingerprint: &str, state: HeadState, heads: &[&str]) -> ModelStatus {
    ModelStatus {
        fingerprint: fingerprint.to_owned(),
        state,
        promotes_itself: true,
        heads: heads.iter().map(|key| (*key).to_owned()).collect(),
        registered_ms: 1,
    }
}

fn life(heads: Vec<HeadStatus>, models: Vec<ModelStatus>) -> Life {
    let models: Models = models.into_iter().map(|m| (m.fingerprint.clone(), m)).collect();
    Life::new(heads, models)
}

fn register(head: &Arc<Head>, update: bool, hold: bool) -> Change {
    Change::Register(NewHead { head: head.clone(), update, hold, heads_max: 64 })
}

fn stepped(life: &Life, change: &Change) -> Step {
    life.step(change, 9).unwrap_or_else(|refusal| panic!("refused: {refusal}"))
}

/// The states of a head's versions.
fn states(life: &Life, name: &str) -> Vec<&'static str> {
    life.heads().filter(|s| s.name == name).map(|s| s.state.name()).collect()
}

#[test]
fn a_head_whose_backbone_was_switched_during_its_backfill_does_not_serve() {
    let (own, late) = (new_head("own", "own", Some("m1"), 2), new_head("late", "late", Some("m1"), 2));
    let other = new_head("other", "other", Some("m2"), 2);
    let before = life(
        vec![
            version_1(&own, HeadState::Active),
            version_1(&late, HeadState::Backfilling),
            version_1(&other, HeadState::Standby),
        ],
        vec![model("m1", HeadState::Active, &[]), model("m2", HeadState::Standby, &["other-1"])],
    );
    let switched = stepped(&before, &Change::Switch { fingerprint: "m2".into() }).life;
    let filled = stepped(&switched, &Change::HeadFilled { key: "late-1".into() });
    assert_eq!(states(&filled.life, "late"), ["on standby"], "its column is of the other backbone");
    assert!(filled.effects.activate.is_empty() && !filled.effects.serves_anew);
    // Back on its backbone it can be promoted.
    let back = stepped(&filled.life, &Change::Switch { fingerprint: "m1".into() }).life;
    assert_eq!((states(&back, "own"), states(&back, "late")), (vec!["active"], vec!["on standby"]));
    let promoted = stepped(&back, &Change::Promote { name: "late".into(), version: 0 }).life;
    assert_eq!(states(&promoted, "late"), ["active"]);
}

#[test]
fn an_external_head_shares_no_attribute_with_a_model_that_waits() {
    let (own, other) = (new_head("own", "own", Some("m1"), 2), new_head("other", "mood", Some("m2"), 2));
    let before = life(
        vec![version_1(&own, HeadState::Active), version_1(&other, HeadState::Standby)],
        vec![model("m1", HeadState::Active, &[]), model("m2", HeadState::Standby, &["other-1"])],
    );
    let refused = before.step(&register(&new_head("mood", "mood", None, 2), false, false), 9).err();
    let wanted = Refusal::AttributeTaken { attribute: "mood".into(), head: "other".into() };
    assert_eq!(refused, Some(wanted), "both would serve once the models are switched");
}

#[test]
fn an_external_version_that_serves_stays_when_a_model_brings_its_name() {
    let (own, named) = (new_head("own", "own", Some("m1"), 2), new_head("mood", "mood", Some("m2"), 2));
    let rest = new_head("rest", "rest", Some("m2"), 2);
    let mut external = version_1(&new_head("mood", "mood", None, 2), HeadState::Active);
    (external.key, external.version) = ("mood-2".into(), 2);
    let before = life(
        vec![
            version_1(&own, HeadState::Active),
            version_1(&named, HeadState::Standby),
            version_1(&rest, HeadState::Standby),
            external,
        ],
        vec![model("m1", HeadState::Active, &[]), model("m2", HeadState::Standby, &["mood-1", "rest-1"])],
    );
    let step = stepped(&before, &Change::Switch { fingerprint: "m2".into() });
    assert_eq!(states(&step.life, "mood"), ["on standby", "active"]);
    assert_eq!((step.effects.switch.as_deref(), step.effects.activate), (Some("m2"), vec!["rest-1".into()]));
}

#[test]
fn a_failed_head_keeps_its_data_until_it_is_retired_and_the_version_before_serves() {
    let (base, old, new) = (
        new_head("base", "base", None, 2),
        new_head("h", "h", Some("m1"), 2),
        new_head("h", "h", Some("m1"), 3),
    );
    let mut second = version_1(&new, HeadState::Active);
    (second.key, second.version) = ("h-2".into(), 2);
    let before = life(
        vec![version_1(&base, HeadState::Active), version_1(&old, HeadState::Standby), second],
        vec![model("m1", HeadState::Active, &[])],
    );
    let failed = stepped(&before, &Change::Fail { key: "h-2".into(), reason: "it panicked".into() });
    assert_eq!(states(&failed.life, "h"), ["active", "failed"]);
    assert_eq!((failed.effects.activate, failed.effects.drop), (vec!["h-1".into()], vec!["h-2".into()]));
    assert_eq!(failed.effects.delete, Vec::<String>::new(), "it is kept");
    let recorded = failed.effects.heads.iter().find(|(key, _)| key == "h-1").map(|(_, record)| record);
    let recorded = recorded.map(|record| (record.state.clone(), record.served_ms));
    assert_eq!(recorded, Some((StoredState::Active, 9)), "the record tells when it came into service again");
    let retired = stepped(&failed.life, &Change::Retire { name: "h".into(), version: 2 });
    assert_eq!(states(&retired.life, "h"), ["active", "draining"]);
    assert_eq!(retired.effects.delete, ["h-2"]);
}

#[test]
fn a_generation_fails_with_the_first_of_its_heads() {
    let (own, one, two) = (
        new_head("own", "own", Some("m1"), 2),
        new_head("a", "a", Some("m2"), 2),
        new_head("b", "b", Some("m2"), 2),
    );
    let before = life(
        vec![
            version_1(&own, HeadState::Active),
            version_1(&one, HeadState::Backfilling),
            version_1(&two, HeadState::Backfilling),
        ],
        vec![
            model("m1", HeadState::Active, &["own-1"]),
            model("m2", HeadState::Backfilling, &["a-1", "b-1"]),
        ],
    );
    let step = stepped(&before, &Change::Fail { key: "a-1".into(), reason: "it panicked".into() });
    let why = "its head \"a\" failed: it panicked".to_owned();
    assert_eq!(step.life.model("m2").map(|m| m.state.clone()), Ok(HeadState::Failed(why)));
    assert_eq!((states(&step.life, "a"), states(&step.life, "b")), (vec!["failed"], vec!["failed"]));
    assert_eq!(step.life.unfinished(), Vec::<Purpose>::new());
    assert_eq!(step.effects.delete, Vec::<String>::new(), "its data is kept until it is dropped");
    assert!(!step.effects.serves_anew);
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let base = new_head("base", "base", None, 2);
    let before = life(vec![version_1(&base, HeadState::Active)], vec![model("m1", HeadState::Active, &[])]);
    for change in [
        register(&base, false, false),
        Change::Promote { name: "base".into(), version: 1 },
        Change::Switch { fingerprint: "m1".into() },
        Change::HeadFilled { key: "base-1".into() },
    ] {
        let step = stepped(&before, &change);
        assert!(!step.effects.is_durable() && !step.effects.serves_anew);
    }
}

#[test]
fn without_a_name_only_what_waits_is_meant() {
    let base = new_head("base", "base", Some("m1"), 2);
    let before =
        life(vec![version_1(&base, HeadState::Active)], vec![model("m1", HeadState::Active, &["base-1"])]);
    let switch = |fingerprint: &str| Change::Switch { fingerprint: fingerprint.to_owned() };
    assert_eq!(before.model("").err(), Some(Refusal::NoneWaits));
    assert_eq!(before.step(&switch(""), 9).err(), Some(Refusal::NoneWaits));
    let promote = |version| Change::Promote { name: "base".into(), version };
    let none = Refusal::NoneOnStandby { name: "base".into() };
    assert_eq!(before.step(&promote(0), 9).err(), Some(none));
    for named in [switch("m1"), promote(1)] {
        assert!(!stepped(&before, &named).effects.is_durable(), "what serves is left as it is");
    }
}

#[test]
fn a_change_of_what_is_not_there_is_told_with_what_is() {
    let base = new_head("base", "base", None, 2);
    let before = life(vec![version_1(&base, HeadState::Active)], vec![model("m1", HeadState::Active, &[])]);
    let unknown = |what, name: &str, valid: &[&str]| {
        let valid = valid.iter().map(|v| (*v).to_owned()).collect();
        Some(Refusal::Unknown { what, name: name.to_owned(), valid })
    };
    let name = || "nobody".to_owned();
    let named = [
        Change::Promote { name: name(), version: 0 },
        Change::RollBack { name: name() },
        Change::Cancel { name: name() },
        Change::Retire { name: name(), version: 0 },
    ];
    for change in named {
        assert_eq!(before.step(&change, 9).err(), unknown("head", "nobody", &["base"]));
    }
    let version = Change::Promote { name: "base".into(), version: 7 };
    let retired = Change::Retire { name: "base".into(), version: 7 };
    for change in [version, retired] {
        let wanted =
            Refusal::UnknownVersion { head: "base".into(), version: "7".into(), valid: vec!["1".into()] };
        assert_eq!(before.step(&change, 9).err(), Some(wanted));
    }
    for key in [Change::HeadFilled { key: name() }, Change::Fail { key: name(), reason: "x".into() }] {
        assert_eq!(before.step(&key, 9).err(), unknown("head", "nobody", &[]));
    }
    let fingerprint = name;
    let of_models = [
        Change::ModelFilled { fingerprint: fingerprint() },
        Change::Switch { fingerprint: fingerprint() },
        Change::DropModel { fingerprint: fingerprint() },
        Change::FailModel { fingerprint: fingerprint(), reason: "x".into() },
    ];
    for change in of_models {
        assert_eq!(before.step(&change, 9).err(), unknown("backbone", "nobody", &["m1"]));
    }
}

#[test]
fn what_is_shown_follows_the_state_and_keeps_the_progress() {
    let (base, new) = (new_head("base", "base", None, 2), new_head("h", "h", None, 2));
    let before = life(
        vec![version_1(&base, HeadState::Active), version_1(&new, HeadState::Backfilling)],
        vec![model("m1", HeadState::Active, &[])],
    );
    let registry = Registry::default();
    registry.show(&before);
    let (of_base, mut of_new) =
        (registry.watch("base", 0).expect("there"), registry.watch("h", 1).expect("there"));
    let mut models = registry.watch_models();
    let progress = Progress { total: 7, done: 3, ..Progress::default() };
    registry.set_progress(&["h-1".to_owned()], &progress);
    of_new.mark_unchanged();
    let filled = stepped(&before, &Change::HeadFilled { key: "h-1".into() }).life;
    registry.show(&filled);
    assert!(of_new.has_changed().expect("open") && !of_base.has_changed().expect("open"));
    assert!(!models.has_changed().expect("open"));
    let shown = of_new.borrow_and_update().clone();
    assert_eq!((shown.state, shown.progress, shown.served_ms), (HeadState::Active, progress, 9));
    assert_eq!(registry.life().unfinished(), Vec::<Purpose>::new());
    // What a store that was opened anew does not have is shown no more.
    registry
        .show(&life(vec![version_1(&base, HeadState::Active)], vec![model("m2", HeadState::Active, &[])]));
    assert!(registry.get("h", 0).is_err() && of_new.has_changed().is_err());
    assert!(models.borrow_and_update().contains_key("m2"));
}

#[test]
fn what_is_there_is_not_asked_to_wait_otherwise_than_it_does() {
    let (base, new) = (new_head("base", "base", None, 2), new_head("n", "n", Some("m1"), 2));
    let (one, two) = (new_head("a", "a", Some("m2"), 2), new_head("b", "b", Some("m2"), 2));
    for held in [false, true] {
        let building = |head: &Arc<Head>| HeadStatus {
            promotes_itself: !held,
            ..version_1(head, HeadState::Backfilling)
        };
        let m2 =
            ModelStatus { promotes_itself: !held, ..model("m2", HeadState::Backfilling, &["a-1", "b-1"]) };
        let before = life(
            vec![version_1(&base, HeadState::Active), building(&new), building(&one), building(&two)],
            vec![model("m1", HeadState::Active, &[]), m2],
        );
        let build = |heads: &[&Arc<Head>], hold: bool| {
            let heads = heads.iter().copied().cloned().collect();
            Change::RegisterModel(NewModel { fingerprint: "m2".into(), heads, hold })
        };
        for same in [register(&new, true, held), build(&[&two, &one], held)] {
            assert!(!stepped(&before, &same).effects.is_durable());
        }
        for other in [register(&new, true, !held), build(&[&one, &two], !held)] {
            let refused = before.step(&other, 9).err();
            assert!(matches!(refused, Some(Refusal::OtherHold { .. })), "{refused:?}");
        }
        let fewer = before.step(&build(&[&one], held), 9).err();
        assert_eq!(fewer, Some(Refusal::OtherHeads { fingerprint: "m2".into() }));
    }
}
