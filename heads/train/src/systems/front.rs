//! The front between what a change reaches and what it keeps, found on photos held out of training, and a point on it.
//!
//! One learner for every system. Weights are tried one by one, each multiplied and divided by falling factors while that
//! helps; a signature of a single part has none, and how far it moves is tried instead. Each *emphasis* gives a point
//! of the front. The point that is taken is, of all that give up at most [`GIVEN_UP`] of the kept labels and of the
//! category, the one that most often has what was asked for.

use super::weights::PartWeights;
use super::{Labelled, Searcher, Signatures, System};
use crate::Prepared;
use crate::dataset::label_numbers;
use crate::evaluate::{Asked, CATEGORY, Gains, Trial, adde_trial, best_gain, gain_of, relevances};
use lapel_heads::{Attribute, distance};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How much the changed labels count beside what is kept, of the front's points.
const EMPHASES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// What learned weights may give up of the gains of kept labels and of the category, against equal weights.
pub const GIVEN_UP: f64 = 0.01;
/// What a point counts that gives up more, for each unit: more than any gain makes good.
const FINE: f64 = 10.0;
/// Factors by which a weight is multiplied and divided, one after the other.
const FACTORS: [f32; 3] = [2.0, 1.4, 1.18];
/// Bounds of a weight, and of the factor of a changed one.
const WEIGHTS: [f32; 2] = [0.2, 5.0];
const CHANGED: [f32; 2] = [0.5, 16.0];
/// Exponents of the confidence that are tried.
const CONFIDENCES: [f32; 5] = [0.0, 0.5, 1.0, 2.0, 3.0];
/// How far a single part may go.
const STEPS: [f32; 8] = [0.4, 0.55, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0];
/// Results that count.
const FIRST: usize = 30;
/// Questions at most.
const QUESTIONS: usize = 800;

/// Pictures of one data set that choose, with those that its prototypes come from.
pub struct Lesson<'a> {
    /// The set's attributes.
    pub attributes: &'a [Attribute],
    /// Pictures that prototypes come from ...
    pub training: &'a Prepared,
    /// ... and which of them.
    pub rows: Vec<usize>,
    /// Pictures that choose ...
    pub held_out: &'a Prepared,
    /// ... and which of them.
    pub held_out_rows: Vec<usize>,
    /// Seed of the questions.
    pub seed: u64,
}

/// Gains on the pictures that choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Of the changed labels.
    pub changed: f64,
    /// Of the kept labels.
    pub kept: f64,
    /// Of the query's category.
    pub category: f64,
}

/// Weights with what they reach.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrontPoint {
    /// How much the changed labels counted, 0 to 1.
    pub emphasis: f64,
    /// The weights.
    pub weights: PartWeights,
    /// What they reach on the pictures that chose them.
    pub reached: Reached,
}

/// What can be reached by weights, and what was taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Front {
    /// What equal weights reach.
    pub equal: Reached,
    /// The front, by emphasis.
    pub points: Vec<FrontPoint>,
    /// The point that is taken; its emphasis is 1, with a fine on what it gives up.
    pub taken: FrontPoint,
}

/// Finds the front and takes a point; all exams count alike.
#[must_use]
pub fn learn_weights(exams: &[Exam]) -> Front {
    let start = exams.first().map_or(PartWeights::equal(0), Exam::equal);
    let measure =
        |weights: &PartWeights| Reached::mean(&exams.iter().map(|e| e.reached(weights)).collect::<Vec<_>>());
    let equal = measure(&start);
    let point = |emphasis: f64, score: &dyn Fn(&Reached) -> f64, start: &PartWeights| {
        let (weights, reached) = climb(start, &measure, score);
        FrontPoint { emphasis, weights, reached }
    };
    let mut points: Vec<FrontPoint> = Vec::with_capacity(EMPHASES.len());
    for emphasis in EMPHASES {
        points.push(point(emphasis, &|r| r.score(emphasis), &start));
    }
    let fined = |r: &Reached| r.changed - FINE * r.given_up(&equal);
    let begun = points.iter().map(|p| (fined(&p.reached), &p.weights)).chain([(fined(&equal), &start)]);
    let best = begun.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(start.clone(), |(_, weights)| weights.clone());
    let mut taken = point(1.0, &fined, &best);
    if taken.reached.given_up(&equal) > 0.0 {
        taken = FrontPoint { emphasis: 1.0, weights: start, reached: equal };
    }
    taken.weights.normalise();
    points.iter_mut().for_each(|p| p.weights.normalise());
    Front { equal, points, taken }
}

impl Reached {
    /// The measure of one emphasis: changed labels against the mean of the kept ones and the category.
    #[must_use]
    pub fn score(&self, emphasis: f64) -> f64 {
        emphasis * self.changed + (1.0 - emphasis) * f64::midpoint(self.kept, self.category)
    }

