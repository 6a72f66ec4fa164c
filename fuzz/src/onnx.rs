//! ONNX files, as heads bring them in their bundles.

use candle_core::{Device, Tensor};
use lapel_heads::{Bundle, Head, HeadKind, Manifest};
use std::collections::BTreeMap;

/// Numbers that the graphs of the corpus read, and that they give.
const NUMBERS: usize = 2;

/// Reads bytes as the graph of a head; a head that is sound computes the same for a picture alone and beside others.
///
/// # Panics
/// When that fails in a way that is no [`lapel_heads::BundleError`].
pub fn onnx(bytes: &[u8]) {
    let external = Manifest::external("color", NUMBERS, Vec::new());
    let manifest = Manifest { kind: HeadKind::Network, graph: true, ..external };
    let bundle = Bundle { manifest, tensors: BTreeMap::new(), graph: Some(bytes.to_vec()) };
    let Ok(head) = Head::reading(&bundle, String::new(), NUMBERS) else { return };
    let pictures = [[0.5f32, -1.0], [1e30, 0.0], [2.0, 0.25]];
    let of = |rows: &[[f32; NUMBERS]]| {
        let rows = Tensor::from_vec(rows.concat(), (rows.len(), NUMBERS), &Device::Cpu);
        head.signatures(&rows.expect("a tensor")).expect("two numbers a row")
    };
    let together = of(&pictures);
    for (picture, signature) in pictures.iter().zip(&together) {
        assert_eq!(of(&[*picture]).first(), Some(signature));
    }
}
