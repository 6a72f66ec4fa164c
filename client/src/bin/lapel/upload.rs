//! Items on their way to the server, in streams that are acknowledged as they go, and what became of each.

use crate::interruption::Interruption;
use crate::output;
use crate::report::Report;
use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use lapel_client::{Client, v1};
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// Items a stream: many enough that its beginning and its end do not count.
const STREAM: usize = 4096;
/// Streams in a row of which nothing was acknowledged, before an upload is given up.
const TRIES: u32 = 7;
/// Before the first retry; each one after it waits twice as long, half a minute in all.
const PAUSE: Duration = Duration::from_millis(500);
/// Refusals that are shown; a report has them all.
const SHOWN_MAX: usize = 50;

/// An item to send. Its images are read when its turn comes, and again where its stream was cut off.
pub(crate) struct Draft {
    /// All of it but its images.
    pub(crate) item: v1::UpsertItemsRequest,
    /// The first one first.
    pub(crate) images: Vec<PathBuf>,
}

impl Draft {
    fn message(&self) -> anyhow::Result<v1::UpsertItemsStreamRequest> {
        let mut item = self.item.clone();
        let mut images = Vec::with_capacity(self.images.len());
        for path in &self.images {
            // To read a named pipe would wait for whoever writes to it.
            ensure!(fs_err::metadata(path)?.is_file(), "{} is no regular file", path.display());
            let image = fs_err::read(path)?;
            // A message without a picture would mean an item without one.
            ensure!(!image.is_empty(), "the file {} is empty", path.display());
            images.push(image);
        }
        let mut images = images.into_iter();
        if let Some(first) = images.next() {
            (item.image, item.more_images) = (first, images.collect());
        }
        Ok(v1::UpsertItemsStreamRequest { item: Some(item) })
    }
}

/// What an upload is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Items are added or replaced.
    Import,
    /// Parts of items that are there are written.
    Update,
}

/// An upload of items, over a connection that works. What cannot be sent is refused like what the server refuses, and the
/// rest goes on.
pub(crate) struct Upload<'a> {
    client: &'a mut Client,
    drafts: Vec<Draft>,
    outcome: Outcome,
}

/// What has become of the items so far.
struct Outcome {
    purpose: Purpose,
    report: Option<Report>,
    results: Vec<v1::UpsertResult>,
    /// Items that an earlier run stored.
    skipped: usize,
    total: usize,
    bar: ProgressBar,
}

impl<'a> Upload<'a> {
    /// An upload of `total` items; those that `report` says are stored are to be left out.
    pub(crate) fn new(
        client: &'a mut Client,
        purpose: Purpose,
        report: Option<Report>,
        total: usize,
    ) -> anyhow::Result<Self> {
        let template = match purpose {
            Purpose::Import => "importing {bar:32} {pos}/{len} {elapsed} (left {eta}) {msg}",
            Purpose::Update => "updating {bar:32} {pos}/{len} {elapsed} (left {eta}) {msg}",
        };
        let style = ProgressStyle::with_template(template)?;
        let bar = ProgressBar::new(total as u64).with_style(style);
        let outcome = Outcome { purpose, report, results: Vec::new(), skipped: 0, total, bar };
        Ok(Self { client, drafts: Vec::new(), outcome })
    }

    /// Leaves an item out that an earlier run stored, and says whether it did.
    pub(crate) fn skip(&mut self, id: &str) -> bool {
        let is_stored = self.outcome.report.as_ref().is_some_and(|report| report.has_stored(id));
        if is_stored {
            self.outcome.skipped += 1;
        }
        is_stored
    }

    /// Adds an item, and sends a stream when there are enough.
    pub(crate) async fn add(&mut self, draft: Draft) -> anyhow::Result<()> {
        self.drafts.push(draft);
        if self.drafts.len() == STREAM { self.flush().await } else { Ok(()) }
    }

    /// Notes an item, or what should have become one, that cannot be sent.
    pub(crate) fn refuse(&mut self, id: String, why: String) -> anyhow::Result<()> {
        self.outcome.note(vec![refused(id, why)])
    }

