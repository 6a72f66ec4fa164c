//! Serving: a listener, the services, health and reflection, and an orderly end.

use crate::config::{Config, ConfigError};
use crate::core::{Core, OpenError};
use crate::front::{
    Gate, GateLayer, Tls, TlsError, Tokens, TokensError, Traces, TracesError, Web, WebLayer, accept, serve,
};
use crate::grpc::{Framed, Services};
use crate::probes;
use crate::store::Disk;
use lapel_proto::FILE_DESCRIPTOR_SET;
use lapel_proto::v1::admin_service_server::{self, AdminServiceServer};
use lapel_proto::v1::catalog_service_server::{self, CatalogServiceServer};
use lapel_proto::v1::feedback_service_server::{self, FeedbackServiceServer};
use lapel_proto::v1::generation_service_server::{self, GenerationServiceServer};
use lapel_proto::v1::head_service_server::{self, HeadServiceServer};
use lapel_proto::v1::search_service_server::{self, SearchServiceServer};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Layer;

/// How long uploads that are cut off at the end have, to store what has come and to tell it.
const TELLING: Duration = Duration::from_secs(2);
/// How often health follows the model's.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// Bytes of a message about health: a service's name.
const HEALTH_BYTES_MAX: usize = 1 << 10;

/// Why the server does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The catalogue cannot be opened.
    #[error("{0}")]
    Open(Box<OpenError>),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The address can be reached by others, and they would need neither a key nor a token.
    #[error(
        "{0} can be reached from outside: configure [tls] and access.tokens, listen on 127.0.0.1, or say --insecure-public"
    )]
    Exposed(SocketAddr),
    /// The certificates are refused.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The tokens are refused.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// Reflection cannot be set up.
    #[error("reflection failed: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl From<OpenError> for ServeError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

/// A server that listens but does not answer yet.
pub struct Server {
    core: Arc<Core>,
    gate: Arc<Gate>,
    web: Arc<Web>,
    tls: Option<Arc<Tls>>,
    traces: Option<Arc<Traces>>,
    listener: TcpListener,
    address: SocketAddr,
    /// For plain HTTP.
    probes: Option<TcpListener>,
}

/// Reads anew what can change while the server runs: certificates and tokens.
#[derive(Clone)]
pub struct Reload {
    core: Arc<Core>,
    gate: Arc<Gate>,
    tls: Option<Arc<Tls>>,
}

impl Reload {
    /// Reads the files anew. Connections and requests from now on see them.
    ///
    /// # Errors
    /// When a file is unsound; what was read before then stays in force.
    pub fn reload(&self) -> Result<(), ServeError> {
        let before = self.gate.tokens.load();
        let tokens = tokens(self.core.config(), before.as_deref())?;
        if let Some(tls) = &self.tls {
            tls.reload()?;
        }
        self.gate.tokens.store(tokens.map(Arc::new));
        tracing::info!("certificates and tokens were read anew");
        Ok(())
    }
}

fn tokens(config: &Config, before: Option<&Tokens>) -> Result<Option<Tokens>, TokensError> {
    let path = config.access.tokens.as_ref();
    path.map(|path| Tokens::load(path, &config.limits, before)).transpose()
}

