//! The report of an import: a line of JSON an item, by which a second run knows what is stored.

use anyhow::Context;
use lapel_client::v1;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// How the members of a line begin: its texts, and its other values, which are whole.
const TEXTS: &[&str] = &["\"id\":\"", "\"error\":\""];
const VALUES: &[&str] = &["\"stored\":true", "\"stored\":false", "\"replaced\":true", "\"replaced\":false"];

/// The file of a report, and what it said when it was opened.
pub(crate) struct Report {
    file: fs_err::File,
    stored: HashSet<String>,
}

impl Report {
    /// Opens a report to go on with, or makes it. A last line that was cut off is removed, one that lacks its end alone is
    /// ended; a file of any other content is refused and left as it is.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let bytes = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let mut stored = HashSet::new();
        // What stays of the file, and whether its last line lacks its end.
        let (mut whole, mut is_open) = (0, false);
        for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let has_end = line.ends_with(b"\n");
            let Some((id, is_stored)) = parse(line) else {
                anyhow::ensure!(!has_end && is_cut_off(line), wrong(path, number));
                break;
            };
            if is_stored {
                stored.insert(id);
            }
            whole += line.len();
            is_open = !has_end;
        }
        let mut file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(whole as u64)?;
        if is_open {
            file.write_all(b"\n")?;
        }
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

/// Whether this is the beginning of a line as [`Report::add`] writes it, and not all of it. Its members may be in any order.
fn is_cut_off(line: &[u8]) -> bool {
    let Some(mut rest) = line.strip_prefix(b"{") else { return false };
    loop {
        let members = || TEXTS.iter().chain(VALUES).copied().map(str::as_bytes);
        let Some(start) = members().find(|start| rest.starts_with(start)) else {
            return members().any(|start| start.starts_with(rest));
        };
        rest = &rest[start.len()..];
        if start.ends_with(b"\"") {
            let Some(after) = after_text(rest) else { return true };
            rest = after;
        }
        match rest.split_first() {
            None => return true,
            Some((b',', next)) => rest = next,
            Some(_) => return false,
        }
    }
}

/// What follows a text of JSON, behind the quote that ends it. `None` where it does not end.
fn after_text(text: &[u8]) -> Option<&[u8]> {
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.map(|at| &text[at + 1..])
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
        for (text, line) in [
            ("image,color\na.jpg,red\n", 1),
            ("image", 1),
            ("{\"id\":\"a\"}\n", 1),
            ("{\"id\":\"a\",\"stored\":true}\nimage", 2),
            ("{\"name\":\"my shop\",\"secret\":\"x\"}", 1),
            ("{\"id\":\"a\",\"secret\":\"x\"}", 1),
            ("{\"id\":\"a\"}", 1),
            ("{\"error\":\"\\\"\"}", 1),
            ("{\"stored\":5", 1),
            ("{}", 1),
            ("{ ", 1),
        ] {
            std::fs::write(&path, text).expect("written");
            let refused = Report::open(&path).err().expect("refused").to_string();
            assert!(refused.contains(&format!("line {line} is not of a report")), "{refused}");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
        }
    }

    #[test]
    fn a_line_that_was_cut_off_anywhere_is_told_from_a_whole_one() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("report.jsonl");
        for written in [result("gr\u{f6}\"ss\\", None), result("b", Some("a \"bad\" photo\\"))] {
            let _ = std::fs::remove_file(&path);
            Report::open(&path).expect("made").add(&[result("a", None), written]).expect("written");
            let bytes = std::fs::read(&path).expect("read");
            let first = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
            for end in first..bytes.len() - 1 {
                std::fs::write(&path, &bytes[..end]).expect("written");
                let report = Report::open(&path).expect("a report");
                assert_eq!(report.stored.len(), 1, "{end}");
                assert!(std::fs::read(&path).expect("read") == bytes[..first], "{end}");
            }
            // It lacks its end alone.
            std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
            Report::open(&path).expect("a report");
            assert!(std::fs::read(&path).expect("read") == bytes);
        }
    }
}
