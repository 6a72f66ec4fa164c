//! The page: tables, curves and grids.

use super::chart::{Line, PlanePath, escaped, lines, plane};
use super::figures::{Cell, Confusion, Figures, PartsSheet, Row};
use super::sheet::{SystemFront, sheets};
use crate::evaluate::{Accuracy, SetReport};
use crate::systems::{Front, Reached, Trace};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Speeds, all in one run (section 7.6).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RunTime {
    /// Threads.
    pub threads: usize,
    /// Pictures a minute from canvas to all signatures, parts included.
    pub with_parts: f64,
    /// The same with the parts already known.
    pub without_parts: f64,
    /// Median milliseconds of part extraction on one thread.
    pub parts_ms: f64,
}

/// Everything that a page shows.
#[derive(Default)]
pub struct Content<'a> {
    /// The page's title.
    pub title: &'a str,
    /// By data set.
    pub sets: &'a [SetReport],
    /// What weights can reach, by set and system.
    pub fronts: &'a [SystemFront],
    /// By data set: how well labels are told.
    pub accuracies: &'a [(String, Vec<Accuracy>)],
    /// Speeds.
    pub run_time: Option<RunTime>,
    /// Picture grids.
    pub figures: &'a [Figures],
    /// By data set: overlays of part extraction.
    pub parts: &'a [(String, PartsSheet)],
    /// By data set: confusions of labels.
    pub confusions: &'a [(String, Vec<Confusion>)],
    /// Losses by epoch.
    pub traces: &'a [Trace],
    /// How it was made.
    pub command: &'a str,
}

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;color:#1b1b1b;max-width:1180px;margin:24px auto;padding:0 16px}\
h1{font-size:26px}h2{margin-top:44px;border-bottom:2px solid #ddd;padding-bottom:4px}h3{margin-top:26px}\
table{border-collapse:collapse;margin:10px 0;font-variant-numeric:tabular-nums}td,th{padding:3px 10px;text-align:right;border-bottom:1px solid #e4e4e4}\
td:first-child,th:first-child{text-align:left}tr.best td{font-weight:600}small,.ci{color:#666;font-size:12px}td .ci{display:block;white-space:nowrap}svg text{font:12px system-ui,sans-serif}\
svg .grid{stroke:#e4e4e4}figure{display:inline-block;margin:4px;width:112px;vertical-align:top}figure img{width:112px;height:112px;display:block;border:3px solid transparent}\
figure.good img{border-color:#1a9641}figure.picked img{border-color:#2166ac}figcaption{font-size:10.5px;line-height:1.25;color:#444}\
.wide{overflow-x:auto}.wide td:nth-child(2),.wide td:nth-child(3){text-align:left}.row{display:flex;align-items:center;border-bottom:1px solid #eee}.asked{width:150px;padding:0 8px;font-weight:600}.heat td{text-align:center;min-width:26px;padding:2px 4px;font-size:11px}.heat th{font-size:11px;font-weight:400}\
@media(prefers-color-scheme:dark){body{background:#17181a;color:#ddd}td,th{border-color:#333}svg text{fill:#ccc}}";

/// One self-contained HTML file.
#[must_use]
pub fn html(content: &Content<'_>) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{0}</title><style>{STYLE}</style><h1>{0}</h1><p>Made by <code>{1}</code>. Intervals hold 95 % of a \
         bootstrap over pictures. Every figure was computed by that command; none is written by hand.</p>",
        escaped(content.title),
        escaped(content.command)
    );
    for set in content.sets {
        page += &set_section(set, content.fronts);
    }
    page += &accuracy_section(content.accuracies);
    if let Some(run_time) = content.run_time {
        page += &run_time_section(run_time);
    }
    page += &grid_section(content.figures);
    page += &parts_section(content.parts);
    page += &confusion_section(content.confusions);
    page += &loss_section(content.traces);
    page + "</html>"
}

fn set_section(set: &SetReport, fronts: &[SystemFront]) -> String {
    let mut out = format!(
        "<h2>{}: {} test pictures</h2><p>The paper's protocol counts the {} pictures labelled on all of {}; a hit has \
         exactly the wanted labels on them. ADDE-M's searches the whole test set, missing labels to be matched as well. \
         <em>Lapel ahead by</em> is paired, question by question. Seeds are pooled.</p>",
        escaped(&set.name),
        set.pictures,
        set.eligible,
        escaped(&set.attributes.join(", "))
    );
    out += "<h3>Top-k accuracy after one change (Figure 6 b)</h3>";
    let mut drawn: Vec<(&str, &str)> =
        set.systems.iter().map(|s| (s.backbone.as_str(), s.weighting.as_str())).collect();
    drawn.sort_unstable();
    drawn.dedup();
    for (backbone, weighting) in drawn {
        let of = set.systems.iter().filter(|s| s.backbone == backbone && s.weighting == weighting);
        let curves: Vec<Line<'_>> = of.map(|s| Line { name: &s.name, values: &s.scores.one.curve }).collect();
        if curves.len() > 1 || set.systems.len() == 1 {
            let name = format!("k ({backbone}, {weighting} weights)");
            out += &lines(&curves, &name, "share with a hit", (0.0, 1.0));
        }
    }
    let own: Vec<&SystemFront> = fronts.iter().filter(|front| front.set == set.name).collect();
    if !own.is_empty() {
        out += &front_section(&own);
    }
    sheets(set, fronts).iter().for_each(|sheet| out += &sheet.html());
    out
}

/// What weights can reach, backbone by backbone: gains of changed and kept labels, means over seeds.
fn front_section(fronts: &[&SystemFront]) -> String {
    let mut out = String::from(
        "<h3>Fronts between changed and kept labels</h3><p>On the pictures that were set aside for choices. A line joins \
         what one system reaches with more and more emphasis on the changed label; the dot is the point that was taken.</p>",
    );
    let mut backbones: Vec<&str> = fronts.iter().map(|front| front.backbone.as_str()).collect();
    backbones.dedup();
    for backbone in backbones {
        let path = |front: &SystemFront| {
            let mean = |part: &dyn Fn(&Front) -> Reached| {
                let sum =
                    front.fronts.iter().map(part).fold((0.0, 0.0), |(x, y), r| (x + r.kept, y + r.changed));
                let count = front.fronts.len().max(1) as f64;
                (sum.0 / count, sum.1 / count)
            };
            let count = front.fronts.first().map_or(0, |front| front.points.len());
            PlanePath {
                name: front.name.clone(),
                points: (0..count).map(|at| mean(&|front| front.points[at].reached)).collect(),
                dot: mean(&|front| front.taken.reached),
            }
        };
        let of = fronts.iter().filter(|front| front.backbone == backbone);
        let paths: Vec<PlanePath> = of.map(|front| path(front)).collect();
        out += &plane(&paths, &format!("gain of kept labels ({backbone})"), "gain of changed labels");
    }
    out
}

fn accuracy_section(sets: &[(String, Vec<Accuracy>)]) -> String {
    let mut out = String::new();
    for (name, rows) in sets {
        let _ = write!(
            out,
            "<h2>Labels told: {}</h2><table><tr><th>attribute</th><th>labelled</th><th>accuracy</th><th>balanced</th>\
             <th>majority</th></tr>",
            escaped(name)
        );
        for a in rows {
            let _ = write!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{:.1}</td><td>{:.1}</td><td>{:.1}</td></tr>",
                escaped(&a.attribute),
                a.labelled,
                100.0 * a.accuracy,
                100.0 * a.balanced,
                100.0 * a.majority
            );
        }
        out += "</table>";
    }
    out
}

fn run_time_section(r: RunTime) -> String {
    format!(
        "<h2>Run time</h2><table><tr><th>{} threads, pictures a minute</th><th></th></tr><tr><td>all signatures, parts included</td>\
         <td>{:.0}</td></tr><tr><td>all signatures, parts known</td><td>{:.0}</td></tr>\
         <tr><td>part extraction, one thread</td><td>{:.2} ms</td></tr></table>",
        r.threads, r.with_parts, r.without_parts, r.parts_ms
    )
}

fn grid_section(sets: &[Figures]) -> String {
    let mut out = String::new();
    for figures in sets {
        let _ = write!(
            out,
            "<h2>Changed labels: {} (Figure 7)</h2><p>Green: exactly the wanted labels.</p>",
            escaped(&figures.name)
        );
        figures.manipulations.iter().for_each(|r| row(&mut out, r));
        let _ = write!(
            out,
            "<h2>Personalised: {} (Figure 8)</h2><p>Green: matches in what the shopper cares for. Blue: picked.</p>",
            escaped(&figures.name)
        );
        figures.personalised.iter().for_each(|r| row(&mut out, r));
    }
    out
}

fn row(out: &mut String, row: &Row) {
    *out += "<div class=\"row\">";
    cell(out, &row.query);
    let _ = write!(out, "<div class=\"asked\">{}</div>", escaped(&row.asked));
    row.answers.iter().for_each(|c| cell(out, c));
    *out += "</div>";
}

fn cell(out: &mut String, cell: &Cell) {
    let class = match (cell.picked, cell.good) {
        (true, _) => "picked",
        (false, true) => "good",
        (false, false) => "plain",
    };
    let _ = write!(
        out,
        "<figure class=\"{class}\"><img src=\"{}\" alt=\"{1}\"><figcaption>{1}</figcaption></figure>",
        cell.picture,
        escaped(&cell.caption)
    );
}

fn parts_section(sets: &[(String, PartsSheet)]) -> String {
    let mut out = String::new();
    for (name, sheet) in sets {
        let _ = write!(
            out,
            "<h2>Part extraction: {}</h2><p>Dark: background. Dotted: jumps. Blue: sleeves, red: collar, yellow: fastening, \
             green: chest. A green frame: segmented, and the case that its labels tell.</p>",
            escaped(name)
        );
        sheet.cells.iter().for_each(|c| cell(&mut out, c));
    }
    out
}

fn confusion_section(sets: &[(String, Vec<Confusion>)]) -> String {
    let mut out = String::new();
    for (name, all) in sets {
        let _ = write!(
            out,
            "<h2>Confusions: {}</h2><p>Rows: the label; columns: what is told.</p>",
            escaped(name)
        );
        for c in all {
            let _ = write!(out, "<h3>{}</h3><table class=\"heat\"><tr><th></th>", escaped(&c.attribute));
            c.labels.iter().for_each(|l| {
                let _ = write!(out, "<th>{}</th>", escaped(l));
            });
            out += "</tr>";
            for (label, counts) in c.labels.iter().zip(&c.counts) {
                let total: usize = counts.iter().sum();
                let _ = write!(out, "<tr><th>{}</th>", escaped(label));
                for count in counts {
                    let share = *count as f64 / total.max(1) as f64;
                    let text = if *count == 0 { String::new() } else { count.to_string() };
                    let _ = write!(out, "<td style=\"background:rgba(0,114,178,{share:.2})\">{text}</td>");
                }
                out += "</tr>";
            }
            out += "</table>";
        }
    }
    out
}

fn loss_section(traces: &[Trace]) -> String {
    let mut systems: Vec<&str> = traces.iter().map(|t| t.system.as_str()).collect();
    systems.dedup();
    let mut out = if systems.is_empty() { String::new() } else { "<h2>Training</h2>".to_owned() };
    for system in systems {
        let of: Vec<&Trace> = traces.iter().filter(|t| t.system == system).collect();
        let _ = write!(out, "<h3>{}</h3>", escaped(system));
        for (part, name) in [(0, "mean loss"), (1, "validation labels told right")] {
            let values: Vec<Vec<f64>> =
                of.iter().map(|t| t.epochs.iter().map(|e| f64::from(e[part])).collect()).collect();
            let curves: Vec<Line<'_>> =
                of.iter().zip(&values).map(|(t, values)| Line { name: &t.head, values }).collect();
            let high = if part == 1 { 1.0 } else { values.iter().flatten().copied().fold(0.1, f64::max) };
            out += &lines(&curves, "epoch", name, (0.0, high));
        }
    }
    out
}
