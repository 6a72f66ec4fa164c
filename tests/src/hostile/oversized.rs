//! Messages beyond the bound: announced, sent, or large only when they are decompressed.

use super::call::{call_with, message};
use super::crowd::End;
use super::target::Target;
use crate::by_image;
use futures_util::{StreamExt, stream};
use lapel_client::v1::search_service_client::SearchServiceClient;
use tonic::codec::CompressionEncoding;

/// A little more than a message may have (`limits.image_bytes_max` and 1 MiB).
const BYTES: usize = 12 << 20;

pub(super) async fn visit(server: Target, number: u64) -> End {
    let mut client = SearchServiceClient::new(server.channel.clone());
    match number % 3 {
        0 => {
            // Two gigabytes, which never come.
            let begun = stream::iter([message(u32::MAX / 2, &[])]);
            call_with(server.channel, "Search", begun.chain(stream::pending())).await
        }
        1 => End::of(&client.search(by_image(vec![0; BYTES], 1)).await),
        _ => {
            let mut client = client.send_compressed(CompressionEncoding::Gzip);
            End::of(&client.search(by_image(vec![0; BYTES], 1)).await)
        }
    }
}
