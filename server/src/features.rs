//! The feature cache: feature maps of stored photos on disk, so that the backfill of a new head skips decoding and the
//! backbone.
//!
//! One file a backbone, of records of one size: a header with the photo's content id and a CRC-32 over the rest, the
//! parts, the map in half precision. Nothing is synced: a record that a crash or a flipped bit has damaged does not have
//! its checksum, is dropped, and is computed again.

use crate::config::FeatureConfig;
use crate::model::Model;
use crate::store::ContentId;
use lapel_heads::{Features, Parts};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Begins every file: what it is and the version of its layout.
const MAGIC: [u8; 8] = *b"LAPELFM1";
/// Bytes before the first record.
const FILE_HEADER: u64 = 64;
/// Bytes of a record's checksum and content id.
const HEADER: usize = 4 + 16;
/// Bytes for the parts: their encoded length and their encoding.
const PARTS: usize = 192;

/// Feature maps by model and photo.
pub struct FeatureCache {
    folder: PathBuf,
    budget_bytes: u64,
    /// By the backbone's fingerprint.
    files: Mutex<HashMap<String, Arc<CacheFile>>>,
}

/// The records of one backbone.
struct CacheFile {
    file: File,
    record_bytes: usize,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    places: HashMap<ContentId, u64>,
    /// The record that is written next: behind the last, and from the first on once the budget is used up.
    next: u64,
    /// What a place holds.
    contents: Vec<Option<ContentId>>,
}

impl FeatureCache {
    /// The cache in a catalogue's folder; `None` where the budget is 0 or the folder cannot be used.
    #[must_use]
    pub fn open(folder: &Path, config: &FeatureConfig) -> Option<Self> {
        let folder = folder.join("features");
        if config.budget_bytes.0 == 0 {
            // What an earlier configuration has left is only waste.
            let _ = fs_err::remove_dir_all(&folder);
            return None;
        }
        if let Err(error) = fs_err::create_dir_all(&folder) {
            tracing::warn!(%error, "features are not cached");
            return None;
        }
        Some(Self { folder, budget_bytes: config.budget_bytes.0 as u64, files: Mutex::default() })
    }

    /// Photos whose features are kept.
    #[must_use]
    pub fn len(&self) -> u64 {
        lock(&self.files).values().map(|file| lock(&file.records).places.len() as u64).sum()
    }

    /// The features of a photo; a damaged record is dropped.
    #[must_use]
    pub fn get(&self, model: &Model, content: ContentId) -> Option<Features> {
        let file = self.file(model)?;
        let place = *lock(&file.records).places.get(&content)?;
        let mut bytes = vec![0; file.record_bytes];
        let read = file.file.read_exact_at(&mut bytes, file.offset(place));
        let features = read.ok().and_then(|()| decode(&bytes, content, model));
        if features.is_none() {
            tracing::warn!("a cached feature map is damaged; it is computed again");
            let mut records = lock(&file.records);
            records.places.remove(&content);
            if let Some(held) = records.contents.get_mut(place as usize) {
                *held = None;
            }
        }
        features
    }

    /// Keeps the features of a photo, in the place of the oldest ones where the budget is used up.
    pub fn put(&self, model: &Model, content: ContentId, features: &Features) {
        let Some(file) = self.file(model) else { return };
        let most = (self.budget_bytes.saturating_sub(FILE_HEADER)) / file.record_bytes as u64;
        let Some(bytes) = encode(content, features, file.record_bytes).filter(|_| most > 0) else { return };
        let mut records = lock(&file.records);
        if records.places.contains_key(&content) {
            return;
        }
        let place = if records.next >= most { 0 } else { records.next };
        // The place's old content is forgotten first: a write that fails half way leaves a record without its checksum.
        if records.contents.len() <= place as usize {
            records.contents.resize(place as usize + 1, None);
        }
        if let Some(old) = records.contents[place as usize].take() {
            records.places.remove(&old);
        }
        records.next = place + 1;
        if let Err(error) = file.file.write_all_at(&bytes, file.offset(place)) {
            tracing::warn!(%error, "a feature map cannot be cached");
            return;
        }
        records.contents[place as usize] = Some(content);
        records.places.insert(content, place);
    }

