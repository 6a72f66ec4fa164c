//! The verb `train`.

use crate::data::{Data, progress_bar};
use anyhow::Context;
use clap::Args;
use indicatif::MultiProgress;
use lapel_heads::train::{HeadData, HeadRecipe, Input, Prepared, Ranking, Schedule, Trained, train_head};
use lapel_heads::{AlexNet, BACKBONE_FILE, Backbone};
use rayon::prelude::*;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    data: Data,
    /// Train only these heads (default: all).
    #[arg(long, value_delimiter = ',')]
    heads: Vec<String>,
    /// Folder of the backbone's weights, and where the bundles go.
    #[arg(long, default_value = "heads/bundles")]
    bundles: PathBuf,
    /// Epochs of stage 1 (cross entropy).
    #[arg(long, default_value_t = Schedule::default().epochs_1)]
    epochs_1: usize,
    /// Epochs of stage 2 (cross entropy and triplets).
    #[arg(long, default_value_t = Schedule::default().epochs_2)]
    epochs_2: usize,
    /// Share of inputs and of fc6's outputs dropped in training.
    #[arg(long, default_value_t = Schedule::default().dropout)]
    dropout: f32,
    /// Weight decay.
    #[arg(long, default_value_t = Schedule::default().weight_decay)]
    weight_decay: f64,
    #[arg(long, default_value = "all")]
    input: String,
    #[arg(long, default_value = "random")]
    ranking: String,
    #[arg(long)]
    whole: bool,
    #[arg(long, default_value_t = 128)]
    hidden: usize,
    #[arg(long, default_value_t = 0.01)]
    rate: f64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let backbone = AlexNet::load(&options.bundles.join(BACKBONE_FILE))?;
    let sets = options.data.sets()?;
    let data = options.data.training(&sets);
    let cache = &options.data.cache;
    let bars = [progress_bar("canvases"), progress_bar("features")];
    let mut prepared = Prepared::new(data.examples, &backbone, cache, (&bars[0], &bars[1]))?;
    let checkpoints = cache.join("checkpoints");
    fs_err::create_dir_all(&checkpoints)?;
    let schedule = Schedule {
        epochs_1: options.epochs_1,
        epochs_2: options.epochs_2,
        seed: options.data.seed,
        dropout: options.dropout,
        weight_decay: options.weight_decay,
        rate_1: options.rate,
        rate_2: options.rate*0.3,
        ..Schedule::default()
    };
    let bars = MultiProgress::new();
    let train = |recipe: &HeadRecipe, prepared: &Prepared| -> anyhow::Result<Trained> {
        let bar = bars.add(progress_bar(&recipe.name));
        bar.set_length((schedule.epochs_1 + schedule.epochs_2) as u64);
        let pooled = prepared.pooled(recipe.region)?;
        let data = HeadData { examples: prepared.examples(), pooled: &pooled, validation: &data.validation };
        let trained = train_head(recipe, data, backbone.fingerprint(), (&schedule, &checkpoints), |p| {
            bar.set_position(p.epoch as u64);
            bar.set_message(format!("loss {:.3}", p.loss));
        });
        bar.finish();
        trained.with_context(|| format!("training {}", recipe.name))
    };
    let t = std::time::Instant::now();
    let parts = train(&HeadRecipe::extract_parts(), &prepared)?;
    eprintln!("parts {:?} {:?}", parts.trace.last(), t.elapsed());
    prepared.find_cases(&parts.head()?)?;
    let mut recipes = HeadRecipe::proposed(&lapel_heads::dataset::GARMENT_ATTRIBUTES);
    recipes.retain(|r| options.heads.is_empty() || options.heads.contains(&r.name));
    for r in &mut recipes {
        r.input = if options.input == "all" { Input::All } else { Input::Conv5 };
        r.ranking = match options.ranking.as_str() { "off" => Ranking::Off, "hard" => Ranking::BatchHard, "semi" => Ranking::SemiHard, _ => Ranking::Random };
        r.hidden = options.hidden;
        if options.whole { r.region = lapel_heads::Region::Whole; }
    }
    for r in &recipes { prepared.pooled(r.region)?; }
    eprintln!("pooled {:?}", t.elapsed());
    let trained: Vec<Trained> = recipes.par_iter().map(|r| train(r, &prepared)).collect::<anyhow::Result<_>>()?;
    let mut mean = 0.0;
    for (r, tr) in recipes.iter().zip(&trained) {
        let best = tr.trace.iter().map(|t| t[1]).fold(0.0, f32::max);
        mean += best / recipes.len() as f32;
        eprintln!("{:14} stage1 {:.3} last {:.3} best {:.3}  loss {:.3} -> {:.3}", r.name, tr.trace[options.epochs_1 - 1][1], tr.trace.last().unwrap_or(&[0.0;2])[1], best, tr.trace[0][0], tr.trace.last().unwrap_or(&[0.0;2])[0]);
    }
    eprintln!("mean {mean:.4} {:?}", t.elapsed());
    Ok(())
}
