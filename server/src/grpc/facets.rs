//! What a request wants counted, and the counts as an answer.

use super::fields::to_wire;
use super::filters::Values;
use crate::catalogue::Snapshot;
use crate::config::Config;
use crate::core::with_article;
use crate::error::Faults;
use crate::search::{check_labels, checked_field, field_kind};
use lapel_proto::v1::{self, facet, facet_request};
use lapel_search::{FacetCounts, FacetOf};
use lapel_values::FieldValue;

/// Values of a facet where a request does not say how many.
const VALUES_DEFAULT: usize = 20;

/// The facets that the requests at a path ask for, each with the most values to return. Every name in them is there, or may be
/// missing; whatever is wrong is noted as a fault.
pub(super) fn requests(
    snapshot: &Snapshot,
    config: &Config,
    path: &str,
    given: Vec<v1::FacetRequest>,
    faults: &mut Faults,
) -> Vec<(FacetOf, usize)> {
    let most = config.limits.facets_max;
    if given.len() > most {
        faults.refuse(path, format!("there are {}; at most {most} are accepted", given.len()));
        return Vec::new();
    }
    let given = given.into_iter().enumerate();
    given
        .filter_map(|(at, facet)| request(snapshot, config, &format!("{path}[{at}]"), facet, faults))
        .collect()
}

fn request(
    snapshot: &Snapshot,
    config: &Config,
    path: &str,
    given: v1::FacetRequest,
    faults: &mut Faults,
) -> Option<(FacetOf, usize)> {
    let v1::FacetRequest { of, values_max, bounds, allow_unknown } = given;
    let most = config.limits.facet_values_max;
    let values_max = if values_max == 0 { VALUES_DEFAULT.min(most) } else { values_max as usize };
    if values_max > most {
        faults.refuse(
            format!("{path}.values_max"),
            format!("{values_max} values are asked for; up to {most} are given"),
        );
    }
    let of = match of {
        Some(facet_request::Of::Attribute(attribute)) if attribute.is_empty() => {
            faults.refuse(path, "name an attribute");
            return None;
        }
        Some(facet_request::Of::Attribute(attribute)) => {
            if !bounds.is_empty() {
                faults.refuse(
                    format!("{path}.bounds"),
                    "labels have no order; bounds are for integers, numbers and timestamps",
                );
            }
            if !allow_unknown {
                check_labels(snapshot, path, (attribute.as_str(), &[]), faults);
            }
            FacetOf::Attribute(attribute)
        }
        Some(facet_request::Of::Field(field)) => {
            of_field(snapshot, config, path, (field, bounds, allow_unknown), faults)?
        }
        None => {
            faults.refuse(path, "set one of attribute and field");
            return None;
        }
    };
    Some((of, values_max))
}

/// The facet of a field with bounds, which may be unknown or not.
fn of_field(
    snapshot: &Snapshot,
    config: &Config,
    path: &str,
    (field, bounds, allow_unknown): (String, Vec<v1::FieldValue>, bool),
    faults: &mut Faults,
) -> Option<FacetOf> {
    if field.is_empty() {
        faults.refuse(path, "name a field");
        return None;
    }
    let declared = &config.catalog.fields;
    let kind = if allow_unknown {
        field_kind(snapshot, declared, &field)
    } else {
        let named = format!("{path}.field");
        checked_field(snapshot, declared, (named.as_str(), field.as_str()), faults)
    };
    let (path, most) = (format!("{path}.bounds"), config.limits.facet_values_max);
    if bounds.len() > most {
        faults.refuse(path, format!("there are {}; at most {most} are accepted", bounds.len()));
        return None;
    }
    if let Some(kind) = kind
        && kind.is_ordered()
        && bounds.is_empty()
    {
        faults.refuse(path, format!("{field} is {}; give ascending bounds", with_article(kind)));
        return None;
    }
    let bounds = ascending(&path, bounds, &mut Values::of(&field, kind), faults);
    Some(FacetOf::Field { field, bounds })
}

/// Bounds, each above the one before; what is not is noted as a fault.
fn ascending(
    path: &str,
    given: Vec<v1::FieldValue>,
    values: &mut Values<'_>,
    faults: &mut Faults,
) -> Vec<FieldValue> {
    if given.is_empty() || !values.have_order(path, "bounds", faults) {
        return Vec::new();
    }
    let mut bounds: Vec<FieldValue> = Vec::with_capacity(given.len());
    for (at, value) in given.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        let Some(value) = values.take(&path, value, faults) else { continue };
        if bounds.last().is_some_and(|before| *before >= value) {
            faults.refuse(path, "bounds ascend; this one is not above the one before it");
        }
        bounds.push(value);
    }
    // The values themselves say the kind of a field that is not known.
    values.have_order(path, "bounds", faults);
    bounds
}

/// The counts of a facet as an answer tells them.
pub(super) fn answer(of: &FacetOf, counts: FacetCounts) -> v1::Facet {
    let FacetCounts { counts, values, missing, least, greatest, mut buckets } = counts;
    let of = match of {
        FacetOf::Attribute(attribute) => facet::Of::Attribute(attribute.clone()),
        FacetOf::Field { field, bounds } => {
            // A field that no item has was not counted; its buckets are empty, but there are as many.
            if !bounds.is_empty() && buckets.is_empty() {
                buckets = vec![0; bounds.len() + 1];
            }
            facet::Of::Field(field.clone())
        }
    };
    v1::Facet {
        of: Some(of),
        counts: counts.into_iter().map(|(value, items)| v1::FacetCount { value, items }).collect(),
        values,
        missing,
        least: least.as_ref().map(to_wire),
        greatest: greatest.as_ref().map(to_wire),
        bucket_counts: buckets,
    }
}
