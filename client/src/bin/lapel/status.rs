//! `lapel status`.

use crate::output;
use lapel_client::{Client, v1};
use std::time::{Duration, SystemTime};

const MIB: f64 = (1 << 20) as f64;

pub(crate) async fn run(client: &mut Client, json: bool) -> anyhow::Result<()> {
    let stats = client.admin.server_stats(v1::ServerStatsRequest {}).await?.into_inner();
    if json {
        return output::json("ServerStatsResponse", &stats);
    }
    let health = if stats.healthy { "healthy" } else { "not healthy: its log says more" };
    let started = stats.started.and_then(|started| SystemTime::try_from(started).ok());
    let up = started.and_then(|started| started.elapsed().ok()).map(up).unwrap_or_default();
    output::say(format!(
        "version {}, {health}{up}, {:.0} MiB, {} in flight",
        stats.version,
        stats.resident_bytes as f64 / MIB,
        stats.in_flight
    ))?;
    let waiting = stats.pictures_waiting.iter().filter(|(_, count)| **count > 0);
    for (queue, count) in waiting {
        output::say(format!("{count} pictures wait in the queue {queue}"))?;
    }
    let mut table = output::table(&["method", "calls", "a second", "p50 ms", "p99 ms", "failed"]);
    for method in &stats.methods {
        let failed: Vec<String> =
            method.failures.iter().map(|(code, count)| format!("{count} {code}")).collect();
        table.add_row([
            method.method.trim_start_matches("lapel.v1.").to_owned(),
            method.calls.to_string(),
            format!("{:.1}", method.calls as f64 / stats.window_seconds.max(1.0)),
            format!("{:.1}", method.p50_ms),
            format!("{:.1}", method.p99_ms),
            failed.join(", "),
        ]);
    }
    output::say(format!("{table}\nof the last {:.0} seconds", stats.window_seconds))
}

/// How long a server has run, to one unit.
fn up(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "seconds"),
        120..7200 => (seconds / 60, "minutes"),
        7200..172_800 => (seconds / 3600, "hours"),
        _ => (seconds / 86400, "days"),
    };
    format!(", up {count} {unit}")
}
