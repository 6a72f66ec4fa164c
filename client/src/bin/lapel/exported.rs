//! The folder that `lapel items export` writes, and its import.
//!
//! `items.jsonl` has one line an item: its id, its labels, its fields (see [`field_json`]), its image's file and those of
//! further images. `signatures/HEAD.npy` has one row a line,
//! in the same order; a row of NaN where the item has no signature of that head.

use crate::npy::NpyRows;
use crate::report::Report;
use crate::upload::{Draft, Purpose, Upload};
use crate::{field_json, output};
use anyhow::{Context, bail, ensure};
use lapel_client::{Client, v1};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Component, Path};

/// The file of labels; its presence makes a folder an export.
pub(crate) const ITEMS: &str = "items.jsonl";
/// The file of labels until it is whole, so that a folder that was cut off is not taken for an export.
pub(crate) const UNFINISHED: &str = "items.unfinished";
/// Longest name of an image's file, without its ending.
const NAME_LEN_MAX: usize = 180;

/// Signatures of a head in an export.
struct Column {
    head: String,
    is_external: bool,
    rows: NpyRows,
}

/// The signatures of an export that can be sent.
struct Columns {
    sound: Vec<Column>,
    /// The last file of signatures that cannot be read, where there is one.
    left_out: Option<String>,
}

/// Sends what an export holds. Signatures of heads with a network are computed anew from the images; those of external
/// heads, and of items without an image, are sent. A line that cannot be read is refused and the rest goes on.
pub(crate) async fn import(
    client: &mut Client,
    folder: &Path,
    report: Option<Report>,
    json: bool,
) -> anyhow::Result<()> {
    let mut total = 0;
    for line in lines(folder)? {
        line?;
        total += 1;
    }
    let mut columns = columns(client, folder, total).await?;
    let mut upload = Upload::new(client, Purpose::Import, report, total)?;
    let sent = send(&mut upload, folder, &mut columns).await;
    upload.finish(sent, json)
}

