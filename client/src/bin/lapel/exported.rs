//! The folder that `lapel items export` writes, and its import.
//!
//! `items.jsonl` has one line an item: its id, its labels and its image's file. `signatures/HEAD.npy` has one row a line,
//! in the same order; a row of NaN where the item has no signature of that head.

use crate::npy::NpyRows;
use crate::report::Report;
use crate::upload::{Draft, Upload};
use anyhow::Context;
use lapel_client::{Client, v1};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The file of labels; its presence makes a folder an export.
pub(crate) const ITEMS: &str = "items.jsonl";
/// Longest name of an image's file, without its ending.
const NAME_LEN_MAX: usize = 180;

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
        let Line { id, labels, image } = line;
        signatures.retain(|(is_external, _)| *is_external || image.is_none());
        let signatures = signatures.into_iter().map(|(_, signature)| signature).collect();
        let item = v1::UpsertItemsRequest { id, labels, signatures, ..v1::UpsertItemsRequest::default() };
        upload.add(Draft { item, image: image.map(|name| folder.join(name)) }).await?;
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
pub(crate) fn file_name(id: &str) -> String {
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
}
