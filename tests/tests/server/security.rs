//! Who may do what, over encrypted connections, and what never reaches the log.

use lapel_client::{Access, Client, v1};
use lapel_proto::FILE_DESCRIPTOR_SET;
use lapel_render::{render, to_jpeg};
use lapel_server::{NewToken, Role, Server, TlsFiles};
use lapel_tests::{TestServer, by_image, config_in, item};
use prost::Message;
use prost_types::FileDescriptorSet;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

const ROLES: [Role; 4] = [Role::Search, Role::Write, Role::Heads, Role::Admin];

/// One token a role, in a file; the secrets in the order of [`ROLES`].
fn write_tokens(path: &Path) -> Vec<String> {
    let tokens: Vec<NewToken> =
        ROLES.iter().map(|role| NewToken::new(role.name(), &[*role]).expect("made")).collect();
    std::fs::write(path, tokens.iter().map(|t| t.entry.as_str()).collect::<String>()).expect("written");
    tokens.into_iter().map(|t| t.secret).collect()
}

/// Calls a method by its path with an empty message.
async fn call(address: &str, path: &str, secret: Option<&str>) -> Code {
    let channel =
        Endpoint::from_shared(address.to_owned()).expect("an address").connect().await.expect("connects");
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("ready");
    let mut request = Request::new(tokio_stream::iter([()]));
    if let Some(secret) = secret {
        let value = format!("Bearer {secret}").parse().expect("a header");
        request.metadata_mut().insert("authorization", value);
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let answer = client.streaming(request, PathAndQuery::try_from(path).expect("a path"), codec).await;
    match answer {
        Ok(answer) => answer.into_inner().message().await.err().map_or(Code::Ok, |status| status.code()),
        Err(status) => status.code(),
    }
}

/// The roles that the documentation promises for a method; a token needs one of them.
fn wanted(service: &str, method: &str) -> &'static [Role] {
    match (service, method) {
        (
            "CatalogService",
            "UpsertItem" | "UpsertItems" | "UpsertItemsStream" | "DeleteItems" | "DeleteItemsByFilter",
        ) => &[Role::Write],
        ("CatalogService", "CatalogStats") => &[Role::Search, Role::Write, Role::Admin],
        ("FeedbackService", "SaveProfile" | "UndoProfile" | "DeleteProfile") => &[Role::Write],
        ("FeedbackService", "ListProfiles") => &[Role::Search, Role::Admin],
        ("CatalogService", "ExportItems") | ("AdminService", _) => &[Role::Admin],
        (
            "HeadService",
            "GetHead" | "WatchHead" | "ListHeads" | "ListLabels" | "SuggestExamples" | "CompareHeads",
        ) => &[Role::Search, Role::Heads],
        ("GenerationService", "WatchGeneration" | "ListGenerations") => &[Role::Search, Role::Heads],
        ("HeadService" | "GenerationService", _) => &[Role::Heads],
        _ => &[Role::Search],
    }
}

#[tokio::test]
async fn every_method_refuses_whom_it_must() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tokens.toml");
    let secrets = write_tokens(&path);
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.access.tokens = Some(path.clone());
    })
    .await;
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
    let mut methods = 0;
    for service in set.file.iter().filter(|f| f.package() == "lapel.v1").flat_map(|f| &f.service) {
        for method in &service.method {
            let path = format!("/lapel.v1.{}/{}", service.name(), method.name());
            for bad in [None, Some(""), Some("lapel_0123"), Some(&*format!("{}x", secrets[0]))] {
                assert_eq!(call(&server.address, &path, bad).await, Code::Unauthenticated, "{path} {bad:?}");
            }
            for (role, secret) in ROLES.iter().zip(&secrets) {
                let code = call(&server.address, &path, Some(secret)).await;
                assert_ne!(code, Code::Unauthenticated, "{path}");
                let may = wanted(service.name(), method.name()).contains(role);
                assert_eq!(code != Code::PermissionDenied, may, "{path} as {}: {code:?}", role.name());
            }
            methods += 1;
        }
    }
    assert!(methods >= 30, "{methods}");
    // What is not written down is refused before anything else looks at it.
    for unknown in ["/lapel.v1.SearchService/Nothing", "/somebodys.v1.Service/Search"] {
        assert_eq!(call(&server.address, unknown, None).await, Code::Unauthenticated, "{unknown}");
        assert_eq!(call(&server.address, unknown, Some(&secrets[0])).await, Code::Unimplemented, "{unknown}");
    }
    // Health is for whoever asks, so that a probe needs no secret.
    let health = call(&server.address, "/grpc.health.v1.Health/Check", None).await;
    assert_eq!(health, Code::Ok);
    server.finish().await;
}

