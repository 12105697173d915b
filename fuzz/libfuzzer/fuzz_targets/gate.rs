//! The target `gate` of `wavegate-fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("gate").expect("a target").feed)(data));
