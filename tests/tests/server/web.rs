//! What browsers get: gRPC-web over HTTP/1.1 and HTTP/2, whose pages may call, and the console's files.

use futures_util::stream;
use lapel_client::v1;
use lapel_server::{NewToken, Role};
use lapel_tests::http1::{Answer, ask, call, connect, say, until_closed};
use lapel_tests::probes::in_flight;
use lapel_tests::{TestServer, external_bundle, raw};
use prost::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Endpoint;

/// Longer than anything here takes.
const WAIT: Duration = Duration::from_secs(20);
const STATS: &str = "/lapel.v1.CatalogService/CatalogStats";
const EXPORT: &str = "/lapel.v1.CatalogService/ExportItems";
const UPSERT: &str = "/lapel.v1.CatalogService/UpsertItem";
/// Of a page that may not call.
const STRANGER: (&str, &str) = ("origin", "https://evil.example");
/// Of a page that may.
const SHOP: (&str, &str) = ("origin", "https://shop.example");

async fn server(change: impl FnOnce(&mut lapel_server::Config)) -> TestServer {
    TestServer::start_with(|config| {
        config.model.heads.clear();
        config.operation.probes = Some(([127, 0, 0, 1], 0).into());
        change(config);
    })
    .await
}

/// What stores an item without an image.
fn mood(id: &str) -> Vec<u8> {
    let signature = v1::Signature { head: "mood".into(), values: vec![1.0, 0.0] };
    let item = v1::UpsertItemsRequest { id: id.into(), signatures: vec![signature], ..Default::default() };
    v1::UpsertItemRequest { item: Some(item) }.encode_to_vec()
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test]
async fn calls_and_streams_are_answered_over_http1() {
    let server = server(|_| {}).await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 2, &["calm"])).await.expect("registered");
    for (id, replaced) in [("a", false), ("b", false), ("b", true)] {
        let answer = call(&server.address, UPSERT, &[], &mood(id)).await;
        assert_eq!((answer.status, answer.code()), (200, Some(0)), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/grpc-web+proto"));
        let (messages, trailers) = answer.messages();
        let upserted = v1::UpsertItemResponse::decode(messages[0].as_slice()).expect("a message");
        assert_eq!(
            (upserted.replaced, trailers.contains("grpc-status: 0\r\n")),
            (replaced, true),
            "{trailers}"
        );
    }
    let exported = call(&server.address, EXPORT, &[], &[]).await;
    let (messages, _) = exported.messages();
    assert_eq!((messages.len(), exported.code()), (2, Some(0)), "{exported:?}");
    // A refusal has no message, and its status in the headers.
    let refused = call(&server.address, UPSERT, &[], &[]).await;
    assert_eq!(refused.header("grpc-status"), Some("3"), "{refused:?}");
    assert!(refused.header("grpc-status-details-bin").is_some() && refused.body.is_empty());
    for (path, code) in
        [("/lapel.v1.CatalogService/Nothing", Code::Unimplemented), (UPSERT, Code::InvalidArgument)]
    {
        assert_eq!(call(&server.address, path, &[], &[]).await.code(), Some(code as i32), "{path}");
    }
    server.finish().await;
}

#[tokio::test]
async fn both_protocols_are_spoken_over_http2_and_other_kinds_are_refused_in_words() {
    let server = server(|_| {}).await;
    let channel = Endpoint::from_shared(server.address.clone()).expect("an address").connect().await;
    let channel = channel.expect("connects");
    let message = || stream::iter([raw::message(0, &[])]);
    let web = [("content-type", "application/grpc-web+proto")];
    let answer = raw::post(channel.clone(), STATS, &web, message()).await.expect("answered");
    assert_eq!(answer.headers()["content-type"], "application/grpc-web+proto");
    let body = raw::body(answer).await.expect("whole");
    assert!(body.ends_with(b"grpc-status: 0\r\n"), "{body:?}");
    let text = [("content-type", "application/grpc-web-text+proto")];
    let refused = raw::code(raw::post(channel, STATS, &text, message()).await).await;
    assert_eq!(refused, Some(Code::Unimplemented));
    let address = &server.address;
    let refused = ask(address, "POST", STATS, &text, b"AAAAAAA=").await;
    assert_eq!(refused.code(), Some(Code::Unimplemented as i32));
    assert!(
        refused.header("grpc-message").is_some_and(|told| told.contains("grpc-web+proto")),
        "{refused:?}"
    );
    let (status, told) =
        refusal(&ask(address, "POST", STATS, &[("content-type", "application/grpc")], &[0; 5]).await);
    assert!(status == 415 && told.contains("HTTP/2"), "{status} {told}");
    server.finish().await;
}

