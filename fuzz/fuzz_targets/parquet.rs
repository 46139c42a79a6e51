#![no_main]
// The reader catches panics of the library that it calls. One that it does not catch still ends the program.

libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |input: &[u8]| lorelei_fuzz_targets::run("parquet", input));
