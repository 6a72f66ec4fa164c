//! One data set's experiments with several systems.

use super::interval::{Interval, Observation, bootstrap, bootstrap_difference};
use super::personalisation::{PersonalisationRow, personalisation, shoppers};
use super::protocol::{Asked, CATEGORY, Trial, adde_trial, seed_trials, special_attributes};
use super::ranking::{Gains, Outcome, Pictures, outcomes};
use crate::dataset::{DataSet, label_numbers};
use crate::systems::{Labelled, PartWeights, Search, System};
use crate::{Example, Prepared};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Results counted in curves.
const CURVE: usize = 50;
/// The paper's k.
const TOP: usize = 20;
/// ADDE-M's k.
const ADDE_TOP: usize = 30;
const ADDE_QUESTIONS: usize = 2000;
const SHOPPERS: usize = 400;
const PICKS: [usize; 5] = [1, 2, 3, 4, 5];
const SEED: u64 = 1;

/// A data set with its pictures prepared for one backbone.
#[derive(Clone, Copy)]
pub struct TestSet<'a> {
    /// The set.
    pub set: &'a dyn DataSet,
    /// Pictures that were learnt from ...
    pub training: &'a Prepared,
    /// ... and which of them are the set's own, as they are.
    pub rows: &'a [usize],
    /// Its test part.
    pub test: &'a Prepared,
}

/// A system that takes part, trained once or with several seeds.
pub struct Entrant<'a> {
    /// The system's name.
    pub name: String,
    /// What it reads.
    pub backbone: String,
    /// What the ways to weigh its parts are called; each is a row of the report.
    pub weightings: Vec<String>,
    /// One a seed.
    pub runs: Vec<EntrantRun<'a>>,
    /// Whether personalised search is measured, with the first seed's signatures.
    pub personal: bool,
}

impl<'a> Entrant<'a> {
    /// A system as it is shipped, with its own weights.
    #[must_use]
    pub fn shipped(name: &str, (system, weights): (&'a dyn System, &PartWeights), set: TestSet<'a>) -> Self {
        Self {
            name: name.to_owned(),
            backbone: "shipped".to_owned(),
            weightings: vec!["shipped".to_owned()],
            runs: vec![EntrantRun { system, weights: vec![weights.clone()], set }],
            personal: true,
        }
    }
}

/// An entrant trained with one seed.
pub struct EntrantRun<'a> {
    /// The system.
    pub system: &'a dyn System,
    /// By weighting.
    pub weights: Vec<PartWeights>,
    /// The pictures as the system's backbone gives them.
    pub set: TestSet<'a>,
}

/// Top-k accuracy for k = 1 to 50, and for k = 20 its interval. Seeds are pooled: a picture's questions to every seed are
/// one cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// Share of the questions with a hit among the first k.
    pub curve: Vec<f64>,
    /// For k = 20.
    pub top_20: Interval,
    /// For k = 20, seed by seed.
    pub top_20_by_seed: Vec<f64>,
    /// Mean place of the first hit.
    pub mean_rank: Interval,
    /// Normalised gain of the first 20, relevance being the share of the wanted labels.
    pub ndcg_20: Interval,
    /// By changed attribute, for k = 20 (Table 2).
    pub by_attribute: BTreeMap<String, Interval>,
}

/// What one system reaches by both protocols.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProtocolScores {
    /// The paper's: retrieval without a change (Figure 6 a).
    pub direct: Table,
    /// The paper's: one label changed (Figure 6 b, Table 2).
    pub one: Table,
    /// The paper's: two labels changed at once.
    pub two: Table,
    /// ADDE-M's: top-k accuracy.
    pub adde: Table,
    /// ADDE-M's: share of questions with a hit among the first 30.
    pub adde_top_30: Interval,
    /// ADDE-M's normalised gains of the first 30: all labels, changed labels, kept labels, and the query's category,
    /// which the protocol does not ask for.
    pub gains: [Interval; 4],
}

/// One system, weighed in one way, on one set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SystemScores {
    /// The system.
    pub name: String,
    /// What it reads.
    pub backbone: String,
    /// How its parts are weighed.
    pub weighting: String,
    /// What it reaches.
    pub scores: ProtocolScores,
    /// The row that the others are compared with minus this one, question by question: top-20 after one change, and by
    /// attribute.
    pub behind: BTreeMap<String, Interval>,
    /// Personalised search with its signatures, by number of picks.
    pub personalisation: Vec<PersonalisationRow>,
}

