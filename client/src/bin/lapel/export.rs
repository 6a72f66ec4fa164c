//! `lapel items export`: the whole catalogue as plain files; see [`crate::exported`].

use crate::exported::{ITEMS, file_name};
use crate::npy::Npy;
use crate::{field_json, output};
use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_client::{Client, v1};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The file of labels until it is whole, so that a folder that was cut off is not taken for an export.
const UNFINISHED: &str = "items.unfinished";

#[derive(Args)]
pub(crate) struct Options {
    /// An empty folder, or one that does not exist yet.
    folder: PathBuf,
}

pub(crate) async fn run(client: &mut Client, options: &Options) -> anyhow::Result<()> {
    let folder = &options.folder;
    fs_err::create_dir_all(folder.join("images"))?;
    fs_err::create_dir_all(folder.join("signatures"))?;
    ensure!(!folder.join(ITEMS).exists(), "{} holds an export already", folder.display());
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
    fn begin(folder: &'a Path) -> anyhow::Result<Self> {
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
