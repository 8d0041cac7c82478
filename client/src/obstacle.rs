//! What can stand between a client and a server: each kind has a word for programs, and says what to do about it.

use crate::error::Error;
use answerback_protocol::{Code, Ran};
use std::fmt;
use std::io;

/// Why there is no connection, for programs that want to tell one reason from another. [`Error::obstacle`] has it; the error's text says more.
///
/// ```
/// # async fn example() {
/// use answerback::{Client, Obstacle};
/// match Client::builder("127.0.0.1:7040").connect().await {
///     Err(error) if error.obstacle() == Some(Obstacle::KeyWanted) => eprintln!("this server wants a key"),
///     Err(error) => eprintln!("{error}"),
///     Ok(_) => {}
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Obstacle {
    /// Nobody takes connections there.
    Unreachable,
    /// Whoever took the connection did not answer the greeting in time.
    Silent,
    /// The connection was closed instead of an answer to the greeting.
    Closed,
    /// The server takes nobody without a key.
    KeyWanted,
    /// The server refuses this key. It says so in the clear, so anybody on the way could have said it.
    KeyRefused,
    /// A server is there, and has no keys.
    NoKeys,
    /// Whoever answers does not have our key.
    NotOurServer,
    /// The server speaks another version of the sealed channel.
    OtherVersion,
    /// What answers is something else.
    NotAnswerback,
    /// The certificate of the server is not one to be trusted.
    Certificate,
    /// The server, or something in front of it, ended the TLS handshake.
    TlsRefused,
    /// What answers does not speak TLS.
    NoTls,
}

impl Obstacle {
    /// What to do about it, for who writes the program: the end of the error's text.
    ///
    /// ```
    /// assert!(answerback::Obstacle::KeyWanted.advice().contains("Builder::key_file"));
    /// ```
    pub fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => "start a server there, or give another address",
            Self::Silent => "see whether that is the address of an Answerback server, and what its log says",
            Self::Closed => "see what its log says: it may be full, or have no keys, or be no server of Answerback",
            Self::KeyWanted => "give the client its key: Builder::key_file, or Builder::key_from_environment",
            Self::KeyRefused => "give the client a key that this server has, with its id and its secret",
            Self::NoKeys => "give the server keys (--key-file or --keys), or connect without one",
            Self::NotOurServer => "see whether the address is right, and whether the server has the same key",
            Self::OtherVersion => "use a client and a server of the same version",
            Self::NotAnswerback => "give the address of an Answerback server",
            Self::Certificate => {
                "give the authority that signed it (TlsOptions::ca_file) or the name that is in it (TlsOptions::server_name)"
            }
            Self::TlsRefused => {
                "see what its log says: it may have no TLS, or want a client certificate (TlsOptions::client_certificate)"
            }
            Self::NoTls => "connect without TLS, or give the server a certificate (--tls-certificate)",
        }
    }

    fn code(self) -> Code {
        match self {
            Self::Unreachable | Self::Closed => Code::Disconnected,
            Self::Silent => Code::Silent,
            Self::KeyWanted | Self::KeyRefused | Self::NotOurServer | Self::Certificate | Self::TlsRefused => {
                Code::Denied
            }
            Self::OtherVersion => Code::VersionMismatch,
            Self::NoKeys | Self::NotAnswerback | Self::NoTls => Code::BadRequest,
        }
    }
}

/// An obstacle that was met, and how it looked. It goes through the errors of connectors.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) obstacle: Obstacle,
    /// Behind `cannot connect to …: `.
    pub(crate) what: String,
}

impl Met {
    pub(crate) fn new(obstacle: Obstacle, what: impl Into<String>) -> Self {
        Self { obstacle, what: what.into() }
    }

    /// What a connector failed with.
    pub(crate) fn of(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(met) => met,
            Err(error) => Self::new(Obstacle::Unreachable, error.to_string()),
        }
    }

    /// As the error of an attempt to connect.
    pub(crate) fn at(&self, address: &str) -> Error {
        let Self { obstacle, what } = self;
        let message = format!("cannot connect to {address}: {what}: {}", obstacle.advice());
        Error::new(obstacle.code(), Ran::No, message).with_obstacle(*obstacle)
    }
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.obstacle.advice())
    }
}

impl std::error::Error for Met {}

impl From<Met> for io::Error {
    fn from(met: Met) -> Self {
        Self::other(met)
    }
}

/// Characters of a text from nobody knows whom that are shown.
const SHOWN_MAX: usize = 200;

/// What somebody said in the clear, so that it can be shown: bounded, escaped, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{rest}\"", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_say_is_bounded_and_commands_no_terminal() {
        assert_eq!(quoted("a \"b\"\u{1b}[2J\n"), r#""a \"b\"\u{1b}[2J\n""#);
        let long = quoted(&"x".repeat(5_000));
        assert_eq!(long.chars().count(), SHOWN_MAX + 3);
        assert!(long.ends_with("x…\""));
    }

    #[test]
    fn what_a_connector_met_comes_through_its_error() {
        let met = Met::of(Met::new(Obstacle::NoTls, "it speaks no TLS").into());
        assert_eq!(met.obstacle, Obstacle::NoTls);
        let error = met.at("a:1");
        assert_eq!(error.obstacle(), Some(Obstacle::NoTls));
        assert!(error.message().starts_with("cannot connect to a:1: it speaks no TLS: connect without TLS"), "{error}");
        let refused = Met::of(io::ErrorKind::ConnectionRefused.into()).at("a:1");
        assert_eq!((refused.code(), refused.obstacle()), (Code::Disconnected, Some(Obstacle::Unreachable)));
    }
}
