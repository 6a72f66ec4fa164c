//! Axes of tensors, and shapes, which are their lengths.

/// Lengths of a tensor's axes, all positive.
pub(super) type Shape = Vec<usize>;

/// Numbers of a tensor.
pub(super) fn count(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |count: u64, side| count.saturating_mul(*side as u64))
}

/// The place of an axis, which may be counted from the end.
pub(super) fn axis(value: i64, rank: usize) -> Result<usize, String> {
    let from_start = if value < 0 { value.saturating_add(rank as i64) } else { value };
    let place = usize::try_from(from_start).ok().filter(|at| *at < rank);
    place.ok_or_else(|| format!("there is no axis {value} of {rank}"))
}

/// The places of axes, none of them twice.
pub(super) fn axes(values: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut found = Vec::new();
    for value in values {
        let at = axis(*value, rank)?;
        if found.contains(&at) {
            return Err(format!("axis {value} is named twice"));
        }
        found.push(at);
    }
    Ok(found)
}

/// The shape that two shapes broadcast to.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Shape, String> {
    let rank = a.len().max(b.len());
    let side = |shape: &[usize], at: usize| {
        let place = (at + shape.len()).checked_sub(rank);
        place.and_then(|place| shape.get(place).copied()).unwrap_or(1)
    };
    let joined = |at: usize| match (side(a, at), side(b, at)) {
        (left, right) if left == right || right == 1 => Ok(left),
        (1, right) => Ok(right),
        (left, right) => Err(format!("shapes {a:?} and {b:?} do not broadcast: {left} and {right}")),
    };
    (0..rank).map(joined).collect()
}
