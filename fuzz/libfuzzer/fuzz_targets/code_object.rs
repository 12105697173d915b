//! The target `code_object` of `wavegate-fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("code_object").expect("a target").feed)(data));
