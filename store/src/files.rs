//! Which files a store consists of, for people who look at one.

use crate::OpenError;
use crate::layout::{Layout, generation_number};
use crate::open::failed;
use crate::{RealDisk, Store};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The files of a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// Segments of the journal.
    pub segments: u64,
    /// Their bytes.
    pub journal_bytes: u64,
    /// The number of the generation of snapshots that counts, if there is one.
    pub generation: Option<u64>,
    /// Bytes of all generations.
    pub snapshot_bytes: u64,
    /// What was damaged and set aside, in the order of the times in the names.
    pub aside: Vec<SetAside>,
}

/// Something that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its name, which begins with the time.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

impl Store {
    /// Looks which files there are. Reads nothing but names and sizes.
    pub fn files(path: &Path) -> Result<Files, OpenError> {
        let layout = Layout { disk: Arc::new(RealDisk), path: path.to_owned() };
        gather(&layout).map_err(failed("list", path))
    }
}

fn gather(layout: &Layout) -> io::Result<Files> {
    let mut files = Files { generation: layout.current()?.ok().flatten(), ..Files::default() };
    for (name, path) in entries(&layout.journal())? {
        if name.ends_with(".journal") {
            files.segments += 1;
            files.journal_bytes += size(&path)?;
        }
    }
    for (name, path) in entries(&layout.path)? {
        if generation_number(&name).is_some() {
            files.snapshot_bytes += size(&path)?;
        }
    }
    for (name, path) in entries(&layout.aside_dir())? {
        files.aside.push(SetAside { name, bytes: size(&path)? });
    }
    files.aside.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn entries(dir: &Path) -> io::Result<Vec<(String, std::path::PathBuf)>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Bytes of a file, or of all files below a directory. Links are not followed.
fn size(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    entries(path)?.iter().map(|(_, path)| size(path)).sum()
}
