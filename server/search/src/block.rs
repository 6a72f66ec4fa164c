//! The signatures of one block of slots: exact ones by group, and their codes.

mod state;

pub(crate) use state::RestoredBlock;

use crate::codes::{Codec, ItemCodes};
use crate::kernels::{self, BLOCK, Bits, GROUP, GROUPS, Rows};
use crate::row_file::{GroupRows, Place, RowFile, RowFileError};
use bytemuck::{Pod, Zeroable};
use half::f16;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;

/// Position of an item in every column.
pub type Slot = u32;

/// How exact signatures are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision, 4 bytes a number: distances are those of the signatures as they were written.
    #[default]
    F32,
    /// Half precision, 2 bytes a number: distances are exact for signatures rounded to 11 bits.
    F16,
}

impl Precision {
    /// Bytes of a number.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::F16 => size_of::<f16>(),
        }
    }

    /// The signature as it will be read back, so that sums and prototypes forget exactly what they took in.
    pub fn rounded(self, signature: &[f32]) -> Cow<'_, [f32]> {
        match self {
            Self::F32 => Cow::Borrowed(signature),
            Self::F16 => signature.iter().map(|v| f16::from_f32(*v).to_f32()).collect(),
        }
    }
}

/// Rows of a group, `[GROUP, dim]`; those of absent signatures are zero. One step away from the block, not two:
/// rescoring jumps here at random.
#[derive(Clone)]
enum Group {
    F32(Arc<[f32]>),
    F16(Arc<[f16]>),
    /// Out of memory.
    Filed(Arc<Place>),
}

impl Group {
    fn empty(precision: Precision, dim: usize) -> Self {
        match precision {
            Precision::F32 => Self::F32(vec![0.0; GROUP * dim].into()),
            Precision::F16 => Self::F16(vec![f16::ZERO; GROUP * dim].into()),
        }
    }

    /// The rows in memory; `None` where they are in a file.
    fn held(&self) -> Option<Rows<'_>> {
        match self {
            Self::F32(rows) => Some(Rows::F32(rows)),
            Self::F16(rows) => Some(Rows::F16(rows)),
            Self::Filed(_) => None,
        }
    }

    /// The rows at the positions in `present`.
    fn rows(&self, present: u64) -> GroupRows<'_> {
        match self {
            Self::F32(rows) => GroupRows::Held(Rows::F32(rows)),
            Self::F16(rows) => GroupRows::Held(Rows::F16(rows)),
            Self::Filed(place) => place.read(present),
        }
    }

    fn set(&mut self, at: usize, signature: &[f32]) {
        let dim = signature.len();
        match self {
            Self::F32(rows) => Arc::make_mut(rows)[at * dim..][..dim].copy_from_slice(signature),
            Self::F16(rows) => Arc::make_mut(rows)[at * dim..][..dim]
                .iter_mut()
                .zip(signature)
                .for_each(|(r, v)| *r = f16::from_f32(*v)),
            Self::Filed(_) => {}
        }
    }

    /// Takes rows from the file where they have to change.
    fn fetch(&mut self, present: u64) {
        if let Self::Filed(place) = self {
            *self = match place.read(present) {
                GroupRows::Held(Rows::F32(rows)) => Self::F32(rows.into()),
                GroupRows::Held(Rows::F16(rows)) => Self::F16(rows.into()),
                GroupRows::F32(rows) => Self::F32(rows.into()),
                GroupRows::F16(rows) => Self::F16(rows.into()),
            };
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::F32(rows) => size_of_val::<[f32]>(rows),
            Self::F16(rows) => size_of_val::<[f16]>(rows),
            Self::Filed(_) => 0,
        }
    }
}

/// A line of the cache. A group's codes are whole ones, so that no register of a scan lies across two.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

const LINE: usize = 64;

/// The signatures of one block of slots. Cloning shares the codes and the exact rows, so that changing one signature copies
/// the codes and one group.
#[derive(Clone)]
pub struct ColumnBlock {
    groups: [Option<Group>; GROUPS],
    present: Bits,
    /// Groups of codes one after the other; empty while the column has no codec.
    codes: Arc<[Line]>,
    /// Finer codes of all positions one after the other, so that those of one are read at once; empty while it has none.
    finer: Arc<[u8]>,
    /// The column's version that last changed a signature of it.
    written: u64,
}

impl ColumnBlock {
    /// An empty block, with codes when the column has a codec.
    pub fn new(codec: Option<&Codec>) -> Self {
        let (codes, finer) = codec.map(no_codes).unwrap_or_default();
        let groups = std::array::from_fn(|_| None);
        Self { groups, present: [0; GROUPS], codes: codes.into(), finer: finer.into(), written: 0 }
    }

    /// Which slots have a signature.
    #[must_use]
    pub fn present(&self) -> &Bits {
        &self.present
    }

