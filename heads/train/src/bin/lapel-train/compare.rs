//! The verb `compare`: the systems of the paper beside Lapel, on the same pictures and the same backbones.

use crate::data::{Data, progress_bar};
use crate::report::{command, print, write};
use crate::train_report::say;
use anyhow::Context;
use candle_core::{Device, Tensor};
use clap::Args;
use lapel_heads::{BACKBONE_FILE, Backbone, BackboneManifest, Head, Views, Weights, sha256, shipped_folder};
use lapel_train::dataset::DataSet;
use lapel_train::evaluate::{Entrant, EntrantRun, TestSet, evaluate_systems};
use lapel_train::probes::{LABEL_MIN, Scaling, is_set_aside, probe_bundles};
use lapel_train::report::{Content, Figures, SystemFront, figures};
use lapel_train::systems::{Front, HeadSystem, LineUp, Member, PartWeights, Side, TrainedLineUp};
use lapel_train::{Example, Prepared, Published, Schedule, Source, published_backbone};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One rendered garment in so many is set aside; of photos their content decides.
const RENDERED_ASIDE: u64 = 6;
/// What the backbones are called.
const SIDES: [&str; 2] = ["frozen", "fine-tuned"];
const SYSTEM: &str = "Lapel";
const LEARNED: &str = "learned";

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    data: Data,
    /// The backbone as its publisher left it: a backbone's file, or EfficientNet-Lite0's published weights. It looks where
    /// the fine-tuned one does.
    #[arg(long)]
    frozen: PathBuf,
    /// The same network, fine-tuned, as `lapel-train tune` makes it (default: the shipped one).
    #[arg(long)]
    tuned: Option<PathBuf>,
    /// Runs of everything that is random.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=10))]
    seeds: u64,
    /// Epochs of cross entropy.
    #[arg(long, default_value_t = Schedule::default().epochs_1)]
    epochs_1: usize,
    /// Epochs of cross entropy and triplets.
    #[arg(long, default_value_t = Schedule::default().epochs_2)]
    epochs_2: usize,
    /// Steps of systems that learn to manipulate.
    #[arg(long, default_value_t = 1500)]
    steps: usize,
    /// Folder for report.html, report.json and tables.md.
    #[arg(long)]
    out: PathBuf,
}

/// A data set's pictures as one backbone gives them.
struct Pictures {
    training: Prepared,
    test: Prepared,
    scaling: Scaling,
}

/// A trained data set with everything that is shown of it.
struct Measured {
    report: lapel_train::evaluate::SetReport,
    fronts: Vec<SystemFront>,
    grids: Figures,
    trained: TrainedLineUp,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let tuned = options.tuned.clone().unwrap_or_else(|| shipped_folder().join(BACKBONE_FILE));
    let tuned = Views::read(&fs_err::read(&tuned)?).with_context(|| tuned.display().to_string())?;
    let backbones = [frozen(&options.frozen, &tuned)?, Arc::new(Views::new(tuned.0, &tuned.1)?)];
    let mut out = std::io::stdout().lock();
    let (mut reports, mut fronts, mut grids, mut traces) = (vec![], vec![], vec![], vec![]);
    for set in options.data.sets()? {
        let measured = compare(set.as_ref(), &backbones, options)?;
        print(&mut out, &measured.report)?;
        reports.push(measured.report);
        fronts.extend(measured.fronts);
        grids.push(measured.grids);
        traces.extend(measured.trained.traces);
    }
    let content = Content {
        title: "Lapel beside the paper's systems",
        sets: &reports,
        fronts: &fronts,
        figures: &grids,
        traces: &traces,
        command: &command(),
        ..Content::default()
    };
    write(&options.out, &content)?;
    writeln!(out, "\nwrote {}", options.out.join("report.html").display())?;
    Ok(())
}

/// A backbone's manifest and its tensors.
type Read = (BackboneManifest, BTreeMap<String, Weights>);

/// Reads a backbone's file, or makes one of published weights. It looks where the tuned one looks.
fn frozen(path: &Path, (manifest, tensors): &Read) -> anyhow::Result<Arc<dyn Backbone>> {
    let named = || path.display().to_string();
    let read = Views::read(&fs_err::read(path)?).or_else(|fault| {
        let made =
            published_backbone(Published::EfficientnetLite0, path, (None, None), manifest.input_side).ok();
        made.map_or(Err(fault), |bytes| Views::read(&bytes))
    });
    let read = read.with_context(named)?;
    let (manifest, tensors) = match Views::mask_of(manifest, tensors) {
        Some(mask) => Views::with_mask(read, mask),
        None => read,
    };
    Ok(Arc::new(Views::new(manifest, &tensors).with_context(named)?))
}

