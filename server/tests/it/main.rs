//! The server from outside: the real process with its flags and signals, and the real data plane over real sockets.
//! Every port is a free one, every wait is for a condition and has an end, every child is ended when its test is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_greetings;
mod calls;
mod client;
mod disks;
mod floods;
mod limits;
mod place;
mod process;
mod process_flags;
mod process_keys;
mod process_signals;
mod process_store;
mod reload;
mod rights;
mod sealed;
mod store;
mod store_faults;
mod strangers;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_certificates;
#[cfg(feature = "tls")]
mod tls_client;

/// The server's program.
fn program() -> &'static str {
    env!("CARGO_BIN_EXE_answerback-server")
}