    /// The codes of all groups; `None` while the column has no codec.
    #[must_use]
    pub fn codes(&self) -> Option<&[u8]> {
        (!self.codes.is_empty()).then_some(bytemuck::cast_slice(&self.codes))
    }

    /// Both codes of the signature at a position; `None` where there is none, or no codec.
    pub(crate) fn item_codes(&self, at: usize) -> Option<ItemCodes<'_>> {
        let codes = self.codes().filter(|_| self.has(at))?;
        let (group, finer) = (codes.len() / GROUPS, self.finer.len() / BLOCK);
        Some(ItemCodes {
            group: &codes[at / GROUP * group..][..group],
            at: at % GROUP,
            finer: &self.finer[at * finer..][..finer],
        })
    }

    /// The exact rows of a group; `None` when no slot of it has a signature.
    #[must_use]
    pub(crate) fn rows(&self, group: usize) -> Option<GroupRows<'_>> {
        Some(self.groups[group].as_ref()?.rows(self.present[group]))
    }

    /// Whether a position of the block has a signature.
    #[must_use]
    pub fn has(&self, at: usize) -> bool {
        self.present[at / GROUP] >> (at % GROUP) & 1 == 1
    }

    /// Hands the exact row at a position of the block to `take`, which must not read another.
    pub(crate) fn with_row<T>(&self, at: usize, dim: usize, take: impl FnOnce(Rows<'_>) -> T) -> Option<T> {
        let group = self.groups[at / GROUP].as_ref().filter(|_| self.has(at))?;
        match group {
            Group::F32(rows) => Some(take(Rows::F32(rows).row(at % GROUP, dim))),
            Group::F16(rows) => Some(take(Rows::F16(rows).row(at % GROUP, dim))),
            Group::Filed(place) => place.with_row(at % GROUP, take),
        }
    }

    /// Makes the read of a row that will be scored soon shorter.
    pub(crate) fn prefetch(&self, at: usize, dim: usize) {
        match self.groups[at / GROUP].as_ref().filter(|_| self.has(at)) {
            Some(Group::F32(rows)) => kernels::prefetch(Rows::F32(rows).row(at % GROUP, dim)),
            Some(Group::F16(rows)) => kernels::prefetch(Rows::F16(rows).row(at % GROUP, dim)),
            Some(Group::Filed(place)) => place.prefetch(at % GROUP),
            None => {}
        }
    }

    /// The signature at a position of the block.
    #[must_use]
    pub fn get(&self, at: usize, dim: usize) -> Option<Cow<'_, [f32]>> {
        // What is in memory as it is asked for is borrowed.
        if let Some(Group::F32(rows)) = self.groups[at / GROUP].as_ref().filter(|_| self.has(at)) {
            return Some(Cow::Borrowed(&rows[at % GROUP * dim..][..dim]));
        }
        self.with_row(at, dim, |row| Cow::Owned(floats(row).into_owned()))
    }

    /// Replaces what a position holds; returns the coding error of a coded signature.
    pub fn set(
        &mut self,
        at: usize,
        signature: Option<&[f32]>,
        codec: Option<&Codec>,
        precision: Precision,
    ) -> Option<f32> {
        let (group, place) = (at / GROUP, at % GROUP);
        let Some(signature) = signature else {
            self.present[group] &= !(1 << place);
            if self.present[group] == 0 {
                self.groups[group] = None;
            }
            return None;
        };
        let rows = self.groups[group].get_or_insert_with(|| Group::empty(precision, signature.len()));
        let is_filed = match rows {
            // Nobody else reads a place that is only here.
            Group::Filed(filed) => Arc::get_mut(filed)
                .is_some_and(|filed| !filed.is_damaged() && filed.write(place, signature).is_ok()),
            Group::F32(_) | Group::F16(_) => false,
        };
        if !is_filed {
            rows.fetch(self.present[group] & !(1 << place));
            rows.set(place, signature);
        }
        self.present[group] |= 1 << place;
        self.encode(at, signature, codec)
    }

    /// Codes the signature at a position, and returns the coding error.
    fn encode(&mut self, at: usize, signature: &[f32], codec: Option<&Codec>) -> Option<f32> {
        let (codec, bytes) = (codec?, codec?.group_bytes());
        let codes: &mut [u8] = bytemuck::cast_slice_mut(Arc::make_mut(&mut self.codes));
        let group = codes.get_mut(at / GROUP * bytes..)?.get_mut(..bytes)?;
        let bytes = codec.finer_bytes();
        let finer = Arc::make_mut(&mut self.finer).get_mut(at * bytes..)?.get_mut(..bytes)?;
        Some(codec.encode(signature, group, at % GROUP, finer))
    }

    /// The same block coded by another codec.
    #[must_use]
    pub fn recoded(&self, codec: &Codec) -> Self {
        let (mut codes, mut finer) = no_codes(codec);
        let groups = codes.chunks_exact_mut(codec.group_bytes() / LINE);
        let of_groups = groups.zip(finer.chunks_exact_mut(codec.finer_bytes() * GROUP));
        for (group, (codes, finer)) in of_groups.enumerate() {
            // A group at once: rows that are in a file are then read in one go.
            let Some(rows) = self.rows(group) else { continue };
            let codes: &mut [u8] = bytemuck::cast_slice_mut(codes);
            for (at, finer) in finer.chunks_exact_mut(codec.finer_bytes()).enumerate() {
                if self.has(group * GROUP + at) {
                    codec.encode(&floats(rows.rows().row(at, codec.dim())), codes, at, finer);
                }
            }
        }
        Self { codes: codes.into(), finer: finer.into(), ..self.clone() }
    }

    /// Bytes of codes and of the bitmap of present signatures.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        size_of_val::<[Line]>(&self.codes) + self.finer.len() + size_of::<Bits>()
    }
}

