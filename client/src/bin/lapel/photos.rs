//! The photos that an import sends: which files they are, and which items they become.

use crate::cells;
use anyhow::{Context, bail, ensure};
use clap::Args;
use lapel_client::v1;
use lapel_wardrobe::{Listing, PassedOver, TABLE, composed, photo_folder, photo_id, read_rows};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
    /// Put before each id. Ids are file names without their ending; of photos whose name another one has, they are the
    /// paths below the folder. An export has its ids and labels, and takes none of these options.
    #[arg(long, default_value = "")]
    prefix: String,
    /// Rows of the table with the same `id` are pictures of one item, the first row its first picture: up to 8. Labels and
    /// fields are those of its rows together; two that differ are refused. Without, such rows are a mistake.
    #[arg(long)]
    pictures: bool,
}

impl Source {
    /// The options that are given and that a folder of photos alone heeds.
    pub(crate) fn of_photos_alone(&self) -> Vec<&'static str> {
        let given = [
            (self.labels.is_some(), "--labels"),
            (self.split.is_some(), "--split"),
            (!self.prefix.is_empty(), "--prefix"),
            (self.pictures, "--pictures"),
        ];
        given.into_iter().filter_map(|(is_given, option)| is_given.then_some(option)).collect()
    }
}

/// What an id is made of, where the table gives none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The file's name without its ending.
    Name,
    /// The path below the folder without the ending.
    Path,
    /// The path below the folder.
    WholePath,
}

impl Form {
    /// What is tried where an id of this form clashes.
    fn longer(self) -> Option<Self> {
        match self {
            Self::Name => Some(Self::Path),
            Self::Path => Some(Self::WholePath),
            Self::WholePath => None,
        }
    }

    fn id(self, name: &str) -> String {
        match self {
            Self::Name => photo_id(Path::new(name)),
            Self::Path => Path::new(name).with_extension("").to_string_lossy().into_owned(),
            Self::WholePath => name.to_owned(),
        }
    }
}

/// A photo to import.
#[derive(Debug)]
pub(crate) struct Photo {
    /// The path below the folder: as the table has it, or else that of the file, composed.
    name: String,
    /// The same in the Unicode form in which it is written.
    spelled: String,
    pub(crate) path: PathBuf,
    /// Further pictures of the item.
    pub(crate) more: Vec<PathBuf>,
    /// The item's id.
    pub(crate) id: String,
    /// What the id is made of; nothing where the table gives it.
    form: Option<Form>,
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
    /// Ids of items of which a row is refused.
    pub(crate) spoiled: HashSet<String>,
    /// The first row that cannot be read, and why.
    pub(crate) unread: Option<String>,
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
        if source.pictures {
            // Nobody knows of which item such a row is, and that would be stored without it.
            if let Some(why) = &found.unread {
                bail!("nothing was sent, since with --pictures every row must be readable: {why}");
            }
            let has_ids = found.photos.iter().any(|photo| photo.form.is_none()) || !found.refused.is_empty();
            ensure!(
                has_ids,
                "nothing was sent, since --pictures joins rows of one \"id\", and no table gives ids"
            );
            found.join_pictures();
        }
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
                        spelled: row.name.clone(),
                        name: row.name,
                        path: row.path,
                        more: Vec::new(),
                        id: row.id,
                        form: (!row.has_own_id).then_some(Form::Name),
                        labels: row.labels,
                        fields,
                        split: row.split,
                    }),
                    Err(error) => {
                        if row.has_own_id {
                            found.spoiled.insert(row.id);
                        }
                        found.refused.push((row.name, format!("{error:#}")));
                    }
                },
                Err(fault) => {
                    let fault = fault.to_string();
                    found.unread.get_or_insert_with(|| fault.clone());
                    found.refused.push((table.display().to_string(), fault));
                }
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

    /// Joins photos whose table gives them one id to one item.
    fn join_pictures(&mut self) {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut items: Vec<Photo> = Vec::with_capacity(self.photos.len());
        for photo in self.photos.drain(..) {
            let place = if photo.form.is_none() { places.get(&photo.id).copied() } else { None };
            let Some(item) = place.and_then(|at| items.get_mut(at)) else {
                if photo.form.is_none() {
                    places.insert(photo.id.clone(), items.len());
                }
                items.push(photo);
                continue;
            };
            match differing(item, &photo) {
                Some(name) => {
                    let why = format!(
                        "{name:?} of item {:?} is another than in a row before; all rows of an item say the same or nothing",
                        item.id
                    );
                    self.spoiled.insert(item.id.clone());
                    self.refused.push((photo.name, why));
                }
                None => {
                    if item.split.is_empty() {
                        item.split = photo.split;
                    }
                    item.labels.extend(photo.labels);
                    item.fields.extend(photo.fields);
                    item.more.push(photo.path);
                }
            }
        }
        // An item is stored with all its pictures or not at all: it would replace one that has them.
        let (whole, spoiled): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| item.form.is_some() || !self.spoiled.contains(&item.id));
        let why = "another row of this item is refused, and it is not sent without it";
        self.refused.extend(spoiled.into_iter().map(|item| (item.id, why.to_owned())));
        self.photos = whole;
    }

    fn of_folder(folder: &Path, listing: Listing) -> Self {
        let photo = |listed: lapel_wardrobe::ListedPhoto| Photo {
            id: String::new(),
            name: listed.name,
            spelled: below(folder, &listed.path),
            path: listed.path,
            more: Vec::new(),
            form: Some(Form::Name),
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
            spoiled: HashSet::new(),
            unread: None,
        }
    }
}

