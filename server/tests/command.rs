//! The command line of the server, as a program.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn what_goes_into_the_token_file_does_not_hold_the_secret() {
    let program = env!("CARGO_BIN_EXE_lapel-server");
    let made = Command::new(program).args(["token", "shop", "--role", "search"]).output().expect("runs");
    assert!(made.status.success(), "{made:?}");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let (entry, told) = (text(made.stdout), text(made.stderr));
    assert!(!entry.contains("lapel_"), "the secret would be appended to the file of hashes: {entry}");
    assert!(told.contains("LAPEL_TOKEN=lapel_"), "{told}");
    // Two entries in a row are a token file, too.
    let source = config::File::from_str(&entry, config::FileFormat::Toml);
    let read = config::Config::builder().add_source(source).build().expect("a token file");
    assert_eq!(read.get_array("token").expect("entries").len(), 1);
}

#[test]
fn a_server_whose_log_nobody_reads_any_more_stops_as_any_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Command::new(env!("CARGO_BIN_EXE_lapel-server"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .arg("serve")
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let log = BufReader::new(server.stderr.take().expect("piped")).lines();
    // With this, the reader is gone.
    let serves = log.map_while(Result::ok).any(|line| line.contains("serving address"));
    let told = Command::new("kill").arg("-TERM").arg(server.id().to_string()).status();
    let ended = server.wait().expect("it ends");
    assert!(serves && told.is_ok_and(|told| told.success()));
    assert!(ended.success(), "{ended}");
    assert!(folder.path().join("caches/seal").exists(), "it has left what it had to the next start");
}
