//! The target `messages` of `wavegate-fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("messages").expect("a target").feed)(data));
