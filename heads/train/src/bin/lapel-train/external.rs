//! The verb `external`.

use anyhow::Context;
use clap::Args;
use lapel_heads::{Attribute, Bundle, Manifest};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// The head's name.
    #[arg(long)]
    name: String,
    /// Dimension of its signatures.
    #[arg(long)]
    dim: usize,
    /// An attribute that its signatures tell apart, with its labels: `mood=calm,loud`; may be repeated or left out.
    #[arg(long = "attribute", value_name = "ATTRIBUTE=LABEL,...")]
    attributes: Vec<String>,
    /// What the signatures are, for those who list the heads.
    #[arg(long, default_value = "")]
    description: String,
    /// Where the bundle goes.
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let attributes = options.attributes.iter().map(|text| attribute(text)).collect::<anyhow::Result<_>>()?;
    let manifest = Manifest {
        description: options.description.clone(),
        ..Manifest::external(&options.name, options.dim, attributes)
    };
    let bytes = Bundle { manifest, tensors: BTreeMap::new(), graph: None }.to_bytes()?;
    // What the server would refuse is refused here.
    Bundle::parse(&bytes)?;
    fs_err::write(&options.out, bytes)?;
    writeln!(
        std::io::stdout(),
        "wrote {0}; register it with: lapel heads register {0}",
        options.out.display()
    )?;
    Ok(())
}

fn attribute(text: &str) -> anyhow::Result<Attribute> {
    let (name, labels) =
        text.split_once('=').with_context(|| format!("{text:?} lacks a \"=\", as in mood=calm,loud"))?;
    Ok(Attribute {
        name: name.trim().to_owned(),
        labels: labels.split(',').map(|l| l.trim().to_owned()).collect(),
    })
}
