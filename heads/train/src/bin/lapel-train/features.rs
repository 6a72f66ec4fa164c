//! The verb `features`: what a backbone gives for photos, for whoever trains heads with other tools.

use crate::data::progress_bar;
use crate::train_report::say;
use anyhow::{Context, ensure};
use clap::Args;
use lapel_heads::{BACKBONE_FILE, Backbone, FeatureLayout, load_backbone, shipped_folder};
use lapel_train::{FeaturePhoto, feature_photos, write_features, write_whole};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Names the shipped backbone in place of a file.
const SHIPPED: &str = "default";

#[derive(Args)]
pub(crate) struct Options {
    /// The backbone's file, or `default` for the shipped one.
    #[arg(long, value_name = "FILE", default_value = SHIPPED)]
    backbone: PathBuf,
    /// Folder of photos; where it has a labels.csv, the photos of its rows in their order, and otherwise all by name.
    #[arg(long, value_name = "FOLDER")]
    photos: PathBuf,
    /// Where the features go: f32 [photos, numbers], a .npy file. A file that is there is replaced.
    #[arg(long, value_name = "FILE.npy")]
    out: PathBuf,
    /// Where the ids of the photos go, one a line in the order of the rows (default: --out with the ending .ids).
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let ids_path = options.ids.clone().unwrap_or_else(|| options.out.with_extension("ids"));
    ensure!(ids_path != options.out, "--ids and --out are the same file, {}", ids_path.display());
    let is_shipped = options.backbone == Path::new(SHIPPED);
    let file = if is_shipped { shipped_folder().join(BACKBONE_FILE) } else { options.backbone.clone() };
    let backbone = load_backbone(&fs_err::read(&file)?).with_context(|| file.display().to_string())?;
    let (photos, notes) = feature_photos(&options.photos)?;
    let bar = progress_bar("photos");
    bar.set_length(photos.len() as u64);
    for note in &notes {
        say(&bar, &format!("passed over {note}"));
    }
    let written =
        write_features(backbone.as_ref(), &photos, &options.out, |done| bar.set_position(done as u64));
    bar.finish();
    written?;
    write_whole(&ids_path, lines(&photos).as_bytes())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "wrote {} and {}", options.out.display(), ids_path.display())?;
    writeln!(out, "photos: {}", photos.len())?;
    writeln!(out, "backbone: {}", backbone.fingerprint())?;
    writeln!(out, "inputs: {}", inputs(backbone.as_ref()))?;
    Ok(())
}

fn lines(photos: &[FeaturePhoto]) -> String {
    photos.iter().map(|photo| format!("{}\n", photo.id)).collect()
}

/// The vectors of a row, in their order, with their lengths.
fn inputs(backbone: &dyn Backbone) -> String {
    match backbone.layout() {
        FeatureLayout::Map(_) => String::new(),
        FeatureLayout::Vectors(sources) => {
            let source = |source: &lapel_heads::Source| format!("{} {}", source.name, source.len);
            sources.iter().map(source).collect::<Vec<_>>().join(", ")
        }
    }
}