#[tokio::test]
async fn pages_of_strangers_may_not_call_and_listed_ones_may() {
    let server = server(|config| config.web.origins = vec![SHOP.1.to_owned()]).await;
    let address = &server.address;
    let preflight = |origin: (&'static str, &'static str)| async move {
        let asks = [origin, ("access-control-request-method", "POST")];
        ask(address, "OPTIONS", STATS, &asks, &[]).await
    };
    let allowed = preflight(SHOP).await;
    assert_eq!(
        (allowed.status, allowed.header("access-control-allow-origin")),
        (204, Some(SHOP.1)),
        "{allowed:?}"
    );
    assert!(allowed.header("access-control-allow-headers").is_some_and(|all| all.contains("authorization")));
    assert_eq!(preflight(STRANGER).await.status, 403);
    let read = call(address, STATS, &[SHOP], &[]).await;
    assert_eq!((read.code(), read.header("access-control-allow-origin")), (Some(0), Some(SHOP.1)));
    assert!(read.header("access-control-expose-headers").is_some_and(|all| all.contains("grpc-status")));
    let refused = call(address, STATS, &[STRANGER], &[]).await;
    let (status, told) = refusal(&refused);
    assert!(status == 403 && told.contains("web.origins"), "{status} {told}");
    assert_eq!(refused.header("cache-control"), Some("no-store"), "another page may get another answer");
    // Its own pages: by the name of this machine, and not by one that a stranger has pointed here.
    let own = [("host", "localhost:7700"), ("origin", "http://localhost:7700")];
    assert_eq!(call(address, STATS, &own, &[]).await.code(), Some(0));
    let pointed = [("host", "evil.example:7700"), ("origin", "http://evil.example:7700")];
    assert_eq!(call(address, STATS, &pointed, &[]).await.status, 403);
    server.finish().await;
}

