//! The photos that an import sends: which files they are, and which items they become.

use crate::cells;
use anyhow::{Context, bail, ensure};
use clap::Args;
use lapel_client::v1;
use lapel_wardrobe::{Listing, PassedOver, TABLE, photo_folder, photo_id, read_rows};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Names that a message gives of a longer list.
const NAMED_MAX: usize = 5;

/// Where photos and their labels come from.
#[derive(Args)]
pub(crate) struct Source {
    /// Folder of photos (JPEG, PNG, WebP) and of folders of them; its `images` folder where it has one.
    pub(crate) folder: PathBuf,
    /// CSV file of labels: a column `image` with file names, one column an attribute, empty cells missing; columns `id`
    /// (the items' ids), `split` and `view` are no labels. Columns `field:NAME:KIND` are values of fields, as in
    /// `field:price:number`; kinds are keyword, keywords (separated by `|`), integer, number, boolean and timestamp. Separated by commas, semicolons or tabs.
    /// Default: `labels.csv` in the folder, where it exists.
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Only rows whose column `split` says this.
    #[arg(long)]
    split: Option<String>,
    /// Put before each id. Ids are file names without their ending, or where two of those are the same, the paths below
    /// the folder.
    #[arg(long, default_value = "")]
    prefix: String,
}

/// A photo to import.
#[derive(Debug)]
pub(crate) struct Photo {
    /// The path below the folder, as the table or the folder has it.
    name: String,
    pub(crate) path: PathBuf,
    /// The item's id.
    pub(crate) id: String,
    has_own_id: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) fields: BTreeMap<String, v1::FieldValue>,
    split: String,
}

/// What an import would send.
#[derive(Debug, Default)]
pub(crate) struct Photos {
    pub(crate) photos: Vec<Photo>,
    /// Rows and files that cannot become items, and why.
    pub(crate) refused: Vec<(String, String)>,
    /// What is left out or done otherwise than might be expected.
    pub(crate) notes: Vec<String>,
}

impl Photos {
    /// Finds them. No two photos have the same id.
    pub(crate) fn find(source: &Source) -> anyhow::Result<Self> {
        let folder = photo_folder(&source.folder);
        let listing = Listing::read(&folder).with_context(|| folder.display().to_string())?;
        let beside = source.folder.join(TABLE);
        let table = source.labels.clone().or_else(|| beside.is_file().then_some(beside));
        let mut found = match table {
            Some(table) => Self::of_table(&table, &folder, &listing)?,
            None => Self::of_folder(&folder, listing),
        };
        // Before rows are left out: a row's id must not depend on the others that are imported with it.
        found.notes.extend(name_items(&mut found.photos)?);
        if let Some(split) = &source.split {
            found.photos.retain(|photo| photo.split == *split);
            ensure!(!found.photos.is_empty(), "no row has the split {split:?}");
        }
        for photo in &mut found.photos {
            photo.id.insert_str(0, &source.prefix);
        }
        Ok(found)
    }

    fn of_table(table: &Path, folder: &Path, listing: &Listing) -> anyhow::Result<Self> {
        let mut found = Self::default();
        let rows = read_rows(table, folder)?;
        // A column that cannot be read is not the fault of a row.
        for column in rows.iter().flatten().flat_map(|row| row.fields.keys()) {
            cells::column(column).with_context(|| table.display().to_string())?;
        }
        for row in rows {
            match row {
                Ok(row) => match cells::values(&row.fields) {
                    Ok(fields) => found.photos.push(Photo {
                        name: row.name,
                        path: row.path,
                        id: row.id,
                        has_own_id: row.has_own_id,
                        labels: row.labels,
                        fields,
                        split: row.split,
                    }),
                    Err(error) => found.refused.push((row.name, format!("{error:#}"))),
                },
                Err(fault) => found.refused.push((table.display().to_string(), fault.to_string())),
            }
        }
        if found.photos.is_empty() && found.refused.is_empty() {
            let (table, count) = (table.display(), listing.photos.len());
            bail!(
                "the table {table} has no rows, and {count} photos lie beside it that it does not list; list them, or move \
                 the table away to import them without labels"
            );
        }
        let named: HashSet<&Path> = found.photos.iter().map(|photo| photo.path.as_path()).collect();
        let others = listing.photos.iter().filter(|photo| !named.contains(photo.path.as_path()));
        let others: Vec<&str> = others.map(|photo| photo.name.as_str()).collect();
        if !others.is_empty() {
            let (count, first) = (others.len(), first_of(&others));
            found
                .notes
                .push(format!("left out, since the table does not list them: {count} photos ({first})"));
        }
        let passed_over = listing.passed_over.iter().filter(|(path, _)| !named.contains(path.as_path()));
        found.notes.extend(notes(folder, passed_over));
        Ok(found)
    }

