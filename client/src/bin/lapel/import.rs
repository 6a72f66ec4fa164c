//! `lapel items import`: a folder of photos, with labels from a CSV file, or a folder written by `lapel items export`.

use crate::interruption::Interruption;
use crate::photos::{Photo, Photos, Source};
use crate::report::Report;
use crate::upload::{Draft, Purpose, Upload};
use crate::{exported, output};
use anyhow::bail;
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
}

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    reach(client).await?;
    let folder = &options.source.folder;
    let report = options.report.as_deref().map(Report::open).transpose()?;
    if folder.join(exported::ITEMS).is_file() {
        return exported::import(client, folder, report, json).await;
    }
    let Photos { photos, refused, notes } = Photos::find(&options.source)?;
    notes.iter().for_each(output::note);
    if photos.is_empty() && refused.is_empty() {
        bail!("there are no JPEG, PNG or WebP files in {}", folder.display());
    }
    let mut upload = Upload::new(client, Purpose::Import, report, photos.len() + refused.len())?;
    for (name, why) in refused {
        upload.refuse(name, why)?;
    }
    let sent = send(&mut upload, photos).await;
    upload.finish(sent, json)
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

async fn send(upload: &mut Upload<'_>, photos: Vec<Photo>) -> anyhow::Result<()> {
    for photo in photos {
        if upload.skip(&photo.id) {
            continue;
        }
        let Photo { id, labels, fields, path, .. } = photo;
        let item = v1::UpsertItemsRequest { id, labels, fields, ..v1::UpsertItemsRequest::default() };
        upload.add(Draft { item, image: Some(path) }).await?;
    }
    upload.flush().await
}
