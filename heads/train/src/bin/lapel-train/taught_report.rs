//! What the verb `taught` found, in words and tables.

use lapel_train::taught::{ByExamples, Growth, Point, Told};
use serde::Serialize;
use std::fmt::Write as _;

/// How far a taught head may be behind `lapel-train`'s.
const BEHIND: f64 = 0.04;

/// What was found.
#[derive(Serialize)]
pub(crate) struct Report {
    fingerprint: String,
    /// Whether photos alone were taught from that backbones are not tuned on.
    set_aside: bool,
    seed: u64,
    /// Heads by numbers of examples.
    pub(crate) examples: Vec<ByExamples>,
    /// Labels that grow.
    pub(crate) growth: Vec<Growth>,
}

/// Draws of one attribute and number of examples.
type Group<'a> = (&'a str, Option<usize>, Vec<&'a ByExamples>);

impl Report {
    pub(crate) fn new(fingerprint: &str, set_aside: bool, seed: u64) -> Self {
        let fingerprint = fingerprint.to_owned();
        Self { fingerprint, set_aside, seed, examples: Vec::new(), growth: Vec::new() }
    }

    pub(crate) fn text(&self) -> String {
        let photos = if self.set_aside { "photos set aside" } else { "training photos" };
        let mut text = format!(
            "\nTaught from {photos}, measured on validation photos, %; backbone {}, seed {}\n\n",
            self.fingerprint, self.seed
        );
        let groups = self.groups();
        examples_table(&groups, &mut text);
        summary(&groups, &mut text);
        self.growth_table(&mut text);
        text
    }

    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for row in &self.examples {
            match groups.last_mut() {
                Some((name, per_label, rows)) if *name == row.attribute && *per_label == row.per_label => {
                    rows.push(row);
                }
                _ => groups.push((row.attribute.as_str(), row.per_label, vec![row])),
            }
        }
        groups
    }

    fn growth_table(&self, text: &mut String) {
        let mut names: Vec<&str> = self.growth.iter().map(|growth| growth.attribute.as_str()).collect();
        names.dedup();
        let mut reached = (0, 0);
        for (at, name) in names.iter().enumerate() {
            let rows: Vec<&Growth> = self.growth.iter().filter(|growth| growth.attribute == *name).collect();
            let suggested = means(&rows, |growth| &growth.suggested);
            let random = means(&rows, |growth| &growth.random);
            if at == 0 {
                growth_header(&suggested, &random, text);
            }
            let (Some(last), Some(most)) = (suggested.last(), random.last()) else { continue };
            let (plain, balanced) = (last.accuracy >= most.accuracy, last.balanced >= most.balanced);
            reached = (reached.0 + usize::from(plain), reached.1 + usize::from(balanced));
            let cells = suggested.iter().chain(&random);
            let cells = cells.map(|m| format!(" {} / {} |", percent(m.accuracy), percent(m.balanced)));
            let yes = |reached: bool| if reached { "yes" } else { "no" };
            let _ = writeln!(
                text,
                "| {name} |{} {} / {} |",
                cells.collect::<String>(),
                yes(plain),
                yes(balanced)
            );
        }
        let _ = writeln!(
            text,
            "\nsuggested labels reach the most at random: accuracy on {} of {} attributes, balanced accuracy on {}",
            reached.0,
            names.len(),
            reached.1
        );
    }
}

