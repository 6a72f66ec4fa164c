//! A table of labelled photos, and whether it is fit to learn from.

use super::fit::{FOLDS, LABEL_MIN};
use anyhow::Context;
use lapel_heads::{Attribute, Labels, Photo, PhotoLimits, is_name, sha256};
use lapel_wardrobe::{WardrobeError, letters_apart};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// One photo in so many is measured on where the table does not say which.
const MEASURED: u8 = 5;
/// One training photo in so many is set aside when a backbone is tuned.
const SET_ASIDE: u8 = 6;
/// Names of files beside the heads'.
const RESERVED: [&str; 2] = ["backbone", "extract_parts"];
/// Names that are listed of one kind of fault.
const LISTED: usize = 5;

/// A labelled photo.
#[derive(Clone, Debug)]
pub struct TablePhoto {
    /// The id: the name in the table.
    pub id: String,
    /// Its file.
    pub path: PathBuf,
    /// Its labels.
    pub labels: Labels,
    /// SHA-256 of the file; `None` where it cannot be read.
    pub content: Option<[u8; 32]>,
}

impl TablePhoto {
    /// Whether backbones are never tuned on it, so that it tells how sure the heads on a tuned one may be. By content,
    /// so that a photo that is there twice is in one part.
    #[must_use]
    pub fn is_set_aside(&self) -> bool {
        self.content.is_some_and(|content| is_set_aside(&content))
    }

    /// The fold that probes hold it out in. Of a tuned backbone the photos that it was not taught by are held out alone.
    #[must_use]
    pub fn fold(&self, tuned: bool) -> Option<usize> {
        match tuned {
            true => self.is_set_aside().then_some(0),
            // By content, so that a photo that is there twice lies in one fold.
            false => Some(self.content.map_or(0, |content| usize::from(content[1]) % FOLDS)),
        }
    }

    /// The photo itself.
    pub(super) fn read(&self) -> anyhow::Result<Photo> {
        let named = || self.path.display().to_string();
        let bytes = fs_err::read(&self.path).with_context(named)?;
        Photo::decode(&bytes, PhotoLimits::default()).with_context(named)
    }
}

/// As [`TablePhoto::is_set_aside`], of a content's SHA-256.
#[must_use]
pub fn is_set_aside(content: &[u8; 32]) -> bool {
    content[2].is_multiple_of(SET_ASIDE)
}

/// A table of labelled photos in two parts.
pub struct Table {
    /// What is learnt from.
    pub training: Vec<TablePhoto>,
    /// What is measured on.
    pub test: Vec<TablePhoto>,
    faults: Vec<Fault>,
}

/// Something about a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Whether nothing is trained before it is mended; otherwise it is said and what it concerns is left out.
    pub stops: bool,
    /// What it is, and what would be right.
    pub text: String,
}

impl Table {
    /// Reads `labels.csv` and the photos beside it. Rows `train` are learnt from, rows `val` measured on; where the
    /// column `split` is missing or empty, a hash of the photo's name decides.
    ///
    /// # Errors
    /// [`WardrobeError`] when the table itself cannot be read.
    pub fn read(folder: &Path) -> Result<Self, WardrobeError> {
        let rows = lapel_wardrobe::read(folder)?;
        let contents: Vec<Option<[u8; 32]>> =
            rows.par_iter().map(|row| fs_err::read(&row.path).ok().map(|bytes| sha256(&bytes))).collect();
        let mut table = Self { training: Vec::new(), test: Vec::new(), faults: Vec::new() };
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        for (row, content) in rows.into_iter().zip(contents) {
            let by_hash = sha256(row.name.as_bytes())[0].is_multiple_of(MEASURED);
            let test = match row.split.as_str() {
                "train" => false,
                "val" => true,
                "" => by_hash,
                other => {
                    *others.entry(other.to_owned()).or_default() += 1;
                    continue;
                }
            };
            let photo = TablePhoto { id: row.name, path: row.path, labels: row.labels, content };
            if test { table.test.push(photo) } else { table.training.push(photo) }
        }
        for (split, count) in others {
            table.stop(format!("{count} rows have the split {split:?}; train, val or an empty cell is read"));
        }
        table.check();
        Ok(table)
    }

