//! Those who may not come in: what each is told, in the language that it speaks, and what is counted and logged.
//!
//! Frames in the clear are what both a plain and a sealed client understand before they are in. Nothing here says which keys there are.

use answerback_broker::Time;
use answerback_process::paced::Paced;
use answerback_protocol::frames::ErrorNotice;
use answerback_protocol::sealed::{KeyId, PreambleError, RecordError, Refused};
use answerback_protocol::{Code, ServerFrame};
use bytes::BytesMut;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a connection does not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// A client without a key, at a server with keys.
    Plain,
    /// A client with a key, at a server without.
    Sealed,
    /// It names a key that is not here, or does not have it.
    Key(KeyId),
    /// The start of a sealed connection that cannot be.
    Preamble(PreambleError),
    /// It said more before it was answered.
    Hasty,
    /// Its first record does not open.
    Record,
    /// A browser, `curl`, a probe.
    Http,
    /// A TLS client, at a server without a certificate.
    Tls,
    /// A TLS handshake that failed, and why.
    BadTls(String),
    /// A client without a key and without a certificate, at a server that takes both.
    Nameless,
    /// A client without a key, with a certificate that is no holder's, and whose it is.
    Certificate(String),
    /// Bytes that nobody here knows.
    Unknown,
    /// It did not say in time what it is.
    Silent {
        /// What it had.
        within: Duration,
        /// Whether we have answered it, so that a frame in the clear would not be understood.
        greeted: bool,
    },
    /// It ended before it had said what it is.
    Gone,
    /// The system gives no random bytes.
    NoChance,
}

/// The kind of a connection that was in.
const SPOILT: &str = "spoilt";

/// A TLS record with a fatal alert: `handshake_failure`.
const TLS_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

const NOT_HTTP: &str =
    "this port speaks Answerback, not HTTP; pages for people and probes are on the admin port of this server\n";

impl Stranger {
    /// A short fixed word for counters and logs.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Sealed => "sealed",
            Self::Key(_) => "key",
            Self::Preamble(PreambleError::OtherVersion(_)) => "version",
            Self::Preamble(_) => "preamble",
            Self::Hasty => "hasty",
            Self::Record => "record",
            Self::Http => "http",
            Self::Tls | Self::BadTls(_) => "tls",
            Self::Nameless => "nameless",
            Self::Certificate(_) => "certificate",
            Self::Unknown => "unknown",
            Self::Silent { .. } => "silent",
            Self::Gone => "gone",
            Self::NoChance => "no_chance",
        }
    }

    /// What it is told: nothing, if there is no language for it.
    pub(crate) fn answer(&self) -> BytesMut {
        let mut bytes = BytesMut::new();
        match self {
            Self::Http => bytes.extend_from_slice(http_answer().as_bytes()),
            Self::Tls => bytes.extend_from_slice(&TLS_ALERT),
            _ => {
                if let Some((code, message)) = self.notice() {
                    let notice = ErrorNotice { code, message: message.into(), about: None, fatal: true };
                    ServerFrame::from(notice).write(b"", &mut bytes);
                }
            }
        }
        bytes
    }

    /// What a client of ours is told.
    fn notice(&self) -> Option<(Code, String)> {
        Some(match self {
            Self::Plain => (
                Code::Denied,
                "this server wants a key: give the client one that the server has, with --key-file FILE or in \
                 ANSWERBACK_KEY_FILE"
                    .to_owned(),
            ),
            Self::Nameless => (
                Code::Denied,
                "this server wants to know its clients: connect over TLS with a client certificate of a holder \
                 (--tls-certificate, --tls-certificate-key), or give a key with --key-file FILE"
                    .to_owned(),
            ),
            Self::Certificate(name) => (
                Code::Denied,
                format!(
                    "your certificate, {name}, belongs to no holder: name it as `certificate` of one in the keys file of \
                     the server, or give a key with --key-file FILE"
                ),
            ),
            Self::Sealed => (
                Code::BadRequest,
                "this server has no keys: connect without a key, or start the server with the same one".to_owned(),
            ),
            Self::Key(_) => (Code::Denied, Refused.to_string()),
            Self::Preamble(error @ PreambleError::OtherVersion(_)) => {
                (Code::VersionMismatch, format!("{error}; update the older one"))
            }
            Self::Preamble(error) => (Code::BadRequest, error.to_string()),
            Self::Hasty => (
                Code::BadRequest,
                "bytes came behind the greeting: nothing more may be sent before it is answered".to_owned(),
            ),
            Self::Unknown => {
                (Code::BadRequest, "this port speaks Answerback, and these bytes are something else".to_owned())
            }
            Self::Silent { within, greeted: false } => {
                (Code::Silent, format!("no `hello` within {} ms", within.as_millis()))
            }
            Self::NoChance => {
                (Code::Unavailable, "this server cannot greet anybody at the moment; try again later".to_owned())
            }
            Self::Http | Self::Tls | Self::BadTls(_) => return None,
            Self::Record | Self::Gone | Self::Silent { greeted: true, .. } => return None,
        })
    }

    /// What happened and what to do about it, for the log.
    fn story(&self) -> &'static str {
        match self {
            Self::Plain => "a client without a key was refused; give it one (answerback keygen makes keys)",
            Self::Sealed => "a client with a key was refused, because this server has none; start it with --keys",
            Self::Key(_) => "a client was refused: it has no key of this server under that id; look for a typing error",
            Self::Preamble(PreambleError::OtherVersion(_)) => {
                "a client was refused: its sealed channel has another version; update the older one"
            }
            Self::Preamble(_) => "a sealed connection was refused: its first bytes cannot be right",
            Self::Hasty => "a sealed connection was refused: it sent more before it was answered",
            Self::Record => "a sealed connection was closed: its first record does not open; it may be a replay",
            Self::Http => "HTTP was refused here; probes belong to the admin port",
            Self::Tls => "TLS was refused here; this server has no certificate",
            Self::BadTls(_) => "a TLS handshake failed",
            Self::Nameless => "a client without a key or certificate was refused; give it one of them",
            Self::Certificate(_) => {
                "a client was refused: its certificate belongs to no holder; name it in the keys file"
            }
            Self::Unknown => "something that is not Answerback was refused; a scanner, or a wrong port",
            Self::Silent { .. } => "a connection that did not say in time what it is was closed (--handshake)",
            Self::Gone => "a connection ended before it said what it is; a scanner, or a probe",
            Self::NoChance => "a client was refused: the system gives no random bytes",
        }
    }
}

