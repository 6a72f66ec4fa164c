//! Configuration: defaults, then one file, then the environment, then flags.

mod catalog;
mod limits;
mod paths;
mod web;

pub use catalog::{CatalogConfig, UnknownLabels};
pub use limits::Limits;
pub use web::WebConfig;

use crate::catalogue::Precision;
use lapel_heads::PhotoLimits;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file, a key or a value cannot be read.
    #[error("the configuration cannot be read: {0}")]
    Unreadable(#[from] config::ConfigError),
    /// Values that contradict a bound, all of them.
    #[error("the configuration is refused:\n  {}", .0.join("\n  "))]
    Refused(Vec<String>),
}

/// A number of bytes, written as a number or as "10 MiB".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(usize),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Number(bytes) => Ok(Self(bytes)),
            Raw::Text(text) => parse_bytes(&text).map(Self).ok_or_else(|| {
                D::Error::custom(format!("{text:?} is no size; write 500, \"64 KiB\" or \"10 MiB\""))
            }),
        }
    }
}

fn parse_bytes(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Everything that can be set. Read once; nothing downstream checks it again.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder of the catalogue.
    pub data: PathBuf,
    /// What is said of the catalogue's items beforehand.
    pub catalog: CatalogConfig,
    /// The model's files.
    pub model: ModelConfig,
    /// Bounds on what callers may ask for.
    pub limits: Limits,
    /// How searches are planned.
    pub search: SearchConfig,
    /// How the store works.
    pub store: StoreSettings,
    /// What is kept for the backfills of new heads.
    pub features: FeatureConfig,
    /// Encryption; `None`: connections are plain.
    pub tls: Option<TlsFiles>,
    /// Who may do what.
    pub access: AccessConfig,
    /// What browsers get.
    pub web: WebConfig,
    /// What operators see of the server, and how it ends.
    pub operation: OperationConfig,
}

/// Certificates, PEM files.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The server's certificate and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of client certificates; with it, clients without one are refused.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// The token file; `None`: everybody may do everything.
    pub tokens: Option<PathBuf>,
    /// Public key (Ed25519) that bundles and backbones must be signed for; `None`: whoever has the role may send any.
    pub bundle_key: Option<PathBuf>,
    /// Listen on addresses that others reach, although without encryption or tokens. A flag, no key.
    #[serde(skip)]
    pub insecure_public: bool,
}

/// What operators see of the server, and how it ends.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperationConfig {
    /// Address of /live, /ready and /metrics, plain HTTP; `None`: there are none.
    pub probes: Option<SocketAddr>,
    /// Collector of traces, `http://HOST:PORT` (OTLP over gRPC), for servers with the feature `otel`; `None`: none are
    /// sent.
    pub traces: Option<String>,
    /// From this many milliseconds on a request is logged as slow, with its plan.
    pub slow_ms: u64,
    /// Seconds that running requests may take after the server was told to stop.
    pub drain_seconds: u64,
}

/// How the store works.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Memory for pages of the catalogue's file.
    pub cache_bytes: ByteSize,
    /// Request ids whose outcome is remembered.
    pub request_ids_max: u64,
}

/// The feature cache.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeatureConfig {
    /// Disk for feature maps of stored photos; 0: none are kept.
    pub budget_bytes: ByteSize,
}

/// The model's files.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// AlexNet's weights, safetensors with torchvision's names.
    pub backbone: PathBuf,
    /// Bundle of the "Extract Parts?" head.
    pub extract_parts: PathBuf,
    /// Bundles of the heads to serve; one whose name the catalogue already knows is left as it is there.
    pub heads: Vec<PathBuf>,
}

/// How searches are planned.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchConfig {
    /// How exact signatures are kept; see [`SearchConfig::precision`] for where it is not given.
    pub signatures: Option<Precision>,
    /// Memory for signatures and their codes, of all heads; 0: as much as they take. Beyond it exact signatures are read from
    /// files among the caches.
    pub memory_bytes: ByteSize,
    /// Signatures of a head from which on its HNSW index is kept, where `memory_bytes` is 0; below, a scan is faster.
    pub hnsw_items_min: u64,
    /// Labelled catalogue items from which on a label's prototype is theirs and no longer the bundle's.
    pub prototype_items_min: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7700)),
            data: "data".into(),
            catalog: CatalogConfig::default(),
            model: ModelConfig::default(),
            limits: Limits::default(),
            search: SearchConfig::default(),
            store: StoreSettings::default(),
            features: FeatureConfig::default(),
            tls: None,
            access: AccessConfig::default(),
            web: WebConfig::default(),
            operation: OperationConfig::default(),
        }
    }
}

