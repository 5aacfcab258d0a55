//! Fuzzes `tests/properties/token.rs`.

#![no_main]

#[path = "../../tests/properties/token.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::holds(data));
