//! Every state with every change.

use super::*;
use crate::error::Error;

const BUSY: &str = "BACKFILL_RUNNING";
const NOT: &str = "NOT_ON_STANDBY";
const NOTHING: &str = "NOTHING_TO_ROLL_BACK";
const NONE: &str = "NO_BACKFILL";
const GONE: &str = "NOT_FOUND";
const TAKEN: &str = "EXISTS";
const HOLD: &str = "OTHER_HOLD";
const WAITS: &str = "GENERATION_WAITS";

/// All states.
fn every() -> [HeadState; 6] {
    use HeadState as S;
    [S::Backfilling, S::Standby, S::Active, S::Draining, S::Retired, S::Failed("x".into())]
}

/// What a refusal is for the caller.
fn code_of(refusal: Refusal) -> String {
    match Error::from(refusal) {
        Error::Precondition { reason, .. } => reason.to_owned(),
        Error::Exists(_) => "EXISTS".to_owned(),
        Error::NotFound { .. } | Error::UnknownVersion { .. } => "NOT_FOUND".to_owned(),
        Error::Exhausted(_) => "EXHAUSTED".to_owned(),
        other => panic!("no answer for a caller: {other:?}"),
    }
}

#[test]
fn every_state_of_a_head_with_every_change() {
    let base = new_head("base", "base", None, 2);
    let (head, other) = (new_head("h", "h", Some("m1"), 2), new_head("h", "h", Some("m1"), 3));
    let named = || "h".to_owned();
    let key = || "h-1".to_owned();
    let changes = [
        ("again", register(&head, false, false)),
        ("other content", register(&other, false, false)),
        ("update", register(&other, true, false)),
        ("filled", Change::HeadFilled { key: key() }),
        ("promote", Change::Promote { name: named(), version: 0 }),
        ("promote 1", Change::Promote { name: named(), version: 1 }),
        ("roll back", Change::RollBack { name: named() }),
        ("cancel", Change::Cancel { name: named() }),
        ("retire", Change::Retire { name: named(), version: 0 }),
        ("retire 1", Change::Retire { name: named(), version: 1 }),
        ("fail", Change::Fail { key: key(), reason: "x".into() }),
        ("drained", Change::Drained),
    ];
    // Rows: states; columns: changes. What the versions of the head are afterwards, or why it is refused.
    #[rustfmt::skip]
    let table: [[&str; 12]; 6] = [
        ["backfilling", TAKEN, BUSY, "active", NOT, NOT, NOTHING, "draining", "draining", "draining", "failed", "backfilling"],
        [HOLD, TAKEN, "on standby, backfilling", "on standby", "active", "active", "active", NONE, "draining", "draining", "failed", "on standby"],
        ["active", TAKEN, "active, backfilling", "active", NOT, "active", NOTHING, NONE, "draining", "draining", "failed", "active"],
        ["draining, backfilling", "draining, backfilling", "draining, backfilling", "draining", NOT, NOT, NOTHING, NONE, GONE, GONE, "draining", "retired"],
        ["retired, backfilling", "retired, backfilling", "retired, backfilling", "retired", NOT, NOT, NOTHING, NONE, GONE, GONE, "retired", "retired"],
        ["failed, backfilling", "failed, backfilling", "failed, backfilling", "failed", NOT, NOT, NOTHING, NONE, "draining", "draining", "failed", "failed"],
    ];
    for (state, row) in every().into_iter().zip(&table) {
        let before = life(
            vec![version_1(&base, HeadState::Active), version_1(&head, state.clone())],
            vec![model("m1", HeadState::Active, &[])],
        );
        for ((name, change), wanted) in changes.iter().zip(row) {
            let found = match before.step(change, 9) {
                Ok(step) => states(&step.life, "h").join(", "),
                Err(refusal) => code_of(refusal),
            };
            assert_eq!(found, *wanted, "{state:?} on {name}");
        }
    }
}

