//! `lapel items export`: the whole catalogue as plain files, and back.
//!
//! `items.jsonl` has one line an item: its id, its labels and its image's file. `signatures/HEAD.npy` has one row a line,
//! in the same order; a row of NaN where the item has no signature of that head.

use crate::output;
use crate::report::Report;
use crate::upload::Upload;
use anyhow::{Context, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_client::{Client, v1};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file of labels; its presence makes a folder an export.
pub(crate) const ITEMS: &str = "items.jsonl";
/// Bytes of a .npy file before its numbers.
const NPY_HEADER: usize = 128;
/// Longest name of an image's file, without its ending.
const NAME_LEN_MAX: usize = 180;

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
    let stats = client.catalog.catalog_stats(v1::CatalogStatsRequest {}).await?.into_inner();
    let style = ProgressStyle::with_template("exporting {bar:32} {pos}/{len} {elapsed} (left {eta})")?;
    let bar = ProgressBar::new(stats.items).with_style(style);
    let request = v1::ExportItemsRequest::default();
    let mut items = client.catalog.export_items(request).await?.into_inner();
    // Under another name until it is whole, so that a folder that was cut off is not taken for an export.
    let unfinished = folder.join("items.unfinished");
    let mut lines = BufWriter::new(fs_err::File::create(&unfinished)?);
    let mut columns: BTreeMap<String, Npy> = BTreeMap::new();
    let mut rows = 0u64;
    while let Some(exported) = items.message().await? {
        let item = exported.item.context("the server sent no item")?;
        let mut image = Value::Null;
        if !exported.image.is_empty() {
            let name = format!("images/{}.{}", file_name(&item.id), ending(&exported.content_type));
            fs_err::write(folder.join(&name), &exported.image)?;
            image = Value::String(name);
        }
        let line = json!({ "id": item.id, "labels": item.labels, "image": image });
        writeln!(lines, "{line}")?;
        for signature in exported.signatures {
            let file = folder.join(format!("signatures/{}.npy", file_name(&signature.head)));
            let column = match columns.entry(signature.head) {
                std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    new.insert(Npy::create(&file, signature.values.len())?)
                }
            };
            column.put(rows, &signature.values)?;
        }
        rows += 1;
        bar.set_position(rows);
    }
    bar.finish();
    let heads: Vec<String> = columns.keys().cloned().collect();
    columns.into_values().try_for_each(|column| column.finish(rows))?;
    lines.flush()?;
    fs_err::rename(&unfinished, folder.join(ITEMS))?;
    output::say(format!(
        "exported {rows} items with signatures of {} heads to {}",
        heads.len(),
        folder.display()
    ))
}

/// Signatures of a head in an export.
struct Column {
    head: String,
    is_external: bool,
    rows: NpyRows,
}

/// Sends what an export holds. Signatures of heads with a network are computed anew from the images; those of external
/// heads, and of items without an image, are sent. A line that cannot be read is refused and the rest goes on.
pub(crate) async fn import(
    client: &mut Client,
    folder: &Path,
    report: Option<Report>,
    json: bool,
) -> anyhow::Result<()> {
    let mut columns = columns(client, folder).await?;
    let mut total = 0;
    for line in lines(folder)? {
        line?;
        total += 1;
    }
    let mut upload = Upload::new(client, report, total)?;
    let sent = send(&mut upload, folder, &mut columns).await;
    upload.finish(sent, json)
}

async fn columns(client: &mut Client, folder: &Path) -> anyhow::Result<Vec<Column>> {
    let request =
        v1::ListHeadsRequest { page_size: 1000, state: v1::HeadState::Active.into(), ..Default::default() };
    let heads = client.heads.list_heads(request).await?.into_inner().heads;
    let mut columns = Vec::new();
    for head in heads {
        let file = folder.join(format!("signatures/{}.npy", file_name(&head.name)));
        if file.is_file() {
            let rows = NpyRows::open(&file).with_context(|| file.display().to_string())?;
            let is_external = head.kind() == v1::HeadKind::External;
            columns.push(Column { head: head.name, is_external, rows });
        }
    }
    Ok(columns)
}

/// The lines of an export that are not blank, with their numbers. An error ends them.
fn lines(folder: &Path) -> anyhow::Result<impl Iterator<Item = std::io::Result<(usize, Vec<u8>)>>> {
    let lines = BufReader::new(fs_err::File::open(folder.join(ITEMS))?).split(b'\n');
    let numbered = (1usize..).zip(lines).map(|(number, line)| line.map(|line| (number, line)));
    Ok(numbered.filter(|line| !matches!(line, Ok((_, text)) if text.trim_ascii().is_empty())))
}

async fn send(upload: &mut Upload<'_>, folder: &Path, columns: &mut [Column]) -> anyhow::Result<()> {
    let mut ids = HashSet::new();
    for line in lines(folder)? {
        let (number, line) = line?;
        // Every line has a row in every column, also one that is refused.
        let mut signatures = Vec::new();
        for Column { head, is_external, rows } in columns.iter_mut() {
            if let Some(values) = rows.next()? {
                signatures.push((*is_external, v1::Signature { head: head.clone(), values }));
            }
        }
        let place = format!("{ITEMS}, line {number}");
        let line = match Line::parse(&line) {
            Ok(line) => line,
            Err(error) => {
                upload.refuse(place, format!("{error:#}"))?;
                continue;
            }
        };
        if !ids.insert(line.id.clone()) {
            upload.refuse(line.id, format!("{place} has the id of a line before it"))?;
            continue;
        }
        if upload.skip(&line.id) {
            continue;
        }
        match line.image.map_or(Ok(Vec::new()), |name| fs_err::read(folder.join(name))) {
            Ok(image) => {
                signatures.retain(|(is_external, _)| *is_external || image.is_empty());
                let signatures = signatures.into_iter().map(|(_, signature)| signature).collect();
                let Line { id, labels, .. } = line;
                upload
                    .add(v1::UpsertItemsRequest { id, image, labels, signatures, ..Default::default() })
                    .await?;
            }
            Err(error) => upload.refuse(line.id, format!("{place}: {error}"))?,
        }
    }
    upload.flush().await
}

