//! Fuzzes `tests/properties/proxy_header.rs`.

#![no_main]

#[path = "../../tests/properties/proxy_header.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::holds(data));
