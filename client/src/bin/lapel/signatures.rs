//! `lapel items signatures`: signatures of an external head for items that are there, from a NumPy file.

use crate::import;
use crate::upload::{Draft, Purpose, Upload};
use anyhow::{Context, bail, ensure};
use clap::Args;
use lapel_client::npy::NpyReader;
use lapel_client::{Client, v1};
use prost_types::FieldMask;
use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use tonic::Code;

#[derive(Args)]
pub(crate) struct Options {
    /// The head: its version that serves, or NAME@VERSION.
    head: String,
    /// The signatures: a NumPy file of float32 or float64 with the shape [items, dim].
    file: PathBuf,
    /// The items' ids, in the order of the file's rows: a text file with an id a line.
    #[arg(long, value_name = "FILE")]
    ids: PathBuf,
}

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    let Options { head, file, ids: of_ids } = options;
    let told = file.display();
    let ids = read_ids(of_ids)
        .with_context(|| format!("nothing was sent, since {} is faulty", of_ids.display()))?;
    // A pipe has no length to be compared with its header.
    ensure!(fs_err::metadata(file)?.is_file(), "{told} is no regular file");
    let input = fs_err::File::open(file)?;
    let bytes = input.metadata()?.len();
    let rows = NpyReader::new(BufReader::new(input), bytes)
        .with_context(|| format!("nothing was sent, since {told} is not read"))?;
    let (found, given) = (rows.items(), ids.len());
    ensure!(found > 0, "nothing was sent, since {told} has no rows");
    ensure!(
        found == given as u64,
        "nothing was sent, since {told} has {found} rows and {} has {given} ids: rows belong to ids by their order",
        of_ids.display()
    );
    import::reach(client).await?;
    let (dim, wanted) = (rows.dim(), dim_of(client, head).await?);
    ensure!(
        dim as u64 == u64::from(wanted),
        "nothing was sent, since the rows of {told} have {dim} numbers and signatures of the head {head} have {wanted}"
    );
    let mut upload = Upload::new(client, Purpose::Update, None, given)?;
    let sent = send(&mut upload, head, ids, rows).await;
    upload.finish(sent, json)
}

/// How many numbers signatures of a head have, by its name or NAME@VERSION.
async fn dim_of(client: &mut Client, head: &str) -> anyhow::Result<u32> {
    let request = v1::GetHeadRequest { name: head.to_owned(), version: 0 };
    let found = match (client.heads.get_head(request).await, of_version(head)) {
        (Err(status), Some(request)) if status.code() == Code::NotFound => {
            client.heads.get_head(request).await?
        }
        (found, _) => found?,
    };
    let found = found.into_inner().head.context("the server told nothing of the head")?;
    Ok(found.dim)
}

/// A head's name and version, as in `mood@2`.
fn of_version(head: &str) -> Option<v1::GetHeadRequest> {
    let (name, version) = head.rsplit_once('@')?;
    Some(v1::GetHeadRequest { name: name.to_owned(), version: version.parse().ok()? })
}

/// Sends rows in their order. One that is no signature is refused, and the others go on.
async fn send<R: Read>(
    upload: &mut Upload<'_>,
    head: &str,
    ids: Vec<String>,
    mut rows: NpyReader<R>,
) -> anyhow::Result<()> {
    for id in ids {
        let values = rows.next_row()?.context("there are fewer rows than ids")?;
        match fault(&values) {
            Some(why) => upload.refuse(id, why.to_owned())?,
            None => upload.add(Draft { item: request(id, head, values), images: Vec::new() }).await?,
        }
    }
    upload.flush().await
}

/// What is wrong with a row, in words.
fn fault(values: &[f32]) -> Option<&'static str> {
    if !values.iter().all(|value| value.is_finite()) {
        return Some("its row holds a number that is not finite as float32 (NaN, infinite or too large)");
    }
    values.iter().all(|value| *value == 0.0).then_some("its row is all zero, which has no direction")
}

/// Adds a signature to an item that is there; all else of it stays.
fn request(id: String, head: &str, values: Vec<f32>) -> v1::UpsertItemsRequest {
    v1::UpsertItemsRequest {
        id,
        signatures: vec![v1::Signature { head: head.to_owned(), values }],
        update_mask: Some(FieldMask { paths: vec!["signatures".to_owned()] }),
        ..v1::UpsertItemsRequest::default()
    }
}

/// The ids of a file, an id a line.
fn read_ids(file: &Path) -> anyhow::Result<Vec<String>> {
    ids(&fs_err::read(file)?)
}

fn ids(bytes: &[u8]) -> anyhow::Result<Vec<String>> {
    let text = std::str::from_utf8(bytes).context("it is no text in UTF-8")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut ids = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        // A line that is passed over would shift all ids behind it by a row.
        ensure!(!line.is_empty(), "line {number} is empty, where an id belongs");
        if let Some(before) = seen.insert(line, number) {
            bail!("line {number} has the id {line:?}, which line {before} has, too");
        }
        ids.push(line.to_owned());
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lines_and_none_is_passed_over() {
        assert_eq!(ids(b"a\nb c\n").expect("sound"), ["a", "b c"]);
        assert_eq!(ids("\u{feff}a\r\nä".as_bytes()).expect("sound"), ["a", "ä"]);
        assert!(ids(b"").expect("sound").is_empty());
        for (text, why) in [
            (b"a\n\nb\n".as_slice(), "line 2 is empty"),
            (b"a\nb\na\n", "line 3 has the id \"a\", which line 1 has"),
            (b"\xff\xfe", "no text in UTF-8"),
        ] {
            let refused = ids(text).expect_err("refused").to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn a_row_is_a_signature_where_it_has_a_direction() {
        assert_eq!(fault(&[0.0, -2.0]), None);
        assert!(fault(&[0.0, -0.0]).is_some_and(|why| why.contains("zero")));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(fault(&[1.0, bad]).is_some_and(|why| why.contains("finite")), "{bad}");
        }
    }

    #[test]
    fn a_version_is_named_behind_the_name() {
        let wanted = |name: &str, version| Some(v1::GetHeadRequest { name: name.to_owned(), version });
        assert_eq!(of_version("mood@2"), wanted("mood", 2));
        assert_eq!(of_version("a@b@3"), wanted("a@b", 3));
        assert_eq!((of_version("mood"), of_version("mood@new")), (None, None));
    }
}
