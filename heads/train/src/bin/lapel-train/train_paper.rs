//! The verb `train-paper`.

use crate::data::{Data, Training, attributes_of, load_backbone, progress_bar};
use anyhow::Context;
use candle_core::{DType, Device};
use clap::Args;
use indicatif::MultiProgress;
use lapel_heads::{
    ALEXNET_FILE, AlexNet, Attribute, Backbone, Bundle, EXTRACT_PARTS_FILE, Head, PARTS_ATTRIBUTE, Region,
};
use lapel_train::systems::{Exam, HeadSystem, PartWeights, learn_weights};
use lapel_train::{
    BackboneData, BackboneSchedule, CanvasCache, HeadData, HeadRecipe, Prepared, Schedule, Trained,
    train_backbone, train_head,
};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    data: Data,
    /// Weights to fine-tune the backbone from, with torchvision's names; without them the backbone in --bundles is
    /// taken as it is.
    #[arg(long)]
    imagenet: Option<PathBuf>,
    /// Epochs of fine-tuning.
    #[arg(long, default_value_t = BackboneSchedule::default().epochs)]
    backbone_epochs: usize,
    /// The first convolution that moves: 1 fine-tunes all five, 3 only conv3 to conv5.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    from: u8,
    /// Train only these heads (default: all). The attribute `sport`, which only rendered garments have, is the
    /// example of a head that is taught to a running server; it is trained when it is named.
    #[arg(long, value_delimiter = ',')]
    heads: Vec<String>,
    /// Folder of the backbone's weights, and where the bundles go.
    #[arg(long, default_value = "heads/bundles/alexnet")]
    bundles: PathBuf,
    /// Variants of each photo (mirrored, cropped, lit differently), the photo itself included.
    #[arg(long, default_value_t = 8)]
    variants: u64,
    #[command(flatten)]
    settings: Settings,
}

/// How heads are trained.
#[derive(Args, Clone)]
pub(crate) struct Settings {
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
    /// Compute on this CUDA device instead of the processor (needs a build with the feature `cuda`).
    #[arg(long)]
    cuda: Option<usize>,
}

impl Settings {
    pub(crate) fn schedule(&self, seed: u64) -> anyhow::Result<Schedule> {
        Ok(Schedule {
            epochs_1: self.epochs_1,
            epochs_2: self.epochs_2,
            dropout: self.dropout,
            weight_decay: self.weight_decay,
            seed,
            device: self.device()?,
            ..Schedule::default()
        })
    }

