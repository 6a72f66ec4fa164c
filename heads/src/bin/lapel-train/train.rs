//! The verb `train`.

use anyhow::Context;
use clap::Args;
use half::f16;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_heads::train::{
    Example, FeatureCache, HeadRecipe, Schedule, examples_of_photos, examples_of_renders, recipes, train_head,
};
use lapel_heads::{
    AlexNet, BACKBONE_FILE, Backbone, EXTRACT_PARTS_FILE, Embedder, Head, PartsCase, Region, wardrobe,
};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder with labels.csv and images/; its `train` rows are used, or all where there is no column `split`.
    /// Without a folder: rendered garments alone.
    #[arg(long)]
    wardrobe: Option<PathBuf>,
    /// Rendered garments to train on.
    #[arg(long, default_value_t = 5000)]
    rendered: u64,
    /// Variants of each photo (mirrored, cropped, lit differently), the photo itself included.
    #[arg(long, default_value_t = 6)]
    variants: u64,
    /// Train only these heads (default: all).
    #[arg(long, value_delimiter = ',')]
    heads: Vec<String>,
    /// Leave one in this many photos out of training, to choose settings on them with `evaluate --hold-out`;
    /// 0: none.
    #[arg(long, default_value_t = 0)]
    hold_out: usize,
    /// Folder of the backbone's weights, and where the bundles go.
    #[arg(long, default_value = "heads/bundles")]
    bundles: PathBuf,
    /// Folder of the feature cache and the checkpoints; a run that was cut off goes on from there.
    #[arg(long, default_value = "cache")]
    cache: PathBuf,
    /// Epochs of stage 1 (cross entropy).
    #[arg(long, default_value_t = 30)]
    epochs_1: usize,
    /// Epochs of stage 2 (cross entropy and triplets).
    #[arg(long, default_value_t = 12)]
    epochs_2: usize,
    /// Share of inputs and of fc6's outputs dropped in training.
    #[arg(long, default_value_t = Schedule::default().dropout)]
    dropout: f32,
    /// Weight decay.
    #[arg(long, default_value_t = Schedule::default().weight_decay)]
    weight_decay: f64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let backbone = Arc::new(AlexNet::load(&options.bundles.join(BACKBONE_FILE))?);
    let examples = examples(options)?;
    let bar = progress_bar("features");
    let features = FeatureCache::build(&options.cache.join("features"), &examples, backbone.as_ref(), &bar)?;
    bar.finish();
    let checkpoints = options.cache.join("checkpoints");
    fs_err::create_dir_all(&checkpoints)?;
    let trainer = Trainer { options, backbone, examples, features, checkpoints };
    let chosen = |r: &HeadRecipe| options.heads.is_empty() || options.heads.iter().any(|h| h == r.name);
    for recipe in recipes().into_iter().filter(chosen) {
        trainer.train(&recipe).with_context(|| format!("training {}", recipe.name))?;
    }
    Ok(())
}

/// Whether the training photo at this position is held out, one in `every`.
pub(crate) fn is_held_out(at: usize, every: usize) -> bool {
    every > 0 && at.is_multiple_of(every)
}

fn examples(options: &Options) -> anyhow::Result<Vec<Example>> {
    let mut examples = Vec::new();
    if let Some(folder) = &options.wardrobe {
        let mut photos = wardrobe::read(folder)?;
        photos.retain(|photo| matches!(photo.split.as_str(), "train" | ""));
        for (at, photo) in photos.iter_mut().enumerate() {
            // Held out of training, not of the feature cache, so that trying settings costs no new features.
            if is_held_out(at, options.hold_out) {
                photo.labels.clear();
            }
        }
        examples.extend(examples_of_photos(&photos, options.variants));
    }
    examples.extend(examples_of_renders(options.seed, options.rendered));
    Ok(examples)
}

struct Trainer<'a> {
    options: &'a Options,
    backbone: Arc<AlexNet>,
    examples: Vec<Example>,
    features: FeatureCache,
    checkpoints: PathBuf,
}

impl Trainer<'_> {
    fn train(&self, recipe: &HeadRecipe) -> anyhow::Result<()> {
        let schedule = Schedule {
            epochs_1: self.options.epochs_1,
            epochs_2: self.options.epochs_2,
            seed: self.options.seed,
            dropout: self.options.dropout,
            weight_decay: self.options.weight_decay,
            ..Schedule::default()
        };
        let bar = progress_bar(recipe.name);
        bar.set_length((schedule.epochs_1 + schedule.epochs_2) as u64);
        let pooled = self.pooled(recipe.region)?;
        let bundle = train_head(
            recipe,
            (&self.examples, &pooled),
            self.backbone.as_ref(),
            (&schedule, &self.checkpoints),
            |progress| {
                bar.set_position(progress.epoch as u64);
                bar.set_message(format!("loss {:.3}", progress.loss));
            },
        )?;
        bar.finish();
        let path = self.options.bundles.join(format!("{}.safetensors", recipe.name));
        fs_err::write(&path, bundle.to_bytes()?)?;
        Ok(())
    }

    fn pooled(&self, region: Region) -> anyhow::Result<Vec<f16>> {
        let whole = vec![PartsCase::LowerBody; self.examples.len()];
        let cases = if region == Region::Whole { whole } else { self.cases()? };
        self.features.pooled(self.backbone.as_ref(), region, &cases)
    }

    /// The cases as the trained "Extract Parts?" head sees them, so that training and serving agree.
    fn cases(&self) -> anyhow::Result<Vec<PartsCase>> {
        let path = self.options.bundles.join(EXTRACT_PARTS_FILE);
        let bytes = fs_err::read(path).context("the head extract_parts must be trained first")?;
        let backbone: Arc<dyn Backbone> = self.backbone.clone();
        let head = Head::from_bytes(&bytes, backbone.as_ref())?;
        let embedder = Embedder::new(backbone, head)?;
        let mut cases = Vec::with_capacity(self.examples.len());
        let mut batch = Vec::new();
        let mut failed = None;
        self.features.for_each(|at, map, _| {
            batch.push(map.to_vec());
            if batch.len() == 64 || at + 1 == self.examples.len() {
                match embedder.cases(&batch) {
                    Ok(found) => cases.extend(found),
                    Err(error) => failed = Some(error),
                }
                batch.clear();
            }
        })?;
        failed.map_or(Ok(cases), |error| Err(error.into()))
    }
}

fn progress_bar(name: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_prefix(name);
    let style =
        ProgressStyle::with_template("{prefix:>14} {bar:32} {pos}/{len} {elapsed} (left {eta}) {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