/// Room for the codes of a block, by group and by item.
fn no_codes(codec: &Codec) -> (Vec<Line>, Vec<u8>) {
    let lines = codec.group_bytes() / LINE * GROUPS;
    (vec![Line([0; LINE]); lines], vec![0; codec.finer_bytes() * BLOCK])
}

fn floats(row: Rows<'_>) -> Cow<'_, [f32]> {
    match row {
        Rows::F32(row) => Cow::Borrowed(row),
        Rows::F16(row) => row.iter().map(|v| v.to_f32()).collect(),
    }
}

/// Which of two states of a block is newer, and what one has of the other.
impl ColumnBlock {
    /// Notes the column's version that changed a signature of it.
    pub(crate) fn note_write(&mut self, version: u64) {
        self.written = version;
    }

    /// The column's version that last changed a signature of it.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// This block with the codes of another state of it that has the same signatures.
    pub(crate) fn with_codes(&self, of: &Self) -> Self {
        Self { codes: of.codes.clone(), finer: of.finer.clone(), ..self.clone() }
    }

    /// This block with the rows where another state of it has them, of the same signatures.
    pub(crate) fn with_rows(&self, of: &Self) -> Self {
        Self { groups: of.groups.clone(), ..self.clone() }
    }
}

/// Rows out of memory.
impl ColumnBlock {
    /// Bytes of exact rows in memory.
    pub(crate) fn row_bytes(&self) -> usize {
        self.groups.iter().flatten().map(Group::bytes).sum()
    }

    /// Moves the rows of this block, which has a number, to a file, and returns the bytes of memory that they had.
    ///
    /// # Errors
    /// [`RowFileError`]; some may have been moved.
    pub(crate) fn spill(&mut self, number: usize, file: &Arc<RowFile>) -> Result<usize, RowFileError> {
        let mut freed = 0;
        for (at, (group, present)) in self.groups.iter_mut().zip(self.present).enumerate() {
            let Some(slot) = group else { continue };
            let Some(rows) = slot.held() else { continue };
            let place = file.store((number * GROUPS + at) as u32, rows, present)?;
            freed += slot.bytes();
            *group = Some(Group::Filed(Arc::new(place)));
        }
        Ok(freed)
    }

    /// Whether a group has rows, or a place for them.
    pub(crate) fn has_group(&self, group: usize) -> bool {
        self.groups[group].is_some()
    }

    /// Gives a group without rows a place for them.
    pub(crate) fn set_place(&mut self, group: usize, place: Place) {
        self.groups[group] = Some(Group::Filed(Arc::new(place)));
    }

    /// Forgets what the places were found to hold: all of it has been asked for.
    pub(crate) fn end_loading(&mut self) {
        for group in self.groups.iter_mut().flatten() {
            if let Group::Filed(place) = group
                && let Some(place) = Arc::get_mut(place)
            {
                place.forget_found();
            }
        }
    }

    /// Whether a row of the group of a position could not be read.
    pub(crate) fn is_damaged(&self, at: usize) -> bool {
        match &self.groups[at / GROUP] {
            Some(Group::Filed(place)) => place.is_damaged(),
            Some(Group::F32(_) | Group::F16(_)) | None => false,
        }
    }

    /// The positions of all such groups that have a signature.
    pub(crate) fn damaged(&self) -> impl Iterator<Item = usize> + '_ {
        (0..BLOCK).filter(|at| self.has(*at) && self.is_damaged(*at))
    }

    /// Empties a group, whose rows are not looked at.
    pub(crate) fn clear_group(&mut self, group: usize) {
        self.groups[group] = None;
        self.present[group] = 0;
    }

    /// Reads all rows that are in a file, so that those that cannot be read are noticed.
    pub(crate) fn check_rows(&self) {
        let filed = self.groups.iter().zip(self.present);
        filed.filter_map(|(group, present)| Some((group.as_ref()?, present))).for_each(|(group, present)| {
            drop(group.rows(present));
        });
    }
}
