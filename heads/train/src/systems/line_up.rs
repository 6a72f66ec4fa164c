//! The systems that are compared, trained side by side.

use super::{Adde, Amnet, Classic, Edit, HeadSystem, Lesson, SearchRules, System, learn_rules};
use crate::dataset::label_numbers;
use crate::{HeadData, HeadRecipe, Input, Prepared, Ranking, Schedule, Trained, train_head};
use anyhow::Context;
use lapel_heads::{Attribute, Head, Region};
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// The heads of Lapel: as Proposed, with the cloth's own channels, and the whole map beside each region.
#[must_use]
pub fn lapel_recipes(attributes: &[&str]) -> Vec<HeadRecipe> {
    let mut recipes = HeadRecipe::proposed(attributes);
    for recipe in &mut recipes {
        recipe.input = Input::All;
        recipe.context = recipe.region != Region::Whole;
    }
    recipes
}

/// What a system shows in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// One of the systems of section 7.
    Compared,
    /// A step from Proposed to Lapel.
    Ablation,
}

/// One system of the comparison.
pub struct Member {
    /// The system.
    pub system: Box<dyn System>,
    /// Whether it reads the fine-tuned backbone's features.
    pub fine_tuned: bool,
    /// Where it is shown.
    pub group: Group,
}

/// All systems, trained.
pub struct TrainedLineUp {
    /// The systems, Lapel last.
    pub members: Vec<Member>,
    /// How each head's training went.
    pub traces: Vec<Trace>,
    /// Classic's network.
    pub classic: Head,
    /// Lapel's heads.
    pub lapel: Arc<Vec<Head>>,
    /// Lapel's weights.
    pub rules: SearchRules,
}

/// How training is told of: a recipe's system and head, epoch, epochs, loss.
pub type Progresses<'a> = &'a (dyn Fn(&str, &str, usize, usize, f32) + Sync);

/// Everything that the systems are trained on.
pub struct LineUp<'a> {
    /// The training examples with the features of the backbone as ImageNet left it.
    pub plain: &'a Prepared,
    /// The same with the fine-tuned backbone's.
    pub tuned: &'a Prepared,
    /// The backbones' fingerprints.
    pub fingerprints: [&'a str; 2],
    /// Which examples choose and are not learnt from.
    pub validation: &'a [bool],
    /// The attributes of the training examples.
    pub attributes: &'a [Attribute],
    /// Epochs, rates and the like.
    pub schedule: &'a Schedule,
    /// Folder of the checkpoints.
    pub checkpoints: &'a Path,
    /// Held-out pictures with the fine-tuned backbone's features, by which Lapel's weights are chosen.
    pub lessons: &'a [Lesson<'a>],
    /// Told after each epoch.
    pub told: Progresses<'a>,
}

/// Loss and validation accuracy by epoch, of one head of one system.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// The system.
    pub system: String,
    /// The head.
    pub head: String,
    /// By epoch: mean loss, share of the validation labels told right.
    pub epochs: Vec<[f32; 2]>,
}

