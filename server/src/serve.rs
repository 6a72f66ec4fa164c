//! Serving: a listener, the services, health and reflection, and an orderly end.

use crate::config::{Config, ConfigError};
use crate::core::{Core, OpenError};
use crate::grpc::Services;
use crate::store::Disk;
use lapel_proto::FILE_DESCRIPTOR_SET;
use lapel_proto::v1::admin_service_server::AdminServiceServer;
use lapel_proto::v1::catalog_service_server::CatalogServiceServer;
use lapel_proto::v1::feedback_service_server::FeedbackServiceServer;
use lapel_proto::v1::generation_service_server::GenerationServiceServer;
use lapel_proto::v1::head_service_server::HeadServiceServer;
use lapel_proto::v1::search_service_server::SearchServiceServer;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Router, TcpIncoming};

/// What a message may have beside its image.
const MESSAGE_MARGIN: usize = 1 << 20;
/// How long running requests may go on after the server is told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// How often health follows the model's.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

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
    /// The transport failed.
    #[error("serving failed: {0}")]
    Transport(#[from] tonic::transport::Error),
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
    listener: TcpListener,
    address: SocketAddr,
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
        let wanted = config.listen;
        let fault = |source| ServeError::Listen { address: wanted, source };
        // The port first: a second server on it fails before it touches the catalogue.
        let listener = TcpListener::bind(wanted).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        Ok(Self { core: Core::open(config, disk).await?, listener, address })
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
    /// [`ServeError::Transport`].
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
        let core = self.core.clone();
        let stopping = core.stopping.clone();
        let follow = reporter.clone();
        self.core.tasks.spawn(async move {
            let mut timer = tokio::time::interval(HEALTH_EVERY);
            loop {
                tokio::select! {
                    _ = timer.tick() => {}
                    () = stopping.cancelled() => return,
                }
                let healthy = core.is_healthy();
                let status = if healthy {
                    tonic_health::ServingStatus::Serving
                } else {
                    tonic_health::ServingStatus::NotServing
                };
                follow.set_service_status("", status).await;
            }
        });
        let stopping = self.core.stopping.clone();
        let told = stopping.clone();
        let signal = async move {
            stop.await;
            told.cancel();
            reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
            tracing::info!("stopping: no new connections, running requests may finish");
        };
        let router = self.router()?.add_service(health);
        let core = self.core.clone();
        // Small answers would otherwise wait 40 ms for the peer's delayed acknowledgement.
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let serving = router.serve_with_incoming_shutdown(incoming, signal);
        let ended = tokio::select! {
            ended = serving => ended,
            () = drained(stopping) => {
                tracing::warn!("requests still ran after {DRAIN_MAX:?}; they were cut off");
                Ok(())
            }
        };
        core.stop().await;
        Ok(ended?)
    }

    fn router(&self) -> Result<Router, ServeError> {
        let services = Services { core: self.core.clone() };
        let most = self.core.config().limits.image_bytes_max.0 + MESSAGE_MARGIN;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        Ok(tonic::transport::Server::builder()
            .add_service(CatalogServiceServer::new(services.clone()).max_decoding_message_size(most))
            .add_service(SearchServiceServer::new(services.clone()).max_decoding_message_size(most))
            .add_service(FeedbackServiceServer::new(services.clone()).max_decoding_message_size(most))
            .add_service(HeadServiceServer::new(services.clone()).max_decoding_message_size(most))
            .add_service(GenerationServiceServer::new(services.clone()).max_decoding_message_size(most))
            .add_service(AdminServiceServer::new(services).max_decoding_message_size(most))
            .add_service(reflection))
    }
}

/// Ends some time after the server was told to stop; never before.
async fn drained(stopping: CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(DRAIN_MAX).await;
}
