//! Random changes: whatever comes in whatever order, certain things hold, and the effects alone keep a store and a snapshot
//! in step with the state.

use super::*;
use crate::life::Effects;
use crate::store::{HeadRecord, ModelRecord};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;

const NAMES: [&str; 3] = ["a", "b", "c"];
const ATTRIBUTES: [&str; 4] = ["p", "q", "r", "s"];
const MODELS: [&str; 3] = ["m1", "m2", "m3"];

type Kind = (usize, usize, Option<usize>, usize);

/// Heads of every name and attribute, external and on every model, with two contents.
static HEADS: LazyLock<BTreeMap<Kind, Arc<Head>>> = LazyLock::new(|| {
    let mut heads = BTreeMap::new();
    for (name, called) in NAMES.iter().enumerate() {
        for (attribute, told) in ATTRIBUTES.iter().enumerate() {
            for backbone in [None, Some(0), Some(1), Some(2)] {
                for content in 0..2 {
                    let on = backbone.map(|model| MODELS[model]);
                    let head = new_head(called, told, on, 2 + content);
                    heads.insert((name, attribute, backbone, content), head);
                }
            }
        }
    }
    heads
});

/// What is asked for; the numbers choose among what there is.
type Ask = (u8, usize, usize, usize, bool);

/// The key of a head that is alive, or one that there is not.
fn key(life: &Life, number: usize) -> String {
    life.heads()
        .filter(|s| s.is_alive())
        .nth(number % 8)
        .map_or_else(|| "nobody".to_owned(), |status| status.key.clone())
}

fn change(life: &Life, (kind, one, two, three, yes): Ask) -> Change {
    let name = || NAMES[one % NAMES.len()].to_owned();
    let fingerprint = || MODELS[one % MODELS.len()].to_owned();
    // Mostly whichever version is meant without a number.
    let version = (two as u32 % 6).saturating_sub(2);
    let head = |name: usize, attribute: usize, backbone: Option<usize>| {
        HEADS[&(name % NAMES.len(), attribute % ATTRIBUTES.len(), backbone, three % 2)].clone()
    };
    match kind {
        0..=2 => {
            let serving = life.serving().ok().and_then(|m| MODELS.iter().position(|f| *f == m.fingerprint));
            register(
                &head(one, two, serving.filter(|_| !three.is_multiple_of(3))),
                yes,
                three.is_multiple_of(5),
            )
        }
        3 => Change::RegisterModel(NewModel {
            fingerprint: fingerprint(),
            heads: (0..=two % 2).map(|n| head(two + n, three + n, Some(one % MODELS.len()))).collect(),
            hold: yes,
        }),
        4 | 5 => Change::HeadFilled { key: key(life, one) },
        6 | 7 => Change::ModelFilled { fingerprint: fingerprint() },
        8 => Change::Promote { name: name(), version },
        9 => Change::RollBack { name: name() },
        10 if three.is_multiple_of(4) => Change::Cancel { name: name() },
        10 => Change::RollBack { name: name() },
        11 => Change::Retire { name: name(), version },
        12 if yes => Change::Fail { key: key(life, one), reason: "x".into() },
        13 => Change::Switch { fingerprint: if yes { String::new() } else { fingerprint() } },
        14 => Change::DropModel { fingerprint: fingerprint() },
        15 if yes => Change::FailModel { fingerprint: fingerprint(), reason: "x".into() },
        _ => Change::Drained,
    }
}

/// What follows from the effects alone.
#[derive(Default)]
struct Mirror {
    heads: BTreeMap<String, HeadRecord>,
    models: BTreeMap<String, ModelRecord>,
    /// Columns that queries read, and columns that only writes fill.
    active: BTreeSet<String>,
    reserve: BTreeSet<String>,
    /// Models of the snapshot, and the one of them that serves.
    alive: BTreeSet<String>,
    serving: String,
    deleted: BTreeSet<String>,
}

impl Mirror {
    /// Does what a store and a snapshot do. The life tells the names and the backbones of keys.
    fn follow(&mut self, effects: &Effects, life: &Life) {
        let of = |key: &str| life.of_key(key).expect("known");
        self.heads.extend(effects.heads.iter().cloned());
        self.models.extend(effects.models.iter().cloned());
        self.alive.extend(effects.add_models.iter().cloned());
        self.reserve.extend(effects.add.iter().cloned());
        if let Some(fingerprint) = &effects.switch {
            let leave: Vec<_> = self.active.iter().filter(|k| of(k).backbone.is_some()).cloned().collect();
            for key in leave {
                self.active.remove(&key);
                self.reserve.insert(key);
            }
            self.serving.clone_from(fingerprint);
        }
        for key in &effects.activate {
            assert!(self.reserve.remove(key), "{key} has a column");
            let same_name = self.active.iter().find(|k| of(k).name == of(key).name).cloned();
            if let Some(same_name) = same_name {
                self.active.remove(&same_name);
                self.reserve.insert(same_name);
            }
            self.active.insert(key.clone());
        }
        for key in &effects.drop {
            assert!(self.active.remove(key) || self.reserve.remove(key), "{key} had a column");
        }
        for fingerprint in &effects.drop_models {
            assert!(self.alive.remove(fingerprint) && *fingerprint != self.serving);
        }
        self.deleted.extend(effects.delete.iter().cloned());
    }