    /// What is given up beyond [`GIVEN_UP`], of kept labels and category together.
    fn given_up(&self, equal: &Self) -> f64 {
        let beyond = |own: f64, equal: f64| (equal - GIVEN_UP - own).max(0.0);
        beyond(self.kept, equal.kept) + beyond(self.category, equal.category)
    }

    fn mean(all: &[Self]) -> Self {
        let of = |part: fn(&Self) -> f64| all.iter().map(part).sum::<f64>() / all.len().max(1) as f64;
        Self { changed: of(|r| r.changed), kept: of(|r| r.kept), category: of(|r| r.category) }
    }
}

/// Coordinate search from `start` for the highest score.
fn climb(
    start: &PartWeights,
    measure: &dyn Fn(&PartWeights) -> Reached,
    score: &dyn Fn(&Reached) -> f64,
) -> (PartWeights, Reached) {
    let mut best = (start.clone(), measure(start));
    // A gain that chance explains is not taken.
    let consider = |tried: PartWeights, best: &mut (PartWeights, Reached)| {
        let reached = measure(&tried);
        let is_better = score(&reached) > score(&best.1) + 1e-5;
        if is_better {
            *best = (tried, reached);
        }
        is_better
    };
    let parts = start.weight.len();
    if parts == 1 {
        for step in STEPS {
            consider(PartWeights { step, ..start.clone() }, &mut best);
        }
        return best;
    }
    for factor in FACTORS {
        for confidence in CONFIDENCES {
            consider(PartWeights { confidence, ..best.0.clone() }, &mut best);
        }
        // All factors of changed parts together first: alone they help too little to be seen.
        for factor in [factor, 1.0 / factor] {
            while {
                let mut tried = best.0.clone();
                tried.changed.iter_mut().for_each(|c| *c = (*c * factor).clamp(CHANGED[0], CHANGED[1]));
                consider(tried, &mut best)
            } {}
        }
        for at in 0..2 * parts {
            for factor in [factor, 1.0 / factor] {
                while {
                    let mut tried = best.0.clone();
                    let (value, [low, high]) = if at < parts {
                        (&mut tried.weight[at], WEIGHTS)
                    } else {
                        (&mut tried.changed[at - parts], CHANGED)
                    };
                    *value = (*value * factor).clamp(low, high);
                    consider(tried, &mut best)
                } {}
            }
        }
    }
    best
}

/// Questions of one lesson, with everything that does not depend on the weights.
pub struct Exam {
    parts: usize,
    questions: Vec<Question>,
}

struct Question {
    query: super::Query,
    /// By step tried: the distance of each part, by picture of the gallery. More than one of single parts alone.
    distances: Vec<Vec<f32>>,
    /// By picture of the gallery, for each of the gains; `None` where nothing is known of the query's category.
    relevance: [Option<Vec<f64>>; 3],
    /// The gain of the best order, for each of them.
    best: [f64; 3],
}

impl Exam {
    /// The questions that ADDE-M's protocol asks of the held-out pictures.
    ///
    /// # Errors
    /// When features cannot be read or the model fails.
    pub fn new(system: &dyn System, lesson: &Lesson<'_>) -> anyhow::Result<Self> {
        let numbers = |of: &Prepared, rows: &[usize]| -> Vec<Vec<Option<u16>>> {
            rows.iter().map(|row| label_numbers(&of.examples()[*row].labels, lesson.attributes)).collect()
        };
        let training_labels = numbers(lesson.training, &lesson.rows);
        let labels = numbers(lesson.held_out, &lesson.held_out_rows);
        let training = system.signatures(lesson.training)?.select(&lesson.rows);
        let signatures = system.signatures(lesson.held_out)?.select(&lesson.held_out_rows);
        let searcher = system.fit(Labelled {
            signatures: training,
            labels: &training_labels,
            attributes: lesson.attributes,
        })?;
        let trial = adde_trial(&labels, lesson.attributes, &[], (QUESTIONS, lesson.seed));
        let category = lesson.attributes.iter().position(|a| a.name == CATEGORY);
        let of = |asked: &Asked| {
            Question::new((searcher.as_ref(), &signatures), (&trial, asked), &labels, category)
        };
        Ok(Self { parts: signatures.parts().len(), questions: trial.one.par_iter().map(of).collect() })
    }

    /// Equal weights for the system's parts.
    #[must_use]
    pub fn equal(&self) -> PartWeights {
        PartWeights::equal(self.parts)
    }

    /// Mean gains of the first results.
    #[must_use]
    pub fn reached(&self, weights: &PartWeights) -> Reached {
        let gains: Vec<Gains> = self.questions.par_iter().map(|q| q.gains(weights)).collect();
        let mean = |of: fn(&Gains) -> Option<f64>| {
            let known: Vec<f64> = gains.iter().filter_map(of).collect();
            known.iter().sum::<f64>() / known.len().max(1) as f64
        };
        Reached {
            changed: mean(|g| Some(g.changed)),
            kept: mean(|g| Some(g.kept)),
            category: mean(|g| g.category),
        }
    }
}

