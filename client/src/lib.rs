//! Client of a Lapel server: connections to its services, and the steps that take more than one message.

use lapel_proto::v1::catalog_service_client::CatalogServiceClient;
use lapel_proto::v1::feedback_service_client::FeedbackServiceClient;
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
            heads: HeadServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
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
    let digest = Sha256::digest(bundle);
    let sha256 = digest.iter().map(|b| format!("{b:02x}")).collect();
    let header = Part::Header(v1::RegisterHeadHeader { size_bytes: bundle.len() as u64, sha256 });
    let chunks = bundle.chunks(CHUNK).map(|c| Part::Chunk(c.to_vec()));
    std::iter::once(header).chain(chunks).map(|part| v1::RegisterHeadRequest { part: Some(part) }).collect()
}