    /// Compares it with the state.
    fn check(&self, life: &Life) {
        let keys = |wanted: &dyn Fn(&HeadStatus) -> bool| -> BTreeSet<String> {
            life.heads().filter(|s| wanted(s)).map(|s| s.key.clone()).collect()
        };
        assert_eq!(self.active, keys(&|s| s.state == HeadState::Active));
        assert_eq!(self.reserve, keys(&|s| s.is_alive() && s.state != HeadState::Active));
        let alive = life.models().values().filter(|m| m.is_alive()).map(|m| m.fingerprint.clone());
        assert_eq!(self.alive, alive.collect::<BTreeSet<_>>());
        assert_eq!(life.serving().map(|m| &m.fingerprint), Ok(&self.serving));
        for status in life.heads() {
            assert_eq!(self.heads.get(&status.key), Some(&status.record()), "what is stored");
            let again = HeadStatus::from_record(status.key.clone(), status.record());
            assert_eq!(again.state.stored(), status.state.stored(), "and read again");
            let is_over = matches!(status.state, HeadState::Draining | HeadState::Retired);
            assert_eq!(
                self.deleted.contains(&status.key),
                is_over,
                "data goes with a retirement, and never else"
            );
        }
        assert_eq!(self.heads.len(), life.heads().count(), "keys differ");
        for model in life.models().values() {
            assert_eq!(self.models.get(&model.fingerprint), Some(&model.record()));
        }
    }
}

/// What holds in every state.
fn check(life: &Life) {
    let serving = life.serving().expect("one serves");
    assert_eq!(life.models().values().filter(|m| m.state == HeadState::Active).count(), 1);
    let (mut names, mut attributes) = (BTreeSet::new(), BTreeSet::new());
    for status in life.heads() {
        assert_eq!(status.head.is_some(), status.is_alive(), "{} has its head", status.key);
        if status.state == HeadState::Active {
            assert!(status.is_on(&serving.fingerprint), "{} is on the model that serves", status.key);
            assert!(names.insert(&status.name), "one version of {:?} serves", status.name);
            for attribute in status.attributes() {
                assert!(attributes.insert(attribute.to_owned()), "one head tells {attribute:?} apart");
            }
        }
    }
    let waiting = life.models().values().filter(|m| m.is_alive()).count() - 1;
    assert!(waiting <= 1, "one model waits beside the one that serves");
}

proptest! {
    #[test]
    fn whatever_comes_the_state_is_sound_and_the_effects_follow_it(
        asked in proptest::collection::vec((0u8..18, 0usize..64, 0usize..64, 0usize..64, any::<bool>()), 1..120)
    ) {
        let mut now = life(Vec::new(), vec![model("m1", HeadState::Active, &[])]);
        let mut mirror = Mirror { serving: "m1".into(), ..Mirror::default() };
        mirror.alive.insert("m1".into());
        mirror.models.insert("m1".into(), now.models()["m1"].record());
        for (at, ask) in asked.into_iter().enumerate() {
            let change = change(&now, ask);
            let Ok(Step { life: next, effects, files, .. }) = now.step(&change, 10 + at as u64) else { continue };
            let (active, serving) = (mirror.active.clone(), mirror.serving.clone());
            mirror.follow(&effects, &next);
            check(&next);
            mirror.check(&next);
            let is_other = active != mirror.active || serving != mirror.serving;
            prop_assert_eq!(effects.serves_anew, is_other, "a generation is a set of heads on a backbone");
            prop_assert!(active.is_empty() || !mirror.active.is_empty() || change.is_fault());
            prop_assert!(effects.add.iter().all(|key| files.contains(key)), "a new head brings its bundle");
            prop_assert!(effects.add_models.len() <= 1 && (effects.switch.is_none() || effects.is_durable()));
            let begun: Vec<_> = effects.backfills.iter().filter(|p| !next.unfinished().contains(p)).collect();
            prop_assert!(begun.is_empty(), "{:?}", begun);
            now = next;
        }
    }
}
