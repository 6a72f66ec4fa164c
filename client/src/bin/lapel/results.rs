//! Results of a search, and of picks, in tables.

use crate::output;
use lapel_client::fields::show_value;
use lapel_client::v1;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A result and its place.
pub(crate) struct Ranked<'a> {
    /// Empty for a further result of a group.
    pub(crate) rank: String,
    /// The value that it is grouped by; empty for a further result of a group.
    pub(crate) group: String,
    pub(crate) result: &'a v1::SearchResult,
}

/// The results one by one, behind as many that were passed over.
pub(crate) fn ranked(results: &[v1::SearchResult], offset: u32) -> Vec<Ranked<'_>> {
    let places = u64::from(offset) + 1..;
    let ranked = places.zip(results);
    ranked.map(|(rank, result)| Ranked { rank: rank.to_string(), group: String::new(), result }).collect()
}

/// The results of groups, of which as many were passed over.
pub(crate) fn grouped(groups: &[v1::ResultGroup], offset: u32) -> Vec<Ranked<'_>> {
    let mut ranked = Vec::new();
    for (rank, group) in (u64::from(offset) + 1..).zip(groups) {
        let value = group.value.as_ref().map_or_else(|| "(none)".to_owned(), show_value);
        let (mut rank, mut value) = (rank.to_string(), value);
        for result in &group.results {
            ranked.push(Ranked {
                rank: std::mem::take(&mut rank),
                group: std::mem::take(&mut value),
                result,
            });
        }
    }
    ranked
}

/// How results are shown.
pub(crate) struct Look<'a> {
    /// With reasons below each.
    pub(crate) explain: bool,
    /// The field that they are grouped by.
    pub(crate) group_by: Option<&'a str>,
    /// Fields or attributes that are shown as columns.
    pub(crate) columns: &'a [String],
}

/// Prints results as a table. Those of a group are below its best, indented.
pub(crate) fn print(ranked: &[Ranked<'_>], look: &Look<'_>) -> anyhow::Result<()> {
    let mut header = vec![""];
    header.extend(look.group_by);
    // Only where an item's picture that is not its first was nearest: most catalogues have one an item.
    let has_pictures = ranked.iter().any(|ranked| ranked.result.picture > 0);
    header.extend(["item", "distance", "match"]);
    header.extend(has_pictures.then_some("picture"));
    header.extend(look.columns.iter().map(String::as_str));
    header.push(if look.explain { "why" } else { "labels" });
    let mut table = output::table(&header);
    for Ranked { rank, group, result } in ranked {
        let last = match &result.explanation {
            Some(explanation) if look.explain => why(explanation),
            Some(_) | None => output::labels(&result.labels),
        };
        let matches = match (result.matches_all, result.matches_predicted) {
            (true, true) => "all (predicted)",
            (true, false) => "all",
            (false, _) => "",
        };
        let mut row = vec![rank.clone()];
        row.extend(look.group_by.map(|_| group.clone()));
        row.push(format!("{}{}", if rank.is_empty() { "  " } else { "" }, result.item_id));
        row.extend([format!("{:.4}", result.distance), matches.to_owned()]);
        row.extend(has_pictures.then(|| result.picture.to_string()));
        row.extend(look.columns.iter().map(|name| cell(result, name)));
        row.push(last);
        table.add_row(row);
    }
    output::say(table)
}

/// A result's value of a field, or its label of an attribute; empty where it has neither.
fn cell(result: &v1::SearchResult, name: &str) -> String {
    let value = result.fields.get(name).map(show_value);
    value.or_else(|| result.labels.get(name).cloned()).unwrap_or_default()
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
        format!("; plan: {kind} of {}{rescored}{missing}", p.scanned)
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

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_client::v1::field_value::Kind;

    #[test]
    fn a_group_has_one_rank_and_its_value_stands_once() {
        let result = |id: &str| v1::SearchResult { item_id: id.into(), ..Default::default() };
        let value = Some(v1::FieldValue { kind: Some(Kind::Keyword("shirt".into())) });
        let groups = [
            v1::ResultGroup { value, results: vec![result("red"), result("blue")] },
            v1::ResultGroup { value: None, results: vec![result("alone")] },
        ];
        let shown: Vec<String> = grouped(&groups, 10)
            .iter()
            .map(|Ranked { rank, group, result }| format!("{rank}/{group}/{}", result.item_id))
            .collect();
        assert_eq!(shown, ["11/shirt/red", "//blue", "12/(none)/alone"]);
        let flat = [result("a"), result("b")];
        assert_eq!(ranked(&flat, 0).iter().map(|r| r.rank.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    }
}
