//! What the behaviour tests share: a real server a test, on port 0, in its own folder.

pub mod chance;
mod child;
pub mod hostile;
pub mod http1;
pub mod model;
pub mod photos;
pub mod probes;
pub mod raw;
pub mod steady;

pub use child::ChildServer;
use lapel_client::{Client, v1};
use lapel_heads::{
    ALEXNET_FILE, Attribute, Bundle, EXTRACT_PARTS_FILE, Manifest, alexnet_folder, shipped_folder,
};
use lapel_render::{Rendered, render, to_jpeg};
use lapel_server::{Config, Reload, Server};
use lapel_wardrobe::LabelledPhoto;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server in this process.
pub struct TestServer {
    /// Where it listens.
    pub address: String,
    /// Where its probes are, if configured.
    pub probes: Option<SocketAddr>,
    reload: Option<Reload>,
    started: Instant,
    folder: Option<TempDir>,
    config: Config,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

/// The heads of the paper's kind, which rendered garments are among the training pictures of.
const HEADS: [&str; 7] = ["collar", "color", "fastening", "general", "neckline", "pattern", "sleeve_length"];

/// The paper's model (rendered garments are what it was trained on, too), a fresh port, and the given folder.
#[must_use]
pub fn config_in(folder: &Path) -> Config {
    let mut config = Config::default();
    config.model.backbone = alexnet_folder().join(ALEXNET_FILE);
    config.model.extract_parts = alexnet_folder().join(EXTRACT_PARTS_FILE);
    config.model.heads = HEADS.map(|head| alexnet_folder().join(format!("{head}.safetensors"))).to_vec();
    config.listen = ([127, 0, 0, 1], 0).into();
    config.data = folder.join("data");
    config
}

/// The model that serves by default, with every path absolute.
pub fn by_default(config: &mut Config) {
    let absolute = |path: &PathBuf| shipped_folder().join(path.file_name().unwrap_or_default());
    let model = Config::default().model;
    config.model.backbone = absolute(&model.backbone);
    config.model.extract_parts = absolute(&model.extract_parts);
    config.model.heads = model.heads.iter().map(absolute).collect();
}

impl TestServer {
    /// Starts a server on an empty catalogue.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a server on an empty catalogue with a changed configuration.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = config_in(folder.path());
        change(&mut config);
        let mut server = Self {
            address: String::new(),
            probes: None,
            reload: None,
            started: Instant::now(),
            folder: Some(folder),
            config,
            stop: None,
            running: None,
        };
        server.run().await;
        server
    }

    /// Starts a stopped server again.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn run(&mut self) {
        let server = Server::start(self.config.clone()).await.expect("the server starts");
        self.address = format!("http://{}", server.address());
        (self.probes, self.reload) = (server.probes_address(), Some(server.reload()));
        self.started = Instant::now();
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.running = Some(tokio::spawn(async move {
            let until = async {
                let _ = stopped.await;
            };
            server.serve(until).await.expect("serves to its end");
        }));
    }

    /// Changes the configuration that the next start has.
    pub fn change(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// To have it read its certificates and tokens anew.
    ///
    /// # Panics
    /// Before it was started.
    #[must_use]
    pub fn reload(&self) -> &Reload {
        self.reload.as_ref().expect("it was started")
    }

    /// Stops the server in an orderly way and starts it again on the same catalogue.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }

    /// Stops the server in an orderly way.
    ///
    /// # Panics
    /// When it panicked.
    pub async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        // It holds the catalogue open.
        self.reload = None;
        if let Some(running) = self.running.take() {
            running.await.expect("no panic in the server");
        }
    }

    /// The catalogue's folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.config.data
    }

    /// A new connection.
    pub async fn client(&self) -> Client {
        Client::connect(&self.address).await.expect("connects")
    }

    /// Stops the server and checks that its folder can be removed.
    pub async fn finish(mut self) {
        self.stop().await;
        self.folder.take().map(TempDir::close).transpose().expect("the folder is removed");
    }
}

/// Memory of a process in MiB; 0 where there is no such process.
#[must_use]
pub fn memory_mib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// The message that stores a rendered garment.
#[must_use]
pub fn item(id: &str, garment: &Rendered) -> v1::UpsertItemsRequest {
    v1::UpsertItemsRequest {
        id: id.to_owned(),
        image: to_jpeg(&garment.photo),
        labels: garment.labels.clone(),
        ..v1::UpsertItemsRequest::default()
    }
}