/// A table of the means over the draws.
fn examples_table(groups: &[Group<'_>], text: &mut String) {
    text.push_str(
        "| attribute | examples a label | in all | labels | taught | Teach says | probe | majority | balanced: taught | \
         Teach says | probe | calibration error | fit, s | probe's, s |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (name, per_label, rows) in groups {
        let shown = |told: fn(&ByExamples) -> &Told| {
            let part = |part: fn(&Told) -> f64| percent(mean(rows, |row| part(told(row))));
            format!("{} [{}, {}]", part(|t| t.accuracy), part(|t| t.low), part(|t| t.high))
        };
        let balanced = |told: fn(&ByExamples) -> &Told| percent(mean(rows, |row| told(row).balanced));
        let _ = writeln!(
            text,
            "| {name} | {} | {:.0} | {:.0} | {} | {} | {} | {} | {} | {} | {} | {:.3} | {:.2} | {:.2} |",
            number(*per_label),
            mean(rows, |row| row.cross_validated.photos as f64),
            mean(rows, |row| row.labels as f64),
            shown(|row| &row.taught),
            shown(|row| &row.cross_validated),
            shown(|row| &row.probe),
            percent(mean(rows, |row| row.taught.majority)),
            balanced(|row| &row.taught),
            balanced(|row| &row.cross_validated),
            balanced(|row| &row.probe),
            mean(rows, |row| row.taught.calibration_error),
            mean(rows, |row| row.seconds),
            mean(rows, |row| row.probe_seconds),
        );
    }
}

/// By number of examples, how far taught heads are from the probe and from what Teach says of them.
fn summary(groups: &[Group<'_>], text: &mut String) {
    let _ = writeln!(
        text,
        "\n| examples a label | taught - probe | within {:.0} points | ahead | balanced: taught - probe | within | ahead | \
         Teach says - reached | balanced: the same | reached within what Teach says |\n\
         |---|---|---|---|---|---|---|---|---|---|",
        100.0 * BEHIND
    );
    let mut numbers: Vec<Option<usize>> = Vec::new();
    for (_, per_label, _) in groups {
        if !numbers.contains(per_label) {
            numbers.push(*per_label);
        }
    }
    for per_label in numbers {
        let all: Vec<&Group<'_>> = groups.iter().filter(|(_, other, _)| *other == per_label).collect();
        let by_attribute = |of: fn(&ByExamples) -> f64| -> Vec<f64> {
            all.iter().map(|(_, _, rows)| mean(rows, of)).collect()
        };
        let plain = by_attribute(|row| row.taught.accuracy - row.probe.accuracy);
        let balanced = by_attribute(|row| row.taught.balanced - row.probe.balanced);
        let said = by_attribute(|row| row.cross_validated.accuracy - row.taught.accuracy);
        let said_balanced = by_attribute(|row| row.cross_validated.balanced - row.taught.balanced);
        let within = |differences: &[f64]| share(differences, |difference| difference >= -BEHIND);
        let ahead = |differences: &[f64]| share(differences, |difference| difference > 0.0);
        let kept: Vec<f64> = all
            .iter()
            .flat_map(|(_, _, rows)| rows)
            .map(|row| {
                let (said, reached) = (row.cross_validated, row.taught.accuracy);
                f64::from(u8::from((said.low..=said.high).contains(&reached)))
            })
            .collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            number(per_label),
            points(&plain),
            within(&plain),
            ahead(&plain),
            points(&balanced),
            within(&balanced),
            ahead(&balanced),
            points(&said),
            points(&said_balanced),
            share(&kept, |kept| kept > 0.5),
        );
    }
}

fn growth_header(suggested: &[Mean], random: &[Mean], text: &mut String) {
    let head = |how: &str, means: &[Mean]| -> String {
        means.iter().map(|mean| format!(" {how} {} |", mean.labelled)).collect()
    };
    let count = suggested.len() + random.len() + 2;
    let _ = writeln!(
        text,
        "\nLabels that were suggested beside labels at random: accuracy / balanced accuracy, means over the seeds, %\n\n\
         | attribute |{}{} reaches |\n|{}",
        head("suggested", suggested),
        head("random", random),
        "---|".repeat(count)
    );
}

/// Of one number of labelled photos, over the seeds.
struct Mean {
    labelled: usize,
    accuracy: f64,
    balanced: f64,
}

fn means(rows: &[&Growth], points: fn(&Growth) -> &Vec<Point>) -> Vec<Mean> {
    let count = rows.iter().map(|row| points(row).len()).min().unwrap_or(0);
    let at = |at: usize| {
        let of = |part: fn(&Point) -> f64| mean(rows, |row| part(&points(row)[at]));
        Mean {
            labelled: rows.first().map_or(0, |row| points(row)[at].labelled),
            accuracy: of(|point| point.told.accuracy),
            balanced: of(|point| point.told.balanced),
        }
    };
    (0..count).map(at).collect()
}

/// A line on one head of so many examples.
pub(crate) fn line_of_examples(row: &ByExamples) -> String {
    format!(
        "{}, {} a label, draw {}: taught {} %, Teach says {} %, probe {} %; {:.2} s, {:.2} s",
        row.attribute,
        number(row.per_label),
        row.draw,
        percent(row.taught.accuracy),
        percent(row.cross_validated.accuracy),
        percent(row.probe.accuracy),
        row.seconds,
        row.probe_seconds
    )
}

/// A line on labels that grew.
pub(crate) fn line_of_growth(grown: &Growth) -> String {
    let line = |points: &[Point]| {
        let point = |point: &Point| format!("{} {} %", point.labelled, percent(point.told.accuracy));
        points.iter().map(point).collect::<Vec<_>>().join(", ")
    };
    let (suggested, random) = (line(&grown.suggested), line(&grown.random));
    format!("{}, seed {}: suggested {suggested}; random {random}", grown.attribute, grown.seed)
}

fn mean<T>(rows: &[&T], of: impl Fn(&T) -> f64) -> f64 {
    rows.iter().map(|row| of(row)).sum::<f64>() / rows.len().max(1) as f64
}

fn number(per_label: Option<usize>) -> String {
    per_label.map_or_else(|| "all".to_owned(), |count| count.to_string())
}

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// The mean of differences, and the range that they lie in.
fn points(differences: &[f64]) -> String {
    let mean = differences.iter().sum::<f64>() / differences.len().max(1) as f64;
    let least = differences.iter().copied().fold(f64::INFINITY, f64::min);
    let most = differences.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:+.1} ({:+.1} to {:+.1})", 100.0 * mean, 100.0 * least, 100.0 * most)
}

/// How many of all.
fn share(values: &[f64], is_one: impl Fn(f64) -> bool) -> String {
    format!("{} of {}", values.iter().filter(|value| is_one(**value)).count(), values.len())
}
