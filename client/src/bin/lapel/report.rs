//! The report of an import: a line of JSON an item, by which a second run knows what is stored.

use anyhow::Context;
use lapel_client::v1;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// The file of a report, and what it said when it was opened.
pub(crate) struct Report {
    file: fs_err::File,
    stored: HashSet<String>,
}

impl Report {
    /// Opens a report to go on with, or makes it. A last line that was cut off is removed; a file of any other content is
    /// refused and left as it is.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let bytes = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut stored = HashSet::new();
        for (number, line) in (1..).zip(bytes[..whole].split_inclusive(|byte| *byte == b'\n')) {
            let (id, is_stored) = parse(line).with_context(|| wrong(path, number))?;
            if is_stored {
                stored.insert(id);
            }
        }
        anyhow::ensure!(matches!(bytes[whole..].first(), None | Some(b'{')), wrong(path, 1));
        let file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(whole as u64)?;
        Ok(Self { file, stored })
    }

    /// Whether an earlier run stored the item.
    pub(crate) fn has_stored(&self, id: &str) -> bool {
        self.stored.contains(id)
    }

    /// Adds what became of items.
    pub(crate) fn add(&mut self, results: &[v1::UpsertResult]) -> anyhow::Result<()> {
        let line = |result: &v1::UpsertResult| match &result.error {
            None => json!({ "id": result.id, "stored": true, "replaced": result.replaced }),
            Some(error) => json!({ "id": result.id, "stored": false, "error": error.message }),
        };
        let lines: String = results.iter().map(|result| format!("{}\n", line(result))).collect();
        self.file.write_all(lines.as_bytes()).context("the report cannot be written")
    }
}

/// A line's id, and whether that item is stored.
fn parse(line: &[u8]) -> Option<(String, bool)> {
    let value: Value = serde_json::from_slice(line).ok()?;
    Some((value["id"].as_str()?.to_owned(), value["stored"].as_bool()?))
}

fn wrong(path: &Path, line: usize) -> String {
    format!(
        "{}, line {line} is not of a report that an import wrote; give --report another file",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(id: &str, refused: Option<&str>) -> v1::UpsertResult {
        let error = refused.map(|message| v1::ItemError { message: message.into(), ..Default::default() });
        v1::UpsertResult { id: id.into(), error, ..Default::default() }
    }

    #[test]
    fn a_report_that_was_cut_off_is_gone_on_with() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("report.jsonl");
        let mut report = Report::open(&path).expect("made");
        report.add(&[result("a", None), result("b", Some("no photo"))]).expect("written");
        let whole = std::fs::read_to_string(&path).expect("read");
        std::fs::write(&path, format!("{whole}{{\"id\":\"c\",\"sto")).expect("written");
        let mut report = Report::open(&path).expect("opened");
        assert!(report.has_stored("a") && !report.has_stored("b") && !report.has_stored("c"));
        report.add(&[result("b", None)]).expect("written");
        let report = Report::open(&path).expect("opened");
        assert!(report.has_stored("a") && report.has_stored("b"));
        assert_eq!(std::fs::read_to_string(&path).expect("read").lines().count(), 3);
    }

    #[test]
    fn another_file_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("labels.csv");
        for (text, line) in [("image,color\na.jpg,red\n", 1), ("image", 1), ("{\"id\":\"a\"}\n", 1)] {
            std::fs::write(&path, text).expect("written");
            let refused = Report::open(&path).err().expect("refused").to_string();
            assert!(refused.contains(&format!("line {line} is not of a report")), "{refused}");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
        }
    }
}
