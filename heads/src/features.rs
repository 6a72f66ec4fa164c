//! What every head reads of one photo: the backbone's features and the parts.

use crate::backbone::FeatureLayout;
use crate::region::Parts;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Features and parts of one photo. With them, a new head's signature needs neither decoding nor the backbone.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// The parts found.
    pub parts: Parts,
    /// The map or the vectors, flat, as the backbone's layout says.
    pub map: Vec<f32>,
}

impl Features {
    /// Bytes of the features of one photo in half precision.
    #[must_use]
    pub fn map_bytes(layout: &FeatureLayout) -> usize {
        layout.len() * size_of::<f16>()
    }

    /// The map in half precision, little-endian.
    #[must_use]
    pub fn map_to_bytes(&self) -> Vec<u8> {
        let mut halves = vec![f16::ZERO; self.map.len()];
        halves.convert_from_f32_slice(&self.map);
        halves.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// Features from a map in half precision; `None` when it has another length or a number is not finite.
    #[must_use]
    pub fn from_bytes(parts: Parts, bytes: &[u8], layout: &FeatureLayout) -> Option<Self> {
        let (pairs, []) = bytes.as_chunks::<2>() else { return None };
        let halves: Vec<f16> = pairs.iter().map(|b| f16::from_le_bytes(*b)).collect();
        let mut map = vec![0.0; halves.len()];
        halves.convert_to_f32_slice(&mut map);
        let is_sound = bytes.len() == Self::map_bytes(layout) && map.iter().all(|v| v.is_finite());
        is_sound.then_some(Self { parts, map })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_survives_half_precision() {
        let shape = &FeatureLayout::Map(crate::MapShape { channels: 2, height: 2, width: 2 });
        let map = vec![0.0, 1.0, 2.5, 1000.1, -0.333, 7e-5, 3.0, 12.345];
        let features = Features { parts: Parts::none(), map };
        let bytes = features.map_to_bytes();
        let back = Features::from_bytes(Parts::none(), &bytes, shape).expect("sound");
        assert!(back.map.iter().zip(&features.map).all(|(b, f)| (b - f).abs() <= f.abs() * 1e-3 + 1e-7));
        assert!(Features::from_bytes(Parts::none(), &bytes[2..], shape).is_none());
        let endless = [f16::INFINITY; 8].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        assert!(Features::from_bytes(Parts::none(), &endless, shape).is_none());
    }
}
