//! Key files, keys files and sources, as they lie on a disk; and every message that people get to see.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end at what is not as it should be")]

mod corpus;
mod files;
mod holders;
mod sources;

use answerback_keys::{Key, KeyId, Secret, text};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is removed at the end.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("answerback-keys-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file with this mode.
    pub(crate) fn file(&self, name: &str, mode: u32, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    /// The text with the name of the folder taken out.
    pub(crate) fn without(&self, text: &impl ToString) -> String {
        text.to_string().replace(self.0.to_str().unwrap(), "DIR")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn key(id: &str, byte: u8) -> Key {
    Key { id: KeyId::new(id).unwrap(), secret: Secret::new([byte; 32]) }
}

/// The text of such a key.
pub(crate) fn text_of(id: &str, byte: u8) -> String {
    text::print(&key(id, byte)).to_string()
}

/// What is told must not hold a piece of a secret.
#[track_caller]
pub(crate) fn assert_hides(told: &str, text: &str) {
    let digits = text.rsplit(':').next().unwrap();
    for piece in digits.as_bytes().windows(10) {
        assert!(!told.as_bytes().windows(10).any(|said| said == piece), "{told}");
    }
}
