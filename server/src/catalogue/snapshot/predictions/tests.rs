use super::*;
use crate::catalogue::Precision;
use crate::store::{ItemChange, ItemRecord, StoredPartsCase};
use crate::testing::{external_head, network_head};
use lapel_heads::{Head, Manifest, Region, Signature};
use lapel_search::Filter;
use lapel_values::{Fields, Finite, Labels};
use proptest::prelude::*;
use roaring::RoaringBitmap;

const LABELS: [&str; 3] = ["calm", "glad", "wild"];
/// Keys of two versions of one head.
const KEYS: [&str; 2] = ["k1", "k2"];

/// A head whose logits are the signature's numbers, and which trousers do not show.
fn head(threshold: f32) -> Arc<Head> {
    let labels = LABELS.map(str::to_owned).to_vec();
    let mut manifest = Manifest::external("mood", 3, vec![Attribute { name: "mood".into(), labels }]);
    manifest.region = Region::Collar;
    manifest.thresholds.insert("mood".into(), vec![threshold; 3]);
    network_head(manifest)
}

/// A catalogue that the first version serves; the other stands by.
fn catalogue() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (key, threshold) in KEYS.into_iter().zip([0.45, 0.55]) {
        snapshot.add_reserve(Column::new(key, head(threshold), Precision::F32));
    }
    assert!(snapshot.activate(KEYS[0]));
    snapshot
}

#[derive(Clone, Debug)]
enum Step {
    /// An item with signatures of the two versions, and whether it is worn on the lower body.
    Put(u8, [Option<Vec<f32>>; 2], bool),
    /// Its signature of one version, by a write or by a backfill.
    Sign(u8, usize, Vec<f32>, bool),
    /// Its labels.
    Label(u8),
    Delete(u8),
    Compact,
    Promote(usize),
    /// Looks at so many items, as somebody asks.
    Ask(usize),
}

fn record(label: Option<&str>, lower: bool) -> ItemRecord {
    ItemRecord {
        labels: label.map(|label| ("mood".to_owned(), label.to_owned())).into_iter().collect::<Labels>(),
        fields: Fields::new(),
        image: None,
        parts_case: lower.then_some(StoredPartsCase::LowerBody),
        updated_ms: 0,
        more_images: Vec::new(),
    }
}

fn id(item: u8) -> String {
    format!("i{item}")
}

