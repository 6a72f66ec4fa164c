//! HTTP/1.1 as browsers and strangers speak it, byte by byte.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything takes that is answered at all.
const WAIT: Duration = Duration::from_secs(20);
/// The first byte of the message of gRPC-web that has the trailers.
const TRAILERS: u8 = 0x80;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status; 0 where the server closed the connection without one.
    pub status: u16,
    /// The header lines.
    pub headers: Vec<(String, String)>,
    /// The body, out of its chunks.
    pub body: Vec<u8>,
}

/// A connection.
///
/// # Panics
/// When there is none.
pub async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address.trim_start_matches("http://")).await.expect("connects")
}

/// Sends bytes and reads what comes back, until the server closes the connection.
///
/// # Panics
/// When it does not close it.
pub async fn say(address: &str, bytes: &[u8]) -> Answer {
    let mut stream = connect(address).await;
    // A server that refuses early may have closed it already.
    let _ = stream.write_all(bytes).await;
    until_closed(stream).await
}

/// Reads what comes back, until the server closes the connection.
///
/// # Panics
/// When it does not close it.
pub async fn until_closed(mut stream: TcpStream) -> Answer {
    let mut came = Vec::new();
    // How it is closed is the system's affair.
    let _ = timeout(WAIT, stream.read_to_end(&mut came)).await.expect("closed in time");
    Answer::parse(&came)
}

/// Asks on a connection of its own: a method, a path, header lines, and a body.
///
/// # Panics
/// When it is not answered.
pub async fn ask(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let host = address.trim_start_matches("http://");
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("Host: {host}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    say(address, &[format!("{head}\r\n").as_bytes(), body].concat()).await
}

/// Calls a method over gRPC-web with one message.
pub async fn call(address: &str, path: &str, headers: &[(&str, &str)], message: &[u8]) -> Answer {
    let kind = [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")];
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let body = [&[0][..], &length, message].concat();
    ask(address, "POST", path, &[&kind[..], headers].concat(), &body).await
}

impl Answer {
    fn parse(came: &[u8]) -> Self {
        let end = came.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = end.map_or((came, &[][..]), |end| (&came[..end], &came[end + 4..]));
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let mut answer = Self { status, headers: lines.filter_map(header).collect(), body: body.to_vec() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = unchunked(body);
        }
        answer
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    /// The messages of an answer in gRPC-web, and the text of its trailers; a refusal has them as headers.
    #[must_use]
    pub fn messages(&self) -> (Vec<Vec<u8>>, String) {
        let (mut messages, mut trailers, mut rest) = (Vec::new(), String::new(), self.body.as_slice());
        while let [kind, a, b, c, d, after @ ..] = rest {
            let length = (u32::from_be_bytes([*a, *b, *c, *d]) as usize).min(after.len());
            let (message, after) = after.split_at(length);
            match *kind {
                TRAILERS => trailers = String::from_utf8_lossy(message).into_owned(),
                _ => messages.push(message.to_vec()),
            }
            rest = after;
        }
        (messages, trailers)
    }

    /// The code of a call, wherever it is told.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        let (_, trailers) = self.messages();
        let line = trailers.lines().find_map(|line| line.strip_prefix("grpc-status:"));
        line.or(self.header("grpc-status"))?.trim().parse().ok()
    }
}

/// A body out of its chunks; up to where it was cut off.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size =
            std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { break };
        let chunk = rest.get(end + 2..end + 2 + size).unwrap_or_default();
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    body
}
