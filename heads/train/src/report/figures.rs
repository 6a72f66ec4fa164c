//! The picture grids of the report (Figures 4, 7 and 8), and confusions of labels.

use super::picture::{small, with_parts};
use crate::dataset::label_numbers;
use crate::evaluate::{
    Asked, Measured, Pictures, TestSet, personalised_example, ranked, seed_trials, shoppers,
    special_attributes,
};
use crate::systems::{Labelled, PartWeights, Search, System};
use crate::{Prepared, parts_case};
use anyhow::Context;
use lapel_heads::{Attribute, Head, PartsCase};
use std::collections::BTreeMap;
use std::sync::Arc;

const SEED: u64 = 3;
/// Questions shown for each attribute.
const EACH: usize = 2;
const SHOWN: usize = 6;
/// Side of the canvas that a shown picture is made from.
const SHOWN_SIDE: usize = 224;
const SHOPPERS: usize = 4;

/// One picture of a grid.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Address of the inline picture.
    pub picture: String,
    /// What stands below it.
    pub caption: String,
    /// A hit, or a result that pleases.
    pub good: bool,
    /// Picked by the shopper.
    pub picked: bool,
}

/// A row: the query, what is asked, the answers.
#[derive(Clone, Debug)]
pub struct Row {
    /// The query.
    pub query: Cell,
    /// What is asked.
    pub asked: String,
    /// The answers, best first.
    pub answers: Vec<Cell>,
}

/// The grids of one data set.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The set.
    pub name: String,
    /// Figure 7: manipulations.
    pub manipulations: Vec<Row>,
    /// Figure 8: a shopper's picks, and the search that follows.
    pub personalised: Vec<Row>,
}

/// Overlays of part extraction.
#[derive(Clone, Debug)]
pub struct PartsSheet {
    /// Upper-body garments in the order of the set, with what was found.
    pub cells: Vec<Cell>,
}

impl PartsSheet {
    /// The first `count` pictures whose labels say that they show an upper-body garment.
    ///
    /// # Errors
    /// When a canvas cannot be read, or there are none because the backbone gives vectors.
    pub fn new(of: &Prepared, count: usize) -> anyhow::Result<Self> {
        let canvases = of.canvases().context("parts are found for backbones with a map")?;
        let is_top = |p: &usize| {
            matches!(parts_case(&of.examples()[*p].labels), Some(PartsCase::Sleeved | PartsCase::Sleeveless))
        };
        let cell = |(number, p): (usize, usize)| {
            let parts = canvases.parts(p, of.cases()[p]);
            let found = if parts.case == PartsCase::LowerBody {
                "taken for lower body".to_owned()
            } else {
                format!("{}{}", parts.case.name(), if parts.segmented { "" } else { ", not segmented" })
            };
            Ok(Cell {
                picture: with_parts(&canvases.canvas(p)?, &parts),
                caption: format!("{}: {found}", number + 1),
                good: parts.segmented && parts_case(&of.examples()[p].labels) == Some(parts.case),
                picked: false,
            })
        };
        let tops = (0..of.examples().len()).filter(is_top).take(count);
        Ok(Self { cells: tops.enumerate().map(cell).collect::<anyhow::Result<_>>()? })
    }
}