impl Server {
    /// Opens the catalogue and listens.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        Self::start_on(config, Disk::default()).await
    }

    /// As [`Server::start`], on a disk of which a test may decide what fails.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn start_on(config: Config, disk: Disk) -> Result<Self, ServeError> {
        let guarded = config.tls.is_some() && config.access.tokens.is_some();
        if !config.listen.ip().is_loopback() && !guarded && !config.access.insecure_public {
            return Err(ServeError::Exposed(config.listen));
        }
        // Files and ports first: what is wrong with them is told before the catalogue is touched.
        let tls = config.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
        let slow = Duration::from_millis(config.operation.slow_ms);
        let traces = config.operation.traces.as_deref().map(Traces::to).transpose()?.map(Arc::new);
        let gate = Arc::new(Gate::new(tokens(&config, None)?, &config.limits, slow, traces.clone()));
        let (listener, address) = listen(config.listen).await?;
        let web = Arc::new(Web::new(&config, address, gate.clone())?);
        let probes = match config.operation.probes {
            Some(address) => Some(listen(address).await?.0),
            None => None,
        };
        Ok(Self { core: Core::open(config, disk).await?, gate, web, tls, traces, listener, address, probes })
    }

    /// The address of the probes, where there are any.
    #[must_use]
    pub fn probes_address(&self) -> Option<SocketAddr> {
        self.probes.as_ref()?.local_addr().ok()
    }

    /// Where a browser on this machine finds the console, if it is served.
    #[must_use]
    pub fn console(&self) -> Option<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.web.console_path().map(|path| format!("{scheme}://{}{path}", self.address))
    }

    /// To read certificates and tokens anew while the server runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        Reload { core: self.core.clone(), gate: self.gate.clone(), tls: self.tls.clone() }
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is behind the services.
    #[must_use]
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Serves until `stop` ends, then lets running requests finish for a while.
    ///
    /// # Errors
    /// [`ServeError::Reflection`].
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        report(&reporter, ServingStatus::Serving).await;
        let core = self.core.clone();
        let stopping = core.stopping.clone();
        let follow = reporter.clone();
        self.core.tasks.spawn(async move {
            let mut timer = tokio::time::interval(HEALTH_EVERY);
            let mut told = true;
            loop {
                tokio::select! {
                    _ = timer.tick() => {}
                    () = stopping.cancelled() => return,
                }
                let healthy = core.is_healthy();
                // Whoever watches hears of each report.
                if healthy != told {
                    told = healthy;
                    report(&follow, if healthy { ServingStatus::Serving } else { ServingStatus::NotServing })
                        .await;
                }
            }
        });
        let stopping = self.core.stopping.clone();
        let (told, farewell) = (stopping.clone(), self.gate.farewell.clone());
        let signal = async move {
            stop.await;
            told.cancel();
            report(&reporter, ServingStatus::NotServing).await;
            // Whoever watches has heard the last of it, and holds up nobody.
            farewell.cancel();
            tracing::info!("stopping: no new connections, running requests may finish");
        };
        let routes = self.routes()?.add_service(health.max_decoding_message_size(HEALTH_BYTES_MAX));
        // What a request passes before it comes to a service: the last first.
        let services = GateLayer(self.gate.clone()).layer(routes.prepare());
        let services = WebLayer(self.web.clone()).layer(services);
        let Self { core, gate, tls, traces, listener, probes, .. } = self;
        let giving_up = tokio::spawn(gate.clone().give_up_unread());
        let ended = Arc::new(tokio::sync::Notify::new());
        let probing = probes.map(|listener| {
            let (core, metrics, ended) = (core.clone(), gate.metrics.clone(), ended.clone());
            tokio::spawn(probes::serve(listener, core, metrics, async move { ended.notified().await }))
        });
        let limits = core.config().limits.clone();
        let drain = Duration::from_secs(core.config().operation.drain_seconds);
        tokio::select! {
            () = serve(accept(listener, tls, limits.clone()), services, &limits, signal) => {}
            () = drained(stopping, drain, &core.cut_off) => {
                tracing::warn!("requests still ran after {drain:?}; they were cut off");
            }
        }
        giving_up.abort();
        core.stop().await;
        ended.notify_one();
        if let Some(traces) = traces {
            // The last ones wait for the collector, but not for long.
            let _ = tokio::time::timeout(drain, tokio::task::spawn_blocking(move || traces.end())).await;
        }
        if let Some(probing) = probing {
            // Nothing depends on how they ended.
            let _ = tokio::time::timeout(drain, probing).await;
        }
        Ok(())
    }

    fn routes(&self) -> Result<Routes, ServeError> {
        let services = Services { core: self.core.clone(), metrics: self.gate.metrics.clone() };
        let most = self.core.config().limits.message_bytes_max();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        macro_rules! served {
            ($server:ident) => {
                $server::new(services.clone())
                    .max_decoding_message_size(most)
                    .accept_compressed(CompressionEncoding::Gzip)
            };
        }
        let routes = Routes::new(Framed::new(served!(CatalogServiceServer), most))
            .add_service(served!(SearchServiceServer))
            .add_service(served!(FeedbackServiceServer))
            .add_service(served!(HeadServiceServer))
            .add_service(served!(GenerationServiceServer))
            .add_service(served!(AdminServiceServer))
            // Many tools still ask for the older name.
            .add_service(reflection().build_v1alpha()?)
            .add_service(reflection().build_v1()?);
        Ok(routes)
    }
}

/// Tells the health of the server and of each of its services: all share one model and one store.
async fn report(reporter: &HealthReporter, status: ServingStatus) {
    let services = [
        "",
        admin_service_server::SERVICE_NAME,
        catalog_service_server::SERVICE_NAME,
        feedback_service_server::SERVICE_NAME,
        generation_service_server::SERVICE_NAME,
        head_service_server::SERVICE_NAME,
        search_service_server::SERVICE_NAME,
    ];
    for service in services {
        reporter.set_service_status(service, status).await;
    }
}

async fn listen(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let fault = |source| ServeError::Listen { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok((listener, address))
}

/// Ends some time after the server was told to stop; never before. Uploads that run until then are told.
async fn drained(stopping: CancellationToken, drain: Duration, cut_off: &CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(drain).await;
    cut_off.cancel();
    tokio::time::sleep(TELLING).await;
}
