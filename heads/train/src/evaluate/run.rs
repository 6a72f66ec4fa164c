//! One data set's experiments with several systems.

use super::interval::{Interval, Observation, bootstrap, bootstrap_difference};
use super::personalisation::{PersonalisationRow, personalisation, shoppers};
use super::protocol::{Asked, Trial, adde_trial, seed_trials, special_attributes};
use super::ranking::{Gains, Outcome, Pictures, gains, outcomes};
use crate::dataset::{DataSet, label_numbers};
use crate::systems::{Labelled, System};
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

/// Top-k accuracy for k = 1 to 50, and for k = 20 its interval.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// Share of the questions with a hit among the first k.
    pub curve: Vec<f64>,
    /// For k = 20.
    pub top_20: Interval,
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
    /// ADDE-M's normalised gains of the first 30: all labels, changed labels, kept labels.
    pub gains: [Interval; 3],
}

/// One system on one set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SystemScores {
    /// The system.
    pub name: String,
    /// What it reaches.
    pub scores: ProtocolScores,
    /// Last system of the list minus this one, question by question: top-20 after one change, and by attribute.
    pub behind_last: BTreeMap<String, Interval>,
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

/// Runs both protocols with every system; each names the prepared pictures of the backbone that it reads.
///
/// Personalisation is measured for the systems whose number is in `personal`.
///
/// # Errors
/// When features cannot be read or a model fails.
pub fn evaluate_systems(
    systems: &[(&dyn System, TestSet<'_>)],
    personal: &[usize],
    mut done: impl FnMut(&str),
) -> anyhow::Result<SetReport> {
    let Some((_, first)) = systems.first() else { anyhow::bail!("no system to evaluate") };
    let attributes = first.set.attributes();
    let numbers = |e: &Example| label_numbers(&e.labels, attributes);
    let labels: Vec<Vec<Option<u16>>> = first.test.examples().iter().map(numbers).collect();
    let training_labels: Vec<Vec<Option<u16>>> =
        first.rows.iter().map(|row| numbers(&first.training.examples()[*row])).collect();
    let special = special_attributes(attributes);
    let trials = seed_trials(&labels, &special, SEED);
    let adde = adde_trial(&labels, attributes, first.set.manipulations(), (ADDE_QUESTIONS, SEED));
    let shoppers = shoppers(&labels, &special, SHOPPERS, SEED);
    let mut found: Vec<(String, Found)> = Vec::new();
    let mut rows = Vec::new();
    for (at, (system, set)) in systems.iter().enumerate() {
        let signatures = system.signatures(set.test)?;
        let training = system.signatures(set.training)?.select(set.rows);
        let searcher = system.fit(Labelled { signatures: training, labels: &training_labels, attributes })?;
        let penalties = searcher.penalties(&signatures);
        let pictures = Pictures { signatures, labels: &labels, penalties };
        let of = |part: fn(&Trial) -> &Vec<Asked>| -> Vec<Outcome> {
            let one = |t: &Trial| outcomes(searcher.as_ref(), &pictures, t, part(t));
            trials.iter().flat_map(one).collect()
        };
        let outcome = Found {
            direct: of(|t| &t.direct),
            one: of(|t| &t.one),
            two: of(|t| &t.two),
            adde: outcomes(searcher.as_ref(), &pictures, &adde, &adde.one),
            gains: gains(searcher.as_ref(), &pictures, &adde, (&adde.one, ADDE_TOP)),
        };
        let rows_of =
            |picks: &usize| personalisation(&pictures.signatures, &labels, &special, (&shoppers, *picks));
        rows.push(if personal.contains(&at) { PICKS.iter().map(rows_of).collect() } else { Vec::new() });
        found.push((system.name().to_owned(), outcome));
        done(system.name());
    }
    let name = |a: usize| attributes[a].name.clone();
    let behind = |f: &Found| {
        let last = &found[found.len() - 1].1;
        let mut rows = BTreeMap::from([("all".to_owned(), difference(&last.one, &f.one, None))]);
        rows.extend(special.iter().map(|a| (name(*a), difference(&last.one, &f.one, Some(*a)))));
        rows
    };
    let systems = found.iter().zip(rows).map(|((system, f), personalisation)| SystemScores {
        name: system.clone(),
        scores: f.scores(&special, name),
        behind_last: behind(f),
        personalisation,
    });
    Ok(SetReport {
        name: first.set.name().into(),
        pictures: labels.len(),
        eligible: labels.iter().filter(|l| special.iter().all(|a| l[*a].is_some())).count(),
        attributes: special.iter().map(|a| name(*a)).collect(),
        systems: systems.collect(),
    })
}

struct Found {
    direct: Vec<Outcome>,
    one: Vec<Outcome>,
    two: Vec<Outcome>,
    adde: Vec<Outcome>,
    gains: Vec<Gains>,
}

impl Found {
    fn scores(&self, special: &[usize], name: impl Fn(usize) -> String) -> ProtocolScores {
        let table = |outcomes: &[Outcome]| {
            let share =
                |k: usize| outcomes.iter().filter(|o| o.hit(k)).count() as f64 / outcomes.len().max(1) as f64;
            let by = |a: &usize| (name(*a), bootstrap(&hits(outcomes, Some(*a), TOP)));
            Table {
                curve: (1..=CURVE).map(share).collect(),
                top_20: bootstrap(&hits(outcomes, None, TOP)),
                by_attribute: special.iter().map(by).collect(),
            }
        };
        let gain = |part: fn(&Gains) -> f64| {
            let of = |(o, g): (&Outcome, &Gains)| Observation { cluster: o.picture, value: part(g) };
            bootstrap(&self.adde.iter().zip(&self.gains).map(of).collect::<Vec<_>>())
        };
        ProtocolScores {
            direct: table(&self.direct),
            one: table(&self.one),
            two: table(&self.two),
            adde: table(&self.adde),
            adde_top_30: bootstrap(&hits(&self.adde, None, ADDE_TOP)),
            gains: [gain(|g| g.all), gain(|g| g.changed), gain(|g| g.kept)],
        }
    }
}

/// Hits among the first k, of the questions that change `attribute`, or of all.
fn hits(outcomes: &[Outcome], attribute: Option<usize>, k: usize) -> Vec<Observation> {
    let counted = outcomes.iter().filter(|o| attribute.is_none_or(|a| o.changed.contains(&a)));
    counted.map(|o| Observation { cluster: o.picture, value: f64::from(u8::from(o.hit(k))) }).collect()
}

fn difference(a: &[Outcome], b: &[Outcome], attribute: Option<usize>) -> Interval {
    bootstrap_difference(&hits(a, attribute, TOP), &hits(b, attribute, TOP))
}
