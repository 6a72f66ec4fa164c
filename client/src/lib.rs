//! Client of a Lapel server: connections to its services, and the steps that take more than one message.

pub mod fields;
pub mod filter_text;
mod gathered;
pub mod npy;
mod tls_mistake;

pub use tls_mistake::TlsMistake;

use data_encoding::HEXLOWER;
use lapel_proto::v1::admin_service_client::AdminServiceClient;
use lapel_proto::v1::catalog_service_client::CatalogServiceClient;
use lapel_proto::v1::feedback_service_client::FeedbackServiceClient;
use lapel_proto::v1::generation_service_client::GenerationServiceClient;
use lapel_proto::v1::head_service_client::HeadServiceClient;
use lapel_proto::v1::search_service_client::SearchServiceClient;
use sha2::{Digest, Sha256};
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

pub use lapel_proto::v1;

/// Largest answer accepted, in bytes; the server bounds what it sends.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// Bytes of a bundle in one message.
const CHUNK: usize = 1 << 20;

/// A connection that says who calls.
pub type Connection = InterceptedService<Channel, Bearer>;

/// Adds the caller's token to every request.
#[derive(Clone, Debug)]
pub struct Bearer(Option<AsciiMetadataValue>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// How to reach a server.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The secret of a token.
    pub token: Option<String>,
    /// PEM of the authority that the server's certificate must be of; needed for `https` addresses.
    pub ca: Option<Vec<u8>>,
    /// PEM of a client certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address or a certificate is unsound, or nothing answers; its sources say which.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
    /// The token cannot be sent.
    #[error("the token holds characters that no header may hold")]
    Token,
}

/// A file of a generation.
#[derive(Clone, Debug)]
pub struct Upload {
    /// What it is.
    pub file: v1::GenerationFile,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its signature; empty without one.
    pub signature: Vec<u8>,
}

impl Upload {
    /// A file without a signature.
    #[must_use]
    pub fn unsigned(file: v1::GenerationFile, bytes: Vec<u8>) -> Self {
        Self { file, bytes, signature: Vec::new() }
    }
}

/// Clients of every service on one connection. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Client {
    /// Items.
    pub catalog: CatalogServiceClient<Connection>,
    /// Describe and search.
    pub search: SearchServiceClient<Connection>,
    /// Picks and profiles.
    pub feedback: FeedbackServiceClient<Connection>,
    /// Heads.
    pub heads: HeadServiceClient<Connection>,
    /// Backbones.
    pub generations: GenerationServiceClient<Connection>,
    /// Backups, and what the server does.
    pub admin: AdminServiceClient<Connection>,
}

