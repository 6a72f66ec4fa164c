//! What a server's probes tell, over plain HTTP.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The status line and the body of an answer.
///
/// # Panics
/// When there is none.
pub async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

/// Requests that have not ended.
pub async fn in_flight(address: SocketAddr) -> u64 {
    metric(&get(address, "/metrics").await.1, "lapel_requests_in_flight")
}

/// Searches that a server has been asked for; those under way count while there is no request of another kind.
pub async fn searches_begun(address: SocketAddr) -> u64 {
    let (_, text) = get(address, "/metrics").await;
    let ended = metric(&text, "lapel_request_seconds_count{method=\"lapel.v1.SearchService/Search\"}");
    // Asked for afterwards, so that none counts twice.
    ended + in_flight(address).await
}

/// Heads whose signatures the last start took over from the stop before.
pub async fn heads_restored(address: SocketAddr) -> u64 {
    metric(&get(address, "/metrics").await.1, "lapel_heads_restored")
}

/// Bytes of signatures in a place.
pub async fn signature_bytes(address: SocketAddr, place: &str) -> u64 {
    let name = format!("lapel_signature_bytes{{place=\"{place}\"}}");
    metric(&get(address, "/metrics").await.1, &name)
}

/// The value of a metric; 0 where it is not told yet.
fn metric(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}
