//! Where a key comes from: a flag, the environment or a systemd credential, in this order. Never the command line itself, which everybody on
//! the machine can read.
//!
//! | | one key | many holders |
//! |---|---|---|
//! | flag | `--key-file FILE` | `--keys FILE` |
//! | environment | `ANSWERBACK_KEY_FILE`, or `ANSWERBACK_KEY` with the text of the key | `ANSWERBACK_KEYS` |
//! | systemd | credential `answerback.key` | credential `answerback.keys` |
//!
//! A client takes the first column, a server both. What stands above wins, as with other flags; two of one row is a mistake. A source can be
//! read again, for a reload. Nothing here looks at the environment by itself: what it says is an argument.

use crate::file::{self, KeyFileError};
#[cfg(feature = "holders")]
use crate::holders::{self, KeysFileError};
use crate::private::{Keeper, Reading};
#[cfg(feature = "holders")]
use crate::ring::KeyRing;
use crate::text::{self, KeyTextError};
use answerback_protocol::sealed::Key;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Holds the path of a key file.
pub const KEY_FILE_VARIABLE: &str = "ANSWERBACK_KEY_FILE";
/// Holds the text of a key.
pub const KEY_VARIABLE: &str = "ANSWERBACK_KEY";
/// Holds the path of a keys file.
pub const KEYS_VARIABLE: &str = "ANSWERBACK_KEYS";
/// Where systemd puts the credentials of a service.
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// The credential that is a key file.
pub const KEY_CREDENTIAL: &str = "answerback.key";
/// The credential that is a keys file.
pub const KEYS_CREDENTIAL: &str = "answerback.keys";

/// What was said about keys. An empty variable is as good as none.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `--key-file`.
    pub key_file_flag: Option<PathBuf>,
    /// `--keys`.
    pub keys_flag: Option<PathBuf>,
    /// `ANSWERBACK_KEY_FILE`.
    pub key_file: Option<PathBuf>,
    /// `ANSWERBACK_KEY`.
    pub key: Option<KeyText>,
    /// `ANSWERBACK_KEYS`.
    pub keys: Option<PathBuf>,
    /// `CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
}

/// A text that should be a key. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct KeyText(Zeroizing<String>);

/// One of the ways to give keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// `--key-file FILE`.
    KeyFileFlag,
    /// `--keys FILE`.
    KeysFlag,
    /// `--peer HOST:PORT,key-file=FILE`.
    PeerFlag,
    /// `--peer-key-file FILE`.
    PeerKeyFileFlag,
    /// The variable with the path of a key file.
    KeyFileVariable,
    /// The variable with the text of a key.
    KeyVariable,
    /// The variable with the path of a keys file.
    KeysVariable,
    /// The credential that is a key file.
    KeyCredential,
    /// The credential that is a keys file.
    KeysCredential,
}

/// Where one key is.
#[derive(Debug, Clone)]
pub struct KeySource {
    origin: Origin,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Text(KeyText),
}

/// Where a server finds its keys.
#[cfg(feature = "holders")]
#[derive(Debug, Clone)]
pub enum RingSource {
    /// One key, whose holder may do everything.
    One(KeySource),
    /// A keys file.
    Many {
        /// Who said so.
        origin: Origin,
        /// The file.
        path: PathBuf,
    },
}

/// Why a source gave no key, and which one it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// Two ways at once, of which none goes before the other.
    Both(Origin, Origin),
    /// The file of this source is not a key file.
    File(Origin, KeyFileError),
    /// The text of this source is not a key.
    Text(Origin, KeyTextError),
    /// The file of this source is not a keys file.
    #[cfg(feature = "holders")]
    Keys(Origin, KeysFileError),
}

impl Given {
    /// What the environment says; `variable` looks up one of its variables.
    pub fn by_environment(mut variable: impl FnMut(&str) -> Option<OsString>) -> Self {
        let mut said = |name| variable(name).filter(|value| !value.is_empty());
        Self {
            key_file_flag: None,
            keys_flag: None,
            key_file: said(KEY_FILE_VARIABLE).map(PathBuf::from),
            key: said(KEY_VARIABLE).map(KeyText::of_variable),
            keys: said(KEYS_VARIABLE).map(PathBuf::from),
            credentials: said(CREDENTIALS_VARIABLE).map(PathBuf::from),
        }
    }

    /// With what the flags say.
    #[must_use]
    pub fn and_flags(self, key_file: Option<PathBuf>, keys: Option<PathBuf>) -> Self {
        Self { key_file_flag: key_file, keys_flag: keys, ..self }
    }

    /// Every way that was taken, a row after the other.
    fn rows(&self) -> [Vec<(Origin, Place)>; 3] {
        let file = |origin, path: &Option<PathBuf>| path.clone().map(|path| (origin, Place::File(path)));
        let credential = |origin, name| self.credential(name).map(|path| (origin, Place::File(path)));
        let text = self.key.clone().map(|text| (Origin::KeyVariable, Place::Text(text)));
        let flags = [file(Origin::KeyFileFlag, &self.key_file_flag), file(Origin::KeysFlag, &self.keys_flag)];
        let variables = [file(Origin::KeyFileVariable, &self.key_file), text, file(Origin::KeysVariable, &self.keys)];
        let credentials =
            [credential(Origin::KeyCredential, KEY_CREDENTIAL), credential(Origin::KeysCredential, KEYS_CREDENTIAL)];
        [
            flags.into_iter().flatten().collect(),
            variables.into_iter().flatten().collect(),
            credentials.into_iter().flatten().collect(),
        ]
    }

