//! The balancer as a process of its own, between clients and backends that are plain sockets. What it does for Answerback's servers and clients is
//! in `tests/balancer` of the repository.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says why"
)]

mod backends;
mod backing;
mod leaving;
mod moving;
mod pages;
mod passing;
mod replacing;
mod settings;
mod support;

fn balancer_program() -> std::path::PathBuf {
    env!("CARGO_BIN_EXE_answerback-balancer").into()
}