/// A line of [`ITEMS`].
struct Line {
    id: String,
    labels: BTreeMap<String, String>,
    image: Option<String>,
}

impl Line {
    fn parse(line: &[u8]) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_slice(line)?;
        let id = value["id"].as_str().context("there is no \"id\"")?.to_owned();
        let mut labels = BTreeMap::new();
        for (attribute, label) in value["labels"].as_object().into_iter().flatten() {
            labels.insert(attribute.clone(), label.as_str().context("a label is no text")?.to_owned());
        }
        Ok(Self { id, labels, image: value["image"].as_str().map(str::to_owned) })
    }
}

/// A name that every file system takes: letters, digits, `-`, `_` and `.` stay, other bytes are written as %XX.
fn file_name(id: &str) -> String {
    let mut name = String::new();
    for (at, byte) in id.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && at > 0);
        if plain {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}");
        }
    }
    if name.len() > NAME_LEN_MAX {
        let hash = lapel_client::sha256(id.as_bytes());
        name.truncate(NAME_LEN_MAX - 17);
        name = format!("{name}-{}", &hash[..16]);
    }
    name
}

fn ending(content_type: &str) -> &str {
    match content_type {
        "image/png" => "png",
        "image/webp" => "webp",
        _ => "jpg",
    }
}

/// A .npy file of f32 rows that grows; how many rows there are is known at its end.
struct Npy {
    file: BufWriter<fs_err::File>,
    dim: usize,
    rows: u64,
}

impl Npy {
    fn create(path: &Path, dim: usize) -> anyhow::Result<Self> {
        let mut file = BufWriter::new(fs_err::File::create(path)?);
        file.write_all(&[0; NPY_HEADER])?;
        Ok(Self { file, dim, rows: 0 })
    }

    /// Writes a row, after rows of NaN for the items before it that have none.
    fn put(&mut self, row: u64, values: &[f32]) -> anyhow::Result<()> {
        self.fill(row)?;
        self.file.write_all(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())?;
        self.rows += 1;
        Ok(())
    }

    fn fill(&mut self, rows: u64) -> anyhow::Result<()> {
        let missing = f32::NAN.to_le_bytes().repeat(self.dim);
        while self.rows < rows {
            self.file.write_all(&missing)?;
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(mut self, rows: u64) -> anyhow::Result<()> {
        self.fill(rows)?;
        let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {}), }}", self.dim);
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend_from_slice(&((NPY_HEADER - 10) as u16).to_le_bytes());
        header.extend_from_slice(shape.as_bytes());
        header.resize(NPY_HEADER - 1, b' ');
        header.push(b'\n');
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.flush()?;
        Ok(())
    }
}

/// Rows of a .npy file of f32 that `export` wrote.
struct NpyRows {
    file: BufReader<fs_err::File>,
    dim: usize,
}

impl NpyRows {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let mut file = BufReader::new(fs_err::File::open(path)?);
        let mut header = [0; NPY_HEADER];
        file.read_exact(&mut header)?;
        let text = String::from_utf8_lossy(&header);
        let dim = text.split_once("'shape': (").and_then(|(_, shape)| {
            let (_, dim) = shape.split_once(')')?.0.split_once(',')?;
            dim.trim().parse().ok()
        });
        if !text.contains("'<f4'") || !text.contains("'fortran_order': False") {
            bail!("only f32 in rows is read");
        }
        Ok(Self { file, dim: dim.context("the header has no shape of two numbers")? })
    }

    /// The next row; `None` where it says that there is no signature.
    fn next(&mut self) -> anyhow::Result<Option<Vec<f32>>> {
        let mut bytes = vec![0; self.dim * 4];
        self.file.read_exact(&mut bytes).context("there are fewer rows than items")?;
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Ok(Some(values).filter(|values| !values.iter().any(|v| v.is_nan())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_distinct_safe_names() {
        let long = "x/".repeat(128);
        let ids = ["a", "A b", "../../etc", ".hidden", "ä", "a%20b", "a b", &long, &long[..254]];
        let mut names: Vec<String> = ids.iter().map(|id| file_name(id)).collect();
        assert!(names.iter().all(|n| n.len() <= NAME_LEN_MAX && !n.contains('/') && !n.starts_with('.')));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ids.len());
    }

    #[test]
    fn rows_come_back_with_their_gaps() {
        let path = std::env::temp_dir().join(format!("lapel-{}.npy", std::process::id()));
        let mut column = Npy::create(&path, 2).expect("created");
        column.put(1, &[1.0, 2.0]).expect("written");
        column.put(3, &[3.0, 4.0]).expect("written");
        column.finish(5).expect("finished");
        let mut rows = NpyRows::open(&path).expect("opened");
        let found: Vec<_> = (0..5).map(|_| rows.next().expect("a row")).collect();
        assert_eq!(found, [None, Some(vec![1.0, 2.0]), None, Some(vec![3.0, 4.0]), None]);
        assert!(rows.next().is_err());
        std::fs::remove_file(path).expect("removed");
    }
}
