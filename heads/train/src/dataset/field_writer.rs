//! Writes a data set in the field's format.

use super::field::{FieldError, Manipulation, ManipulationTriplet, path_of};
use super::{DataSet, label_numbers};
use crate::Example;
use lapel_heads::Attribute;
use lapel_render::to_jpeg;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Draws of a reference or a negative before giving up.
const TRIES: usize = 20;

/// Writes `set` into `folder`: the text files, and the pictures under `images/`.
///
/// Triplets and queries of the set are written if it has any. Otherwise `triplets` triplets are drawn as the
/// format's authors describe: a random attribute of a random reference gets another label; the target carries
/// exactly the labels that result, the negative does not. The queries are every change of one label of a test
/// picture that some other test picture fulfils exactly, at most `queries` of them.
///
/// # Errors
/// [`FieldError::Io`], or [`FieldError::File`] for a picture that cannot be read.
pub fn write_field_set(
    set: &dyn DataSet,
    folder: &Path,
    (triplets, queries, seed): (usize, usize, u64),
    mut done: impl FnMut(),
) -> Result<(), FieldError> {
    let attributes = set.attributes();
    let numbers = |examples: &[Example]| -> Vec<Vec<Option<u16>>> {
        examples.iter().map(|e| label_numbers(&e.labels, attributes)).collect()
    };
    let (training, test) = (numbers(set.training()), numbers(set.test()));
    std::fs::create_dir_all(folder.join("images"))
        .map_err(|source| FieldError::Io { path: folder.join("images"), source })?;
    let counts: Vec<String> = attributes.iter().map(|a| a.labels.len().to_string()).collect();
    write(folder, "attr_num.txt", &(counts.join(" ") + "\n"))?;
    let names = attributes.iter().map(|a| format!("{}: {}\n", a.name, a.labels.join(", ")));
    write(folder, "attr_names.txt", &names.collect::<String>())?;
    for (part, examples, labels) in [("train", set.training(), &training), ("test", set.test(), &test)] {
        let names = examples.iter().enumerate().map(|(at, example)| {
            done();
            write_picture(folder, &format!("{part}-{at:06}"), example)
        });
        let names: Vec<String> = names.collect::<Result<_, _>>()?;
        write(folder, &format!("imgs_{part}.txt"), &(names.join("\n") + "\n"))?;
        let rows = labels.iter().map(|row| one_hot(row, attributes) + "\n");
        write(folder, &format!("labels_{part}.txt"), &rows.collect::<String>())?;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut triplets = match set.triplets() {
        [] => draw_triplets(&training, triplets, &mut rng),
        given => given.to_vec(),
    };
    // A set too small for any has no files rather than empty ones.
    triplets.retain(|t| t.manipulation.reference < training.len());
    if !triplets.is_empty() {
        let lines =
            triplets.iter().map(|t| format!("{} {} {}\n", t.manipulation.reference, t.positive, t.negative));
        write(folder, "triplet_train.txt", &lines.collect::<String>())?;
        let lines = triplets.iter().map(|t| indicators(&t.manipulation, attributes) + "\n");
        write(folder, "triplet_train_ind.txt", &lines.collect::<String>())?;
    }
    let queries = match set.manipulations() {
        [] => every_change(&test).into_iter().sample(&mut rng, queries),
        given => given.to_vec(),
    };
    if !queries.is_empty() {
        write(
            folder,
            "ref_test.txt",
            &queries.iter().map(|q| format!("{}\n", q.reference)).collect::<String>(),
        )?;
        let lines = queries.iter().map(|q| indicators(q, attributes) + "\n");
        write(folder, "indfull_test.txt", &lines.collect::<String>())?;
        let lines = queries.iter().map(|q| one_hot(&q.wanted, attributes) + "\n");
        write(folder, "gt_test.txt", &lines.collect::<String>())?;
    }
    Ok(())
}

/// Every change of one label that some other picture fulfils exactly, missing labels included.
#[must_use]
pub(crate) fn every_change(labels: &[Vec<Option<u16>>]) -> Vec<Manipulation> {
    let mut changes = Vec::new();
    let attributes = labels.first().map_or(0, Vec::len);
    for at in 0..attributes {
        // Pictures that agree on everything else, by the label that differs.
        let mut alike: HashMap<Vec<Option<u16>>, Vec<usize>> = HashMap::new();
        for (picture, row) in labels.iter().enumerate() {
            let mut others = row.clone();
            others[at] = None;
            alike.entry(others).or_default().push(picture);
        }
        for (reference, row) in labels.iter().enumerate() {
            let mut others = row.clone();
            others[at] = None;
            let found = alike.get(&others).map_or(&[][..], Vec::as_slice);
            let mut targets: Vec<u16> =
                found.iter().filter_map(|p| labels[*p][at]).filter(|l| Some(*l) != row[at]).collect();
            targets.sort_unstable();
            targets.dedup();
            changes.extend(targets.into_iter().map(|label| {
                let mut wanted = row.clone();
                wanted[at] = Some(label);
                let removed = row[at].map(|l| (at, l)).into_iter().collect();
                Manipulation { reference, added: vec![(at, label)], removed, wanted }
            }));
        }
    }
    changes.sort_by_key(|c| c.reference);
    changes
}

/// Triplets for training on manipulations; fewer where too little agrees.
pub(crate) fn draw_triplets(
    labels: &[Vec<Option<u16>>],
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<ManipulationTriplet> {
    let changes = every_change(labels);
    let mut by_labels: HashMap<&[Option<u16>], Vec<usize>> = HashMap::new();
    for (picture, row) in labels.iter().enumerate() {
        by_labels.entry(row).or_default().push(picture);
    }
    let one = |_| {
        let manipulation = changes.choose(rng)?.clone();
        let positive = *by_labels.get(manipulation.wanted.as_slice())?.choose(rng)?;
        let negative = (0..TRIES)
            .map(|_| rng.random_range(0..labels.len()))
            .find(|n| labels[*n] != manipulation.wanted && *n != manipulation.reference)?;
        Some(ManipulationTriplet { manipulation, positive, negative })
    };
    (0..count).filter_map(one).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), FieldError> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|source| FieldError::Io { path, source })
}

