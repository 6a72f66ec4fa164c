//! Results that differ among themselves: maximal marginal relevance (Carbonell and Goldstein, 1998) over the distances of the
//! search.

use super::rounds::Rounds;
use crate::error::Error;
use lapel_search::kernels::{Rows, squared_distance};
use lapel_search::{Instructions, SearchTerm, SignatureHit};
use std::borrow::Cow;

/// How much results should differ. From the nearest, one after the other is taken: the one of the least
/// `relevance * D(query, item) - (1 - relevance) * (least D(item, taken))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diversity {
    /// 0 (only difference) to 1 (as without).
    pub relevance: f64,
    /// Nearest results to choose from, at least as many as are wanted.
    pub pool: usize,
}

/// Up to `wanted` hits of a pool, which is sorted by distance, in the order in which they are taken; equal ones in the
/// pool's order.
///
/// # Errors
/// When signatures cannot be read.
pub(super) fn diverse(
    rounds: &Rounds<'_>,
    terms: &[SearchTerm],
    pool: Vec<SignatureHit>,
    (relevance, wanted): (f64, usize),
) -> Result<Vec<SignatureHit>, Error> {
    let ids: Vec<&str> = pool.iter().map(|hit| &*hit.id).collect();
    let columns: Vec<&str> = terms.iter().map(|term| &*term.column).collect();
    let rows = rounds.signatures.rows(&ids, &columns)?;
    // What is not taken yet, with its least distance to what is.
    let mut left: Vec<(usize, f64)> = (0..pool.len()).map(|at| (at, f64::INFINITY)).collect();
    let mut taken = Vec::new();
    let mut next = 0;
    while taken.len() < wanted && next < left.len() && !rounds.is_abandoned() {
        let (last, _) = left.remove(next);
        taken.push(last);
        for (at, nearest) in &mut left {
            *nearest = nearest.min(between(terms, &rows[*at], &rows[last]));
        }
        let score =
            |(at, nearest): &(usize, f64)| relevance * pool[*at].distance - (1.0 - relevance) * nearest;
        let least = left.iter().map(score).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        next = least.map_or(0, |(place, _)| place);
    }
    let mut pool: Vec<Option<SignatureHit>> = pool.into_iter().map(Some).collect();
    Ok(taken.into_iter().filter_map(|at| pool.get_mut(at)?.take()).collect())
}

/// The distance of two items as the search weighs it; where one lacks a signature, as the search scores that.
fn between(terms: &[SearchTerm], a: &[Option<Cow<'_, [f32]>>], b: &[Option<Cow<'_, [f32]>>]) -> f64 {
    let mut sum = 0.0;
    for ((term, a), b) in terms.iter().zip(a).zip(b) {
        let distance = match (a, b) {
            (Some(a), Some(b)) => squared_distance(Instructions::best(), a, Rows::F32(b)).sqrt(),
            (Some(_), None) | (None, Some(_)) | (None, None) => term.expected,
        };
        sum += term.weight * f64::from(distance);
    }
    sum
}
