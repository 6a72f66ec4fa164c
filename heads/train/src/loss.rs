//! The losses of section 4.4 and 4.5.

use super::triplets::Targets;
use crate::network::Network;
use candle_core::{D, Result, Tensor};

/// Cross entropy over all attributes of a head, missing labels masked (Eq. 1, 2); `None` when no row is labelled.
///
/// `signatures` are `[rows, dim]`; row `i` is example `rows[i]`.
pub(super) fn cross_entropy(
    network: &Network,
    signatures: &Tensor,
    targets: &Targets,
    rows: &[usize],
) -> Result<Option<Tensor>> {
    let device = signatures.device();
    let mut total: Option<Tensor> = None;
    for ((_, logits), labels) in network.logits(signatures)?.iter().zip(&targets.by_attribute) {
        let known: Vec<(u32, u32)> =
            rows.iter().enumerate().filter_map(|(at, e)| Some((at as u32, labels[*e]?))).collect();
        if known.is_empty() {
            continue;
        }
        let (at, wanted): (Vec<u32>, Vec<u32>) = known.into_iter().unzip();
        let logits = logits.index_select(&Tensor::new(at, device)?, 0)?;
        let entropy = candle_nn::loss::cross_entropy(&logits, &Tensor::new(wanted, device)?)?;
        total = Some(match total {
            Some(sum) => (sum + entropy)?,
            None => entropy,
        });
    }
    Ok(total)
}

/// The triplet hinge max(0, m + d(a, p) - d(a, n)), averaged over `[triplets, dim]` rows (Eq. 3 with a positive
/// sign; d is Euclidean).
pub(crate) fn hinge(anchor: &Tensor, positive: &Tensor, negative: &Tensor, margin: f64) -> Result<Tensor> {
    ((gap(anchor, positive)? - gap(anchor, negative)?)? + margin)?.relu()?.mean_all()
}

/// Euclidean distances of rows; the epsilon keeps the gradient finite at zero.
fn gap(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ((a - b)?.sqr()?.sum(D::Minus1)? + 1e-8)?.sqrt()
}
