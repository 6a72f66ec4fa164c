//! Folders of labelled photos: `labels.csv` beside `images/`. Import, demo, training and tests read them here.
//!
//! | what | how it is read |
//! |---|---|
//! | encoding | UTF-8, or UTF-16 with a byte order mark |
//! | separator | comma, semicolon or tab, whichever gives a column `image`; a first line `sep=;` is obeyed where it gives one, in quotes, with separators behind it and with `\t` for a tab, too |
//! | columns `image`, `id`, `split`, `view` | in any case; only `image` is needed, `view` is not read |
//! | any other column | an attribute, its name as it is written |
//! | a cell | without outer spaces; an empty one, or one that a short row lacks, is a missing label |
//! | a photo's name | a path below the folder of photos; `\` is read as `/`, and a leading `./` is left out; a file whose name differs by its Unicode form alone is found |
//! | a row without any value | is left out |
//!
//! What cannot be meant is refused with its line: a column that is there twice, a value in a column without a name, labels
//! without a photo's name, a cell with a line break or another control character (a quote that is never closed takes the rest
//! of the table into one), a photo outside of the folder.

mod items;
mod listing;
mod spelling;
mod text;

pub use items::{ItemRow, ItemTable, read_items};
pub use listing::{ListedPhoto, Listing, PassedOver, composed};
pub use spelling::{letters_apart, nearest};

use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// The table's file in a folder of photos.
pub const TABLE: &str = "labels.csv";
/// Columns that name or sort a photo and are no attributes.
pub const NO_ATTRIBUTES: [&str; 4] = ["image", "id", "split", "view"];
/// What the name of a column with values of a field begins with.
pub const FIELD: &str = "field:";
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];
/// Characters that are shown of a cell that cannot be meant.
const START_SHOWN: usize = 20;

/// One labelled photo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelledPhoto {
    /// The photo's name in the table.
    pub name: String,
    /// The photo's path.
    pub path: PathBuf,
    /// The item's id: the cell `id`, else the file's name without folder and ending.
    pub id: String,
    /// Whether the table gives the id, in a cell `id`.
    pub has_own_id: bool,
    /// The cell `split`: `train`, `val` or empty.
    pub split: String,
    /// Attribute to label; missing labels are not there.
    pub labels: BTreeMap<String, String>,
    /// Cells of columns that begin with [`FIELD`], by what follows it, e.g. `price:number`; they are no labels. Empty ones
    /// are not there.
    pub fields: BTreeMap<String, String>,
}

/// Why a table cannot be read. Lines count from 1.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct WardrobeError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: TableFault,
}

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableFault {
    /// The file cannot be read.
    #[error(transparent)]
    Io(std::io::Error),
    /// It is neither UTF-8 nor UTF-16.
    #[error("line {line} is not UTF-8; save the table as \"CSV UTF-8\"")]
    Encoding {
        /// The first line that is not.
        line: usize,
    },
    /// No column names the photo.
    #[error(
        "the first line has no column \"image\" (found {}); columns are separated by commas, semicolons or tabs",
        quoted(found)
    )]
    NoImageColumn {
        /// The columns that are there.
        found: Vec<String>,
    },
    /// No column names the item.
    #[error(
        "the first line has no column \"id\" (found {}); columns are separated by commas, semicolons or tabs",
        quoted(found)
    )]
    NoIdColumn {
        /// The columns that are there.
        found: Vec<String>,
    },
    /// Values without an item.
    #[error("line {line} has values but no \"id\"; name its item or empty the line")]
    NoId {
        /// The line.
        line: usize,
    },
    /// A column is there twice.
    #[error("the first line has the column {column:?} twice; name one of them otherwise or delete it")]
    ColumnTwice {
        /// Its name.
        column: String,
    },
    /// A value in a column without a name.
    #[error("line {line} has the value {value:?} in column {column}, which the first line does not name")]
    NamelessColumn {
        /// The line.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The value.
        value: String,
    },
    /// A line break, or another control character, in a cell: mostly a quote that is never closed, whose cell has the rest of
    /// the table in it.
    #[error(
        "line {line}: a cell that begins {start:?} has a line break or a control character in it; is its quote never closed?"
    )]
    ControlCharacter {
        /// The line on which the row begins.
        line: usize,
        /// What the cell begins with.
        start: String,
    },
    /// A photo that is not below the folder.
    #[error("line {line}: {name:?} is not in the folder of photos; names are paths below it")]
    OutsideFolder {
        /// The line.
        line: usize,
        /// The name.
        name: String,
    },
    /// Labels without a photo.
    #[error("line {line} has values but no \"image\"; name its photo or empty the line")]
    NoImage {
        /// The line.
        line: usize,
    },
    /// Not a table for any other reason.
    #[error(transparent)]
    Csv(csv::Error),
}

