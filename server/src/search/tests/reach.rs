//! What is attainable, against plain loops over random wardrobes.

use super::*;
use crate::search::reach::{Attainability, AttainableChange, Concession, attainability};
use crate::search::weights;
use crate::testing::head;
use lapel_heads::{Attribute, Bundle, Manifest};
use lapel_values::Fields;

/// Attributes with a head each.
pub(super) const SPECIAL: [&str; 3] = ["color", "pattern", "shape"];
/// Attributes that share a head.
pub(super) const GENERAL: [&str; 2] = ["fit", "length"];
/// An attribute that no head tells apart.
pub(super) const STOCK: &str = "stock";
pub(super) const LABELS: [&str; 4] = ["a", "b", "c", "d"];

pub(super) struct Garment {
    pub(super) id: String,
    pub(super) labels: Labels,
    signatures: BTreeMap<String, Vec<f32>>,
}

impl Garment {
    pub(super) fn carries(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(attribute, label)| self.labels.get(*attribute).is_some_and(|own| own == label))
    }
}

fn unit(rng: &mut ChaCha8Rng) -> Vec<f32> {
    let raw: Vec<f32> = (0..DIM).map(|_| rng.random_range(-1.0..1.0)).collect();
    Signature::new(raw).expect("not zero").into_values()
}

/// Some labels, the first ones more often than others.
fn labels(rng: &mut ChaCha8Rng) -> Labels {
    let mut labels = Labels::new();
    for attribute in SPECIAL.into_iter().chain(GENERAL).chain([STOCK]) {
        let (one, other) = (rng.random_range(0..10_usize), rng.random_range(0..10_usize));
        if let Some(label) = LABELS.get(one.min(other)) {
            labels.insert(attribute.to_owned(), (*label).to_owned());
        }
    }
    labels
}

/// Signatures of most heads.
fn signatures(rng: &mut ChaCha8Rng) -> BTreeMap<String, Vec<f32>> {
    let mut signatures = BTreeMap::new();
    for head in SPECIAL.into_iter().chain(["general"]) {
        let signature = unit(rng);
        if rng.random_range(0..12_u32) > 0 {
            signatures.insert(head.to_owned(), signature);
        }
    }
    signatures
}

/// A random catalogue of garments.
pub(super) fn wardrobe(rng: &mut ChaCha8Rng, count: usize) -> (Snapshot, Vec<Garment>) {
    let attribute =
        |name: &str| Attribute { name: name.to_owned(), labels: LABELS.map(str::to_owned).to_vec() };
    let manifest = Manifest::external("general", DIM, GENERAL.map(attribute).to_vec());
    let general = head(&Bundle { manifest, tensors: BTreeMap::new(), graph: None });
    let mut snapshot = Snapshot::default();
    for head in SPECIAL.map(|name| external_head(name, DIM, &LABELS)).into_iter().chain([general]) {
        let name = head.name().to_owned();
        snapshot.add_reserve(Column::new(&name, head, Precision::F32));
        snapshot.activate(&name);
    }
    let garments: Vec<Garment> = (0..count)
        .map(|at| Garment { id: format!("g{at}"), labels: labels(rng), signatures: signatures(rng) })
        .collect();
    let change = |garment: &Garment| {
        let record = ItemRecord {
            labels: garment.labels.clone(),
            fields: Fields::new(),
            image: None,
            parts_case: None,
            updated_ms: 0,
            more_images: Vec::new(),
        };
        put(&garment.id, record, garment.signatures.clone().into_iter().collect())
    };
    snapshot.apply(&garments.iter().map(change).collect::<Vec<_>>());
    (snapshot, garments)
}

/// A random query.
pub(super) fn random_view(rng: &mut ChaCha8Rng) -> QueryView {
    let mut vectors = signatures(rng);
    // At least one head is in play.
    vectors.insert(SPECIAL[0].to_owned(), unit(rng));
    QueryView { vectors, labels: labels(rng) }
}

/// Up to so many labels that are wanted, of different attributes.
pub(super) fn random_wanted(rng: &mut ChaCha8Rng, most: usize) -> Vec<(&'static str, &'static str)> {
    let mut attributes: Vec<&'static str> = SPECIAL.into_iter().chain(GENERAL).collect();
    let count = rng.random_range(0..=most);
    let one = |_| {
        let attribute = attributes.swap_remove(rng.random_range(0..attributes.len()));
        (attribute, LABELS[rng.random_range(0..LABELS.len())])
    };
    (0..count).map(one).collect()
}