impl Default for OperationConfig {
    fn default() -> Self {
        Self { probes: None, traces: None, slow_ms: 1000, drain_seconds: 20 }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        let file = |name: &str| PathBuf::from("heads/bundles").join(name);
        let heads = [
            "category",
            "collar",
            "color",
            "fabric",
            "fastening",
            "fit",
            "length",
            "neckline",
            "pattern",
            "pocket",
            "sleeve_length",
        ];
        Self {
            backbone: file("backbone.safetensors"),
            extract_parts: file("extract_parts.safetensors"),
            heads: heads.iter().map(|head| file(&format!("{head}.safetensors"))).collect(),
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { cache_bytes: ByteSize(256 << 20), request_ids_max: 100_000 }
    }
}

impl Default for FeatureConfig {
    fn default() -> Self {
        Self { budget_bytes: ByteSize(256 << 20) }
    }
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            signatures: None,
            memory_bytes: ByteSize(0),
            hnsw_items_min: 1_000_000,
            prototype_items_min: 5,
        }
    }
}

impl SearchConfig {
    /// How exact signatures are kept: as configured, or else in half precision where memory is bounded, since what does not fit is read
    /// from files then, and as they are where all are in memory.
    #[must_use]
    pub fn precision(&self) -> Precision {
        let is_bounded = self.memory_bytes.0 > 0;
        self.signatures.unwrap_or(if is_bounded { Precision::F16 } else { Precision::F32 })
    }

    /// Signatures of a head from which on its HNSW index is kept; `None` where memory is bounded: an index holds copies of them
    /// all, and the scan of codes needs none.
    #[must_use]
    pub fn indexed_from(&self) -> Option<u64> {
        (self.memory_bytes.0 == 0).then_some(self.hnsw_items_min)
    }
}

