//! Trains and evaluates Lapel's heads.

mod backbone_options;
mod bench_embed;
mod check;
mod compare;
mod data;
mod evaluate;
mod export;
mod external;
mod features;
mod mask;
mod measure;
mod picks;
mod report;
mod sign;
mod taught;
mod taught_report;
mod train;
mod train_paper;
mod train_report;
mod tune;

use clap::{Parser, Subcommand};

/// Training allocates and frees the same large tensors each step, which the system's allocator returns to the
/// kernel every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains and evaluates Lapel's heads.
#[derive(Parser)]
#[command(name = "lapel-train", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measure how fast photos become signatures, stage by stage, beside candle's own convolutions.
    BenchEmbed(bench_embed::Options),
    /// Train and measure the systems of the paper side by side.
    Compare(compare::Options),
    /// Write data sets in the field's file format.
    Export(export::Options),
    /// Say whether a table of labelled photos is fit to learn from, and what will be left out.
    Check(check::Options),
    /// Teach a backbone of views where the garment is, by a large network's example.
    Mask(mask::Options),
    /// Let a backbone of views learn from labelled photos, all attributes together; heads are trained on it afterwards.
    Tune(tune::Options),
    /// Train heads on a backbone of views, one for each attribute, and write their bundles.
    Train(train::Options),
    /// Measure the shipped or given probes on labelled photos, as they are and recomposed.
    Measure(measure::Options),
    /// Measure what heads are worth that a server teaches (Teach), and what its suggestions save (SuggestExamples).
    Taught(taught::Options),
    /// Fine-tune AlexNet, train the heads of the paper's kind on it, and write their bundles.
    TrainPaper(train_paper::Options),
    /// Measure shipped or given bundles on labelled photos and rendered garments.
    Evaluate(evaluate::Options),
    /// Measure searches after wanted and unwanted picks, with the shipped or given probes, on simulated shoppers.
    Picks(picks::Options),
    /// Make a pair of keys for signing bundles.
    Key(sign::KeyOptions),
    /// Sign bundles and backbones for servers that take signed ones only (`access.bundle_key`).
    Sign(sign::Options),
    /// Write what a backbone gives for a folder of photos, the numbers that heads on it are trained on, as a .npy file.
    Features(features::Options),
    /// Write the bundle of an external head, whose signatures are computed elsewhere and come with the items.
    External(external::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::BenchEmbed(options) => bench_embed::run(&options),
        Verb::Compare(options) => compare::run(&options),
        Verb::Export(options) => export::run(&options),
        Verb::Check(options) => check::run(&options),
        Verb::Mask(options) => mask::run(&options),
        Verb::Tune(options) => tune::run(&options),
        Verb::Train(options) => train::run(&options),
        Verb::Measure(options) => measure::run(&options),
        Verb::Taught(options) => taught::run(&options),
        Verb::TrainPaper(options) => train_paper::run(&options),
        Verb::Evaluate(options) => evaluate::run(&options),
        Verb::Picks(options) => picks::run(&options),
        Verb::External(options) => external::run(&options),
        Verb::Features(options) => features::run(&options),
        Verb::Key(options) => sign::key(&options),
        Verb::Sign(options) => sign::run(&options),
    }
}
