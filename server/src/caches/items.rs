//! The items as they lay in memory at a clean stop.
//!
//! ```text
//! items.state    magic | block ... | tail | bytes of the tail | its CRC-32
//! ```
//! A block is the items of [`BLOCK`] slots; the tail says of which stop they are, where blocks begin and what they must sum up to. So
//! blocks are read by all cores, each at its place.

use super::Caches;
use super::states::{STATE, StateError, Stop};
use crate::catalogue::{Item, Slot, Snapshot};
use crate::store::{LabelTable, SavedLabels};
use lapel_search::{BLOCK, ItemIndexState};
use rayon::prelude::*;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Begins the file: what it is and the version of its layout.
const MAGIC: [u8; 8] = *b"LAPELIS2";
/// Bytes of the tail's length and of its sum.
const END: usize = 12;

/// Items by slot, [`BLOCK`] a block and fewer in the last, and what is kept of their index.
pub struct SavedItems {
    /// The items.
    pub blocks: Vec<Vec<Option<Arc<Item>>>>,
    /// What is kept of their index.
    pub index: ItemIndexState<'static>,
}

/// An item as it is written.
#[derive(Serialize, Deserialize)]
struct SavedItem<'a> {
    id: &'a str,
    #[serde(serialize_with = "at_once", borrow)]
    record: Cow<'a, [u8]>,
}

/// What is written behind the blocks.
#[derive(Serialize, Deserialize)]
struct Tail<'a> {
    stop: Stop,
    blocks: Vec<Written>,
    /// The attributes and labels that records name by their places.
    labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    index: ItemIndexState<'a>,
}

/// A piece of the file.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Written {
    from: u64,
    bytes: u32,
    crc32: u32,
}

/// Not byte by byte.
fn at_once<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl Caches {
    fn items_path(&self) -> PathBuf {
        self.folder.join("items").with_extension(STATE)
    }

    /// Writes the items of a snapshot.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn save_items(&self, snapshot: &Snapshot, stop: Stop) -> io::Result<()> {
        self.disk.write_unsynced(&self.items_path(), |file| write(file, snapshot, stop))
    }

    /// The items as they lay at a stop.
    ///
    /// # Errors
    /// [`StateError`]; they are then to be read from the store.
    pub fn restore_items(&self, stop: Stop) -> Result<SavedItems, StateError> {
        read(&File::open(self.items_path())?, stop)
    }
}

fn write(out: &mut dyn Write, snapshot: &Snapshot, stop: Stop) -> io::Result<()> {
    let items = snapshot.items();
    let slots = items.live().max().map_or(0, |last| last as usize + 1);
    let (mut blocks, mut from) = (Vec::new(), MAGIC.len() as u64);
    let labels = LabelTable::of(items.labels().flat_map(|(attribute, labels)| {
        labels.keys().map(move |label| (attribute.as_str(), label.as_str()))
    }));
    out.write_all(&MAGIC)?;
    for first in (0..slots).step_by(BLOCK) {
        let slots = first..(first + BLOCK).min(slots);
        let block: Vec<_> =
            slots.map(|slot| items.get(slot as Slot).map(|item| SavedItem::of(item, &labels))).collect();
        let block = postcard::to_stdvec(&block).map_err(io::Error::other)?;
        out.write_all(&block)?;
        let bytes = u32::try_from(block.len()).map_err(io::Error::other)?;
        blocks.push(Written { from, bytes, crc32: crc32fast::hash(&block) });
        from += u64::from(bytes);
    }
    let tail = Tail {
        stop,
        blocks,
        labels: labels.pairs().map(|(attribute, label)| (attribute.into(), label.into())).collect(),
        index: items.index_state(),
    };
    let tail = postcard::to_stdvec(&tail).map_err(io::Error::other)?;
    out.write_all(&tail)?;
    out.write_all(&(tail.len() as u64).to_le_bytes())?;
    out.write_all(&crc32fast::hash(&tail).to_le_bytes())
}

