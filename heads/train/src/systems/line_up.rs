//! The systems that are compared, trained side by side: each on every backbone, with every seed.

use super::manipulator::ManipulatorSettings;
use super::{Adde, Amnet, Classic, Exam, Front, HeadSystem, Lesson, System, learn_weights};
use crate::dataset::label_numbers;
use crate::probes::{Draw, Pictures, Scaling, fit_probe};
use crate::{HeadData, HeadRecipe, Input, Prepared, Ranking, Schedule, Trained, train_head};
use anyhow::Context;
use lapel_heads::{Attribute, Backbone, Head, Region};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Dropout and weight decay that each head chooses from.
const HEAD_SETTINGS: [(f32, f64); 4] = [(0.2, 5e-4), (0.5, 5e-4), (0.2, 5e-3), (0.5, 5e-3)];
/// Lapel's signatures are probabilities to this power, as in the shipped bundles, where it is chosen with the weights.
const EXPONENT: f32 = 1.0;
/// Rate and margin that each manipulator chooses from.
const MANIPULATOR_SETTINGS: [(f64, f64); 4] = [(0.02, 0.2), (0.1, 0.2), (0.02, 0.5), (0.1, 0.5)];

/// One system of the comparison, on one backbone.
pub struct Member {
    /// What reports call it.
    pub name: String,
    /// The number of its backbone.
    pub side: usize,
    /// One a seed.
    pub systems: Vec<Box<dyn System>>,
    /// What can be reached by weights of its parts, and what was taken: one a seed.
    pub fronts: Vec<Front>,
}

/// All systems, trained.
pub struct TrainedLineUp {
    /// The systems of each backbone, Lapel last.
    pub members: Vec<Member>,
    /// How each head's training went, of the first seed.
    pub traces: Vec<Trace>,
}

/// How training is told of: what is trained.
pub type Progresses<'a> = &'a (dyn Fn(&str) + Sync);

/// A backbone with what it gives for the training pictures.
pub struct Side<'a> {
    /// What reports call it.
    pub name: &'a str,
    /// The backbone.
    pub backbone: &'a dyn Backbone,
    /// The training pictures.
    pub training: &'a Prepared,
    /// By which their vectors are scaled.
    pub scaling: &'a Scaling,
}

/// Everything that the systems are trained on.
pub struct LineUp<'a> {
    /// The backbones.
    pub sides: &'a [Side<'a>],
    /// Which training pictures choose, and are not learnt from.
    pub set_aside: &'a [bool],
    /// The attributes of the training pictures.
    pub attributes: &'a [Attribute],
    /// Those of them that probes can learn, with labels that enough pictures have.
    pub learnable: &'a [Attribute],
    /// Epochs, rates and the like.
    pub schedule: &'a Schedule,
    /// Steps of systems that learn to manipulate.
    pub steps: usize,
    /// One run of everything for each.
    pub seeds: &'a [u64],
    /// Folder of the checkpoints.
    pub checkpoints: &'a Path,
    /// Told before each step.
    pub told: Progresses<'a>,
}

/// Loss and accuracy on the pictures set aside by epoch, of one head of one system.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// The system.
    pub system: String,
    /// The head.
    pub head: String,
    /// By epoch: mean loss, share of the labels told right.
    pub epochs: Vec<[f32; 2]>,
}

/// The settings that were chosen with the first seed.
#[derive(Default)]
struct Chosen {
    /// By recipe.
    heads: HashMap<String, usize>,
    amnet: Option<usize>,
    adde: Option<usize>,
}

