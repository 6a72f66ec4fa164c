//! Suggestions, against plain loops over random wardrobes.

use super::reach::{
    GENERAL, Garment, LABELS, SPECIAL, STOCK, nearest, prototype, query, random_filter, random_view,
    random_wanted, wardrobe,
};
use super::*;
use crate::error::Faults;

/// An attribute and a label of it.
type Pair = (&'static str, &'static str);

/// What is expected of one suggestion.
type Expected<'a> = (f64, usize, (&'static str, &'static str), &'a str);

fn suggested(s: &Snapshot, view: &QueryView, spec: SuggestSpec) -> Suggestions {
    let planner = planner();
    let budget = Budget { tuning: &planner.tuning, threads: 1, is_abandoned: &|| false };
    suggest(s, view.clone(), spec, (planner.prototype_items_min, &budget)).expect("answers")
}

/// Every edit that leads to a garment, best first.
fn expected<'a>(
    (s, garments): (&Snapshot, &'a [Garment]),
    view: &QueryView,
    (wanted, passing): (&[Pair], &[Pair]),
    kept: &Labels,
) -> Vec<Expected<'a>> {
    let mut found = Vec::new();
    let is_open = |attribute: &&str| wanted.iter().all(|(edited, _)| edited != attribute);
    for attribute in SPECIAL.into_iter().chain(GENERAL).filter(is_open) {
        let shown = view.labels.get(attribute).map(String::as_str);
        let others = LABELS.into_iter().filter(|label| Some(*label) != shown);
        for label in others.filter(|label| prototype(s, attribute, label).is_some()) {
            let kept = kept.iter().filter(|(name, _)| *name != attribute);
            let mut carried: Vec<(&str, &str)> = kept.map(|(n, l)| (n.as_str(), l.as_str())).collect();
            carried.extend(wanted.iter().chain(passing));
            carried.push((attribute, label));
            let leads: Vec<&Garment> = garments.iter().filter(|garment| garment.carries(&carried)).collect();
            if leads.is_empty() {
                continue;
            }
            let all: Vec<(&str, &str)> = wanted.iter().copied().chain([(attribute, label)]).collect();
            let edits = edits(s, &all).expect("prototypes are there");
            let (far, id) = nearest(&query(s, view, &edits, Filter::default()), &leads);
            found.push((far, leads.len(), (attribute, label), id));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)).then_with(|| a.2.cmp(&b.2)));
    found
}

#[test]
fn suggestions_are_what_plain_loops_find() {
    let mut told = 0;
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (snapshot, garments) = wardrobe(&mut rng, 60);
        for _ in 0..25 {
            let wanted = random_wanted(&mut rng, 2);
            let (passing, filter) = random_filter(&mut rng);
            let view = random_view(&mut rng);
            let mut keep = vec![SPECIAL[1], GENERAL[0], STOCK];
            keep.truncate(rng.random_range(0..=3_usize));
            let Ok(edits) = edits(&snapshot, &wanted) else { continue };
            let is_kept = |name: &&str| wanted.iter().all(|(edited, _)| edited != name);
            let shown = |name: &str| Some((name.to_owned(), view.labels.get(name)?.clone()));
            let kept: Labels = keep.iter().copied().filter(is_kept).filter_map(shown).collect();
            let expected = expected(
                (&snapshot, garments.as_slice()),
                &view,
                (wanted.as_slice(), passing.as_slice()),
                &kept,
            );
            let keep = keep.into_iter().map(str::to_owned).collect();
            let most = rng.random_range(1..20_usize);
            let spec = SuggestSpec { edits, filter, keep, suggestions_max: most };
            let found = suggested(&snapshot, &view, spec);
            assert_eq!(found.kept, kept);
            assert_eq!(found.suggestions.len(), expected.len().min(most), "{found:?}");
            told += found.suggestions.len();
            for (one, (far, items, edit, id)) in found.suggestions.iter().zip(expected) {
                let Manipulation { attribute, label } = &one.manipulation;
                assert_eq!((attribute.as_str(), label.as_str()), edit);
                assert_eq!((one.items, &*one.best.id), (items as u64, id), "{one:?}");
                assert!((one.best.distance - far).abs() < 1e-5, "{one:?}: {far}");
            }
        }
    }
    assert!(told > 1000, "{told}");
}

#[test]
fn what_is_kept_is_looked_up() {
    let (snapshot, _) = wardrobe(&mut ChaCha8Rng::seed_from_u64(1), 20);
    let mut faults = Faults::default();
    assert!(kept_attributes(&snapshot, Vec::new(), &mut faults).is_empty(), "no head knows of categories");
    let given = ["color", STOCK, "colour"].map(str::to_owned).to_vec();
    kept_attributes(&snapshot, given, &mut faults);
    let paths: Vec<&str> = faults.all().iter().map(Fault::field).collect();
    assert_eq!(paths, ["keep[2]"]);
    let mut with_category = snapshot;
    let head = external_head("category", DIM, &["a", "b"]);
    with_category.add_reserve(Column::new("category", head, Precision::F32));
    with_category.activate("category");
    assert_eq!(kept_attributes(&with_category, Vec::new(), &mut Faults::default()), ["category"]);
}

#[test]
fn a_head_without_weight_suggests_nothing() {
    for (weight, suggests) in [(1.0, true), (0.0, false)] {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (mut snapshot, _) = wardrobe(&mut rng, 30);
        let labels = LABELS.map(str::to_owned).to_vec();
        let attribute = lapel_heads::Attribute { name: STOCK.to_owned(), labels };
        let mut manifest = lapel_heads::Manifest::external(STOCK, DIM, vec![attribute]);
        manifest.weight = weight;
        let head =
            crate::testing::head(&lapel_heads::Bundle { manifest, tensors: BTreeMap::new(), graph: None });
        snapshot.add_reserve(Column::new(STOCK, head, Precision::F32));
        snapshot.activate(STOCK);
        let record = ItemRecord {
            labels: Labels::from([(STOCK.to_owned(), "a".to_owned())]),
            fields: lapel_values::Fields::new(),
            image: None,
            parts_case: None,
            updated_ms: 0,
            more_images: Vec::new(),
        };
        snapshot.apply(&[put("stocked", record, vec![(STOCK.to_owned(), vector(1))])]);
        let view = QueryView { labels: Labels::new(), ..random_view(&mut rng) };
        let spec = SuggestSpec { suggestions_max: 100, ..SuggestSpec::default() };
        let found = suggested(&snapshot, &view, spec);
        let is_of_stock = |one: &Suggestion| one.manipulation.attribute == STOCK;
        assert!(!found.suggestions.iter().all(is_of_stock), "{found:?}");
        assert_eq!(found.suggestions.iter().any(is_of_stock), suggests, "{found:?}");
    }
}