/// Stores the first `count` garments of a collection under the ids `g0`, `g1` and so on.
pub async fn ingest(client: &mut Client, seed: u64, count: u64) -> Vec<Rendered> {
    let garments: Vec<Rendered> = (0..count).map(|i| render(seed, i)).collect();
    let items = garments.iter().enumerate().map(|(i, g)| item(&format!("g{i}"), g)).collect();
    let results = client.upsert(items).await.expect("stored");
    assert!(results.iter().all(|r| r.error.is_none()), "{results:?}");
    garments
}

/// A search by a photo's bytes.
#[must_use]
pub fn by_image(image: Vec<u8>, k: u32) -> v1::SearchRequest {
    let query = v1::Query { source: Some(v1::query::Source::Image(image)), also_signatures: Vec::new() };
    v1::SearchRequest { query: Some(query), k, ..v1::SearchRequest::default() }
}

/// A search by an item's id.
#[must_use]
pub fn by_item(id: &str, k: u32) -> v1::SearchRequest {
    let source = Some(v1::query::Source::ItemId(id.to_owned()));
    let query = v1::Query { source, also_signatures: Vec::new() };
    v1::SearchRequest { query: Some(query), k, ..v1::SearchRequest::default() }
}

/// An edit.
#[must_use]
pub fn set(attribute: &str, label: &str) -> v1::Manipulation {
    v1::Manipulation { attribute: attribute.to_owned(), label: label.to_owned() }
}

/// Weights by head.
#[must_use]
pub fn weights(by_head: &[(&str, f64)], only_named: bool) -> Option<v1::search_request::Weighting> {
    let by_head: BTreeMap<String, f64> = by_head.iter().map(|(h, w)| ((*h).to_owned(), *w)).collect();
    Some(v1::search_request::Weighting::Weights(v1::Weights { by_head, only_named }))
}

/// The bytes of the bundle that is taught to running servers in the tests.
#[must_use]
pub fn sport_bundle() -> Vec<u8> {
    let path = shipped_folder().join("../../examples/heads/sport.safetensors");
    std::fs::read(path).expect("the example bundle")
}

/// The bundle that the README adds to the demo: a head on the shipped backbone.
#[must_use]
pub fn season_bundle() -> Vec<u8> {
    let path = shipped_folder().join("../../examples/heads/season.safetensors");
    std::fs::read(path).expect("the example bundle")
}

/// A bundle of an external head with one attribute of its own name; the same file for the same arguments, although
/// the order of a bundle's metadata is not fixed.
///
/// # Panics
/// When a bundle cannot be written.
#[must_use]
pub fn external_bundle(name: &str, dim: usize, labels: &[&str]) -> Vec<u8> {
    static WRITTEN: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
    let mut written = WRITTEN.lock().expect("no test panics here");
    let bundle = written.entry(format!("{name} {dim} {labels:?}")).or_insert_with(|| {
        let manifest = Manifest::external(name, dim, vec![Attribute { name: name.to_owned(), labels }]);
        Bundle { manifest, tensors: BTreeMap::new(), graph: None }.to_bytes().expect("written")
    });
    bundle.clone()
}

/// Waits until a generation that is built changes no more, and gives its last state.
pub async fn watched(client: &mut Client) -> v1::Generation {
    let request = v1::WatchGenerationRequest::default();
    let mut changes = client.generations.watch_generation(request).await.expect("watched").into_inner();
    let mut last = None;
    while let Some(change) = changes.message().await.expect("a change") {
        last = change.generation;
    }
    last.expect("at least the present state")
}

/// Follows a head until nothing more happens to it, and returns what became of it.
pub async fn settled(client: &mut Client, name: &str) -> v1::Head {
    let request = v1::WatchHeadRequest { name: name.to_owned(), version: 0 };
    let mut changes = client.heads.watch_head(request).await.expect("watched").into_inner();
    let mut last = None;
    while let Some(change) = changes.message().await.expect("a change") {
        last = change.head;
    }
    last.expect("at least the present state")
}

/// The real validation photos, where they are at hand; they do not come with the project. Otherwise says so.
#[must_use]
pub fn validation_photos() -> Option<Vec<LabelledPhoto>> {
    let folder = std::env::var_os("LAPEL_WARDROBE").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/wardrobe");
    let Some(folder) = folder.or(Some(beside)).filter(|f| f.join("labels.csv").is_file()) else {
        println!("skipped: the wardrobe's photos are not here; set LAPEL_WARDROBE to their folder");
        return None;
    };
    let mut photos = lapel_wardrobe::read(&folder).expect("labels.csv");
    photos.retain(|photo| photo.split == "val");
    assert!(photos.len() >= 250, "{}", photos.len());
    Some(photos)
}