    /// Sends what was added. A stream that is cut off is followed by another, behind the last item that was acknowledged.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        let mut tries = 0;
        while !self.drafts.is_empty() {
            let before = self.drafts.len();
            let cut = self.stream().await?;
            let Some(status) = cut else { continue };
            let (cut, has_progress) = (Interruption::of(&status), self.drafts.len() < before);
            tries = if has_progress { 0 } else { tries + 1 };
            let may_pass = has_progress || cut.passes();
            if !may_pass || tries == TRIES {
                return Err(cut.into_error(status));
            }
            // A server that ends a stream at its bound takes the next one at once.
            if !has_progress || cut.needs_pause() {
                tokio::time::sleep(pause(tries)).await;
            }
        }
        Ok(())
    }

    /// Sends a stream and takes what was acknowledged, or refused here, out of what is to be sent. The status is that of a
    /// stream that was cut off.
    async fn stream(&mut self) -> anyhow::Result<Option<Status>> {
        let on_way = OnWay { sent: Vec::new(), settled: vec![false; self.drafts.len()] };
        let under_way = RefCell::new((on_way, &mut self.outcome));
        let mut ended = {
            let (sender, receiver) = mpsc::channel(1);
            let sending = send(&self.drafts, sender, &under_way);
            let receiving = receive(self.client, receiver, &self.drafts, &under_way);
            tokio::pin!(receiving);
            tokio::select! {
                biased;
                ended = &mut receiving => ended?,
                sent = sending => {
                    sent?;
                    receiving.await?
                }
            }
        };
        let mut settled = under_way.into_inner().0.settled.into_iter();
        self.drafts.retain(|_| !settled.next().unwrap_or_default());
        if ended.is_none() && !self.drafts.is_empty() {
            ended = Some(Status::unavailable("the server ended an upload before its end"));
        }
        Ok(ended)
    }

    /// Says what became of the items, where `sent` is how the sending ended. An error where not every item is stored.
    pub(crate) fn finish(self, sent: anyhow::Result<()>, json: bool) -> anyhow::Result<()> {
        let Outcome { purpose, skipped, .. } = self.outcome;
        self.finish_with(sent, |answer| match json {
            true => output::json("UpsertItemsResponse", answer),
            false => tell(&answer.results, purpose, skipped),
        })
    }

    /// The same, where `print` says what became of the items.
    pub(crate) fn finish_with(
        self,
        sent: anyhow::Result<()>,
        print: impl FnOnce(&v1::UpsertItemsResponse) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.outcome.finish(sent, print)
    }
}

/// The pause before a retry, after so many tries in a row without an acknowledgement.
fn pause(tries: u32) -> Duration {
    PAUSE * 2u32.pow(tries.saturating_sub(1))
}

/// What both directions of a stream change.
type UnderWay<'a> = RefCell<(OnWay, &'a mut Outcome)>;

/// Sends the messages of drafts, and the end of the stream. A draft that cannot be read is refused.
async fn send(
    drafts: &[Draft],
    sender: mpsc::Sender<v1::UpsertItemsStreamRequest>,
    under_way: &UnderWay<'_>,
) -> anyhow::Result<()> {
    for (at, draft) in drafts.iter().enumerate() {
        match draft.message() {
            Ok(message) => {
                under_way.borrow_mut().0.sent.push(at);
                if sender.send(message).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                let (on_way, outcome) = &mut *under_way.borrow_mut();
                on_way.settled[at] = true;
                outcome.note(vec![refused(draft.item.id.clone(), format!("{error:#}"))])?;
            }
        }
    }
    Ok(())
}

/// Takes the acknowledgements of a stream, until its end or until it is cut off.
async fn receive(
    client: &mut Client,
    messages: mpsc::Receiver<v1::UpsertItemsStreamRequest>,
    drafts: &[Draft],
    under_way: &UnderWay<'_>,
) -> anyhow::Result<Option<Status>> {
    let begun = client.catalog.upsert_items_stream(ReceiverStream::new(messages)).await;
    let mut acknowledgements = match begun {
        Ok(begun) => begun.into_inner(),
        Err(status) => return Ok(Some(status)),
    };
    loop {
        match acknowledgements.message().await {
            Ok(Some(told)) => {
                let (on_way, outcome) = &mut *under_way.borrow_mut();
                outcome.note(on_way.settle(told, drafts)?)?;
            }
            Ok(None) => return Ok(None),
            Err(status) => return Ok(Some(status)),
        }
    }
}

/// What of a stream is on its way.
struct OnWay {
    /// The places, among the drafts, of the messages that were sent.
    sent: Vec<usize>,
    /// For each draft, whether it is known what became of it.
    settled: Vec<bool>,
}

impl OnWay {
    /// Takes an acknowledgement; gives its results with the ids of their drafts.
    fn settle(
        &mut self,
        told: v1::UpsertItemsStreamResponse,
        drafts: &[Draft],
    ) -> anyhow::Result<Vec<v1::UpsertResult>> {
        let mut results = told.results;
        for result in &mut results {
            let message = usize::try_from(result.message)?;
            let at = message.checked_sub(1).and_then(|place| self.sent.get(place));
            let at = *at.context("the server acknowledges what was not sent")?;
            self.settled[at] = true;
            // Of a message that could not be read the server knows none.
            result.id.clone_from(&drafts[at].item.id);
        }
        Ok(results)
    }
}

