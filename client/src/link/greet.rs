//! The greeting of a sealed connection: before anything else is said, both ends show that they have the key.
//!
//! ```text
//!  we     preamble, message 1 ───────────────►
//!         ◄─────────────── AB …  answer         the channel, if it opens
//!         ◄─────────────── 00 …  error          a server that refuses, or has no keys: in the clear
//!         ◄─────────────── …                    something else
//! ```
//!
//! What comes in the clear may come from anybody. It is read up to a bound, and shown as what somebody says.

use super::Io;
use crate::obstacle::{Met, Obstacle, quoted};
use answerback_protocol::Code;
use answerback_protocol::sealed::{
    ANSWER_BYTES, Answer, CLEAR_BYTES_MAX, Channel, Clear, Entropy, Foreign, Greeting, HandshakeError, Key,
};
use bytes::BytesMut;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Greets, and takes the answer.
pub(super) async fn greet(io: &mut dyn Io, key: &Key) -> Result<Channel, Met> {
    let (greeting, bytes) = begin(key)?;
    // Whoever does not want it may have said so and closed before all of it was written.
    let written = say(io, &bytes).await;
    let mut came = BytesMut::with_capacity(CLEAR_BYTES_MAX);
    loop {
        match Answer::peek(&came) {
            Answer::Sealed(_) if came.len() > ANSWER_BYTES => {
                let what = "more came than the answer to the greeting, which nobody who has our key would send";
                return Err(Met::new(Obstacle::NotOurServer, what));
            }
            Answer::Sealed(answer) => return greeting.read(answer).map_err(unopened),
            Answer::InTheClear => return Err(clear(io, came, key).await),
            Answer::Incomplete => {}
        }
        match io.read_buf(&mut came).await {
            Ok(0) => return Err(closed(&written, None)),
            Ok(_) => {}
            Err(error) => return Err(closed(&written, Some(&error))),
        }
    }
}

fn begin(key: &Key) -> Result<(Greeting, Vec<u8>), Met> {
    let impossible = |what: String| Met::new(Obstacle::Unreachable, what);
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)
        .map_err(|error| impossible(format!("the system has no random numbers for a sealed channel: {error}")))?;
    Greeting::new(key, Entropy::new(entropy)).map_err(|error| impossible(format!("no greeting can be made: {error}")))
}

async fn say(io: &mut dyn Io, bytes: &[u8]) -> io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}

fn unopened(error: HandshakeError) -> Met {
    match error {
        HandshakeError::OtherVersion => Met::new(Obstacle::OtherVersion, error.to_string()),
        HandshakeError::Forged => Met::new(Obstacle::NotOurServer, error.to_string()),
    }
}

fn closed(written: &io::Result<()>, read: Option<&io::Error>) -> Met {
    let error = read.or(written.as_ref().err());
    if let Some(met) = error.and_then(of_tls) {
        return met;
    }
    let why = error.map(|error| format!(" ({error})")).unwrap_or_default();
    Met::new(Obstacle::Closed, format!("the connection was closed instead of an answer to the greeting{why}"))
}

/// What TLS says by an error, where there is TLS.
pub(super) fn of_tls(error: &io::Error) -> Option<Met> {
    #[cfg(feature = "tls")]
    let met = super::tls::of_tls(error);
    #[cfg(not(feature = "tls"))]
    let (met, _) = (None, error);
    met
}

/// Reads on until it is clear what answers, or nothing more comes.
async fn clear(io: &mut dyn Io, mut came: BytesMut, key: &Key) -> Met {
    loop {
        if let Some(met) = judge(&came, key) {
            return met;
        }
        // The buffer is as large as the bound, and `judge` has an answer before it is full.
        match io.read_buf(&mut came).await {
            Ok(0) | Err(_) => return told(Clear::stranger(&came), key),
            Ok(_) => {}
        }
    }
}

/// What these bytes in the clear come to, once that can be said.
fn judge(came: &[u8], key: &Key) -> Option<Met> {
    Clear::of(came).map(|clear| told(clear, key))
}