#[test]
fn every_state_of_a_model_with_every_change() {
    let (base, own) = (new_head("base", "base", None, 2), new_head("own", "own", Some("m1"), 2));
    let (head, other) = (new_head("n", "n", Some("m2"), 2), new_head("o", "o", Some("m2"), 2));
    let third = new_head("n", "n", Some("m3"), 2);
    let build = |fingerprint: &str, head: &Arc<Head>| {
        Change::RegisterModel(NewModel {
            fingerprint: fingerprint.into(),
            heads: vec![head.clone()],
            hold: false,
        })
    };
    let fingerprint = || "m2".to_owned();
    let changes = [
        ("again", build("m2", &head)),
        ("with another head", build("m2", &other)),
        ("filled", Change::ModelFilled { fingerprint: fingerprint() }),
        ("switch", Change::Switch { fingerprint: fingerprint() }),
        ("switch to the one that waits", Change::Switch { fingerprint: String::new() }),
        ("drop", Change::DropModel { fingerprint: fingerprint() }),
        ("fail", Change::FailModel { fingerprint: fingerprint(), reason: "x".into() }),
        ("drained", Change::Drained),
        ("a third", build("m3", &third)),
        ("retire its head", Change::Retire { name: "n".into(), version: 1 }),
    ];
    // Rows: states of the second model and its head. What the models are afterwards, then the versions of its head.
    #[rustfmt::skip]
    let table: [[&str; 10]; 6] = [
        ["active, backfilling: backfilling", "EXISTS", "on standby, active: active", NOT, NOT, "active, draining: draining",
         "active, failed: failed", "active, backfilling: backfilling", WAITS, "PART_OF_A_BUILD"],
        [HOLD, "EXISTS", "active, on standby: on standby", "on standby, active: active",
         "on standby, active: active", "active, draining: draining", "active, on standby: on standby",
         "active, on standby: on standby", WAITS, "active, on standby: draining"],
        ["on standby, active: active", "EXISTS", "on standby, active: active", "on standby, active: active",
         "active, on standby: on standby", "GENERATION_SERVES", "on standby, active: active", "on standby, active: active",
         WAITS, "on standby, active: draining"],
        ["active, backfilling: draining, backfilling", "active, backfilling: draining", "active, draining: draining", NOT, NOT,
         "active, draining: draining", "active, draining: draining", "active, retired: retired",
         "active, draining, backfilling: draining, backfilling", "NOT_FOUND"],
        ["active, backfilling: retired, backfilling", "active, backfilling: retired", "active, retired: retired", NOT, NOT,
         "active, retired: retired", "active, retired: retired", "active, retired: retired",
         "active, retired, backfilling: retired, backfilling", "NOT_FOUND"],
        ["active, backfilling: failed, backfilling", "active, backfilling: failed", "active, failed: failed", NOT, NOT,
         "active, draining: draining", "active, failed: failed", "active, failed: failed",
         "active, failed, backfilling: failed, backfilling", "active, failed: draining"],
    ];
    for (state, row) in every().into_iter().zip(&table) {
        let serves = if state == HeadState::Active { HeadState::Standby } else { HeadState::Active };
        let before = life(
            vec![
                version_1(&base, HeadState::Active),
                version_1(&own, serves.clone()),
                version_1(&head, state.clone()),
            ],
            vec![model("m1", serves, &["own-1"]), model("m2", state.clone(), &["n-1"])],
        );
        for ((name, change), wanted) in changes.iter().zip(row) {
            let found = match before.step(change, 9) {
                Ok(step) => {
                    let models: Vec<_> = step.life.models().values().map(|m| m.state.name()).collect();
                    format!("{}: {}", models.join(", "), states(&step.life, "n").join(", "))
                }
                Err(refusal) => code_of(refusal),
            };
            assert_eq!(found, *wanted, "{state:?} on {name}");
        }
    }
}

#[test]
fn what_the_tables_do_not_show_is_refused_as_well() {
    let (base, own) = (new_head("base", "base", None, 2), new_head("own", "own", Some("m1"), 2));
    let alone = life(vec![version_1(&base, HeadState::Active)], vec![model("m1", HeadState::Active, &[])]);
    let both = life(
        vec![version_1(&base, HeadState::Active), version_1(&own, HeadState::Standby)],
        vec![model("m1", HeadState::Active, &[]), model("m2", HeadState::Standby, &["gone-1"])],
    );
    let mut updated = version_1(&new_head("base", "base", None, 3), HeadState::Standby);
    (updated.key, updated.version) = ("base-2".into(), 2);
    let two =
        life(vec![version_1(&base, HeadState::Active), updated], vec![model("m1", HeadState::Active, &[])]);
    let full = NewHead { head: new_head("x", "x", None, 2), update: false, hold: false, heads_max: 1 };
    let on_m2 = |name: &str, attribute: &str| NewModel {
        fingerprint: "m2".into(),
        heads: vec![new_head(name, attribute, Some("m2"), 2)],
        hold: true,
    };
    let cases = [
        ("the last head", &alone, Change::Retire { name: "base".into(), version: 0 }, "LAST_HEAD"),
        ("one of two", &two, Change::Retire { name: "base".into(), version: 1 }, "VERSION_SERVES"),
        ("a bound", &alone, Change::Register(full), "EXHAUSTED"),
        (
            "another backbone",
            &alone,
            register(&new_head("x", "x", Some("m7"), 2), false, false),
            "OTHER_BACKBONE",
        ),
        ("an attribute", &alone, register(&new_head("x", "base", Some("m1"), 2), false, false), "EXISTS"),
        ("a name of an external head", &alone, Change::RegisterModel(on_m2("base", "x")), "EXISTS"),
        ("an attribute of an external head", &alone, Change::RegisterModel(on_m2("x", "base")), "EXISTS"),
        ("no heads left", &both, Change::Switch { fingerprint: "m2".into() }, "NO_HEADS"),
    ];
    for (case, before, change, wanted) in cases {
        let found = before.step(&change, 9).err().map(code_of);
        assert_eq!(found.as_deref(), Some(wanted), "{case}");
    }
    let building = life(
        vec![version_1(&new_head("n", "n", Some("m2"), 2), HeadState::Failed("x".into()))],
        vec![model("m1", HeadState::Active, &[]), model("m2", HeadState::Backfilling, &["n-1"])],
    );
    let filled = building.step(&Change::ModelFilled { fingerprint: "m2".into() }, 9).err();
    assert_eq!(filled, Some(Refusal::HeadOfBuildFailed { head: "n".into() }));
}
