//! The verb `backbone`.

use crate::data::{Data, attributes_of, progress_bar};
use clap::Args;

use lapel_heads::train::{BackboneData, BackboneSchedule, CanvasCache, train_backbone};
use lapel_heads::train::HeadRecipe;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    data: Data,
    /// Epochs.
    #[arg(long, default_value_t = BackboneSchedule::default().epochs)]
    epochs: usize,
    /// The first convolution that moves: 1 fine-tunes all five, 3 only conv3 to conv5.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    from: u8,
    /// Rate of the convolutions.
    #[arg(long, default_value_t = BackboneSchedule::default().rate)]
    rate: f64,
    /// Weights to start from.
    #[arg(long)]
    start: PathBuf,
    /// Where the weights go.
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let sets = options.data.sets()?;
    let data = options.data.training(&sets);
    let attributes = attributes_of(&sets);
    let bar = progress_bar("canvases");
    let cache = &options.data.cache;
    let canvases = CanvasCache::build(&cache.join("canvases"), &data.examples, 224, &bar)?;
    bar.finish();
    let start = candle_core::safetensors::load(&options.start, &candle_core::Device::Cpu)?;
    let schedule = BackboneSchedule {
        epochs: options.epochs,
        rate: options.rate,
        trained_from: usize::from(options.from) - 1,
        ..BackboneSchedule::default()
    };
    let recipes = HeadRecipe::proposed(&attributes.iter().map(|a| a.name.as_str()).collect::<Vec<_>>());
    let checkpoints = cache.join("checkpoints");
    fs_err::create_dir_all(&checkpoints)?;
    let bar = progress_bar("backbone");
    bar.set_length(options.epochs as u64);
    let weights = train_backbone(
        &BackboneData {
            recipes: &recipes,
            examples: &data.examples,
            canvases: &canvases,
            validation: &data.validation,
        },
        &start,
        (&schedule, &checkpoints.join("backbone.safetensors"), &candle_core::Device::Cpu),
        |p| {
            bar.set_position(p.epoch as u64);
            match p.validation {
                Some(v) => bar.println(format!("epoch {}: loss {:.3}, validation {:.1} %", p.epoch, p.loss, 100.0 * v)),
                None => bar.set_message(format!("{:.0} % of the epoch", 100.0 * p.loss)),
            }
        },
    )?;
    bar.finish();
    candle_core::safetensors::save(&weights, &options.out)?;
    Ok(())
}
