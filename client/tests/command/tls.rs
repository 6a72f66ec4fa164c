use crate::lapel;
use lapel_server::TlsFiles;
use lapel_tests::TestServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::Path;

/// A server's certificate for `localhost` in two files, and that of its authority in `ca.pem`.
fn write_certificate(folder: &Path) -> TlsFiles {
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("params").signed_by(&key, &issuer);
    let file = |name: &str| folder.join(name);
    std::fs::write(file("ca.pem"), issuer.pem()).expect("written");
    std::fs::write(file("server.pem"), leaf.expect("signed").pem()).expect("written");
    std::fs::write(file("server.key"), key.serialize_pem()).expect("written");
    TlsFiles { certificate: file("server.pem"), key: file("server.key"), client_ca: None }
}

async fn server(tls: Option<TlsFiles>) -> TestServer {
    TestServer::start_with(|config| {
        config.model.heads.clear();
        config.tls = tls;
    })
    .await
}

#[tokio::test]
async fn mistakes_with_encryption_are_told_as_what_they_are() {
    let folder = tempfile::tempdir().expect("folder");
    let files = write_certificate(folder.path());
    let ca = folder.path().join("ca.pem");
    let stats = ["items", "stats"];
    let trusting = ["--ca", ca.to_str().expect("UTF-8"), "items", "stats"];
    let encrypted = |server: &TestServer| server.address.replace("http://127.0.0.1", "https://localhost");

    let one_sided = server(Some(files.clone())).await;
    let run = lapel(&encrypted(&one_sided), &trusting).await;
    assert_eq!(run.code, Some(0), "{}", run.err);
    let run = lapel(&one_sided.address, &stats).await;
    assert!(run.code == Some(1) && run.err.contains("write https:// in its address"), "{}", run.err);
    let run = lapel(&encrypted(&one_sided), &stats).await;
    assert!(run.code == Some(1) && run.err.contains("(--ca)"), "{}", run.err);
    one_sided.finish().await;

    let mutual = server(Some(TlsFiles { client_ca: Some(ca.clone()), ..files })).await;
    let run = lapel(&encrypted(&mutual), &trusting).await;
    assert!(run.code == Some(1) && run.err.contains("(--certificate, --key)"), "{}", run.err);
    mutual.finish().await;

    let clear = server(None).await;
    let run = lapel(&encrypted(&clear), &trusting).await;
    assert!(run.code == Some(1) && run.err.contains("write http:// in its address"), "{}", run.err);
    clear.finish().await;
}
