//! Files that hold one key: a line with its text, and around it as many blank lines and comments with `#` as people like.

use crate::private::{self, Keeper, Reading, Refused};
use crate::text::{self, KeyTextError};
use answerback_protocol::sealed::Key;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes of a key file at most: a key has about a hundred, and the rest is room for comments.
pub const KEY_FILE_BYTES_MAX: usize = 64 << 10;

/// The mode of a new key file: its owner reads and writes, nobody else does anything.
const PRIVATE: u32 = 0o600;

/// Why a file gave no key.
#[derive(Debug)]
pub struct KeyFileError {
    path: PathBuf,
    problem: KeyFileProblem,
}

/// What is wrong with a key file.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFileProblem {
    /// It was not read at all.
    Refused(Refused),
    /// There is nothing in it but comments.
    Empty,
    /// There is more than one key, on these lines.
    Many {
        /// Where the first one stands, from 1.
        first: usize,
        /// Where the next one stands.
        second: usize,
    },
    /// It begins like a keys file.
    Holders,
    /// What stands on this line is no key.
    Text {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        error: KeyTextError,
    },
}

/// Reads the key in a file that belongs to one user alone.
pub fn read_key_file(path: &Path) -> Result<Key, KeyFileError> {
    read(path, Keeper::Mode, Reading::First)
}

pub(crate) fn read(path: &Path, keeper: Keeper, reading: Reading) -> Result<Key, KeyFileError> {
    let failed = |problem| KeyFileError { path: path.to_owned(), problem };
    let text = private::read(path, KEY_FILE_BYTES_MAX, keeper, reading);
    let text = text.map_err(|refused| failed(KeyFileProblem::Refused(refused)))?;
    parse_key_file(&text).map_err(failed)
}

/// The key in the text of a key file.
pub fn parse_key_file(text: &str) -> Result<Key, KeyFileProblem> {
    // Some editors begin a file with a mark that nobody sees.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim).enumerate().map(|(at, line)| (at + 1, line));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (line, text) = lines.next().ok_or(KeyFileProblem::Empty)?;
    if text.starts_with('[') {
        return Err(KeyFileProblem::Holders);
    }
    let key = text::parse(text).map_err(|error| KeyFileProblem::Text { line, error })?;
    match lines.next() {
        Some((second, _)) => Err(KeyFileProblem::Many { first: line, second }),
        None => Ok(key),
    }
}

/// Makes a file that its owner alone can read, with these comments and the key. A file that is there already stays as it is.
pub fn create_key_file(path: &Path, comments: &[String], key: &Key) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)?;
    let mut write = || {
        for comment in comments {
            writeln!(file, "# {comment}")?;
        }
        // In two pieces, so that no text is made that would have to be wiped.
        file.write_all(text::print(key).as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().inspect_err(|_| {
        // Half a key is of no use, and would be in the way of the next try.
        let _ = fs::remove_file(path);
    })
}

impl KeyFileError {
    /// What is wrong.
    pub fn problem(&self) -> &KeyFileProblem {
        &self.problem
    }

    /// What happened.
    pub fn what(&self) -> String {
        let path = self.path.display();
        match &self.problem {
            KeyFileProblem::Refused(refused) => refused.what(&self.path),
            KeyFileProblem::Empty => format!("there is no key in {path}"),
            KeyFileProblem::Many { first, second } => {
                format!("{path} holds more than one key, on lines {first} and {second}")
            }
            KeyFileProblem::Holders => {
                format!("{path} looks like a keys file, with many holders, and not like a file with one key")
            }
            KeyFileProblem::Text { line, error } => format!("line {line} of {path} is not a key: {error}"),
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> String {
        match &self.problem {
            KeyFileProblem::Refused(refused) => {
                refused.advice(&self.path, "one key, as `answerback keygen -o FILE` makes it")
            }
            KeyFileProblem::Empty => "`answerback keygen -o FILE` makes a file with a new key".to_owned(),
            KeyFileProblem::Many { .. } => {
                "a key file has one key; many holders stand in a keys file, --keys FILE".to_owned()
            }
            KeyFileProblem::Holders => {
                format!(
                    "a server takes it with --keys {}; a client needs a file with its key alone",
                    private::quoted(&self.path)
                )
            }
            KeyFileProblem::Text { .. } => "copy the whole line again from where the key was made".to_owned(),
        }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what(), self.advice())
    }
}

impl std::error::Error for KeyFileError {}