#[tokio::test]
async fn the_console_and_calls_lie_below_the_base_path() {
    let server = server(|config| config.web.base_path = "/tools/lapel".into()).await;
    let address = &server.address;
    let index = ask(address, "GET", "/tools/lapel/", &[], &[]).await;
    assert_eq!((index.status, index.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(
        index
            .header("content-security-policy")
            .is_some_and(|policy| policy.contains("frame-ancestors 'none'"))
    );
    let head = ask(address, "HEAD", "/tools/lapel/", &[], &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), index.header("content-length"));
    let tag = index.header("etag").expect("a tag");
    assert_eq!(ask(address, "GET", "/tools/lapel/", &[("if-none-match", tag)], &[]).await.status, 304);
    let moved = ask(address, "GET", "/tools/lapel", &[], &[]).await;
    assert_eq!((moved.status, moved.header("location")), (308, Some("/tools/lapel/")));
    for elsewhere in
        ["/", "/index.html", "/tools/lapel/../lapel/", "/tools/lapel//index.html", "/tools/lapelx/"]
    {
        assert_eq!(ask(address, "GET", elsewhere, &[], &[]).await.status, 404, "{elsewhere}");
    }
    for base in ["", "/tools/lapel"] {
        assert_eq!(call(address, &format!("{base}{STATS}"), &[], &[]).await.code(), Some(0), "{base}");
    }
    server.finish().await;
    let server = self::server(|config| config.web.console = false).await;
    assert_eq!(ask(&server.address, "GET", "/", &[], &[]).await.status, 404);
    assert_eq!(call(&server.address, STATS, &[], &[]).await.code(), Some(0), "calls are answered without it");
    server.finish().await;
}

#[tokio::test]
async fn nothing_of_the_console_is_served_to_who_may_not_search() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tokens.toml");
    let tokens = [Role::Search, Role::Write].map(|role| NewToken::new(role.name(), &[role]).expect("made"));
    std::fs::write(&path, tokens.each_ref().map(|token| token.entry.as_str()).concat()).expect("written");
    let [searches, writes] = tokens.each_ref().map(|token| format!("Bearer {}", token.secret));
    let server = server(|config| config.access.tokens = Some(path)).await;
    let address = &server.address;
    let page =
        |cookie: String| async move { ask(address, "GET", "/", &[("cookie", cookie.as_str())], &[]).await };
    let (nobody, file) = (page(String::new()).await, ask(address, "GET", "/index.html", &[], &[]).await);
    assert!(nobody.status == 200 && refusal(&nobody).1.contains("sign-in.js") && file.status == 404);
    for (shown, status) in [("Bearer lapel_0", 401), (writes.as_str(), 403), ("", 401)] {
        let refused = ask(address, "POST", "/sign-in", &[("authorization", shown)], &[]).await;
        assert_eq!((refused.status, refused.header("set-cookie")), (status, None), "{shown}");
    }
    let signed_in = ask(address, "POST", "/sign-in", &[("authorization", searches.as_str())], &[]).await;
    let cookie = signed_in.header("set-cookie").expect("a cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(&searches[7..])
    );
    let cookie = cookie.split(';').next().expect("a value").to_owned();
    let console = page(cookie.clone()).await;
    assert_ne!(console.header("etag"), nobody.header("etag"));
    assert_eq!(
        console.header("etag"),
        ask(address, "GET", "/", &[("authorization", searches.as_str())], &[]).await.header("etag")
    );
    assert_eq!(page(cookie.replace("session=", "session=0")).await.header("etag"), nobody.header("etag"));
    // A cookie opens files, and no call.
    assert_eq!(
        call(address, STATS, &[("cookie", cookie.as_str())], &[]).await.code(),
        Some(Code::Unauthenticated as i32)
    );
    assert_eq!(call(address, STATS, &[("authorization", searches.as_str())], &[]).await.code(), Some(0));
    let out = ask(address, "POST", "/sign-out", &[("cookie", cookie.as_str())], &[]).await;
    assert!(out.header("set-cookie").is_some_and(|gone| gone.contains("Max-Age=0")), "{out:?}");
    server.finish().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_gives_its_place_back() {
    let server = server(|config| config.limits.connections_max = 4).await;
    let address = &server.address;
    let host = "Host: localhost\r\n";
    for (bytes, status) in [
        (format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(64 << 10)), 431),
        (format!("GET / HTTP/1.1\r\n{}{host}\r\n", "A: b\r\n".repeat(200)), 431),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(70 << 10)), 431),
        ("NONSENSE\r\n\r\n".into(), 400),
        ("GET / HTTP/9.9\r\n\r\n".into(), 400),
        (format!("BREW / HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), 405),
        (format!("TRACE / HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), 405),
        (format!("OPTIONS * HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), 405),
        (format!("GET http://evil.example/../etc/passwd HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), 404),
        (format!("GET /..%2f..%2fetc/passwd HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), 404),
        (format!("POST {STATS} HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), 400),
    ] {
        let answer = say(address, bytes.as_bytes()).await;
        // One that is refused while it is sent may find its connection reset before it reads.
        let first = bytes.lines().next().unwrap_or_default();
        assert!(
            answer.status == status || answer.status == 0 && bytes.len() > 1 << 16,
            "{first:.60}: {answer:?}"
        );
    }
    // Requests that do not wait for each other's answers are answered in their order.
    let one = format!("GET / HTTP/1.1\r\n{host}\r\n");
    let last = format!("GET /nothing HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    let mut stream = connect(address).await;
    stream.write_all(format!("{one}{one}{last}").as_bytes()).await.expect("sent");
    let mut came = Vec::new();
    timeout(WAIT, stream.read_to_end(&mut came)).await.expect("closed in time").expect("read");
    let came = String::from_utf8_lossy(&came);
    let statuses: Vec<&str> = came.matches("HTTP/1.1 200 OK").chain(came.matches("HTTP/1.1 404")).collect();
    assert_eq!(statuses.len(), 3, "{came}");
    assert_eq!(call(address, STATS, &[], &[]).await.code(), Some(0), "there are places");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_slowly_or_nothing_gives_its_place_back() {
    let server = server(|config| {
        config.limits.greeting_seconds = 1;
        config.limits.stall_seconds = 1;
        config.limits.requests_max = 2;
    })
    .await;
    let address = &server.address;
    // Half a head at once, one that drips, and one after a whole request.
    let half = say(address, b"GET / HTTP/1.1\r\nHost: lo");
    let drip = async {
        let mut stream = connect(address).await;
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX: xxxxxxxxxxxxxxxxx".iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let second = say(address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTT");
    let (half, _, second) =
        timeout(WAIT, async { tokio::join!(half, drip, second) }).await.expect("closed in time");
    assert_ne!(half.status, 200);
    assert_eq!(second.status, 200);
    // A call whose message does not come is told so, and more than there are places for give them back.
    let probes = server.probes.expect("configured");
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(address).await;
        let head = format!(
            "POST {STATS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc-web\r\nConnection: close\r\n\
             Content-Length: 105\r\n\r\n"
        );
        let begun = [head.as_bytes(), &raw::message(100, b"cut")[..]].concat();
        stream.write_all(&begun).await.expect("sent");
        open.push(stream);
    }
    for stream in open {
        let stalled = until_closed(stream).await;
        assert_eq!(stalled.code(), Some(Code::DeadlineExceeded as i32), "{stalled:?}");
    }
    let ended = async { while in_flight(probes).await > 0 {} };
    timeout(WAIT, ended).await.expect("the places are given back");
    assert_eq!(call(address, STATS, &[], &[]).await.code(), Some(0));
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_half_a_head() {
    let mut server = server(|config| {
        config.limits.greeting_seconds = 600;
        config.limits.stall_seconds = 600;
    })
    .await;
    let mut open = Vec::new();
    for begun in ["", "GET / HTTP/1.1\r\nHost: lo", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTT"] {
        let mut stream = connect(&server.address).await;
        stream.write_all(begun.as_bytes()).await.expect("sent");
        open.push(stream);
    }
    // The last has its first answer: the server has read what came before it.
    let mut answered = [0; 12];
    timeout(WAIT, open[2].read_exact(&mut answered)).await.expect("in time").expect("answered");
    assert_eq!(&answered, b"HTTP/1.1 200");
    timeout(WAIT, server.stop()).await.expect("it stops while they stay");
    drop(open);
    server.finish().await;
}

/// Bytes of a next request keep the protocol from reading on, so that it does not see its client leave.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_its_client_has_left() {
    let server = server(|config| config.limits.stall_seconds = 1).await;
    let probes = server.probes.expect("configured");
    let mut stream = connect(&server.address).await;
    let head = "POST /grpc.health.v1.Health/Watch HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/grpc-web\r\nContent-Length: 5\r\n\r\n";
    let asked = [head.as_bytes(), &raw::message(0, b"")[..], b"GET / HTTP/1.1\r\n"].concat();
    stream.write_all(&asked).await.expect("sent");
    let mut begun = [0; 16];
    timeout(WAIT, stream.read_exact(&mut begun)).await.expect("in time").expect("answered");
    assert!(in_flight(probes).await > 0, "it goes on");
    drop(stream);
    let ended = async { while in_flight(probes).await > 0 {} };
    timeout(WAIT, ended).await.expect("it ends with its client");
    server.finish().await;
}

#[tokio::test]
async fn a_request_has_one_host_and_one_origin() {
    let server = server(|_| {}).await;
    let address = &server.address;
    for hosts in ["", "Host: localhost\r\nHost: evil.example\r\n"] {
        let answer =
            say(address, format!("GET / HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(answer.status, 400, "{hosts}: {answer:?}");
    }
    let own = format!("http://{}", address.trim_start_matches("http://"));
    let twice = [("origin", own.as_str()), STRANGER];
    assert_eq!(call(address, STATS, &twice, &[]).await.status, 403);
    let file = own.replace("http://", "file://");
    assert_eq!(call(address, STATS, &[("origin", &file)], &[]).await.status, 403);
    assert_eq!(call(address, STATS, &[("origin", &own)], &[]).await.code(), Some(0));
    server.finish().await;
}