impl LineUp<'_> {
    /// Trains all systems, Lapel last; what was trained before is taken from its checkpoints.
    ///
    /// # Errors
    /// When training fails.
    pub fn train(&self) -> anyhow::Result<TrainedLineUp> {
        let names: Vec<&str> = self.attributes.iter().map(|a| a.name.as_str()).collect();
        let proposed = HeadRecipe::proposed(&names);
        let with = |change: &dyn Fn(&mut HeadRecipe)| -> Vec<HeadRecipe> {
            let mut recipes = proposed.clone();
            recipes.iter_mut().for_each(change);
            recipes
        };
        let whole = Region::Whole;
        let mut traces = Vec::new();
        let mut heads =
            |system: &str, recipes: &[HeadRecipe], tuned: bool| -> anyhow::Result<Arc<Vec<Head>>> {
                let trained = self.heads(system, recipes, tuned)?;
                for (recipe, trained) in recipes.iter().zip(&trained) {
                    let (system, head) = (system.to_owned(), recipe.name.clone());
                    traces.push(Trace { system, head, epochs: trained.trace.clone() });
                }
                Ok(Arc::new(trained.iter().map(Trained::head).collect::<Result<_, _>>()?))
            };
        let classic = HeadRecipe {
            hidden: 256,
            dim: 128,
            ranking: Ranking::Off,
            ..HeadRecipe::joint("classic", &names)
        };
        let classic = || -> anyhow::Result<Head> {
            let trained = self.heads("Classic", std::slice::from_ref(&classic), false)?;
            Ok(trained[0].head()?)
        };
        let plain_rules = SearchRules::default();
        let unranked = heads(
            "without ranking and parts",
            &with(&|r| (r.region, r.ranking) = (whole, Ranking::Off)),
            false,
        )?;
        let no_parts = heads("without parts", &with(&|r| r.region = whole), false)?;
        let paper = heads("Proposed", &proposed, false)?;
        let cloth = heads("cloth", &with(&|r| r.input = Input::All), false)?;
        let context = heads("context", &with(&|r| r.context = r.region != whole), false)?;
        let hard = heads("hard triplets", &with(&|r| r.ranking = Ranking::BatchHard), false)?;
        let tuned = heads("fine-tuned", &proposed, true)?;
        let no_parts_tuned =
            heads("fine-tuned, no parts", &with(&|r| (r.region, r.input) = (whole, Input::All)), true)?;
        let lapel = heads("Lapel", &lapel_recipes(&names), true)?;
        let labels: Vec<Vec<Option<u16>>> =
            self.plain.examples().iter().map(|e| label_numbers(&e.labels, self.attributes)).collect();
        let rows: Vec<usize> = (0..labels.len()).filter(|e| !self.validation[*e]).collect();
        let manipulations = (self.attributes, rows.as_slice(), self.schedule.seed);
        let amnet = Amnet::train(classic()?, self.plain, &labels, manipulations)?;
        let adde = Adde::train(no_parts.clone(), self.plain, &labels, manipulations)?;
        let system = |name: &str, heads: &Arc<Vec<Head>>, rules: &SearchRules| -> Box<dyn System> {
            Box::new(HeadSystem::new(name, heads.clone(), rules.clone()))
        };
        let member = |system, fine_tuned, group| Member { system, fine_tuned, group };
        use Group::{Ablation, Compared};
        let residual = SearchRules { edit: Edit::Residual, ..plain_rules.clone() };
        let conditioned = SearchRules { edit: Edit::Conditioned, ..plain_rules.clone() };
        let squared = SearchRules { squared: true, ..plain_rules.clone() };
        let hubness = SearchRules { hubness: 0.5, ..plain_rules.clone() };
        let changed = SearchRules { changed: 1.5, ..plain_rules.clone() };
        let learnt =
            learn_rules(&HeadSystem::new("Lapel", lapel.clone(), plain_rules.clone()), self.lessons)?;
        let tuned_rules =
            learn_rules(&HeadSystem::new("", tuned.clone(), plain_rules.clone()), self.lessons)?;
        let members = vec![
            member(Box::new(Classic::new(classic()?)), false, Compared),
            member(system("without ranking and parts", &unranked, &plain_rules), false, Compared),
            member(system("without parts", &no_parts, &plain_rules), false, Compared),
            member(Box::new(amnet), false, Compared),
            member(Box::new(adde), false, Compared),
            member(system("Proposed", &paper, &plain_rules), false, Compared),
            member(system("Proposed + cloth channels", &cloth, &plain_rules), false, Ablation),
            member(system("Proposed + whole map beside", &context, &plain_rules), false, Ablation),
            member(system("Proposed + hard triplets", &hard, &plain_rules), false, Ablation),
            member(system("Proposed + fine-tuning", &tuned, &plain_rules), true, Ablation),
            member(system("... + learned weights", &tuned, &tuned_rules), true, Ablation),
            member(system("Proposed + residual", &paper, &residual), false, Ablation),
            member(system("Proposed + conditioned prototypes", &paper, &conditioned), false, Ablation),
            member(system("Proposed + changed head x 1.5", &paper, &changed), false, Ablation),
            member(system("Proposed + squared distances", &paper, &squared), false, Ablation),
            member(system("Proposed + hubness correction", &paper, &hubness), false, Ablation),
            member(
                system("Lapel without parts, equal weights", &no_parts_tuned, &plain_rules),
                true,
                Ablation,
            ),
            member(system("Lapel, equal weights", &lapel, &plain_rules), true, Ablation),
            member(system("Lapel", &lapel, &learnt), true, Compared),
        ];
        Ok(TrainedLineUp { members, traces, classic: classic()?, lapel, rules: learnt })
    }

    fn heads(&self, system: &str, recipes: &[HeadRecipe], tuned: bool) -> anyhow::Result<Vec<Trained>> {
        let prepared = if tuned { self.tuned } else { self.plain };
        for recipe in recipes {
            prepared.inputs(recipe.region, recipe.context)?;
        }
        let train = |recipe: &HeadRecipe| -> anyhow::Result<Trained> {
            let pooled = prepared.inputs(recipe.region, recipe.context)?;
            let data =
                HeadData { examples: prepared.examples(), pooled: &pooled, validation: self.validation };
            let fingerprint = self.fingerprints[usize::from(tuned)];
            let trained = train_head(recipe, data, fingerprint, (self.schedule, self.checkpoints), |p| {
                (self.told)(system, &recipe.name, p.epoch, p.epochs, p.loss);
            });
            trained.with_context(|| format!("training {} of {system}", recipe.name))
        };
        recipes.par_iter().map(train).collect()
    }
}
