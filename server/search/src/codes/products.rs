//! From the products of a query with a codec's parts to the integers that the kernels add up.

use crate::kernels::{CELLS, CODES, GAINS, Tables, WordTables};

/// Entries that are added in a byte, and what their largest sum leaves for rounding them up.
const LUTS_A_BYTE: usize = 4;
const LUTS_MAX: f32 = 253.0;
/// Largest sum of entries, less their shift: leaves the factors that follow room in a word.
const LUT_SUM_MAX: f32 = 4096.0;
/// Largest number of a signed byte and of a signed word, and the products of the kernels' rounding multiplication.
const BYTE: f32 = 127.0;
const WORD: f32 = 32_767.0;
const ROUNDING: f32 = 32_768.0;
/// A byte in the upper half of a word.
const UPPER: f32 = 256.0;
/// Twice this, the largest half of a squared distance between unit vectors, is still a signed word.
const ONE_MAX: f32 = 16_256.0;

/// What a query has in common with the parts that signatures are made of.
#[derive(Clone, Debug)]
pub(super) struct Products {
    /// Half the sum of the squared lengths of the query and of a signature.
    pub(super) half: f32,
    /// The query along each cell's centre.
    pub(super) centres: [f32; CELLS],
    /// By residual code.
    pub(super) residuals: Vec<[f32; CODES]>,
    pub(super) gains: [f32; GAINS],
    /// Least share and step.
    pub(super) shares: (f32, f32),
    /// By gain: halves of squared distances below this are lowered.
    pub(super) near: [f32; GAINS],
    pub(super) near_slope: f32,
}

impl Products {
    /// The product of the query with the residual codes of a signature, two a byte, in gains.
    pub(super) fn residual(&self, codes: impl Iterator<Item = u8>) -> f32 {
        let pairs = self.residuals.as_chunks::<2>().0.iter().zip(codes);
        pairs.map(|(pair, byte)| pair[0][usize::from(byte & 15)] + pair[1][usize::from(byte >> 4)]).sum()
    }

    /// Half the squared distance, at least 0, of the query to a signature of a cell and a gain, which share a byte, and a
    /// share of the centre; `residual` is what the query has in common with the rest, in gains.
    pub(super) fn half(&self, cell: u8, share: u8, residual: f32) -> f32 {
        let (cell, gain) = (usize::from(cell) % CELLS, usize::from(cell) / CELLS);
        let along = self.shares.0 + f32::from(share) * self.shares.1;
        let half = (self.half - self.centres[cell] * along - self.gains[gain] * residual).max(0.0);
        (half - self.near_slope * (self.near[gain] - half).max(0.0)).max(0.0)
    }

    /// The same in integers, for a head of some weight; `missing` is what an item without a signature adds.
    pub(super) fn tables(&self, weight: f32, missing: f32) -> Tables {
        let Luts { luts, offset, step, reach } = self.luts();
        let most = |values: &[f32]| values.iter().fold(1e-9f32, |most, v| most.max(v.abs()));
        let (centre, gain, near) = (most(&self.centres), most(&self.gains), most(&self.near));
        let (share_min, share_step) = self.shares;
        let share = most(&[share_min, share_min + 255.0 * share_step]);
        // 1.0 in the kernels' numbers, such that no factor or product leaves its word.
        let one = (ONE_MAX / self.half)
            .min(WORD * BYTE * UPPER / ROUNDING / (centre * share))
            .min(WORD / reach * BYTE / 128.0 / (gain * step))
            .max(1.0);
        // Such that the largest gain is the largest byte: gains are kept as shares of it.
        let wanted = gain * step * one * 128.0 / BYTE;
        let lut_scale = wanted.floor().max(1.0);
        let one = if wanted > 1.0 { one * lut_scale / wanted } else { one };
        let of_share = one * centre * ROUNDING / (BYTE * UPPER);
        let of_gain = step * one * ROUNDING / UPPER / lut_scale;
        let centres = self.centres.map(|c| (c / centre * BYTE).round() as i8);
        let gains = self.gains.map(|g| (g * of_gain).round() as i8);
        let near_scale = (near * one / 255.0 * UPPER).min(WORD).round() as u16;
        let near = self.near.map(|n| (n / near * 255.0).round() as u8);
        Tables {
            base: (self.half * one).round() as i16,
            centres,
            share_min: (share_min * of_share).round() as i16,
            share_step: (share_step * of_share * UPPER).round() as u16,
            luts,
            lut_offset: offset,
            lut_scale: lut_scale as i16,
            gains,
            near,
            near_scale,
            near_slope: (self.near_slope * ROUNDING).round() as u16,
            words: WordTables::of(centres, gains, near, near_scale),
            weight: weight * (2.0 / one).sqrt(),
            missing,
        }
    }

    /// The look-up tables of the residual codes.
    fn luts(&self) -> Luts {
        let least = |row: &[f32; CODES]| row.iter().copied().fold(f32::INFINITY, f32::min);
        let most = |row: &[f32; CODES]| row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let range = |rows: &[[f32; CODES]]| rows.iter().map(|row| most(row) - least(row)).sum::<f32>();
        let range = self.residuals.chunks(LUTS_A_BYTE).map(range).fold(1e-9, f32::max);
        let sum: f32 = self.residuals.iter().map(|row| least(row).abs().max(most(row).abs())).sum();
        let step = (range / LUTS_MAX).max(sum / LUT_SUM_MAX);
        let entry = |row: &[f32; CODES]| row.map(|p| ((p - least(row)) / step).round() as u8);
        let luts: Vec<[u8; CODES]> = self.residuals.iter().map(entry).collect();
        let offset = (self.residuals.iter().map(least).sum::<f32>() / step).round();
        let sum: f32 = luts.iter().map(|row| f32::from(row.iter().copied().max().unwrap_or(0))).sum();
        Luts { luts, offset: offset as i16, step, reach: offset.abs().max((offset + sum).abs()).max(1.0) }
    }
}

struct Luts {
    luts: Vec<[u8; CODES]>,
    /// What the sum of entries is shifted by, in steps.
    offset: i16,
    step: f32,
    /// The largest absolute value of a shifted sum.
    reach: f32,
}
