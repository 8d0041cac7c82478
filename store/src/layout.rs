//! Names of what lies in a store, and its small files.

use crate::lines::to_the_second;
use crate::{Calendar, Disk};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The format that this version writes, and the newest that it reads.
pub(crate) const FORMAT: u64 = 1;

const FORMAT_FILE: &str = "format";
const FORMAT_WORD: &str = "answerback-store";
const CLEAN_FILE: &str = "clean";
const CURRENT_FILE: &str = "current";
const JOURNAL_DIR: &str = "journal";
const ASIDE_DIR: &str = "aside";

/// The most that is read of a small file: each holds one line.
const LINE_BYTES_MAX: usize = 256;

/// A store's place on a disk.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
}

/// What the file `format` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// There is none.
    Missing,
    /// A store of this format, and the salt of its journal's checksums.
    Ours { salt: u32 },
    /// A store that a newer version has written.
    Newer(u64),
    /// Something else.
    Damaged,
}

impl Layout {
    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL_DIR)
    }

    pub(crate) fn aside_dir(&self) -> PathBuf {
        self.path.join(ASIDE_DIR)
    }

    pub(crate) fn format_path(&self) -> PathBuf {
        self.path.join(FORMAT_FILE)
    }

    pub(crate) fn current_path(&self) -> PathBuf {
        self.path.join(CURRENT_FILE)
    }

    /// Whether something lies here.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        match self.disk.list(&self.path) {
            Ok(names) => Ok(names.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether what lies here looks like a store, whatever `format` says.
    pub(crate) fn looks_like_a_store(&self) -> io::Result<bool> {
        let names = self.disk.list(&self.path)?;
        Ok(names.iter().any(|name| name == JOURNAL_DIR || name == CURRENT_FILE || name.starts_with(FORMAT_FILE)))
    }

    pub(crate) fn format(&self) -> io::Result<Format> {
        let bytes = self.disk.read_small(&self.format_path(), LINE_BYTES_MAX)?;
        Ok(bytes.map_or(Format::Missing, |bytes| parse_format(&bytes)))
    }

    pub(crate) fn write_format(&self, salt: u32) -> io::Result<()> {
        let line = format!("{FORMAT_WORD} {FORMAT} salt {salt:08x}\n");
        self.disk.replace(&self.path, FORMAT_FILE, line.as_bytes())
    }

    pub(crate) fn is_clean(&self) -> io::Result<bool> {
        Ok(self.disk.read_small(&self.path.join(CLEAN_FILE), LINE_BYTES_MAX)?.is_some())
    }

    pub(crate) fn mark_clean(&self) -> io::Result<()> {
        self.disk.replace(&self.path, CLEAN_FILE, b"everything was saved\n")
    }

    pub(crate) fn unmark_clean(&self) -> io::Result<()> {
        if self.disk.remove_if_there(&self.path.join(CLEAN_FILE))? { self.disk.sync_dir(&self.path) } else { Ok(()) }
    }

    /// The number of the generation that counts: nothing if there is none yet, an error text if the file is damaged.
    pub(crate) fn current(&self) -> io::Result<Result<Option<u64>, &'static str>> {
        let bytes = self.disk.read_small(&self.current_path(), LINE_BYTES_MAX)?;
        Ok(bytes.map_or(Ok(None), |bytes| {
            let text = std::str::from_utf8(&bytes).unwrap_or_default().trim_end();
            generation_number(text).map(Some).ok_or("it does not name a generation")
        }))
    }

    pub(crate) fn write_current(&self, generation: u64) -> io::Result<()> {
        let line = format!("{}\n", generation_name(generation));
        self.disk.replace(&self.path, CURRENT_FILE, line.as_bytes())
    }

    pub(crate) fn remove_current(&self) -> io::Result<()> {
        if self.disk.remove_if_there(&self.current_path())? { self.disk.sync_dir(&self.path) } else { Ok(()) }
    }

    pub(crate) fn generation(&self, number: u64) -> PathBuf {
        self.path.join(generation_name(number))
    }

    /// All generations that are there.
    pub(crate) fn generations(&self) -> io::Result<Vec<u64>> {
        let names = self.disk.list(&self.path)?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| generation_number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A place for a copy of `path`: a name with the time that is not taken. Makes the directory.
    pub(crate) fn aside(&self, path: &Path, calendar: &Calendar) -> io::Result<PathBuf> {
        let dir = self.aside_dir();
        self.disk.make_dir(&dir)?;
        let taken = self.disk.list(&dir)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let first = format!("{}-{name}", utc(calendar.clock_now()));
        let others = (2..).map(|n| format!("{first}-{n}"));
        let free = std::iter::once(first.clone()).chain(others).find(|name| !taken.contains(name));
        Ok(dir.join(free.unwrap_or(first)))
    }

    /// Copies a file of the store aside.
    pub(crate) fn copy_aside(&self, path: &Path, calendar: &Calendar) -> io::Result<PathBuf> {
        let to = self.aside(path, calendar)?;
        self.disk.copy(path, &to)?;
        self.disk.sync_dir(&self.aside_dir())?;
        self.disk.sync_dir(&self.path)?;
        Ok(to)
    }
}

fn parse_format(bytes: &[u8]) -> Format {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some(FORMAT_WORD) {
        return Format::Damaged;
    }
    match words.next().and_then(|word| word.parse().ok()) {
        // Every word of a format of ours is known.
        Some(FORMAT) => match (words.next(), words.next(), words.next()) {
            (Some("salt"), Some(salt), None) if salt.len() == 8 && text.ends_with('\n') => {
                u32::from_str_radix(salt, 16).map_or(Format::Damaged, |salt| Format::Ours { salt })
            }
            _ => Format::Damaged,
        },
        Some(newer) if newer > FORMAT => Format::Newer(newer),
        _ => Format::Damaged,
    }
}

/// Something that nobody outside can guess. Not a secret that keys depend on: it keeps planted frames from being found.
pub(crate) fn fresh_salt() -> u32 {
    RandomState::new().hash_one(FORMAT_WORD) as u32
}

fn generation_name(number: u64) -> String {
    format!("generation-{number:06}")
}

pub(crate) fn generation_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("generation-")?;
    let is_number = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// A moment as it can stand in a file name: `2026-11-21T15-02-33Z`.
fn utc(unix_micros: u64) -> String {
    format!("{}Z", to_the_second(unix_micros.min(MICROS_MAX), '-'))
}

/// The end of the year 9999. A clock beyond it is wrong, and the name must stay one.
const MICROS_MAX: u64 = 253_402_300_799_999_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_a_name() {
        assert_eq!(utc(0), "1970-01-01T00-00-00Z");
        assert_eq!(utc(951_782_400_000_000), "2000-02-29T00-00-00Z");
        assert_eq!(utc(1_795_273_353_000_000), "2026-11-21T15-02-33Z");
        assert_eq!(&utc(u64::MAX)[..4], "9999");
    }

    #[test]
    fn formats_are_told_apart() {
        assert_eq!(parse_format(b"answerback-store 1 salt 000000ff\n"), Format::Ours { salt: 255 });
        assert_eq!(parse_format(b"answerback-store 2 and more\n"), Format::Newer(2));
        for damaged in
            ["", "answerback-store", "answerback-store 1 salt 000000ff", "answerback-store 0 salt 000000ff\n", "x 1\n"]
        {
            assert_eq!(parse_format(damaged.as_bytes()), Format::Damaged, "{damaged}");
        }
    }
}
