//! Fuzzes `tests/properties/h1.rs`.

#![no_main]

#[path = "../../tests/properties/h1.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::holds(data));
