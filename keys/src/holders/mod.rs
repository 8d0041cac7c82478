//! The keys file: who has which keys, and who may do what. TOML, a table for each holder:
//!
//! ```toml
//! [billing]
//! keys = ["abk1:billing:…", "abk1:billing/2:…"]   # two while one replaces the other
//! call = ["user.get", "mail.*"]                   # patterns, as of topics
//! serve = ["billing.>"]
//! publish = ["billing.>"]
//! subscribe = ["orders.>"]
//! admin = false                                   # names that begin with $
//! peer = false                                    # a server, which passes on requests of others
//! certificate = "CN=billing"                      # TLS client certificates with this subject or DNS name
//! ```
//!
//! What is not there is not granted. Every mistake is told at once, with its line, and a file with a mistake is not taken at all.
//! This file has the errors and the limits; `reader` goes through the tables.

mod reader;
mod words;

use crate::private::{self, Keeper, Reading, Refused};
use crate::ring::KeyRing;
use std::fmt;
use std::path::{Path, PathBuf};

/// Bytes of a keys file at most: 1,600 for each of 10,000 holders.
pub const KEYS_FILE_BYTES_MAX: usize = 16 << 20;

/// Holders at most. Each connection has one; a broker for more services than this is several brokers.
pub const HOLDERS_MAX: usize = 10_000;

/// Keys of one holder at most. Two are enough for a rotation; the rest is for those who give each machine its own.
pub const KEYS_MAX: usize = 100;

/// Patterns in one list at most: each check of a right may look at all of them.
pub const PATTERNS_MAX: usize = 1_000;

/// Bytes of the subject of a certificate at most.
pub const CERTIFICATE_BYTES_MAX: usize = 1_024;

/// Mistakes that are told one by one; of those beyond, the number.
pub const MISTAKES_TOLD_MAX: usize = 100;

/// A mistake in a keys file: where it is, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// Whose entry it is in, as far as that is clear.
    pub holder: Option<Box<str>>,
    /// What is wrong and what to do. No piece of a key.
    pub text: String,
}

/// Everything that is wrong with the text of a keys file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysError {
    /// The first [`MISTAKES_TOLD_MAX`], by line.
    pub mistakes: Vec<Mistake>,
    /// How many there are beyond.
    pub more: usize,
}

/// Why a file gave no holders.
#[derive(Debug)]
pub struct KeysFileError {
    path: PathBuf,
    problem: KeysFileProblem,
}

/// What is wrong with a keys file.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeysFileProblem {
    /// It was not read at all.
    Refused(Refused),
    /// It was read, and there are mistakes in it.
    Mistakes(KeysError),
}

/// Reads a keys file that belongs to one user alone.
pub fn read_keys_file(path: &Path) -> Result<KeyRing, KeysFileError> {
    read(path, Keeper::Mode, Reading::First)
}

pub(crate) fn read(path: &Path, keeper: Keeper, reading: Reading) -> Result<KeyRing, KeysFileError> {
    let failed = |problem| KeysFileError { path: path.to_owned(), problem };
    let text = private::read(path, KEYS_FILE_BYTES_MAX, keeper, reading);
    let text = text.map_err(|refused| failed(KeysFileProblem::Refused(refused)))?;
    parse_keys_file(&text).map_err(|error| failed(KeysFileProblem::Mistakes(error)))
}

/// The holders in the text of a keys file.
pub fn parse_keys_file(text: &str) -> Result<KeyRing, KeysError> {
    reader::read(text)
}

impl KeysError {
    /// How many mistakes there are.
    pub fn count(&self) -> usize {
        self.mistakes.len() + self.more
    }
}

impl KeysFileError {
    /// What is wrong.
    pub fn problem(&self) -> &KeysFileProblem {
        &self.problem
    }

    /// What happened: one line, and with mistakes one more for each.
    pub fn what(&self) -> String {
        match &self.problem {
            KeysFileProblem::Refused(refused) => refused.what(&self.path),
            KeysFileProblem::Mistakes(error) => format!("{}\n{error}", self.summary()),
        }
    }

    /// What happened, in one line.
    pub fn summary(&self) -> String {
        match &self.problem {
            KeysFileProblem::Refused(refused) => refused.what(&self.path),
            KeysFileProblem::Mistakes(error) => {
                let mistakes = if error.count() == 1 { "mistake" } else { "mistakes" };
                format!("{} {mistakes} in {}", error.count(), self.path.display())
            }
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> String {
        match &self.problem {
            KeysFileProblem::Refused(refused) => {
                refused.advice(&self.path, "holders with their keys, a table for each")
            }
            KeysFileProblem::Mistakes(_) => {
                format!("mend them; `answerback keys check {}` says whether all is well", private::quoted(&self.path))
            }
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if let Some(holder) = &self.holder {
            write!(f, "[{holder}] ")?;
        }
        f.write_str(&self.text)
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            let end = if at > 0 { "\n" } else { "" };
            write!(f, "{end}{mistake}")?;
        }
        if self.more > 0 { write!(f, "\nand {} more", self.more) } else { Ok(()) }
    }
}

impl std::error::Error for KeysError {}

impl fmt::Display for KeysFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            KeysFileProblem::Refused(_) => write!(f, "{}: {}", self.what(), self.advice()),
            KeysFileProblem::Mistakes(_) => write!(f, "{}\n{}", self.what(), self.advice()),
        }
    }
}

impl std::error::Error for KeysFileError {}
