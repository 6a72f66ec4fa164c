//! `lapel backup`.

use crate::output;
use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_client::{Client, v1};
use std::io::Write;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// Where to; a file that is there is replaced once the new one is whole.
    file: PathBuf,
}

pub(crate) async fn run(client: &mut Client, options: &Options) -> anyhow::Result<()> {
    let path = options.file.display();
    ensure!(
        !options.file.is_dir(),
        "{path} is a folder; give the name of a file, as in {path}/monday.backup"
    );
    let mut pieces = client.admin.backup(v1::BackupRequest {}).await?.into_inner();
    let style = ProgressStyle::with_template("backing up {spinner} {bytes} {elapsed} ({bytes_per_sec})")?;
    let unfinished = options.file.with_extension("unfinished");
    let mut file = std::io::BufWriter::new(fs_err::File::create(&unfinished)?);
    let bar = ProgressBar::new_spinner().with_style(style);
    let (mut bytes, mut damaged) = (0u64, 0);
    let written: anyhow::Result<()> = async {
        while let Some(piece) = pieces.message().await? {
            bytes += piece.chunk.len() as u64;
            damaged += piece.damaged_records;
            bar.set_position(bytes);
            file.write_all(&piece.chunk)?;
        }
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs_err::rename(&unfinished, &options.file)?;
        Ok(())
    }
    .await;
    bar.finish_and_clear();
    if written.is_err() {
        let _ = fs_err::remove_file(&unfinished);
    }
    written.context("the backup was given up")?;
    output::say(format!(
        "wrote {} ({bytes} bytes); restore it with: lapel-server --data FOLDER restore {0}",
        options.file.display()
    ))?;
    if damaged > 0 {
        anyhow::bail!(
            "{damaged} records are damaged on the server's disk and not in the backup: keep the backup before it, too \
             (`lapel items stats` names damaged items; written again, they are whole)"
        );
    }
    Ok(())
}
