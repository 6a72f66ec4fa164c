//! The tables of a comparison, once for the page and once as markdown.

use super::chart::escaped;
use crate::evaluate::{Interval, ProtocolScores, SetReport, SystemScores, Table};
use crate::systems::{Front, FrontPoint, Reached};
use serde::Serialize;
use std::fmt::Write;

/// What can be reached by weights, of one system on one set.
#[derive(Clone, Debug, Serialize)]
pub struct SystemFront {
    /// The set.
    pub set: String,
    /// The system.
    pub name: String,
    /// What it reads.
    pub backbone: String,
    /// One a seed.
    pub fronts: Vec<Front>,
}

/// A table of text.
pub struct Sheet {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Sheet {
    /// As HTML.
    #[must_use]
    pub fn html(&self) -> String {
        let cells = |kind: &str, cells: &[String]| {
            cells.iter().fold(String::new(), |mut out, cell| {
                // Writing to a string cannot fail.
                let _ = write!(out, "<{kind}>{}</{kind}>", interval_apart(cell));
                out
            })
        };
        let mut out = format!(
            "<h3>{}</h3><div class=\"wide\"><table><tr>{}</tr>",
            escaped(&self.title),
            cells("th", &self.columns)
        );
        for row in &self.rows {
            let class = if row.first().is_some_and(|name| name == "Lapel") { " class=\"best\"" } else { "" };
            let _ = write!(out, "<tr{class}>{}</tr>", cells("td", row));
        }
        out + "</table></div>"
    }

    /// As markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = self.columns.iter().map(|_| "---".to_owned()).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}:\n\n{}{}{rows}", self.title, line(&self.columns), line(&rule).replace(' ', ""))
    }
}

/// `84.6 [79.9, 88.8]` with the interval on a line of its own.
fn interval_apart(cell: &str) -> String {
    match cell.split_once(" [") {
        Some((value, interval)) => {
            format!("{} <span class=\"ci\">[{}</span>", escaped(value), escaped(interval))
        }
        None => escaped(cell),
    }
}

/// All tables of a set; `fronts` are those of its systems.
#[must_use]
pub fn sheets(set: &SetReport, fronts: &[SystemFront]) -> Vec<Sheet> {
    let mut all = vec![paper_sheet(set), adde_sheet(set), attribute_sheet(set)];
    let own: Vec<&SystemFront> = fronts.iter().filter(|front| front.set == set.name).collect();
    if !own.is_empty() {
        all.push(front_sheet(&own));
    }
    all.extend(set.systems.iter().filter(|s| !s.personalisation.is_empty()).map(personal_sheet));
    all
}

fn sheet(title: String, columns: &[&str], rows: Vec<Vec<String>>) -> Sheet {
    Sheet { title, columns: columns.iter().map(|&c| c.to_owned()).collect(), rows }
}

/// The row's first cells.
fn named(system: &SystemScores) -> Vec<String> {
    vec![system.name.clone(), system.backbone.clone(), system.weighting.clone()]
}

fn percent(value: f64) -> String {
    format!("{:.1}", 100.0 * value)
}

fn with_interval(i: Interval) -> String {
    format!("{:.1} [{:.1}, {:.1}]", 100.0 * i.mean, 100.0 * i.low, 100.0 * i.high)
}

fn paper_sheet(set: &SetReport) -> Sheet {
    let at = |table: &Table, k: usize| percent(table.curve.get(k - 1).copied().unwrap_or_default());
    let row = |s: &SystemScores| {
        let ProtocolScores { direct, one, two, .. } = &s.scores;
        let seeds: Vec<String> = one.top_20_by_seed.iter().map(|share| percent(*share)).collect();
        let own = [
            percent(direct.top_20.mean),
            at(one, 1),
            at(one, 5),
            with_interval(one.top_20),
            seeds.join(", "),
            format!("{:.1}", one.mean_rank.mean),
            percent(one.ndcg_20.mean),
            percent(two.top_20.mean),
            s.behind.get("all").copied().map_or(String::new(), with_interval),
        ];
        named(s).into_iter().chain(own).collect()
    };
    let count = |of: fn(&ProtocolScores) -> &Table| {
        set.systems
            .first()
            .map_or(0, |s| of(&s.scores).top_20.count / of(&s.scores).top_20_by_seed.len().max(1))
    };
    sheet(
        format!(
            "The paper's protocol, {} of {} pictures; {} direct questions, {} with one change, {} with two",
            set.eligible,
            set.pictures,
            count(|s| &s.direct),
            count(|s| &s.one),
            count(|s| &s.two)
        ),
        &[
            "system",
            "backbone",
            "weights",
            "direct, top-20",
            "one change: top-1",
            "top-5",
            "top-20",
            "by seed",
            "mean rank",
            "NDCG@20",
            "two changes, top-20",
            "Lapel ahead by",
        ],
        set.systems.iter().map(row).collect(),
    )
}

