//! What is counted, in the Prometheus text format.

use crate::core::Core;
use crate::stages::Stage;
use crate::traffic::Traffic;
use lapel_search::SignatureColumn;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// Labels that come from closed sets, so that no caller can make up series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels(Vec<(&'static str, &'static str)>);

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.iter().try_for_each(|label| {
            use prometheus_client::encoding::EncodeLabel;
            label.encode(encoder.encode_label())
        })
    }
}

type Times = Family<Labels, Histogram, fn() -> Histogram>;

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    times: Times,
    stages: Times,
    in_flight: Gauge,
    items: Gauge,
    generation: Gauge,
    heads: Family<Labels, Gauge>,
    restored: Gauge,
    waiting: Family<Labels, Gauge>,
    features: Gauge,
    healthy: Gauge,
    memory: Gauge,
    signatures: Family<Labels, Gauge>,
    /// The same calls as they were in the last minute.
    pub(crate) traffic: Traffic,
    pub(crate) started: SystemTime,
}

/// From 0.5 ms to 16 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        let of_seconds: fn() -> Histogram = seconds;
        let mut metrics = Self {
            registry: Registry::with_prefix("lapel"),
            requests: Family::default(),
            times: Family::new_with_constructor(of_seconds),
            stages: Family::new_with_constructor(of_seconds),
            in_flight: Gauge::default(),
            items: Gauge::default(),
            generation: Gauge::default(),
            heads: Family::default(),
            restored: Gauge::default(),
            waiting: Family::default(),
            features: Gauge::default(),
            healthy: Gauge::default(),
            memory: Gauge::default(),
            signatures: Family::default(),
            traffic: Traffic::default(),
            started: SystemTime::now(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "requests",
            "Requests that have ended, by method and status code",
            metrics.requests.clone(),
        );
        registry.register("request_seconds", "From a request's head to its last byte", metrics.times.clone());
        registry.register("stage_seconds", "What requests spend their time on", metrics.stages.clone());
        registry.register("requests_in_flight", "Requests that have not ended", metrics.in_flight.clone());
        registry.register("items", "Items of the catalogue", metrics.items.clone());
        registry.register(
            "generation",
            "Number of the present set of backbone and heads",
            metrics.generation.clone(),
        );
        registry.register("heads", "Versions of heads, by state", metrics.heads.clone());
        registry.register(
            "heads_restored",
            "Heads whose signatures this start took over from the last stop",
            metrics.restored.clone(),
        );
        registry.register(
            "pictures_waiting",
            "Pictures that have a place in the model's queues",
            metrics.waiting.clone(),
        );
        registry.register(
            "features_cached",
            "Photos whose feature maps are cached",
            metrics.features.clone(),
        );
        registry.register(
            "healthy",
            "1 while the model works and the store takes writes",
            metrics.healthy.clone(),
        );
        registry.register("resident_bytes", "Memory of the process", metrics.memory.clone());
        registry.register(
            "signature_bytes",
            "Bytes of exact signatures in memory and in files, and of their codes",
            metrics.signatures.clone(),
        );
        metrics
    }
}

impl Metrics {
    pub(crate) fn begins(&self) {
        self.in_flight.inc();
    }

    pub(crate) fn ended(
        &self,
        method: &'static str,
        code: &'static str,
        took: Duration,
        stages: &[(Stage, Duration)],
    ) {
        self.in_flight.dec();
        self.traffic.ended(method, code, took, Instant::now());
        self.requests.get_or_create(&Labels(vec![("method", method), ("code", code)])).inc();
        self.times.get_or_create(&Labels(vec![("method", method)])).observe(took.as_secs_f64());
        for (stage, time) in stages {
            self.stages.get_or_create(&Labels(vec![("stage", stage.name())])).observe(time.as_secs_f64());
        }
    }

    /// Requests that have not ended.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.get().try_into().unwrap_or(0)
    }

    /// The text that a scrape gets.
    pub(crate) fn text(&self, core: &Core) -> String {
        let snapshot = core.snapshot();
        self.items.set(snapshot.items().len() as i64);
        self.generation.set(snapshot.generation as i64);
        self.features.set(core.features_cached() as i64);
        self.healthy.set(i64::from(core.is_healthy()));
        self.memory.set(resident_bytes().unwrap_or(0));
        let columns = snapshot.signature_columns().map(SignatureColumn::bytes);
        let (rows, codes, filed) =
            columns.fold((0, 0, 0), |sum, of| (sum.0 + of.rows, sum.1 + of.codes, sum.2 + of.filed));
        for (place, bytes) in [("memory", rows as i64), ("codes", codes as i64), ("files", filed as i64)] {
            self.signatures.get_or_create(&Labels(vec![("place", place)])).set(bytes);
        }
        let mut by_state: BTreeMap<&'static str, i64> = BTreeMap::new();
        for head in core.registry.all() {
            *by_state.entry(head.state.name()).or_insert(0) += 1;
        }
        self.heads.clear();
        for (state, count) in by_state {
            self.heads.get_or_create(&Labels(vec![("state", state)])).set(count);
        }
        self.restored.set(core.restored as i64);
        for (queue, count) in core.engine.waiting() {
            self.waiting.get_or_create(&Labels(vec![("queue", queue)])).set(count as i64);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Memory of the process; `None` where the system does not tell.
pub(crate) fn resident_bytes() -> Option<i64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let resident: i64 = pages.split_whitespace().nth(1)?.parse().ok()?;
    Some(resident * rustix::param::page_size() as i64)
}
