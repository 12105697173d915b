//! The target `packets` of `wavegate-fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("packets").expect("a target").feed)(data));
