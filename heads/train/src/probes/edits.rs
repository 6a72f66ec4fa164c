//! What an edit does to the first results: whether the asked label is there, and whether the garment stays what it is.
//!
//! Queries are photos of the gallery, left out of their own answer. A label is asked for that at least
//! [`CARRIERS_MIN`] items carry, [`SAME_CATEGORY_MIN`] of them of the query's category, so that a perfect answer
//! exists. Shares are of the first [`FIRST`] results whose label is known.

use crate::evaluate::CATEGORY;
use lapel_fit::signature;
use lapel_heads::{Attribute, Head, Signature};
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

/// Results that are looked at.
pub const FIRST: usize = 5;
/// Items that carry a label that may be asked for.
pub const CARRIERS_MIN: usize = 20;
/// Of these, of the query's category.
pub const SAME_CATEGORY_MIN: usize = 5;

/// One attribute of a gallery: labels, signatures and prototypes of its head.
pub struct EditedHead {
    /// The attribute with its labels.
    pub attribute: Attribute,
    /// The label's number of each item, by the truth; `None` where it is not known or none of the head's.
    pub labels: Vec<Option<u16>>,
    /// Signature of each item.
    pub signatures: Vec<Vec<f32>>,
    /// Probability of each item's likeliest label.
    pub confidence: Vec<f32>,
    /// By label; `None` where there is none.
    pub prototypes: Vec<Option<Vec<f32>>>,
    /// The power of probabilities in its signatures.
    pub exponent: f32,
}

impl EditedHead {
    /// Of a probe with the probabilities that it gives for the items of a gallery.
    #[must_use]
    pub fn new(head: &Head, labels: Vec<Option<u16>>, probabilities: &[Vec<f32>]) -> Self {
        let attribute = head.manifest().attributes[0].clone();
        let prototype = |label: &String| {
            head.prototype(&attribute.name, label).map(|prototype| prototype.signature.values().to_vec())
        };
        Self {
            labels,
            signatures: probabilities
                .iter()
                .map(|row| of_unit_length(row, head.manifest().exponent))
                .collect(),
            confidence: probabilities.iter().map(|row| row.iter().copied().fold(0.0, f32::max)).collect(),
            prototypes: attribute.labels.iter().map(prototype).collect(),
            exponent: head.manifest().exponent,
            attribute,
        }
    }
}

/// The signature of probabilities; all zero where there are none.
fn of_unit_length(probabilities: &[f32], exponent: f32) -> Vec<f32> {
    signature(probabilities, exponent).map_or_else(|_| vec![0.0; probabilities.len()], Signature::into_values)
}

/// How much heads count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EditWeights {
    /// By head.
    pub weight: Vec<f64>,
    /// By head: the factor of its weight when it is edited.
    pub changed: Vec<f64>,
    /// The exponent of the confidence of heads that are not edited.
    pub confidence: f64,
}

/// An edit of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Item that is the query.
    pub query: usize,
    /// The edited head.
    pub head: usize,
    /// The label asked for.
    pub label: u16,
}

/// Shares of the first results, over some edits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Shares {
    /// Edits.
    pub edits: usize,
    /// The asked label is there.
    pub asked: f64,
    /// The query's category is there (edits of the category itself left out).
    pub category: f64,
    /// Both are.
    pub both: f64,
    /// Labels of other attributes that are the query's.
    pub others: f64,
}

/// The table of edits.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EditTable {
    /// By attribute.
    pub by_attribute: Vec<(String, Shares)>,
    /// Over all edits; an attribute counts as often as it is edited.
    pub all: Shares,
}

/// One edit an attribute for each item that can be a query, drawn with `seed`.
#[must_use]
pub fn draw_edits(heads: &[EditedHead], seed: u64) -> Vec<Edit> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let Some(category) = heads.iter().position(|head| head.attribute.name == CATEGORY) else {
        return Vec::new();
    };
    let items = heads[category].labels.len();
    let mut edits = Vec::new();
    for (head, known) in heads.iter().enumerate() {
        for query in 0..items {
            let (Some(own), Some(kind)) = (known.labels[query], heads[category].labels[query]) else {
                continue;
            };
            let can_be_asked = |label: &u16| {
                let carries = |item: &usize| *item != query && known.labels[*item] == Some(*label);
                let alike = |item: &usize| heads[category].labels[*item] == Some(kind);
                let carriers = (0..items).filter(carries).count();
                let same = (0..items).filter(carries).filter(alike).count();
                let has_prototype = known.prototypes.get(usize::from(*label)).is_some_and(Option::is_some);
                *label != own
                    && has_prototype
                    && carriers >= CARRIERS_MIN
                    && (head == category || same >= SAME_CATEGORY_MIN)
            };
            let labels: Vec<u16> = (0..known.attribute.labels.len() as u16).filter(can_be_asked).collect();
            if let Some(label) = labels.choose(&mut rng) {
                edits.push(Edit { query, head, label: *label });
            }
        }
    }
    edits
}