/// The first label or field that two rows of one item have both, and not alike.
fn differing(a: &Photo, b: &Photo) -> Option<String> {
    let labels = b.labels.iter().filter(|(name, label)| a.labels.get(*name).is_some_and(|had| had != *label));
    let fields = b.fields.iter().filter(|(name, value)| a.fields.get(*name).is_some_and(|had| had != *value));
    let says_other = !a.split.is_empty() && !b.split.is_empty() && a.split != b.split;
    let split = says_other.then(|| "split".to_owned());
    labels.map(|(name, _)| name.clone()).chain(fields.map(|(name, _)| name.clone())).chain(split).next()
}

/// Gives photos without an id of their own one that no other has: the file's name, or for those that clash the path below
/// the folder, without its ending or with it. Says how many those are: the others keep their ids, so that what is stored
/// under them stays one item when a photo is added.
fn name_items(photos: &mut [Photo]) -> anyhow::Result<Option<String>> {
    for photo in photos.iter_mut() {
        if let Some(form) = photo.form {
            photo.id = form.id(&photo.name);
        }
    }
    let Some(first_clash) = clashes(photos) else { return Ok(None) };
    while make_longer(photos) {}
    if let Some(clashes) = clashes(photos) {
        bail!(
            "nothing was sent, since several photos would become one item: {clashes}; name each photo once, with an \"id\" of \
             its own, or give --pictures where rows of one \"id\" are pictures of one item"
        );
    }
    let is_other = |photo: &&Photo| photo.form.is_some() && photo.id != Form::Name.id(&photo.name);
    let count = photos.iter().filter(is_other).count();
    let whole = photos.iter().filter(|photo| photo.form == Some(Form::WholePath)).count();
    let endings = if whole > 0 { format!(", {whole} of them with the ending") } else { String::new() };
    Ok(Some(format!("{count} ids are the paths below the folder{endings}, since names clash: {first_clash}")))
}

/// Makes ids that clash longer where they can be, and says whether one could.
fn make_longer(photos: &mut [Photo]) -> bool {
    let (mut seen, mut clashing) = (HashSet::new(), HashSet::new());
    for photo in photos.iter() {
        if !seen.insert(photo.id.as_str()) {
            clashing.insert(photo.id.clone());
        }
    }
    let mut is_longer = false;
    for photo in photos.iter_mut() {
        let longer = photo.form.and_then(Form::longer);
        if let Some(form) = longer.filter(|_| clashing.contains(&photo.id)) {
            photo.id = form.id(&photo.name);
            photo.form = Some(form);
            is_longer = true;
        }
    }
    is_longer
}

/// Ids that several photos have, the first ones by name.
fn clashes(photos: &[Photo]) -> Option<String> {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for photo in photos {
        names.entry(&photo.id).or_default().push(&photo.spelled);
    }
    let clashes = names.iter().filter(|(_, names)| names.len() > 1);
    let clashes: Vec<String> =
        clashes.map(|(id, names)| format!("{id:?} is {}", told_apart(names))).collect();
    (!clashes.is_empty()).then(|| first_of(&clashes))
}

/// The first names of a list; where two of them would be shown alike, with codes in place of letters beyond ASCII.
fn told_apart(names: &[&str]) -> String {
    let spellings: BTreeSet<&str> = names.iter().copied().collect();
    let shown: BTreeSet<String> = spellings.iter().map(|name| composed(name)).collect();
    if shown.len() == spellings.len() {
        return first_of(names);
    }
    let names: Vec<String> = names.iter().map(|name| escaped(name)).collect();
    let why = if shown.len() == 1 { " (these differ by Unicode form alone: rename one)" } else { "" };
    format!("{}{why}", first_of(&names))
}

/// A name with codes as `\u{308}` in place of letters beyond ASCII.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            text.extend(letter.escape_unicode());
        }
    }
    text
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