/// The result of an item that is not sent.
fn refused(id: String, why: String) -> v1::UpsertResult {
    let error =
        v1::ItemError { code: Code::InvalidArgument.into(), message: why, reason: "NOT_SENT".to_owned() };
    v1::UpsertResult { id, error: Some(error), ..v1::UpsertResult::default() }
}

impl Outcome {
    fn note(&mut self, results: Vec<v1::UpsertResult>) -> anyhow::Result<()> {
        if let Some(report) = &mut self.report {
            report.add(&results)?;
        }
        self.results.extend(results);
        self.bar.set_position((self.skipped + self.results.len()) as u64);
        self.bar.set_message(format!(
            "{:.0} items/s",
            self.results.len() as f64 / self.bar.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    fn finish(
        self,
        sent: anyhow::Result<()>,
        print: impl FnOnce(&v1::UpsertItemsResponse) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.bar.finish();
        let Self { results, skipped, total, report, .. } = self;
        let answer = v1::UpsertItemsResponse { results };
        print(&answer)?;
        if sent.is_err() {
            let unsent = total.saturating_sub(skipped + answer.results.len());
            let again = if report.is_some() { "the same command goes on with them" } else { "run it again" };
            output::note(format!("{unsent} of {total} items were not sent; {again}"));
        }
        sent?;
        let refused = answer.results.iter().filter(|result| result.error.is_some()).count();
        if refused > 0 {
            bail!("{refused} of {total} items were refused");
        }
        Ok(())
    }
}

fn tell(results: &[v1::UpsertResult], purpose: Purpose, skipped: usize) -> anyhow::Result<()> {
    let refused: Vec<_> = results.iter().filter_map(|r| Some((&r.id, r.error.as_ref()?))).collect();
    if !refused.is_empty() {
        let mut table = output::table(&["refused", "why"]);
        for (id, error) in refused.iter().take(SHOWN_MAX) {
            table.add_row([*id, &error.message]);
        }
        output::say(table)?;
    }
    if refused.len() > SHOWN_MAX {
        let more = refused.len() - SHOWN_MAX;
        let all = match purpose {
            Purpose::Import => "--report FILE",
            Purpose::Update => "--json",
        };
        output::say(format!("and {more} more; {all} has them all"))?;
    }
    let (stored, refused) = (results.len() - refused.len(), refused.len());
    if purpose == Purpose::Update {
        return output::say(format!("updated {stored} items, refused {refused}"));
    }
    let replaced = results.iter().filter(|r| r.replaced).count();
    let skipped = if skipped > 0 { format!("; {skipped} were stored before") } else { String::new() };
    output::say(format!("imported {stored} items ({replaced} of them replaced), refused {refused}{skipped}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(id: &str) -> Draft {
        Draft { item: v1::UpsertItemsRequest { id: id.into(), ..Default::default() }, images: Vec::new() }
    }

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        let folder = tempfile::tempdir().expect("folder");
        let refused = Draft { images: vec![folder.path().to_owned()], ..draft("a") }.message();
        assert!(refused.expect_err("refused").to_string().contains("is no regular file"));
    }

    #[test]
    fn the_first_image_is_the_items_and_the_others_follow() {
        let folder = tempfile::tempdir().expect("folder");
        let images = ["front", "back", "worn"].map(|name| {
            let path = folder.path().join(name);
            std::fs::write(&path, name).expect("written");
            path
        });
        let message = Draft { images: images.to_vec(), ..draft("a") }.message().expect("read");
        let item = message.item.expect("an item");
        assert_eq!(
            (item.image, item.more_images),
            (b"front".to_vec(), vec![b"back".to_vec(), b"worn".to_vec()])
        );
    }

    #[test]
    fn retries_take_half_a_minute_and_the_first_one_waits_too() {
        assert_eq!(pause(0), PAUSE, "after a stream that got somewhere");
        let all: Duration = (1..TRIES).map(pause).sum();
        assert_eq!(all, Duration::from_millis(31_500));
    }

    #[test]
    fn an_acknowledgement_is_of_the_messages_that_were_sent() {
        let drafts = ["a", "not sent", "b", "c"].map(draft);
        let mut on_way = OnWay { sent: vec![0, 2, 3], settled: vec![false, true, false, false] };
        let told = |message, id: &str| v1::UpsertResult { id: id.into(), message, ..Default::default() };
        let acknowledged = |results| v1::UpsertItemsStreamResponse { results, ..Default::default() };
        let results = on_way.settle(acknowledged(vec![told(1, "a"), told(2, "")]), &drafts).expect("sent");
        assert_eq!(results.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(on_way.settled, [true, true, true, false], "the last one is to be sent again");
        for never in [0, 4] {
            assert!(on_way.settle(acknowledged(vec![told(never, "x")]), &drafts).is_err());
        }
    }
}