/// Carries out edits and looks at the first results.
#[must_use]
pub fn edit_table(heads: &[EditedHead], edits: &[Edit], weights: &EditWeights) -> EditTable {
    let category = heads.iter().position(|head| head.attribute.name == CATEGORY);
    let seen: Vec<Seen> = edits
        .par_iter()
        .map(|edit| look(heads, category, *edit, &first_results(heads, *edit, weights)))
        .collect();
    let of = |which: &dyn Fn(&Edit) -> bool| {
        let chosen = edits.iter().zip(&seen).filter(|(edit, _)| which(edit)).map(|(_, seen)| seen);
        shares(&chosen.collect::<Vec<_>>())
    };
    let by_attribute = heads.iter().enumerate();
    let by_attribute =
        by_attribute.map(|(at, head)| (head.attribute.name.clone(), of(&|edit| edit.head == at))).collect();
    EditTable { by_attribute, all: of(&|_| true) }
}

/// Items by the sum of weighted distances, the query left out.
fn first_results(heads: &[EditedHead], edit: Edit, weights: &EditWeights) -> Vec<usize> {
    let items = heads[edit.head].labels.len();
    let mut distances = vec![0.0f64; items];
    for (at, head) in heads.iter().enumerate() {
        let edited = at == edit.head;
        let factor = if edited {
            weights.changed[at]
        } else {
            f64::from(head.confidence[edit.query]).powf(weights.confidence)
        };
        let weight = weights.weight[at] * factor;
        let own = &head.signatures[edit.query];
        let wanted = head.prototypes.get(usize::from(edit.label)).and_then(Option::as_ref);
        let from = if edited { wanted.unwrap_or(own) } else { own };
        for (distance, signature) in distances.iter_mut().zip(&head.signatures) {
            let squared: f32 = signature.iter().zip(from).map(|(a, b)| (a - b) * (a - b)).sum();
            *distance += weight * f64::from(squared.sqrt());
        }
    }
    let mut order: Vec<usize> = (0..items).filter(|item| *item != edit.query).collect();
    let count = FIRST.min(order.len());
    if count < order.len() {
        order.select_nth_unstable_by(count, |a, b| distances[*a].total_cmp(&distances[*b]));
    }
    order.truncate(count);
    order
}

/// Right and known, of each kind of share.
#[derive(Clone, Copy, Default)]
struct Seen {
    asked: (f64, f64),
    category: (f64, f64),
    both: (f64, f64),
    others: (f64, f64),
}

fn look(heads: &[EditedHead], category: Option<usize>, edit: Edit, results: &[usize]) -> Seen {
    let mut seen = Seen::default();
    let count = |to: &mut (f64, f64), right: bool| {
        to.0 += f64::from(u8::from(right));
        to.1 += 1.0;
    };
    for item in results {
        let asked = heads[edit.head].labels[*item].map(|label| label == edit.label);
        if let Some(asked) = asked {
            count(&mut seen.asked, asked);
        }
        for (at, head) in heads.iter().enumerate().filter(|(at, _)| *at != edit.head) {
            let (Some(own), Some(found)) = (head.labels[edit.query], head.labels[*item]) else { continue };
            if Some(at) == category {
                count(&mut seen.category, own == found);
                if let Some(asked) = asked {
                    count(&mut seen.both, asked && own == found);
                }
            } else {
                count(&mut seen.others, own == found);
            }
        }
    }
    seen
}

/// The mean over edits of what each saw.
fn shares(seen: &[&Seen]) -> Shares {
    let mean = |part: fn(&Seen) -> (f64, f64)| {
        let known: Vec<f64> = seen
            .iter()
            .map(|seen| part(seen))
            .filter(|(_, known)| *known > 0.0)
            .map(|(right, known)| right / known)
            .collect();
        known.iter().sum::<f64>() / known.len().max(1) as f64
    };
    Shares {
        edits: seen.len(),
        asked: mean(|s| s.asked),
        category: mean(|s| s.category),
        both: mean(|s| s.both),
        others: mean(|s| s.others),
    }
}

/// A choice of weights with what it reaches.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    /// How much the asked label counts in the choice beside what is kept, 0 to 1.
    pub emphasis: f64,
    /// The weights.
    pub weights: EditWeights,
    /// The exponent of the signatures that they were chosen for.
    pub exponent: f32,
    /// What they reach on the items that chose them.
    pub reached: Shares,
    /// The measure that they were chosen by.
    pub measure: f64,
}

