//! Reads a file that nobody else may read. The file is opened once and everything is asked of what was opened, so that it cannot be
//! exchanged between the question and the reading. Nothing here waits for ever: opening does not wait at all, and a pipe is given a while.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};
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

/// Whether it is the first reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// At a start. What a password manager writes into a pipe will do.
    First,
    /// While a server runs. What came out of a pipe is gone, and a server must not wait for somebody to write more: only a file will do.
    Again,
}

/// Why a file was not read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// The operating system says no.
    System(io::Error),
    /// It is a folder, a device or the like.
    NotAFile,
    /// It is a pipe or the like, which cannot be read a second time.
    NotAgain,
    /// It is a pipe, and nothing, or not all, was written into it within this time.
    NobodyWrites {
        /// How long somebody had for it.
        waited: Duration,
    },
    /// It belongs to another user, who can change its mode and what is in it.
    OfAnother {
        /// The number of that user.
        owner: u32,
    },
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

/// How long a pipe may take to be written: whoever writes it may ask for a passphrase first.
const PIPE_WITHIN: Duration = Duration::from_secs(30);

/// The user whose files everybody trusts.
const ROOT: u32 = 0;

/// Reads the text of a file, or at a start of a pipe, that nobody but its owner may read. For other secrets than keys, with the same care.
pub fn read_private_file(path: &Path, bytes_max: usize, reading: Reading) -> Result<Zeroizing<String>, Refused> {
    read(path, bytes_max, Keeper::Mode, reading)
}

/// The text of a private file, or of a pipe.
pub(crate) fn read(
    path: &Path,
    bytes_max: usize,
    keeper: Keeper,
    reading: Reading,
) -> Result<Zeroizing<String>, Refused> {
    let file = open(path, reading)?;
    let metadata = file.metadata().map_err(Refused::System)?;
    let user = rustix::process::geteuid().as_raw();
    private(metadata.uid(), metadata.mode() & 0o7777, keeper, user)?;
    let expected = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if expected > bytes_max {
        return Err(Refused::TooLong { bytes_max });
    }
    text(bounded(&mut Patient::new(file, &metadata, PIPE_WITHIN), expected, bytes_max)?)
}

/// Reads at most so many bytes of a file, or at a start of a pipe, that anybody may read. Waits no longer than for a private one.
pub fn read_public_file(path: &Path, bytes_max: usize, reading: Reading) -> Result<Vec<u8>, Refused> {
    let file = open(path, reading)?;
    let metadata = file.metadata().map_err(Refused::System)?;
    let mut bytes = bounded(&mut Patient::new(file, &metadata, PIPE_WITHIN), 0, bytes_max)?;
    Ok(std::mem::take(&mut *bytes))
}

/// Opens a file, or a pipe at a start. Without the flag, opening a pipe that nobody writes waits for ever; to files it means nothing.
fn open(path: &Path, reading: Reading) -> Result<File, Refused> {
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(at_once).open(path).map_err(Refused::System)?;
    let kind = file.metadata().map_err(Refused::System)?.file_type();
    match reading {
        _ if kind.is_file() => Ok(file),
        Reading::First if kind.is_fifo() => Ok(file),
        Reading::Again if !kind.is_dir() => Err(Refused::NotAgain),
        _ => Err(Refused::NotAFile),
    }
}

/// Whether a file is its owner's alone, and the owner is `user`, who reads it, or root.
fn private(owner: u32, mode: u32, keeper: Keeper, user: u32) -> Result<(), Refused> {
    if owner != user && owner != ROOT {
        return Err(Refused::OfAnother { owner });
    }
    let forbidden = if keeper == Keeper::Mode { OTHERS } else { OTHERS_BESIDE_LIST };
    if mode & forbidden != 0 { Err(Refused::OpenToOthers { mode }) } else { Ok(()) }
}

/// A file, or a pipe that is waited for, but not for ever.
struct Patient {
    file: File,
    /// Until when, of a pipe.
    until: Option<Instant>,
    within: Duration,
}

#[allow(
    clippy::disallowed_methods,
    reason = "no key depends on the time, but how long somebody may take to write one does"
)]
impl Patient {
    fn new(file: File, metadata: &Metadata, within: Duration) -> Self {
        let until = metadata.file_type().is_fifo().then(|| Instant::now() + within);
        Self { file, until, within }
    }

    /// Waits until there is something to read, or nobody is left who writes. One who has not come yet is waited for.
    fn wait(&self) -> Result<(), Refused> {
        let Some(until) = self.until else { return Ok(()) };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| Refused::System(io::ErrorKind::InvalidInput.into()))?;
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(Refused::NobodyWrites { waited: self.within }),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Refused::System(error.into())),
            }
        }
    }

    /// Some bytes; none at the end.
    fn read(&mut self, room: &mut [u8], is_first: bool) -> Result<usize, Refused> {
        if is_first {
            // Before somebody has written, a pipe looks as if it were at its end.
            self.wait()?;
        }
        loop {
            match self.file.read(room) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.until.is_some() => self.wait()?,
                Err(error) => return Err(Refused::System(error)),
            }
        }
    }
}

