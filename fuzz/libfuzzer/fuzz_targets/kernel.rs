//! The target `kernel` of `wavegate-fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("kernel").expect("a target").feed)(data));
