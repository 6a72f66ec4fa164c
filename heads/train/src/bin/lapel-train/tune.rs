//! The verb `tune`: a backbone of views learns from labelled photos.

use crate::backbone_options::{BackboneOptions, ChosenBackbone};
use crate::data::progress_bar;
use crate::train::{attributes, features};
use crate::train_report::say;
use anyhow::Context;
use clap::Args;
use lapel_heads::{BACKBONE_FILE, BackboneManifest, Views, load_backbone, sha256_hex};
use lapel_train::probes::{Draw, Picture, Table, TuneSettings, VectorCache, tune};
use lapel_train::write_whole;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder with labels.csv and images/: rows `train` are learnt from.
    #[arg(long)]
    wardrobe: PathBuf,
    /// Where the tuned backbone goes; nothing else is written but the cache.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    backbone: BackboneOptions,
    /// Times that every photo is seen.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..))]
    epochs: u8,
    /// Photos of a step.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
    /// The highest rate, up to 0.01.
    #[arg(long, default_value_t = 2e-4, value_parser = rate)]
    rate: f64,
    /// The first block that is trained.
    #[arg(long, default_value_t = 5)]
    from: usize,
    /// Side of the views while training, in pixels, a multiple of 32 up to 448.
    #[arg(long, default_value_t = 192, value_parser = training_side)]
    training_side: usize,
    /// Folder of computed features and of the checkpoint from which a run that was cut off goes on.
    #[arg(long, default_value = "cache")]
    cache: PathBuf,
    /// Seed of draws, squares and order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn rate(text: &str) -> Result<f64, String> {
    let is_sound = |rate: &f64| *rate > 0.0 && *rate <= 0.01;
    text.parse().ok().filter(is_sound).ok_or_else(|| "a number above 0 and up to 0.01 is wanted".to_owned())
}

fn training_side(text: &str) -> Result<usize, String> {
    let is_sound = |side: &usize| side.is_multiple_of(32) && (32..=448).contains(side);
    text.parse().ok().filter(is_sound).ok_or_else(|| "a multiple of 32 from 32 to 448 is wanted".to_owned())
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let table = Table::read(&options.wardrobe)?;
    crate::check::refuse_unsound(&table)?;
    let attributes = attributes(&table, &[])?;
    let ChosenBackbone { bytes, from, manifest, tensors, .. } = options.backbone.read()?;
    let backbone = load_backbone(&bytes).with_context(|| from.display().to_string())?;
    // Maps that are pooled must be known or come out of what is trained.
    let most = manifest.blocks.iter().min().map_or(1, |block| block + 1);
    anyhow::ensure!(
        (1..=most).contains(&options.from),
        "--from {}: blocks 1 to {most} can be trained from, since the backbone pools the map of block {}",
        options.from,
        most - 1
    );
    let manifest = BackboneManifest { tuned: true, ..manifest };
    let settings = TuneSettings {
        epochs: usize::from(options.epochs),
        batch: usize::from(options.batch),
        rate: options.rate,
        from: options.from,
        side: options.training_side,
        seed: options.seed,
    };
    // Everything that the result follows from names the checkpoint.
    let mut followed = format!("{} {settings:?} {attributes:?}", backbone.fingerprint());
    for photo in &table.training {
        let _ = write!(followed, "\0{:?} {:?}", photo.content, photo.labels);
    }
    let name = format!("tune-{}.safetensors", &sha256_hex(followed.as_bytes())[..16]);
    let cache = VectorCache::open(&options.cache, backbone.as_ref(), options.seed)?;
    let rows = features(&cache, "training", &table.training, &[Picture::Drawn(Draw::Plain)])?;
    let bar = progress_bar("steps");
    let checkpoint = options.cache.join(name);
    let told = |done: usize, all: usize, epoch: Option<lapel_train::probes::Epoch>| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        if let Some(epoch) = epoch {
            let (accuracy, balanced) = epoch.set_aside;
            say(
                &bar,
                &format!(
                    "epoch {}: loss {:.3}; of photos set aside {:.1} %, balanced {:.1} %",
                    epoch.number,
                    epoch.loss,
                    100.0 * accuracy,
                    100.0 * balanced
                ),
            );
        }
    };
    let of = ((&manifest, &tensors), (&table.training[..], &rows));
    let tuned = tune(of.0, of.1, &attributes, &settings, &checkpoint, told)?;
    bar.finish();
    let path = options.out.join(BACKBONE_FILE);
    fs_err::create_dir_all(&options.out)?;
    write_whole(&path, &Views::to_bytes(&manifest, &tuned)?)?;
    let mut to = std::io::stdout().lock();
    writeln!(to, "written: {}", path.display())?;
    writeln!(
        to,
        "next: lapel-train train --wardrobe {} --backbone {} --out {}",
        options.wardrobe.display(),
        path.display(),
        options.out.display()
    )?;
    Ok(())
}
