//! `lapel heads download`: a version's bundle as a file.

use crate::output;
use anyhow::{Context, ensure};
use clap::Args;
use lapel_client::Client;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct Options {
    /// The head's name.
    name: String,
    /// Where to; a file that is there is replaced once the new one is whole.
    file: PathBuf,
    /// The version; the one that serves, or else the newest, where none is given.
    #[arg(long = "of", alias = "version", value_name = "VERSION", default_value_t = 0)]
    version: u32,
}

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    let Options { name, file, version } = options;
    let told = file.display();
    ensure!(!file.is_dir(), "{told} is a folder; give the name of a file, as in {told}/{name}.safetensors");
    let (head, bundle) = client.bundle(name, *version).await?;
    write_whole(file, &bundle).with_context(|| format!("{told} was not written"))?;
    if json {
        return output::json("Head", &head);
    }
    output::say(format!(
        "wrote {told} ({} bytes, {} version {}); register it elsewhere with: lapel heads register {told}",
        bundle.len(),
        head.name,
        head.version
    ))
}

/// Writes a file beside its place and moves it there.
fn write_whole(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut unfinished = OsString::from(file);
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let written = || -> std::io::Result<()> {
        let mut out = fs_err::File::create(&unfinished)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs_err::rename(&unfinished, file)
    };
    let written = written();
    if written.is_err() {
        let _ = fs_err::remove_file(&unfinished);
    }
    written?;
    Ok(())
}
