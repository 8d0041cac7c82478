//! Keys of Answerback: how they are written, where they lie, who holds them and what a holder may do.
//!
//! This crate reads files. It opens no socket, asks no clock, reads no variable of the environment and is not random: what it needs of
//! those comes as an argument. It decides nothing about a request; a [`ring::KeyRing`] is plain data for those who do.
//!
//! ```text
//!  flag, environment, credential ──► source ──► file ────────► text ──► Key         one key: a client, or a server with one for all
//!                                      │
//!                                      └──────► holders ─────► ring ──► KeyRing     many: who may do what
//!                                               (TOML)
//!  passphrase, salt ──► stretch ──► Key
//! ```
//!
//! * [`text`] prints and reads the text of a key, `abk1:billing:…`.
//! * [`file`](mod@file) reads and makes files with one key. A file that others can read is refused.
//! * [`source`] finds out which of the ways to give a key was taken, and names it in errors.
//! * `holders` reads the keys file, and says every mistake in it at once; [`ring`] is what comes out, and what changed since.
//! * `stretch` makes a key of a passphrase, once, when the key is made: never while somebody connects.
//!
//! No error and no `Debug` here shows a secret, nor a piece of a text that may be one. Texts with keys are wiped when they are dropped.

pub mod file;
#[cfg(feature = "holders")]
pub mod holders;
mod private;
pub mod ring;
pub mod source;
#[cfg(feature = "passphrases")]
pub mod stretch;
pub mod text;

pub use answerback_protocol::Pattern;
pub use answerback_protocol::sealed::{Key, KeyId, NotAKeyId, SECRET_BYTES, Secret};
pub use file::{KeyFileError, read_key_file};
#[cfg(feature = "holders")]
pub use holders::{KeysError, KeysFileError, Mistake, read_keys_file};
pub use private::{Reading, Refused, read_private_file, read_public_file};
pub use ring::{Changes, HolderEntry, KeyRing};
#[cfg(feature = "holders")]
pub use source::RingSource;
pub use source::{Given, KeySource, SourceError};
pub use text::KeyTextError;