    /// Everything that was found, what stops training first.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The attributes that can be learnt, with the labels that enough photos have.
    #[must_use]
    pub fn attributes(&self) -> Vec<Attribute> {
        let enough = |(label, count): (&String, &usize)| (*count >= LABEL_MIN).then(|| label.clone());
        let attribute = |(name, counts): (String, BTreeMap<String, usize>)| Attribute {
            name,
            labels: counts.iter().filter_map(enough).collect(),
        };
        self.counts().into_iter().map(attribute).filter(|a| a.labels.len() > 1).collect()
    }

    /// Training photos by attribute and label.
    fn counts(&self) -> BTreeMap<String, BTreeMap<String, usize>> {
        let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for (attribute, label) in self.training.iter().flat_map(|photo| &photo.labels) {
            *counts.entry(attribute.clone()).or_default().entry(label.clone()).or_default() += 1;
        }
        counts
    }

    fn stop(&mut self, text: String) {
        self.faults.push(Fault { stops: true, text });
    }

    fn say(&mut self, text: String) {
        self.faults.push(Fault { stops: false, text });
    }

    fn check(&mut self) {
        self.check_files();
        self.check_photos();
        self.check_labels();
        if self.training.is_empty() {
            self.stop(
                "no row is to be learnt from; give rows the split train, or leave the column out".into(),
            );
        } else if self.counts().is_empty() {
            self.stop(
                "no photo to learn from has a label; give the table a column for each attribute, beside `image`"
                    .into(),
            );
        } else if self.attributes().is_empty() {
            self.stop(format!(
                "there is nothing to learn: no attribute has two labels with {LABEL_MIN} photos each; label more photos"
            ));
        }
        if self.test.is_empty() {
            self.say(
                "no row is measured on; give some rows the split val to know what a head is worth".into(),
            );
        }
        self.faults.sort_by_key(|fault| !fault.stops);
    }

    fn photos(&self) -> impl Iterator<Item = (&TablePhoto, bool)> {
        let training = self.training.iter().map(|photo| (photo, false));
        training.chain(self.test.iter().map(|photo| (photo, true)))
    }

    fn check_files(&mut self) {
        let missing: Vec<String> =
            self.photos().filter(|(p, _)| p.content.is_none()).map(|(p, _)| p.id.clone()).collect();
        let broken: Vec<String> = self
            .photos()
            .filter(|(p, _)| p.content.is_some())
            .collect::<Vec<_>>()
            .par_iter()
            .filter_map(|(p, _)| {
                let bytes = fs_err::read(&p.path).ok()?;
                let fault = Photo::decode(&bytes, PhotoLimits::default()).err()?;
                Some(format!("{} ({fault})", p.id))
            })
            .collect();
        for (what, ids) in [("have no file", missing), ("cannot be read", broken)] {
            if !ids.is_empty() {
                self.stop(format!("{} photos {what}: {}", ids.len(), listed(&ids)));
            }
        }
    }

    /// The same photo or the same name more than once.
    fn check_photos(&mut self) {
        let mut by_content: HashMap<[u8; 32], Vec<(String, bool, Labels)>> = HashMap::new();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for (photo, test) in self.photos() {
            *names.entry(photo.id.clone()).or_default() += 1;
            if let Some(content) = photo.content {
                by_content.entry(content).or_default().push((photo.id.clone(), test, photo.labels.clone()));
            }
        }
        let twice: Vec<String> = names.into_iter().filter(|(_, n)| *n > 1).map(|(name, _)| name).collect();
        let (mut across, mut contrary, mut alike) = (Vec::new(), Vec::new(), Vec::new());
        for group in by_content.values().filter(|group| group.len() > 1) {
            let ids = group.iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>().join(" = ");
            // Of the whole group: a row without the label may stand between two that contradict each other.
            let mut known: BTreeMap<&String, &String> = BTreeMap::new();
            let mut labels = group.iter().flat_map(|(_, _, labels)| labels);
            if labels.any(|(attribute, label)| *known.entry(attribute).or_insert(label) != label) {
                contrary.push(ids);
            } else if group.iter().any(|(_, test, _)| *test) && group.iter().any(|(_, test, _)| !*test) {
                across.push(ids);
            } else {
                alike.push(ids);
            }
        }
        let groups = [
            (twice, true, "photos are named in more than one row"),
            (contrary, true, "photos are there twice, with labels that contradict each other"),
            (across, true, "photos are both learnt from and measured on"),
            (alike, false, "photos are there twice, with the same labels"),
        ];
        for (mut ids, stops, what) in groups {
            if !ids.is_empty() {
                ids.sort();
                let text = format!("{} {what}: {}", ids.len(), listed(&ids));
                self.faults.push(Fault { stops, text });
            }
        }
    }