fn http_answer() -> String {
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{NOT_HTTP}",
        NOT_HTTP.len()
    )
}

/// Lines about strangers: one a second of each kind, so that a flood of one does not hide another.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Vec<(&'static str, Paced<Time>)>);

impl Strangers {
    pub(crate) fn log(&mut self, stranger: &Stranger, peer: SocketAddr, now: Time) {
        let kind = stranger.kind();
        let Some(also) = self.may(kind, now) else { return };
        let (mut key_id, mut certificate, mut reason) = (None, None, None);
        match stranger {
            // Balancers look whether the port is open, again and again, and that is nothing to worry about.
            Stranger::Gone => return tracing::info!(%peer, kind, also, "{}", stranger.story()),
            Stranger::Key(id) => key_id = Some(id.as_str()),
            Stranger::Certificate(name) => certificate = Some(name),
            Stranger::BadTls(why) => reason = Some(why),
            _ => {}
        }
        tracing::warn!(%peer, kind, key_id, certificate, reason, also, "{}", stranger.story());
    }

    /// The same for a connection that was in, under this key, and of which a record does not open.
    pub(crate) fn log_spoilt(&mut self, key: &KeyId, problem: RecordError, peer: SocketAddr, now: Time) {
        let Some(also) = self.may(SPOILT, now) else { return };
        let (key_id, problem) = (key.as_str(), problem.to_string());
        tracing::warn!(%peer, kind = SPOILT, key_id, also, problem, "a sealed connection was closed: somebody on the way has changed it");
    }

    /// Whether a line about this kind may be written now; if so, how many were passed over.
    fn may(&mut self, kind: &'static str, now: Time) -> Option<u64> {
        let at = self.0.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            self.0.push((kind, Paced::default()));
            self.0.len() - 1
        });
        self.0[at].1.may(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_protocol::envelope::Envelope;

    fn all() -> Vec<Stranger> {
        let within = Duration::from_secs(5);
        vec![
            Stranger::Plain,
            Stranger::Sealed,
            Stranger::Key(KeyId::new("billing").unwrap()),
            Stranger::Preamble(PreambleError::OtherVersion(9)),
            Stranger::Preamble(PreambleError::BadKeyId),
            Stranger::Hasty,
            Stranger::Record,
            Stranger::Http,
            Stranger::Tls,
            Stranger::Nameless,
            Stranger::Certificate("CN=billing".to_owned()),
            Stranger::Unknown,
            Stranger::Silent { within, greeted: false },
            Stranger::NoChance,
        ]
    }

    #[test]
    fn each_kind_has_its_own_word_answer_and_line() {
        let all = all();
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!((one.kind(), one.answer()), (other.kind(), other.answer()));
                assert!(one.kind() != other.kind() && one.story() != other.story() && one.answer() != other.answer());
            }
        }
    }

    /// A sealed client takes whatever does not begin with AB for a frame in the clear.
    #[test]
    fn frames_in_the_clear_are_whole_and_begin_with_no_byte_of_a_greeting() {
        for stranger in all().into_iter().filter(|stranger| stranger.notice().is_some()) {
            let answer = stranger.answer();
            let envelope = Envelope::peek(&answer, 4_096).unwrap().unwrap();
            assert_eq!((envelope.total(), answer[0]), (answer.len(), 0), "{stranger:?}");
        }
    }

    #[test]
    fn who_was_greeted_or_cannot_be_spoken_to_is_told_nothing() {
        let silent = Stranger::Silent { within: Duration::ZERO, greeted: true };
        assert!([silent, Stranger::Record, Stranger::Gone].iter().all(|stranger| stranger.answer().is_empty()));
    }
}