/// Opens the files of signatures, for an export of so many lines. One that cannot be read is left out with a word; where one
/// has another number of rows, no line can be trusted to be that of its row.
async fn columns(client: &mut Client, folder: &Path, lines: usize) -> anyhow::Result<Columns> {
    let request =
        v1::ListHeadsRequest { page_size: 1000, state: v1::HeadState::Active.into(), ..Default::default() };
    let heads = client.heads.list_heads(request).await?.into_inner().heads;
    let mut columns = Columns { sound: Vec::new(), left_out: None };
    for head in heads {
        let file = folder.join(format!("signatures/{}.npy", file_name(&head.name)));
        if !file.is_file() {
            continue;
        }
        let opened = NpyRows::open(&file);
        let file = file.display().to_string();
        match opened {
            Ok(rows) => {
                let count = rows.count();
                ensure!(
                    count == lines as u64,
                    "nothing was sent, since {file} has {count} rows and {} has {lines} lines: rows belong to lines by their \
                     order",
                    folder.join(ITEMS).display()
                );
                let is_external = head.kind() == v1::HeadKind::External;
                columns.sound.push(Column { head: head.name, is_external, rows });
            }
            Err(error) => {
                output::note(format!(
                    "left out, since it cannot be read: the signatures in {file} ({error:#})"
                ));
                columns.left_out = Some(file);
            }
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

async fn send(upload: &mut Upload<'_>, folder: &Path, columns: &mut Columns) -> anyhow::Result<()> {
    let mut ids = HashSet::new();
    for line in lines(folder)? {
        let (number, line) = line?;
        // Every line has a row in every column, also one that is refused.
        let mut signatures = Vec::new();
        for Column { head, is_external, rows } in &mut columns.sound {
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
        let Line { id, labels, fields, image, more_images } = line;
        if let (None, Some(file)) = (&image, &columns.left_out) {
            upload.refuse(id, format!("{place}: it has no image, and {file} cannot be read"))?;
            continue;
        }
        signatures.retain(|(is_external, _)| *is_external || image.is_none());
        let signatures = signatures.into_iter().map(|(_, signature)| signature).collect();
        let item =
            v1::UpsertItemsRequest { id, labels, fields, signatures, ..v1::UpsertItemsRequest::default() };
        let images = image.into_iter().chain(more_images).map(|name| folder.join(name)).collect();
        upload.add(Draft { item, images }).await?;
    }
    upload.flush().await
}

/// A line of [`ITEMS`].
struct Line {
    id: String,
    labels: BTreeMap<String, String>,
    fields: BTreeMap<String, v1::FieldValue>,
    image: Option<String>,
    more_images: Vec<String>,
}

impl Line {
    fn parse(line: &[u8]) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_slice(line)?;
        let id = value["id"].as_str().context("there is no \"id\"")?.to_owned();
        let image = match &value["image"] {
            Value::Null => None,
            Value::String(name) => Some(below(name)?.to_owned()),
            other => bail!("\"image\" is {other} where the name of a file belongs"),
        };
        let more_images = match &value["more_images"] {
            Value::Null => Vec::new(),
            Value::Array(names) => names.iter().map(more_image).collect::<anyhow::Result<_>>()?,
            other => bail!("\"more_images\" is {other} where names of files belong"),
        };
        ensure!(image.is_some() || more_images.is_empty(), "there are \"more_images\" without an \"image\"");
        let fields = field_json::read(&value["fields"])?;
        Ok(Self { id, labels: labels(&value["labels"])?, fields, image, more_images })
    }
}

fn more_image(name: &Value) -> anyhow::Result<String> {
    let name = name.as_str().with_context(|| format!("{name} in \"more_images\" is no name of a file"))?;
    Ok(below(name)?.to_owned())
}

/// The labels of a line; none where it says nothing of them.
fn labels(value: &Value) -> anyhow::Result<BTreeMap<String, String>> {
    let object = match value {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Object(object) => object,
        other => {
            bail!("\"labels\" is {other} where labels by attribute belong, as in {{\"color\": \"red\"}}")
        }
    };
    let mut labels = BTreeMap::new();
    for (attribute, label) in object {
        let label =
            label.as_str().with_context(|| format!("the label of {attribute:?} is {label}, no text"))?;
        labels.insert(attribute.clone(), label.to_owned());
    }
    Ok(labels)
}

/// The name of an image's file, where it lies in the export's folder.
fn below(name: &str) -> anyhow::Result<&str> {
    let leaves = |part: Component<'_>| !matches!(part, Component::Normal(_) | Component::CurDir);
    let is_below = !name.is_empty() && !Path::new(name).components().any(leaves);
    ensure!(is_below, "{name:?} is not in the export's folder; images are paths below it");
    Ok(name)
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
    fn a_line_that_cannot_be_meant_is_refused_with_the_reason() {
        let parse = |text: &str| Line::parse(text.as_bytes());
        let line =
            parse(r#"{"id": "a", "labels": {"color": "red"}, "image": "images/a.jpg"}"#).expect("sound");
        assert_eq!((line.labels["color"].as_str(), line.image.as_deref()), ("red", Some("images/a.jpg")));
        assert!(line.fields.is_empty(), "an export of a version without fields");
        assert!(line.more_images.is_empty(), "and without several pictures");
        let line =
            parse(r#"{"id": "a", "image": "a.jpg", "more_images": ["b.jpg", "c.jpg"]}"#).expect("sound");
        assert_eq!(line.more_images, ["b.jpg", "c.jpg"]);
        let line = parse(r#"{"id": "a", "labels": {}, "fields": {"price": {"number": 5}}, "image": null}"#);
        let line = line.expect("sound");
        assert!(line.labels.is_empty() && line.image.is_none() && line.fields.len() == 1);
        for (text, why) in [
            (r#"{"id": "a", "labels": ["red"]}"#, "\"labels\" is [\"red\"]"),
            (r#"{"id": "a", "labels": "red"}"#, "\"labels\" is \"red\""),
            (r#"{"id": "a", "labels": {"color": 5}}"#, "the label of \"color\" is 5"),
            (r#"{"id": "a", "fields": {"price": 5}}"#, "the field \"price\" is 5"),
            (r#"{"id": "a", "image": 5}"#, "\"image\" is 5"),
            (r#"{"id": "a", "image": "../a.jpg"}"#, "not in the export's folder"),
            (r#"{"id": "a", "image": "/etc/hosts"}"#, "not in the export's folder"),
            (r#"{"id": "a", "image": ""}"#, "not in the export's folder"),
            (r#"{"id": "a", "image": "a.jpg", "more_images": "b.jpg"}"#, "\"more_images\" is \"b.jpg\""),
            (r#"{"id": "a", "image": "a.jpg", "more_images": [5]}"#, "5 in \"more_images\" is no name"),
            (r#"{"id": "a", "image": "a.jpg", "more_images": ["../b.jpg"]}"#, "not in the export's folder"),
            (r#"{"id": "a", "more_images": ["b.jpg"]}"#, "without an \"image\""),
            (r#"["a"]"#, "there is no \"id\""),
        ] {
            let refused = parse(text).err().expect("refused").to_string();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

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
