//! Items with several pictures: searched by the nearest one or by their mean.

use super::*;
use crate::PictureMode;
use std::borrow::Cow;

/// Signatures under their columns' keys.
type Signed = Vec<(String, Vec<f32>)>;

/// Signatures of a picture; heads see nothing in some.
fn picture(item: u64, number: u64, seed: u64) -> Signed {
    signatures(item * 1001 + number * 10 + seed * 100_000, |seen, h| !(seen / 10 + h).is_multiple_of(7))
}

/// The mean of those that have a signature.
fn mean(pictures: &[Signed]) -> Signed {
    let of_key = |key: &str| {
        let of =
            |picture: &Signed| picture.iter().find(|(of, _)| of == key).map(|(_, values)| values.clone());
        let all: Vec<Vec<f32>> = pictures.iter().filter_map(of).collect();
        let first = all.first()?;
        let sum = (0..first.len()).map(|at| all.iter().map(|values| values[at]).sum::<f32>()).collect();
        Some((key.to_owned(), unit(sum)))
    };
    KEYS.into_iter().filter_map(of_key).collect()
}

/// What is written, as a plain map.
#[derive(Default)]
pub(super) struct Shop {
    pub(super) local: LocalSignatures,
    pictures: BTreeMap<u64, Vec<Signed>>,
}

impl Shop {
    pub(super) fn new() -> Self {
        Self { local: catalogue(0, |_, _| true), pictures: BTreeMap::new() }
    }

    pub(super) fn put(&mut self, item: u64, count: u64, seed: u64) {
        let pictures: Vec<_> = (0..count).map(|number| picture(item, number, seed)).collect();
        let (id, labels) = (id(item), labels(item));
        let before = self.pictures.get(&item).map(|had| pictured(&labels, had.len()));
        let (own, by_picture) = (mean(&pictures), if count > 1 { &pictures[..] } else { &[] });
        let change = Change {
            id: &id,
            before,
            after: Some(pictured(&labels, pictures.len())),
            signatures: NewSignatures::Only(&own),
            pictures: by_picture,
        };
        self.local.apply(&[change]).expect("memory does not fail");
        self.pictures.insert(item, pictures);
        rows::spill(&mut self.local, KEYS[item as usize % 3], 2000);
    }

    pub(super) fn remove(&mut self, item: u64) {
        let (id, labels) = (id(item), labels(item));
        let before = self.pictures.remove(&item).map(|had| pictured(&labels, had.len()));
        let signatures = NewSignatures::Only(&[]);
        let change = Change { id: &id, before, after: None, signatures, pictures: &[] };
        self.local.apply(&[change]).expect("memory does not fail");
    }

    pub(super) fn compact(&mut self) {
        while let Some((from, to)) = self.local.items().gap() {
            let item = self.local.items().id(from).and_then(|id| id[1..].parse::<u64>().ok()).expect("live");
            let labels = labels(item);
            self.local.shift((from, to), pictured(&labels, self.pictures[&item].len()));
        }
        while let Some(gap) = self.local.items().pictures().gap() {
            self.local.shift_picture(gap);
        }
        self.local.truncate();
    }

    /// Distance, id and picture of every item that passes, nearest first.
    fn by_hand(&self, query: &SignatureQuery, passes: impl Fn(u64) -> bool) -> Vec<(f64, String, u32)> {
        let distance = |own: &[(String, Vec<f32>)], lent: &[(String, Vec<f32>)]| {
            let term = |term: &SearchTerm| {
                let of = |given: &'_ [(String, Vec<f32>)]| {
                    given.iter().find(|(key, _)| **key == *term.column).map(|(_, values)| values.clone())
                };
                let squared = |row: Vec<f32>| {
                    let row = crate::kernels::Rows::F32(&row);
                    crate::kernels::squared_distance(crate::Instructions::best(), &term.vector, row)
                };
                let far = of(own).or_else(|| of(lent)).map_or(term.expected, |row| squared(row).sqrt());
                term.weight * f64::from(far)
            };
            query.terms.iter().map(term).sum::<f64>()
        };
        let one = |(item, pictures): (&u64, &Vec<Signed>)| {
            let mean = mean(pictures);
            let several = pictures.len() > 1 && query.pictures == PictureMode::Nearest;
            let of_pictures = (0u32..).zip(pictures).filter(|_| several);
            let all = std::iter::once((0, &mean)).chain(of_pictures);
            let scored = all.map(|(number, own)| (distance(own, &mean), number));
            let nearest = scored.min_by(|a, b| a.0.total_cmp(&b.0)).expect("an item has a picture");
            (nearest.0, id(*item).to_string(), nearest.1)
        };
        let mut all: Vec<_> = self.pictures.iter().filter(|(item, _)| passes(**item)).map(one).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        all
    }
}

