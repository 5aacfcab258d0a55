//! Fuzzes `tests/properties/response.rs`.

#![no_main]

#[path = "../../tests/properties/response.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::holds(data));
