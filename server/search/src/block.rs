//! The signatures of one block of slots: exact ones by group, and their codes.

use crate::codes::Codec;
use crate::kernels::{BLOCK, Bits, GROUP, GROUPS, Rows};
use half::f16;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;

/// Position of an item in every column.
pub type Slot = u32;

/// How exact signatures are kept in memory.
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
}

/// The signatures of one block of slots. Cloning copies the codes and shares the exact rows, so that changing one
/// signature copies one group.
#[derive(Clone)]
pub struct ColumnBlock {
    groups: [Option<Group>; GROUPS],
    present: Bits,
    /// Groups of codes one after the other; empty while the column has no codec.
    codes: Vec<u8>,
}

impl ColumnBlock {
    /// An empty block, with codes when the column has a codec.
    pub fn new(codec: Option<&Codec>) -> Self {
        let codes = codec.map_or_else(Vec::new, |codec| vec![0; codec.group_bytes() * GROUPS]);
        Self { groups: std::array::from_fn(|_| None), present: [0; GROUPS], codes }
    }

    /// Which slots have a signature.
    #[must_use]
    pub fn present(&self) -> &Bits {
        &self.present
    }

    /// The codes of all groups; `None` while the column has no codec.
    #[must_use]
    pub fn codes(&self) -> Option<&[u8]> {
        (!self.codes.is_empty()).then_some(&self.codes)
    }

    /// The exact rows of a group; `None` when no slot of it has a signature.
    #[must_use]
    pub fn rows(&self, group: usize) -> Option<Rows<'_>> {
        self.groups[group].as_ref().map(|group| match group {
            Group::F32(rows) => Rows::F32(rows),
            Group::F16(rows) => Rows::F16(rows),
        })
    }

    /// Whether a position of the block has a signature.
    #[must_use]
    pub fn has(&self, at: usize) -> bool {
        self.present[at / GROUP] >> (at % GROUP) & 1 == 1
    }

    /// The exact row at a position of the block.
    #[must_use]
    pub fn row(&self, at: usize, dim: usize) -> Option<Rows<'_>> {
        Some(self.rows(at / GROUP).filter(|_| self.has(at))?.row(at % GROUP, dim))
    }

    /// The signature at a position of the block.
    #[must_use]
    pub fn get(&self, at: usize, dim: usize) -> Option<Cow<'_, [f32]>> {
        Some(match self.row(at, dim)? {
            Rows::F32(row) => Cow::Borrowed(row),
            Rows::F16(row) => Cow::Owned(row.iter().map(|v| v.to_f32()).collect()),
        })
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
        self.present[group] |= 1 << place;
        let dim = signature.len();
        let rows = self.groups[group].get_or_insert_with(|| match precision {
            Precision::F32 => Group::F32(vec![0.0; GROUP * dim].into()),
            Precision::F16 => Group::F16(vec![f16::ZERO; GROUP * dim].into()),
        });
        match rows {
            Group::F32(rows) => Arc::make_mut(rows)[place * dim..][..dim].copy_from_slice(signature),
            Group::F16(rows) => {
                Arc::make_mut(rows)[place * dim..][..dim]
                    .iter_mut()
                    .zip(signature)
                    .for_each(|(r, v)| *r = f16::from_f32(*v));
            }
        }
        let bytes = codec?.group_bytes();
        Some(codec?.encode(signature, self.codes.get_mut(group * bytes..)?.get_mut(..bytes)?, place))
    }

    /// The same block coded by another codec.
    #[must_use]
    pub fn recoded(&self, codec: &Codec) -> Self {
        let bytes = codec.group_bytes();
        let mut codes = vec![0; bytes * GROUPS];
        for at in 0..BLOCK {
            if let Some(signature) = self.get(at, codec.dim()) {
                codec.encode(&signature, &mut codes[at / GROUP * bytes..][..bytes], at % GROUP);
            }
        }
        Self { codes, ..self.clone() }
    }

    /// Bytes of codes and of the bitmap of present signatures.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        self.codes.len() + size_of::<Bits>()
    }
}
