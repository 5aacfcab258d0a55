//! Fuzzes `tests/properties/member_body.rs`.

#![no_main]

#[path = "../../tests/properties/member_body.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::holds(data));
