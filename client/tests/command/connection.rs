//! Imports over connections that break.

use crate::{lapel, photo};
use lapel_tests::TestServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes to the server after which the first connection is cut off.
const CUT_AT: usize = 512 << 10;

/// Passes connections on to the server at `address`; the first one is cut off after [`CUT_AT`] bytes.
async fn pass_on(listener: TcpListener, address: String) {
    let mut is_first = true;
    while let Ok((caller, _)) = listener.accept().await {
        let server = TcpStream::connect(&address).await.expect("connected");
        let bytes_max = if is_first { CUT_AT } else { usize::MAX };
        is_first = false;
        tokio::spawn(pass(caller, server, bytes_max));
    }
}

/// Copies in both directions until one ends, or until so many bytes came from the caller.
async fn pass(mut caller: TcpStream, mut server: TcpStream, bytes_max: usize) {
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let mut bytes = 0;
    while bytes < bytes_max {
        tokio::select! {
            read = caller.read(&mut up) => {
                let length = read.unwrap_or_default();
                if length == 0 || server.write_all(&up[..length]).await.is_err() {
                    return;
                }
                bytes += length;
            }
            read = server.read(&mut down) => {
                let length = read.unwrap_or_default();
                if length == 0 || caller.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn an_import_survives_a_connection_that_is_cut_off() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let passing = tokio::spawn(pass_on(listener, server.address.replace("http://", "")));
    let folder = tempfile::tempdir().expect("folder");
    let bytes = std::fs::metadata(photo()).expect("a photo").len();
    let count = usize::try_from(2 * CUT_AT as u64 / bytes).expect("a number") + 2;
    for n in 0..count {
        std::fs::copy(photo(), folder.path().join(format!("{n}.jpg"))).expect("copied");
    }
    let run = lapel(&address, &["items", "import", folder.path().to_str().expect("UTF-8")]).await;
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.contains(&format!("imported {count} items")), "{}", run.out);
    assert_eq!(server.client().await.stats().await.expect("stats").items, count as u64);
    passing.abort();
    server.finish().await;
}
