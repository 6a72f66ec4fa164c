//! The verb `check`: whether a table is fit to learn from.

use clap::Args;
use lapel_train::probes::Table;
use std::io::Write;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder with labels.csv and images/.
    wardrobe: PathBuf,
    /// The findings as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let table = Table::read(&options.wardrobe)?;
    let mut out = std::io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, table.faults())?;
        writeln!(out)?;
    } else {
        writeln!(out, "{} photos to learn from, {} to measure on", table.training.len(), table.test.len())?;
        for attribute in table.attributes() {
            let count = |label: &String| {
                let has = |p: &&lapel_train::probes::TablePhoto| p.labels.get(&attribute.name) == Some(label);
                format!("{label} {}", table.training.iter().filter(has).count())
            };
            let labels: Vec<String> = attribute.labels.iter().map(count).collect();
            writeln!(out, "{}: {}", attribute.name, labels.join(", "))?;
        }
        say(&mut out, &table)?;
    }
    let stopping = table.faults().iter().filter(|fault| fault.stops).count();
    anyhow::ensure!(stopping == 0, "the table is not fit to learn from: {stopping} to mend, named above");
    Ok(())
}

fn say(out: &mut impl Write, table: &Table) -> std::io::Result<()> {
    for fault in table.faults() {
        writeln!(out, "{}: {}", if fault.stops { "error" } else { "note" }, fault.text)?;
    }
    Ok(())
}

/// Fails where the table has a fault that training would learn from.
pub(crate) fn refuse_unsound(table: &Table) -> anyhow::Result<()> {
    let stopping: Vec<&str> = table.faults().iter().filter(|f| f.stops).map(|f| f.text.as_str()).collect();
    anyhow::ensure!(
        stopping.is_empty(),
        "the table is not fit to learn from ({} to mend):\n  {}",
        stopping.len(),
        stopping.join("\n  ")
    );
    Ok(())
}
