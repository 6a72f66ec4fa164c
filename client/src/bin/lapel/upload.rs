//! Items on their way to the server, in streams, and what became of each.

use crate::output;
use crate::report::Report;
use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_client::{Client, v1};
use tonic_types::StatusExt as _;

/// Items a stream, and bytes of their images from which on it is sent.
const STREAM: usize = 256;
const STREAM_BYTES: usize = 32 << 20;
/// Reasons of a server that could not read a message of a stream: the item is to blame, and not the stream.
const UNREADABLE: [&str; 2] = ["MESSAGE_UNREADABLE", "MESSAGE_TOO_LARGE"];
/// Refusals that are shown; a report has them all.
const SHOWN_MAX: usize = 50;

/// An upload of items. What cannot be sent is refused like what the server refuses, and the rest goes on.
pub(crate) struct Upload<'a> {
    client: &'a mut Client,
    report: Option<Report>,
    batch: Vec<v1::UpsertItemsRequest>,
    /// Bytes of the batch's images.
    bytes: usize,
    results: Vec<v1::UpsertResult>,
    /// Items that an earlier run stored.
    skipped: usize,
    total: usize,
    bar: ProgressBar,
}

impl<'a> Upload<'a> {
    /// An upload of `total` items; those that `report` says are stored are to be left out.
    pub(crate) fn new(client: &'a mut Client, report: Option<Report>, total: usize) -> anyhow::Result<Self> {
        let style =
            ProgressStyle::with_template("importing {bar:32} {pos}/{len} {elapsed} (left {eta}) {msg}")?;
        let bar = ProgressBar::new(total as u64).with_style(style);
        let (batch, results) = (Vec::new(), Vec::new());
        Ok(Self { client, report, batch, bytes: 0, results, skipped: 0, total, bar })
    }

    /// Leaves an item out that an earlier run stored, and says whether it did.
    pub(crate) fn skip(&mut self, id: &str) -> bool {
        let is_stored = self.report.as_ref().is_some_and(|report| report.has_stored(id));
        if is_stored {
            self.skipped += 1;
        }
        is_stored
    }

    /// Adds an item, and sends a stream when there are enough.
    pub(crate) async fn add(&mut self, item: v1::UpsertItemsRequest) -> anyhow::Result<()> {
        self.bytes += item.image.len();
        self.batch.push(item);
        let is_full = self.batch.len() == STREAM || self.bytes >= STREAM_BYTES;
        if is_full { self.flush().await } else { Ok(()) }
    }

    /// Notes an item, or what should have become one, that cannot be sent.
    pub(crate) fn refuse(&mut self, id: String, why: String) -> anyhow::Result<()> {
        let error = v1::ItemError {
            code: tonic::Code::InvalidArgument.into(),
            message: why,
            reason: "NOT_SENT".to_owned(),
        };
        self.note(vec![v1::UpsertResult { id, replaced: false, error: Some(error) }])
    }

    /// Sends what was added.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        self.bytes = 0;
        let mut items = std::mem::take(&mut self.batch);
        while !items.is_empty() {
            let status = match self.client.upsert(items.clone()).await {
                Ok(results) => return self.note(results),
                Err(status) => status,
            };
            let Some(at) = unreadable(&status).filter(|at| *at < items.len()) else {
                return Err(status.into());
            };
            let rest = items.split_off(at + 1);
            let to_blame = items.pop();
            // Those before it are stored; sent again, each is told by itself.
            if !items.is_empty() {
                let results = self.client.upsert(items).await?;
                self.note(results)?;
            }
            if let Some(item) = to_blame {
                self.refuse(item.id, status.message().to_owned())?;
            }
            items = rest;
        }
        Ok(())
    }

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

    /// Says what became of the items, where `sent` is how the sending ended. An error where not every item is stored.
    pub(crate) fn finish(self, sent: anyhow::Result<()>, json: bool) -> anyhow::Result<()> {
        self.bar.finish();
        let Self { results, skipped, total, report, .. } = self;
        let answer = v1::UpsertItemsResponse { results };
        if json {
            output::json("UpsertItemsResponse", &answer)?;
        } else {
            tell(&answer.results, skipped)?;
        }
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

/// The place, from 0, of the item of a stream that the server could not read; `None` where something else is amiss.
fn unreadable(status: &tonic::Status) -> Option<usize> {
    let details = status.get_error_details();
    let info = details.error_info()?;
    let message: usize = info.metadata.get("message")?.parse().ok()?;
    let place = message.checked_sub(1)?;
    UNREADABLE.contains(&info.reason.as_str()).then_some(place)
}

fn tell(results: &[v1::UpsertResult], skipped: usize) -> anyhow::Result<()> {
    let refused: Vec<_> = results.iter().filter_map(|r| Some((&r.id, r.error.as_ref()?))).collect();
    if !refused.is_empty() {
        let mut table = output::table(&["refused", "why"]);
        for (id, error) in refused.iter().take(SHOWN_MAX) {
            table.add_row([*id, &error.message]);
        }
        output::say(table)?;
    }
    if refused.len() > SHOWN_MAX {
        output::say(format!("and {} more; --report FILE has them all", refused.len() - SHOWN_MAX))?;
    }
    let replaced = results.iter().filter(|r| r.replaced).count();
    let stored = results.len() - refused.len();
    let skipped = if skipped > 0 { format!("; {skipped} were stored before") } else { String::new() };
    output::say(format!(
        "imported {stored} items ({replaced} of them replaced), refused {}{skipped}",
        refused.len()
    ))
}
