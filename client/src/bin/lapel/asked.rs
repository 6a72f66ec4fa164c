//! What several commands ask a catalogue for by the names of its fields and attributes: filters and counts.

use anyhow::{anyhow, ensure};
use lapel_client::fields::{is_ordered, kind_name, read_value};
use lapel_client::filter_text::{Known, Named, parse};
use lapel_client::v1::facet_request::Of;
use lapel_client::{Client, v1};

/// What the names of a catalogue are.
pub(crate) async fn known(client: &mut Client) -> anyhow::Result<Known> {
    Ok(Known::of(&client.stats().await?))
}

/// The filter of an expression.
pub(crate) fn filter(expression: &str, known: &Known) -> anyhow::Result<v1::Filter> {
    parse(expression, known).map_err(|fault| anyhow!("--where: {fault}"))
}

/// The filter of an expression where there is one; the catalogue is asked for its names only then.
pub(crate) async fn filter_of(
    client: &mut Client,
    expression: Option<&str>,
) -> anyhow::Result<Option<v1::Filter>> {
    match expression {
        Some(expression) => Ok(Some(filter(expression, &known(client).await?)?)),
        None => Ok(None),
    }
}

/// What to count, as in `color` or `price=20,50`: the bounds between which items are counted.
pub(crate) fn facet(text: &str, known: &Known) -> anyhow::Result<v1::FacetRequest> {
    let (name, bounds) = text.split_once('=').map_or((text, None), |(name, bounds)| (name, Some(bounds)));
    let name = name.trim();
    let bounds: Vec<&str> = bounds.into_iter().flat_map(|bounds| bounds.split(',')).collect();
    match known.resolve(name).map_err(anyhow::Error::msg)? {
        Named::Field(field, kind) if is_ordered(kind) => {
            ensure!(
                !bounds.is_empty(),
                "{name} is a field of the kind {}: say between which bounds to count, as in {name}=LOW,HIGH",
                kind_name(kind)
            );
            let bounds = bounds.into_iter().map(|bound| read_value(kind, bound));
            let bounds = bounds.collect::<Result<_, _>>().map_err(|why| anyhow!("{text}: {why}"))?;
            Ok(v1::FacetRequest { of: Some(Of::Field(field)), bounds, ..v1::FacetRequest::default() })
        }
        Named::Field(field, _) => unordered(name, &bounds, Of::Field(field)),
        Named::Label(attribute) => unordered(name, &bounds, Of::Attribute(attribute)),
        Named::Predicted(_) => {
            Err(anyhow!("{name}: what heads see is not counted, only what is stored; label.NAME is"))
        }
        Named::Id => Err(anyhow!("{name}: ids are not counted, as each item has its own")),
    }
}

/// What to count of what has no order.
fn unordered(name: &str, bounds: &[&str], of: Of) -> anyhow::Result<v1::FacetRequest> {
    ensure!(bounds.is_empty(), "{name} has no order, and so no bounds to count between");
    Ok(v1::FacetRequest { of: Some(of), ..v1::FacetRequest::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_client::fields::show_value;
    use lapel_client::v1::FieldKind;

    #[test]
    fn counts_are_asked_for_by_name_and_between_bounds() {
        let fields = [("price", FieldKind::Number), ("brand", FieldKind::Keyword)];
        let known = Known {
            fields: fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect(),
            attributes: ["color".to_owned()].into(),
        };
        let price = facet("price=20, 49.9", &known).expect("sound");
        assert_eq!(price.of, Some(Of::Field("price".into())));
        assert_eq!(price.bounds.iter().map(show_value).collect::<Vec<_>>(), ["20", "49.9"]);
        assert_eq!(facet("color", &known).expect("sound").of, Some(Of::Attribute("color".into())));
        for (text, why) in [
            ("price", "price=LOW,HIGH"),
            ("price=cheap", "is not a number"),
            ("brand=a,b", "no order"),
            ("colour", "neither a field nor an attribute"),
        ] {
            let refused = facet(text, &known).expect_err("refused").to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
