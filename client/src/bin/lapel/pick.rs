//! `lapel pick`.

use crate::asked::{self, Columns};
use crate::results::{self, Look};
use crate::search::Results;
use crate::{html, input, output};
use clap::Args;
use lapel_client::{Client, v1};

#[derive(Args)]
pub(crate) struct Options {
    /// Items the shopper picked.
    #[arg(required = true)]
    ids: Vec<String>,
    /// The photo or item that led to the picks.
    #[arg(long)]
    query: Option<String>,
    /// Change an attribute of the query; may be repeated.
    #[arg(long = "set", value_name = "ATTRIBUTE=LABEL")]
    set: Vec<String>,
    /// Profile whose weights stay when a single item is picked.
    #[arg(long)]
    profile: Option<String>,
    /// Save the weights under this name.
    #[arg(long, value_name = "PROFILE")]
    save: Option<String>,
    #[command(flatten)]
    results: Results,
}

pub(crate) async fn run(client: &mut Client, options: Options, json: bool) -> anyhow::Result<()> {
    let query = options.query.as_deref().map(input::subject).transpose()?.map(input::Subject::into_query);
    let request = v1::PersonaliseRequest {
        picked_ids: options.ids.clone(),
        query: query.clone(),
        manipulations: options.set.iter().map(|m| input::manipulation(m)).collect::<anyhow::Result<_>>()?,
        profile: options.profile.unwrap_or_default(),
        filters: options.results.filters()?,
        exclude_ids: options.results.exclude.clone(),
        k: options.results.k,
        explain: options.results.explained(),
        distance_max: options.results.distance_max,
        filter: asked::filter_of(client, options.results.expression.as_deref()).await?,
    };
    let answer = client.feedback.personalise(request).await?.into_inner();
    let ranked = results::ranked(&answer.results, 0);
    if let Some(file) = &options.results.html {
        let mut changes = vec![format!("picked {}", options.ids.join(", "))];
        changes.extend(options.set.iter().map(|edit| edit.replacen('=', " → ", 1)));
        let page = html::Page {
            query: query.as_ref(),
            changes,
            notes: &[],
            weights: &answer.head_weights,
            ranked: &ranked,
            counts: &[],
        };
        page.write(client, file).await?;
    }
    let mut saved = None;
    if let Some(name) = options.save {
        // Without the factors of this query: a search with the profile has edits of its own.
        let weights = answer.head_weights.iter();
        let weights = weights.map(|w| (w.head.clone(), w.given_weight.unwrap_or(w.own_weight))).collect();
        let request = v1::SaveProfileRequest { name, weights, picked_ids: options.ids, ..Default::default() };
        saved = client.feedback.save_profile(request).await?.into_inner().profile;
    }
    if json {
        return output::json("PersonaliseResponse", &answer);
    }
    if answer.replaced_query_item_id.is_empty() {
        let mut table = output::table(&["head", "distance between picks", "weight"]);
        for (head, weight) in &answer.weights {
            let distance = answer.pair_distances.get(head).copied().unwrap_or_default();
            table.add_row([head.clone(), format!("{distance:.3}"), format!("{weight:.2}")]);
        }
        output::say(table)?;
    } else {
        output::say(format!(
            "a single pick: {} is now the query, the weights stay",
            answer.replaced_query_item_id
        ))?;
    }
    let ids = ranked.iter().map(|ranked| ranked.result.item_id.as_str());
    let columns = Columns::read(client, &options.results.show, ids).await?;
    results::print(&ranked, &Look { explain: options.results.explain, group_by: None, columns: &columns })?;
    let weights = results::shown_weights(&answer.head_weights, &answer.weights, options.results.explain);
    results::summary(&weights, answer.plan.as_ref(), answer.generation)?;
    if let Some(profile) = saved {
        output::say(format!("saved profile {} (version {})", profile.name, profile.version))?;
    }
    results::wrote(options.results.html.as_ref())
}
