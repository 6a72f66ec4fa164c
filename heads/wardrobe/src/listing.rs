//! What lies in a folder of photos and in the folders below it.

use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization;

/// Endings of files that are taken for photos, in lower case.
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];
/// Endings of pictures of other kinds.
const OTHER_ENDINGS: [&str; 8] = ["avif", "bmp", "gif", "heic", "heif", "jxl", "tif", "tiff"];

/// The photos of a folder, and what was passed over on the way to them.
#[derive(Debug, Default)]
pub struct Listing {
    /// Photos, sorted by name.
    pub photos: Vec<ListedPhoto>,
    /// What was not read, and why, sorted by path.
    pub passed_over: Vec<(PathBuf, PassedOver)>,
}

/// A photo of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedPhoto {
    /// The path below the folder, composed (see [`composed`]).
    pub name: String,
    /// Where the file lies.
    pub path: PathBuf,
}

/// Why something in a folder was not read.
#[derive(Debug)]
pub enum PassedOver {
    /// Its name begins with a dot: a Mac's `._` file, a folder of a version control system.
    Hidden,
    /// A link to a file that is not there.
    DanglingLink,
    /// A link to a folder; following it could go round in circles.
    FolderLink,
    /// A named pipe, a socket or a device; to read one could wait for ever.
    NoRegularFile,
    /// A picture of a kind that is not read.
    OtherKind,
    /// Its name is not UTF-8, so that it cannot become an item's id.
    NotUtf8,
    /// A folder, or a file's metadata, that cannot be read.
    Unreadable(Error),
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden => f.write_str("hidden"),
            Self::DanglingLink => f.write_str("a link that leads nowhere"),
            Self::FolderLink => f.write_str("a link to a folder"),
            Self::NoRegularFile => f.write_str("no regular file"),
            Self::OtherKind => f.write_str("no JPEG, PNG or WebP; convert it"),
            Self::NotUtf8 => f.write_str("a name that is not UTF-8; rename it"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

impl Listing {
    /// Reads the folder `root` and the folders below it. Links to files are followed, links to folders are not.
    ///
    /// # Errors
    /// When `root` itself cannot be read; folders below it that cannot be are in [`Listing::passed_over`].
    pub fn read(root: &Path) -> Result<Self> {
        let mut listing = Self::default();
        let mut folders = Vec::new();
        listing.read_folder(root, root, &mut folders)?;
        while let Some(folder) = folders.pop() {
            if let Err(error) = listing.read_folder(&folder, root, &mut folders) {
                listing.passed_over.push((folder, PassedOver::Unreadable(error)));
            }
        }
        listing.photos.sort();
        listing.passed_over.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(listing)
    }

    /// The photo of that name, whichever Unicode form either has.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Path> {
        let name = composed(name);
        let at = self.photos.binary_search_by(|photo| photo.name.as_str().cmp(&name)).ok()?;
        Some(&self.photos[at].path)
    }

    fn read_folder(&mut self, folder: &Path, root: &Path, folders: &mut Vec<PathBuf>) -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            self.take(entry?.path(), root, folders);
        }
        Ok(())
    }

    fn take(&mut self, path: PathBuf, root: &Path, folders: &mut Vec<PathBuf>) {
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_link = path.is_symlink();
        let why = match (has_ending(&path, &ENDINGS), path.metadata().map(|m| m.file_type())) {
            (_, Ok(kind)) if kind.is_dir() && is_hidden => PassedOver::Hidden,
            (_, Ok(kind)) if kind.is_dir() && is_link => PassedOver::FolderLink,
            (_, Ok(kind)) if kind.is_dir() => return folders.push(path),
            (false, _) if has_ending(&path, &OTHER_ENDINGS) && !is_hidden => PassedOver::OtherKind,
            (false, _) => return,
            (true, _) if is_hidden => PassedOver::Hidden,
            (true, Ok(kind)) if !kind.is_file() => PassedOver::NoRegularFile,
            (true, Ok(_)) => match path.strip_prefix(root).ok().and_then(Path::to_str) {
                Some(name) => return self.photos.push(ListedPhoto { name: composed(name), path }),
                None => PassedOver::NotUtf8,
            },
            (true, Err(error)) if is_link && error.kind() == ErrorKind::NotFound => PassedOver::DanglingLink,
            (true, Err(error)) => PassedOver::Unreadable(error),
        };
        self.passed_over.push((path, why));
    }
}

/// A name in Unicode's composed form (NFC), in which most systems write it; a Mac's file system takes letters apart.
#[must_use]
pub fn composed(name: &str) -> String {
    name.nfc().collect()
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|ending| endings.contains(&ending.to_string_lossy().to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: PathBuf) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, "photo").expect("written");
    }

    #[cfg(unix)]
    #[test]
    fn folders_are_read_to_their_leaves_and_what_is_no_photo_is_passed_over() {
        use std::ffi::OsStr;
        use std::os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener};
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        for name in [
            "b.JPG",
            "a/c.png",
            "a/b/d.webp",
            "._b.JPG",
            ".git/e.jpg",
            ".DS_Store",
            "Thumbs.db",
            "labels.csv",
            "phone.HEIC",
            "._phone.HEIC",
        ] {
            touch(root.join(name));
        }
        touch(root.join(OsStr::from_bytes(b"h\xe4md.jpg")));
        symlink("b.JPG", root.join("link.jpg")).expect("linked");
        symlink("gone/nowhere.jpg", root.join("dangling.jpg")).expect("linked");
        symlink("..", root.join("a/up")).expect("linked");
        let _socket = UnixListener::bind(root.join("socket.jpg")).expect("bound");
        let listing = Listing::read(root).expect("read");
        let names: Vec<&str> = listing.photos.iter().map(|photo| photo.name.as_str()).collect();
        assert_eq!(names, ["a/b/d.webp", "a/c.png", "b.JPG", "link.jpg"]);
        let passed_over: Vec<String> = listing.passed_over.iter().map(|(_, why)| why.to_string()).collect();
        assert_eq!(
            passed_over,
            [
                "hidden",
                "hidden",
                "a link to a folder",
                "a link that leads nowhere",
                "a name that is not UTF-8; rename it",
                "no JPEG, PNG or WebP; convert it",
                "no regular file"
            ],
            "{:?}",
            listing.passed_over
        );
        assert!(Listing::read(&root.join("nowhere")).is_err());
    }

    #[test]
    fn a_photo_is_found_whichever_unicode_form_its_name_has() {
        let folder = tempfile::tempdir().expect("folder");
        let (apart, together) = ("Gro\u{308}ße.jpg", "Gr\u{f6}ße.jpg");
        touch(folder.path().join(apart));
        let listing = Listing::read(folder.path()).expect("read");
        assert_eq!(listing.photos[0].name, together);
        for name in [apart, together] {
            assert_eq!(listing.find(name), Some(folder.path().join(apart).as_path()), "{name}");
        }
        assert_eq!(listing.find("Grosse.jpg"), None);
    }
}