#[tokio::test]
async fn tokens_change_while_the_server_runs() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tokens.toml");
    let old = write_tokens(&path).remove(0);
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.access.tokens = Some(path.clone());
    })
    .await;
    let stats = "/lapel.v1.CatalogService/CatalogStats";
    assert_eq!(call(&server.address, stats, Some(&old)).await, Code::Ok);
    std::fs::write(&path, "[[token]]\nname = \"half").expect("written");
    let refused = server.reload().reload().expect_err("unsound").to_string();
    assert!(refused.contains("tokens.toml"), "{refused}");
    assert_eq!(call(&server.address, stats, Some(&old)).await, Code::Ok, "what was in force stays");
    let new = write_tokens(&path).remove(0);
    server.reload().reload().expect("sound");
    assert_eq!(call(&server.address, stats, Some(&old)).await, Code::Unauthenticated);
    assert_eq!(call(&server.address, stats, Some(&new)).await, Code::Ok);
    server.finish().await;
}

/// An authority, and a certificate of it for `localhost` in two files; the authority's PEM.
fn write_certificate(folder: &Path, name: &str) -> (CertifiedIssuer<'static, KeyPair>, TlsFiles) {
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("{name} authority"));
    let issuer =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("params").signed_by(&key, &issuer);
    let files = TlsFiles {
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}.key")),
        client_ca: None,
    };
    std::fs::write(&files.certificate, leaf.expect("signed").pem()).expect("written");
    std::fs::write(&files.key, key.serialize_pem()).expect("written");
    (issuer, files)
}

async fn stats(address: &str, access: &Access) -> Result<u64, String> {
    let mut client = Client::connect_with(address, access).await.map_err(|e| e.to_string())?;
    let answer = client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await;
    answer.map(|a| a.into_inner().items).map_err(|status: Status| format!("{status:?}"))
}

#[tokio::test]
async fn connections_are_encrypted_and_clients_show_their_certificates() {
    let folder = tempfile::tempdir().expect("folder");
    let (authority, mut files) = write_certificate(folder.path(), "server");
    let (clients, client) = write_certificate(folder.path(), "client");
    let trusting = Access { ca: Some(authority.pem().into_bytes()), ..Access::default() };
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.tls = Some(files.clone());
    })
    .await;
    let encrypted = server.address.replace("http://127.0.0.1", "https://localhost");
    assert_eq!(stats(&encrypted, &trusting).await, Ok(0));
    assert!(stats(&server.address, &Access::default()).await.is_err(), "nothing is served in the clear");
    let other = Access { ca: Some(clients.pem().into_bytes()), ..Access::default() };
    assert!(stats(&encrypted, &other).await.is_err(), "the client does not trust this authority");
    // A new certificate of another authority, without a restart.
    let mut kept = Client::connect_with(&encrypted, &trusting).await.expect("connects");
    std::fs::copy(&client.certificate, &files.certificate).expect("copied");
    std::fs::copy(&client.key, &files.key).expect("copied");
    server.reload().reload().expect("sound");
    assert_eq!(stats(&encrypted, &other).await, Ok(0));
    assert!(stats(&encrypted, &trusting).await.is_err());
    kept.catalog
        .catalog_stats(v1::CatalogStatsRequest::default())
        .await
        .expect("connections that are open go on");
    server.finish().await;
    // Mutual: clients need a certificate of the configured authority.
    let (authority, mutual) = write_certificate(folder.path(), "server");
    std::fs::write(folder.path().join("ca.pem"), clients.pem()).expect("written");
    files = TlsFiles { client_ca: Some(folder.path().join("ca.pem")), ..mutual };
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.tls = Some(files.clone());
    })
    .await;
    let encrypted = server.address.replace("http://127.0.0.1", "https://localhost");
    let nobody = Access { ca: Some(authority.pem().into_bytes()), ..Access::default() };
    assert!(stats(&encrypted, &nobody).await.is_err());
    let pair = |files: &TlsFiles| {
        let read = |path| std::fs::read(path).expect("read");
        Some((read(&files.certificate), read(&files.key)))
    };
    let (_, known) = write_certificate(folder.path(), "stranger");
    let stranger = Access { identity: pair(&known), ..nobody.clone() };
    assert!(stats(&encrypted, &stranger).await.is_err());
    assert_eq!(stats(&encrypted, &Access { identity: pair(&client), ..nobody }).await, Ok(0));
    server.finish().await;
}

#[tokio::test]
async fn an_encrypted_connection_that_says_nothing_is_closed() {
    let folder = tempfile::tempdir().expect("folder");
    let (authority, files) = write_certificate(folder.path(), "server");
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.tls = Some(files);
        config.limits.greeting_seconds = 1;
    })
    .await;
    let mut roots = RootCertStore::empty();
    let pem = authority.pem().into_bytes();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("an authority");
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = server.address.trim_start_matches("http://").to_owned();
    let stream = tokio::net::TcpStream::connect(&address).await.expect("connects");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("encrypted");
    // How it is closed is the system's affair; that it is, is ours.
    let mut rest = Vec::new();
    let closed = stream.read_to_end(&mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(10), closed).await.expect("closed in time");
    server.finish().await;
}