    pub(crate) fn device(&self) -> anyhow::Result<Device> {
        self.cuda.map_or(Ok(Device::Cpu), |n| Device::new_cuda(n).with_context(|| format!("CUDA device {n}")))
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let sets = options.data.sets()?;
    let attributes = attributes_of(&sets);
    let training = options.data.training(&sets, options.variants);
    let backbone_path = options.bundles.join(ALEXNET_FILE);
    fs_err::create_dir_all(&options.bundles)?;
    if let Some(start) = &options.imagenet {
        fine_tune(options, &attributes, &training, (start, &backbone_path))?;
    }
    let backbone = load_backbone(&backbone_path)?;
    let mut prepared = options.data.prepare("training", training.examples.clone(), &backbone)?;
    let trainer = Trainer {
        schedule: options.settings.schedule(options.data.seed)?,
        checkpoints: options.data.checkpoints()?,
        fingerprint: backbone.fingerprint(),
        validation: &training.validation,
        bars: MultiProgress::new(),
    };
    let (extract_parts, new_parts) = extract_parts(options, &trainer, (&prepared, &backbone))?;
    if let Some(head) = &extract_parts {
        prepared.find_cases(head)?;
    }
    let names: Vec<&str> = attributes.iter().map(|a| a.name.as_str()).collect();
    let mut recipes = HeadRecipe::lapel(&names);
    recipes.retain(|r| options.heads.is_empty() || options.heads.contains(&r.name));
    if options.heads.iter().any(|h| h == "sport") {
        recipes.push(HeadRecipe::rendered_only("sport"));
    }
    if extract_parts.is_none() {
        // As it is trained, so it is served, whatever finds parts there.
        recipes.iter_mut().for_each(|recipe| (recipe.region, recipe.context) = (Region::Whole, false));
    }
    for recipe in &recipes {
        prepared.inputs(recipe.region, recipe.context)?;
    }
    let trained: Vec<Trained> =
        recipes.par_iter().map(|recipe| trainer.train(recipe, &prepared)).collect::<anyhow::Result<_>>()?;
    // Weights are chosen for all heads together, or not at all.
    let weights = if options.heads.is_empty() {
        let heads = trained.iter().map(Trained::head).collect::<Result<Vec<_>, _>>()?;
        let mut renders = options.data.prepare("held-out", options.data.held_out_renders(), &backbone)?;
        if let Some(head) = &extract_parts {
            renders.find_cases(head)?;
        }
        let lessons = options.data.lessons(&sets, &training, (&prepared, &renders));
        let system = HeadSystem::new("Lapel", Arc::new(heads));
        let exams =
            lessons.iter().map(|lesson| Exam::new(&system, lesson)).collect::<anyhow::Result<Vec<_>>>()?;
        learn_weights(&exams).taken.weights
    } else {
        PartWeights::equal(trained.len())
    };
    if let Some(bundle) = new_parts {
        fs_err::write(options.bundles.join(EXTRACT_PARTS_FILE), bundle.to_bytes()?)?;
    }
    for (at, (recipe, trained)) in recipes.iter().zip(trained).enumerate() {
        let mut bundle = trained.bundle;
        bundle.manifest.weight = weights.weight[at];
        bundle.manifest.changed_weight = weights.changed[at];
        bundle.manifest.confidence = weights.confidence;
        fs_err::write(options.bundles.join(format!("{}.safetensors", recipe.name)), bundle.to_bytes()?)?;
    }
    Ok(())
}

/// "Extract Parts?" with its bundle, trained where labels tell the case of pictures. Otherwise the one that lies in the
/// folder of the bundles, if it was trained on this backbone, and none to be written.
fn extract_parts(
    options: &Options,
    trainer: &Trainer<'_>,
    (prepared, backbone): (&Prepared, &AlexNet),
) -> anyhow::Result<(Option<Head>, Option<Bundle>)> {
    let mut examples = prepared.examples().iter().zip(trainer.validation);
    if examples.any(|(example, held)| !held && example.labels.contains_key(PARTS_ATTRIBUTE)) {
        let trained = trainer.train(&HeadRecipe::extract_parts(), prepared)?;
        return Ok((Some(trained.head()?), Some(trained.bundle)));
    }
    let path = options.bundles.join(EXTRACT_PARTS_FILE);
    let kept = if path.exists() { Head::from_bytes(&fs_err::read(&path)?, backbone).ok() } else { None };
    let instead = match kept {
        Some(_) => format!("{} is used as it is", path.display()),
        None => "every head reads the whole picture".to_owned(),
    };
    eprintln!("no label tells which garments have sleeves, so \"Extract Parts?\" is not trained: {instead}");
    Ok((kept, None))
}

/// Fine-tunes the backbone and writes its weights in f16.
fn fine_tune(
    options: &Options,
    attributes: &[Attribute],
    training: &Training,
    (start, out): (&Path, &Path),
) -> anyhow::Result<()> {
    let bar = progress_bar("pictures");
    let canvases = CanvasCache::build(&options.data.cache.join("canvases"), &training.examples, 224, &bar)?;
    bar.finish();
    let names: Vec<&str> = attributes.iter().map(|a| a.name.as_str()).collect();
    let schedule = BackboneSchedule {
        epochs: options.backbone_epochs,
        trained_from: usize::from(options.from) - 1,
        seed: options.data.seed,
        ..BackboneSchedule::default()
    };
    let bar = progress_bar("backbone");
    bar.set_length(options.backbone_epochs as u64);
    let weights = train_backbone(
        &BackboneData {
            recipes: &HeadRecipe::proposed(&names),
            examples: &training.examples,
            canvases: &canvases,
            validation: &training.validation,
        },
        &candle_core::safetensors::load(start, &Device::Cpu).with_context(|| start.display().to_string())?,
        (&schedule, &options.data.checkpoints()?, &options.settings.device()?),
        |p| {
            bar.set_position(p.epoch as u64);
            bar.set_message(match p.validation {
                Some(v) => format!("loss {:.3}, {:.1} % of held-out labels", p.loss, 100.0 * v),
                None => format!("{:.0} % of the epoch", 100.0 * p.loss),
            });
        },
    )?;
    bar.finish();
    let halves =
        weights.into_iter().map(|(name, t)| Ok((name, t.to_device(&Device::Cpu)?.to_dtype(DType::F16)?)));
    candle_core::safetensors::save(&halves.collect::<candle_core::Result<_>>()?, out)?;
    Ok(())
}

/// What every head's training shares.
struct Trainer<'a> {
    schedule: Schedule,
    checkpoints: PathBuf,
    fingerprint: &'a str,
    validation: &'a [bool],
    bars: MultiProgress,
}

impl Trainer<'_> {
    fn train(&self, recipe: &HeadRecipe, prepared: &Prepared) -> anyhow::Result<Trained> {
        let bar = self.bars.add(progress_bar(&recipe.name));
        let pooled = prepared.inputs(recipe.region, recipe.context)?;
        let data = HeadData { examples: prepared.examples(), pooled: &pooled, validation: self.validation };
        let settings = (&self.schedule, self.checkpoints.as_path());
        let trained = train_head(recipe, data, self.fingerprint, settings, |p| {
            bar.set_length(p.epochs as u64);
            bar.set_position(p.epoch as u64);
            let told =
                p.validation.map_or(String::new(), |v| format!(", {:.1} % of held-out labels", 100.0 * v));
            bar.set_message(format!("loss {:.3}{told}", p.loss));
        });
        bar.finish();
        trained.with_context(|| format!("training {}", recipe.name))
    }
}