    /// Drops the features of a backbone that is gone.
    pub fn forget(&self, fingerprint: &str) {
        lock(&self.files).remove(fingerprint);
        let _ = fs_err::remove_file(self.path(fingerprint));
    }

    fn path(&self, fingerprint: &str) -> PathBuf {
        self.folder
            .join(format!("{}.features", fingerprint.replace(|c: char| !c.is_ascii_alphanumeric(), "-")))
    }

    fn file(&self, model: &Model) -> Option<Arc<CacheFile>> {
        let mut files = lock(&self.files);
        if let Some(file) = files.get(model.fingerprint()) {
            return Some(file.clone());
        }
        let record_bytes = HEADER + PARTS + Features::map_bytes(&model.backbone().layout());
        match CacheFile::open(&self.path(model.fingerprint()), record_bytes) {
            Ok(file) => {
                let file = Arc::new(file);
                files.insert(model.fingerprint().to_owned(), file.clone());
                Some(file)
            }
            Err(error) => {
                tracing::warn!(%error, "features are not cached");
                None
            }
        }
    }
}

impl CacheFile {
    fn open(path: &Path, record_bytes: usize) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut header = [0; FILE_HEADER as usize];
        let stated = file.read_exact_at(&mut header, 0);
        let wanted = file_header(record_bytes);
        if stated.is_err() || header != wanted {
            file.set_len(0)?;
            file.write_all_at(&wanted, 0)?;
        }
        let opened = Self { file, record_bytes, records: Mutex::default() };
        opened.read_headers()?;
        Ok(opened)
    }

    fn read_headers(&self) -> io::Result<()> {
        let len = self.file.metadata()?.len().saturating_sub(FILE_HEADER);
        let count = len.div_ceil(self.record_bytes as u64);
        let mut records = lock(&self.records);
        for place in 0..count {
            let mut header = [0; HEADER];
            let read = self.file.read_exact_at(&mut header, self.offset(place));
            let content = ContentId(header.as_chunks::<4>().0[1..].concat().try_into().unwrap_or([0; 16]));
            let held = read.is_ok() && content != ContentId([0; 16]);
            records.contents.push(held.then_some(content));
            if held {
                records.places.insert(content, place);
            }
        }
        records.next = count;
        Ok(())
    }

    fn offset(&self, place: u64) -> u64 {
        FILE_HEADER + place * self.record_bytes as u64
    }
}

fn file_header(record_bytes: usize) -> [u8; FILE_HEADER as usize] {
    let mut header = [0; FILE_HEADER as usize];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&(record_bytes as u64).to_le_bytes());
    header
}

fn encode(content: ContentId, features: &Features, record_bytes: usize) -> Option<Vec<u8>> {
    let parts = postcard::to_stdvec(&features.parts).ok()?;
    let map = features.map_to_bytes();
    let mut bytes = vec![0; HEADER];
    bytes[4..HEADER].copy_from_slice(&content.0);
    bytes.extend_from_slice(&(parts.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&parts);
    if bytes.len() > HEADER + PARTS {
        return None;
    }
    bytes.resize(HEADER + PARTS, 0);
    bytes.extend_from_slice(&map);
    let sum = crc32fast::hash(&bytes[4..]).to_le_bytes();
    bytes[..4].copy_from_slice(&sum);
    (bytes.len() == record_bytes).then_some(bytes)
}

fn decode(bytes: &[u8], content: ContentId, model: &Model) -> Option<Features> {
    let (sum, rest) = bytes.split_at_checked(4)?;
    if crc32fast::hash(rest).to_le_bytes() != sum || !rest.starts_with(&content.0) {
        return None;
    }
    let (parts, map) = rest.get(16..)?.split_at_checked(PARTS)?;
    let (len, parts) = parts.split_first_chunk::<2>()?;
    let parts: Parts = postcard::from_bytes(parts.get(..usize::from(u16::from_le_bytes(*len)))?).ok()?;
    Features::from_bytes(parts, map, &model.backbone().layout())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is changed under these locks is changed in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