    fn of_folder(folder: &Path, listing: Listing) -> Self {
        let photo = |listed: lapel_wardrobe::ListedPhoto| Photo {
            id: String::new(),
            name: listed.name,
            path: listed.path,
            has_own_id: false,
            labels: BTreeMap::new(),
            fields: BTreeMap::new(),
            split: String::new(),
        };
        let (unusable, rest): (Vec<_>, Vec<_>) = listing
            .passed_over
            .into_iter()
            .partition(|(_, why)| matches!(why, PassedOver::NotUtf8 | PassedOver::Unreadable(_)));
        Self {
            photos: listing.photos.into_iter().map(photo).collect(),
            refused: unusable.iter().map(|(path, why)| (below(folder, path), why.to_string())).collect(),
            notes: notes(folder, &rest),
        }
    }
}

/// Gives photos without an id of their own one that no other has: the file's name, or for all of them the path below the
/// folder, without its ending or with it. Says where names alone would not do.
fn name_items(photos: &mut [Photo]) -> anyhow::Result<Option<String>> {
    type IdOf<'a> = &'a dyn Fn(&str) -> String;
    let forms: [(&str, IdOf<'_>); 3] = [
        ("file names", &|name: &str| photo_id(Path::new(name))),
        ("paths below the folder", &|name: &str| {
            Path::new(name).with_extension("").to_string_lossy().into_owned()
        }),
        ("paths below the folder with their endings", &str::to_owned),
    ];
    let mut first_clash = None;
    for (form, id_of) in forms {
        for photo in photos.iter_mut().filter(|photo| !photo.has_own_id) {
            photo.id = id_of(&photo.name);
        }
        match (clashes(photos), first_clash.take()) {
            (None, None) => return Ok(None),
            (None, Some(first)) => {
                return Ok(Some(format!("ids are the {form}, since names clash: {first}")));
            }
            (Some(clash), first) => first_clash = Some(first.unwrap_or(clash)),
        }
    }
    bail!(
        "nothing was sent, since several photos would become one item: {}; name each photo once, with an \"id\" of its own",
        clashes(photos).unwrap_or_default()
    );
}

/// Ids that several photos have, the first ones by name.
fn clashes(photos: &[Photo]) -> Option<String> {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for photo in photos {
        names.entry(&photo.id).or_default().push(&photo.name);
    }
    let clashes = names.iter().filter(|(_, names)| names.len() > 1);
    let clashes: Vec<String> = clashes.map(|(id, names)| format!("{id:?} is {}", first_of(names))).collect();
    (!clashes.is_empty()).then(|| first_of(&clashes))
}

/// A line for each reason why files were passed over.
fn notes<'a>(folder: &Path, passed_over: impl IntoIterator<Item = &'a (PathBuf, PassedOver)>) -> Vec<String> {
    let mut paths: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, why) in passed_over {
        paths.entry(why.to_string()).or_default().push(below(folder, path));
    }
    paths.iter().map(|(why, paths)| format!("passed over, {why}: {}", first_of(paths))).collect()
}

fn below(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// The first names of a list, and how many follow.
fn first_of(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED_MAX).map(AsRef::as_ref).collect();
    let mut text = shown.join(", ");
    if names.len() > NAMED_MAX {
        let _ = write!(text, " and {} more", names.len() - NAMED_MAX);
    }
    text
}

#[cfg(test)]
mod tests;
