//! `lapel items import`: a folder of photos, with labels from a CSV file.

use crate::{export, output};
use anyhow::{bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_client::{Client, v1};
use lapel_wardrobe::{LabelledPhoto, TABLE, photo_folder, photo_id};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Items a stream.
pub(crate) const STREAM: usize = 256;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder of photos (JPEG, PNG, WebP); its `images` folder where it has one.
    folder: PathBuf,
    /// CSV file of labels: a column `image` with file names, one column an attribute, empty cells missing; columns `id`
    /// (the items' ids), `split` and `view` are no labels. Separated by commas, semicolons or tabs.
    /// Default: `labels.csv` in the folder, where it exists.
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Only rows whose column `split` says this.
    #[arg(long)]
    split: Option<String>,
    /// Put before each id; ids are file names without their ending otherwise.
    #[arg(long, default_value = "")]
    prefix: String,
}

/// A photo to import.
struct Photo {
    path: PathBuf,
    id: String,
    labels: BTreeMap<String, String>,
}

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    if options.folder.join(export::ITEMS).is_file() {
        return export::import(client, &options.folder, json).await;
    }
    let photos = photos(options)?;
    if photos.is_empty() {
        bail!("there are no JPEG, PNG or WebP files in {}", options.folder.display());
    }
    let style = ProgressStyle::with_template("importing {bar:32} {pos}/{len} {elapsed} (left {eta}) {msg}")?;
    let bar = ProgressBar::new(photos.len() as u64).with_style(style);
    let mut results = Vec::new();
    for batch in photos.chunks(STREAM) {
        let items = batch.iter().map(request).collect::<anyhow::Result<Vec<_>>>()?;
        results.extend(client.upsert(items).await?);
        bar.set_position(results.len() as u64);
        bar.set_message(format!("{:.0} items/s", results.len() as f64 / bar.elapsed().as_secs_f64()));
    }
    bar.finish();
    report(&v1::UpsertItemsResponse { results }, json)
}

/// Says what became of the items.
pub(crate) fn report(answer: &v1::UpsertItemsResponse, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json("UpsertItemsResponse", answer);
    }
    let refused: Vec<_> = answer.results.iter().filter_map(|r| Some((&r.id, r.error.as_ref()?))).collect();
    if !refused.is_empty() {
        let mut table = output::table(&["refused", "why"]);
        for (id, error) in &refused {
            table.add_row([*id, &error.message]);
        }
        output::say(table)?;
    }
    let replaced = answer.results.iter().filter(|r| r.replaced).count();
    let stored = answer.results.len() - refused.len();
    output::say(format!("imported {stored} items ({replaced} of them replaced), refused {}", refused.len()))?;
    if refused.is_empty() { Ok(()) } else { bail!("{} items were refused", refused.len()) }
}

fn request(photo: &Photo) -> anyhow::Result<v1::UpsertItemsRequest> {
    let (id, labels) = (photo.id.clone(), photo.labels.clone());
    Ok(v1::UpsertItemsRequest {
        id,
        image: fs_err::read(&photo.path)?,
        labels,
        ..v1::UpsertItemsRequest::default()
    })
}

fn photos(options: &Options) -> anyhow::Result<Vec<Photo>> {
    let folder = photo_folder(&options.folder);
    let beside = options.folder.join(TABLE);
    let file = options.labels.clone().or_else(|| beside.is_file().then_some(beside));
    match file {
        Some(file) => labelled(&file, &folder, options),
        None => unlabelled(&folder, options),
    }
}

fn labelled(file: &Path, folder: &Path, options: &Options) -> anyhow::Result<Vec<Photo>> {
    let mut rows = lapel_wardrobe::read_table(file, folder)?;
    if let Some(split) = &options.split {
        rows.retain(|row| row.split == *split);
        ensure!(!rows.is_empty(), "{}: no row has the split {split:?}", file.display());
    }
    let photo = |row: LabelledPhoto| Photo {
        id: format!("{}{}", options.prefix, row.id),
        labels: row.labels,
        path: row.path,
    };
    Ok(rows.into_iter().map(photo).collect())
}

fn unlabelled(folder: &Path, options: &Options) -> anyhow::Result<Vec<Photo>> {
    let mut paths = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if ["jpg", "jpeg", "png", "webp"].contains(&ending.as_str()) {
            paths.push(path);
        }
    }
    paths.sort();
    let photo = |path: PathBuf| Photo {
        id: format!("{}{}", options.prefix, photo_id(&path)),
        labels: BTreeMap::new(),
        path,
    };
    Ok(paths.into_iter().map(photo).collect())
}
