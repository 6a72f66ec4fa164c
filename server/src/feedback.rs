//! Relevance feedback: weights from picked items (Eq. 5).

use crate::catalogue::{Column, Item, Snapshot};
use crate::error::{Error, Faults};
use crate::search::QueryView;
use lapel_heads::{Signature, distance, personalised_weights};
use lapel_search::ItemRows;
use std::collections::{BTreeMap, BTreeSet};

/// What picks say.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    /// Weights by head, summing to the number of heads; `None` with a single pick, which gives no pairs.
    pub weights: Option<BTreeMap<String, f64>>,
    /// Sum of distances over the unordered pairs of picks, by head.
    pub pair_distances: BTreeMap<String, f64>,
}

/// Picked items and their signatures under the active heads.
#[derive(Default)]
pub struct Picks<'a> {
    columns: &'a [Column],
    items: Vec<&'a Item>,
    /// By item and column.
    signatures: ItemRows<'a>,
}

impl<'a> Picks<'a> {
    /// Finds the picked items.
    ///
    /// # Errors
    /// [`Error::Invalid`] without picks, with too many or one twice; [`Error::Faults`] with unknown ids: all at once.
    pub fn find(snapshot: &'a Snapshot, ids: &[String], picks_max: usize) -> Result<Self, Error> {
        if ids.is_empty() || ids.len() > picks_max {
            return Err(Error::invalid(
                "picked_ids",
                format!("{} items are picked; 1 to {picks_max} are wanted", ids.len()),
            ));
        }
        let mut faults = Faults::default();
        let mut items: Vec<&Item> = Vec::with_capacity(ids.len());
        for (at, id) in ids.iter().enumerate() {
            let field = format!("picked_ids[{at}]");
            if ids[..at].contains(id) {
                faults.refuse(field, format!("{id:?} is picked twice"));
            } else {
                items.extend(
                    faults.gather(&field, snapshot.item(id).map_err(Error::from))?.map(|item| &**item),
                );
            }
        }
        faults.end()?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        Ok(Self { columns: snapshot.columns(), items, signatures: snapshot.active_signatures(&ids)? })
    }

    /// The signatures under a column, of those that have one.
    fn under(&self, at: usize) -> Vec<&[f32]> {
        self.signatures.iter().filter_map(|row| row.get(at)?.as_deref()).collect()
    }

    /// Eq. 5 over the picks; [`personalised_weights`] is the formula.
    ///
    /// A pair in which an item lacks the head's signature is left out and the sum scaled up to all pairs; a head
    /// with no whole pair says nothing and gets the mean weight.
    #[must_use]
    pub fn feedback(&self) -> Feedback {
        let picks = self.items.len();
        let pairs = (picks * picks.saturating_sub(1) / 2) as f64;
        let mut sums = BTreeMap::new();
        for (at, column) in self.columns.iter().enumerate() {
            let present = self.under(at);
            let known = (present.len() * present.len().saturating_sub(1) / 2) as f64;
            let mut sum = 0.0;
            for (at, a) in present.iter().enumerate() {
                sum += present[at + 1..].iter().map(|b| f64::from(distance(a, b))).sum::<f64>();
            }
            let name = column.head().name().to_owned();
            sums.insert(name, (known > 0.0).then(|| sum * pairs / known));
        }
        let pair_distances = sums.iter().map(|(head, sum)| (head.clone(), sum.unwrap_or(0.0))).collect();
        if picks < 2 {
            return Feedback { weights: None, pair_distances };
        }
        let known: Vec<Option<f64>> = sums.values().copied().collect();
        let weights = sums.keys().cloned().zip(personalised_weights(&known)).collect();
        Feedback { weights: Some(weights), pair_distances }
    }

    /// The view of several items: the normalised mean of their signatures, and the labels that all of them share.
    #[must_use]
    pub fn view(&self) -> QueryView {
        let mut view = QueryView::default();
        for (at, column) in self.columns.iter().enumerate() {
            let mut sum = vec![0.0; column.head().dim()];
            for signature in self.under(at) {
                sum.iter_mut().zip(signature).for_each(|(s, v)| *s += v);
            }
            if let Ok(mean) = Signature::new(sum) {
                view.vectors.insert(column.head().name().to_owned(), mean.into_values());
            }
        }
        let labels = |item: &&Item| item.record.labels.clone().into_iter().collect::<BTreeSet<_>>();
        let shared = self.items.iter().map(labels).reduce(|a, b| &a & &b);
        view.labels = shared.unwrap_or_default().into_iter().collect();
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Precision;
    use crate::store::{ItemChange, ItemRecord};
    use crate::testing::external_head;
    use lapel_heads::Labels;
    use lapel_values::Fields;

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
            let record = ItemRecord {
                labels: Labels::new(),
                fields: Fields::new(),
                image: None,
                parts_case: None,
                updated_ms: 0,
            };
            let id = (*id).to_owned();
            snapshot.apply(&[ItemChange::Put { id, record, image: None, signatures, replaces: true }]);
        }
        snapshot
    }

    #[test]
    fn agreement_on_one_head_raises_its_weight() {
        let s = snapshot(&[
            ("a", [Some(0.1), Some(0.0)]),
            ("b", [Some(0.11), Some(2.0)]),
            ("c", [Some(0.12), Some(4.0)]),
        ]);
        let picks = Picks::find(&s, &["a".into(), "b".into(), "c".into()], 10).expect("there");
        let found = picks.feedback();
        let weights = found.weights.expect("three picks");
        assert!((weights.values().sum::<f64>() - 2.0).abs() < 1e-9);
        assert!(weights["color"] > 1.9 && weights["shape"] < 0.1, "{weights:?}");
        // Chords of 0.01, 0.01 and 0.02 radians.
        assert!((found.pair_distances["color"] - 0.04).abs() < 1e-4);
    }

    #[test]
    fn one_pick_gives_no_weights_and_missing_signatures_stay_neutral() {
        let s = snapshot(&[("a", [Some(0.0), None]), ("b", [Some(1.0), None])]);
        let picked = |ids: &[String]| Picks::find(&s, ids, 10).expect("there").feedback().weights;
        assert_eq!(picked(&["a".into()]), None);
        let weights = picked(&["a".into(), "b".into()]).expect("two picks");
        assert!((weights["shape"] - 1.0).abs() < 1e-9 && (weights["color"] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn bad_picks_are_refused() {
        let s = snapshot(&[("a", [Some(0.0), None])]);
        assert!(matches!(Picks::find(&s, &[], 5), Err(Error::Invalid(_))));
        assert!(matches!(Picks::find(&s, &["a".into(), "a".into()], 5), Err(Error::Invalid(_))));
        let picks = ["z".into(), "a".into(), "a".into(), "y".into()];
        let Err(Error::Faults(faults)) = Picks::find(&s, &picks, 5) else { panic!("three are refused") };
        let fields: Vec<&str> = faults.all().iter().map(crate::error::Fault::field).collect();
        assert_eq!(fields, ["picked_ids[0]", "picked_ids[2]", "picked_ids[3]"]);
    }
}
