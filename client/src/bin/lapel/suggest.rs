//! `lapel suggest`: the changes of a photo or an item that lead somewhere.

use crate::{asked, input, output};
use clap::Args;
use lapel_client::{Client, v1};

#[derive(Args)]
pub(crate) struct Options {
    /// A photo (JPEG, PNG, WebP) or an item's id; `item:ID` where a file has that name too.
    subject: String,
    /// Changes that are already made: `--set sleeve_length=sleeveless`; may be repeated.
    #[arg(long = "set", value_name = "ATTRIBUTE=LABEL")]
    set: Vec<String>,
    /// Only items that pass this filter count, as in `in_stock = true and price < 50`.
    #[arg(long = "where", value_name = "EXPRESSION")]
    expression: Option<String>,
    /// An attribute whose label must stay; may be repeated. Default: category, where there is one.
    #[arg(long = "keep", value_name = "ATTRIBUTE")]
    keep: Vec<String>,
    /// Changes wanted.
    #[arg(short, default_value_t = 20)]
    n: u32,
    /// Suggest by this version of a head, which serves or stands by: `--head-version season=2`; may be repeated.
    #[arg(long = "head-version", value_name = "HEAD=VERSION")]
    head_versions: Vec<String>,
}

pub(crate) async fn run(client: &mut Client, options: Options, json: bool) -> anyhow::Result<()> {
    let request = v1::SuggestRequest {
        query: Some(input::subject(&options.subject)?.into_query()),
        manipulations: options.set.iter().map(|m| input::manipulation(m)).collect::<anyhow::Result<_>>()?,
        filter: asked::filter_of(client, options.expression.as_deref()).await?,
        keep: options.keep,
        suggestions_max: options.n,
        head_versions: input::head_versions(&options.head_versions)?,
    };
    let answer = client.search.suggest(request).await;
    let answer = answer.map_err(|status| input::refused(&options.subject, status))?.into_inner();
    if json {
        return output::json("SuggestResponse", &answer);
    }
    let mut table = output::table(&["", "change", "items", "best item", "distance"]);
    for (at, suggestion) in answer.suggestions.iter().enumerate() {
        let change = suggestion.manipulation.as_ref().map(output::change).unwrap_or_default();
        table.add_row([
            (at + 1).to_string(),
            change,
            suggestion.items.to_string(),
            suggestion.best_item_id.clone(),
            format!("{:.4}", suggestion.best_distance),
        ]);
    }
    output::say(table)?;
    let kept = if answer.kept.is_empty() { "nothing".to_owned() } else { output::labels(&answer.kept) };
    output::say(format!("kept: {kept}; generation {}", answer.generation))
}
