//! What a training run ends with: a table, JSON, a page with the worst pictures, and what to type next.

use indicatif::ProgressBar;
use lapel_heads::Bundle;
use lapel_train::probes::{CATEGORY, Choice, EditTable, Measurement, Recomposed, Shares};
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
    pub(crate) fn finish(&self, out: &Path, bundles: &[Bundle]) -> anyhow::Result<()> {
        self.print()?;
        self.write(out)?;
        let files: Vec<String> =
            bundles.iter().map(|b| format!("{}/{}.safetensors", out.display(), b.manifest.name)).collect();
        let mut to = std::io::stdout().lock();
        writeln!(to, "written: {}", files.join(" "))?;
        writeln!(to, "next: lapel heads register {}", files.first().map_or("", String::as_str))?;
        Ok(())
    }

    pub(crate) fn print(&self) -> anyhow::Result<()> {
        Ok(write!(std::io::stdout().lock(), "{}", self.text())?)
    }

    /// Writes `train.json` and `train.html`.
    pub(crate) fn write(&self, out: &Path) -> anyhow::Result<()> {
        fs_err::write(out.join("train.json"), serde_json::to_string_pretty(self)?)?;
        fs_err::write(out.join("train.html"), self.page())?;
        writeln!(std::io::stdout().lock(), "\nreport: {0}/train.html, {0}/train.json", out.display())?;
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

    fn page(&self) -> String {
        let mut page = String::from(
            "<!doctype html><meta charset=utf-8><title>Training</title><style>body{font:15px system-ui;margin:2em;\
             max-width:70em}table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:right;\
             border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}pre{background:#f6f6f6;\
             padding:1em;overflow:auto}</style><h1>Training</h1><pre>",
        );
        page += &escaped(&self.text());
        page += "</pre>";
        if !self.front.is_empty() {
            page += "<h2>Asked against kept</h2><p>Weights by how much the asked label counts in their choice, on \
                     held-out training photos.</p><table><tr><th>emphasis<th>asked<th>category kept<th>both<th>other \
                     labels kept</tr>";
            for choice in &self.front {
                let Shares { asked, category, both, others, .. } = choice.reached;
                let _ = write!(
                    page,
                    "<tr><td>{:.2}<td>{asked:.3}<td>{category:.3}<td>{both:.3}<td>{others:.3}</tr>",
                    choice.emphasis
                );
            }
            page += "</table>";
        }
        for m in &self.measured {
            let _ =
                write!(page, "<h2>{}</h2><table><tr><th>label<th>photos<th>told</tr>", escaped(&m.attribute));
            for l in &m.labels {
                let _ = write!(
                    page,
                    "<tr><td>{}<td>{}<td>{:.0} %</tr>",
                    escaped(&l.label),
                    l.photos,
                    100.0 * l.recall
                );
            }
            page += "</table><table><tr><th>label<th>told as<th>photos</tr>";
            for c in &m.confusions {
                let _ = write!(
                    page,
                    "<tr><td>{}<td>{}<td>{}</tr>",
                    escaped(&c.label),
                    escaped(&c.told),
                    c.photos
                );
            }
            page += "</table><table><tr><th>surest mistakes<th>label<th>told as<th>how surely</tr>";
            for w in &m.worst {
                let _ = write!(
                    page,
                    "<tr><td>{}<td>{}<td>{}<td>{:.2}</tr>",
                    escaped(&w.id),
                    escaped(&w.label),
                    escaped(&w.told),
                    w.probability
                );
            }
            page += "</table>";
        }
        page
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
