//! The files of a generation, as far as they are handled behind sled's back: synced, copied, removed.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// What sled calls its log, on which it holds a lock.
const LOG: &str = "db";

/// What sled calls the directory of values that are too large for its log.
const BLOBS: &str = "blobs";

/// Syncs everything of a generation that sled has written: its log, its notes, large values, and the names of all of them.
pub(super) fn sync_generation(dir: &Path) -> io::Result<()> {
    sync_files(dir)?;
    let blobs = dir.join(BLOBS);
    if blobs.is_dir() { sync_files(&blobs) } else { Ok(()) }
}

fn sync_files(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            match File::open(entry.path()).and_then(|file| file.sync_all()) {
                // sled removes what it does not need any more whenever it likes.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
    }
    File::open(dir)?.sync_all()
}

/// Copies a generation, but for the names that `leave_out` is true for. The copy is synced.
pub(super) fn copy_generation(from: &Path, to: &Path, leave_out: &dyn Fn(&str) -> bool) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let to = to.join(&name);
        if entry.file_type()?.is_dir() {
            copy_generation(&entry.path(), &to, leave_out)?;
        } else if !leave_out(&name.to_string_lossy()) {
            fs::copy(entry.path(), to)?;
        }
    }
    sync_generation(to)
}

/// Whether somebody holds sled's lock on a generation.
pub(super) fn is_held(dir: &Path) -> bool {
    File::open(dir.join(LOG)).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Removes a directory that need not be there.
pub(super) fn remove_generation(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
