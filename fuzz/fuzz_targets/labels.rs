#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lorelei_fuzz_targets::run("labels", input));
