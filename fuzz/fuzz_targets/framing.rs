//! Fuzzes `tests/properties/framing.rs`.

#![no_main]

#[path = "../../tests/properties/framing.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::holds(data));
