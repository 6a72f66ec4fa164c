//! What a training run ends with: a table, JSON, a page with the worst pictures, and what to type next.

use indicatif::ProgressBar;
use lapel_heads::{BACKBONE_FILE, Bundle, EXTRACT_PARTS_FILE};
use lapel_train::evaluate::CATEGORY;
use lapel_train::probes::{
    Choice, Confusion, EditTable, LabelMeasurement, Measurement, Recomposed, Shares, WrongPhoto,
};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;

/// What was measured.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    /// By attribute, on the photos that are measured on.
    pub(crate) measured: Vec<Measurement>,
    /// Edits on the same photos, by the chosen weights.
    pub(crate) edits: Option<EditTable>,
    /// Weights by emphasis, with what they reach on held-out training photos.
    pub(crate) front: Vec<Choice>,
    /// The same photos, recomposed.
    pub(crate) recomposed: Vec<Recomposition>,
}

/// Accuracy on recomposed photos beside that on the photos as they are, over the attributes that can still be seen.
#[derive(Serialize)]
pub(crate) struct Recomposition {
    how: Recomposed,
    /// Mean accuracy as they are.
    plain: f64,
    /// Mean accuracy recomposed.
    mean: f64,
    /// By attribute: accuracy recomposed, and how much less that is.
    by_attribute: Vec<(String, f64, f64)>,
}

impl Recomposition {
    pub(crate) fn new(how: Recomposed, plain: &[Measurement], recomposed: &[Measurement]) -> Self {
        let shown = |name: &str| how.shown().is_none_or(|names| names.contains(&name));
        let by_attribute: Vec<(String, f64, f64)> = plain
            .iter()
            .zip(recomposed)
            .filter(|(plain, _)| shown(&plain.attribute))
            .map(|(plain, m)| (m.attribute.clone(), m.accuracy, plain.accuracy - m.accuracy))
            .collect();
        let count = by_attribute.len().max(1) as f64;
        let mean = by_attribute.iter().map(|(_, accuracy, _)| accuracy).sum::<f64>() / count;
        let less = by_attribute.iter().map(|(.., less)| less).sum::<f64>() / count;
        Self { how, plain: mean + less, mean, by_attribute }
    }
}

/// A line beside a progress bar, or alone where there is no terminal.
pub(crate) fn say(bar: &ProgressBar, line: &str) {
    if std::io::stderr().is_terminal() { bar.println(line) } else { eprintln!("{line}") }
}

impl Report {
    /// Prints the tables, writes them to `out`, and says what to type next.
    pub(crate) fn finish(&self, out: &Path, bundles: &[Bundle], is_new: bool) -> anyhow::Result<()> {
        self.print()?;
        self.write(out, ("train", "Training"))?;
        let files: Vec<String> =
            bundles.iter().map(|b| format!("{}/{}.safetensors", out.display(), b.manifest.name)).collect();
        let mut to = std::io::stdout().lock();
        if is_new {
            // Heads of one backbone cannot be registered beside those of another: all become a generation.
            let out = out.display();
            writeln!(to, "written: {out}/{BACKBONE_FILE} {out}/{EXTRACT_PARTS_FILE} {}", files.join(" "))?;
            write!(to, "next: lapel generations build --backbone {out}/{BACKBONE_FILE} ")?;
            writeln!(to, "--extract-parts {out}/{EXTRACT_PARTS_FILE} {}", files.join(" "))?;
        } else {
            writeln!(to, "written: {}", files.join(" "))?;
            writeln!(to, "next: lapel heads register {}", files.first().map_or("", String::as_str))?;
            writeln!(to, "      (with --update where the server has a head of that name)")?;
        }
        Ok(())
    }

    pub(crate) fn print(&self) -> anyhow::Result<()> {
        Ok(write!(std::io::stdout().lock(), "{}", self.text())?)
    }

    /// Writes the report under a name, as JSON and as a page.
    pub(crate) fn write(&self, out: &Path, (name, title): (&str, &str)) -> anyhow::Result<()> {
        fs_err::write(out.join(format!("{name}.json")), serde_json::to_string_pretty(self)?)?;
        fs_err::write(out.join(format!("{name}.html")), self.page(title))?;
        writeln!(std::io::stdout().lock(), "\nreport: {0}/{name}.html, {0}/{name}.json", out.display())?;
        Ok(())
    }

