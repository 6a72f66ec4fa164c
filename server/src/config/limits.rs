//! Bounds on what callers may ask for.

use super::ByteSize;
use crate::store::PICTURES_MAX;
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
    /// Largest bundle. A share of `request_bytes_max` has room for it and a message beside it.
    pub bundle_bytes_max: ByteSize,
    /// Most results of a search.
    pub k_max: u32,
    /// Most results of a search together with those passed over before them, by an offset or on earlier pages; no less than
    /// `k_max`.
    pub window_max: usize,
    /// Most results of one group of a search.
    pub group_results_max: usize,
    /// Most searches in a batch.
    pub batch_max: usize,
    /// Most picked items.
    pub picks_max: usize,
    /// Most filters, excluded ids and manipulations of a query, each.
    pub query_terms_max: usize,
    /// Most nodes of a filter's tree.
    pub filter_nodes_max: usize,
    /// Most labels and values in a filter's tree, of all its conditions together.
    pub filter_values_max: usize,
    /// Most facets of a request.
    pub facets_max: usize,
    /// Most values that a facet returns, and most bounds that it may have.
    pub facet_values_max: usize,
    /// Most items in one UpsertItems stream or DeleteItems request, in the latter no more than a message may have fields
    /// ([`lapel_proto::FIELDS_MAX`]).
    pub stream_items_max: usize,
    /// Most pictures of an item, 8 at the most. All of them come in one message.
    pub item_pictures_max: u32,
    /// Most labels of an item.
    pub item_labels_max: usize,
    /// Most fields of an item.
    pub item_fields_max: usize,
    /// Most different fields that the items of the catalogue have.
    pub fields_max: usize,
    /// Most items that one deletion by filter takes: other writes wait until it is durable.
    pub delete_items_max: usize,
    /// Most keywords in one field of an item.
    pub keywords_max: usize,
    /// Most versions of heads that are not retired.
    pub heads_max: usize,
    /// Longest that a head may take for a picture, milliseconds, when it is tried before it is registered.
    pub head_ms_max: u64,
    /// Examples of one label that a head is taught from, at least 2; of more, which of them are left out follows from their
    /// ids.
    pub teach_examples_max: usize,
    /// Most labels that a head is taught to tell apart, 2 to 1,000.
    pub teach_labels_max: usize,
    /// Captions of all labels that a head is taught from words by, at least 2.
    pub teach_prompts_max: usize,
    /// Bytes of the vectors of all examples that a head is taught from; one head is taught at a time, and takes a few times
    /// as much memory.
    pub teach_bytes_max: ByteSize,
    /// Longest that the fit of a head may take, seconds.
    pub teach_seconds_max: u64,
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
/// Labels of an attribute that a bundle may have.
const HEAD_LABELS_MAX: usize = 1000;

