//! A block as bytes: a head, which tells the lengths of what follows it, then codes and rows.
//!
//! ```text
//! block    head | sum | codes | finer codes | rows of each group in memory | sum
//! ```

use super::{ColumnBlock, Group, no_codes};
use crate::Precision;
use crate::codes::Codec;
use crate::kernels::{Bits, GROUPS};
use crate::row_file::{KnownPlace, bytes_of};
use crate::summed::{SummedReader, SummedWriter, check};
use bytemuck::{Pod, Zeroable};
use half::slice::HalfFloatSliceExt;
use std::io;
use std::sync::Arc;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BlockHead {
    written: u64,
    present: Bits,
    groups: [GroupHead; GROUPS],
}

/// Where the rows of a group are; the place and its epoch are 0 where they are in none.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct GroupHead {
    kind: u32,
    place: u32,
    epoch: u64,
}

const NONE: u32 = 0;
const HELD: u32 = 1;
const FILED: u32 = 2;

impl GroupHead {
    fn of(group: Option<&Group>) -> Self {
        match group {
            None => Self { kind: NONE, place: 0, epoch: 0 },
            Some(Group::F32(_) | Group::F16(_)) => Self { kind: HELD, place: 0, epoch: 0 },
            Some(Group::Filed(place)) => Self { kind: FILED, place: place.number(), epoch: place.epoch() },
        }
    }
}

/// A block that was read.
pub(crate) struct RestoredBlock {
    /// Without the groups that are out of memory.
    pub(crate) block: ColumnBlock,
    /// Where those are.
    pub(crate) filed: Vec<KnownPlace>,
}

impl ColumnBlock {
    /// Writes the block; of rows out of memory, where they are.
    pub(crate) fn save(&self, out: &mut SummedWriter<'_>) -> io::Result<()> {
        let groups = self.groups.each_ref().map(|group| GroupHead::of(group.as_ref()));
        let head = BlockHead { written: self.written, present: self.present, groups };
        out.put(bytemuck::bytes_of(&head))?;
        out.end_section()?;
        out.put(bytemuck::cast_slice(&self.codes))?;
        out.put(&self.finer)?;
        for rows in self.groups.iter().flatten().filter_map(Group::held) {
            out.put(bytes_of(rows))?;
        }
        out.end_section()
    }

    /// Reads the block with a number in a column of this shape.
    pub(crate) fn restore(
        input: &mut SummedReader<'_>,
        number: u32,
        codec: Option<&Codec>,
        (dim, precision): (usize, Precision),
    ) -> io::Result<RestoredBlock> {
        let head: BlockHead = input.value()?;
        input.end_section()?;
        let (mut codes, mut finer) = codec.map(no_codes).unwrap_or_default();
        input.fill(bytemuck::cast_slice_mut(&mut codes))?;
        input.fill(&mut finer)?;
        let mut block = Self {
            codes: codes.into(),
            finer: finer.into(),
            present: head.present,
            written: head.written,
            ..Self::new(None)
        };
        let mut filed = Vec::new();
        for ((at, of), group) in (0..).zip(head.groups).zip(&mut block.groups) {
            match of.kind {
                NONE => check(head.present[at as usize] == 0)?,
                HELD => *group = Some(Group::restore(input, dim, precision)?),
                FILED => filed.push(KnownPlace {
                    group: number * GROUPS as u32 + at,
                    number: of.place,
                    epoch: of.epoch,
                }),
                _ => check(false)?,
            }
        }
        input.end_section()?;
        Ok(RestoredBlock { block, filed })
    }
}

impl Group {
    fn restore(input: &mut SummedReader<'_>, dim: usize, precision: Precision) -> io::Result<Self> {
        let mut group = Self::empty(precision, dim);
        let bytes = match &mut group {
            Self::F32(rows) => bytemuck::cast_slice_mut(Arc::make_mut(rows)),
            Self::F16(rows) => {
                bytemuck::cast_slice_mut::<u16, u8>(Arc::make_mut(rows).reinterpret_cast_mut())
            }
            Self::Filed(_) => &mut [],
        };
        input.fill(bytes)?;
        Ok(group)
    }
}
