//! `lapel items count`: how many items pass a filter, and of which labels and values they are.

use crate::{asked, facets, output};
use clap::Args;
use lapel_client::{Client, v1};

#[derive(Args)]
pub(crate) struct Options {
    /// Only items that pass this filter, as in `in_stock = true and price < 50`.
    #[arg(long = "where", value_name = "EXPRESSION")]
    expression: Option<String>,
    /// Count by the labels of an attribute or the values of a field, as in `--facet brand`, or between bounds, as in
    /// `--facet price=20,50`; may be repeated.
    #[arg(long = "facet", value_name = "NAME[=BOUND,...]")]
    facet: Vec<String>,
}

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    let mut request = v1::CountItemsRequest::default();
    if options.expression.is_some() || !options.facet.is_empty() {
        let known = asked::known(client).await?;
        request.filter = options.expression.as_deref().map(|text| asked::filter(text, &known)).transpose()?;
        request.facets =
            options.facet.iter().map(|text| asked::facet(text, &known)).collect::<anyhow::Result<_>>()?;
    }
    let answer = client.catalog.count_items(request.clone()).await?.into_inner();
    if json {
        return output::json("CountItemsResponse", &answer);
    }
    output::say(format!("{} of {} items", answer.items, answer.items_total))?;
    facets::print("among them", &facets::counts(&request.facets, &answer.facets))
}
