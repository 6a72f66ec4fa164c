//! Bounds on what callers may ask for.

use super::ByteSize;
use serde::Deserialize;
use std::time::Duration;

/// Bounds on what callers may ask for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest encoded image.
    pub image_bytes_max: ByteSize,
    /// Largest image in pixels, width times height.
    pub image_pixels_max: u64,
    /// Largest bundle.
    pub bundle_bytes_max: ByteSize,
    /// Most results of a search.
    pub k_max: u32,
    /// Most searches in a batch.
    pub batch_max: usize,
    /// Most picked items.
    pub picks_max: usize,
    /// Most filters, excluded ids and manipulations of a query, each.
    pub query_terms_max: usize,
    /// Most items in one UpsertItems stream or DeleteItems request.
    pub stream_items_max: usize,
    /// Most labels of an item.
    pub item_labels_max: usize,
    /// Most versions of heads that are not retired.
    pub heads_max: usize,
    /// Longest that a head may take for a picture, milliseconds, when it is tried before it is registered.
    pub head_ms_max: u64,
    /// Most profiles, of all subjects together.
    pub profiles_max: usize,
    /// Earlier versions of a profile kept for undo.
    pub profile_undo_max: usize,
    /// Open connections. For one more, one that is of no use to anybody is closed: of the address that has most of them,
    /// the one that asked for nothing for longest. Where there is none, it waits.
    pub connections_max: usize,
    /// Open connections of one address (of one /64 network, with IPv6); more are closed at once.
    pub connections_per_address_max: usize,
    /// Seconds that a new connection may take to say what it speaks, encryption included.
    pub greeting_seconds: u32,
    /// Seconds after which a connection is asked to end; requests that are under way on it may finish.
    pub connection_age_seconds: u32,
    /// Requests in flight: in all, of a connection, and of a token. More are refused. One whose message is not whole counts
    /// for its connection alone.
    pub requests_max: usize,
    /// See `requests_max`.
    pub requests_per_connection_max: usize,
    /// See `requests_max`.
    pub requests_per_token_max: usize,
    /// Streams in flight (uploads, exports, backups, watches); they take no place from other requests. One connection and
    /// one token have at most half of them. As many again may watch the server's health.
    pub streams_max: usize,
    /// Seconds that a caller may send nothing of a request, or read nothing of an answer, before it is ended; a message that
    /// has begun may come by 16 KiB a second after them. Also how long an upload waits for room while none is given back.
    pub stall_seconds: u32,
    /// Bytes of the messages of all requests in flight: half of them for calls, where more are refused, and half for
    /// streams, where more wait. As many as the half may be answers of calls, and images in pieces, that are not read yet.
    /// One connection, one token and one address have at most half of each. One message always fits.
    pub request_bytes_max: ByteSize,
    /// Pixels that are decoded at a time, of queries and of ingest each; more wait their turn.
    pub decoding_pixels_max: u64,
    /// Images of queries waiting for the model; more are refused. One connection and one token have at most half of them.
    pub query_images_max: usize,
    /// Images of ingest and backfill waiting for the model; more wait their turn.
    pub ingest_images_max: usize,
}

/// What a message may have beside its image.
const MESSAGE_MARGIN: usize = 1 << 20;

impl Limits {
    /// Bytes of one message.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.image_bytes_max.0.saturating_add(MESSAGE_MARGIN)
    }

    /// How long a stream may stand still.
    pub(crate) fn stall(&self) -> Duration {
        Duration::from_secs(self.stall_seconds.into())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            image_bytes_max: ByteSize(10 << 20),
            image_pixels_max: 40_000_000,
            bundle_bytes_max: ByteSize(64 << 20),
            k_max: 1000,
            batch_max: 100,
            picks_max: 100,
            query_terms_max: 100,
            stream_items_max: 10_000,
            item_labels_max: 100,
            heads_max: 64,
            head_ms_max: 100,
            profiles_max: 1_000_000,
            profile_undo_max: 20,
            connections_max: 1024,
            connections_per_address_max: 512,
            greeting_seconds: 10,
            connection_age_seconds: 43_200,
            requests_max: 256,
            requests_per_connection_max: 128,
            requests_per_token_max: 128,
            streams_max: 64,
            stall_seconds: 60,
            request_bytes_max: ByteSize(512 << 20),
            decoding_pixels_max: 80_000_000,
            query_images_max: 32,
            ingest_images_max: 64,
        }
    }
}
