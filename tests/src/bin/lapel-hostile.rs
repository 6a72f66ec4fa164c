//! Strangers of every kind beside a steady load of good searches; exits with 1 where the server did not stand it.

use clap::Parser;
use lapel_tests::hostile::{Plan, run};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
struct Options {
    /// Seconds that the strangers stay.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// Seconds of good searches alone before them.
    #[arg(long, default_value_t = 120)]
    alone_seconds: u64,
    /// Good searches a second.
    #[arg(long, default_value_t = Plan::default().rate)]
    rate: f64,
    /// Memory that the strangers may cost while they are there, MiB.
    #[arg(long, default_value_t = Plan::default().memory_mib_max)]
    memory_mib_max: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Options { seconds, alone_seconds, rate, memory_mib_max } = Options::parse();
    let program = std::env::current_exe().expect("a path").with_file_name("lapel-child-server");
    let (alone, beside) = (Duration::from_secs(alone_seconds), Duration::from_secs(seconds));
    let report = run(&program.to_string_lossy(), Plan { alone, beside, rate, memory_mib_max }).await;
    println!("{report}");
    let faults: Vec<String> = report.faults().into_iter().chain(report.slow()).collect();
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
