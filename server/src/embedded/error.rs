//! Why there is neither a connection nor a broker of our own.

use crate::start::StartError;
use answerback_keys::SourceError;
use std::fmt;
use std::path::PathBuf;

/// Why there is no broker to be a client of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// Nobody who answers there lets us in, and nothing was started beside them. [`answerback::Error::obstacle`] tells one reason from another.
    Client(answerback::Error),
    /// Nobody answers there, and nothing may be started there.
    NotOurs {
        /// What the client met.
        client: answerback::Error,
        /// Why nothing was started, and what to do.
        why: String,
    },
    /// A broker was to be started here, and could not be.
    Start {
        /// The data directory.
        data_dir: PathBuf,
        /// What happened, and what to do.
        what: String,
    },
    /// The key cannot be used.
    Key(String),
    /// There is no place for the data.
    NoPlace,
    /// There was no connection in time; the text says how things stood.
    Late(String),
}

impl Error {
    pub(super) fn of_start(data_dir: PathBuf, error: &StartError) -> Self {
        Self::Start { data_dir, what: error.to_string() }
    }

    pub(super) fn of_key(error: &SourceError) -> Self {
        Self::Key(error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "{error}"),
            Self::NotOurs { client, why } => write!(f, "{}; nothing was started here: {why}", client.message()),
            Self::Start { data_dir, what } => {
                write!(f, "no broker answers, and none can be started on {}: {what}", data_dir.display())
            }
            Self::Key(what) => write!(f, "key_file: {what}"),
            Self::NoPlace => f.write_str(
                "no place for the broker's data: neither XDG_STATE_HOME nor HOME is an absolute path; give one with \
                 Builder::data_dir",
            ),
            Self::Late(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) | Self::NotOurs { client: error, .. } => Some(error),
            _ => None,
        }
    }
}
