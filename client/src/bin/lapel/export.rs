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
    let request = v1::ExportItemsRequest { in_pieces: true, ..v1::ExportItemsRequest::default() };
    let mut items = client.catalog.export_items(request).await?.into_inner();
    let mut writing = Writing::begin(folder)?;
    while let Some(mut exported) = items.message().await? {
        while (exported.image.len() as u64) < exported.image_bytes {
            let piece = items.message().await?.context("an image ends before its end")?;
            ensure!(piece.item.is_none(), "an image ends before its end");
            exported.image.extend(piece.image);
        }
        writing.item(exported)?;
        bar.set_position(writing.rows);
    }
    bar.finish();
    writing.finish()
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
    /// Items whose stored image is damaged.
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

    fn item(&mut self, exported: v1::ExportItemsResponse) -> anyhow::Result<()> {
        let item = exported.item.context("the server sent no item")?;
        if let Some(error) = exported.image_error {
            output::note(format!("{} is exported without its image: {}", item.id, error.message));
            self.damaged += 1;
        }
        let mut image = Value::Null;
        if !exported.image.is_empty() {
            let name = format!("images/{}.{}", file_name(&item.id), ending(&exported.content_type));
            fs_err::write(self.folder.join(&name), &exported.image)?;
            image = Value::String(name);
        }
        let fields = field_json::write(&item.fields);
        let line = json!({ "id": item.id, "labels": item.labels, "fields": fields, "image": image });
        writeln!(self.lines, "{line}")?;
        for v1::Signature { head, values } in exported.signatures {
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
        ensure!(self.damaged == 0, "{} of {rows} items have an image that is damaged", self.damaged);
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