/// Weights for one emphasis: coordinate by coordinate, each multiplied and divided by falling factors while that helps.
///
/// The measure is the share of results with both the asked label and the category, and beside it the asked label
/// (`emphasis`) and the category and other labels that are kept (the rest). Only the heads `free` move; the exponent of
/// the confidence does with all of them.
#[must_use]
pub fn choose_weights(
    (heads, free): (&[EditedHead], &[usize]),
    edits: &[Edit],
    emphasis: f64,
    start: &EditWeights,
) -> Choice {
    let exponent = heads.first().map_or(0.5, |head| head.exponent);
    let measure = |weights: &EditWeights| {
        let table = edit_table(heads, edits, weights);
        // Every attribute counts the same, however often it can be edited.
        let asked: Vec<f64> =
            table.by_attribute.iter().filter(|(_, s)| s.edits > 0).map(|(_, s)| s.asked).collect();
        let asked = asked.iter().sum::<f64>() / asked.len().max(1) as f64;
        let kept = 0.6 * table.all.category + 0.4 * table.all.others;
        (table.all.both + emphasis * asked + (1.0 - emphasis) * kept, table.all)
    };
    let mut coordinates: Vec<usize> = free.iter().flat_map(|at| [*at, heads.len() + at]).collect();
    if free.len() == heads.len() {
        coordinates.push(2 * heads.len());
    }
    let mut weights = start.clone();
    let (mut best, mut reached) = measure(&weights);
    for factor in [2.0, 1.4, 1.18] {
        for at in coordinates.clone() {
            for factor in [factor, 1.0 / factor] {
                loop {
                    let mut tried = weights.clone();
                    let value = coordinate(&mut tried, at, heads.len());
                    *value = (*value * factor).clamp(0.05, if at == 2 * heads.len() { 4.0 } else { 40.0 });
                    let (score, shares) = measure(&tried);
                    if score <= best + 1e-5 {
                        break;
                    }
                    (best, reached, weights) = (score, shares, tried);
                }
            }
        }
    }
    if free.len() == heads.len() {
        let scale = heads.len() as f64 / weights.weight.iter().sum::<f64>();
        weights.weight.iter_mut().for_each(|weight| *weight *= scale);
    }
    Choice { emphasis, weights, exponent, reached, measure: best }
}

fn coordinate(weights: &mut EditWeights, at: usize, heads: usize) -> &mut f64 {
    if at < heads {
        &mut weights.weight[at]
    } else if at < 2 * heads {
        &mut weights.changed[at - heads]
    } else {
        &mut weights.confidence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty garments of two categories and two colours, told apart perfectly.
    fn heads() -> Vec<EditedHead> {
        let unit = |label: u16| if label == 0 { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
        let head = |name: &str, label: fn(u16) -> u16| {
            let labels: Vec<u16> = (0..80).map(label).collect();
            EditedHead {
                attribute: Attribute { name: name.into(), labels: vec!["a".into(), "b".into()] },
                signatures: labels.iter().map(|l| unit(*l)).collect(),
                confidence: vec![1.0; 80],
                labels: labels.into_iter().map(Some).collect(),
                prototypes: vec![Some(unit(0)), Some(unit(1))],
                exponent: 0.5,
            }
        };
        vec![head(CATEGORY, |i| i % 2), head("color", |i| i / 2 % 2)]
    }

    fn equal() -> EditWeights {
        EditWeights { weight: vec![1.0; 2], changed: vec![1.0; 2], confidence: 1.0 }
    }

    #[test]
    fn a_perfect_gallery_gives_what_was_asked_and_keeps_the_rest() {
        let heads = heads();
        let edits = draw_edits(&heads, 1);
        assert_eq!(edits.len(), 160, "each of 80 items is edited in both attributes");
        let table = edit_table(&heads, &edits, &equal());
        assert_eq!((table.all.asked, table.all.category, table.all.both), (1.0, 1.0, 1.0));
        assert_eq!(table.by_attribute[0].1.category, 0.0, "an edit of the category keeps none");
    }

    #[test]
    fn without_weight_an_edit_does_nothing() {
        let heads = heads();
        let edits: Vec<Edit> = draw_edits(&heads, 1).into_iter().filter(|e| e.head == 1).collect();
        let weights = EditWeights { changed: vec![1.0, 0.0], ..equal() };
        let asked = edit_table(&heads, &edits, &weights).all.asked;
        assert!(asked < 0.9, "colours come as they come: {asked}");
        let start = EditWeights { changed: vec![1.0, 0.05], ..equal() };
        let chosen = choose_weights((&heads, &[0, 1]), &edits, 0.5, &start);
        assert_eq!(chosen.reached.both, 1.0);
        let fixed = choose_weights((&heads, &[1]), &edits, 0.5, &start).weights;
        assert_eq!(
            (fixed.weight[0], fixed.changed[0], fixed.confidence),
            (1.0, 1.0, 1.0),
            "only one may move"
        );
    }

    #[test]
    fn labels_that_too_few_carry_are_not_asked_for() {
        let mut heads = heads();
        for (item, label) in heads[1].labels.iter_mut().enumerate() {
            *label = Some(u16::from(item < 19));
        }
        assert!(draw_edits(&heads, 1).iter().filter(|e| e.head == 1).all(|e| e.label == 0));
    }
}
