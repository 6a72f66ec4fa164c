//! `just fuzz dataset`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lapel_fuzz::dataset(bytes));