fn read(file: &File, stop: Stop) -> Result<SavedItems, StateError> {
    let tail = read_tail(file)?;
    let Tail { stop: of, blocks, labels, index } =
        postcard::from_bytes(&tail).map_err(|_| StateError::Unfit)?;
    drop(tail);
    if of != stop {
        return Err(StateError::Unfit);
    }
    let labels = SavedLabels::of(labels.iter().map(|(attribute, label)| (&**attribute, &**label)));
    let blocks = blocks.into_par_iter().map(|block| {
        let bytes = block.read(file)?;
        let items: Vec<Option<SavedItem<'_>>> =
            postcard::from_bytes(&bytes).map_err(|_| StateError::Unfit)?;
        let item = |saved: SavedItem<'_>| saved.into_item(&labels).map(Arc::new).ok_or(StateError::Unfit);
        items.into_iter().map(|saved| saved.map(item).transpose()).collect()
    });
    let blocks = blocks.collect::<Result<_, StateError>>()?;
    Ok(SavedItems { blocks, index })
}

/// The bytes of the tail, where they are as they were written.
fn read_tail(file: &File) -> Result<Vec<u8>, StateError> {
    let (mut magic, mut end) = ([0; 8], [0; END]);
    let length = file.metadata()?.len();
    file.read_exact_at(&mut magic, 0)?;
    let end_at = length.checked_sub(END as u64).filter(|_| magic == MAGIC).ok_or(StateError::Unfit)?;
    file.read_exact_at(&mut end, end_at)?;
    let ([bytes @ .., _, _, _, _], [.., a, b, c, d]) = (end, end);
    let (bytes, crc32) = (u64::from_le_bytes(bytes), u32::from_le_bytes([a, b, c, d]));
    let from =
        end_at.checked_sub(bytes).filter(|from| *from >= MAGIC.len() as u64).ok_or(StateError::Unfit)?;
    read_piece(file, (from, bytes), crc32)
}

fn read_piece(file: &File, (from, bytes): (u64, u64), crc32: u32) -> Result<Vec<u8>, StateError> {
    let mut piece = vec![0; usize::try_from(bytes).map_err(|_| StateError::Unfit)?];
    file.read_exact_at(&mut piece, from)?;
    if crc32fast::hash(&piece) == crc32 { Ok(piece) } else { Err(StateError::Unfit) }
}

impl Written {
    fn read(self, file: &File) -> Result<Vec<u8>, StateError> {
        read_piece(file, (self.from, self.bytes.into()), self.crc32)
    }
}

impl<'a> SavedItem<'a> {
    fn of(item: &'a Item, labels: &LabelTable<'_>) -> Self {
        Self { id: &item.id, record: labels.saved(item.packed()).into() }
    }

    /// `None` where it names a label that there is none of.
    fn into_item(self, labels: &SavedLabels<'_>) -> Option<Item> {
        Some(Item::of_packed(self.id.into(), labels.record(&self.record)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ItemRecord;

    const STOP: Stop = Stop::of(7);

    fn snapshot() -> Snapshot {
        let item = |id: &str| {
            let labels = [("colour".to_owned(), format!("{id} red"))].into();
            Arc::new(Item::new(&id.into(), &ItemRecord { labels, ..ItemRecord::default() }))
        };
        let mut snapshot = Snapshot::default();
        let slots = [None, Some("b".to_owned()), Some("a".to_owned())];
        snapshot.load_items(vec![item("a"), item("b")], &slots);
        snapshot
    }

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file
    }

    #[test]
    fn items_come_back_to_their_slots_and_every_flipped_bit_and_every_cut_is_noticed() {
        let (there, mut bytes) = (snapshot(), Vec::new());
        write(&mut bytes, &there, STOP).expect("memory");
        let SavedItems { blocks, index } = read(&file_of(&bytes), STOP).expect("as it was written");
        let mut again = Snapshot::default();
        assert!(again.restore_items(blocks, index));
        for slot in 0..4 {
            assert_eq!(again.items().get(slot), there.items().get(slot));
        }
        assert_eq!(again.items().slot("a"), Some(2));
        assert!(read(&file_of(&bytes), Stop::of(8)).is_err(), "of another stop");
        let length = bytes.len();
        assert!((0..length).all(|length| read(&file_of(&bytes[..length]), STOP).is_err()));
        for (at, bit) in (0..length).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            bytes[at] ^= 1 << bit;
            assert!(read(&file_of(&bytes), STOP).is_err(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
}
