//! See `bodies::proxy_header`.
#![no_main]
#[path = "../bodies.rs"]
mod bodies;
#[allow(dead_code, reason = "a part of the server, which needs more of it")]
#[path = "../../src/proxy.rs"]
mod proxy;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::proxy_header(bytes));
