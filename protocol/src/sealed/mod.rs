//! The sealed channel: a layer between the socket and the frames, for two ends that share a key.
//!
//! ```text
//!            frames                                             frames
//!  SealedWriter │ appended to an open record    handed out from there ▲ Inbox::sealed, SealedReader
//!        Sealer ▼ sealed in place                     opened in place │ Opener
//!            records ═══════════════ socket ═══════════════════► records
//!
//!  before the first record:  Greeting ── preamble, message 1 ──► Preamble::accept
//!                            Channel  ◄──────── answer ───────── Channel
//! ```
//!
//! Nothing here asks for randomness, files or time: [`Entropy`] and keys are arguments.

mod clear;
mod handshake;
mod incoming;
mod key;
mod opening;
mod outgoing;
mod record;
#[cfg(test)]
mod tests;

pub use clear::{CLEAR_BYTES_MAX, Clear, Foreign};
pub use handshake::{
    ANSWER_BYTES, Answer, Channel, Entropy, GREETING, Greeting, HandshakeError, MESSAGE_BYTES, OPENING_BYTES_MAX,
    Preamble, PreambleError, Refused,
};
pub use incoming::SealedReader;
pub use key::{KEY_ID_BYTES_MAX, Key, KeyId, NotAKeyId, SECRET_BYTES, Secret};
pub use opening::Opening;
pub use outgoing::SealedWriter;
pub use record::{
    FIRST_PLAIN_BYTES_MAX, Opener, PLAIN_BYTES_MAX, RECORD_BYTES_MAX, RECORD_EXTRA_BYTES, RECORD_LENGTH_BYTES,
    REKEY_AFTER_RECORDS, RecordError, Sealer, TAG_BYTES,
};