/// The photos' folder: `images` in `folder` where it is there, else `folder` itself.
#[must_use]
pub fn photo_folder(folder: &Path) -> PathBuf {
    let images = folder.join("images");
    if images.is_dir() { images } else { folder.to_owned() }
}

/// The id of the item that a photo becomes where nothing else names it: its file's name without folder and ending,
/// composed.
#[must_use]
pub fn photo_id(path: &Path) -> String {
    path.file_stem().map(|stem| composed(&stem.to_string_lossy())).unwrap_or_default()
}

/// Reads [`TABLE`] in `folder`.
///
/// # Errors
/// [`WardrobeError`], naming the file and the line.
pub fn read(folder: &Path) -> Result<Vec<LabelledPhoto>, WardrobeError> {
    read_table(&folder.join(TABLE), &photo_folder(folder))
}

/// Reads the table `file` of photos in `photos`.
///
/// # Errors
/// [`WardrobeError`], naming the file and the line.
pub fn read_table(file: &Path, photos: &Path) -> Result<Vec<LabelledPhoto>, WardrobeError> {
    let refused = |fault| WardrobeError { path: file.to_owned(), fault };
    read_rows(file, photos)?.into_iter().collect::<Result<_, _>>().map_err(refused)
}

/// As [`read_table`], row by row: one that cannot be meant leaves the others as they are.
///
/// # Errors
/// [`WardrobeError`] where the file or its first line cannot be read.
pub fn read_rows(
    file: &Path,
    photos: &Path,
) -> Result<Vec<Result<LabelledPhoto, TableFault>>, WardrobeError> {
    let mut rows = rows(file, photos).map_err(|fault| WardrobeError { path: file.to_owned(), fault })?;
    find_by_unicode_form(&mut rows, photos);
    Ok(rows)
}

/// Corrects the paths of photos that are there under another Unicode form of their name.
fn find_by_unicode_form(rows: &mut [Result<LabelledPhoto, TableFault>], photos: &Path) {
    let missing = rows.iter_mut().flatten().filter(|photo| !photo.path.exists());
    let mut listing = None;
    for photo in missing {
        let listing = listing.get_or_insert_with(|| Listing::read(photos).unwrap_or_default());
        if let Some(path) = listing.find(&photo.name) {
            photo.path = path.to_owned();
        }
    }
}

fn rows(file: &Path, photos: &Path) -> Result<Vec<Result<LabelledPhoto, TableFault>>, TableFault> {
    let bytes = std::fs::read(file).map_err(TableFault::Io)?;
    let (text, named) = text::decode(&bytes)?;
    let separator = separator_of(&text, named, Key::Image)?;
    let header = Header::read(&first_line(&text, separator).map_err(TableFault::Csv)?, Key::Image)?;
    let (mut found, mut lines) = (Vec::new(), Lines::of(&text));
    for row in reader(&text, separator).records() {
        let photo = row
            .map_err(TableFault::Csv)
            .and_then(|row| header.photo(&row, || lines.number_of(row.position()), photos));
        found.extend(photo.transpose());
    }
    Ok(found)
}

fn reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(separator)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
}

fn first_line(text: &str, separator: u8) -> csv::Result<csv::StringRecord> {
    reader(text, separator).headers().cloned()
}

/// Numbers of the lines of a text, asked for from its beginning to its end, so that each of them is counted once.
struct Lines<'a> {
    text: &'a str,
    /// Bytes that were counted, and the lines that end in them.
    counted: usize,
    ended: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, counted: 0, ended: 0 }
    }

    /// The line of a row. A position of the reader's lies before the empty lines, and the half of a line end, that precede
    /// the row.
    fn number_of(&mut self, position: Option<&csv::Position>) -> usize {
        let at = position.map_or(0, |position| position.byte() as usize);
        let after = self.text.get(at..).unwrap_or_default();
        let start = self.text.len() - after.trim_start_matches(['\r', '\n']).len();
        let between = self.text.get(self.counted..start).unwrap_or_default();
        self.ended += between.matches('\n').count();
        self.counted = self.counted.max(start);
        self.ended + 1
    }
}

/// What a table is of: the column that its rows are told apart by.
#[derive(Clone, Copy)]
enum Key {
    Image,
    Id,
}

