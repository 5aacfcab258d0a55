//! Fuzzes `tests/properties/target.rs`.

#![no_main]

#[path = "../../tests/properties/target.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::holds(data));
