//! `lapel items export`: the whole catalogue as plain files; see [`crate::exported`].

use crate::exported::{ITEMS, UNFINISHED, file_name};
use crate::npy::Npy;
use crate::{field_json, output};
use anyhow::{Context, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_client::{Client, v1};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use tonic::Streaming;

#[derive(Args)]
pub(crate) struct Options {
    /// An empty folder, or one that does not exist yet. Hidden files in it do not matter.
    folder: PathBuf,
}

pub(crate) async fn run(client: &mut Client, options: &Options) -> anyhow::Result<()> {
    let folder = &options.folder;
    // Whatever lies there is somebody's: a photo in its `images` may have the name of an item.
    ensure_empty(folder)?;
    let stats = client.stats().await?;
    let style = ProgressStyle::with_template("exporting {bar:32} {pos}/{len} {elapsed} (left {eta})")?;
    let bar = ProgressBar::new(stats.items).with_style(style);
    let request =
        v1::ExportItemsRequest { in_pieces: true, all_images: true, ..v1::ExportItemsRequest::default() };
    let mut items = client.catalog.export_items(request).await?.into_inner();
    let mut writing = Writing::begin(folder)?;
    let mut next = items.message().await?;
    while let Some(begun) = next.take() {
        let exported = whole(&mut items, begun).await?;
        let mut more = Vec::new();
        next = items.message().await?;
        while let Some(begun) = next.take_if(|message| message.item.is_none()) {
            more.push(whole(&mut items, begun).await?);
            next = items.message().await?;
        }
        writing.item(exported, more)?;
        bar.set_position(writing.rows);
    }
    bar.finish();
    writing.finish()
}

/// A message with all of its image.
async fn whole(
    items: &mut Streaming<v1::ExportItemsResponse>,
    begun: v1::ExportItemsResponse,
) -> anyhow::Result<v1::ExportItemsResponse> {
    let mut whole = begun;
    while (whole.image.len() as u64) < whole.image_bytes {
        let piece = items.message().await?.context("an image ends before its end")?;
        ensure!(piece.item.is_none() && piece.picture == whole.picture, "an image ends before its end");
        whole.image.extend(piece.image);
    }
    Ok(whole)
}

/// Refuses a folder that holds anything but hidden files.
fn ensure_empty(folder: &Path) -> anyhow::Result<()> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let what = if folder.join(ITEMS).exists() {
        "an export already"
    } else if folder.join(UNFINISHED).exists() {
        "an export that was cut off, or is still being written"
    } else {
        "other files"
    };
    for entry in entries {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            bail!(
                "nothing was exported, since {} holds {what} ({}); name an empty folder, or one that does not exist yet",
                folder.display(),
                Path::new(&name).display()
            );
        }
    }
    Ok(())
}

/// An export that is being written.
struct Writing<'a> {
    folder: &'a Path,
    lines: BufWriter<fs_err::File>,
    columns: BTreeMap<String, Npy>,
    rows: u64,
    /// Stored images that are damaged.
    damaged: u64,
}

impl<'a> Writing<'a> {
    /// Makes the folders. Not before the server sends: what is left of an export that never began would be in the way of the
    /// next.
    fn begin(folder: &'a Path) -> anyhow::Result<Self> {
        fs_err::create_dir_all(folder.join("images"))?;
        fs_err::create_dir_all(folder.join("signatures"))?;
        let lines = BufWriter::new(fs_err::File::create(folder.join(UNFINISHED))?);
        Ok(Self { folder, lines, columns: BTreeMap::new(), rows: 0, damaged: 0 })
    }

    fn item(
        &mut self,
        mut exported: v1::ExportItemsResponse,
        more: Vec<v1::ExportItemsResponse>,
    ) -> anyhow::Result<()> {
        let item = exported.item.take().context("the server sent no item")?;
        let signatures = std::mem::take(&mut exported.signatures);
        let mut names = Vec::new();
        for image in std::iter::once(exported).chain(more) {
            names.extend(self.image(&item.id, image)?);
        }
        // Where the first one is damaged, the next one takes its place.
        let mut names = names.into_iter();
        let image = names.next().map_or(Value::Null, Value::String);
        let fields = field_json::write(&item.fields);
        let mut line = json!({ "id": item.id, "labels": item.labels, "fields": fields, "image": image });
        let more: Vec<String> = names.collect();
        if !more.is_empty() {
            line["more_images"] = json!(more);
        }
        writeln!(self.lines, "{line}")?;
        for v1::Signature { head, values } in signatures {
            let file = self.folder.join(format!("signatures/{}.npy", file_name(&head)));
            let column = match self.columns.entry(head) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(new) => new.insert(Npy::create(&file, values.len())?),
            };
            column.put(self.rows, &values)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes an image and gives its file's name; nothing where there is none, or it is damaged.
    fn image(&mut self, id: &str, image: v1::ExportItemsResponse) -> anyhow::Result<Option<String>> {
        let v1::ExportItemsResponse { image, content_type, image_error, picture, .. } = image;
        if let Some(error) = image_error {
            let which = if picture == 0 { "its image".to_owned() } else { format!("its picture {picture}") };
            output::note(format!("{id} is exported without {which}: {}", error.message));
            self.damaged += 1;
        }
        if image.is_empty() {
            return Ok(None);
        }
        // No file's name of another id has this mark.
        let number = if picture == 0 { String::new() } else { format!("~{picture}") };
        let name = format!("images/{}{number}.{}", file_name(id), ending(&content_type));
        fs_err::write(self.folder.join(&name), &image)?;
        Ok(Some(name))
    }

    /// Ends the files. An error where an image is missing: whoever keeps the export as a backup should hear of it.
    fn finish(mut self) -> anyhow::Result<()> {
        let (rows, heads, folder) = (self.rows, self.columns.len(), self.folder);
        self.columns.into_values().try_for_each(|column| column.finish(rows))?;
        self.lines.flush()?;
        fs_err::rename(folder.join(UNFINISHED), folder.join(ITEMS))?;
        output::say(format!(
            "exported {rows} items with signatures of {heads} heads to {}",
            folder.display()
        ))?;
        ensure!(self.damaged == 0, "{} images of {rows} items are damaged", self.damaged);
        Ok(())
    }
}

fn ending(content_type: &str) -> &str {
    match content_type {
        "image/png" => "png",
        "image/webp" => "webp",
        _ => "jpg",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_that_holds_nothing_is_taken() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path();
        ensure_empty(&path.join("not yet")).expect("one that does not exist");
        ensure_empty(path).expect("an empty one");
        std::fs::write(path.join(".DS_Store"), "").expect("written");
        ensure_empty(path).expect("hidden files do not matter");
        std::fs::create_dir(path.join("images")).expect("made");
        let refused = || ensure_empty(path).expect_err("refused").to_string();
        assert!(refused().contains("holds other files (images); name an empty folder"), "{}", refused());
        std::fs::write(path.join(UNFINISHED), "").expect("written");
        assert!(refused().contains("an export that was cut off"), "{}", refused());
        std::fs::write(path.join(ITEMS), "").expect("written");
        assert!(refused().contains("an export already"), "{}", refused());
        assert!(ensure_empty(&path.join(ITEMS)).is_err(), "a file");
    }
}