impl Limits {
    /// Bytes of one message.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.image_bytes_max.0.saturating_add(MESSAGE_MARGIN)
    }

    /// Bytes of each pool of messages: those of calls, of streams, and of answers. One message always fits.
    pub(crate) fn pool_bytes(&self) -> usize {
        (self.request_bytes_max.0 / 2).max(self.message_bytes_max())
    }

    /// Bytes of a pool that one connection, token or address may have. One message always fits.
    pub(crate) fn share_bytes(&self) -> usize {
        self.pool_bytes().div_ceil(2).max(self.message_bytes_max())
    }

    /// Bounds that contradict each other, with what to change.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.decoding_pixels_max < self.image_pixels_max {
            faults.push(format!(
                "limits.decoding_pixels_max is {}; one image may have {} (limits.image_pixels_max)",
                self.decoding_pixels_max, self.image_pixels_max
            ));
        }
        if self.window_max < self.k_max as usize {
            faults.push(format!(
                "limits.window_max is {}; one search may ask for {} results (limits.k_max)",
                self.window_max, self.k_max
            ));
        }
        if self.item_pictures_max > PICTURES_MAX {
            faults.push(format!(
                "limits.item_pictures_max is {}; an item has at most {PICTURES_MAX} pictures",
                self.item_pictures_max
            ));
        }
        for (limit, value) in [
            ("teach_examples_max", self.teach_examples_max),
            ("teach_labels_max", self.teach_labels_max),
            ("teach_prompts_max", self.teach_prompts_max),
        ] {
            if value < 2 {
                faults.push(format!("limits.{limit} is {value}; nothing can be taught by fewer than 2"));
            }
        }
        if self.teach_labels_max > HEAD_LABELS_MAX {
            faults.push(format!(
                "limits.teach_labels_max is {}; a head tells at most {HEAD_LABELS_MAX} labels",
                self.teach_labels_max
            ));
        }
        let message = self.message_bytes_max();
        if self.request_bytes_max.0 < message {
            faults.push(format!(
                "limits.request_bytes_max is {}; one message may have {message} (limits.image_bytes_max and 1 MiB)",
                self.request_bytes_max.0
            ));
        }
        // A bundle is kept whole while the messages with its pieces come.
        let wanted = self.bundle_bytes_max.0.saturating_add(message);
        if self.share_bytes() < wanted {
            faults.push(format!(
                "limits.bundle_bytes_max is {}; with a message of {message} more than the {} that one upload may have in \
                 memory: raise limits.request_bytes_max to {} or lower limits.bundle_bytes_max",
                self.bundle_bytes_max.0,
                self.share_bytes(),
                wanted.saturating_mul(4)
            ));
        }
        faults
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
            window_max: 10_000,
            group_results_max: 100,
            batch_max: 100,
            picks_max: 100,
            query_terms_max: 100,
            filter_nodes_max: 256,
            filter_values_max: 10_000,
            facets_max: 50,
            facet_values_max: 1000,
            stream_items_max: 10_000,
            item_pictures_max: PICTURES_MAX,
            item_labels_max: 100,
            item_fields_max: 100,
            fields_max: 256,
            delete_items_max: 100_000,
            keywords_max: 100,
            heads_max: 64,
            head_ms_max: 100,
            teach_examples_max: 2000,
            teach_labels_max: 100,
            teach_prompts_max: 1000,
            teach_bytes_max: ByteSize(256 << 20),
            teach_seconds_max: 300,
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn limits(request_mib: usize) -> Limits {
        Limits { request_bytes_max: ByteSize(request_mib * MIB), ..Limits::default() }
    }

    #[test]
    fn one_message_fits_into_the_smallest_share() {
        // A message has 11 MiB.
        for (request, pool, share) in [(12, 11, 11), (40, 20, 11), (64, 32, 16), (512, 256, 128)] {
            let limits = limits(request);
            assert_eq!((limits.pool_bytes(), limits.share_bytes()), (pool * MIB, share * MIB), "{request}");
        }
    }

    #[test]
    fn a_bundle_that_never_fits_is_refused_with_what_to_raise() {
        // 64 MiB with a message of 11, four times.
        assert_eq!(limits(300).contradictions(), Vec::<String>::new());
        let refused = limits(299).contradictions();
        let [told] = refused.as_slice() else { panic!("{refused:?}") };
        assert!(told.starts_with("limits.bundle_bytes_max is 67108864; "), "{told}");
        assert!(told.contains(&format!("raise limits.request_bytes_max to {}", 300 * MIB)), "{told}");
        let smaller = Limits { bundle_bytes_max: ByteSize(MIB), ..limits(64) };
        assert_eq!(smaller.contradictions(), Vec::<String>::new());
    }

    #[test]
    fn an_item_has_at_most_eight_pictures() {
        let several = |item_pictures_max| Limits { item_pictures_max, ..Limits::default() };
        assert_eq!(several(8).contradictions(), Vec::<String>::new());
        let told = "limits.item_pictures_max is 9; an item has at most 8 pictures";
        assert_eq!(several(9).contradictions(), [told]);
    }

    #[test]
    fn heads_can_be_taught() {
        let taught = |teach_examples_max, teach_labels_max| {
            Limits { teach_examples_max, teach_labels_max, ..Limits::default() }.contradictions()
        };
        assert_eq!(taught(2, 2), Vec::<String>::new());
        let refused = taught(1, 0);
        let [examples, labels] = refused.as_slice() else { panic!("{refused:?}") };
        assert!(examples.starts_with("limits.teach_examples_max is 1; "), "{examples}");
        assert!(labels.starts_with("limits.teach_labels_max is 0; "), "{labels}");
        assert_eq!(taught(2, 1000), Vec::<String>::new());
        assert_eq!(taught(2, 1001), ["limits.teach_labels_max is 1001; a head tells at most 1000 labels"]);
        let refused = Limits { teach_prompts_max: 1, ..Limits::default() }.contradictions();
        assert!(
            refused.len() == 1 && refused[0].starts_with("limits.teach_prompts_max is 1; "),
            "{refused:?}"
        );
    }

    #[test]
    fn a_window_holds_the_results_of_one_search() {
        let windowed = |window_max| Limits { window_max, ..Limits::default() };
        assert_eq!(windowed(1000).contradictions(), Vec::<String>::new());
        let refused = windowed(999).contradictions();
        let [told] = refused.as_slice() else { panic!("{refused:?}") };
        assert_eq!(told, "limits.window_max is 999; one search may ask for 1000 results (limits.k_max)");
    }
}