fn take(snapshot: &mut Snapshot, step: Step) {
    match step {
        Step::Put(item, signatures, lower) => {
            let given = KEYS.into_iter().zip(signatures);
            let signatures =
                given.filter_map(|(key, signature)| Some((key.to_owned(), signature?))).collect();
            let record = record(None, lower);
            snapshot.apply(&[ItemChange::Put {
                id: id(item),
                record,
                images: Vec::new(),
                signatures,
                pictures: Vec::new(),
                replaces: Some(1),
            }]);
        }
        Step::Sign(item, version, signature, is_backfill) => {
            let Some(there) = snapshot.items().of_id(&id(item)).cloned() else { return };
            let key = KEYS[version].to_owned();
            if is_backfill {
                let slot = snapshot.items().slot(&id(item)).expect("there");
                assert!(snapshot.add_signature(&key, (slot, &there), &signature));
            } else {
                let (record, signatures) = (there.record(), vec![(key, signature)]);
                snapshot.apply(&[ItemChange::Revise { id: id(item), record, signatures }]);
            }
        }
        Step::Label(item) => {
            let Some(there) = snapshot.items().of_id(&id(item)).cloned() else { return };
            let record = record(Some("wild"), there.parts_case().is_some());
            snapshot.apply(&[ItemChange::Revise { id: id(item), record, signatures: Vec::new() }]);
        }
        Step::Delete(item) => snapshot.apply(&[ItemChange::Delete { id: id(item), pictures: 1 }]),
        Step::Compact => {
            snapshot.compact((true, true), 3);
        }
        Step::Promote(version) => {
            snapshot.activate(KEYS[version]);
        }
        Step::Ask(count) => snapshot.predict("mood", count),
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let signature = || {
        let numbers =
            proptest::array::uniform3(-1.0f32..1.0).prop_map(|numbers| Signature::new(numbers.to_vec()));
        numbers.prop_filter_map("not zero", |signature| Some(signature.ok()?.into_values()))
    };
    let both = proptest::array::uniform2(proptest::option::weighted(0.8, signature()));
    let step = prop_oneof![
        8 => (0u8..30, both, proptest::bool::weighted(0.2)).prop_map(|(i, both, lower)| Step::Put(i, both, lower)),
        3 => (0u8..30, 0usize..2, signature(), any::<bool>())
            .prop_map(|(item, version, signature, is_backfill)| Step::Sign(item, version, signature, is_backfill)),
        2 => (0u8..30).prop_map(Step::Label),
        3 => (0u8..30).prop_map(Step::Delete),
        1 => Just(Step::Compact),
        1 => (0usize..2).prop_map(Step::Promote),
        2 => (0usize..9).prop_map(Step::Ask),
    ];
    proptest::collection::vec(step, 1..120)
}

fn ask(snapshot: &mut Snapshot) {
    while snapshot.lacks_predictions("mood") {
        snapshot.predict("mood", 4);
    }
}

fn index(snapshot: &Snapshot) -> &Predictions {
    snapshot.signatures.items().predictions().get("mood").expect("asked for")
}

/// Compares the index with one that is made anew, and filters with plain loops.
fn check(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let mut anew = snapshot.clone();
    anew.signatures.predictions_mut().retain(|_| false);
    anew.predict("mood", usize::MAX);
    prop_assert!(!anew.lacks_predictions("mood"));
    let column = &snapshot.columns()[0];
    let attribute = &column.head().manifest().attributes[0];
    let live = snapshot.items().live();
    for slot in live {
        prop_assert_eq!(index(snapshot).at(slot), index(&anew).at(slot));
    }
    let cases = LABELS
        .into_iter()
        .flat_map(|label| [None, Some(0.0), Some(0.42), Some(0.6)].map(|least| (label, least)));
    for (label, least) in cases {
        let passes = |slot: &Slot| {
            let case = snapshot.items().get(*slot).expect("live").parts_case().map(crate::cases::of);
            let signature = snapshot.signature(column, *slot);
            let found = signature.and_then(|signature| seen(column.head(), attribute, &signature, case));
            let is_enough = |probability: f32| least.map(|least| f64::from(probability) >= least);
            found.is_some_and(|seen| {
                seen.label == label && is_enough(seen.probability).unwrap_or(!seen.unsure)
            })
        };
        let wanted: RoaringBitmap = live.iter().filter(passes).collect();
        let least = least.and_then(Finite::new);
        let filter = Filter::Predicted { attribute: "mood".into(), any_of: vec![label.to_owned()], least };
        prop_assert_eq!(snapshot.items().passing(&filter), Some(wanted), "{:?}", filter);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Random writes, backfills, promotions and compaction, before and while somebody asks.
    #[test]
    fn the_index_is_that_of_predictions_made_anew(before in steps(), after in steps()) {
        let mut snapshot = catalogue();
        before.into_iter().for_each(|step| take(&mut snapshot, step));
        ask(&mut snapshot);
        check(&snapshot)?;
        let pinned = snapshot.clone();
        after.into_iter().for_each(|step| take(&mut snapshot, step));
        ask(&mut snapshot);
        check(&snapshot)?;
        // Nothing of that reached the snapshot that a query has pinned.
        check(&pinned)?;
    }
}

#[test]
fn heads_that_do_not_serve_or_do_not_predict_have_no_index() {
    let mut snapshot = catalogue();
    assert!(snapshot.lacks_predictions("mood") && !snapshot.lacks_predictions("weather"));
    ask(&mut snapshot);
    assert_eq!(index(&snapshot).column(), KEYS[0]);
    snapshot.activate(KEYS[1]);
    assert!(snapshot.lacks_predictions("mood"), "another version sees other things");
    ask(&mut snapshot);
    assert_eq!(index(&snapshot).column(), KEYS[1]);
    snapshot.drop_column(KEYS[0]);
    assert_eq!(index(&snapshot).column(), KEYS[1]);
    snapshot.drop_column(KEYS[1]);
    assert!(!snapshot.lacks_predictions("mood") && snapshot.predicting("mood").is_none());
    assert!(snapshot.signatures.items().predictions().get("mood").is_none());
    snapshot.add_reserve(Column::new("e", external_head("style", 3, &["s1"]), Precision::F32));
    snapshot.activate("e");
    assert!(!snapshot.lacks_predictions("style"), "an external head has no classifier");
    snapshot.predict("style", 1);
    assert!(snapshot.signatures.items().predictions().get("style").is_none());
}
