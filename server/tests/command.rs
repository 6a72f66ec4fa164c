//! The command line of the server, as a program.

use std::process::Command;

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
