//! What all examples need: where the broker is.

/// The broker's address: `ANSWERBACK_SERVER`, or the one at which a server listens by default.
pub fn server() -> String {
    std::env::var("ANSWERBACK_SERVER").unwrap_or_else(|_| "127.0.0.1:7040".to_owned())
}
