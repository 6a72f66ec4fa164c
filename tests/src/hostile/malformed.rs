//! What is no message, no HTTP/2, or asks for nothing that there is.

use super::call::{call, message};
use super::crowd::{End, GREETING};
use super::target::Target;
use crate::{by_image, by_item};
use lapel_client::v1::SearchRequest;
use lapel_client::v1::search_service_client::SearchServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::codegen::Bytes;

pub(super) async fn visit(server: Target, number: u64) -> End {
    match number % 8 {
        0 => call(server.channel, "Search", message(64, &[0xff; 64])).await,
        1 => call(server.channel, "Search", message(100, b"cut short")).await,
        // The flag of a compressed message, without a word about how.
        2 => call(server.channel, "Search", Bytes::from_static(&[1, 0, 0, 0, 2, 7, 7])).await,
        3 => call(server.channel, "NoSuchMethod", message(0, &[])).await,
        4 => search(server, by_item("g0", 0)).await,
        5 => search(server, by_image(b"no photo".to_vec(), 1)).await,
        // After the greeting, a frame that is longer than any may be.
        6 => say(server, &[GREETING, &[0xff; 64]].concat()).await,
        _ => say(server, b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await,
    }
}

async fn search(server: Target, request: SearchRequest) -> End {
    End::of(&SearchServiceClient::new(server.channel).search(request).await)
}

/// Says something on a connection of its own, and stays until the server closes it.
async fn say(server: Target, bytes: &[u8]) -> End {
    let Ok(mut stream) = server.socket().await else { return End::Refused };
    if stream.write_all(bytes).await.is_ok() {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    End::Refused
}
