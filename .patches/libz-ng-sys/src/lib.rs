//! The interface of `libz-ng-sys`, served by the stock zlib of `libz-sys`.
//!
//! `pingora-core` asks flate2 for its zlib-ng backend, whose build script needs CMake. The gate
//! compresses nothing, and stock zlib has the same interface and is built by cargo alone.

pub use libz_sys::*;