/// Trains and measures every system on one set.
fn compare(
    set: &dyn DataSet,
    backbones: &[Arc<dyn Backbone>; 2],
    options: &Options,
) -> anyhow::Result<Measured> {
    let aside = set.training().iter().map(set_aside).collect::<anyhow::Result<Vec<bool>>>()?;
    let mut pictures = Vec::with_capacity(SIDES.len());
    for (name, backbone) in SIDES.iter().zip(backbones) {
        pictures.push(prepare(set, (name, backbone.as_ref()), &aside, &options.data.cache)?);
    }
    let sides: Vec<Side<'_>> = SIDES
        .iter()
        .zip(backbones)
        .zip(&pictures)
        .map(|((name, backbone), of)| Side {
            name,
            backbone: backbone.as_ref(),
            training: &of.training,
            scaling: &of.scaling,
        })
        .collect();
    let seeds: Vec<u64> = (0..options.seeds).map(|at| options.data.seed + at).collect();
    let (epochs_1, epochs_2) = (options.epochs_1, options.epochs_2);
    let bar = progress_bar(set.name());
    let line_up = LineUp {
        sides: &sides,
        set_aside: &aside,
        attributes: set.attributes(),
        learnable: &learnable(set),
        schedule: &Schedule { epochs_1, epochs_2, ..Schedule::default() },
        steps: options.steps,
        seeds: &seeds,
        checkpoints: &options.data.checkpoints()?,
        told: &|what| say(&bar, what),
    };
    let trained = line_up.train()?;
    let rows: Vec<usize> = (0..set.training().len()).collect();
    let test_set = |side: usize| {
        let of: &Pictures = &pictures[side];
        TestSet { set, training: &of.training, rows: &rows, test: &of.test }
    };
    let shipped = shipped(backbones[1].as_ref())?;
    let shipped_weights = PartWeights::of_manifests(shipped.heads());
    let mut entrants: Vec<Entrant<'_>> =
        trained.members.iter().map(|member| entrant(member, test_set(member.side))).collect();
    if !shipped.heads().is_empty() {
        entrants.push(Entrant::shipped("Lapel's bundles", (&shipped, &shipped_weights), test_set(1)));
    }
    bar.set_length(entrants.len() as u64);
    let is_last =
        |e: &Entrant<'_>, weighting: &str| e.name == SYSTEM && e.backbone == SIDES[1] && weighting == LEARNED;
    let report = evaluate_systems(&entrants, is_last, |_| bar.inc(1))?;
    bar.finish();
    let lapel = trained.members.last().context("no system was trained")?;
    let grids = figures(lapel.systems[0].as_ref(), &lapel.fronts[0].taken.weights, &test_set(lapel.side))?;
    let fronts = trained.members.iter().map(|member| SystemFront {
        set: set.name().to_owned(),
        name: member.name.clone(),
        backbone: SIDES[member.side].to_owned(),
        fronts: member.fronts.clone(),
    });
    Ok(Measured { report, fronts: fronts.collect(), grids, trained })
}

/// Whether a training picture chooses instead of being learnt from: the photos that backbones are not tuned on.
fn set_aside(example: &Example) -> anyhow::Result<bool> {
    Ok(match &example.source {
        Source::Photo(path) => is_set_aside(&sha256(&fs_err::read(path)?)),
        Source::Render(_, index) => index.is_multiple_of(RENDERED_ASIDE),
    })
}

fn prepare(
    set: &dyn DataSet,
    (name, backbone): (&str, &dyn Backbone),
    aside: &[bool],
    cache: &Path,
) -> anyhow::Result<Pictures> {
    let vectors = |what: &str, examples: &[Example]| {
        let bar = progress_bar(&format!("{name} {what}"));
        let prepared = Prepared::of_vectors(examples.to_vec(), backbone, cache, &bar);
        bar.finish();
        prepared
    };
    let mut training = vectors("training", set.training())?;
    let mut test = vectors("test", set.test())?;
    let learnt: Vec<u32> = (0u32..).zip(aside).filter(|(_, aside)| !**aside).map(|(at, _)| at).collect();
    let learnt = training.vectors()?.index_select(&Tensor::new(learnt, &Device::Cpu)?, 0)?;
    let scaling = Scaling::of(&learnt)?;
    training.scale(&scaling)?;
    test.scale(&scaling)?;
    Ok(Pictures { training, test, scaling })
}

/// The attributes of a set with the labels that enough training pictures have.
fn learnable(set: &dyn DataSet) -> Vec<lapel_heads::Attribute> {
    let count = |name: &String, label: &String| {
        set.training().iter().filter(|e| e.labels.get(name) == Some(label)).count()
    };
    let mut attributes = set.attributes().to_vec();
    for attribute in &mut attributes {
        attribute.labels.retain(|label| count(&attribute.name, label) >= LABEL_MIN);
    }
    attributes.retain(|attribute| attribute.labels.len() > 1);
    attributes
}

/// The shipped probes, where they are for this backbone; they learnt from the pictures set aside, too.
fn shipped(backbone: &dyn Backbone) -> anyhow::Result<HeadSystem> {
    let bundles = probe_bundles(&shipped_folder(), backbone)?;
    let heads = bundles.iter().map(|bundle| Head::new(bundle, String::new(), backbone));
    Ok(HeadSystem::new("Lapel's bundles", Arc::new(heads.collect::<Result<_, _>>()?)))
}

/// A member with equal and with learned weights.
fn entrant<'a>(member: &'a Member, set: TestSet<'a>) -> Entrant<'a> {
    let run = |(at, front): (usize, &Front)| {
        let learned = front.taken.weights.clone();
        EntrantRun {
            system: member.systems[at].as_ref(),
            weights: vec![PartWeights::equal(learned.weight.len()), learned],
            set,
        }
    };
    Entrant {
        name: member.name.clone(),
        backbone: SIDES[member.side].to_owned(),
        weightings: vec!["equal".to_owned(), LEARNED.to_owned()],
        runs: member.fronts.iter().enumerate().map(run).collect(),
        personal: member.name == SYSTEM && member.side == 1,
    }
}
