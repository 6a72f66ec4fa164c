//! The file format of the field, as published with ADDE-M for Shopping100k and DeepFashion.
//!
//! A folder holds text files; numbers in a line are separated by blanks.
//!
//! | file | a line is |
//! |---|---|
//! | `attr_num.txt` | the number of values of each attribute |
//! | `attr_names.txt` | optional, ours: `attribute: value, value, ...` |
//! | `imgs_{train,test}.txt` | a picture's path, relative to the folder of the pictures |
//! | `labels_{train,test}.txt` | one block of 0 and 1 an attribute; all 0 is a missing label |
//! | `triplet_train.txt` | reference, target and negative, as lines of `labels_train.txt` from 0 |
//! | `triplet_train_ind.txt` | what changes from reference to target: 1 a value added, -1 removed, 0 kept |
//! | `ref_test.txt` | a query's picture, as a line of `labels_test.txt` from 0 |
//! | `indfull_test.txt` | what the query changes, as above |
//! | `gt_test.txt` | the labels wanted, as in `labels_test.txt` |
//!
//! The triplets and the queries are optional, each with all its files.
//!
//! The published files name neither attributes nor values. Shopping100k's attributes are known by their numbers of values,
//! and so have the paper's heads; its values are `value 1` and so on, as both of another set's are, until `attr_names.txt`
//! names them. What values imply, the case of "Extract Parts?", is known of named ones alone.

use super::{Collection, DataSet, shopping};
use crate::{Example, Source, examples_of_photos};
use lapel_heads::{Attribute, Labels, PARTS_ATTRIBUTE};
use lapel_wardrobe::LabelledPhoto;
use std::path::{Path, PathBuf};

/// Why a folder is not in the field's format.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line is malformed.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A file does not fit the others.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

/// A change of a picture's labels: attribute and label, as numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manipulation {
    /// The picture, as a number of the part it belongs to.
    pub reference: usize,
    /// Labels that are wanted.
    pub added: Vec<(usize, u16)>,
    /// Labels that the reference has and the target has not.
    pub removed: Vec<(usize, u16)>,
    /// All labels of the target.
    pub wanted: Vec<Option<u16>>,
}

/// A manipulation with a picture that fulfils it and one that does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManipulationTriplet {
    /// The manipulation of the reference.
    pub manipulation: Manipulation,
    /// A training picture with the wanted labels.
    pub positive: usize,
    /// A training picture without them.
    pub negative: usize,
}

/// A data set in the field's format.
pub struct FieldSet {
    collection: Collection,
    triplets: Vec<ManipulationTriplet>,
    manipulations: Vec<Manipulation>,
}

impl FieldSet {
    /// Reads the files in `folder`; pictures' paths are relative to `images`.
    ///
    /// # Errors
    /// [`FieldError`], which names the file, the line and what would be right.
    pub fn read(folder: &Path, images: &Path) -> Result<Self, FieldError> {
        let attributes = read_attributes(folder)?;
        let (mut training, training_labels) = read_part(folder, images, "train", &attributes)?;
        let (mut test, test_labels) = read_part(folder, images, "test", &attributes)?;
        if !has_names(folder) {
            // Any sleeve length implies sleeves, unless it is named one without.
            for example in training.iter_mut().chain(&mut test) {
                example.labels.remove(PARTS_ATTRIBUTE);
            }
        }
        let name = folder.file_name().map_or("field".into(), |n| n.to_string_lossy().into_owned());
        let triplets = read_triplets(folder, &attributes, &training_labels)?;
        let manipulations = read_queries(folder, &attributes, &test_labels)?;
        let collection = Collection { name, attributes, training, test };
        Ok(Self { collection, triplets, manipulations })
    }
}

impl DataSet for FieldSet {
    fn collection(&self) -> &Collection {
        &self.collection
    }

    fn manipulations(&self) -> &[Manipulation] {
        &self.manipulations
    }

    fn triplets(&self) -> &[ManipulationTriplet] {
        &self.triplets
    }
}

/// The lines of one file, which know where they come from.
struct Lines {
    path: PathBuf,
    lines: Vec<String>,
}