impl Question {
    fn new(
        (searcher, signatures): (&dyn Searcher, &Signatures),
        (trial, asked): (&Trial, &Asked),
        labels: &[Vec<Option<u16>>],
        category: Option<usize>,
    ) -> Self {
        let own = signatures.row(asked.picture);
        let query = searcher.query(own, &asked.changes);
        let parts = query.parts.len();
        let steps: &[f32] = if parts == 1 { &STEPS } else { &[1.0] };
        let by_part = |step: &f32| -> Vec<f32> {
            let vector = PartWeights { step: *step, ..PartWeights::equal(parts) }.moved(own, &query);
            let of = |picture: &usize| {
                let row = signatures.row(*picture);
                let query = &query;
                let vector = &vector;
                (0..parts).map(move |part| {
                    let range = signatures.range(part);
                    let between = distance(&vector[range.clone()], &row[range]);
                    if query.squared { between * between } else { between }
                })
            };
            trial.gallery.iter().flat_map(of).collect()
        };
        let distances = steps.iter().map(by_part).collect();
        let relevance = relevances(trial, asked, labels, category);
        let best = [0, 1, 2].map(|at| relevance[at].as_ref().map_or(0.0, |r| best_gain(r, FIRST)));
        Self { query, distances, relevance, best }
    }

    fn gains(&self, weights: &PartWeights) -> Gains {
        let of_parts = weights.of(&self.query);
        let step = match self.distances.len() {
            1 => 0,
            _ => STEPS.iter().position(|step| *step == weights.step).unwrap_or(0),
        };
        let sums: Vec<f32> = self.distances[step]
            .chunks_exact(of_parts.len())
            .map(|row| row.iter().zip(&of_parts).map(|(d, w)| d * w).sum())
            .collect();
        let mut order: Vec<usize> = (0..sums.len()).collect();
        let nearer = |a: &usize, b: &usize| sums[*a].total_cmp(&sums[*b]);
        if FIRST < order.len() {
            order.select_nth_unstable_by(FIRST, nearer);
            order.truncate(FIRST);
        }
        order.sort_unstable_by(nearer);
        let gain = |at: usize| {
            let relevance = self.relevance[at].as_ref()?;
            Some(gain_of(order.iter().map(|p| relevance[*p])) / self.best[at]).filter(|g| g.is_finite())
        };
        Gains { all: 0.0, changed: gain(0).unwrap_or(1.0), kept: gain(1).unwrap_or(1.0), category: gain(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::{Query, QueryPart};

    /// Two pictures: the first has the wanted label and is far in the part that is kept, the second is the query's like.
    /// `kept` says what each keeps.
    fn exam(kept: [f64; 2]) -> Exam {
        let parts = vec![QueryPart { changed: true, confidence: 1.0 }, QueryPart::KEPT];
        let relevance = [Some(vec![1.0, 0.0]), Some(kept.to_vec()), None];
        let best = [0, 1, 2].map(|at: usize| relevance[at].as_ref().map_or(0.0, |r| best_gain(r, FIRST)));
        let query = Query { vector: Vec::new(), parts, squared: false };
        let distances = vec![vec![0.0, 1.5, 1.0, 0.0]];
        Exam { parts: 2, questions: vec![Question { query, distances, relevance, best }] }
    }

    /// The gain of one relevant picture in the second place.
    fn second() -> f64 {
        1.0 / 3f64.log2()
    }

    #[test]
    fn a_point_is_taken_that_does_not_buy_the_changed_label_with_the_kept_ones() {
        let front = learn_weights(&[exam([0.0, 1.0])]);
        let (equal, last) = (front.equal, &front.points[EMPHASES.len() - 1]);
        assert!((equal.changed - second()).abs() < 1e-12 && (equal.kept - 1.0).abs() < 1e-12, "{equal:?}");
        assert!((last.reached.changed - 1.0).abs() < 1e-12, "the front shows what emphasis could buy");
        assert!((last.reached.kept - second()).abs() < 1e-12);
        assert_eq!(front.taken.reached, equal, "and it is not bought");
    }

    #[test]
    fn what_costs_nothing_is_taken() {
        let front = learn_weights(&[exam([1.0, 1.0])]);
        assert!((front.taken.reached.changed - 1.0).abs() < 1e-12, "{front:?}");
        assert!((front.taken.reached.kept - 1.0).abs() < 1e-12);
        let weights = &front.taken.weights;
        assert!(weights.weight[0] * weights.changed[0] > 1.5 * weights.weight[1], "{weights:?}");
        assert!((weights.weight.iter().sum::<f32>() - 2.0).abs() < 1e-5, "of mean 1");
    }
}
