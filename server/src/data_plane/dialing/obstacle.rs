//! What can stand between this server and one that it dials: each kind has a word for metrics, and says what happened and what to do about it.
//!
//! What the other end said before it had shown its key is quoted as what somebody says.

use answerback_protocol::Code;
use answerback_protocol::sealed::{Clear, Foreign, HandshakeError, KeyId};
use std::fmt;
use std::io;
use std::time::Duration;

/// Characters of a text from nobody knows whom that are shown.
const SHOWN_MAX: usize = 200;

/// Why there is no link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The name has no address, or nobody could be asked.
    Name(String),
    /// The link has no key, and the name is not that of this machine.
    Elsewhere,
    /// The key of the link cannot be read.
    Key(String),
    /// The system gives no random bytes, or no socket.
    System(String),
    /// Nobody takes connections there.
    Unreachable(String),
    /// It took longer than `--handshake`.
    Silent(Duration),
    /// It was closed instead of an answer.
    Closed,
    /// It refuses our key, as somebody says.
    KeyRefused { key: KeyId, said: String },
    /// It has no keys, as somebody says.
    NoKeys { said: String },
    /// It wants a key, as it says.
    KeyWanted { said: String },
    /// It refuses otherwise.
    Refused { code: Code, said: String },
    /// What answers does not have our key.
    NotOurServer,
    /// Its sealed channel has another version.
    OtherVersion,
    /// It is something else.
    Foreign(Option<Foreign>),
    /// The link went down before both had said hello.
    Lost,
}

impl Obstacle {
    /// A short fixed word for metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Elsewhere => "no_key",
            Self::Key(_) => "key_file",
            Self::System(_) => "system",
            Self::Unreachable(_) => "unreachable",
            Self::Silent(_) => "silent",
            Self::Closed => "closed",
            Self::KeyRefused { .. } => "key_refused",
            Self::NoKeys { .. } => "no_keys",
            Self::KeyWanted { .. } => "key_wanted",
            Self::Refused { .. } => "refused",
            Self::NotOurServer => "not_our_server",
            Self::OtherVersion => "version",
            Self::Foreign(_) => "foreign",
            Self::Lost => "lost",
        }
    }

    /// Whether another address of the same name would meet it too.
    pub(super) fn is_of_all_addresses(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Elsewhere | Self::Key(_) | Self::System(_))
    }

    pub(crate) fn of_connect(error: &io::Error) -> Self {
        Self::Unreachable(error.to_string())
    }

    /// What the answer to a greeting comes to that is none of our key.
    pub(crate) fn of_answer(error: HandshakeError) -> Self {
        match error {
            HandshakeError::OtherVersion => Self::OtherVersion,
            HandshakeError::Forged => Self::NotOurServer,
        }
    }

    /// What an answer in the clear to a greeting under `key` comes to.
    pub(crate) fn of_clear(clear: &Clear<'_>, key: &KeyId) -> Self {
        match clear {
            Clear::Refused(notice) => {
                let said = quoted(&notice.message);
                match notice.code {
                    Code::Denied => Self::KeyRefused { key: key.clone(), said },
                    Code::BadRequest => Self::NoKeys { said },
                    Code::VersionMismatch => Self::OtherVersion,
                    code => Self::Refused { code, said },
                }
            }
            Clear::Frame(kind) => Self::NoKeys { said: quoted(kind) },
            Clear::Stranger(foreign) => Self::Foreign(*foreign),
        }
    }

    /// What a server that does not want this one as its peer says comes to.
    pub(crate) fn of_refusal(code: Code, message: &str, sealed: bool) -> Self {
        let said = quoted(message);
        if code == Code::Denied && !sealed { Self::KeyWanted { said } } else { Self::Refused { code, said } }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => {
                write!(f, "its name cannot be resolved ({why}): see whether it is right, and whether DNS answers here")
            }
            Self::Elsewhere => f.write_str(
                "its name is that of another machine, and the link has no key: give one with --peer-key-file FILE",
            ),
            Self::Key(why) => write!(f, "the key of the link cannot be read: {why}"),
            Self::System(why) => write!(f, "the system refuses: {why}"),
            Self::Unreachable(why) => {
                write!(f, "nobody takes connections there ({why}): start a server there, or give another address")
            }
            Self::Silent(within) => write!(
                f,
                "no answer within {} ms: see whether that is the address of an Answerback server, and what its log says",
                within.as_millis()
            ),
            Self::Closed => f.write_str("the connection was closed instead of an answer: see what its log says"),
            Self::KeyRefused { key, said } => write!(
                f,
                "it refuses key {key}, with the unproven words {said}: give the link a key that it has (--peer-key-file)"
            ),
            Self::NoKeys { said } => write!(
                f,
                "it has no keys, with the unproven words {said}: give it keys, or dial it without --peer-key-file"
            ),
            Self::KeyWanted { said } => {
                write!(f, "it wants a key, with the words {said}: give the link one with --peer-key-file FILE")
            }
            Self::Refused { code, said } => write!(f, "it refuses ({code}), with the words {said}"),
            Self::NotOurServer => f.write_str(
                "what answers does not have the key: see whether the address is right, and whether both have the same key",
            ),
            Self::OtherVersion => f.write_str("its sealed channel has another version: update the older one"),
            Self::Foreign(Some(Foreign::Http)) => {
                f.write_str("it answers in HTTP: give the port for clients of an Answerback server")
            }
            Self::Foreign(Some(Foreign::Tls)) => {
                f.write_str("it answers in TLS, which links between servers do not speak: seal the link with a key instead")
            }
            Self::Foreign(Some(Foreign::Ssh)) => f.write_str("it answers in SSH: give the address of an Answerback server"),
            Self::Foreign(None) => {
                f.write_str("what it answers is not of this protocol: give the address of an Answerback server")
            }
            Self::Lost => f.write_str("the connection broke before both had said hello: see what its log says"),
        }
    }
}

/// What somebody said, so that it can be shown: bounded, escaped, in quotes.
fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{rest}\"", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_protocol::frames::ErrorNotice;

    fn key() -> KeyId {
        KeyId::new("north").unwrap()
    }

    fn clear(code: Code) -> Obstacle {
        let notice = ErrorNotice { code, message: "go\u{1b}away".into(), about: None, fatal: true };
        Obstacle::of_clear(&Clear::Refused(notice), &key())
    }

    #[test]
    fn each_kind_has_its_own_word_and_says_what_to_do() {
        let said = quoted("no");
        let all = [
            Obstacle::Name("no such host".to_owned()),
            Obstacle::Elsewhere,
            Obstacle::Key("gone".to_owned()),
            Obstacle::System("none".to_owned()),
            Obstacle::Unreachable("refused".to_owned()),
            Obstacle::Silent(Duration::from_secs(5)),
            Obstacle::Closed,
            clear(Code::Denied),
            clear(Code::BadRequest),
            Obstacle::of_refusal(Code::Denied, "no", false),
            Obstacle::Refused { code: Code::Denied, said },
            Obstacle::NotOurServer,
            Obstacle::OtherVersion,
            Obstacle::Foreign(Some(Foreign::Http)),
            Obstacle::Lost,
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert!(one.word() != other.word() && one.to_string() != other.to_string());
            }
        }
    }

    #[test]
    fn what_was_said_in_the_clear_is_escaped_and_unproven() {
        let told = clear(Code::Denied).to_string();
        assert!(told.contains(r#"key north, with the unproven words "go\u{1b}away""#), "{told}");
        assert_eq!(quoted(&"x".repeat(500)).chars().count(), SHOWN_MAX + 3);
    }
}
