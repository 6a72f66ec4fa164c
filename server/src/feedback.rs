//! Relevance feedback: weights and a query from picked items (Eq. 5, and its extension to unwanted ones).

use crate::catalogue::{Column, Item, Snapshot};
use crate::error::{Error, Faults};
use crate::search::QueryView;
use lapel_heads::{PICKS_SHARE, PickDistances, Signature, blended, contrasted_weights, distance};
use lapel_search::ItemRows;
use std::collections::{BTreeMap, BTreeSet};

/// What picks say.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    /// Weights by head, summing to the number of heads; `None` where no two items are compared: a single wanted one, and
    /// none that is unwanted.
    pub weights: Option<BTreeMap<String, f64>>,
    /// Sum of distances over the unordered pairs of wanted items, by head.
    pub pair_distances: BTreeMap<String, f64>,
    /// Mean distance between two wanted items, by head; heads without a known pair are left out.
    pub wanted_distances: BTreeMap<String, f64>,
    /// Mean distance between a wanted and an unwanted item, by head; heads without a known pair are left out.
    pub unwanted_distances: BTreeMap<String, f64>,
}

/// Which items are picked.
#[derive(Clone, Copy, Debug)]
pub struct PickedIds<'a> {
    /// Those that are wanted.
    pub wanted: &'a [String],
    /// Those that are not.
    pub unwanted: &'a [String],
}

/// How weights come of picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackFormula {
    /// Eq. 5, from the wanted items alone.
    Paper,
    /// Eq. 5 extended to unwanted items: [`contrasted_weights`].
    Contrasted,
}

/// Picked items and their signatures under the active heads.
#[derive(Default)]
pub struct Picks<'a> {
    columns: &'a [Column],
    /// The wanted ones.
    items: Vec<&'a Item>,
    /// Of the wanted ones, by item and column.
    wanted: ItemRows<'a>,
    /// Of the unwanted ones, by item and column.
    unwanted: ItemRows<'a>,
}

