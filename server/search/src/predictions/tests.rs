use super::*;
use crate::{Filter, ItemIndex};
use lapel_values::{Fields, ItemFacts, Labels};
use proptest::prelude::*;
use std::collections::BTreeMap;

const LABELS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u8, Option<Prediction>),
    Remove(u8),
    Compact,
    /// Looks at so many of the items that wait.
    Look(usize),
}

/// The index, and what is seen in each item.
#[derive(Default)]
struct Both {
    index: ItemIndex,
    seen: BTreeMap<String, Option<Prediction>>,
}

impl Both {
    fn take(&mut self, step: Step) {
        let (labels, fields) = (Labels::new(), Fields::new());
        let facts = ItemFacts { labels: &labels, fields: &fields, pictures: 1 };
        match step {
            Step::Put(item, seen) => {
                let id = format!("i{item}");
                let before = self.seen.contains_key(&id).then_some(facts);
                let slot = self.index.put(&Arc::from(id.as_str()), before, facts);
                self.index.predictions_mut().set("mood", slot, seen);
                self.seen.insert(id, seen);
            }
            Step::Remove(item) => {
                let id = format!("i{item}");
                let before = self.seen.remove(&id).map(|_| facts);
                self.index.remove(&id, before);
            }
            Step::Compact => {
                while let Some(slots) = self.index.gap() {
                    self.index.shift(slots, facts);
                }
                self.index.truncate();
            }
            Step::Look(count) => {
                let of = self.index.predictions().get("mood");
                let waiting = of.into_iter().flat_map(|of| of.waiting().iter());
                for slot in waiting.take(count).collect::<Vec<Slot>>() {
                    let seen = self.seen[&**self.index.id(slot).expect("live")];
                    self.index.predictions_mut().set("mood", slot, seen);
                }
            }
        }
    }

    /// Ids that pass by the index, and those that pass by plain loops.
    fn passing(&self, any_of: &[String], least: Option<Finite>) -> (Vec<String>, Vec<String>) {
        let filter = Filter::Predicted { attribute: "mood".into(), any_of: any_of.to_vec(), least };
        let slots = self.index.passing(&filter).expect("a condition");
        let mut found: Vec<String> =
            slots.iter().map(|slot| self.index.id(slot).expect("live").to_string()).collect();
        found.sort();
        let passes = |seen: &Prediction| {
            let is_enough = least.map_or(seen.is_sure, |least| f64::from(seen.probability) >= least.get());
            is_enough && any_of.iter().any(|label| label == LABELS[usize::from(seen.label)])
        };
        let wanted = self.seen.iter().filter(|(_, seen)| seen.as_ref().is_some_and(passes));
        (found, wanted.map(|(id, _)| id.clone()).collect())
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seen = (0u16..3, 0u8..5, any::<bool>()).prop_map(|(label, quarters, is_sure)| Prediction {
        label,
        probability: f32::from(quarters) / 4.0,
        is_sure,
    });
    let step = prop_oneof![
        8 => (0u8..30, proptest::option::of(seen)).prop_map(|(item, seen)| Step::Put(item, seen)),
        3 => (0u8..30).prop_map(Step::Remove),
        1 => Just(Step::Compact),
        1 => (0usize..4).prop_map(Step::Look),
    ];
    proptest::collection::vec(step, 0..80)
}

proptest! {
    /// Items that are there before the index is begun, and writes and moves while it is filled and after.
    #[test]
    fn predictions_agree_with_plain_loops(before in steps(), meanwhile in steps(), after in steps()) {
        let mut both = Both::default();
        before.into_iter().for_each(|step| both.take(step));
        let live = both.index.live().clone();
        both.index.predictions_mut().begin("mood", &"k".into(), &LABELS.map(str::to_owned), &live);
        for step in meanwhile {
            both.take(step);
            let is_whole = both.index.predictions().get("mood").is_some_and(Predictions::is_whole);
            let found = both.passing(&LABELS.map(str::to_owned), Finite::new(0.0)).0;
            prop_assert!(is_whole || found.is_empty(), "nothing passes before every item was looked at");
        }
        both.take(Step::Look(usize::MAX));
        for round in [Vec::new(), after] {
            round.into_iter().for_each(|step| both.take(step));
            for any_of in [&LABELS[..], &LABELS[..1], &LABELS[1..], &["nothing"], &[]] {
                let any_of: Vec<String> = any_of.iter().map(|label| (*label).to_owned()).collect();
                for least in [None, Some(0.0), Some(0.3), Some(0.75), Some(1.0)] {
                    let (found, wanted) = both.passing(&any_of, least.and_then(Finite::new));
                    prop_assert_eq!(found, wanted, "{:?} {:?}", any_of, least);
                }
            }
        }
    }
}

#[test]
fn an_attribute_that_nobody_asked_for_or_whose_head_is_gone_passes_nothing() {
    let mut both = Both::default();
    let seen = Prediction { label: 0, probability: 1.0, is_sure: true };
    let any_of = ["a".to_owned()];
    both.take(Step::Put(1, Some(seen)));
    assert!(both.passing(&any_of, None).0.is_empty());
    both.index.predictions_mut().begin("mood", &"k".into(), &LABELS.map(str::to_owned), &[0].into());
    both.take(Step::Look(1));
    assert_eq!(both.passing(&any_of, None).0, ["i1"]);
    both.index.predictions_mut().retain(|of| (of.attribute(), of.column()) == ("mood", "k"));
    assert_eq!(both.passing(&any_of, None).0, ["i1"]);
    both.index.predictions_mut().retain(|of| of.column() != "k");
    assert!(both.passing(&any_of, None).0.is_empty());
}

#[test]
fn what_is_no_probability_or_no_label_is_no_prediction() {
    let mut both = Both::default();
    both.index.predictions_mut().begin(
        "mood",
        &"k".into(),
        &LABELS.map(str::to_owned),
        &RoaringBitmap::new(),
    );
    for (item, label, probability) in [(0, 3, 1.0), (1, 0, f32::NAN), (2, 1, f32::INFINITY)] {
        both.take(Step::Put(item, Some(Prediction { label, probability, is_sure: true })));
    }
    let filter = Filter::Predicted {
        attribute: "mood".into(),
        any_of: LABELS.map(str::to_owned).into(),
        least: Finite::new(0.0),
    };
    assert_eq!((both.index.len(), both.index.count(&filter)), (3, 0));
}
