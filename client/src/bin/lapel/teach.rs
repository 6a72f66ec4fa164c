//! `lapel teach`: a head from labelled items or photos, and which items to label next.

mod examples;
mod labelling;

use crate::shell::{file_name, word};
use crate::{asked, heads, output, worth};
use anyhow::{Context, bail};
use clap::Args;
use examples::Examples;
use indicatif::{ProgressBar, ProgressStyle};
use labelling::Sheets;
use lapel_client::{Client, v1};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

/// What a head is taught from. Suggestions are not; clap does not ask for an argument that another one rules out.
const TAUGHT: [&str; 5] = ["from_labels", "from_field", "csv", "photos", "words"];

#[derive(Args)]
pub(crate) struct Options {
    /// The head's name, and that of its attribute.
    name: String,
    #[command(flatten)]
    task: Task,
    /// Only items that pass this filter, as in `brand = acme and exists price`.
    #[arg(long = "where", value_name = "EXPRESSION", conflicts_with_all = ["csv", "photos"])]
    expression: Option<String>,
    /// Only this label; may be repeated, and gives their order. Default: every label there is, by name.
    #[arg(long = "label", value_name = "LABEL", conflicts_with_all = ["suggest", "words"])]
    labels: Vec<String>,
    /// It is the next version of a head that is there; that one serves until then, and stays for a roll-back.
    #[arg(long, conflicts_with = "suggest")]
    update: bool,
    /// It waits for `lapel heads promote` once its backfill is done, in place of serving at once.
    #[arg(long, conflicts_with = "suggest")]
    hold: bool,
    /// Let it serve although its examples do not show that it tells anything.
    #[arg(long, conflicts_with = "suggest")]
    insist: bool,
    /// Say only what it would be worth.
    #[arg(long, conflicts_with = "suggest")]
    dry_run: bool,
    /// The head's own words on what it was taught. Default: where the examples come from.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "suggest"
    )]
    description: String,
    /// Do not wait for the backfill.
    #[arg(long, conflicts_with = "suggest")]
    no_wait: bool,
    /// Suggest by this version of the head. Default: the one that serves, or else the newest.
    #[arg(long = "of", value_name = "VERSION", conflicts_with_all = TAUGHT)]
    version: Option<u32>,
    /// Leave an item out of what is suggested; may be repeated.
    #[arg(long = "exclude", value_name = "ID", conflicts_with_all = TAUGHT)]
    exclude: Vec<String>,
    /// Write what is suggested with its pictures to a web page, with what the head sees and a table to fill in.
    #[arg(long, value_name = "FILE", conflicts_with_all = TAUGHT)]
    html: Option<PathBuf>,
    /// Write what is suggested to a table with empty labels: to fill in, and for `lapel items update FILE --merge`.
    #[arg(long, value_name = "FILE", conflicts_with_all = TAUGHT)]
    csv_out: Option<PathBuf>,
}

