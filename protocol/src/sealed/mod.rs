//! The sealed channel: a layer between the socket and the frames, for two ends that share a key.

mod key;

pub use key::{KEY_ID_BYTES_MAX, Key, KeyId, NotAKeyId, SECRET_BYTES, Secret};
