//! Client of a Lapel server: connections to its services, and the steps that take more than one message.

use lapel_proto::v1::admin_service_client::AdminServiceClient;
use lapel_proto::v1::catalog_service_client::CatalogServiceClient;
use lapel_proto::v1::feedback_service_client::FeedbackServiceClient;
use lapel_proto::v1::generation_service_client::GenerationServiceClient;
use lapel_proto::v1::head_service_client::HeadServiceClient;
use lapel_proto::v1::search_service_client::SearchServiceClient;
use sha2::{Digest, Sha256};
use tonic::transport::{Channel, Endpoint};

pub use lapel_proto::v1;

/// Largest answer accepted, in bytes; the server bounds what it sends.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// Bytes of a bundle in one message.
const CHUNK: usize = 1 << 20;

/// Clients of every service on one connection. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Client {
    /// Items.
    pub catalog: CatalogServiceClient<Channel>,
    /// Describe and search.
    pub search: SearchServiceClient<Channel>,
    /// Picks and profiles.
    pub feedback: FeedbackServiceClient<Channel>,
    /// Heads.
    pub heads: HeadServiceClient<Channel>,
    /// Backbones.
    pub generations: GenerationServiceClient<Channel>,
    /// Backups.
    pub admin: AdminServiceClient<Channel>,
}

impl Client {
    /// Connects to a server, e.g. `http://127.0.0.1:7700`.
    ///
    /// # Errors
    /// When the address is malformed or nothing answers there.
    pub async fn connect(address: &str) -> Result<Self, tonic::transport::Error> {
        let channel = Endpoint::from_shared(address.to_owned())?.connect().await?;
        Ok(Self {
            catalog: CatalogServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            search: SearchServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            feedback: FeedbackServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            heads: HeadServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            generations: GenerationServiceClient::new(channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            admin: AdminServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
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

    /// Sends the files of a generation, each with what it is, and returns what it became; its build goes on.
    ///
    /// # Errors
    /// The server's status.
    pub async fn build_generation(
        &mut self,
        files: &[(v1::GenerationFile, Vec<u8>)],
        hold: bool,
    ) -> Result<v1::Generation, tonic::Status> {
        use v1::build_generation_request::Part;
        let parts = files.iter().flat_map(|(file, bytes)| {
            let header = Part::Header(v1::GenerationFileHeader {
                file: (*file).into(),
                size_bytes: bytes.len() as u64,
                sha256: sha256(bytes),
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
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
