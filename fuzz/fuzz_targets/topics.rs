#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moustique_fuzz::topics(data));