/// Copies a photo or draws a garment, and gives its line of `imgs_*.txt`.
fn write_picture(folder: &Path, name: &str, example: &Example) -> Result<String, FieldError> {
    let extension = path_of(example).and_then(Path::extension).map_or("jpg".into(), |e| e.to_string_lossy());
    let line = format!("images/{name}.{extension}");
    let path = folder.join(&line);
    let io = |path: PathBuf| move |source| FieldError::Io { path, source };
    match path_of(example) {
        Some(source) => std::fs::copy(source, &path).map(|_| ()).map_err(io(source.to_owned()))?,
        None => {
            let photo = example.photo();
            let photo =
                photo.map_err(|e| FieldError::File { path: path.clone(), reason: format!("{e:#}") })?;
            std::fs::write(&path, to_jpeg(&photo)).map_err(io(path.clone()))?;
        }
    }
    Ok(line)
}

fn one_hot(labels: &[Option<u16>], attributes: &[Attribute]) -> String {
    let blocks = labels.iter().zip(attributes).flat_map(|(label, attribute)| {
        (0..attribute.labels.len()).map(move |value| i8::from(*label == Some(value as u16)))
    });
    joined(blocks)
}

fn indicators(change: &Manipulation, attributes: &[Attribute]) -> String {
    let has = |list: &[(usize, u16)], at: usize, value: usize| list.contains(&(at, value as u16));
    let blocks = attributes.iter().enumerate().flat_map(|(at, attribute)| {
        (0..attribute.labels.len()).map(move |value| {
            i8::from(has(&change.added, at, value)) - i8::from(has(&change.removed, at, value))
        })
    });
    joined(blocks)
}

fn joined(values: impl Iterator<Item = i8>) -> String {
    let mut line = String::new();
    for value in values {
        let gap = if line.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(line, "{gap}{value}");
    }
    line
}