fn adde_sheet(set: &SetReport) -> Sheet {
    let row = |s: &SystemScores| {
        let [all, changed, kept, category] = s.scores.gains;
        let own = [
            percent(s.scores.adde.top_20.mean),
            percent(s.scores.adde_top_30.mean),
            format!("{:.1}", s.scores.adde.mean_rank.mean),
            percent(all.mean),
            with_interval(changed),
            with_interval(kept),
            percent(category.mean),
        ];
        named(s).into_iter().chain(own).collect()
    };
    let questions = set
        .systems
        .first()
        .map_or(0, |s| s.scores.adde.top_20.count / s.scores.adde.top_20_by_seed.len().max(1));
    sheet(
        format!(
            "ADDE-M's protocol, all {} pictures, {questions} questions; gains of the first 30",
            set.pictures
        ),
        &[
            "system",
            "backbone",
            "weights",
            "top-20",
            "top-30",
            "mean rank",
            "gain: all",
            "changed",
            "kept",
            "category",
        ],
        set.systems.iter().map(row).collect(),
    )
}

fn attribute_sheet(set: &SetReport) -> Sheet {
    let row = |s: &SystemScores| {
        let of = |attribute: &String| s.scores.one.by_attribute.get(attribute).copied().unwrap_or_default();
        named(s).into_iter().chain(set.attributes.iter().map(|a| percent(of(a).mean))).collect()
    };
    let count = |attribute: &String| {
        set.systems.first().map_or(0, |s| {
            let of = s.scores.one.by_attribute.get(attribute).copied().unwrap_or_default();
            of.count / s.scores.one.top_20_by_seed.len().max(1)
        })
    };
    let mut columns: Vec<String> = ["system", "backbone", "weights"].map(str::to_owned).to_vec();
    columns.extend(set.attributes.iter().map(|a| format!("{a} ({})", count(a))));
    let rows = set.systems.iter().map(row).collect();
    Sheet { title: "Top-20 after one change, by the attribute changed (questions)".into(), columns, rows }
}

/// Means over seeds.
fn front_sheet(fronts: &[&SystemFront]) -> Sheet {
    let text = |reached: &[Reached]| {
        let mean =
            |of: fn(&Reached) -> f64| reached.iter().map(of).sum::<f64>() / reached.len().max(1) as f64;
        format!(
            "{} / {} / {}",
            percent(mean(|r| r.changed)),
            percent(mean(|r| r.kept)),
            percent(mean(|r| r.category))
        )
    };
    let emphases: Vec<f64> = fronts
        .first()
        .and_then(|front| front.fronts.first())
        .map_or(Vec::new(), |front| front.points.iter().map(|p| p.emphasis).collect());
    let row = |front: &&SystemFront| {
        let of = |part: &dyn Fn(&Front) -> Option<Reached>| {
            text(&front.fronts.iter().filter_map(part).collect::<Vec<_>>())
        };
        let points =
            (0..emphases.len()).map(|at| of(&|front| front.points.get(at).map(|p: &FrontPoint| p.reached)));
        let mut row = vec![front.name.clone(), front.backbone.clone(), of(&|f| Some(f.equal))];
        row.extend(points);
        row.push(of(&|f| Some(f.taken.reached)));
        row
    };
    let mut columns: Vec<String> = ["system", "backbone", "equal weights"].map(str::to_owned).to_vec();
    columns.extend(emphases.iter().map(|emphasis| format!("emphasis {emphasis:.2}")));
    columns.push("taken".into());
    let rows = fronts.iter().map(row).collect();
    Sheet {
        title: "The front on the pictures set aside: gain of the changed label / of kept labels / of the category".into(),
        columns,
        rows,
    }
}

fn personal_sheet(system: &SystemScores) -> Sheet {
    let row = |row: &crate::evaluate::PersonalisationRow| {
        vec![
            row.picks.to_string(),
            percent(row.uniform.mean),
            percent(row.mean_of_picks.mean),
            percent(row.personalised.mean),
            percent(row.both.mean),
            with_interval(row.ahead_of_uniform),
            with_interval(row.ahead_of_mean),
        ]
    };
    sheet(
        format!(
            "Personalisation with the signatures of {}, {}: simulated shoppers with hidden weights on two attributes pick \
             among the first 30; share of the next 20 results that match in both",
            system.name, system.backbone
        ),
        &[
            "picks",
            "uniform",
            "mean of picks",
            "Eq. 5",
            "both",
            "Eq. 5 minus uniform",
            "Eq. 5 minus mean of picks",
        ],
        system.personalisation.iter().map(row).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_one_table_on_the_page_and_in_markdown() {
        let rows = vec![vec!["Lapel".to_owned(), "84.6 [79.9, 88.8]".to_owned()]];
        let sheet = sheet("A & B".into(), &["system", "top-20"], rows);
        assert_eq!(
            sheet.markdown(),
            "A & B:\n\n| system | top-20 |\n|---|---|\n| Lapel | 84.6 [79.9, 88.8] |\n"
        );
        let html = sheet.html();
        assert!(
            html.contains("A &amp; B") && html.contains("<span class=\"ci\">[79.9, 88.8]</span>"),
            "{html}"
        );
    }
}