impl Lines {
    fn read(folder: &Path, name: &str) -> Result<Self, FieldError> {
        let path = folder.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self { lines: text.lines().map(|l| l.trim().to_owned()).collect(), path }),
            Err(source) => Err(FieldError::Io { path, source }),
        }
    }

    fn fault(&self, line: usize, reason: String) -> FieldError {
        FieldError::Line { path: self.path.clone(), line: line + 1, reason }
    }

    fn file_fault(&self, reason: String) -> FieldError {
        FieldError::File { path: self.path.clone(), reason }
    }

    /// The whole numbers of a line; `1.0`, as numpy writes, is one as well.
    fn numbers(&self, line: usize) -> Result<Vec<i64>, FieldError> {
        let number = |word: &str| {
            let value = word.parse::<f64>().ok().filter(|v| v.fract() == 0.0 && v.abs() < 1e15);
            value.map(|v| v as i64).ok_or_else(|| self.fault(line, format!("{word:?} is no whole number")))
        };
        self.lines[line].split_whitespace().map(number).collect()
    }

    fn same_count(&self, other: &Self) -> Result<(), FieldError> {
        if self.lines.len() == other.lines.len() {
            return Ok(());
        }
        let (here, there) = (self.lines.len(), other.lines.len());
        Err(self.file_fault(format!("{here} lines, but {} has {there}", other.path.display())))
    }

    /// A number that names one of `count` pictures.
    fn picture(&self, line: usize, number: i64, count: usize) -> Result<usize, FieldError> {
        usize::try_from(number).ok().filter(|at| *at < count).ok_or_else(|| {
            self.fault(line, format!("{number} names no picture; there are {count}, counted from 0"))
        })
    }

    /// The numbers of a line, cut into one block an attribute.
    fn blocks(&self, line: usize, attributes: &[Attribute]) -> Result<Vec<Vec<i64>>, FieldError> {
        let numbers = self.numbers(line)?;
        let wanted: usize = attributes.iter().map(|a| a.labels.len()).sum();
        if numbers.len() != wanted {
            return Err(
                self.fault(line, format!("{} numbers; attr_num.txt asks for {wanted}", numbers.len()))
            );
        }
        let mut rest = numbers.as_slice();
        let block = |a: &Attribute| {
            let (block, after) = rest.split_at(a.labels.len());
            rest = after;
            block.to_vec()
        };
        Ok(attributes.iter().map(block).collect())
    }

    /// The label of each attribute.
    fn labels(&self, line: usize, attributes: &[Attribute]) -> Result<Vec<Option<u16>>, FieldError> {
        let mut labels = Vec::with_capacity(attributes.len());
        for (block, attribute) in self.blocks(line, attributes)?.iter().zip(attributes) {
            if let Some(odd) = block.iter().find(|v| !(0..=1).contains(*v)) {
                return Err(self
                    .fault(line, format!("{odd} among the labels of {}; 0 or 1 is wanted", attribute.name)));
            }
            let ones: Vec<usize> = (0..block.len()).filter(|i| block[*i] == 1).collect();
            if ones.len() > 1 {
                let reason = format!("{} has {} labels; at most one is wanted", attribute.name, ones.len());
                return Err(self.fault(line, reason));
            }
            labels.push(ones.first().map(|at| *at as u16));
        }
        Ok(labels)
    }

    /// What a line of indicators changes of a reference, and the labels that result.
    fn manipulation(
        &self,
        line: usize,
        attributes: &[Attribute],
        (reference, labels): (usize, &[Option<u16>]),
    ) -> Result<Manipulation, FieldError> {
        let mut change = Manipulation { reference, wanted: labels.to_vec(), ..Manipulation::default() };
        for (at, block) in self.blocks(line, attributes)?.iter().enumerate() {
            let name = &attributes[at].name;
            if let Some(odd) = block.iter().find(|v| !(-1..=1).contains(*v)) {
                return Err(
                    self.fault(line, format!("{odd} among the changes of {name}; -1, 0 or 1 is wanted"))
                );
            }
            let with = |sign: i64| (0..block.len()).filter(move |i| block[*i] == sign).map(|i| i as u16);
            if with(1).count() > 1 {
                return Err(self
                    .fault(line, format!("{name} gains {} labels; at most one is wanted", with(1).count())));
            }
            for label in with(-1) {
                if labels[at] != Some(label) {
                    let label = &attributes[at].labels[usize::from(label)];
                    return Err(self
                        .fault(line, format!("{name} loses {label:?}, which the reference does not have")));
                }
                change.removed.push((at, label));
                change.wanted[at] = None;
            }
            for label in with(1) {
                change.added.push((at, label));
                change.wanted[at] = Some(label);
            }
        }
        if change.added.is_empty() {
            return Err(self.fault(line, "nothing is added; a 1 is wanted".into()));
        }
        Ok(change)
    }
}

fn has_names(folder: &Path) -> bool {
    folder.join("attr_names.txt").exists()
}

fn read_attributes(folder: &Path) -> Result<Vec<Attribute>, FieldError> {
    let file = Lines::read(folder, "attr_num.txt")?;
    let mut counts = Vec::new();
    for line in 0..file.lines.len() {
        for number in file.numbers(line)? {
            let count = usize::try_from(number).ok().filter(|n| (1..=1000).contains(n));
            counts.push(
                count.ok_or_else(|| file.fault(line, format!("{number} values; 1 to 1000 are wanted")))?,
            );
        }
    }
    if counts.is_empty() {
        return Err(file.file_fault("it is empty; the number of values of each attribute is wanted".into()));
    }
    if has_names(folder) {
        return read_names(&Lines::read(folder, "attr_names.txt")?, &counts);
    }
    let names = shopping::attribute_names(&counts);
    let attribute = |(at, count): (usize, usize)| Attribute {
        name: names.map_or_else(|| format!("attribute {}", at + 1), |names| names[at].to_owned()),
        labels: (1..=count).map(|value| format!("value {value}")).collect(),
    };
    Ok(counts.into_iter().enumerate().map(attribute).collect())
}

