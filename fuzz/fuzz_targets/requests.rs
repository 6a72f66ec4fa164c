//! `just fuzz requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lapel_fuzz::requests(bytes));
