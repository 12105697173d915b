//! The target `decode` of `wavegate-fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("decode").expect("a target").feed)(data));
