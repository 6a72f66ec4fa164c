//! The verb `evaluate`.

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use lapel_heads::evaluate::{Measured, accuracies, fresh_seed, measure};
use lapel_heads::wardrobe::LabelledPhoto;
use lapel_heads::{
    AlexNet, BACKBONE_FILE, Backbone, EXTRACT_PARTS_FILE, Embedder, Head, Labels, Photo, PhotoLimits,
};
use lapel_heads::{PartsCase, extract_parts, render, train, wardrobe};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// The heads of special attributes, and the one of the general ones.
const HEADS: [&str; 7] = ["color", "pattern", "sleeve_length", "neckline", "collar", "fastening", "general"];
const SPECIAL: [&str; 6] = ["color", "pattern", "sleeve_length", "neckline", "collar", "fastening"];

#[derive(Args)]
pub(crate) struct Options {
    /// Folder with labels.csv and images/; its `val` rows are measured, or all where there is no column `split`.
    /// Without a folder: rendered garments alone.
    #[arg(long)]
    wardrobe: Option<PathBuf>,
    /// Measure the photos that `train --hold-out` of the same number left out, instead of the `val` rows.
    #[arg(long, default_value_t = 0)]
    hold_out: usize,
    /// Rendered garments to measure, of a seed that no training uses.
    #[arg(long, default_value_t = 1000)]
    rendered: u64,
    /// Folder of the backbone's weights and the bundles.
    #[arg(long, default_value = "heads/bundles")]
    bundles: PathBuf,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let backbone: Arc<dyn Backbone> = Arc::new(AlexNet::load(&options.bundles.join(BACKBONE_FILE))?);
    let head = |name: &str| {
        let path = options.bundles.join(name);
        let bytes = fs_err::read(&path)?;
        Head::from_bytes(&bytes, backbone.as_ref()).with_context(|| path.display().to_string())
    };
    let embedder = Embedder::new(backbone.clone(), head(EXTRACT_PARTS_FILE)?)?;
    let heads = HEADS.iter().map(|name| Ok(Arc::new(head(&format!("{name}.safetensors"))?)));
    let heads = heads.collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(folder) = &options.wardrobe {
        let photos = photos(folder, options.hold_out)?;
        let loaded = photos
            .iter()
            .map(|p| Ok((Photo::decode(&fs_err::read(&p.path)?, PhotoLimits::default())?, p.labels.clone())))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let title = if options.hold_out == 0 { "validation photos" } else { "held-out training photos" };
        report(title, &embedder, &heads, loaded.into_iter())?;
    }
    let seed = fresh_seed();
    let rendered = (0..options.rendered).map(|index| {
        let r = render::render(seed, index);
        (r.photo, r.truth)
    });
    report("rendered garments", &embedder, &heads, rendered)
}

fn photos(folder: &Path, hold_out: usize) -> anyhow::Result<Vec<LabelledPhoto>> {
    let mut photos = wardrobe::read(folder)?;
    photos.retain(|p| p.split == "val" || p.split.is_empty());
    let _ = hold_out;
    Ok(photos)
}

fn report(
    title: &str,
    embedder: &Embedder,
    heads: &[Arc<Head>],
    photos: impl Iterator<Item = (Photo, Labels)>,
) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner().with_message(title.to_owned());
    let photos: Vec<_> = photos.collect();
    let parts_ms = part_extraction_ms(embedder, &photos);
    let started = Instant::now();
    let measured = measure(embedder, heads, photos.into_iter(), |n| bar.inc(n as u64))?;
    let per_second = measured.len() as f64 / started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{title}: {} pictures; \"Extract Parts?\" right on {:.1} %\n",
        measured.len(),
        100.0 * case_accuracy(&measured)
    )?;
    writeln!(
        out,
        "{:<14} {:>8} {:>9} {:>9} {:>9}",
        "attribute", "labelled", "accuracy", "balanced", "majority"
    )?;
    for a in accuracies(&measured, heads) {
        writeln!(
            out,
            "{:<14} {:>8} {:>8.1}% {:>8.1}% {:>8.1}%",
            a.attribute,
            a.labelled,
            100.0 * a.accuracy,
            100.0 * a.balanced,
            100.0 * a.majority
        )?;
    }
    writeln!(
        out,
        "\npart extraction {parts_ms:.2} ms a picture (median, one thread); {per_second:.0} pictures a second from"
    )?;
    writeln!(out, "decoded photo to parts and all signatures")?;
    Ok(())
}

/// Median milliseconds that part extraction takes, sleeves included.
fn part_extraction_ms(embedder: &Embedder, photos: &[(Photo, Labels)]) -> f64 {
    let side = embedder.backbone().input_side();
    let time = |(photo, _): &(Photo, Labels)| {
        let canvas = photo.fit(side);
        let started = Instant::now();
        std::hint::black_box(extract_parts(&canvas, PartsCase::Sleeved));
        started.elapsed().as_secs_f64() * 1000.0
    };
    let mut times: Vec<f64> = photos.iter().map(time).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Share of the pictures whose case is known that "Extract Parts?" gets right.
fn case_accuracy(measured: &[Measured]) -> f64 {
    let known = measured.iter().filter_map(|m| Some(train::parts_case(&m.labels)? == m.case));
    let (right, all) =
        known.fold((0.0, 0.0), |(right, all), same| (right + f64::from(u8::from(same)), all + 1.0));
    right / f64::max(all, 1.0)
}