/// What garments must carry to pass, and the filter that says so.
pub(super) fn random_filter(rng: &mut ChaCha8Rng) -> (Vec<(&'static str, &'static str)>, Filter) {
    let passing = if rng.random_range(0..2_u32) == 0 { Vec::new() } else { vec![(STOCK, "a")] };
    let filter = Filter::carrying(passing.iter().copied());
    (passing, filter)
}

/// The search for the nearest to an edited query.
pub(super) fn query(s: &Snapshot, view: &QueryView, edits: &Edits, filter: Filter) -> SignatureQuery {
    let mut view = view.clone();
    let effects = edits.apply(s, &mut view, planner().prototype_items_min);
    let terms = weights::terms(s, &view, (&Weighting::Own, &effects)).expect("heads in play");
    let terms = terms.into_iter().map(|term| term.term).collect();
    SignatureQuery { terms, filter, k: 1, ..SignatureQuery::default() }
}

/// The nearest garment, by the sum of weight times distance.
pub(super) fn nearest<'a>(query: &SignatureQuery, garments: &[&'a Garment]) -> (f64, &'a str) {
    let far = |garment: &Garment| -> f64 {
        let term = |term: &lapel_search::SearchTerm| {
            let own = garment.signatures.get(&*term.column);
            term.weight * f64::from(own.map_or(term.expected, |own| distance(&term.vector, own)))
        };
        query.terms.iter().map(term).sum()
    };
    let all = garments.iter().map(|garment| (far(garment), garment.id.as_str()));
    all.min_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1))).expect("there is one")
}

/// A label's prototype.
pub(super) fn prototype(s: &Snapshot, attribute: &str, label: &str) -> Option<Signature> {
    let column = s.column_of_attribute(attribute)?;
    let items_min = planner().prototype_items_min;
    let found = column.prototypes().prototype(column.head(), attribute, label, items_min)?;
    Some(found.signature)
}

/// A question with all that answers it in plain loops.
struct Question<'a> {
    snapshot: &'a Snapshot,
    garments: &'a [Garment],
    passing: Vec<(&'static str, &'static str)>,
    wanted: Vec<(&'static str, &'static str)>,
}

