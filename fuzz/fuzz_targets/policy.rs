//! Fuzzes `tests/properties/policy.rs`.

#![no_main]

#[path = "../../tests/properties/policy.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::holds(data));
