//! What a row file still held when it was opened.

use super::RowFile;
use super::layout::{Layout, PlaceHeader, Sealer};
use super::place::Place;
use crate::kernels::GROUP;
use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Places by group. Those that nobody takes are free when this is dropped.
#[derive(Debug)]
pub struct FoundRows(HashMap<u32, Place>);

impl FoundRows {
    /// The place of a group, for whoever asks first.
    pub(crate) fn take(&mut self, group: u32) -> Option<Place> {
        self.0.remove(&group)
    }

    /// Groups that have a place.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// By position in a group, a hash of the row that lies there; 0: none that is sound.
#[derive(Debug)]
pub(super) struct RowHashes(Box<[u32; GROUP]>);

impl RowHashes {
    /// Whether the row at a position is this one.
    pub(super) fn has(&self, at: usize, row: &[u8]) -> bool {
        self.0[at] == hash(row)
    }

    /// Notes that the row at a position is no longer there.
    pub(super) fn forget(&mut self, at: usize) {
        self.0[at] = 0;
    }
}

/// Tells a row from others; never 0.
fn hash(row: &[u8]) -> u32 {
    crc32fast::hash(row).max(1)
}

/// The places of a file as they were read: of a group that has several, the last.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) last_epoch: u64,
    groups: HashMap<u32, (u32, PlaceHeader, RowHashes)>,
}

impl Scan {
    /// Reads the places of a file from the first on. What cannot be read holds nothing.
    pub(super) fn of(file: &std::fs::File, layout: Layout, places: u32) -> Self {
        let mut scan = Self::default();
        let mut bytes = vec![0; layout.place_bytes];
        for place in 1..places {
            if file.read_exact_at(&mut bytes, layout.offset(place)).is_ok() {
                scan.take_in(layout, place, &bytes);
            }
        }
        scan
    }

    fn take_in(&mut self, layout: Layout, place: u32, bytes: &[u8]) {
        let Some(header) = PlaceHeader::read(bytes) else { return };
        self.last_epoch = self.last_epoch.max(header.epoch);
        if self.groups.get(&header.group).is_some_and(|(_, other, _)| other.epoch >= header.epoch) {
            return;
        }
        let sealer = Sealer::new(header.epoch);
        let mut hashes = Box::new([0; GROUP]);
        for (at, found) in hashes.iter_mut().enumerate() {
            let row = sealer.read(at, &bytes[layout.record(at)..], layout.row_bytes);
            *found = row.map_or(0, hash);
        }
        self.groups.insert(header.group, (place, header, RowHashes(hashes)));
    }

    /// Places that hold the rows of a group.
    pub(super) fn used(&self) -> impl Iterator<Item = u32> {
        self.groups.values().map(|(place, _, _)| *place)
    }

    pub(super) fn into_found(self, file: &Arc<RowFile>) -> FoundRows {
        let found = |(group, (place, header, hashes)): (u32, (u32, PlaceHeader, RowHashes))| {
            (group, Place::new(file, place, header.epoch).with_found(hashes))
        };
        FoundRows(self.groups.into_iter().map(found).collect())
    }
}