impl<'a> Picks<'a> {
    /// Finds the picked items. At least one must be wanted, and at most `picks_max` of either kind are taken.
    ///
    /// # Errors
    /// [`Error::Invalid`] without wanted items, with too many or one twice; [`Error::Faults`] with unknown ids: all at
    /// once.
    pub fn find(snapshot: &'a Snapshot, ids: PickedIds<'_>, picks_max: usize) -> Result<Self, Error> {
        let PickedIds { wanted, unwanted } = ids;
        let mut faults = Faults::default();
        let mut items = Vec::new();
        if wanted.is_empty() || wanted.len() > picks_max {
            let given = format!("{} items are picked; 1 to {picks_max} are wanted", wanted.len());
            faults.refuse("picked_ids", given);
        } else {
            items = found(snapshot, ("picked_ids", wanted), &[], &mut faults)?;
        }
        if unwanted.len() > picks_max {
            let given = format!("there are {}; at most {picks_max} are accepted", unwanted.len());
            faults.refuse("unwanted_ids", given);
        } else {
            // Too many wanted ones are refused above; both lists are compared only where they are short.
            let picked: &[String] = if wanted.len() > picks_max { &[] } else { wanted };
            found(snapshot, ("unwanted_ids", unwanted), picked, &mut faults)?;
        }
        faults.end()?;
        let rows =
            |ids: &[String]| snapshot.active_signatures(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        Ok(Self { columns: snapshot.columns(), items, wanted: rows(wanted)?, unwanted: rows(unwanted)? })
    }

    /// Weights by a formula, with what led to them.
    ///
    /// A pair in which an item lacks the head's signature is left out, and the sum of Eq. 5 scaled up to all pairs; a head
    /// with no whole pair says nothing and gets the mean weight.
    #[must_use]
    pub fn feedback(&self, formula: FeedbackFormula) -> Feedback {
        let names = || self.columns.iter().map(|column| column.head().name().to_owned());
        let distances: Vec<PickDistances> = (0..self.columns.len()).map(|at| self.distances(at)).collect();
        let count = self.items.len();
        let pairs = (count * count.saturating_sub(1) / 2) as f64;
        let known = |of: fn(&PickDistances) -> Option<f64>| -> BTreeMap<String, f64> {
            names().zip(&distances).filter_map(|(head, d)| Some((head, of(d)?))).collect()
        };
        let (wanted_distances, unwanted_distances) = (known(|d| d.wanted), known(|d| d.unwanted));
        let pair_sum = |d: &PickDistances| d.wanted.map_or(0.0, |mean| mean * pairs);
        let pair_distances = names().zip(distances.iter().map(pair_sum)).collect();
        let is_compared = match formula {
            FeedbackFormula::Paper => count >= 2,
            FeedbackFormula::Contrasted => count >= 2 || !unwanted_distances.is_empty(),
        };
        let by_formula = || match formula {
            FeedbackFormula::Paper => {
                let alone = distances.iter().map(|d| PickDistances { unwanted: None, ..*d });
                contrasted_weights(&alone.collect::<Vec<_>>(), pairs)
            }
            FeedbackFormula::Contrasted => contrasted_weights(&distances, pairs),
        };
        let weights = is_compared.then(|| names().zip(by_formula()).collect());
        Feedback { weights, pair_distances, wanted_distances, unwanted_distances }
    }

    /// Mean distances under a column.
    fn distances(&self, at: usize) -> PickDistances {
        let (wanted, unwanted) = (under(&self.wanted, at), under(&self.unwanted, at));
        let among =
            wanted.iter().enumerate().flat_map(|(i, a)| wanted[i + 1..].iter().map(move |b| (*a, *b)));
        let between = wanted.iter().flat_map(|a| unwanted.iter().map(move |b| (*a, *b)));
        PickDistances { wanted: mean_distance(among), unwanted: mean_distance(between) }
    }

    /// The normalised mean of the wanted items' signatures, by head.
    fn means(&self) -> impl Iterator<Item = (&'a str, Vec<f32>)> {
        self.columns.iter().enumerate().filter_map(move |(at, column)| {
            let mut sum = vec![0.0; column.head().dim()];
            for signature in under(&self.wanted, at) {
                sum.iter_mut().zip(signature).for_each(|(s, v)| *s += v);
            }
            Some((column.head().name(), Signature::new(sum).ok()?.into_values()))
        })
    }

    /// The view of the wanted items: the normalised mean of their signatures, and the labels that all of them share.
    #[must_use]
    pub fn view(&self) -> QueryView {
        let vectors = self.means().map(|(head, mean)| (head.to_owned(), mean)).collect();
        let labels = |item: &&Item| item.labels().into_iter().collect::<BTreeSet<_>>();
        let shared = self.items.iter().map(labels).reduce(|a, b| &a & &b);
        QueryView { vectors, labels: shared.unwrap_or_default().into_iter().collect() }
    }

    /// A query with the mean of the wanted items beside it, of which [`PICKS_SHARE`] is taken. Heads in `edited` stay as
    /// they are: an edit says what is wanted there. So do heads that either lacks.
    #[must_use]
    pub fn beside(&self, mut query: QueryView, edited: &BTreeSet<String>) -> QueryView {
        for (head, mean) in self.means().filter(|(head, _)| !edited.contains(*head)) {
            if let Some(own) = query.vectors.get_mut(head) {
                *own = blended(own, &mean, PICKS_SHARE);
            }
        }
        query
    }
}

/// The items of a list; what is wrong with an id is noted at its place.
fn found<'a>(
    snapshot: &'a Snapshot,
    (list, ids): (&str, &[String]),
    picked: &[String],
    faults: &mut Faults,
) -> Result<Vec<&'a Item>, Error> {
    let mut items: Vec<&Item> = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let field = format!("{list}[{at}]");
        if ids[..at].contains(id) {
            faults.refuse(field, format!("{id:?} is given twice"));
        } else if picked.contains(id) {
            faults.refuse(field, format!("{id:?} is picked; an item is wanted or unwanted, not both"));
        } else {
            items.extend(faults.gather(&field, snapshot.item(id).map_err(Error::from))?.map(|item| &**item));
        }
    }
    Ok(items)
}

/// The signatures under a column, of those that have one.
fn under<'r>(rows: &'r ItemRows<'_>, at: usize) -> Vec<&'r [f32]> {
    rows.iter().filter_map(|row| row.get(at)?.as_deref()).collect()
}