/// What the head is taught from, or that items to label are wanted.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Task {
    /// Teach from items that carry labels of this attribute.
    #[arg(long, value_name = "ATTRIBUTE")]
    from_labels: Option<String>,
    /// Teach from the values of a keyword field.
    #[arg(long, value_name = "FIELD")]
    from_field: Option<String>,
    /// Teach from the items of a table with columns `id` and `label` (or the head's name). Rows without a label are left out.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Teach from photos (JPEG, PNG, WebP), a folder a label; they are not stored.
    #[arg(long, value_name = "FOLDER")]
    photos: Option<PathBuf>,
    /// Teach from words alone, where the backbone reads them (CLIP or SigLIP): labels with commas between, or one label with what
    /// a picture of it could be captioned, LABEL=CAPTION, an option each. Without a caption it is "a photo of a garment with
    /// LABEL NAME". A label may come again with another caption.
    #[arg(long, value_name = "LABEL,...|LABEL=CAPTION")]
    words: Vec<String>,
    /// Teach nothing, but say which items to label next.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    suggest: Option<u32>,
}

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    let Task { from_labels, from_field, csv, photos, words, suggest } = &options.task;
    let examples = match (from_labels, from_field, csv, photos, words.as_slice(), suggest) {
        (.., Some(count)) => return suggested(client, options, *count, json).await,
        (Some(attribute), ..) => Examples::of_labels(attribute),
        (_, Some(field), ..) => Examples::of_field(field),
        (_, _, Some(file), ..) => Examples::of_table(file, &options.name)?,
        (_, _, _, Some(folder), ..) => Examples::of_photos(folder, &options.name)?,
        (None, None, None, None, [], None) => bail!("say what to teach from"),
        (None, None, None, None, words, None) => Examples::of_words(words)?,
    };
    let Examples { source, photos } = examples;
    let request = v1::TeachRequest {
        name: options.name.clone(),
        source: Some(source),
        filter: asked::filter_of(client, options.expression.as_deref()).await?,
        labels: options.labels.clone(),
        update: options.update,
        hold: options.hold,
        insist: options.insist,
        dry_run: options.dry_run,
        description: options.description.clone(),
        request_id: String::new(),
    };
    examples::ensure_fits(&request)?;
    let mut taught = taught(client, request).await?;
    if let Some(head) = taught.head.as_mut().filter(|_| !options.no_wait) {
        match heads::followed(client, head.name.clone(), head.version).await {
            Ok(now) => *head = now,
            Err(error) => output::note(format!("its backfill goes on, but cannot be followed: {error:#}")),
        }
    }
    if json {
        output::json("TaughtHead", &taught)?;
    } else {
        tell(options, &taught, &photos)?;
    }
    match &taught.head {
        Some(head) if head.state() == v1::HeadState::Failed => bail!("the head failed: {}", head.failure),
        Some(_) | None => Ok(()),
    }
}

async fn suggested(client: &mut Client, options: &Options, count: u32, json: bool) -> anyhow::Result<()> {
    let request = v1::SuggestExamplesRequest {
        name: options.name.clone(),
        version: options.version.unwrap_or_default(),
        filter: asked::filter_of(client, options.expression.as_deref()).await?,
        count,
        exclude_ids: options.exclude.clone(),
    };
    let sheets = Sheets { html: options.html.as_deref(), csv: options.csv_out.as_deref() };
    labelling::run(client, request, &sheets, json).await
}

/// Has a head taught, and follows it.
async fn taught(client: &mut Client, request: v1::TeachRequest) -> anyhow::Result<v1::TaughtHead> {
    use v1::teach_response::Event;
    let mut events = client.heads.teach(request).await?.into_inner();
    let mut progress = Progress::new()?;
    let mut taught = None;
    while let Some(answer) = events.message().await? {
        match answer.event {
            Some(Event::Progress(told)) => progress.show(&told),
            Some(Event::Taught(head)) => taught = Some(head),
            None => {}
        }
    }
    progress.bar.finish_and_clear();
    taught.context("the server told nothing of what it taught")
}

/// How far teaching is: a bar, or a line a step where there is no terminal.
struct Progress {
    bar: ProgressBar,
    has_terminal: bool,
    /// The step that was told last.
    step: v1::TeachStep,
}

impl Progress {
    fn new() -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template("{prefix} {bar:32} {pos}/{len} {elapsed} {msg}")?;
        let bar = ProgressBar::new(0).with_style(style);
        let has_terminal = std::io::stderr().is_terminal();
        Ok(Self { bar, has_terminal, step: v1::TeachStep::Unspecified })
    }

    fn show(&mut self, told: &v1::TeachProgress) {
        let (step, total) = (told.step(), told.examples_total);
        let words = match step {
            v1::TeachStep::Unspecified => "teaching",
            v1::TeachStep::Looking => "looking at examples",
            v1::TeachStep::Fitting => "fitting",
            v1::TeachStep::Registering => "registering",
        };
        self.bar.set_length(total);
        self.bar.set_position(told.examples_done);
        self.bar.set_prefix(words);
        self.bar.set_message(format!("{} from the cache", told.examples_from_cache));
        if !self.has_terminal && step != self.step {
            output::note(format!("{words}: {} of {total} examples", told.examples_done));
        }
        self.step = step;
    }
}

