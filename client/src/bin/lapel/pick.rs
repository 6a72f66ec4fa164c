//! `lapel pick`.

use crate::asked;
use crate::results::{self, Look};
use crate::search::Results;
use crate::{html, input, output};
use clap::Args;
use comfy_table::Table;
use lapel_client::{Client, v1};
use std::collections::BTreeMap;

#[derive(Args)]
pub(crate) struct Options {
    /// Items the shopper picked.
    #[arg(required = true)]
    ids: Vec<String>,
    /// An item that the shopper does not want: heads that tell the picked ones from it weigh more, and it is left out of the
    /// results; may be repeated.
    #[arg(long = "unwanted", value_name = "ID")]
    unwanted: Vec<String>,
    /// The photo or item that led to the picks; the picks' mean is searched for beside it.
    #[arg(long)]
    query: Option<String>,
    /// Follow the paper: weights by Eq. 5 from the picks alone, and the query as it is.
    #[arg(long)]
    as_before: bool,
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
    /// Weigh and search by this version of a head, which serves or stands by: `--head-version season=2`; may be repeated.
    #[arg(long = "head-version", value_name = "HEAD=VERSION")]
    head_versions: Vec<String>,
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
        unwanted_ids: options.unwanted.clone(),
        as_before: options.as_before,
        show_fields: options.results.show.clone(),
        pictures: options.results.picture_mode().into(),
        filter: asked::filter_of(client, options.results.expression.as_deref()).await?,
        head_versions: input::head_versions(&options.head_versions)?,
    };
    let answer = client.feedback.personalise(request).await?.into_inner();
    let ranked = results::ranked(&answer.results, 0);
    if let Some(file) = &options.results.html {
        let mut changes = vec![format!("picked {}", options.ids.join(", "))];
        if !options.unwanted.is_empty() {
            changes.push(format!("unwanted {}", options.unwanted.join(", ")));
        }
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
        output::say(distances(&answer))?;
    } else {
        output::say(format!(
            "a single pick: {} is now the query, the weights stay",
            answer.replaced_query_item_id
        ))?;
    }
    results::print(
        &ranked,
        &Look { explain: options.results.explain, group_by: None, columns: &options.results.show },
    )?;
    let weights = results::shown_weights(&answer.head_weights, &answer.weights, options.results.explain);
    results::summary(&weights, answer.plan.as_ref(), answer.generation)?;
    if let Some(profile) = saved {
        output::say(format!("saved profile {} (version {})", profile.name, profile.version))?;
    }
    results::wrote(options.results.html.as_ref())
}

/// The weights with the distances that led to them: sums over the picks' pairs, as in Eq. 5, or means where there are unwanted
/// items to compare them with.
fn distances(answer: &v1::PersonaliseResponse) -> Table {
    let by_head = |distances: &BTreeMap<String, f64>, head: &str| {
        distances.get(head).map_or_else(|| "-".to_owned(), |distance| format!("{distance:.3}"))
    };
    if answer.unwanted_distances.is_empty() {
        let mut table = output::table(&["head", "distance between picks", "weight"]);
        for (head, weight) in &answer.weights {
            let distance = answer.pair_distances.get(head).copied().unwrap_or_default();
            table.add_row([head.clone(), format!("{distance:.3}"), format!("{weight:.2}")]);
        }
        return table;
    }
    let mut table = output::table(&["head", "mean between picks", "mean to unwanted", "weight"]);
    for (head, weight) in &answer.weights {
        let means = [&answer.wanted_distances, &answer.unwanted_distances].map(|d| by_head(d, head));
        let [between, to_unwanted] = means;
        table.add_row([head.clone(), between, to_unwanted, format!("{weight:.2}")]);
    }
    table
}