#[tokio::test]
async fn a_public_address_takes_encryption_and_tokens_or_a_flag() {
    let folder = tempfile::tempdir().expect("folder");
    let mut config = config_in(folder.path());
    config.model.heads.clear();
    config.listen = ([0, 0, 0, 0], 0).into();
    let refused = Server::start(config.clone()).await.err().expect("refused").to_string();
    assert!(refused.contains("--insecure-public") && refused.contains("access.tokens"), "{refused}");
    config.tls = Some(write_certificate(folder.path(), "server").1);
    assert!(Server::start(config.clone()).await.is_err(), "encryption alone keeps nobody out");
    let path = folder.path().join("tokens.toml");
    write_tokens(&path);
    config.access.tokens = Some(path);
    // Each in a folder of its own: what a server does in the background outlives it for a moment.
    drop(Server::start(config.clone()).await.expect("both"));
    (config.tls, config.access.tokens, config.access.insecure_public) = (None, None, true);
    config.data = folder.path().join("other");
    drop(Server::start(config.clone()).await.expect("told so"));
    config.tls = Some(TlsFiles {
        certificate: folder.path().join("nowhere.pem"),
        key: folder.path().join("server.key"),
        client_ca: None,
    });
    let refused = Server::start(config).await.err().expect("refused").to_string();
    assert!(refused.contains("nowhere.pem"), "{refused}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics here").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Keeps everything that this thread logs until the guard is dropped.
    fn start() -> (Self, DefaultGuard) {
        // With a single subscriber, tracing asks that of the thread that meets an event first, which may be another test's and
        // have none: the event would be told to nobody from then on.
        static OTHERS: LazyLock<[Dispatch; 2]> =
            LazyLock::new(|| [(); 2].map(|()| Dispatch::new(tracing_subscriber::registry())));
        LazyLock::force(&OTHERS);
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no test panics here")).into_owned()
    }
}

/// One thread, so that all of the server logs to the test's subscriber.
#[tokio::test(flavor = "current_thread")]
async fn a_refused_request_names_its_caller_and_an_upload_is_not_slow() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tokens.toml");
    let secrets = write_tokens(&path);
    let (log, guard) = Log::start();
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.access.tokens = Some(path.clone());
        config.operation.slow_ms = 1;
    })
    .await;
    let retire = "/lapel.v1.HeadService/RetireHead";
    assert_eq!(call(&server.address, retire, Some(&secrets[0])).await, Code::PermissionDenied);
    let access = Access { token: Some(secrets[1].clone()), ..Access::default() };
    let mut client = Client::connect_with(&server.address, &access).await.expect("connects");
    let items = (0..4).map(|n| item(&format!("i{n}"), &render(3, n))).collect();
    client.upsert(items).await.expect("answered");
    drop(client);
    server.finish().await;
    drop(guard);
    let text = log.text();
    let line = |part: &str| text.lines().find(|l| l.contains("lapel::request") && l.contains(part));
    let refused = line("HeadService/RetireHead").expect("told");
    assert!(refused.contains("caller=\"search\"") && refused.contains("PERMISSION_DENIED"), "{refused}");
    let upload = line("CatalogService/UpsertItems").expect("told");
    assert!(!upload.contains("slow"), "an upload takes as long as its caller sends: {upload}");
    assert!(upload.contains(" ms in 4 parts"), "{upload}");
}

/// One thread, so that all of the server logs to the test's subscriber.
#[tokio::test(flavor = "current_thread")]
async fn a_request_is_one_line_without_secrets_or_pictures() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tokens.toml");
    let secret = write_tokens(&path).remove(0);
    let (log, guard) = Log::start();
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.access.tokens = Some(path.clone());
        config.operation.slow_ms = 1;
    })
    .await;
    let access = Access { token: Some(secret.clone()), ..Access::default() };
    let mut client = Client::connect_with(&server.address, &access).await.expect("connects");
    let image = to_jpeg(&render(3, 3).photo);
    let mut request = Request::new(by_image(image.clone(), 3));
    request.metadata_mut().insert("x-request-id", "order-17".parse().expect("a header"));
    let answer = client.search.search(request).await.expect("answers");
    assert_eq!(answer.metadata().get("x-request-id").expect("told"), "order-17");
    drop(answer);
    server.finish().await;
    drop(guard);
    let text = log.text();
    let lines: Vec<&str> =
        text.lines().filter(|l| l.contains("lapel::request") && l.contains("order-17")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    for part in
        ["SearchService/Search", "code=\"OK\"", "caller=\"search\"", "decode", "model", "plan=\"ExactScan"]
    {
        assert!(lines[0].contains(part), "{part} in {}", lines[0]);
    }
    assert!(!text.contains(&secret[6..]), "the secret is nowhere");
    let of_picture = format!("{:?}", &image[100..116]);
    let of_picture = of_picture.trim_matches(|c| c == '[' || c == ']');
    assert!(!text.contains(of_picture), "the picture's bytes are nowhere");
}

#[tokio::test]
async fn a_call_without_a_message_is_its_callers_fault() {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let channel = Endpoint::from_shared(server.address.clone()).expect("an address").connect().await;
    let mut client = tonic::client::Grpc::new(channel.expect("connects"));
    client.ready().await.expect("ready");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = PathAndQuery::from_static("/lapel.v1.CatalogService/GetItem");
    let nothing = Request::new(tokio_stream::iter([(); 0]));
    let refused = client.client_streaming(nothing, path, codec).await.expect_err("it has no message");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    server.finish().await;
}
