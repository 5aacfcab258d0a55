//! Fuzzes `tests/properties/headers.rs`.

#![no_main]

#[path = "../../tests/properties/headers.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::holds(data));
