//! Tables and plots of what was measured.

use super::generate::Shape;
use super::measure::{Outcome, percentile};
use std::fmt::Write;

/// What the page shows.
pub(super) struct Report {
    pub(super) shape: Shape,
    pub(super) outcomes: Vec<Outcome>,
    /// Misses allowed, and what the regimes reached with that.
    pub(super) curve: Vec<(f64, Vec<Outcome>)>,
}

/// Milliseconds of every query, ascending.
pub(super) fn all_ms(outcomes: &[Outcome]) -> Vec<f64> {
    let mut all: Vec<f64> = outcomes.iter().flat_map(|o| o.ms.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    all
}

fn worst(outcomes: &[Outcome], recall: impl Fn(&Outcome) -> f64) -> f64 {
    outcomes.iter().map(recall).fold(1.0, f64::min)
}

/// Prints one line a regime, and the worst of each column.
pub(super) fn table(title: &str, outcomes: &[Outcome]) {
    println!("\n{title}");
    println!(
        "{:<13}{:>10}{:>11}{:>9}{:>9}{:>10}{:>10}{:>7}{:>10}  plans",
        "regime", "recall@10", "recall@100", "p50 ms", "p99 ms", "k100 p50", "exact p50", "ratio", "rescored"
    );
    for o in outcomes {
        let plans: Vec<String> = o.plans.iter().map(|(plan, count)| format!("{plan} {count}")).collect();
        println!(
            "{:<13}{:>10.4}{:>11.4}{:>9.3}{:>9.3}{:>10.3}{:>10.2}{:>7.1}{:>10.0}  {}",
            o.regime,
            o.recall_10,
            o.recall_100,
            o.p50_ms,
            o.p99_ms,
            o.p50_ms_100,
            o.exact_p50_ms,
            o.exact_p50_ms / o.p50_ms,
            o.rescored,
            plans.join(", ")
        );
    }
    let all = all_ms(outcomes);
    println!(
        "{:<13}{:>10.4}{:>11.4}{:>9.3}{:>9.3}   (recall: the worst regime; times: all queries together)",
        "all",
        worst(outcomes, |o| o.recall_10),
        worst(outcomes, |o| o.recall_100),
        percentile(&all, 0.5),
        percentile(&all, 0.99)
    );
}

impl Report {
    /// A page of its own: regimes as dots, the error bar's length as a curve.
    pub(super) fn html(&self) -> String {
        let mut page = String::from(HEAD);
        let s = &self.shape;
        let _ = write!(
            page,
            "<h1>Recall and latency of the scan of codes</h1><p>{} items, {} heads of {} numbers, seed {}; 10 \
             results, one thread; latency beside the exact scan of the same run.</p>",
            s.items, s.heads, s.dim, s.seed
        );
        page += "<h2>One dot a regime</h2>";
        let dots: Vec<_> = self.outcomes.iter().map(|o| (o.p50_ms, o.recall_10, o.regime.clone())).collect();
        page += &plot(&dots, false);
        page += "<h2>The worst recall and the slowest regime, by the share of misses allowed</h2>";
        let point = |(misses, outcomes): &(f64, Vec<Outcome>)| {
            let slowest = outcomes.iter().map(|o| o.p50_ms).fold(0.0, f64::max);
            (slowest, worst(outcomes, |o| o.recall_10), format!("{misses}"))
        };
        page += &plot(&self.curve.iter().map(point).collect::<Vec<_>>(), true);
        page += "<h2>Figures</h2><table><tr><th>regime</th><th>recall@10</th><th>recall@100</th><th>p50 ms</th>\
                 <th>p99 ms</th><th>exact p50 ms</th><th>times faster</th><th>rescored</th></tr>";
        for o in &self.outcomes {
            let _ = write!(
                page,
                "<tr><td>{}</td><td>{:.4}</td><td>{:.4}</td><td>{:.3}</td><td>{:.3}</td><td>{:.2}</td>\
                 <td>{:.1}</td><td>{:.0}</td></tr>",
                o.regime,
                o.recall_10,
                o.recall_100,
                o.p50_ms,
                o.p99_ms,
                o.exact_p50_ms,
                o.exact_p50_ms / o.p50_ms,
                o.rescored
            );
        }
        page += "</table></body></html>";
        page
    }
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Search bench</title><style>\
    body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
    table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}\
    td:first-child,th:first-child{text-align:left}svg text{font:12px system-ui,sans-serif;fill:#555}</style></head>\
    <body>";

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 320.0;
const MARGIN: f64 = 55.0;

/// Milliseconds to the right, recall upwards; joined by a line when they are one curve.
fn plot(points: &[(f64, f64, String)], joined: bool) -> String {
    let most_ms = points.iter().map(|p| p.0).fold(0.0, f64::max) * 1.1 + 1e-9;
    let least = points.iter().map(|p| p.1).fold(0.995, f64::min);
    let least = (least * 100.0 - 0.5).floor() / 100.0;
    let x = |ms: f64| MARGIN + ms / most_ms * (WIDTH - 2.0 * MARGIN);
    let y = |recall: f64| HEIGHT - MARGIN - (recall - least) / (1.0 - least) * (HEIGHT - 1.5 * MARGIN);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"100%\" role=\"img\">");
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let (recall, ms) = (least + part * (1.0 - least), part * most_ms);
        let _ = write!(
            svg,
            "<line x1=\"{MARGIN}\" x2=\"{}\" y1=\"{2}\" y2=\"{2}\" stroke=\"#e4e4e4\"/><text x=\"{}\" y=\"{3}\" \
             text-anchor=\"end\">{recall:.4}</text><text x=\"{4}\" y=\"{5}\" text-anchor=\"middle\">{ms:.2} ms</text>",
            WIDTH - MARGIN,
            MARGIN - 6.0,
            y(recall),
            y(recall) + 4.0,
            x(ms),
            HEIGHT - MARGIN + 18.0
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">median milliseconds</text><text x=\"4\" y=\"14\">recall@10</text>",
        WIDTH / 2.0,
        HEIGHT - 8.0
    );
    if joined {
        let line: Vec<String> = points.iter().map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1))).collect();
        let _ = write!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#36c\"/>", line.join(" "));
    }
    for (ms, recall, name) in points {
        let _ = write!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"#36c\" fill-opacity=\".7\"><title>{name}: {recall:.4}, \
             {ms:.3} ms</title></circle>",
            x(*ms),
            y(*recall)
        );
        if joined {
            let _ =
                write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>", x(*ms) + 8.0, y(*recall) + 14.0);
        }
    }
    svg + "</svg>"
}
