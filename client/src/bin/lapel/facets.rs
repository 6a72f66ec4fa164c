//! Counts by label or value, in tables and on pages.

use crate::output;
use lapel_client::fields::show_value;
use lapel_client::v1;
use lapel_client::v1::facet_request::Of;

/// The counts of one attribute or field.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) of: String,
    /// Values or intervals, and how many items are of them.
    pub(crate) rows: Vec<(String, u64)>,
    /// Values that are not among the rows.
    pub(crate) more: u64,
}

/// The counts of an answer, which are in the order of what was asked for.
pub(crate) fn counts(asked: &[v1::FacetRequest], facets: &[v1::Facet]) -> Vec<Counts> {
    asked.iter().zip(facets).map(|(asked, facet)| one(asked, facet)).collect()
}

fn one(asked: &v1::FacetRequest, facet: &v1::Facet) -> Counts {
    let of = match &asked.of {
        Some(Of::Attribute(name) | Of::Field(name)) => name.clone(),
        None => String::new(),
    };
    let mut rows: Vec<(String, u64)> =
        facet.counts.iter().map(|count| (count.value.clone(), count.items)).collect();
    rows.extend(intervals(&asked.bounds).into_iter().zip(facet.bucket_counts.iter().copied()));
    // Values of intervals are not told one by one.
    let more =
        if asked.bounds.is_empty() { facet.values.saturating_sub(facet.counts.len() as u64) } else { 0 };
    if facet.missing > 0 {
        rows.push(("(none)".to_owned(), facet.missing));
    }
    if let (Some(least), Some(greatest)) = (&facet.least, &facet.greatest) {
        return Counts {
            of: format!("{of} ({} to {})", show_value(least), show_value(greatest)),
            rows,
            more,
        };
    }
    Counts { of, rows, more }
}

/// The intervals between bounds, in words; one more than there are bounds.
fn intervals(bounds: &[v1::FieldValue]) -> Vec<String> {
    let shown: Vec<String> = bounds.iter().map(show_value).collect();
    let first = shown.first().map(|bound| format!("below {bound}"));
    let between = shown.windows(2).map(|pair| pair.join(" to below "));
    let last = shown.last().map(|bound| format!("from {bound}"));
    first.into_iter().chain(between).chain(last).collect()
}

/// Prints counts as a table; nothing where none were asked for.
pub(crate) fn print(title: &str, counts: &[Counts]) -> anyhow::Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    let mut table = output::table(&[title, "value", "items"]);
    for Counts { of, rows, more } in counts {
        for (at, (value, items)) in rows.iter().enumerate() {
            let of = if at == 0 { of.clone() } else { String::new() };
            table.add_row([of, value.clone(), items.to_string()]);
        }
        if *more > 0 {
            table.add_row([String::new(), format!("and {more} more values"), String::new()]);
        }
    }
    output::say(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_client::v1::field_value::Kind;

    #[test]
    fn intervals_values_and_items_without_one_are_counted() {
        let number = |number| v1::FieldValue { kind: Some(Kind::Number(number)) };
        let price = v1::FacetRequest {
            of: Some(Of::Field("price".into())),
            bounds: vec![number(20.0), number(50.0)],
            ..Default::default()
        };
        let color = v1::FacetRequest { of: Some(Of::Attribute("color".into())), ..Default::default() };
        let facets = [
            v1::Facet {
                bucket_counts: vec![3, 0, 4],
                missing: 2,
                least: Some(number(5.0)),
                greatest: Some(number(99.5)),
                ..Default::default()
            },
            v1::Facet {
                counts: vec![v1::FacetCount { value: "red".into(), items: 7 }],
                values: 3,
                ..Default::default()
            },
        ];
        let [price, color] = counts(&[price, color], &facets).try_into().expect("two");
        assert_eq!(price.of, "price (5 to 99.5)");
        let rows: Vec<String> = price.rows.iter().map(|(value, items)| format!("{value}: {items}")).collect();
        assert_eq!(rows, ["below 20: 3", "20 to below 50: 0", "from 50: 4", "(none): 2"]);
        assert_eq!((color.rows, color.more, price.more), (vec![("red".to_owned(), 7)], 2, 0));
    }
}