    /// The path of a credential, if there is one. One that cannot be looked at is taken for there: reading it will say what is wrong.
    fn credential(&self, name: &str) -> Option<PathBuf> {
        let path = self.credentials.as_ref()?.join(name);
        path.try_exists().unwrap_or(true).then_some(path)
    }

    /// The first way that was taken, among those that are `wanted`.
    fn first(&self, wanted: impl Fn(Origin) -> bool) -> Result<Option<(Origin, Place)>, SourceError> {
        for row in self.rows() {
            let mut ways = row.into_iter().filter(|(origin, _)| wanted(*origin));
            match (ways.next(), ways.next()) {
                (None, _) => {}
                (Some(way), None) => return Ok(Some(way)),
                (Some((one, _)), Some((other, _))) => return Err(SourceError::Both(one, other)),
            }
        }
        Ok(None)
    }
}

impl KeySource {
    /// Where a client finds its key, if it was given one.
    pub fn of(given: &Given) -> Result<Option<Self>, SourceError> {
        Ok(given.first(Origin::is_of_one)?.map(|(origin, place)| Self { origin, place }))
    }

    /// A key file for links to other servers, said by this flag.
    pub fn of_peers(origin: Origin, path: PathBuf) -> Self {
        Self { origin, place: Place::File(path) }
    }

    /// Which way was taken.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The key file, unless the text was given itself.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Text(_) => None,
        }
    }

    /// Reads the key.
    pub fn read(&self) -> Result<Key, SourceError> {
        self.read_as(Reading::First)
    }

    /// Reads it again, while a program runs: only from a file that keeps nobody waiting.
    pub fn read_again(&self) -> Result<Key, SourceError> {
        self.read_as(Reading::Again)
    }

    fn read_as(&self, reading: Reading) -> Result<Key, SourceError> {
        match &self.place {
            Place::File(path) => {
                file::read(path, self.origin.keeper(), reading).map_err(|error| SourceError::File(self.origin, error))
            }
            Place::Text(text) => text::parse(&text.0).map_err(|error| SourceError::Text(self.origin, error)),
        }
    }
}

#[cfg(feature = "holders")]
impl RingSource {
    /// Where a server finds its keys, if it was given any.
    pub fn of(given: &Given) -> Result<Option<Self>, SourceError> {
        let way = given.first(|_| true)?;
        Ok(way.map(|(origin, place)| match place {
            Place::File(path) if !origin.is_of_one() => Self::Many { origin, path },
            place => Self::One(KeySource { origin, place }),
        }))
    }

    /// Reads all keys, at a start.
    pub fn read(&self) -> Result<KeyRing, SourceError> {
        self.read_as(Reading::First)
    }

    /// Reads them again, while a server runs: only from files, which keep nobody waiting.
    pub fn read_again(&self) -> Result<KeyRing, SourceError> {
        self.read_as(Reading::Again)
    }

    fn read_as(&self, reading: Reading) -> Result<KeyRing, SourceError> {
        match self {
            Self::One(source) => source.read_as(reading).map(KeyRing::of_one),
            Self::Many { origin, path } => {
                holders::read(path, origin.keeper(), reading).map_err(|error| SourceError::Keys(*origin, error))
            }
        }
    }
}

impl Origin {
    /// Whether one key comes this way.
    fn is_of_one(self) -> bool {
        matches!(self, Self::KeyFileFlag | Self::KeyFileVariable | Self::KeyVariable | Self::KeyCredential)
    }

    fn keeper(self) -> Keeper {
        if matches!(self, Self::KeyCredential | Self::KeysCredential) { Keeper::Credentials } else { Keeper::Mode }
    }
}

impl KeyText {
    /// Takes a text for a key.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// What is not UTF-8 is no key, and what it is then does not matter.
    fn of_variable(value: OsString) -> Self {
        Self::new(value.into_string().unwrap_or_else(|value| value.to_string_lossy().into_owned()))
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFileFlag => f.write_str("--key-file"),
            Self::KeysFlag => f.write_str("--keys"),
            Self::PeerFlag => f.write_str("--peer"),
            Self::PeerKeyFileFlag => f.write_str("--peer-key-file"),
            Self::KeyFileVariable => f.write_str(KEY_FILE_VARIABLE),
            Self::KeyVariable => f.write_str(KEY_VARIABLE),
            Self::KeysVariable => f.write_str(KEYS_VARIABLE),
            Self::KeyCredential => write!(f, "credential {KEY_CREDENTIAL}"),
            Self::KeysCredential => write!(f, "credential {KEYS_CREDENTIAL}"),
        }
    }
}

impl SourceError {
    /// What happened, with the source that is wrong in front.
    pub fn what(&self) -> String {
        match self {
            Self::Both(one, other) => format!("{one} and {other} are both given, and only one of them can hold"),
            Self::File(origin, error) => format!("{origin}: {}", error.what()),
            Self::Text(origin, error) => format!("{origin}: it is not a key: {error}"),
            #[cfg(feature = "holders")]
            Self::Keys(origin, error) => format!("{origin}: {}", error.what()),
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::Both(one, other) => format!("take away {one} or {other}"),
            Self::File(_, error) => error.advice(),
            Self::Text(..) => "copy the whole key again from where it was made".to_owned(),
            #[cfg(feature = "holders")]
            Self::Keys(_, error) => error.advice(),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Many mistakes have a line each, and what to do about them has one too.
        let what = self.what();
        let between = if what.contains('\n') { "\n" } else { ": " };
        write!(f, "{what}{between}{}", self.advice())
    }
}

impl std::error::Error for SourceError {}