impl Client {
    /// Connects to a server that wants neither a token nor encryption, e.g. `http://127.0.0.1:7700`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(address: &str) -> Result<Self, ConnectError> {
        Self::connect_with(address, &Access::default()).await
    }

    /// Connects to a server, e.g. `https://search.shop.internal:7700`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect_with(address: &str, access: &Access) -> Result<Self, ConnectError> {
        let mut endpoint = Endpoint::from_shared(address.to_owned())?;
        if address.starts_with("https") {
            let mut tls = ClientTlsConfig::new();
            if let Some(ca) = &access.ca {
                tls = tls.ca_certificate(Certificate::from_pem(ca));
            }
            if let Some((certificate, key)) = &access.identity {
                tls = tls.identity(Identity::from_pem(certificate, key));
            }
            endpoint = endpoint.tls_config(tls)?;
        }
        let value = |token: &String| format!("Bearer {token}").parse().map_err(|_| ConnectError::Token);
        let bearer = Bearer(access.token.as_ref().map(value).transpose()?);
        let connection = InterceptedService::new(endpoint.connect().await?, bearer);
        Ok(Self {
            catalog: CatalogServiceClient::new(connection.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            search: SearchServiceClient::new(connection.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            feedback: FeedbackServiceClient::new(connection.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            heads: HeadServiceClient::new(connection.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            generations: GenerationServiceClient::new(connection.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            admin: AdminServiceClient::new(connection).max_decoding_message_size(ANSWER_BYTES_MAX),
        })
    }

    /// Adds or replaces items in one stream and returns one result an item.
    ///
    /// # Errors
    /// The server's status; items refused one by one are in the results instead.
    pub async fn upsert(
        &mut self,
        items: Vec<v1::UpsertItemsRequest>,
    ) -> Result<Vec<v1::UpsertResult>, tonic::Status> {
        Ok(self.catalog.upsert_items(tokio_stream::iter(items)).await?.into_inner().results)
    }

    /// Sends a bundle's file and returns the head that it became; its backfill goes on.
    ///
    /// # Errors
    /// The server's status.
    pub async fn register_bundle(&mut self, bundle: &[u8]) -> Result<v1::Head, tonic::Status> {
        self.register_parts(bundle_parts(bundle)).await
    }

    /// As [`Client::register_bundle`], with what `header` says of updates, holding and the request; its size and hash
    /// are filled in.
    ///
    /// # Errors
    /// The server's status.
    pub async fn register_bundle_as(
        &mut self,
        bundle: &[u8],
        header: v1::RegisterHeadHeader,
    ) -> Result<v1::Head, tonic::Status> {
        use v1::register_head_request::Part;
        let mut parts = bundle_parts(bundle);
        if let Some(v1::RegisterHeadRequest { part: Some(Part::Header(told)) }) = parts.first_mut() {
            *told = v1::RegisterHeadHeader {
                size_bytes: told.size_bytes,
                sha256: std::mem::take(&mut told.sha256),
                ..header
            };
        }
        self.register_parts(parts).await
    }

    /// Sends the files of a generation and returns what it became; its build goes on.
    ///
    /// # Errors
    /// The server's status.
    pub async fn build_generation(
        &mut self,
        files: &[Upload],
        hold: bool,
    ) -> Result<v1::Generation, tonic::Status> {
        use v1::build_generation_request::Part;
        let parts = files.iter().flat_map(|Upload { file, bytes, signature }| {
            let header = Part::Header(v1::GenerationFileHeader {
                file: (*file).into(),
                size_bytes: bytes.len() as u64,
                sha256: sha256(bytes),
                signature: signature.clone(),
                hold,
                ..v1::GenerationFileHeader::default()
            });
            std::iter::once(header).chain(bytes.chunks(CHUNK).map(|c| Part::Chunk(c.to_vec())))
        });
        let parts: Vec<_> = parts.map(|part| v1::BuildGenerationRequest { part: Some(part) }).collect();
        let answer = self.generations.build_generation(tokio_stream::iter(parts)).await?.into_inner();
        answer.generation.ok_or_else(|| tonic::Status::internal("the answer has no generation"))
    }

    /// Sends the messages of a registration as they are.
    ///
    /// # Errors
    /// The server's status.
    pub async fn register_parts(
        &mut self,
        parts: Vec<v1::RegisterHeadRequest>,
    ) -> Result<v1::Head, tonic::Status> {
        let answer = self.heads.register_head(tokio_stream::iter(parts)).await?.into_inner();
        answer.head.ok_or_else(|| tonic::Status::internal("the answer has no head"))
    }
}

/// The messages that register a bundle: the header, then chunks.
#[must_use]
pub fn bundle_parts(bundle: &[u8]) -> Vec<v1::RegisterHeadRequest> {
    use v1::register_head_request::Part;
    let header = Part::Header(v1::RegisterHeadHeader {
        size_bytes: bundle.len() as u64,
        sha256: sha256(bundle),
        ..v1::RegisterHeadHeader::default()
    });
    let chunks = bundle.chunks(CHUNK).map(|c| Part::Chunk(c.to_vec()));
    std::iter::once(header).chain(chunks).map(|part| v1::RegisterHeadRequest { part: Some(part) }).collect()
}

/// SHA-256, hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}
