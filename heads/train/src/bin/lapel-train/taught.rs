//! The verb `taught`: what heads are worth that a server teaches, and what its suggestions save.

use crate::data::progress_bar;
use crate::taught_report::{Report, line_of_examples, line_of_growth};
use crate::train::features;
use crate::train_report::say;
use anyhow::{Context, ensure};
use candle_core::Tensor;
use clap::Args;
use lapel_heads::{Attribute, BACKBONE_FILE, Backbone, FeatureLayout, Views, load_backbone, shipped_folder};
use lapel_train::probes::{Draw, Picture, Table, TablePhoto, VectorCache, numbers, probe_bundles};
use lapel_train::taught::{Draws, Growths, LabelledPhotos, Trial, as_cached, by_examples, growth};
use lapel_train::write_whole;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Examples of a label.
const PER_LABEL: [usize; 3] = [10, 20, 50];
/// How often they are drawn.
const DRAWS: u64 = 3;
/// Examples of a label that a server teaches from (`limits.teach_examples_max`).
const MOST: usize = 2000;
/// Labelled photos that suggestions begin with, that they come by, and that they end with.
const SUGGESTED: [usize; 3] = [10, 10, 60];
/// Photos labelled at random beside them.
const RANDOM: [usize; 4] = [10, 60, 100, 150];
/// Seeds of both.
const SEEDS: u64 = 5;
/// The power of probabilities in signatures where no head beside says one.
const USUAL: f32 = 0.5;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder with labels.csv and images/: heads are taught from rows `train` and measured on rows `val`.
    #[arg(long)]
    wardrobe: PathBuf,
    /// What heads are taught to tell.
    #[arg(long, value_delimiter = ',', default_value = "category,color,fabric,pattern,collar,sleeve_length")]
    attributes: Vec<String>,
    /// Folder of the backbone and the heads beside (default: the shipped ones).
    #[arg(long)]
    bundles: Option<PathBuf>,
    /// Teach from those photos alone that backbones are not tuned on: what a head is worth on photos that nothing has seen
    /// before.
    #[arg(long)]
    set_aside: bool,
    /// File for the figures as JSON; without it they are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder of computed features.
    #[arg(long, default_value = "cache")]
    cache: PathBuf,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is taught on.
struct Model {
    backbone: Arc<dyn Backbone>,
    layout: FeatureLayout,
    tuned: bool,
    exponent: f32,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut table = Table::read(&options.wardrobe)?;
    crate::check::refuse_unsound(&table)?;
    ensure!(!table.test.is_empty(), "no row has the split val, so there is nothing to measure on");
    let attributes = attributes(&table, &options.attributes)?;
    let model = model(options)?;
    if options.set_aside {
        table.training.retain(TablePhoto::is_set_aside);
        ensure!(!table.training.is_empty(), "no photo is set aside");
    }
    let cache = VectorCache::open(&options.cache, model.backbone.as_ref(), options.seed)?;
    let rows = |name: &str, photos: &[TablePhoto]| -> anyhow::Result<Tensor> {
        let rows = features(&cache, name, photos, &[Picture::Drawn(Draw::Plain)])?;
        Ok(as_cached(&rows, &model.layout)?)
    };
    let (training, test) = (rows("training", &table.training)?, rows("measured", &table.test)?);
    let mut report = Report::new(model.backbone.fingerprint(), options.set_aside, options.seed);
    let draws = Draws { per_label: PER_LABEL.to_vec(), most: MOST, draws: DRAWS, seed: options.seed };
    let [first, step, suggested] = SUGGESTED;
    let seeds = (0..SEEDS).map(|number| options.seed + number).collect();
    let growths = Growths { first, step, suggested, random: RANDOM.to_vec(), seeds };
    let bar = progress_bar("taught heads");
    bar.set_length(attributes.len() as u64);
    for attribute in &attributes {
        bar.set_message(attribute.name.clone());
        let trial = trial(attribute, &model, (&table, options.set_aside), (&training, &test))
            .with_context(|| attribute.name.clone())?;
        report.examples.extend(by_examples(&trial, &draws, |row| say(&bar, &line_of_examples(row)))?);
        report.growth.extend(growth(&trial, &growths, |grown| say(&bar, &line_of_growth(grown)))?);
        bar.inc(1);
    }
    bar.finish();
    write!(std::io::stdout().lock(), "{}", report.text())?;
    if let Some(out) = &options.out {
        write_whole(out, &serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

fn attributes(table: &Table, names: &[String]) -> anyhow::Result<Vec<Attribute>> {
    let all = table.attributes();
    let find = |name: &String| {
        let known = || all.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = all.iter().find(|a| &a.name == name).cloned();
        found.with_context(|| {
            format!("--attributes {name}: there is no such attribute; there are {}", known())
        })
    };
    names.iter().map(find).collect()
}

fn model(options: &Options) -> anyhow::Result<Model> {
    let folder = options.bundles.clone().unwrap_or_else(shipped_folder);
    let path = folder.join(BACKBONE_FILE);
    let bytes = fs_err::read(&path)?;
    let named = || path.display().to_string();
    let (manifest, _) = Views::read(&bytes).with_context(named)?;
    let backbone = load_backbone(&bytes).with_context(named)?;
    let beside = probe_bundles(&folder, backbone.as_ref())?;
    Ok(Model {
        layout: backbone.layout(),
        tuned: manifest.tuned,
        // All of them have the same.
        exponent: beside.first().map_or(USUAL, |bundle| bundle.manifest.exponent),
        backbone,
    })
}

/// The photos of an attribute. Of a tuned backbone, `lapel-train` chooses on the photos that are set aside, and where there
/// are no others on parts of them.
fn trial<'a>(
    attribute: &'a Attribute,
    model: &'a Model,
    (table, set_aside): (&Table, bool),
    (training, test): (&Tensor, &Tensor),
) -> anyhow::Result<Trial<'a>> {
    let labels = numbers(attribute, &table.training);
    let tuned = model.tuned && !set_aside;
    let labelled = table.training.iter().zip(&labels).filter(|(_, label)| label.is_some());
    Ok(Trial {
        attribute,
        fingerprint: model.backbone.fingerprint(),
        layout: &model.layout,
        exponent: model.exponent,
        folds: labelled.map(|(photo, _)| photo.fold(tuned)).collect(),
        training: LabelledPhotos::among(training, &labels)?,
        test: LabelledPhotos::among(test, &numbers(attribute, &table.test))?,
    })
}