fn pictured(labels: &Labels, pictures: usize) -> ItemFacts<'_> {
    ItemFacts { pictures: pictures as u32, ..facts(labels) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Random writes, deletions and moves, in both modes, with and without a filter, in both scans.
    #[test]
    fn both_modes_agree_with_plain_loops(
        writes in proptest::collection::vec((0u64..60, 0u64..9, 0u64..3), 1..160),
        (seed, k, most) in (0u64..1000, 1usize..12, proptest::option::of(0.5f64..3.0)),
        (is_filtered, is_coded, is_compact) in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let mut shop = Shop::new();
        // What a codec learns from.
        for item in (100..200).filter(|_| is_coded) {
            shop.put(item, 1 + item % 2, 0);
        }
        for (item, count, seed) in writes {
            if count == 0 { shop.remove(item) } else { shop.put(item, count.saturating_sub(3).max(1), seed) }
        }
        if is_compact {
            shop.compact();
        }
        if is_coded {
            code(&mut shop.local);
        }
        let filter = if is_filtered { Filter::carrying([("parity", "even")]) } else { Filter::default() };
        let exclude = vec!["i7".to_owned(), "i8".to_owned(), "nobody".to_owned()];
        for pictures in [PictureMode::Nearest, PictureMode::Mean] {
            let base = SignatureQuery {
                filter: filter.clone(),
                exclude: exclude.clone(),
                distance_max: most,
                pictures,
                ..query(seed, &[1.5, 1.0, 0.5], k)
            };
            let passes = |item: u64| ![7, 8].contains(&item) && (!is_filtered || item.is_multiple_of(2));
            let mut wanted = shop.by_hand(&base, passes);
            wanted.retain(|(distance, ..)| most.is_none_or(|most| *distance <= most));
            wanted.truncate(k);
            for plan in [PlanKind::ExactScan, PlanKind::CodeScan] {
                for threads in [1, 2] {
                    let query = SignatureQuery { plan: Some(plan), ..base.clone() };
                    let answer = search(&shop.local, &[query], threads, &|| false).remove(0).expect("answers");
                    let found: Vec<(f64, String, u32)> =
                        answer.hits.iter().map(|hit| (hit.distance, hit.id.to_string(), hit.picture)).collect();
                    prop_assert_eq!(&found, &wanted, "{:?} {:?}", plan, pictures);
                    for hit in &answer.hits {
                        let sum: f64 = base.terms.iter().zip(&hit.terms).map(|(t, of)| t.weight * f64::from(of.distance)).sum();
                        prop_assert_eq!(sum, hit.distance);
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_picture_lacks_is_its_items() {
    let mut local = catalogue(0, |_, _| true);
    let (id, labels) = (id(1), labels(1));
    let axis = |at: usize| (0..DIM).map(|i| f32::from(u8::from(i == at))).collect::<Vec<f32>>();
    let of = |key: &str, at: usize| (key.to_owned(), axis(at));
    let pictures = [vec![of("color", 0)], vec![of("color", 1), of("shape", 2)]];
    let own = [of("color", 3), of("shape", 2), of("pattern", 4)];
    let after = Some(pictured(&labels, 2));
    let signatures = NewSignatures::Only(&own);
    let put = Change { id: &id, before: None, after, signatures, pictures: &pictures };
    local.apply(&[put]).expect("memory does not fail");
    let slots = local.items().pictures().of_item(0).to_vec();
    let seen = |local: &LocalSignatures, key: &str, number: usize| {
        let column = local.column(key).expect("there");
        (column.of_pictures().get(slots[number]).map(Cow::into_owned), column.has_picture(slots[number]))
    };
    assert_eq!(seen(&local, "color", 0), (Some(axis(0)), true));
    assert_eq!(seen(&local, "shape", 0), (Some(axis(2)), false));
    assert_eq!(seen(&local, "pattern", 1), (Some(axis(4)), false));
    // One that is written for the item later, and one for a picture.
    let also = [of("pattern", 5), of("color", 6)];
    let revise = Change { before: after, signatures: NewSignatures::Also(&also), pictures: &[], ..put };
    local.apply(&[revise]).expect("memory does not fail");
    assert_eq!(seen(&local, "pattern", 1), (Some(axis(5)), false));
    assert_eq!(seen(&local, "color", 1), (Some(axis(1)), true));
    assert!(local.sign_picture("shape", (0, 0), &axis(7)) && !local.sign_picture("shape", (0, 2), &axis(7)));
    assert_eq!(seen(&local, "shape", 0), (Some(axis(7)), true));
    assert_eq!(local.sign("shape", 0, &axis(8)), Some(Some(axis(2))));
    assert_eq!(seen(&local, "shape", 0), (Some(axis(7)), true));
    let kept = local.column("shape").and_then(|column| column.picture(slots[0]).map(Cow::into_owned));
    assert_eq!(kept, Some(axis(7)));
}

#[test]
fn an_index_serves_beside_items_with_several_pictures() {
    let mut shop = Shop::new();
    for item in 0..3000 {
        shop.put(item, if item.is_multiple_of(5) { 3 } else { 1 }, item % 3);
    }
    shop.local.column("color").expect("there").follow_index(&|| false).expect("built");
    let (mut found, mut wanted) = (0, 0);
    for seed in 0..10 {
        let asked = SignatureQuery { plan: Some(PlanKind::Hnsw), ..query(seed * 77, &[1.0], 20) };
        let answer =
            search(&shop.local, std::slice::from_ref(&asked), 1, &|| false).remove(0).expect("answers");
        assert_eq!(answer.plan.kind, PlanKind::Hnsw);
        let exact = by_plan(&shop.local, &asked, PlanKind::ExactScan);
        let best: BTreeMap<Arc<str>, (u64, u32)> =
            exact.hits.iter().map(|hit| (hit.id.clone(), (hit.distance.to_bits(), hit.picture))).collect();
        wanted += best.len();
        for hit in &answer.hits {
            let same = best.get(&hit.id);
            found += usize::from(same.is_some());
            assert!(same.is_none_or(|same| *same == (hit.distance.to_bits(), hit.picture)), "{hit:?}");
        }
    }
    assert!(found * 100 >= wanted * 95, "{found} of {wanted}");
}