impl Key {
    fn column(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Id => "id",
        }
    }

    fn missing(self, found: Vec<String>) -> TableFault {
        match self {
            Self::Image => TableFault::NoImageColumn { found },
            Self::Id => TableFault::NoIdColumn { found },
        }
    }
}

/// The separator that gives the key's column: the one that the table names, or another where the table was saved again.
fn separator_of(text: &str, named: Option<u8>, key: Key) -> Result<u8, TableFault> {
    let mut found: Vec<String> = Vec::new();
    for separator in named.into_iter().chain(SEPARATORS) {
        let columns = first_line(text, separator).map_err(TableFault::Csv)?;
        if columns.iter().any(|column| column.eq_ignore_ascii_case(key.column())) {
            return Ok(separator);
        }
        if columns.len() > found.len() {
            found = columns.iter().map(str::to_owned).collect();
        }
    }
    Err(key.missing(found))
}

/// What the columns are.
struct Header {
    /// Names of columns, those of [`NO_ATTRIBUTES`] in lower case.
    columns: Vec<String>,
}

impl Header {
    fn read(columns: &csv::StringRecord, key: Key) -> Result<Self, TableFault> {
        let plain = |column: &str| {
            let known = NO_ATTRIBUTES.into_iter().find(|known| column.eq_ignore_ascii_case(known));
            match column.get(..FIELD.len()) {
                Some(start) if start.eq_ignore_ascii_case(FIELD) => {
                    format!("{FIELD}{}", &column[FIELD.len()..])
                }
                Some(_) | None => known.unwrap_or(column).to_owned(),
            }
        };
        let columns: Vec<String> = columns.iter().map(plain).collect();
        let mut seen = HashSet::new();
        if let Some(column) = columns.iter().filter(|c| !c.is_empty()).find(|c| !seen.insert(c.as_str())) {
            return Err(TableFault::ColumnTwice { column: column.clone() });
        }
        if !columns.iter().any(|column| column == key.column()) {
            return Err(key.missing(columns));
        }
        Ok(Self { columns })
    }

    /// The cells of a row, as those of a photo without a path.
    fn cells(
        &self,
        row: &csv::StringRecord,
        line: &mut impl FnMut() -> usize,
    ) -> Result<LabelledPhoto, TableFault> {
        let mut photo = LabelledPhoto::default();
        for (at, value) in row.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
            if value.chars().any(char::is_control) {
                let start = value.chars().take(START_SHOWN).collect();
                return Err(TableFault::ControlCharacter { line: line(), start });
            }
            let value = value.to_owned();
            match self.columns.get(at).map_or("", String::as_str) {
                "" => return Err(TableFault::NamelessColumn { line: line(), column: at + 1, value }),
                "image" => photo.name = plain_name(&value),
                "id" => photo.id = value,
                "split" => photo.split = value,
                "view" => {}
                column => {
                    let (name, cells) = match column.strip_prefix(FIELD) {
                        Some(field) => (field, &mut photo.fields),
                        None => (column, &mut photo.labels),
                    };
                    cells.insert(name.to_owned(), value);
                }
            }
        }
        Ok(photo)
    }

    /// The photo of a row; `None` of an empty one.
    fn photo(
        &self,
        row: &csv::StringRecord,
        mut line: impl FnMut() -> usize,
        photos: &Path,
    ) -> Result<Option<LabelledPhoto>, TableFault> {
        let mut photo = self.cells(row, &mut line)?;
        if photo.name.is_empty() {
            let empty = row.iter().all(str::is_empty);
            return if empty { Ok(None) } else { Err(TableFault::NoImage { line: line() }) };
        }
        let leaves = |part: Component<'_>| !matches!(part, Component::Normal(_) | Component::CurDir);
        if Path::new(&photo.name).components().any(leaves) {
            return Err(TableFault::OutsideFolder { line: line(), name: photo.name });
        }
        photo.path = photos.join(&photo.name);
        photo.has_own_id = !photo.id.is_empty();
        if !photo.has_own_id {
            photo.id = photo_id(&photo.path);
        }
        Ok(Some(photo))
    }
}

/// A name with `/` between folders, as this system has it.
fn plain_name(name: &str) -> String {
    let name = name.replace('\\', "/");
    name.strip_prefix("./").unwrap_or(&name).to_owned()
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    if quoted.is_empty() { "nothing".into() } else { quoted.join(", ") }
}

#[cfg(test)]
mod tests;