fn told(clear: Clear<'_>, key: &Key) -> Met {
    match clear {
        Clear::Refused(notice) => refused(notice.code, &notice.message, key),
        Clear::Frame(kind) => {
            Met::new(Obstacle::NoKeys, format!("it answers the greeting with a frame `{kind}` in the clear"))
        }
        Clear::Stranger(foreign) => {
            let what = foreign.map_or("what it answers is not of this protocol", words);
            Met::new(Obstacle::NotAnswerback, what)
        }
    }
}

/// A server's refusal. Nothing proves that it is one.
fn refused(code: Code, message: &str, key: &Key) -> Met {
    let said = quoted(message);
    match code {
        Code::Denied => {
            Met::new(Obstacle::KeyRefused, format!("key {} is refused, with the unproven words {said}", key.id))
        }
        Code::BadRequest => {
            Met::new(Obstacle::NoKeys, format!("a server without keys answers, with the unproven words {said}"))
        }
        Code::VersionMismatch => {
            Met::new(Obstacle::OtherVersion, format!("it is refused, with the unproven words {said}"))
        }
        _ => Met::new(Obstacle::Closed, format!("the greeting is refused ({code}), with the unproven words {said}")),
    }
}

/// What answers, if it is something well known that we do not speak.
pub(super) fn kind(came: &[u8]) -> Option<&'static str> {
    Foreign::of(came).map(words)
}

fn words(foreign: Foreign) -> &'static str {
    match foreign {
        Foreign::Http => "it answers in HTTP",
        Foreign::Tls => "it answers in TLS, which this client was not told to speak",
        Foreign::Ssh => "it answers in SSH",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_protocol::ServerFrame;
    use answerback_protocol::frames::{ErrorNotice, Pong};
    use answerback_protocol::sealed::{KeyId, Secret};

    fn judged(came: &[u8]) -> Option<Met> {
        judge(came, &Key { id: KeyId::new("billing").unwrap(), secret: Secret::new([7; 32]) })
    }

    fn notice(code: Code, message: &str) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        let notice = ErrorNotice { code, message: message.into(), about: None, fatal: true };
        ServerFrame::from(notice).write(b"", &mut bytes);
        bytes.to_vec()
    }

    #[test]
    fn refusals_are_told_when_they_are_whole() {
        let bytes = notice(Code::Denied, "go\u{1b}away");
        for short in 0..bytes.len() {
            assert!(judged(&bytes[..short]).is_none());
        }
        let met = judged(&bytes).unwrap();
        assert_eq!(met.obstacle, Obstacle::KeyRefused);
        assert_eq!(met.what, r#"key billing is refused, with the unproven words "go\u{1b}away""#);
        assert_eq!(judged(&notice(Code::BadRequest, "no keys")).unwrap().obstacle, Obstacle::NoKeys);
        let full = judged(&notice(Code::Overloaded, "full")).unwrap();
        assert_eq!(full.what, r#"the greeting is refused (overloaded), with the unproven words "full""#);
    }

    #[test]
    fn what_is_no_refusal_is_told_by_what_it_looks_like() {
        let mut pong = BytesMut::new();
        ServerFrame::from(Pong).write(b"", &mut pong);
        for (bytes, obstacle, words) in [
            (&pong[..], Obstacle::NoKeys, "`pong`"),
            (b"HTTP/1.1 400 Bad Request\r\n", Obstacle::NotAnswerback, "HTTP"),
            (b"\x15\x03\x03\0\x02\x02\x28", Obstacle::NotAnswerback, "TLS"),
            (b"SSH-2.0-x\r\n", Obstacle::NotAnswerback, "SSH"),
            (b"\0\0\0\x06\0\x04nope", Obstacle::NotAnswerback, "not of this protocol"),
            (b"\0\0\xff\xff\0\x04nope", Obstacle::NotAnswerback, "not of this protocol"),
            (b"\xff\xff\xff\xff", Obstacle::NotAnswerback, "not of this protocol"),
        ] {
            let met = judged(bytes).unwrap();
            assert!(met.obstacle == obstacle && met.what.contains(words), "{met} {bytes:?}");
        }
    }
}
