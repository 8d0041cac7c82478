//! The language of NATS, as far as lean clients need it: one line, and for a message its data behind it.
//!
//! `nats.rs` beside this speaks it for plain requests, `durable/nats.rs` for JetStream.

use crate::Outcome;
use crate::process::Owned;
use crate::wire::frames::{digits, number};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// A greeting that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"1\",\"protocol\":1}\r\n";

/// Starts nats-server and finds where it listens.
pub(crate) fn start(command: &mut Command) -> Outcome<(Owned, SocketAddr)> {
    let find = |line: &str| line.split_once("Listening for client connections on ")?.1.trim().parse().ok();
    Owned::start_by_error(command, find)
}

/// A connection that waits for each answer, to set things up.
pub(crate) struct Plain(BufReader<TcpStream>);

impl Plain {
    pub(crate) fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = Self(BufReader::new(stream));
        line.say(CONNECT)?;
        line.settle()?;
        Ok(line)
    }

    /// Says something without waiting.
    pub(crate) fn say(&mut self, text: &str) -> Outcome<()> {
        Ok(self.0.get_mut().write_all(text.as_bytes())?)
    }

    /// The connection, once nothing is on its way.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.0.into_inner()
    }

    /// Waits until all that was said is done.
    pub(crate) fn settle(&mut self) -> Outcome<()> {
        self.say("PING\r\n")?;
        self.until("PONG").map(drop)
    }

    fn until(&mut self, begin: &str) -> Outcome<String> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 || line.starts_with("-ERR") {
                return Err(format!("nats-server says {line:?} instead of {begin}").into());
            }
            if line.starts_with(begin) {
                return Ok(line);
            }
        }
    }

    /// Asks for something that has to succeed.
    pub(crate) fn ask(&mut self, subject: &str, data: &str) -> Outcome<()> {
        self.say(&format!("SUB setup 9\r\nPUB {subject} setup {}\r\n{data}\r\n", data.len()))?;
        let message = self.until("MSG setup")?;
        let bytes = message.trim_end().rsplit(' ').next().and_then(|text| text.parse().ok()).ok_or("no length")?;
        let mut answer = vec![0; bytes];
        self.0.read_exact(&mut answer)?;
        self.say("UNSUB 9\r\n")?;
        let answer = String::from_utf8_lossy(&answer);
        if answer.contains("\"error\"") { Err(format!("{subject}: {answer}").into()) } else { Ok(()) }
    }
}

/// What the server said.
pub(crate) enum Said<'b> {
    /// A message.
    Message {
        /// What its line says.
        head: Head<'b>,
        /// What it holds.
        data: &'b [u8],
    },
    /// It wants a `PONG`.
    Ping,
    /// Something that asks for nothing.
    Nothing,
}

/// A message's head.
#[derive(Default)]
pub(crate) struct Head<'b> {
    /// Where it was published to.
    pub(crate) subject: &'b [u8],
    /// Where its answer goes, if anywhere.
    pub(crate) reply: &'b [u8],
    bytes: usize,
}

/// Reads what follows `MSG `: subject, subscription, where to reply if anywhere, length.
fn head(line: &[u8]) -> Head<'_> {
    let mut words = line.split(|&byte| byte == b' ');
    let (subject, _subscription) = (words.next().unwrap_or_default(), words.next());
    let (third, fourth) = (words.next().unwrap_or_default(), words.next());
    let (reply, bytes) = fourth.map_or((&b""[..], third), |bytes| (third, bytes));
    Head { subject, reply, bytes: number(digits(bytes)) as usize }
}

/// The first thing in `bytes` and how long it is, or nothing while it is not whole.
pub(crate) fn hear(bytes: &[u8]) -> Outcome<Option<(Said<'_>, usize)>> {
    let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let after_line = line + 2;
    let Some(message) = bytes[..line].strip_prefix(b"MSG ") else {
        if bytes.starts_with(b"-ERR") {
            return Err(format!("nats-server says {}", String::from_utf8_lossy(&bytes[..line])).into());
        }
        let said = if bytes.starts_with(b"PING") { Said::Ping } else { Said::Nothing };
        return Ok(Some((said, after_line)));
    };
    let head = head(message);
    let end = after_line + head.bytes;
    if bytes.len() < end + 2 {
        return Ok(None);
    }
    Ok(Some((Said::Message { data: &bytes[after_line..end], head }, end + 2)))
}

/// Writes what comes in pieces.
pub(crate) fn put(pieces: &[&[u8]], out: &mut Vec<u8>) {
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}