/// All systems on one set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetReport {
    /// The set.
    pub name: String,
    /// Pictures measured on.
    pub pictures: usize,
    /// Those labelled on every attribute that the paper's protocol manipulates.
    pub eligible: usize,
    /// Those attributes.
    pub attributes: Vec<String>,
    /// By system.
    pub systems: Vec<SystemScores>,
}

/// Runs both protocols with every entrant in every weighting; others are compared with the row that `reference` picks.
///
/// # Errors
/// When features cannot be read or a model fails, or no row is the reference.
pub fn evaluate_systems(
    entrants: &[Entrant<'_>],
    reference: impl Fn(&Entrant<'_>, &str) -> bool,
    mut done: impl FnMut(&str),
) -> anyhow::Result<SetReport> {
    let first = entrants.first().and_then(|entrant| entrant.runs.first()).map(|run| run.set);
    let Some(first) = first else { anyhow::bail!("no system to evaluate") };
    let attributes = first.set.attributes();
    let questions = Questions::new(&first);
    let mut rows: Vec<(SystemScores, Found)> = Vec::new();
    let mut compared_with = None;
    for entrant in entrants {
        let mut found = vec![Found::default(); entrant.weightings.len()];
        let mut personal = Vec::new();
        for (seed, run) in entrant.runs.iter().enumerate() {
            let signatures = run.system.signatures(run.set.test)?;
            let training = run.system.signatures(run.set.training)?.select(run.set.rows);
            let labels = &questions.training_labels;
            let searcher = run.system.fit(Labelled { signatures: training, labels, attributes })?;
            let pictures = Pictures { signatures, labels: &questions.labels, category: questions.category };
            for (found, weights) in found.iter_mut().zip(&run.weights) {
                found.ask(&Search { searcher: searcher.as_ref(), weights }, &pictures, &questions);
            }
            if seed == 0 && entrant.personal {
                personal = questions.personalisation(&pictures);
            }
        }
        for (weighting, found) in entrant.weightings.iter().zip(found) {
            if reference(entrant, weighting) {
                compared_with = Some(rows.len());
            }
            let scores = SystemScores {
                name: entrant.name.clone(),
                backbone: entrant.backbone.clone(),
                weighting: weighting.clone(),
                scores: found.scores(&questions.special, |a| attributes[a].name.clone()),
                behind: BTreeMap::new(),
                personalisation: std::mem::take(&mut personal),
            };
            rows.push((scores, found));
        }
        done(&entrant.name);
    }
    let Some(compared_with) = compared_with else { anyhow::bail!("no row to compare others with") };
    let behind: Vec<BTreeMap<String, Interval>> =
        rows.iter().map(|(_, found)| questions.behind(found, &rows[compared_with].1, attributes)).collect();
    Ok(SetReport {
        name: first.set.name().into(),
        pictures: questions.labels.len(),
        eligible: questions.eligible(),
        attributes: questions.special.iter().map(|a| attributes[*a].name.clone()).collect(),
        systems: rows
            .into_iter()
            .zip(behind)
            .map(|((scores, _), behind)| SystemScores { behind, ..scores })
            .collect(),
    })
}

/// What every entrant is asked.
struct Questions {
    labels: Vec<Vec<Option<u16>>>,
    training_labels: Vec<Vec<Option<u16>>>,
    special: Vec<usize>,
    category: Option<usize>,
    trials: Vec<Trial>,
    adde: Trial,
}

impl Questions {
    fn new(of: &TestSet<'_>) -> Self {
        let attributes = of.set.attributes();
        let numbers = |e: &Example| label_numbers(&e.labels, attributes);
        let labels: Vec<Vec<Option<u16>>> = of.test.examples().iter().map(numbers).collect();
        let special = special_attributes(attributes);
        Self {
            training_labels: of.rows.iter().map(|row| numbers(&of.training.examples()[*row])).collect(),
            category: attributes.iter().position(|a| a.name == CATEGORY),
            trials: seed_trials(&labels, &special, SEED),
            adde: adde_trial(&labels, attributes, of.set.manipulations(), (ADDE_QUESTIONS, SEED)),
            labels,
            special,
        }
    }

    fn eligible(&self) -> usize {
        self.labels.iter().filter(|l| self.special.iter().all(|a| l[*a].is_some())).count()
    }

    fn personalisation(&self, pictures: &Pictures<'_>) -> Vec<PersonalisationRow> {
        let shoppers = shoppers(&self.labels, &self.special, SHOPPERS, SEED);
        let row = |picks: &usize| {
            personalisation(&pictures.signatures, &self.labels, &self.special, (&shoppers, *picks))
        };
        PICKS.iter().map(row).collect()
    }

    fn behind(
        &self,
        found: &Found,
        reference: &Found,
        attributes: &[lapel_heads::Attribute],
    ) -> BTreeMap<String, Interval> {
        let name = |a: &usize| attributes[*a].name.clone();
        let of = |attribute: Option<usize>| difference(&reference.one, &found.one, attribute);
        let by_attribute = self.special.iter().map(|a| (name(a), of(Some(*a))));
        by_attribute.chain([("all".to_owned(), of(None))]).collect()
    }
}

/// Answers to every question, seed after seed.
#[derive(Clone, Default)]
struct Found {
    seeds: usize,
    direct: Vec<Outcome>,
    one: Vec<Outcome>,
    two: Vec<Outcome>,
    adde: Vec<Outcome>,
}

impl Found {
    fn ask(&mut self, search: &Search<'_>, pictures: &Pictures<'_>, questions: &Questions) {
        for trial in &questions.trials {
            let of = |asked: &[Asked]| outcomes(search, pictures, trial, (asked, TOP));
            self.direct.extend(of(&trial.direct));
            self.one.extend(of(&trial.one));
            self.two.extend(of(&trial.two));
        }
        let adde = &questions.adde;
        self.adde.extend(outcomes(search, pictures, adde, (&adde.one, ADDE_TOP)));
        self.seeds += 1;
    }

    fn scores(&self, special: &[usize], name: impl Fn(usize) -> String) -> ProtocolScores {
        let share = |outcomes: &[Outcome], k: usize| {
            outcomes.iter().filter(|o| o.hit(k)).count() as f64 / outcomes.len().max(1) as f64
        };
        let table = |outcomes: &[Outcome]| {
            let by = |a: &usize| (name(*a), bootstrap(&hits(outcomes, Some(*a), TOP)));
            let seeds = outcomes.chunks((outcomes.len() / self.seeds.max(1)).max(1));
            Table {
                curve: (1..=CURVE).map(|k| share(outcomes, k)).collect(),
                top_20: bootstrap(&hits(outcomes, None, TOP)),
                top_20_by_seed: seeds.map(|of_seed| share(of_seed, TOP)).collect(),
                mean_rank: bootstrap(&observed(outcomes, |o| Some(o.rank as f64))),
                ndcg_20: bootstrap(&observed(outcomes, |o| Some(o.gains.all))),
                by_attribute: special.iter().map(by).collect(),
            }
        };
        let gain = |part: fn(&Gains) -> Option<f64>| bootstrap(&observed(&self.adde, |o| part(&o.gains)));
        ProtocolScores {
            direct: table(&self.direct),
            one: table(&self.one),
            two: table(&self.two),
            adde: table(&self.adde),
            adde_top_30: bootstrap(&hits(&self.adde, None, ADDE_TOP)),
            gains: [
                gain(|g| Some(g.all)),
                gain(|g| Some(g.changed)),
                gain(|g| Some(g.kept)),
                gain(|g| g.category),
            ],
        }
    }
}

/// What is known of each question's answer.
fn observed(outcomes: &[Outcome], of: impl Fn(&Outcome) -> Option<f64>) -> Vec<Observation> {
    outcomes.iter().filter_map(|o| Some(Observation { cluster: o.picture, value: of(o)? })).collect()
}

/// Hits among the first k, of the questions that change `attribute`, or of all.
fn hits(outcomes: &[Outcome], attribute: Option<usize>, k: usize) -> Vec<Observation> {
    let counted = outcomes.iter().filter(|o| attribute.is_none_or(|a| o.changed.contains(&a)));
    counted.map(|o| Observation { cluster: o.picture, value: f64::from(u8::from(o.hit(k))) }).collect()
}

fn difference(a: &[Outcome], b: &[Outcome], attribute: Option<usize>) -> Interval {
    bootstrap_difference(&hits(a, attribute, TOP), &hits(b, attribute, TOP))
}