fn read_names(file: &Lines, counts: &[usize]) -> Result<Vec<Attribute>, FieldError> {
    if file.lines.len() != counts.len() {
        return Err(file.file_fault(format!("{} lines for {} attributes", file.lines.len(), counts.len())));
    }
    let attribute = |(line, count): (usize, &usize)| {
        let (name, labels) = file.lines[line]
            .split_once(':')
            .ok_or_else(|| file.fault(line, "a \":\" is missing, as in collar: polo, hood".into()))?;
        let labels: Vec<String> = labels.split(',').map(|l| l.trim().to_owned()).collect();
        if labels.len() != *count {
            let reason = format!("{} names for the {count} values that attr_num.txt gives", labels.len());
            return Err(file.fault(line, reason));
        }
        Ok(Attribute { name: name.trim().to_owned(), labels })
    };
    counts.iter().enumerate().map(attribute).collect()
}

/// Pictures and labels of one part, the latter as numbers.
type Part = (Vec<Example>, Vec<Vec<Option<u16>>>);

fn read_part(folder: &Path, images: &Path, part: &str, attributes: &[Attribute]) -> Result<Part, FieldError> {
    let paths = Lines::read(folder, &format!("imgs_{part}.txt"))?;
    let file = Lines::read(folder, &format!("labels_{part}.txt"))?;
    file.same_count(&paths)?;
    let (mut photos, mut numbers) = (Vec::new(), Vec::new());
    for (line, name) in paths.lines.iter().enumerate() {
        if name.is_empty() || Path::new(name).is_absolute() || name.split('/').any(|step| step == "..") {
            return Err(paths.fault(line, format!("{name:?} is no path inside the folder of the pictures")));
        }
        let row = file.labels(line, attributes)?;
        let label =
            |(a, n): (&Attribute, &Option<u16>)| Some((a.name.clone(), a.labels[usize::from((*n)?)].clone()));
        let labels: Labels = attributes.iter().zip(&row).filter_map(label).collect();
        photos.push(LabelledPhoto { path: images.join(name), labels, ..LabelledPhoto::default() });
        numbers.push(row);
    }
    Ok((examples_of_photos(&photos, 1), numbers))
}

fn read_triplets(
    folder: &Path,
    attributes: &[Attribute],
    labels: &[Vec<Option<u16>>],
) -> Result<Vec<ManipulationTriplet>, FieldError> {
    if !folder.join("triplet_train.txt").exists() {
        return Ok(Vec::new());
    }
    let file = Lines::read(folder, "triplet_train.txt")?;
    let changes = Lines::read(folder, "triplet_train_ind.txt")?;
    changes.same_count(&file)?;
    let triplet = |line: usize| {
        let [reference, positive, negative] = file.numbers(line)?[..] else {
            return Err(file.fault(line, "three numbers are wanted: reference, target, negative".into()));
        };
        let picture = |number| file.picture(line, number, labels.len());
        let (reference, positive, negative) = (picture(reference)?, picture(positive)?, picture(negative)?);
        let manipulation = changes.manipulation(line, attributes, (reference, &labels[reference]))?;
        Ok(ManipulationTriplet { manipulation, positive, negative })
    };
    (0..file.lines.len()).map(triplet).collect()
}

fn read_queries(
    folder: &Path,
    attributes: &[Attribute],
    labels: &[Vec<Option<u16>>],
) -> Result<Vec<Manipulation>, FieldError> {
    if !folder.join("ref_test.txt").exists() {
        return Ok(Vec::new());
    }
    let file = Lines::read(folder, "ref_test.txt")?;
    let changes = Lines::read(folder, "indfull_test.txt")?;
    let wanted = Lines::read(folder, "gt_test.txt")?;
    changes.same_count(&file)?;
    wanted.same_count(&file)?;
    let query = |line: usize| {
        let [reference] = file.numbers(line)?[..] else {
            return Err(file.fault(line, "one number is wanted: the query's picture".into()));
        };
        let reference = file.picture(line, reference, labels.len())?;
        let change = changes.manipulation(line, attributes, (reference, &labels[reference]))?;
        let given = wanted.labels(line, attributes)?;
        if let Some((at, label)) = change.added.iter().find(|(at, label)| given[*at] != Some(*label)) {
            let (name, label) = (&attributes[*at].name, &attributes[*at].labels[usize::from(*label)]);
            return Err(wanted.fault(line, format!("{name} is not {label:?}, which indfull_test.txt adds")));
        }
        Ok(Manipulation { wanted: given, ..change })
    };
    (0..file.lines.len()).map(query).collect()
}

/// A picture's path for `imgs_*.txt`, if it is a file.
pub(super) fn path_of(example: &Example) -> Option<&Path> {
    match &example.source {
        Source::Photo(path) => Some(path),
        Source::Render(..) => None,
    }
}

#[cfg(test)]
mod tests;