/// Everything there is. Memory that proves too small is wiped, which a `Vec` that grows by itself does not do.
fn bounded(from: &mut Patient, expected: usize, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, Refused> {
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
        match from.read(&mut bytes[filled..], filled == 0)? {
            0 => break,
            count => filled += count,
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
            Self::NotAgain => format!("{path} is a pipe or the like, which cannot be read a second time"),
            Self::NobodyWrites { waited } => {
                format!("{path} is a pipe, and nobody wrote into it and closed it within {} s", waited.as_secs())
            }
            Self::OfAnother { owner } => format!("{path} belongs to another user, number {owner}, who can change it"),
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
            Self::System(error) if error.kind() == io::ErrorKind::PermissionDenied => own(path),
            Self::OfAnother { .. } => own(path),
            Self::NotAgain => {
                format!(
                    "start the server again, or give it a file, which it can read as often as it is told, with {content}"
                )
            }
            Self::NobodyWrites { .. } => {
                format!("look at what should write into it, or give a file that holds {content}")
            }
            Self::System(_) => "see what the operating system says about that".to_owned(),
            Self::OpenToOthers { .. } => format!("chmod 600 {}", quoted(path)),
            Self::NotAFile | Self::TooLong { .. } | Self::NotText => format!("give a file that holds {content}"),
        }
    }
}

fn own(path: &Path) -> String {
    format!("make the user who runs this its owner: sudo chown \"$(id -un)\" {}", quoted(path))
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
            Self::NotAgain => f.write_str("it is a pipe or the like, which cannot be read a second time"),
            Self::NobodyWrites { waited } => {
                write!(f, "it is a pipe, and nobody wrote into it and closed it within {} s", waited.as_secs())
            }
            Self::OfAnother { owner } => write!(f, "it belongs to another user, number {owner}, who can change it"),
            Self::OpenToOthers { mode } => write!(f, "others can {} it, its mode is {mode:04o}", can(*mode)),
            Self::TooLong { bytes_max } => write!(f, "it is longer than {} KiB", bytes_max >> 10),
            Self::NotText => f.write_str("it is not a text file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Whoever owns a file can change its mode and what is in it, whatever the mode is now.
    #[test]
    fn only_ones_own_files_and_those_of_root_are_private() {
        for (keeper, mode) in [(Keeper::Mode, 0o600), (Keeper::Credentials, 0o440)] {
            assert!(private(1_000, mode, keeper, 1_000).is_ok() && private(ROOT, mode, keeper, 1_000).is_ok());
            for user in [ROOT, 1_001] {
                assert!(matches!(private(1_000, mode, keeper, user), Err(Refused::OfAnother { owner: 1_000 })));
            }
        }
        assert!(matches!(private(ROOT, 0o440, Keeper::Mode, 1_000), Err(Refused::OpenToOthers { mode: 0o440 })));
        let refused = Refused::OfAnother { owner: 7 };
        assert_eq!(refused.what("k".as_ref()), "k belongs to another user, number 7, who can change it");
        assert!(refused.advice("k".as_ref(), "keys").contains("sudo chown \"$(id -un)\" k"));
    }

    /// A server whose keys had become a pipe waited for a writer when it was told to read them again, and could not even end.
    #[test]
    fn a_pipe_that_nobody_writes_is_not_waited_for_for_ever() {
        let path = std::env::temp_dir().join(format!("answerback-pipe-{}", std::process::id()));
        let _gone = Gone(&path);
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap().success());
        let again = read_private_file(&path, 99, Reading::Again);
        assert!(matches!(again, Err(Refused::NotAgain)), "{again:?}");
        assert!(matches!(read_public_file(&path, 99, Reading::Again), Err(Refused::NotAgain)));
        let file = open(&path, Reading::First).unwrap();
        let metadata = file.metadata().unwrap();
        let short = Duration::from_millis(10);
        let first = bounded(&mut Patient::new(file, &metadata, short), 0, 99);
        assert!(matches!(first, Err(Refused::NobodyWrites { waited }) if waited == short));
        // Nor one that somebody holds open without a word.
        let file = open(&path, Reading::First).unwrap();
        let _writer = OpenOptions::new().write(true).open(&path).unwrap();
        let first = bounded(&mut Patient::new(file, &metadata, short), 0, 99);
        assert!(matches!(first, Err(Refused::NobodyWrites { .. })));
    }

    struct Gone<'a>(&'a Path);

    impl Drop for Gone<'_> {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(self.0);
        }
    }
}
