//! `lapel items import`: a folder of photos, with labels from a CSV file, or a folder written by `lapel items export`.

use crate::interruption::Interruption;
use crate::photos::{Photo, Photos, Source};
use crate::report::Report;
use crate::upload::{Draft, Purpose, Upload};
use crate::{exported, output};
use anyhow::{bail, ensure};
use clap::Args;
use lapel_client::{Client, v1};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    source: Source,
    /// Write what becomes of each item to this file, a line of JSON an item. Items that it says are stored are not sent
    /// again, so that the same command goes on where it was cut off; keep one file a catalogue and folder.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Replace items that are there as a whole. Otherwise they keep the labels, fields and signatures of external heads that
    /// the folder does not speak of. An export replaces them in any case: it is of whole items.
    #[arg(long)]
    replace: bool,
}

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    let is_export = is_export(&options.source)?;
    reach(client).await?;
    let folder = &options.source.folder;
    let report = options.report.as_deref().map(Report::open).transpose()?;
    if is_export {
        return exported::import(client, folder, report, json).await;
    }
    let Photos { photos, refused, notes, spoiled: _, unread: _ } = Photos::find(&options.source)?;
    notes.iter().for_each(output::note);
    if photos.is_empty() && refused.is_empty() {
        bail!("there are no JPEG, PNG or WebP files in {}", folder.display());
    }
    let mut upload = Upload::new(client, Purpose::Import, report, photos.len() + refused.len())?;
    for (name, why) in refused {
        upload.refuse(name, why)?;
    }
    let sent = send(&mut upload, photos, !options.replace).await;
    upload.finish(sent, json)
}

/// Whether an export is to be imported. One that was cut off is refused: its photos have the names of items, and would
/// replace their images. So are options that an export does not heed.
fn is_export(source: &Source) -> anyhow::Result<bool> {
    let folder = source.folder.display();
    if !source.folder.join(exported::ITEMS).is_file() {
        let unfinished = exported::UNFINISHED;
        ensure!(
            !source.folder.join(unfinished).exists(),
            "nothing was sent, since {folder} holds an export that was cut off, or is still being written ({unfinished}); wait \
             for its end or export again to an empty folder, or remove {unfinished} to import what is there as photos alone"
        );
        return Ok(false);
    }
    let options = source.of_photos_alone();
    ensure!(
        options.is_empty(),
        "nothing was sent, since {folder} is an export, and its {} says all ids and labels; import it without {}",
        exported::ITEMS,
        options.join(", ")
    );
    Ok(true)
}

/// Makes sure that the server is reached as it wants to be: a connection that breaks later is worth another try. What the
/// server says does not matter here.
pub(crate) async fn reach(client: &mut Client) -> anyhow::Result<()> {
    let request = v1::ListItemsRequest { page_size: 1, ..v1::ListItemsRequest::default() };
    match client.catalog.list_items(request).await {
        Err(status) if Interruption::of(&status) == Interruption::Connection => Err(status.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Sends items; `keep_others`: what they do not name stays.
async fn send(upload: &mut Upload<'_>, photos: Vec<Photo>, keep_others: bool) -> anyhow::Result<()> {
    for photo in photos {
        if upload.skip(&photo.id) {
            continue;
        }
        let Photo { id, labels, fields, path, more, .. } = photo;
        let item =
            v1::UpsertItemsRequest { id, labels, fields, keep_others, ..v1::UpsertItemsRequest::default() };
        let images = std::iter::once(path).chain(more).collect();
        upload.add(Draft { item, images }).await?;
    }
    upload.flush().await
}
