//! Trying a head out before it is let in.

use crate::error::Error;
use crate::model::Model;
use lapel_heads::{Features, Head, Parts};
use std::sync::Arc;
use std::time::Instant;

/// Runs a head a few times on one picture; a head that takes longer than `slowest_ms` at its best is refused, so that
/// it cannot hold up the others.
pub(super) fn warm(model: &Model, head: &Head, slowest_ms: u64) -> Result<(), Error> {
    if !head.has_network() {
        return Ok(());
    }
    let numbers = model.backbone().layout().len();
    let mut best_ms = f64::INFINITY;
    for _ in 0..3 {
        let map = vec![0.5; numbers];
        let features = Features { parts: Parts::none(), map };
        let heads = [Arc::new(head.clone())];
        let started = Instant::now();
        let embedded = model.embedder().signatures(vec![features], &heads);
        best_ms = best_ms.min(1e3 * started.elapsed().as_secs_f64());
        let faults = embedded.map_err(|e| Error::Internal(e.to_string()))?.faults;
        if let Some(fault) = faults.first() {
            return Err(Error::Precondition {
                reason: "HEAD_FAILED",
                message: format!("the head was tried: {}", fault.reason),
            });
        }
    }
    if best_ms > slowest_ms as f64 {
        return Err(Error::Precondition {
            reason: "HEAD_TOO_SLOW",
            message: format!(
                "the head takes {best_ms:.1} ms a picture; at most {slowest_ms} are allowed (limits.head_ms_max)"
            ),
        });
    }
    Ok(())
}
