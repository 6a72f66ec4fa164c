//! The verbs `key` and `sign`.

use anyhow::{Context, ensure};
use clap::Args;
use lapel_heads::{new_bundle_keys, sign_bundle};
use std::io::Write;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct KeyOptions {
    /// The keys go to NAME.secret and NAME.public; files that are there are not touched.
    name: PathBuf,
}

#[derive(Args)]
pub(crate) struct Options {
    /// The secret key's file.
    #[arg(long)]
    key: PathBuf,
    /// Bundles and backbones to sign; each signature goes to the file's name with `.sig` behind it.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn key(options: &KeyOptions) -> anyhow::Result<()> {
    let [secret_path, public_path] = ["secret", "public"].map(|part| options.name.with_extension(part));
    for path in [&secret_path, &public_path] {
        ensure!(!path.exists(), "{} is there already", path.display());
    }
    let (secret, public) = new_bundle_keys()?;
    let mut secret_file = std::fs::OpenOptions::new();
    secret_file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut secret_file, 0o600);
    let written = secret_file.open(&secret_path).and_then(|mut file| writeln!(file, "{secret}"));
    written.with_context(|| secret_path.display().to_string())?;
    fs_err::write(&public_path, format!("{public}\n"))?;
    writeln!(
        std::io::stdout(),
        "wrote {} (keep it to yourself) and {} (access.bundle_key of the server)",
        secret_path.display(),
        public_path.display()
    )?;
    Ok(())
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let secret = fs_err::read_to_string(&options.key)?;
    for path in &options.files {
        let signature = sign_bundle(&secret, &fs_err::read(path)?)?;
        let mut target = path.clone().into_os_string();
        target.push(".sig");
        fs_err::write(&target, signature + "\n")?;
        writeln!(std::io::stdout(), "wrote {}", PathBuf::from(target).display())?;
    }
    Ok(())
}
