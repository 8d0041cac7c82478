//! Reads a file that nobody else may read. The file is opened once and everything is asked of what was opened, so that it cannot be
//! exchanged between the question and the reading.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Who keeps others away from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Its mode.
    Mode,
    /// The folder that systemd made for one service. Where the service has a user of its own, systemd lets it in with an access control
    /// list, and what the list allows at most stands where the mode of the group stands otherwise: 0440 is private there.
    Credentials,
}

/// Why a file was not read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// The operating system says no.
    System(io::Error),
    /// It is a folder, a device or the like.
    NotAFile,
    /// Others than its owner can read or write it.
    OpenToOthers {
        /// The permissions that it has.
        mode: u32,
    },
    /// It has more bytes than such a file can need.
    TooLong {
        /// So many it may have.
        bytes_max: usize,
    },
    /// It is not UTF-8.
    NotText,
}

/// What may be done by group and others.
const OTHERS: u32 = 0o077;

/// The same where an access control list lets one user read.
const OTHERS_BESIDE_LIST: u32 = 0o037;

/// What is read at first of something that does not say how long it is.
const FIRST_BYTES: usize = 4 << 10;

/// Reads the text of a file, or of a pipe, that nobody but its owner may read. For other secrets than keys, with the same care.
pub fn read_private_file(path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, Refused> {
    read(path, bytes_max, Keeper::Mode)
}

/// The text of a private file, or of a pipe.
pub(crate) fn read(path: &Path, bytes_max: usize, keeper: Keeper) -> Result<Zeroizing<String>, Refused> {
    let mut file = File::open(path).map_err(Refused::System)?;
    let metadata = file.metadata().map_err(Refused::System)?;
    let kind = metadata.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        return Err(Refused::NotAFile);
    }
    let mode = metadata.mode() & 0o7777;
    let forbidden = if keeper == Keeper::Mode { OTHERS } else { OTHERS_BESIDE_LIST };
    if mode & forbidden != 0 {
        return Err(Refused::OpenToOthers { mode });
    }
    let expected = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if expected > bytes_max {
        return Err(Refused::TooLong { bytes_max });
    }
    text(bounded(&mut file, expected, bytes_max)?)
}

/// Everything there is. Memory that proves too small is wiped, which a `Vec` that grows by itself does not do.
fn bounded(from: &mut impl Read, expected: usize, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, Refused> {
    // One more than expected, so that the end is seen without growing.
    let mut bytes = Zeroizing::new(vec![0; expected.max(FIRST_BYTES).min(bytes_max) + 1]);
    let mut filled = 0;
    loop {
        if filled > bytes_max {
            return Err(Refused::TooLong { bytes_max });
        }
        if filled == bytes.len() {
            let mut larger = Zeroizing::new(vec![0; (2 * filled).min(bytes_max + 1)]);
            larger[..filled].copy_from_slice(&bytes);
            bytes = larger;
        }
        match from.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Refused::System(error)),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn text(mut bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, Refused> {
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(Refused::NotText)
        }
    }
}

impl Refused {
    /// What happened, for the file at this path.
    pub fn what(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::System(error) => format!("cannot read {path}: {error}"),
            Self::NotAFile => format!("{path} is not a file"),
            Self::OpenToOthers { mode } => format!("others can {} {path}, its mode is {mode:04o}", can(*mode)),
            Self::TooLong { bytes_max } => format!("{path} is longer than {} KiB", bytes_max >> 10),
            Self::NotText => format!("{path} is not a text file"),
        }
    }

    /// What to do about it; `content` says what the file should have in it.
    pub fn advice(&self, path: &Path, content: &str) -> String {
        match self {
            Self::System(error) if error.kind() == io::ErrorKind::NotFound => {
                format!("look at the path; such a file holds {content}")
            }
            Self::System(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                format!("make the user who runs this its owner: sudo chown \"$(id -un)\" {}", quoted(path))
            }
            Self::System(_) => "see what the operating system says about that".to_owned(),
            Self::OpenToOthers { .. } => format!("chmod 600 {}", quoted(path)),
            Self::NotAFile | Self::TooLong { .. } | Self::NotText => format!("give a file that holds {content}"),
        }
    }
}

fn can(mode: u32) -> &'static str {
    match (mode & 0o044 != 0, mode & 0o022 != 0) {
        (true, true) => "read and write",
        (false, true) => "write",
        (true, false) => "read",
        (false, false) => "execute",
    }
}

/// The path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(f),
            Self::NotAFile => f.write_str("it is not a file"),
            Self::OpenToOthers { mode } => write!(f, "others can {} it, its mode is {mode:04o}", can(*mode)),
            Self::TooLong { bytes_max } => write!(f, "it is longer than {} KiB", bytes_max >> 10),
            Self::NotText => f.write_str("it is not a text file"),
        }
    }
}
