//! `lapel search`, and the printing of results that `lapel pick` shares.

use crate::{html, input, output};
use clap::Args;
use lapel_client::{Client, v1};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// A photo (JPEG, PNG, WebP) or an item's id; `item:ID` where a file has that name too.
    subject: String,
    /// Change an attribute: `--set sleeve_length=sleeveless`; may be repeated.
    #[arg(long = "set", value_name = "ATTRIBUTE=LABEL")]
    set: Vec<String>,
    /// Weigh a head: `--weight color=3`; may be repeated.
    #[arg(long = "weight", value_name = "HEAD=NUMBER", conflicts_with = "profile")]
    weight: Vec<String>,
    /// Ignore the heads that --weight does not name.
    #[arg(long, requires = "weight")]
    only: bool,
    /// Use the weights of a saved profile.
    #[arg(long)]
    profile: Option<String>,
    #[command(flatten)]
    results: Results,
    /// Force the exact scan.
    #[arg(long)]
    exact: bool,
}

/// Which results, and how they are shown.
#[derive(Args)]
pub(crate) struct Results {
    /// Results wanted.
    #[arg(short, default_value_t = 10)]
    pub(crate) k: u32,
    /// Only results of at most this distance, as the results tell it; there may be fewer than -k, or none.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) distance_max: Option<f64>,
    /// Only items with a stored label: `--filter category=dress,skirt`; may be repeated.
    #[arg(long = "filter", value_name = "ATTRIBUTE=LABEL,...")]
    pub(crate) filter: Vec<String>,
    /// Leave an item out; may be repeated.
    #[arg(long = "exclude", value_name = "ID")]
    pub(crate) exclude: Vec<String>,
    /// Explain each result.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Write the results with their pictures to a web page.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

impl Results {
    pub(crate) fn filters(&self) -> anyhow::Result<Vec<v1::LabelFilter>> {
        self.filter.iter().map(|f| input::filter(f)).collect()
    }

