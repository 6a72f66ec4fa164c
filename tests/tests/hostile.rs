//! A minute of strangers of every kind beside good searches; `just hostile` is the same for an hour.

use lapel_tests::hostile::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn strangers_of_every_kind_cost_good_searches_nothing() {
    let report = run(env!("CARGO_BIN_EXE_lapel-child-server"), Plan::default()).await;
    println!("{report}");
    // Neighbours on the machine may be to blame, so that only the recipe fails for it.
    if let Some(slow) = report.slow() {
        println!("{slow}");
    }
    let faults = report.faults();
    assert!(faults.is_empty(), "{faults:#?}");
}
