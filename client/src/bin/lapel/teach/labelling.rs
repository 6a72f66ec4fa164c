//! Items to label next: in a table, in a file to fill in, and on a page with their pictures.

use super::word;
use crate::html::{STYLE, escape, item_picture};
use crate::output;
use anyhow::ensure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lapel_client::{Client, v1};
use std::fmt::Write;
use std::path::Path;

/// Where what is suggested is written, beside the terminal.
pub(super) struct Sheets<'a> {
    pub(super) html: Option<&'a Path>,
    pub(super) csv: Option<&'a Path>,
}

pub(super) async fn run(
    client: &mut Client,
    request: v1::SuggestExamplesRequest,
    sheets: &Sheets<'_>,
    json: bool,
) -> anyhow::Result<()> {
    let name = request.name.clone();
    if let Some(file) = sheets.csv {
        // Labels that somebody wrote are not to be lost.
        ensure!(!file.exists(), "{} is there, perhaps with labels in it; name another file", file.display());
        ensure!(sheets.html != sheets.csv, "the page and the table cannot be one file: {}", file.display());
        let is_no_attribute = |no: &&str| no.eq_ignore_ascii_case(&name);
        let is_read = !lapel_wardrobe::NO_ATTRIBUTES.iter().any(is_no_attribute);
        ensure!(
            is_read,
            "a table cannot have a column {name:?} of labels, which means something else in tables"
        );
    }
    let answer = client.heads.suggest_examples(request).await?.into_inner();
    if let Some(file) = sheets.html {
        fs_err::write(file, page(client, &name, &answer.examples).await?)?;
    }
    if let Some(file) = sheets.csv {
        fs_err::write(file, rows(&name, &answer.examples))?;
    }
    if json {
        return output::json("SuggestExamplesResponse", &answer);
    }
    let mut table = output::table(&["", "item", "what the head sees", "or else"]);
    for (rank, example) in (1..).zip(&answer.examples) {
        table.add_row([rank.to_string(), example.item_id.clone(), seen(example), example.other.clone()]);
    }
    output::say(table)?;
    output::say(format!("of {} items that were looked at", answer.items_considered))?;
    for file in [sheets.html, sheets.csv].into_iter().flatten() {
        output::say(format!("wrote {}", file.display()))?;
    }
    let file = sheets.csv.map_or_else(|| "FILE".to_owned(), |file| word(&file.display().to_string()));
    let name = word(&name);
    output::say(format!(
        "next: fill in the column {name} of {file} (id,{name}), then\n      lapel items update {file} --merge\n      \
         lapel teach {name} --from-labels {name} --update"
    ))
}

fn seen(example: &v1::SuggestedExample) -> String {
    format!("{} {:.0} %", example.label, 100.0 * example.probability)
}

/// A table to fill in. Its labels are empty: what the head sees is what is in doubt. The column has the attribute's name, so
/// that `lapel items update` and `lapel teach --csv` both read it.
fn rows(name: &str, examples: &[v1::SuggestedExample]) -> String {
    let row = |example: &v1::SuggestedExample| format!("{},\n", cell(&example.item_id));
    let rows: String = examples.iter().map(row).collect();
    format!("id,{}\n{rows}", cell(name))
}

/// A cell of a table, in quotes where it needs them.
fn cell(text: &str) -> String {
    let is_plain = !text.contains([',', ';', '\t', '"', '\n', '\r']) && text.trim() == text;
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// The page, with the pictures in it.
async fn page(client: &mut Client, name: &str, examples: &[v1::SuggestedExample]) -> anyhow::Result<String> {
    let (rows, title) = (rows(name, examples), escape(name));
    let mut html = String::new();
    writeln!(html, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Label {title}</title>")?;
    writeln!(html, "<meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>")?;
    writeln!(html, "<h1>What is their {title}?</h1>")?;
    let (download, height) = (STANDARD.encode(&rows), examples.len() + 2);
    writeln!(
        html,
        "<p>Write the labels behind the commas, <a download=\"{title}.csv\" href=\"data:text/csv;base64,{download}\">in \
         this table</a> or here, and save it as a file; a row without a label is passed over.</p>"
    )?;
    writeln!(html, "<textarea cols=\"60\" rows=\"{height}\">{}</textarea>", escape(&rows))?;
    writeln!(
        html,
        "<p>Then: <code>lapel items update FILE --merge</code> and <code>lapel teach {title} --from-labels {title} \
         --update</code></p>"
    )?;
    writeln!(html, "<div class=\"grid\">")?;
    for (rank, example) in (1..).zip(examples) {
        let picture = item_picture(client, &example.item_id, 0).await;
        write_card(&mut html, rank, example, picture)?;
    }
    writeln!(html, "</div></html>")?;
    Ok(html)
}

fn write_card(
    html: &mut String,
    rank: usize,
    example: &v1::SuggestedExample,
    picture: Option<String>,
) -> std::fmt::Result {
    let id = escape(&example.item_id);
    writeln!(html, "<div class=\"card\">")?;
    match picture {
        Some(url) => writeln!(html, "<img src=\"{url}\" alt=\"{id}\">")?,
        None => writeln!(html, "<div class=\"none\">no picture stored</div>")?,
    }
    writeln!(html, "<div class=\"id\">{rank}. {id}</div><div>looks like {}</div>", escape(&seen(example)))?;
    if !example.other.is_empty() {
        writeln!(html, "<div>or else {}</div>", escape(&example.other))?;
    }
    writeln!(html, "</div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(id: &str) -> v1::SuggestedExample {
        v1::SuggestedExample {
            item_id: id.into(),
            label: "<i>".into(),
            probability: 0.512,
            other: "<u>".into(),
        }
    }

    #[test]
    fn a_table_to_fill_in_is_one_that_can_be_read() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("next.csv");
        let ids = ["a", "b,c", "d \"e\"", "f;g"];
        std::fs::write(&file, rows("layer", &ids.map(example))).expect("written");
        let table = lapel_wardrobe::read_items(&file).expect("read");
        assert_eq!(table.attributes, ["layer"]);
        let read: Vec<_> = table.rows.into_iter().map(|row| row.expect("sound")).collect();
        assert_eq!(read.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ids);
        assert!(read.iter().all(|row| row.labels.is_empty()));
    }

    #[test]
    fn a_card_says_what_the_head_sees_and_labels_cannot_break_out() {
        let mut html = String::new();
        write_card(&mut html, 1, &example("<b>"), None).expect("written");
        assert!(html.contains("1. &lt;b&gt;") && html.contains("looks like &lt;i&gt; 51 %"), "{html}");
        assert!(html.contains("or else &lt;u&gt;"), "{html}");
        for tag in ["<b>", "<i>", "<u>"] {
            assert!(!html.contains(tag), "{html}");
        }
    }
}