impl Config {
    /// Reads defaults, `file` where given, and variables such as `LAPEL__LIMITS__K_MAX`. Relative paths in the file start at
    /// its folder, others at the working directory.
    ///
    /// # Errors
    /// [`ConfigError`]; an unknown key is refused like a bad value.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(file) = file {
            builder = builder.add_source(paths::read(file)?);
        }
        let environment = config::Environment::with_prefix("LAPEL").separator("__").try_parsing(true);
        let read: Self = builder.add_source(environment).build()?.try_deserialize()?;
        let faults = read.faults();
        if faults.is_empty() { Ok(read) } else { Err(ConfigError::Refused(faults)) }
    }

    fn faults(&self) -> Vec<String> {
        let l = &self.limits;
        let positive = [
            ("limits.image_bytes_max", l.image_bytes_max.0),
            ("limits.image_pixels_max", l.image_pixels_max as usize),
            ("limits.bundle_bytes_max", l.bundle_bytes_max.0),
            ("limits.k_max", l.k_max as usize),
            ("limits.group_results_max", l.group_results_max),
            ("limits.facet_values_max", l.facet_values_max),
            ("limits.keywords_max", l.keywords_max),
            ("limits.item_pictures_max", l.item_pictures_max as usize),
            ("limits.batch_max", l.batch_max),
            ("limits.picks_max", l.picks_max),
            ("limits.stream_items_max", l.stream_items_max),
            ("limits.heads_max", l.heads_max),
            ("limits.head_ms_max", l.head_ms_max as usize),
            ("store.cache_bytes", self.store.cache_bytes.0),
            ("store.request_ids_max", self.store.request_ids_max as usize),
            ("limits.connections_max", l.connections_max),
            ("limits.connections_per_address_max", l.connections_per_address_max),
            ("limits.greeting_seconds", l.greeting_seconds as usize),
            ("limits.connection_age_seconds", l.connection_age_seconds as usize),
            ("limits.requests_max", l.requests_max),
            ("limits.requests_per_connection_max", l.requests_per_connection_max),
            ("limits.requests_per_token_max", l.requests_per_token_max),
            ("limits.streams_max", l.streams_max),
            ("limits.stall_seconds", l.stall_seconds as usize),
            ("operation.slow_ms", self.operation.slow_ms as usize),
            ("limits.query_images_max", l.query_images_max),
            ("limits.ingest_images_max", l.ingest_images_max),
            ("search.prototype_items_min", self.search.prototype_items_min as usize),
        ];
        let zero = positive.iter().filter(|(_, v)| *v == 0);
        let mut faults: Vec<String> =
            zero.map(|(key, _)| format!("{key} is 0; at least 1 is wanted")).collect();
        faults.extend(l.contradictions());
        faults.extend(self.catalog.contradictions(l));
        faults.extend(self.web.contradictions());
        faults
    }

    /// The bounds on photos.
    #[must_use]
    pub fn photo_limits(&self) -> PhotoLimits {
        PhotoLimits { bytes_max: self.limits.image_bytes_max.0, pixels_max: self.limits.image_pixels_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_values::FieldKind;

    #[test]
    fn the_example_file_parses_and_equals_the_defaults() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let below = |path: &PathBuf| folder.join(path);
        let mut expected = Config::default();
        expected.data = below(&expected.data);
        expected.model.backbone = below(&expected.model.backbone);
        expected.model.extract_parts = below(&expected.model.extract_parts);
        expected.model.heads = expected.model.heads.iter().map(below).collect();
        assert_eq!(Config::load(Some(&folder.join("config.example.toml"))).expect("parses"), expected);
    }

    #[test]
    fn unknown_keys_and_zero_bounds_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let load = |text: &str| {
            let path = folder.path().join("c.toml");
            std::fs::write(&path, text).expect("written");
            Config::load(Some(&path)).map_err(|e| e.to_string())
        };
        assert!(load("[limits]\nk_maxx = 3").unwrap_err().contains("k_maxx"));
        let both = load("[limits]\nk_max = 0\nbatch_max = 0").unwrap_err();
        assert!(both.contains("k_max") && both.contains("batch_max"), "{both}");
        let narrow = load("[limits]\nrequest_bytes_max = \"1 MiB\"\ndecoding_pixels_max = 7").unwrap_err();
        assert!(narrow.contains("request_bytes_max") && narrow.contains("decoding_pixels_max"), "{narrow}");
        assert!(load("[limits]\nimage_bytes_max = \"ten\"").unwrap_err().contains("no size"));
        let bounded = load("[search]\nmemory_bytes = \"2 GiB\"").expect("fine").search;
        assert_eq!(bounded, SearchConfig { memory_bytes: ByteSize(2 << 30), ..SearchConfig::default() });
        assert_eq!((bounded.indexed_from(), SearchConfig::default().indexed_from()), (None, Some(1_000_000)));
        assert_eq!(
            (bounded.precision(), SearchConfig::default().precision()),
            (Precision::F16, Precision::F32)
        );
        let told = load("[search]\nmemory_bytes = 1\nsignatures = \"f32\"").expect("fine").search;
        assert_eq!(told.precision(), Precision::F32);
        assert!(load("[search]\nmemory_bytes = \"2 GB\"").unwrap_err().contains("no size"));
        assert_eq!(
            load("[limits]\nimage_bytes_max = \"2 MiB\"").expect("fine").limits.image_bytes_max,
            ByteSize(2 << 20)
        );
    }

    #[test]
    fn declared_fields_have_kinds_and_names() {
        let folder = tempfile::tempdir().expect("folder");
        let load = |text: &str| {
            let path = folder.path().join("c.toml");
            std::fs::write(&path, text).expect("written");
            Config::load(Some(&path)).map_err(|e| e.to_string())
        };
        let config = load("[catalog.fields]\nprice = \"number\"\nTags = \"keywords\"").expect("fine");
        let wanted = [("Tags", FieldKind::Keywords), ("price", FieldKind::Number)];
        assert_eq!(config.catalog.fields, wanted.map(|(field, kind)| (field.to_owned(), kind)).into());
        assert!(load("[catalog.fields]\nprice = \"money\"").unwrap_err().contains("money"));
        let unnamed = load("[catalog.fields]\n\" price\" = \"number\"").unwrap_err();
        assert!(unnamed.contains("catalog.fields") && unnamed.contains(" price"), "{unnamed}");
        let many = load("[limits]\nfields_max = 1\n[catalog.fields]\na = \"number\"\nb = \"number\"");
        assert!(many.unwrap_err().contains("fields_max"));
    }
}
