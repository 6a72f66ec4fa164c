//! Items to label next: in a table, in a file to fill in, and on a page with their pictures.

use crate::cells::{ensure_column, quoted};
use crate::html::{STYLE, escape, item_picture};
use crate::output;
use crate::shell::{file_name, word};
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
        ensure_column(&name)?;
    }
    let version = request.version;
    let answer = client.heads.suggest_examples(request).await?.into_inner();
    let head = v1::GetHeadRequest { name: name.clone(), version };
    let head = client.heads.get_head(head).await?.into_inner().head;
    let next = Next { name: &name, is_of_labels: head.is_some_and(|head| is_of_labels(&head)) };
    if let Some(file) = sheets.html {
        fs_err::write(file, page(client, &next, &answer.examples).await?)?;
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
    let column = quoted(&name);
    output::say(format!("next: fill in the column {column} of {file} (id,{column}), then"))?;
    next.commands(&file).iter().try_for_each(|command| output::say(format!("      {command}")))?;
    next.warning().map_or(Ok(()), output::say)
}

/// What to do once labels are filled in.
struct Next<'a> {
    /// The head's name.
    name: &'a str,
    /// Whether all that it was taught from is stored.
    is_of_labels: bool,
}

impl Next<'_> {
    /// The commands; `file` is the table, as a shell reads it.
    fn commands(&self, file: &str) -> [String; 2] {
        let name = word(self.name);
        [
            format!("lapel items update {file} --merge"),
            format!("lapel teach {name} --from-labels {name} --update"),
        ]
    }

    /// What the commands would lose.
    fn warning(&self) -> Option<String> {
        let (name, column) = (word(self.name), quoted(self.name));
        (!self.is_of_labels).then(|| {
            format!(
                "They teach from stored labels alone. Examples of a table are none: store its labels first, in a column named \
                 {column} (lapel items update TABLE --merge), or add the new rows to the table and give it again (lapel teach {name} \
                 --csv TABLE --update). Photos of a folder are none either: import them as items with these labels first."
            )
        })
    }
}

/// Whether a head was taught from the labels of its own attribute, by what servers say of such heads. Of one that says
/// something else it is not known.
fn is_of_labels(head: &v1::Head) -> bool {
    head.description == format!("taught from items by their labels of {:?}", head.name)
}

fn seen(example: &v1::SuggestedExample) -> String {
    format!("{} {:.0} %", example.label, 100.0 * example.probability)
}

/// A table to fill in. Its labels are empty: what the head sees is what is in doubt. The column has the attribute's name, so
/// that `lapel items update` and `lapel teach --csv` both read it.
fn rows(name: &str, examples: &[v1::SuggestedExample]) -> String {
    let row = |example: &v1::SuggestedExample| format!("{},\n", quoted(&example.item_id));
    let rows: String = examples.iter().map(row).collect();
    format!("id,{}\n{rows}", quoted(name))
}

/// The page, with the pictures in it.
async fn page(
    client: &mut Client,
    next: &Next<'_>,
    examples: &[v1::SuggestedExample],
) -> anyhow::Result<String> {
    let (rows, title) = (rows(next.name, examples), escape(next.name));
    let mut html = String::new();
    writeln!(html, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Label {title}</title>")?;
    writeln!(html, "<meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>")?;
    writeln!(html, "<h1>What is their {title}?</h1>")?;
    let (download, height) = (STANDARD.encode(&rows), examples.len() + 2);
    let file = escape(&file_name(next.name));
    writeln!(
        html,
        "<p>Write the labels behind the commas, <a download=\"{file}.csv\" href=\"data:text/csv;base64,{download}\">in \
         this table</a> or here, and save it as a file; a row without a label is passed over.</p>"
    )?;
    writeln!(html, "<textarea cols=\"60\" rows=\"{height}\">{}</textarea>", escape(&rows))?;
    write_next(&mut html, next)?;
    writeln!(html, "<div class=\"grid\">")?;
    for (rank, example) in (1..).zip(examples) {
        let picture = item_picture(client, &example.item_id, 0).await;
        write_card(&mut html, rank, example, picture)?;
    }
    writeln!(html, "</div></html>")?;
    Ok(html)
}

fn write_next(html: &mut String, next: &Next<'_>) -> std::fmt::Result {
    let [update, teach] = next.commands("FILE").map(|command| escape(&command));
    writeln!(html, "<p>Then: <code>{update}</code> and <code>{teach}</code></p>")?;
    next.warning().map_or(Ok(()), |warning| writeln!(html, "<p>{}</p>", escape(&warning)))
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

    #[test]
    fn what_comes_next_fits_the_source_and_is_quoted_for_the_shell() {
        let html = |name: &str, is_of_labels| {
            let mut html = String::new();
            write_next(&mut html, &Next { name, is_of_labels }).expect("written");
            html
        };
        let told = html("<b>x</b>\"", true);
        let word = "'&lt;b&gt;x&lt;/b&gt;&quot;'";
        assert!(told.contains(&format!("<code>lapel teach {word} --from-labels {word} --update")), "{told}");
        assert!(!told.contains("TABLE"), "{told}");
        assert!(html("a b", false).contains("lapel teach 'a b' --csv TABLE --update"));
        let head = |description: &str| v1::Head {
            name: "layer".into(),
            description: description.into(),
            ..v1::Head::default()
        };
        assert!(is_of_labels(&head("taught from items by their labels of \"layer\"")));
        assert!(!is_of_labels(&head("taught from 16 examples that were named")));
    }
}