    /// A page always explains.
    pub(crate) fn explained(&self) -> bool {
        self.explain || self.html.is_some()
    }
}

pub(crate) async fn run(client: &mut Client, options: Options, json: bool) -> anyhow::Result<()> {
    use v1::search_request::Weighting;
    let query = input::subject(&options.subject)?.into_query();
    let by_head = options.weight.iter().map(|w| input::weight(w)).collect::<anyhow::Result<_>>()?;
    let weighting = match options.profile {
        Some(profile) => Some(Weighting::Profile(profile)),
        None if options.weight.is_empty() => None,
        None => Some(Weighting::Weights(v1::Weights { by_head, only_named: options.only })),
    };
    let manipulations =
        options.set.iter().map(|m| input::manipulation(m)).collect::<anyhow::Result<Vec<_>>>()?;
    let request = v1::SearchRequest {
        query: Some(query.clone()),
        manipulations,
        weighting,
        filters: options.results.filters()?,
        exclude_ids: options.results.exclude.clone(),
        k: options.results.k,
        explain: options.results.explained(),
        exact: options.exact,
        plan: v1::PlanKind::Unspecified.into(),
        distance_max: options.results.distance_max,
    };
    let answer = client.search.search(request).await;
    let answer = answer.map_err(|status| input::refused(&options.subject, status))?.into_inner();
    if let Some(file) = &options.results.html {
        let changes = answer.manipulations.iter().map(|m| format!("{} → {}", m.attribute, m.label)).collect();
        let page = html::Page {
            query: Some(&query),
            changes,
            weights: &answer.head_weights,
            results: &answer.results,
        };
        page.write(client, file).await?;
    }
    if json {
        return output::json("SearchResponse", &answer);
    }
    for m in &answer.manipulations {
        let whose = if m.prototype_from_catalog { "items of the catalogue" } else { "items of its training" };
        output::say(format!(
            "{} = {}: head {}, prototype of {} {whose}; {} items carry the label",
            m.attribute, m.label, m.head, m.prototype_count, m.items_with_label
        ))?;
    }
    if answer.manipulations.len() > 1 {
        output::say(format!("{} items carry all wanted labels together", answer.items_with_all_labels))?;
    }
    print(&answer.results, options.results.explain)?;
    let weights = shown_weights(&answer.head_weights, &answer.weights, options.results.explain);
    summary(&weights, answer.plan.as_ref(), answer.generation)?;
    wrote(options.results.html.as_ref())
}

/// The results as a table; with reasons below each where asked for.
pub(crate) fn print(results: &[v1::SearchResult], explain: bool) -> anyhow::Result<()> {
    let mut table = output::table(&["", "item", "distance", "match", if explain { "why" } else { "labels" }]);
    for (at, result) in results.iter().enumerate() {
        let last = match &result.explanation {
            Some(explanation) if explain => why(explanation),
            Some(_) | None => output::labels(&result.labels),
        };
        let matches = match (result.matches_all, result.matches_predicted) {
            (true, true) => "all (predicted)",
            (true, false) => "all",
            (false, _) => "",
        };
        table.add_row([
            (at + 1).to_string(),
            result.item_id.clone(),
            format!("{:.4}", result.distance),
            matches.into(),
            last,
        ]);
    }
    output::say(table)
}

/// Weights on one line; with what led to them where asked for, and where the server says it.
pub(crate) fn shown_weights(
    explained: &[v1::HeadWeight],
    weights: &BTreeMap<String, f64>,
    explain: bool,
) -> String {
    if explain && !explained.is_empty() {
        output::explained_weights(explained)
    } else {
        output::weights(weights)
    }
}

pub(crate) fn summary(weights: &str, plan: Option<&v1::SearchPlan>, generation: u64) -> anyhow::Result<()> {
    let plan = plan.map_or(String::new(), |p| {
        let kind = p.kind().as_str_name().trim_start_matches("PLAN_KIND_").to_lowercase().replace('_', " ");
        let missing = if p.missing > 0 { format!(", {} lack a signature", p.missing) } else { String::new() };
        let rescored =
            if p.rescored > 0 { format!(", {} scored exactly", p.rescored) } else { String::new() };
        format!("; plan: {kind} of {} items{rescored}{missing}", p.scanned)
    });
    output::say(format!("weights: {weights}{plan}; generation {generation}"))
}

pub(crate) fn wrote(file: Option<&PathBuf>) -> anyhow::Result<()> {
    file.map_or(Ok(()), |file| output::say(format!("wrote {}", file.display())))
}

fn why(explanation: &v1::Explanation) -> String {
    let terms = explanation.terms.iter().map(|t| {
        let missing = if t.missing { " (expected: no signature)" } else { "" };
        format!("{} {:.2} × {:.3} = {:.3}{missing}", t.head, t.weight, t.distance, t.contribution)
    });
    let attribute = |a: &v1::AttributeMatch| match a.outcome() {
        v1::AttributeOutcome::Changed => ("changed", format!("{}: {}", a.attribute, a.found)),
        v1::AttributeOutcome::Kept => ("kept", format!("{}: {}", a.attribute, a.found)),
        _ if a.edited && a.found.is_empty() => ("lacks", format!("{}: {}", a.attribute, a.wanted)),
        _ if a.edited && a.unsure => {
            ("lacks", format!("{}: {} (unsure: {})", a.attribute, a.wanted, a.found))
        }
        _ if a.edited => ("lacks", format!("{}: {} ({} there)", a.attribute, a.wanted, a.found)),
        v1::AttributeOutcome::Differs => {
            ("differs", format!("{}: {} for {}", a.attribute, a.found, a.wanted))
        }
        v1::AttributeOutcome::Unknown | v1::AttributeOutcome::Unspecified => ("", String::new()),
    };
    let attributes: Vec<_> = explanation.attributes.iter().map(attribute).collect();
    let mut lines = vec![terms.collect::<Vec<_>>().join("\n")];
    for name in ["changed", "lacks", "kept", "differs"] {
        let these = attributes.iter().filter(|(what, _)| *what == name);
        let list: Vec<&str> = these.map(|(_, text)| text.as_str()).collect();
        if !list.is_empty() {
            lines.push(format!("{name} {}", list.join(", ")));
        }
    }
    lines.join("\n")
}
