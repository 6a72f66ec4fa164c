//! Results as one web page with their pictures (the paper's Figure 7): no script, nothing loaded from elsewhere.

use crate::facets::Counts;
use crate::results::Ranked;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lapel_client::{Client, v1};
use std::fmt::Write;
use std::path::Path;

/// What the page shows.
pub(crate) struct Page<'a> {
    pub(crate) query: Option<&'a v1::Query>,
    pub(crate) changes: Vec<String>,
    /// Lines on what is attainable.
    pub(crate) notes: &'a [String],
    pub(crate) weights: &'a [v1::HeadWeight],
    pub(crate) ranked: &'a [Ranked<'a>],
    /// Counts, and among what they are.
    pub(crate) counts: &'a [(&'a str, &'a [Counts])],
}

/// The look of every page.
pub(crate) const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--good:#1a9c4a;--bad:#c0392b}
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1280px;padding:0 1rem}
h1{font-size:1.25rem;margin:0 0 .5rem}
.query{display:flex;gap:1.5rem;align-items:flex-start;margin-bottom:1.5rem}
.query img{height:220px;border-radius:6px}
.change{display:inline-block;background:var(--good);color:#fff;border-radius:4px;padding:.1rem .5rem;margin:0 .4rem .4rem 0}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(215px,1fr));gap:1rem}
.card{border:3px solid var(--line);border-radius:8px;padding:.6rem;background:var(--soft)}
.card.all{border-color:var(--good)}
.card img{width:100%;height:230px;object-fit:contain;border-radius:4px;background:#fff}
.none{display:grid;place-items:center;height:230px;opacity:.6}
.id{font-weight:600;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;table-layout:fixed;font-size:12px}
td{padding:1px 4px 1px 0;vertical-align:top;overflow-wrap:anywhere}
td:first-child{width:40%}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bar{height:5px;background:#5b8def;border-radius:2px}
.changed,.kept{color:var(--good)}.lacks{color:var(--bad)}.unknown{opacity:.6}
.counts table{max-width:320px;margin:.4rem 0}.counts{margin-bottom:1rem}
details{margin-top:.4rem}summary{cursor:pointer}";

/// What [`v1::SearchResult::matches_all`] means.
const FRAME: &str = "A green frame: every label that was asked for is there, stored with the item or else predicted. \
    What was not changed may differ from the query.";

impl Page<'_> {
    /// Fetches the pictures and writes the page.
    pub(crate) async fn write(&self, client: &mut Client, file: &Path) -> anyhow::Result<()> {
        let mut html = String::new();
        writeln!(
            html,
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Lapel results</title>"
        )?;
        writeln!(html, "<meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>")?;
        self.write_query(client, &mut html).await?;
        write_counts(&mut html, self.counts)?;
        writeln!(html, "<div class=\"grid\">")?;
        let terms = self.explanations().flat_map(|e| &e.terms).map(|t| t.contribution);
        let most = terms.fold(1e-9, f64::max);
        for ranked in self.ranked {
            let nearest = ranked.result;
            let picture = item_picture(client, &nearest.item_id, nearest.picture).await;
            write_card(&mut html, ranked, picture, most)?;
        }
        writeln!(html, "</div></html>")?;
        fs_err::write(file, html)?;
        Ok(())
    }

    fn explanations(&self) -> impl Iterator<Item = &v1::Explanation> {
        self.ranked.iter().flat_map(|ranked| &ranked.result.explanation)
    }

    async fn write_query(&self, client: &mut Client, html: &mut String) -> anyhow::Result<()> {
        let picture = match self.query.and_then(|q| q.source.as_ref()) {
            Some(v1::query::Source::Image(bytes)) => Some(data_url("image/*", bytes)),
            Some(v1::query::Source::ItemId(id)) => item_picture(client, id, 0).await,
            Some(v1::query::Source::Signatures(_)) | None => None,
        };
        writeln!(html, "<div class=\"query\">")?;
        if let Some(url) = picture {
            writeln!(html, "<img src=\"{url}\" alt=\"the query\">")?;
        }
        writeln!(html, "<div><h1>Query</h1>")?;
        for change in &self.changes {
            writeln!(html, "<span class=\"change\">{}</span>", escape(change))?;
        }
        writeln!(html, "<p>weights: {}</p>", escape(&crate::output::explained_weights(self.weights)))?;
        for note in self.notes {
            writeln!(html, "<p>{}</p>", escape(note))?;
        }
        if self.explanations().flat_map(|e| &e.attributes).any(|a| a.edited) {
            writeln!(html, "<p>{FRAME}</p>")?;
        }
        writeln!(html, "</div></div>")?;
        Ok(())
    }
}

fn write_card(
    html: &mut String,
    ranked: &Ranked<'_>,
    picture: Option<String>,
    most: f64,
) -> std::fmt::Result {
    let Ranked { rank, group, result } = ranked;
    // A further result of a group has no rank of its own.
    let rank = if rank.is_empty() { "&middot;".to_owned() } else { format!("{rank}.") };
    let id = escape(&result.item_id);
    writeln!(html, "<div class=\"card{}\">", if result.matches_all { " all" } else { "" })?;
    match picture {
        Some(url) => writeln!(html, "<img src=\"{url}\" alt=\"{id}\">")?,
        None => writeln!(html, "<div class=\"none\">no picture stored</div>")?,
    }
    let predicted = if result.matches_predicted { "; what was asked for is there (predicted)" } else { "" };
    let distance = result.distance;
    writeln!(html, "<div class=\"id\">{rank} {id}</div><div>distance {distance:.4}{predicted}</div>")?;
    if !group.is_empty() {
        writeln!(html, "<div>group {}</div>", escape(group))?;
    }
    if let Some(explanation) = &result.explanation {
        writeln!(html, "<table>")?;
        for a in &explanation.attributes {
            if a.found.is_empty() && !a.edited {
                continue;
            }
            // Red is for what was asked for and is not there; an item without it has no green frame.
            let (class, note) = match a.outcome() {
                v1::AttributeOutcome::Changed => ("changed", "changed as asked".to_owned()),
                v1::AttributeOutcome::Kept => ("kept", "kept".to_owned()),
                _ if a.edited => ("lacks", format!("asked for {}", a.wanted)),
                v1::AttributeOutcome::Differs => ("differs", format!("query: {}", a.wanted)),
                v1::AttributeOutcome::Unknown | v1::AttributeOutcome::Unspecified => {
                    ("unknown", String::new())
                }
            };
            let (unsure, guess) = match (a.unsure, a.predicted) {
                (true, _) => ("unsure: ", ""),
                (false, true) => ("", " (predicted)"),
                (false, false) => ("", ""),
            };
            let found = if a.found.is_empty() { "not known" } else { &a.found };
            let (attribute, found, note) = (escape(&a.attribute), escape(found), escape(&note));
            writeln!(
                html,
                "<tr class=\"{class}\"><td>{attribute}</td><td>{unsure}{found}{guess}</td><td>{note}</td></tr>"
            )?;
        }
        writeln!(html, "</table><details><summary>terms of the distance</summary><table>")?;
        for t in &explanation.terms {
            let (head, missing) = (escape(&t.head), if t.missing { " (expected)" } else { "" });
            let (weight, distance, sum) = (t.weight, t.distance, t.contribution);
            let share = 100.0 * sum / most;
            writeln!(
                html,
                "<tr><td>{head}{missing}</td><td class=\"n\">{weight:.2} × {distance:.3} = {sum:.3}</td></tr>\
                 <tr><td colspan=\"2\"><div class=\"bar\" style=\"width:{share:.1}%\"></div></td></tr>"
            )?;
        }
        writeln!(html, "</table></details>")?;
    }
    writeln!(html, "</div>")
}

/// Counts as tables that are closed at first.
fn write_counts(html: &mut String, counts: &[(&str, &[Counts])]) -> std::fmt::Result {
    for (among, counts) in counts.iter().filter(|(_, counts)| !counts.is_empty()) {
        writeln!(html, "<details class=\"counts\"><summary>counts {}</summary>", escape(among))?;
        for Counts { of, rows, more } in *counts {
            writeln!(html, "<table><tr><td colspan=\"2\"><b>{}</b></td></tr>", escape(of))?;
            for (value, items) in rows {
                let value = escape(value);
                writeln!(html, "<tr><td>{value}</td><td class=\"n\">{items}</td></tr>")?;
            }
            if *more > 0 {
                writeln!(html, "<tr><td colspan=\"2\">and {more} more values</td></tr>")?;
            }
            writeln!(html, "</table>")?;
        }
        writeln!(html, "</details>")?;
    }
    Ok(())
}

/// An item's picture, for a page to have in it; `None` where it has none.
pub(crate) async fn item_picture(client: &mut Client, id: &str, picture: u32) -> Option<String> {
    let answer = client.image(id, picture).await.ok()?;
    Some(data_url(&answer.content_type, &answer.image))
}

fn data_url(content_type: &str, bytes: &[u8]) -> String {
    format!("data:{content_type};base64,{}", STANDARD.encode(bytes))
}

/// A text for a page.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(result: &v1::SearchResult) -> Ranked<'_> {
        Ranked { rank: "1".into(), group: "<b>".into(), result }
    }

    fn card(attributes: Vec<v1::AttributeMatch>, matches_all: bool) -> String {
        let explanation = Some(v1::Explanation { attributes, ..Default::default() });
        let result = v1::SearchResult { explanation, matches_all, ..Default::default() };
        let mut html = String::new();
        write_card(&mut html, &ranked(&result), None, 1.0).expect("written");
        html
    }

    #[test]
    fn red_is_what_was_asked_for_and_is_not_there() {
        use v1::AttributeOutcome::{Changed, Differs, Unknown};
        let category = |found: &str, edited, outcome: v1::AttributeOutcome| v1::AttributeMatch {
            attribute: "category".into(),
            wanted: "dress".into(),
            found: found.into(),
            edited,
            outcome: outcome.into(),
            ..Default::default()
        };
        // The query's own category, which nobody asked for: the frame is green, and the row says whose label it was.
        let kept = card(vec![category("skirt", false, Differs)], true);
        assert!(kept.contains("card all") && kept.contains("class=\"differs\""));
        assert!(kept.contains("<td>query: dress</td>") && !kept.contains("lacks"));
        for (found, outcome) in [("skirt", Differs), ("", Unknown)] {
            let lacks = card(vec![category(found, true, outcome)], false);
            assert!(lacks.contains("class=\"lacks\"") && lacks.contains("asked for dress"), "{lacks}");
            assert!(!lacks.contains("card all"));
        }
        let changed = card(vec![category("dress", true, Changed)], true);
        assert!(changed.contains("card all") && changed.contains("changed as asked"));
        for (edited, class) in [(false, "unknown"), (true, "lacks")] {
            let guess =
                v1::AttributeMatch { predicted: true, unsure: true, ..category("dress", edited, Unknown) };
            let guess = card(vec![guess], false);
            assert!(guess.contains("<td>unsure: dress</td>") && !guess.contains("(predicted)"), "{guess}");
            assert!(guess.contains(&format!("<tr class=\"{class}\">")), "{guess}");
        }
    }

    #[test]
    fn labels_cannot_break_out_of_the_page() {
        let result = v1::SearchResult { item_id: "<script>\"&".into(), ..v1::SearchResult::default() };
        let mut html = String::new();
        write_card(&mut html, &ranked(&result), None, 1.0).expect("written");
        let counts = Counts { of: "<i>".into(), rows: vec![("<u>".into(), 3)], more: 1 };
        write_counts(&mut html, &[("all", [counts].as_slice())]).expect("written");
        for tag in ["<script>", "<i>", "<u>"] {
            assert!(!html.contains(tag), "{html}");
        }
        assert!(html.contains("&lt;script&gt;&quot;&amp;") && html.contains("group &lt;b&gt;"), "{html}");
        assert!(html.contains("&lt;u&gt;</td><td class=\"n\">3</td>") && html.contains("and 1 more values"));
    }
}
