//! Fuzzes `tests/properties/http2_head.rs`.

#![no_main]

#[path = "../../tests/properties/http2_head.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::holds(data));
