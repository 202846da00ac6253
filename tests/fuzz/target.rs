//! One program for each target: libFuzzer gives it bytes, and what has to hold of them stands in `targets/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mail_smtp2::fuzz::run(env!("CARGO_BIN_NAME"), data));