/// Systems of one seed on one backbone, by name.
type OneRun = Vec<(&'static str, Box<dyn System>)>;

impl LineUp<'_> {
    /// Trains all systems, Lapel last; what was trained before is taken from its checkpoints.
    ///
    /// # Errors
    /// When training fails.
    pub fn train(&self) -> anyhow::Result<TrainedLineUp> {
        let mut line_up = TrainedLineUp { members: Vec::new(), traces: Vec::new() };
        for (side, of) in self.sides.iter().enumerate() {
            (self.told)(&format!("{}: probes", of.name));
            let probes = Arc::new(self.probes(of)?);
            let first = line_up.members.len();
            let mut chosen = Chosen::default();
            for seed in self.seeds {
                let traces = if *seed == self.seeds[0] { Some(&mut line_up.traces) } else { None };
                let mut trained = self.of_heads(of, *seed, (&mut chosen, traces))?;
                trained.push(("Lapel", Box::new(HeadSystem::new("Lapel", probes.clone()))));
                for (at, (name, system)) in trained.into_iter().enumerate() {
                    if line_up.members.len() <= first + at {
                        let (systems, fronts) = (Vec::new(), Vec::new());
                        line_up.members.push(Member { name: name.to_owned(), side, systems, fronts });
                    }
                    (self.told)(&format!("{}: weights of {name}, seed {seed}", of.name));
                    let exam = Exam::new(system.as_ref(), &self.lesson(of, *seed))?;
                    line_up.members[first + at].fronts.push(learn_weights(&[exam]));
                    line_up.members[first + at].systems.push(system);
                }
            }
        }
        Ok(line_up)
    }

    /// All systems of one seed but Lapel.
    fn of_heads(
        &self,
        side: &Side<'_>,
        seed: u64,
        (chosen, mut traces): (&mut Chosen, Option<&mut Vec<Trace>>),
    ) -> anyhow::Result<OneRun> {
        let names: Vec<&str> = self.attributes.iter().map(|a| a.name.as_str()).collect();
        let proposed = HeadRecipe::proposed(&names);
        let with = |change: &dyn Fn(&mut HeadRecipe)| -> Vec<HeadRecipe> {
            let mut recipes = proposed.clone();
            recipes.iter_mut().for_each(|recipe| {
                recipe.input = Input::All;
                change(recipe);
            });
            recipes
        };
        let mut heads = |system: &str, recipes: &[HeadRecipe]| -> anyhow::Result<Arc<Vec<Head>>> {
            (self.told)(&format!("{}: heads of {system}, seed {seed}", side.name));
            let trained = self.heads((side, seed), recipes, &mut chosen.heads)?;
            if let Some(traces) = &mut traces {
                traces.extend(recipes.iter().zip(&trained).map(|(recipe, trained)| Trace {
                    system: format!("{system}, {}", side.name),
                    head: recipe.name.clone(),
                    epochs: trained.trace.clone(),
                }));
            }
            Ok(Arc::new(trained.iter().map(Trained::head).collect::<Result<_, _>>()?))
        };
        let whole = Region::Whole;
        let classic = HeadRecipe {
            hidden: 256,
            dim: 128,
            ranking: Ranking::Off,
            input: Input::All,
            ..HeadRecipe::joint("classic", &names)
        };
        let classic = heads("Classic", &[classic])?;
        let unranked = with(&|r| (r.region, r.ranking) = (whole, Ranking::Off));
        let unranked = heads("without ranking and parts", &unranked)?;
        let no_parts = heads("without parts", &with(&|r| r.region = whole))?;
        let paper = heads("Proposed", &with(&|_| ()))?;
        let all = heads("Proposed + all vectors", &with(&|r| r.context = true))?;
        let labels: Vec<Vec<Option<u16>>> =
            side.training.examples().iter().map(|e| label_numbers(&e.labels, self.attributes)).collect();
        let rows: Vec<usize> = (0..labels.len()).filter(|e| !self.set_aside[*e]).collect();
        let of = (self.attributes, rows.as_slice());
        (self.told)(&format!("{}: AMNet-style, seed {seed}", side.name));
        let amnet = self.best((side, seed), &mut chosen.amnet, |settings| {
            Amnet::train(classic[0].clone(), side.training, &labels, of, settings)
        })?;
        (self.told)(&format!("{}: ADDE-M-style, seed {seed}", side.name));
        let adde = self.best((side, seed), &mut chosen.adde, |settings| {
            Adde::train(no_parts.clone(), side.training, &labels, of, settings)
        })?;
        let system = |name: &'static str, heads: Arc<Vec<Head>>| -> (&'static str, Box<dyn System>) {
            (name, Box::new(HeadSystem::new(name, heads)))
        };
        Ok(vec![
            ("Classic", Box::new(Classic::new(classic[0].clone()))),
            system("without ranking and parts", unranked),
            system("without parts", no_parts),
            ("AMNet-style", Box::new(amnet)),
            ("ADDE-M-style", Box::new(adde)),
            system("Proposed", paper),
            system("Proposed + all vectors", all),
        ])
    }

    /// Heads of one seed: each is trained in every setting with the first seed, and otherwise in the one that told most
    /// labels of the pictures set aside right.
    fn heads(
        &self,
        (side, seed): (&Side<'_>, u64),
        recipes: &[HeadRecipe],
        chosen: &mut HashMap<String, usize>,
    ) -> anyhow::Result<Vec<Trained>> {
        for recipe in recipes {
            side.training.inputs(recipe.region, recipe.context)?;
        }
        let settings = |recipe: &HeadRecipe| match chosen.get(&format!("{recipe:?}")) {
            Some(setting) => *setting..setting + 1,
            None => 0..HEAD_SETTINGS.len(),
        };
        let tried: Vec<(usize, usize)> = recipes
            .iter()
            .enumerate()
            .flat_map(|(at, recipe)| settings(recipe).map(move |setting| (at, setting)))
            .collect();
        let train = |(at, setting): &(usize, usize)| self.head(side, &recipes[*at], *setting, seed);
        let trained = tried.par_iter().map(train).collect::<anyhow::Result<Vec<Trained>>>()?;
        let mut best: Vec<(usize, Trained)> = Vec::with_capacity(recipes.len());
        for ((at, setting), trained) in tried.into_iter().zip(trained) {
            match best.get_mut(at) {
                Some(best) if trained.score > best.1.score => *best = (setting, trained),
                Some(_) => {}
                None => best.push((setting, trained)),
            }
        }
        chosen.extend(
            recipes.iter().zip(&best).map(|(recipe, (setting, _))| (format!("{recipe:?}"), *setting)),
        );
        Ok(best.into_iter().map(|(_, trained)| trained).collect())
    }

    fn head(
        &self,
        side: &Side<'_>,
        recipe: &HeadRecipe,
        setting: usize,
        seed: u64,
    ) -> anyhow::Result<Trained> {
        let pooled = side.training.inputs(recipe.region, recipe.context)?;
        let data =
            HeadData { examples: side.training.examples(), pooled: &pooled, validation: self.set_aside };
        let (dropout, weight_decay) = HEAD_SETTINGS[setting];
        let mut schedule = Schedule { dropout, weight_decay, seed, ..self.schedule.clone() };
        if recipe.ranking == Ranking::Off {
            // As many epochs as the others have in both stages.
            schedule.epochs_1 += schedule.epochs_2;
        }
        let fingerprint = side.backbone.fingerprint();
        let trained = train_head(recipe, data, fingerprint, (&schedule, self.checkpoints), |_| ());
        trained.with_context(|| format!("training {}", recipe.name))
    }

    /// A system that learns to manipulate: trained in every setting with the first seed, and otherwise in the one that
    /// answered best on the pictures set aside, changed and kept labels counting alike.
    fn best<S: System + Send>(
        &self,
        (side, seed): (&Side<'_>, u64),
        chosen: &mut Option<usize>,
        train: impl Fn(&ManipulatorSettings) -> anyhow::Result<S> + Sync,
    ) -> anyhow::Result<S> {
        let in_setting = |at: usize| {
            let (rate, margin) = MANIPULATOR_SETTINGS[at];
            train(&ManipulatorSettings { rate, margin, steps: self.steps, seed })
        };
        if let Some(chosen) = chosen {
            return in_setting(*chosen);
        }
        let tried = |at: usize| -> anyhow::Result<(f64, usize, S)> {
            let system = in_setting(at)?;
            let exam = Exam::new(&system, &self.lesson(side, seed))?;
            Ok((exam.reached(&exam.equal()).score(0.5), at, system))
        };
        let tried = (0..MANIPULATOR_SETTINGS.len()).into_par_iter().map(tried);
        let tried = tried.collect::<anyhow::Result<Vec<_>>>()?;
        let best = tried.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        let (_, at, system) = best.context("nothing was tried")?;
        *chosen = Some(at);
        Ok(system)
    }

    /// Lapel's heads: probes on all vectors.
    fn probes(&self, side: &Side<'_>) -> anyhow::Result<Vec<Head>> {
        let examples = side.training.examples();
        let pictures = Pictures {
            photo: (0..examples.len()).collect(),
            draw: vec![Draw::Plain; examples.len()],
            fold: self.set_aside.iter().map(|aside| aside.then_some(0)).collect(),
            refit: false,
            inputs: side.scaling.apply(side.training.vectors()?)?,
            scaling: side.scaling.clone(),
        };
        let layout = side.backbone.layout();
        let head = |attribute: &Attribute| {
            let one = std::slice::from_ref(attribute);
            let labels = examples.iter().map(|e| label_numbers(&e.labels, one)[0]).collect();
            let probe = fit_probe(attribute, labels, &pictures)?;
            let of = (side.backbone.fingerprint(), &layout);
            let bundle = probe.bundle(of, (Region::Whole, side.scaling), (EXPONENT, ""))?;
            Ok(Head::new(&bundle, String::new(), side.backbone)?)
        };
        self.learnable.par_iter().map(head).collect()
    }

    /// The pictures set aside, with prototypes of the others.
    fn lesson<'s>(&'s self, side: &Side<'s>, seed: u64) -> Lesson<'s> {
        let (held_out_rows, rows) = (0..self.set_aside.len()).partition(|at| self.set_aside[*at]);
        let (training, attributes) = (side.training, self.attributes);
        Lesson { attributes, training, rows, held_out: training, held_out_rows, seed }
    }
}