/// Draws the grids with one system.
///
/// # Errors
/// When features or canvases cannot be read or the model fails.
pub fn figures(system: &dyn System, weights: &PartWeights, set: &TestSet<'_>) -> anyhow::Result<Figures> {
    let attributes = set.set.attributes();
    let numbers = |p: &Prepared| -> Vec<Vec<Option<u16>>> {
        p.examples().iter().map(|e| label_numbers(&e.labels, attributes)).collect()
    };
    let labels = numbers(set.test);
    let all_training = numbers(set.training);
    let training_labels: Vec<Vec<Option<u16>>> = set.rows.iter().map(|r| all_training[*r].clone()).collect();
    let signatures = system.signatures(set.test)?;
    let training = system.signatures(set.training)?.select(set.rows);
    let searcher = system.fit(Labelled { signatures: training, labels: &training_labels, attributes })?;
    let search = Search { searcher: searcher.as_ref(), weights };
    let pictures = Pictures { signatures, labels: &labels, category: None };
    let special = special_attributes(attributes);
    let trials = seed_trials(&labels, &special, SEED);
    let text = |p: usize| -> String {
        let label =
            |a: &usize| labels[p][*a].map_or("?".into(), |l| attributes[*a].labels[usize::from(l)].clone());
        special.iter().map(label).collect::<Vec<_>>().join(", ")
    };
    let cell = |p: usize, good: bool, picked: bool| -> anyhow::Result<Cell> {
        let canvas = set.test.examples()[p].photo()?.fit(SHOWN_SIDE);
        Ok(Cell { picture: small(&canvas), caption: text(p), good, picked })
    };
    let mut manipulations = Vec::new();
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    for trial in &trials {
        let wanted = |asked: &&Asked| {
            let count = seen.entry(asked.changes[0].attribute).or_default();
            *count += 1;
            *count <= EACH
        };
        let chosen: Vec<&Asked> = trial.one.iter().filter(wanted).collect();
        for asked in chosen {
            let change = asked.changes[0];
            let name = |l: u16| attributes[change.attribute].labels[usize::from(l)].as_str();
            let own = labels[asked.picture][change.attribute].map_or("?", name);
            let hit = |p: usize| special.iter().zip(&asked.wanted).all(|(a, w)| labels[p][*a] == *w);
            let answers = ranked(&search, &pictures, trial, asked);
            manipulations.push(Row {
                query: cell(asked.picture, false, false)?,
                asked: format!("{}: {own} → {}", attributes[change.attribute].name, name(change.to)),
                answers: answers
                    .iter()
                    .take(SHOWN)
                    .map(|p| cell(*p, hit(*p), false))
                    .collect::<anyhow::Result<_>>()?,
            });
        }
    }
    let personalised = personalised_rows(&pictures, (attributes, &special), &cell)?;
    Ok(Figures { name: set.set.name().into(), manipulations, personalised })
}

/// Two rows a shopper: what uniform weights show with the picks, and the search that follows.
fn personalised_rows(
    pictures: &Pictures<'_>,
    (attributes, special): (&[Attribute], &[usize]),
    cell: &dyn Fn(usize, bool, bool) -> anyhow::Result<Cell>,
) -> anyhow::Result<Vec<Row>> {
    let labels = pictures.labels;
    let mut personalised = Vec::new();
    for shopper in shoppers(labels, special, SHOPPERS, SEED) {
        let cares: Vec<&str> = (0..special.len())
            .filter(|at| shopper.cares[*at] > 0.0)
            .map(|at| attributes[special[at]].name.as_str())
            .collect();
        let example = personalised_example(&pictures.signatures, labels, special, &shopper);
        let pleases = |p: usize| {
            (0..special.len()).all(|at| {
                shopper.cares[at] == 0.0 || labels[p][special[at]] == labels[shopper.picture][special[at]]
            })
        };
        for (asked, results, picks) in [
            (
                format!("cares for {}; picks framed blue", cares.join(" and ")),
                &example.shown,
                &example.picks[..],
            ),
            ("next search with the weights of Eq. 5".to_owned(), &example.next, &[][..]),
        ] {
            let cells = results.iter().take(SHOWN).map(|p| cell(*p, pleases(*p), picks.contains(p)));
            personalised.push(Row {
                query: cell(shopper.picture, false, false)?,
                asked,
                answers: cells.collect::<anyhow::Result<_>>()?,
            });
        }
    }
    Ok(personalised)
}

/// Which label is told how often for which.
#[derive(Clone, Debug)]
pub struct Confusion {
    /// The attribute.
    pub attribute: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// `counts[label][told]`.
    pub counts: Vec<Vec<usize>>,
}

/// Confusions of every attribute of every head.
#[must_use]
pub fn confusions(measured: &[Measured], heads: &[Arc<Head>]) -> Vec<Confusion> {
    let mut all = Vec::new();
    for (at, head) in heads.iter().enumerate() {
        for attribute in &head.manifest().attributes {
            let labels = attribute.labels.clone();
            let mut counts = vec![vec![0; labels.len()]; labels.len()];
            for picture in measured {
                let known =
                    picture.labels.get(&attribute.name).and_then(|l| labels.iter().position(|x| x == l));
                let told = picture.signatures[at].as_ref().and_then(|s| head.predict(attribute, s.values()));
                let told = told.and_then(|t| labels.iter().position(|x| *x == t.label));
                if let (Some(known), Some(told)) = (known, told) {
                    counts[known][told] += 1;
                }
            }
            all.push(Confusion { attribute: attribute.name.clone(), labels, counts });
        }
    }
    all
}
