//! `just fuzz image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lapel_fuzz::image(bytes));