impl<'a> Question<'a> {
    fn carrying(&self, labels: &[(&str, &str)]) -> Vec<&'a Garment> {
        let carries = |garment: &&Garment| garment.carries(&self.passing) && garment.carries(labels);
        self.garments.iter().filter(carries).collect()
    }

    /// The largest sets of wanted labels that are carried together, but not all of them.
    fn given_up(&self) -> Vec<(Concession, Vec<&'a Garment>)> {
        let count = self.wanted.len();
        for size in (1..count).rev() {
            let of_size = (0..1_u32 << count).filter(|mask| mask.count_ones() as usize == size);
            let places =
                of_size.map(|mask| (0..count).filter(|at| (mask >> at) & 1 == 1).collect::<Vec<_>>());
            let mut found: Vec<(Vec<usize>, Vec<&Garment>)> = places
                .map(|kept| {
                    let labels: Vec<_> = kept.iter().map(|at| self.wanted[*at]).collect();
                    let carrying = self.carrying(&labels);
                    (kept, carrying)
                })
                .filter(|(_, carrying)| !carrying.is_empty())
                .collect();
            if found.is_empty() {
                continue;
            }
            found.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
            let concession = |(kept, carrying): (Vec<usize>, Vec<&'a Garment>)| {
                let others = (0..count).filter(|at| !kept.contains(at));
                (Concession::GiveUp(others.map(|at| manipulation(self.wanted[at])).collect()), carrying)
            };
            return found.into_iter().map(concession).collect();
        }
        Vec::new()
    }

    /// The closest label in the place of each wanted one.
    fn replaced(&self) -> Vec<(Concession, Vec<&'a Garment>)> {
        let mut found = Vec::new();
        for (at, (attribute, label)) in self.wanted.iter().enumerate() {
            let own = prototype(self.snapshot, attribute, label).expect("it was looked up");
            let others = LABELS.into_iter().filter(|other| other != label);
            let mut others: Vec<(f64, &str)> = others
                .filter_map(|other| {
                    let prototype = prototype(self.snapshot, attribute, other)?;
                    Some((f64::from(distance(own.values(), prototype.values())), other))
                })
                .collect();
            others.sort_by(|a, b| a.0.total_cmp(&b.0));
            let leads = others.into_iter().find_map(|(far, other)| {
                let mut labels = self.wanted.clone();
                labels[at] = (*attribute, other);
                let carrying = self.carrying(&labels);
                (!carrying.is_empty()).then_some((far, other, carrying))
            });
            if let Some((prototype_distance, other, carrying)) = leads {
                let wanted = manipulation((*attribute, *label));
                let concession = Concession::Replace { wanted, label: other.to_owned(), prototype_distance };
                found.push((prototype_distance, concession, carrying));
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.into_iter().map(|(_, concession, carrying)| (concession, carrying)).collect()
    }

    fn check(&self, query: &SignatureQuery, found: &Attainability) {
        let together = self.carrying(&self.wanted).len();
        let expected: Vec<(Concession, Vec<&Garment>)> = if together > 0 {
            Vec::new()
        } else {
            self.given_up().into_iter().chain(self.replaced()).collect()
        };
        assert_eq!((found.items, found.changes.len()), (together as u64, expected.len()), "{found:?}");
        for (change, (concession, carrying)) in found.changes.iter().zip(expected) {
            let AttainableChange { concession: told, items, best } = change;
            assert_eq!((told, *items), (&concession, carrying.len() as u64));
            let (far, id) = nearest(query, &carrying);
            assert_eq!(&*best.id, id, "{change:?}");
            assert!((best.distance - far).abs() < 1e-5, "{change:?}: {far}");
        }
    }
}

fn manipulation((attribute, label): (&str, &str)) -> Manipulation {
    Manipulation { attribute: attribute.to_owned(), label: label.to_owned() }
}

#[test]
fn what_is_attainable_is_what_plain_loops_find() {
    let (mut questions, mut given_up, mut replaced) = (0, 0, 0);
    let planner = planner();
    let budget = Budget { tuning: &planner.tuning, threads: 1, is_abandoned: &|| false };
    for seed in 0.. {
        if questions >= 1000 {
            break;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (snapshot, garments) = wardrobe(&mut rng, 40);
        for _ in 0..25 {
            let wanted = random_wanted(&mut rng, 5);
            let (passing, filter) = random_filter(&mut rng);
            let view = random_view(&mut rng);
            // A label that no item carries has no prototype.
            let Ok(edits) = edits(&snapshot, &wanted) else { continue };
            let query = query(&snapshot, &view, &edits, filter);
            let found = attainability(&snapshot, &edits, &query, (planner.prototype_items_min, &budget));
            let Some(found) = found.expect("answers") else {
                assert!(wanted.is_empty(), "{wanted:?}");
                continue;
            };
            questions += 1;
            let is_given_up = |change: &&AttainableChange| matches!(change.concession, Concession::GiveUp(_));
            let count = found.changes.iter().filter(is_given_up).count();
            given_up += usize::from(count > 0);
            replaced += usize::from(count < found.changes.len());
            Question { snapshot: &snapshot, garments: &garments, passing, wanted }.check(&query, &found);
        }
    }
    assert!(given_up > 100 && replaced > 100, "{given_up} {replaced} of {questions}");
}

#[test]
fn a_search_tells_it_with_its_edits_and_only_then() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (snapshot, garments) = wardrobe(&mut rng, 40);
    let view = random_view(&mut rng);
    let plain = search(&snapshot, view.clone(), &spec(Weighting::Own, 3), &planner()).expect("answers");
    assert_eq!(plain.attainability, None);
    let edits = edits(&snapshot, &[("color", "a")]).expect("known");
    let edited = SearchSpec { edits, ..spec(Weighting::Own, 3) };
    let answer = search(&snapshot, view, &edited, &planner()).expect("answers");
    let carrying = garments.iter().filter(|garment| garment.carries(&[("color", "a")])).count();
    let items = carrying as u64;
    assert_eq!(answer.attainability, Some(Attainability { items, changes: Vec::new() }));
    assert_eq!(answer.items_with_all_labels, items);
}
