//! The command line as people run it: the real program against real servers.

#![allow(clippy::expect_used)]

mod backup;
mod connection;
mod export;
mod import;
mod labels;
mod pictures;
mod shop;
mod subject;
mod teach;
mod tls;

use std::path::PathBuf;
use std::process::{Command, Output};

/// What a run of `lapel` gave.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs `lapel` on the server at `address`.
async fn lapel(address: &str, arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lapel"));
    command.args(["--server", address]).args(arguments);
    for variable in ["LAPEL_TOKEN", "LAPEL_CA"] {
        command.env_remove(variable);
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let Output { status, stdout, stderr } = output.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Run { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// A run that ends well.
async fn sound(server: &lapel_tests::TestServer, arguments: &[&str]) -> Run {
    let run = lapel(&server.address, arguments).await;
    assert_eq!(run.code, Some(0), "{arguments:?}: {}{}", run.out, run.err);
    run
}

/// A real photo.
fn photo() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/queries/dress.jpg")
}