    fn text(&self) -> String {
        if self.measured.is_empty() {
            return "\nnothing was measured: no row has the split val\n".to_owned();
        }
        let mut text = String::from(
            "\nattribute       labelled  accuracy  majority  balanced  calibration error  of the surest 90 %   shown  \
             of those\n",
        );
        for m in &self.measured {
            let _ = writeln!(
                text,
                "{:15} {:8}  {:7.1}%  {:7.1}%  {:7.1}%  {:17.3}  {:17.1}%  {:5.1}%  {:7.1}%",
                m.attribute,
                m.labelled,
                100.0 * m.accuracy,
                100.0 * m.majority,
                100.0 * m.balanced,
                m.calibration_error,
                100.0 * m.accuracy_of_surest,
                100.0 * m.shown,
                100.0 * m.accuracy_of_shown
            );
        }
        let mean = |part: fn(&Measurement) -> f64| {
            100.0 * self.measured.iter().map(part).sum::<f64>() / self.measured.len().max(1) as f64
        };
        let _ = writeln!(
            text,
            "{:15} {:8}  {:7.1}%  {:7.1}%  {:7.1}%  {:17.3}  {:17.1}%  {:5.1}%  {:7.1}%",
            "mean",
            "",
            mean(|m| m.accuracy),
            mean(|m| m.majority),
            mean(|m| m.balanced),
            mean(|m| m.calibration_error) / 100.0,
            mean(|m| m.accuracy_of_surest),
            mean(|m| m.shown),
            mean(|m| m.accuracy_of_shown)
        );
        for m in &self.measured {
            for advice in m.advice() {
                let _ = writeln!(text, "{}: {advice}", m.attribute);
            }
        }
        text += &self.edits_text();
        if !self.recomposed.is_empty() {
            text += "\nthe same photos             mean  as they are  most lost\n";
            for r in &self.recomposed {
                let most = r.by_attribute.iter().max_by(|a, b| a.2.total_cmp(&b.2));
                let most =
                    most.map_or(String::new(), |(name, _, less)| format!("{name} {:.1}", 100.0 * less));
                let _ = writeln!(
                    text,
                    "{:26}  {:4.1}%  {:10.1}%  {most}",
                    r.how.name(),
                    100.0 * r.mean,
                    100.0 * r.plain
                );
            }
        }
        text
    }

    /// What came of edits; empty where none were measured.
    fn edits_text(&self) -> String {
        let mut text = String::new();
        if let Some(edits) = &self.edits {
            text +=
                "\nafter one edit, first five    edits   asked  category kept   both  other labels kept\n";
            for (name, shares) in edits.by_attribute.iter().chain([&("all".to_owned(), edits.all)]) {
                let Shares { edits, asked, category, both, others } = *shares;
                // An edit of the category does not keep it.
                let kept = |share: f64| if name == CATEGORY { "-".to_owned() } else { format!("{share:.2}") };
                let (category, both) = (kept(category), kept(both));
                let _ = writeln!(
                    text,
                    "{name:28} {edits:6}  {asked:6.2}  {category:>13}  {both:>5}  {others:17.2}"
                );
            }
        }
        text
    }

    fn page(&self, title: &str) -> String {
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style><h1>{title}</h1><pre>{}</pre>",
            escaped(&self.text())
        );
        if !self.front.is_empty() {
            page += "<h2>Asked against kept</h2><p>Weights by how much the asked label counts in their choice, on \
                     held-out training photos: shares of the first five after one edit.</p>";
            let row = |choice: &Choice| {
                let Shares { asked, category, both, others, .. } = choice.reached;
                let shares = [asked, category, both, others].map(|share| format!("{share:.3}"));
                [format!("{:.2}", choice.emphasis)].into_iter().chain(shares).collect::<Vec<_>>()
            };
            let header = ["emphasis", "asked", "category kept", "both", "other labels kept"];
            page += &table(&header, self.front.iter().map(row));
        }
        for m in &self.measured {
            let _ = write!(page, "<h2>{}</h2><div class=\"tables\">", escaped(&m.attribute));
            let labels = m.labels.iter().filter(|l| l.photos > 0);
            let label = |l: &LabelMeasurement| {
                vec![l.label.clone(), l.photos.to_string(), format!("{:.0} %", 100.0 * l.recall)]
            };
            page += &table(&["label", "photos", "told right"], labels.map(label));
            let confusion = |c: &Confusion| vec![c.label.clone(), c.told.clone(), c.photos.to_string()];
            page += &table(&["label", "told as", "photos"], m.confusions.iter().map(confusion));
            let worst = |w: &WrongPhoto| {
                vec![w.id.clone(), w.label.clone(), w.told.clone(), format!("{:.0} %", 100.0 * w.probability)]
            };
            page += &table(&["surest mistakes", "label", "told as", "how surely"], m.worst.iter().map(worst));
            page += "</div>";
        }
        page + "</html>"
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881}\
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em}\
pre{background:var(--soft);padding:1em;overflow:auto;font-size:13px}\
.tables{display:flex;flex-wrap:wrap;gap:0 3em;align-items:flex-start}\
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}\
td,th{padding:.2em .8em .2em 0;text-align:left;border-bottom:1px solid var(--line)}\
td:first-child{overflow-wrap:anywhere}";

/// A table of text; nothing where there are no rows.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let row = |cells: &[String], tag: &str| {
        let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
        format!("<tr>{}</tr>", cells.collect::<String>())
    };
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let body: String = rows.iter().map(|cells| row(cells, "td")).collect();
    format!("<table>{}{body}</table>", row(&header, "th"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