    fn check_labels(&mut self) {
        for (attribute, counts) in self.counts() {
            if !is_name(&attribute) {
                self.stop(format!(
                    "the column {attribute:?} can be no attribute: 1 to 64 characters without outer spaces"
                ));
            }
            let names_a_file = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-');
            if !attribute.chars().all(names_a_file) || RESERVED.contains(&attribute.as_str()) {
                self.stop(format!(
                    "the column {attribute:?} can name no head's file: letters, digits, spaces, _ and -, and not {}",
                    RESERVED.join(" or ")
                ));
            }
            let odd: Vec<String> =
                counts.keys().filter(|label| !is_name(label)).map(|label| format!("{label:?}")).collect();
            if !odd.is_empty() {
                self.stop(format!(
                    "{attribute}: {} can be no label: 1 to 64 characters, none of them a control character",
                    listed(&odd)
                ));
                continue;
            }
            let mut spellings: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for label in counts.keys() {
                spellings.entry(plain(label)).or_default().push(label);
            }
            for same in spellings.values().filter(|same| same.len() > 1) {
                self.stop(format!("{attribute}: {} are one label in several spellings", quoted(same)));
            }
            let near = near_spellings(&counts);
            if !near.is_empty() {
                self.say(format!("{attribute}: is it one label? {}", near.join("; ")));
            }
            let few: Vec<String> = counts
                .iter()
                .filter(|(_, count)| **count < LABEL_MIN)
                .map(|(label, count)| format!("{label} ({count})"))
                .collect();
            let kept = counts.len() - few.len();
            if !few.is_empty() {
                self.say(format!(
                    "{attribute}: left out, since fewer than {LABEL_MIN} photos have them: {}",
                    listed(&few)
                ));
            }
            if kept < 2 {
                self.say(format!(
                    "{attribute}: not learnt, since fewer than two labels have {LABEL_MIN} photos"
                ));
            }
        }
        let learnt = self.counts();
        let only_test: BTreeSet<String> = self
            .test
            .iter()
            .flat_map(|photo| &photo.labels)
            .filter(|(attribute, label)| {
                !learnt.get(*attribute).is_some_and(|counts| counts.contains_key(*label))
            })
            .map(|(attribute, label)| format!("{attribute} = {label}"))
            .collect();
        if !only_test.is_empty() {
            let all: Vec<String> = only_test.into_iter().collect();
            self.say(format!("measured on, but never learnt: {}", listed(&all)));
        }
    }
}

/// Lower case without spaces, hyphens and underscores.
fn plain(label: &str) -> String {
    label.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Pairs of labels one letter apart, of which one is rare.
fn near_spellings(counts: &BTreeMap<String, usize>) -> Vec<String> {
    let mut near = Vec::new();
    for (at, (a, a_count)) in counts.iter().enumerate() {
        for (b, b_count) in counts.iter().skip(at + 1) {
            let (few, many) = (a_count.min(b_count), a_count.max(b_count));
            if few * 10 <= *many && a.chars().count() > 3 && letters_apart(a, b) <= 2 {
                near.push(format!("{a} ({a_count}), {b} ({b_count})"));
            }
        }
    }
    near
}

fn quoted(labels: &[&str]) -> String {
    labels.iter().map(|label| format!("{label:?}")).collect::<Vec<_>>().join(", ")
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(LISTED);
    let first = names[..names.len() - more].join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

#[cfg(test)]
mod tests;
