//! How much a head counts of which nothing is known yet.

use crate::catalogue::Column;
use lapel_fit::HeadWeights;

/// The medians of the weights of the network heads that serve: nothing is known yet of how much the taught one should
/// count, so that it counts as much as a usual one beside it. Where there is none, what a bundle has that says nothing.
pub(super) fn weights_beside(columns: &[Column]) -> HeadWeights {
    let manifests =
        || columns.iter().map(Column::head).filter(|head| head.has_network()).map(|head| head.manifest());
    HeadWeights {
        weight: median(manifests().map(|m| m.weight).collect(), 1.0),
        changed_weight: median(manifests().map(|m| m.changed_weight).collect(), 1.0),
        confidence: median(manifests().map(|m| m.confidence).collect(), 0.0),
        exponent: median(manifests().map(|m| m.exponent).collect(), 0.5),
    }
}

fn median(mut values: Vec<f32>, of_none: f32) -> f32 {
    values.sort_by(f32::total_cmp);
    let (Some(low), Some(high)) =
        (values.get(values.len().saturating_sub(1) / 2), values.get(values.len() / 2))
    else {
        return of_none;
    };
    f32::midpoint(*low, *high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_one_or_between_the_two() {
        for (values, wanted) in [
            (vec![], 0.5),
            (vec![2.0], 2.0),
            (vec![4.0, 1.0], 2.5),
            (vec![9.0, 1.0, 3.0], 3.0),
            (vec![9.0, 1.0, 3.0, 4.0], 3.5),
        ] {
            assert_eq!(median(values.clone(), 0.5), wanted, "{values:?}");
        }
    }
}