/// `None` where there is no pair.
fn mean_distance<'r>(pairs: impl Iterator<Item = (&'r [f32], &'r [f32])>) -> Option<f64> {
    let (sum, count) =
        pairs.fold((0.0_f64, 0.0_f64), |(sum, count), (a, b)| (sum + f64::from(distance(a, b)), count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Precision;
    use crate::store::{ItemChange, ItemRecord};
    use crate::testing::external_head;
    use lapel_values::{Fields, Labels};

    fn snapshot(items: &[(&str, [Option<f32>; 2])]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for key in ["color", "shape"] {
            snapshot.add_reserve(Column::new(key, external_head(key, 2, &["x"]), Precision::F32));
            snapshot.activate(key);
        }
        for (id, angles) in items {
            let signatures: Vec<_> = ["color", "shape"]
                .iter()
                .zip(angles)
                .filter_map(|(key, angle)| {
                    Some(((*key).to_owned(), vec![angle.as_ref()?.cos(), angle.as_ref()?.sin()]))
                })
                .collect();
            let (labels, fields) = (Labels::new(), Fields::new());
            let record = ItemRecord {
                labels,
                fields,
                image: None,
                parts_case: None,
                updated_ms: 0,
                more_images: Vec::new(),
            };
            let id = (*id).to_owned();
            snapshot.apply(&[ItemChange::Put {
                id,
                record,
                images: Vec::new(),
                signatures,
                pictures: Vec::new(),
                replaces: Some(1),
            }]);
        }
        snapshot
    }

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn picks<'a>(snapshot: &'a Snapshot, wanted: &[&str], unwanted: &[&str]) -> Picks<'a> {
        let picked = PickedIds { wanted: &ids(wanted), unwanted: &ids(unwanted) };
        Picks::find(snapshot, picked, 10).expect("there")
    }

    #[test]
    fn agreement_on_one_head_raises_its_weight() {
        let s = snapshot(&[
            ("a", [Some(0.1), Some(0.0)]),
            ("b", [Some(0.11), Some(2.0)]),
            ("c", [Some(0.12), Some(4.0)]),
        ]);
        let picks = picks(&s, &["a", "b", "c"], &[]);
        let found = picks.feedback(FeedbackFormula::Contrasted);
        let weights = found.weights.clone().expect("three picks");
        assert!((weights.values().sum::<f64>() - 2.0).abs() < 1e-9);
        assert!(weights["color"] > 1.9 && weights["shape"] < 0.1, "{weights:?}");
        // Chords of 0.01, 0.01 and 0.02 radians.
        assert!((found.pair_distances["color"] - 0.04).abs() < 1e-4);
        assert!((found.wanted_distances["color"] - 0.04 / 3.0).abs() < 1e-4);
        assert!(found.unwanted_distances.is_empty());
        // Nothing is unwanted: the extension is Eq. 5.
        assert_eq!(found, picks.feedback(FeedbackFormula::Paper));
    }

    #[test]
    fn a_head_that_tells_the_unwanted_apart_weighs_more() {
        // The wanted ones are as near each other under both heads; the unwanted one differs in shape alone.
        let s = snapshot(&[
            ("a", [Some(0.0), Some(0.0)]),
            ("b", [Some(0.5), Some(0.5)]),
            ("u", [Some(0.25), Some(2.5)]),
        ]);
        let picks = picks(&s, &["a", "b"], &["u"]);
        let contrasted = picks.feedback(FeedbackFormula::Contrasted);
        let weights = contrasted.weights.expect("compared");
        assert!(weights["shape"] > 3.0 * weights["color"], "{weights:?}");
        assert!((weights.values().sum::<f64>() - 2.0).abs() < 1e-9);
        assert!(contrasted.unwanted_distances["shape"] > contrasted.unwanted_distances["color"]);
        // The paper has wanted ones alone.
        let paper = picks.feedback(FeedbackFormula::Paper).weights.expect("two picks");
        assert!(paper.values().all(|w| (w - 1.0).abs() < 1e-6), "{paper:?}");
        // One wanted item has no pair; one that is unwanted says something all the same.
        let single = self::picks(&s, &["a"], &["u"]);
        let weights = single.feedback(FeedbackFormula::Contrasted).weights.expect("compared");
        assert!(weights["shape"] > weights["color"], "{weights:?}");
        assert_eq!(single.feedback(FeedbackFormula::Paper).weights, None);
    }

    #[test]
    fn one_pick_gives_no_weights_and_missing_signatures_stay_neutral() {
        let s = snapshot(&[("a", [Some(0.0), None]), ("b", [Some(1.0), None]), ("bare", [None, None])]);
        let weights = |wanted: &[&str], unwanted: &[&str]| {
            picks(&s, wanted, unwanted).feedback(FeedbackFormula::Contrasted).weights
        };
        assert_eq!(weights(&["a"], &[]), None);
        // An unwanted item without signatures says nothing.
        assert_eq!(weights(&["a"], &["bare"]), None);
        for (wanted, unwanted) in [(&["a", "b"][..], &[][..]), (&["a", "b"], &["bare"]), (&["a"], &["b"])] {
            let weights = weights(wanted, unwanted).expect("compared");
            let is_even = weights.values().all(|weight| (weight - 1.0).abs() < 1e-9);
            assert!(is_even && weights.len() == 2, "{wanted:?} {unwanted:?} {weights:?}");
        }
    }

    #[test]
    fn a_query_moves_to_the_picks_where_no_edit_touches_it() {
        let s = snapshot(&[("a", [Some(0.9), Some(0.9)]), ("b", [Some(1.1), None])]);
        let picks = picks(&s, &["a", "b"], &[]);
        let query = || {
            let vectors = [("color".to_owned(), vec![1.0, 0.0]), ("shape".to_owned(), vec![1.0, 0.0])];
            QueryView { vectors: vectors.into(), ..QueryView::default() }
        };
        let edited = BTreeSet::from(["shape".to_owned()]);
        let view = picks.beside(query(), &edited);
        // Towards the mean of 0.9 and 1.1.
        let angle = view.vectors["color"][1].atan2(view.vectors["color"][0]);
        let (share, mean) = (PICKS_SHARE as f32, 1.0f32);
        let wanted = (share * mean.sin()).atan2(1.0 - share + share * mean.cos());
        assert!((angle - wanted).abs() < 1e-5, "{angle}");
        assert_eq!(view.vectors["shape"], [1.0, 0.0]);
        // A head that the query lacks is not added.
        let mut without = query();
        without.vectors.remove("shape");
        assert_eq!(picks.beside(without, &BTreeSet::new()).vectors.len(), 1);
    }

    #[test]
    fn bad_picks_are_refused() {
        let s = snapshot(&[("a", [Some(0.0), None]), ("b", [Some(1.0), None])]);
        let refused = |wanted: &[&str], unwanted: &[&str]| -> Vec<String> {
            let picked = PickedIds { wanted: &ids(wanted), unwanted: &ids(unwanted) };
            match Picks::find(&s, picked, 4).map(drop) {
                Ok(()) => Vec::new(),
                Err(Error::Invalid(violations)) => violations.into_iter().map(|v| v.field).collect(),
                Err(Error::Faults(faults)) => faults.all().iter().map(|f| f.field().to_owned()).collect(),
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(refused(&[], &[]), ["picked_ids"]);
        assert_eq!(refused(&[], &["a"]), ["picked_ids"]);
        assert_eq!(refused(&["a", "a"], &[]), ["picked_ids[1]"]);
        assert_eq!(refused(&["z", "a", "a", "y"], &[]), ["picked_ids[0]", "picked_ids[2]", "picked_ids[3]"]);
        assert_eq!(refused(&["a", "b", "c", "d", "e"], &[]), ["picked_ids"]);
        assert_eq!(
            refused(&["a"], &["z", "b", "b", "a"]),
            ["unwanted_ids[0]", "unwanted_ids[2]", "unwanted_ids[3]"]
        );
        assert_eq!(refused(&["a"], &["b", "c", "d", "e", "f"]), ["unwanted_ids"]);
        assert!(refused(&["a"], &["b"]).is_empty());
    }
}