/// What the head is worth, and what to type next. `photos` are the names of the examples that were sent along.
fn tell(options: &Options, taught: &v1::TaughtHead, photos: &[String]) -> anyhow::Result<()> {
    let v1::TaughtHead { head, worth, held_because, left_out } = taught;
    if let Some(head) = head {
        let state = heads::state(head);
        output::say(format!("{} version {} is {state}: {}", head.name, head.version, head.description))?;
    }
    let name = &options.name;
    if let Some(worth) = worth {
        output::say(worth::figures(&[(name.clone(), worth)]))?;
        output::say(worth::labels(worth))?;
        if !worth.doubtful.is_empty() {
            output::say(worth::doubtful(worth, photos))?;
        }
        if !worth.has_signal {
            output::say(worth::NO_SIGNAL)?;
        }
    }
    if !left_out.is_empty() {
        output::say(format!("left out: {}", counted(left_out)))?;
    }
    let state = head.as_ref().map(v1::Head::state);
    if options.update && options.hold && state == Some(v1::HeadState::Active) {
        output::say(
            "its examples are those that it was taught from: it is the same head, and no version was added",
        )?;
    }
    if !held_because.is_empty() && state != Some(v1::HeadState::Active) {
        output::say(format!("it does not serve: {held_because}"))?;
    }
    let first =
        worth.as_ref().and_then(|worth| worth.labels.first()).map_or("LABEL", |one| one.label.as_str());
    next(name, head.as_ref(), first).iter().try_for_each(output::say)
}

/// Counts by reason on one line.
fn counted(reasons: &BTreeMap<String, u64>) -> String {
    reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}

/// What to type next.
fn next(name: &str, head: Option<&v1::Head>, label: &str) -> Vec<String> {
    let Some(head) = head else {
        return vec!["nothing was registered; without --dry-run it is".to_owned()];
    };
    let version = head.version;
    let file = file_name(name);
    let [page, table] = [format!("{file}.html"), format!("{file}-next.csv")].map(|file| word(&file));
    let (set, name) = (word(&format!("{name}={label}")), word(name));
    let suggest = format!("lapel teach {name} --suggest 20 --html {page} --csv-out {table}");
    match head.state() {
        v1::HeadState::Active => {
            vec![format!("next: lapel search PHOTO --set {set}"), format!("      {suggest}")]
        }
        v1::HeadState::Standby => {
            let promote = format!("lapel heads promote {name} --of {version}");
            // A first version has none beside it.
            match version {
                0 | 1 => vec![format!("next: {suggest}"), format!("      {promote}")],
                _ => {
                    vec![
                        format!("next: lapel heads compare {name} {version}"),
                        format!("      {promote}"),
                        format!("      {suggest}"),
                    ]
                }
            }
        }
        v1::HeadState::Registering
        | v1::HeadState::Validating
        | v1::HeadState::Warming
        | v1::HeadState::Backfilling => vec![format!("next: lapel heads watch {name} --of {version}")],
        v1::HeadState::Unspecified
        | v1::HeadState::Draining
        | v1::HeadState::Retired
        | v1::HeadState::Failed => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next_follows_from_the_heads_state() {
        let told = |state: v1::HeadState, version| {
            let head = v1::Head { state: state.into(), version, ..v1::Head::default() };
            next("layer", Some(&head), "over").join("\n")
        };
        assert!(told(v1::HeadState::Active, 1).contains("--set layer=over"));
        assert!(told(v1::HeadState::Standby, 2).contains("lapel heads compare layer 2"));
        assert!(!told(v1::HeadState::Standby, 1).contains("compare"));
        assert_eq!(told(v1::HeadState::Backfilling, 3), "next: lapel heads watch layer --of 3");
        assert!(told(v1::HeadState::Failed, 1).is_empty());
        assert!(next("layer", None, "over").join("").contains("--dry-run"));
        let active = v1::Head { state: v1::HeadState::Active.into(), version: 1, ..v1::Head::default() };
        let told = next("a/b c", Some(&active), "over").join("\n");
        assert!(
            told.contains("'a/b c' --suggest 20 --html 'a_b c.html' --csv-out 'a_b c-next.csv'"),
            "{told}"
        );
    }
}
