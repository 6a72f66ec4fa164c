//! The verb `mask`: a backbone of views learns where the garment is.

use crate::backbone_options::{BackboneOptions, ChosenBackbone};
use crate::data::progress_bar;
use crate::train_report::say;
use anyhow::Context;
use clap::Args;
use lapel_heads::{
    Architecture, BACKBONE_FILE, Canvas, MaskManifest, Photo, PhotoLimits, TextTower, Views, sha256_hex,
};
use lapel_train::probes::{Table, TablePhoto};
use lapel_train::{
    MaskLesson, SALIENCY_SIDE, Saliency, TEACHER_SIDE, agreement, train_mask, whole_network, write_whole,
};
use rayon::prelude::*;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Blocks whose maps are read: of strides 4, 8 and 16.
const BLOCKS: [usize; 3] = [2, 4, 10];
const HIDDEN: usize = 48;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder with labels.csv and images/: photos of the rows `train` are learnt from.
    #[arg(long)]
    wardrobe: PathBuf,
    /// EfficientNet-Lite0's published weights, a safetensors file with batch norm folded: its first blocks see for the
    /// mask.
    #[arg(long)]
    eyes: PathBuf,
    /// DINOv2 ViT-S/14, under its official names, on whose tokens the teacher's decoder works.
    #[arg(long)]
    dinov2: PathBuf,
    /// The teacher's decoder (`upconv1` to `upconv3`, `bn1` to `bn3`, `final_conv`).
    #[arg(long)]
    decoder: PathBuf,
    /// Where the backbone with its mask goes; nothing else is written but the cache.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    backbone: BackboneOptions,
    /// Side of the picture of the photo that the mask is found on, in pixels, a multiple of 32.
    #[arg(long, default_value_t = 128)]
    mask_side: usize,
    /// Times that every photo is seen.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..))]
    epochs: u8,
    /// Folder of what the teacher saw.
    #[arg(long, default_value = "cache")]
    cache: PathBuf,
    /// Seed of draws and order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let table = Table::read(&options.wardrobe)?;
    crate::check::refuse_unsound(&table)?;
    let ChosenBackbone { bytes: chosen, manifest, tensors, .. } = options.backbone.read()?;
    let mask = MaskManifest {
        architecture: Architecture::EfficientNetLite0,
        input_side: options.mask_side,
        blocks: BLOCKS.to_vec(),
        hidden: HIDDEN,
    };
    let faults = mask.faults();
    anyhow::ensure!(faults.is_empty(), "{}", faults.join("; "));
    let eyes = whole_network(&options.eyes)?;
    let photos: Vec<&TablePhoto> = table.training.iter().collect();
    let lessons = taught(options, &photos)?;
    let (exam, lessons): (Vec<_>, Vec<_>) =
        lessons.into_iter().zip(&photos).partition(|(_, photo)| photo.is_set_aside());
    let [exam, lessons] =
        [exam, lessons].map(|of| of.into_iter().map(|(lesson, _)| lesson).collect::<Vec<_>>());
    let bar = progress_bar("epochs");
    bar.set_length(u64::from(options.epochs));
    say(&bar, &format!("silhouettes by colours and the teacher: {:.3}", by_colours(&exam)));
    let told = |epoch: usize, loss: f64, agreement: f64| {
        bar.set_position(epoch as u64);
        say(
            &bar,
            &format!("epoch {epoch}: loss {loss:.4}; mask and teacher on photos set aside: {agreement:.3}"),
        );
    };
    let of = (usize::from(options.epochs), options.seed);
    let layers = train_mask(&mask, &eyes, (&lessons, &exam), of, told)?;
    bar.finish();
    let mut own = eyes;
    own.retain(|name, _| mask.network_tensors().contains(name));
    own.extend(layers.tensors(&mask));
    let (manifest, tensors) = Views::with_mask((manifest, tensors), (mask, own));
    let mut bytes = Views::to_bytes(&manifest, &tensors)?;
    if let Some(text) = TextTower::file_in(&chosen)? {
        bytes = TextTower::put_into(&bytes, text)?;
    }
    write(options, &bytes)
}

fn write(options: &Options, bytes: &[u8]) -> anyhow::Result<()> {
    Views::from_bytes(bytes)?;
    fs_err::create_dir_all(&options.out)?;
    let path = options.out.join(BACKBONE_FILE);
    write_whole(&path, bytes)?;
    let mut to = std::io::stdout().lock();
    writeln!(to, "written: {}", path.display())?;
    let (wardrobe, path, out) = (options.wardrobe.display(), path.display(), options.out.display());
    writeln!(to, "next: lapel-train tune --wardrobe {wardrobe} --backbone {path} --out {out}")?;
    Ok(())
}

/// How far the silhouettes by colours agree with the teacher.
fn by_colours(lessons: &[MaskLesson]) -> f64 {
    let pair = |lesson: &MaskLesson| {
        let side = lesson.canvas.side();
        let cell = |at: usize| at * SALIENCY_SIDE / side;
        let seen = |(x, y, inside): (usize, usize, bool)| {
            (inside, lesson.garment[cell(y) * SALIENCY_SIDE + cell(x)] > 127)
        };
        lesson.canvas.silhouette().grid().map(seen).unzip()
    };
    agreement(&lessons.par_iter().map(pair).collect::<Vec<_>>())
}

/// What the teacher sees in photos; what it saw before is read from the cache.
fn taught(options: &Options, photos: &[&TablePhoto]) -> anyhow::Result<Vec<MaskLesson>> {
    let key = sha256_hex(&[fs_err::read(&options.dinov2)?, fs_err::read(&options.decoder)?].concat());
    let folder = options.cache.join("saliency").join(&key[..16]);
    fs_err::create_dir_all(&folder)?;
    let teacher = Saliency::read(&options.dinov2, &options.decoder)?;
    let bar = progress_bar("the teacher's");
    bar.set_length(photos.len() as u64);
    let lesson = |photo: &&TablePhoto| {
        let lesson = one(&teacher, &photo.path, &folder).with_context(|| photo.path.display().to_string());
        bar.inc(1);
        lesson
    };
    let lessons = photos.par_iter().map(lesson).collect();
    bar.finish();
    lessons
}

fn one(teacher: &Saliency, path: &Path, folder: &Path) -> anyhow::Result<MaskLesson> {
    let bytes = fs_err::read(path)?;
    let canvas: Canvas = Photo::decode(&bytes, PhotoLimits::default())?.fit(TEACHER_SIDE);
    let file = folder.join(format!("{}.u8", &sha256_hex(&bytes)[..24]));
    let known = fs_err::read(&file).ok().filter(|known| known.len() == SALIENCY_SIDE * SALIENCY_SIDE);
    let garment = match known {
        Some(known) => known,
        None => {
            let seen = teacher.of(canvas.rgb())?;
            let seen: Vec<u8> = seen.into_iter().map(|p| (p * 255.0).round() as u8).collect();
            write_whole(&file, &seen)?;
            seen
        }
    };
    Ok(MaskLesson { canvas, garment })
}
