//! Trains and evaluates Lapel's heads.

mod evaluate;
mod external;
mod train;

use clap::{Parser, Subcommand};

/// Trains and evaluates Lapel's heads.
#[derive(Parser)]
#[command(name = "lapel-train", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Train heads on labelled photos and rendered garments, and write their bundles.
    Train(train::Options),
    /// Measure shipped or given bundles on labelled photos and rendered garments.
    Evaluate(evaluate::Options),
    /// Write the bundle of an external head, whose signatures are computed elsewhere and come with the items.
    External(external::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::Train(options) => train::run(&options),
        Verb::Evaluate(options) => evaluate::run(&options),
        Verb::External(options) => external::run(&options),
    }
}
