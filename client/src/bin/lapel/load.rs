//! `lapel load`: how many requests a second a server answers, and how fast.

mod drive;
mod mix;
mod pace;
mod page;
mod step;

use crate::output;
use anyhow::{Context, bail};
use clap::Args;
use comfy_table::Table;
use drive::Drive;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_client::{Access, Client};
use mix::{Material, Mix};
use pace::Pace;
use serde_json::json;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use step::Step;

/// A ramp's offered rates, requests a second.
#[derive(Clone, Debug)]
struct Ramp {
    from: f64,
    to: f64,
    steps: usize,
}

impl FromStr for Ramp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("{text:?} is no ramp; write FROM:TO:STEPS, e.g. 50:800:8");
        let parts: Vec<f64> =
            text.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| wanted())?;
        match parts[..] {
            [from, to, steps] if from > 0.0 && to > from && (2.0..=100.0).contains(&steps) => {
                Ok(Self { from, to, steps: steps as usize })
            }
            _ => Err(wanted()),
        }
    }
}

#[derive(Args)]
pub(crate) struct Options {
    /// Open loop: so many requests a second, however long answers take. Latency counts from when a request was due.
    #[arg(long, conflicts_with_all = ["in_flight", "ramp"])]
    rate: Option<f64>,
    /// Closed loop: so many requests under way, each followed by the next.
    #[arg(long, conflicts_with = "ramp")]
    in_flight: Option<usize>,
    /// Open loops at rising rates, FROM:TO:STEPS, to find where the server has enough.
    #[arg(long)]
    ramp: Option<Ramp>,
    /// Seconds of a measurement.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds before it that do not count.
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// Kinds of requests with their shares: describe, image (search by photo), item, manipulated, personalised, ingest.
    #[arg(long, default_value = "item=70,image=15,manipulated=10,personalised=5")]
    mix: Mix,
    /// Connections to share the requests among.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=256))]
    connections: u64,
    /// Photos to ask with (JPEG, PNG, WebP); photos of the catalogue where none are given.
    #[arg(long)]
    photos: Option<PathBuf>,
    /// Results of a search.
    #[arg(short, default_value_t = 10)]
    k: u32,
    /// Deadline of a request, milliseconds.
    #[arg(long, default_value_t = 10_000)]
    deadline_ms: u64,
    /// What counts as fast enough when the knee of a ramp is looked for: the 99th percentile, milliseconds.
    #[arg(long, default_value_t = 100.0)]
    p99_ms: f64,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Write a page with curves.
    #[arg(long)]
    html: Option<PathBuf>,
}

pub(crate) async fn run(
    server: &str,
    access: &Access,
    options: &Options,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for _ in 0..options.connections {
        clients.push(
            Client::connect_with(server, access).await.with_context(|| format!("no server at {server}"))?,
        );
    }
    let material =
        Material::gather(&mut clients[0], &options.mix, options.photos.as_deref(), options.k).await?;
    let paces = paces(options)?;
    let total = paces.len() as u64 * (options.seconds + options.warm_up);
    let style = ProgressStyle::with_template("{msg} {bar:32} {elapsed} (left {eta})")?;
    let bar = ProgressBar::new(total * 10).with_style(style);
    let mut drive = Drive {
        clients,
        material,
        mix: options.mix.clone(),
        deadline: Duration::from_millis(options.deadline_ms),
        seed: options.seed,
        bar: bar.clone(),
        ingested: Vec::new(),
    };
    let mut steps = Vec::new();
    for pace in paces {
        bar.set_message(pace.to_string());
        drive.run(pace, Duration::from_secs(options.warm_up)).await;
        steps.push(drive.run(pace, Duration::from_secs(options.seconds)).await);
    }
    bar.finish_and_clear();
    drive.clean_up().await?;
    let knee = options.ramp.is_some().then(|| knee(&steps, options.p99_ms)).flatten();
    let figures = json!({
        "server": server,
        "mix": options.mix.to_string(),
        "connections": options.connections,
        "seconds": options.seconds,
        "steps": steps.iter().map(Step::to_json).collect::<Vec<_>>(),
        "knee_per_second": knee,
    });
    if let Some(path) = &options.out {
        fs_err::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    if let Some(path) = &options.html {
        fs_err::write(path, page::page(server, &options.mix.to_string(), &steps, knee))?;
    }
    if as_json {
        return output::say(serde_json::to_string_pretty(&figures)?);
    }
    tell(&steps, options, knee)
}

/// The paces that the options ask for, one after the other.
fn paces(options: &Options) -> anyhow::Result<Vec<Pace>> {
    Ok(match (&options.ramp, options.rate, options.in_flight) {
        (Some(Ramp { from, to, steps }), ..) => {
            let rate = |step: usize| from + (to - from) * step as f64 / (steps - 1) as f64;
            (0..*steps).map(|step| Pace::Open(rate(step))).collect()
        }
        (None, Some(rate), _) if rate > 0.0 => vec![Pace::Open(rate)],
        (None, Some(_), _) => bail!("--rate is above 0"),
        (None, None, in_flight) => vec![Pace::Closed(in_flight.unwrap_or(8).max(1))],
    })
}

/// Says what was measured.
fn tell(steps: &[Step], options: &Options, knee: Option<f64>) -> anyhow::Result<()> {
    output::say(table(steps))?;
    for step in steps {
        for (status, count) in step.statuses.iter().filter(|(status, _)| *status != "OK") {
            output::say(format!("{}: {count} x {status}", step.pace))?;
        }
    }
    match (knee, &options.ramp) {
        (Some(knee), _) => output::say(format!(
            "enough at {knee:.0} requests a second: up to there 99 % of answers took at most {} ms and 95 % of requests were \
             answered",
            options.p99_ms
        )),
        (None, Some(_)) => output::say("the lowest rate was too much already"),
        (None, None) => Ok(()),
    }
}

/// The last rate, from the lowest on, at which nearly all requests are answered fast enough.
fn knee(steps: &[Step], p99_ms: f64) -> Option<f64> {
    let fine = |step: &&Step| step.answered() >= 0.95 * step.offered && step.ms(0.99) <= p99_ms;
    steps.iter().take_while(fine).last().map(|step| step.offered)
}

fn table(steps: &[Step]) -> Table {
    let mut table = output::table(&["", "a second", "answered", "p50 ms", "p90", "p99", "p99.9", "most"]);
    for step in steps {
        let mut row = |name: String, offered: f64, answered: f64, at: &dyn Fn(f64) -> f64| {
            let mut cells = vec![name, format!("{offered:.0}"), format!("{answered:.0}")];
            cells.extend([0.5, 0.9, 0.99, 0.999, 1.0].map(|part| format!("{:.1}", at(part))));
            table.add_row(cells);
        };
        row(step.pace.to_string(), step.offered, step.answered(), &|part| step.ms(part));
        if steps.len() == 1 && step.kinds.len() > 1 {
            for (kind, times) in &step.kinds {
                let rate = times.len() as f64 / step.seconds;
                row(format!("  {}", kind.name()), rate, rate, &|part| step::ms(times, part));
            }
        }
    }
    table
}
