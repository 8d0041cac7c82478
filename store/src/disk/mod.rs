//! The few things that are asked of a disk, so that tests can put one in its place that fails.

#[cfg(any(test, feature = "faults"))]
mod faulty;
mod gate;
mod real;

#[cfg(any(test, feature = "faults"))]
pub use faulty::{Fault, FaultyDisk};
pub use gate::Gate;
pub(crate) use gate::GateWay;
pub use real::RealDisk;

use std::fmt;
use std::io;
use std::path::Path;

/// A file system, as far as the store needs one. Cheap to clone behind its `Arc`; all calls may wait.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a file for appending; it must not be there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that is there, for reading and cutting.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a directory and those above it, readable by the owner alone.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes sure that names in a directory are on disk: files made, renamed and removed there.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Moves a file or directory over what is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send {
    /// Writes all of it at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Reads from a place; fewer bytes than asked for mean the end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Returns when everything that was appended is on disk to stay.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the end off.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Bytes in it.
    fn size(&self) -> io::Result<u64>;
}

impl dyn Disk + '_ {
    /// The whole of a small file; nothing if it is not there. At most `most` bytes are read.
    pub(crate) fn read_small(&self, path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; most];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    /// Puts a small file in its place: it is whole or as it was before, whenever the power goes.
    pub(crate) fn replace(&self, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = dir.join(format!("{name}.new"));
        self.remove_if_there(&new)?;
        let mut file = self.create(&new)?;
        file.append(bytes)?;
        file.sync()?;
        self.rename(&new, &dir.join(name))?;
        self.sync_dir(dir)
    }

    /// Removes a file that may not be there; says whether it was.
    pub(crate) fn remove_if_there(&self, path: &Path) -> io::Result<bool> {
        match self.remove(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Copies a file, synced; its directory is not.
    pub(crate) fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = self.open(from)?;
        let mut to = self.create(to)?;
        let mut piece = vec![0; COPY_BYTES];
        let mut at = 0;
        loop {
            let read = from.read_at(at, &mut piece)?;
            if read == 0 {
                return to.sync();
            }
            to.append(&piece[..read])?;
            at += read as u64;
        }
    }
}

/// Bytes that are copied at once: large enough that calls do not count.
const COPY_BYTES: usize = 256 << 10;
