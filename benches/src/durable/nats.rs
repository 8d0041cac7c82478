//! NATS with JetStream: a stream of work in files, and a consumer to which it is pushed and which acknowledges each message.
//!
//! ```text
//!  send   PUB work, reply acks.N.ID ──► the stream's acknowledgement goes there      consumer: +ACK
//!  call   PUB work, no reply        ──► consumer: PUB answers.N.ID, and +ACK
//! ```
//!
//! A value is `N.ID data`: who waits for the answer, the number of the call, and the data. A call asks for no acknowledgement of the stream: its
//! answer says enough.

use super::What;
use crate::Outcome;
use crate::folder::Folder;
use crate::process::Owned;
use crate::wire::dialect::{Dialect, Heard};
use crate::wire::frames::{digits, number};
use crate::wire::system::{Opened, Role, Running, System};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// NATS as a system under test.
pub(super) struct Nats {
    pub(super) program: PathBuf,
    pub(super) what: What,
    pub(super) synced: bool,
}

struct Started {
    process: Owned,
    _folder: Folder,
    address: SocketAddr,
    what: What,
    requesters: AtomicU64,
}

/// A greeting that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Work leaves the stream when it is acknowledged.
const STREAM: &str = r#"{"name":"W","subjects":["work"],"retention":"workqueue","storage":"file"}"#;

/// More may be under way than any shape has in flight.
const CONSUMER: &str = concat!(
    r#"{"stream_name":"W","config":{"durable_name":"C","deliver_subject":"given","deliver_group":"all","#,
    r#""ack_policy":"explicit","max_ack_pending":65535}}"#
);

/// Whether this version knows `sync_interval`: 2.10 and later.
pub(super) fn can_sync(version: &str) -> bool {
    let numbers = version.rsplit_once('v').map_or("", |(_, numbers)| numbers);
    let mut numbers = numbers.split('.').map(|text| text.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (2, 10)
}

impl System for Nats {
    fn name(&self) -> &'static str {
        if self.synced { "jetstream file, sync always" } else { "jetstream file, sync 2m" }
    }

    fn start(&self) -> Outcome<Box<dyn Running>> {
        let folder = Folder::new()?;
        let sync = if self.synced { ", sync_interval: always" } else { "" };
        let settings = format!("listen: \"127.0.0.1:-1\"\njetstream {{ store_dir: {:?}{sync} }}\n", folder.path());
        let file = folder.path().join("nats.conf");
        std::fs::write(&file, settings)?;
        let mut command = Command::new(&self.program);
        let find = |line: &str| line.split_once("Listening for client connections on ")?.1.trim().parse().ok();
        let (process, address) = Owned::start_by_error(command.arg("-c").arg(&file), find)?;
        let mut line = Plain::connect(address)?;
        line.ask("$JS.API.STREAM.CREATE.W", STREAM)?;
        line.ask("$JS.API.CONSUMER.DURABLE.CREATE.W.C", CONSUMER)?;
        let requesters = AtomicU64::new(0);
        Ok(Box::new(Started { process, _folder: folder, address, what: self.what, requesters }))
    }
}

/// A connection that waits for each answer, to set things up.
struct Plain(BufReader<TcpStream>);

impl Plain {
    fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = Self(BufReader::new(stream));
        line.say(
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"1\",\"protocol\":1}\r\n",
        )?;
        line.settle()?;
        Ok(line)
    }

    fn say(&mut self, text: &str) -> Outcome<()> {
        Ok(self.0.get_mut().write_all(text.as_bytes())?)
    }

    /// Waits until all that was said is done.
    fn settle(&mut self) -> Outcome<()> {
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
    fn ask(&mut self, subject: &str, data: &str) -> Outcome<()> {
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

impl Running for Started {
    fn process(&self) -> Option<u32> {
        Some(self.process.id())
    }

    fn open(&self, role: Role) -> Outcome<Opened> {
        let mut line = Plain::connect(self.address)?;
        let mut speaker = Speaker { what: self.what, number: Vec::new(), pings: 0 };
        if role == Role::Requester {
            let number = self.requesters.fetch_add(1, Ordering::Relaxed).to_string();
            line.say(&format!("SUB acks.{number}.* 1\r\nSUB answers.{number}.* 2\r\n"))?;
            speaker.number = number.into_bytes();
        } else if role == Role::Responder {
            line.say("SUB given all 3\r\n")?;
        }
        // Nothing but the answer is on its way yet: work comes only when requesters begin.
        line.settle()?;
        Ok((line.0.into_inner(), Box::new(speaker)))
    }
}

/// One connection's side of the conversation.
struct Speaker {
    what: What,
    /// Which requester this is.
    number: Vec<u8>,
    pings: u32,
}

/// A message's head.
#[derive(Default)]
struct Head<'b> {
    subject: &'b [u8],
    reply: &'b [u8],
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

impl Speaker {
    fn message<'b>(&self, head: &Head<'b>, data: &'b [u8]) -> Outcome<Heard<'b>> {
        // Where it was published to, not where it is delivered to.
        if head.subject == b"work" {
            return Ok(Heard::Call { reply_to: head.reply, data });
        }
        let id = number(head.subject.rsplit(|&byte| byte == b'.').next().unwrap_or_default());
        if head.subject.starts_with(b"answers.") {
            return Ok(Heard::Answer { id, data_bytes: data.len() });
        }
        if data.windows(7).any(|piece| piece == b"\"error\"") {
            return Err(format!("JetStream says {}", String::from_utf8_lossy(data)).into());
        }
        Ok(Heard::Accepted { id })
    }
}

impl Dialect for Speaker {
    fn hear<'b>(&mut self, bytes: &'b [u8]) -> Outcome<Option<(Heard<'b>, usize)>> {
        let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let after_line = line + 2;
        let Some(message) = bytes[..line].strip_prefix(b"MSG ") else {
            if bytes.starts_with(b"-ERR") {
                return Err(format!("nats-server says {}", String::from_utf8_lossy(&bytes[..line])).into());
            }
            self.pings += u32::from(bytes.starts_with(b"PING"));
            return Ok(Some((Heard::Nothing, after_line)));
        };
        let head = head(message);
        let end = after_line + head.bytes;
        if bytes.len() < end + 2 {
            return Ok(None);
        }
        Ok(Some((self.message(&head, &bytes[after_line..end])?, end + 2)))
    }

    fn ask(&mut self, id: u64, data: &[u8], out: &mut Vec<u8>) {
        let mut buffer = itoa::Buffer::new();
        let id = buffer.format(id).as_bytes();
        out.extend_from_slice(b"PUB work ");
        if self.what == What::Send {
            put(&[b"acks.", &self.number, b".", id, b" "], out);
        }
        let length = self.number.len() + 1 + id.len() + 1 + data.len();
        put(&[itoa::Buffer::new().format(length).as_bytes(), b"\r\n"], out);
        put(&[&self.number, b".", id, b" ", data, b"\r\n"], out);
    }

    fn answer(&mut self, reply_to: &[u8], data: &[u8], out: &mut Vec<u8>) {
        if self.what == What::Call {
            let blank = data.iter().position(|&byte| byte == b' ').unwrap_or(0);
            let (caller, data) = (&data[..blank], data.get(blank + 1..).unwrap_or_default());
            put(&[b"PUB answers.", caller, b" ", itoa::Buffer::new().format(data.len()).as_bytes()], out);
            put(&[b"\r\n", data, b"\r\n"], out);
        }
        put(&[b"PUB ", reply_to, b" 4\r\n+ACK\r\n"], out);
    }

    fn end_of_batch(&mut self, out: &mut Vec<u8>) {
        for _ in 0..std::mem::take(&mut self.pings) {
            out.extend_from_slice(b"PONG\r\n");
        }
    }
}

fn put(pieces: &[&[u8]], out: &mut Vec<u8>) {
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaker(what: What) -> Speaker {
        Speaker { what, number: b"3".to_vec(), pings: 0 }
    }

    #[test]
    fn messages_are_heard_whole() {
        let bytes = b"MSG work 3 $JS.ACK.W.C.1.1.1.5.0 5\r\n3.7 1\r\n";
        let heard = speaker(What::Call).hear(bytes).unwrap();
        assert_eq!(heard, Some((Heard::Call { reply_to: b"$JS.ACK.W.C.1.1.1.5.0", data: b"3.7 1" }, bytes.len())));
        assert_eq!(speaker(What::Call).hear(&bytes[..bytes.len() - 1]).unwrap(), None);
        let answer = speaker(What::Call).hear(b"MSG answers.3.7 2 1\r\n1\r\n").unwrap();
        assert_eq!(answer, Some((Heard::Answer { id: 7, data_bytes: 1 }, 24)));
        let accepted = speaker(What::Send).hear(b"MSG acks.3.8 1 2\r\n{}\r\n").unwrap();
        assert_eq!(accepted.unwrap().0, Heard::Accepted { id: 8 });
    }

    #[test]
    fn what_it_says() {
        let mut out = Vec::new();
        speaker(What::Send).ask(7, b"\"x\"", &mut out);
        assert_eq!(out, b"PUB work acks.3.7 7\r\n3.7 \"x\"\r\n");
        out.clear();
        speaker(What::Call).answer(b"$JS.ACK", b"3.7 \"x\"", &mut out);
        assert_eq!(out, b"PUB answers.3.7 3\r\n\"x\"\r\nPUB $JS.ACK 4\r\n+ACK\r\n");
    }

    #[test]
    fn versions_that_can_sync() {
        assert!(can_sync("nats-server: v2.10.0") && can_sync("nats-server: v3.0.1"));
        assert!(!can_sync("nats-server: v2.9.10") && !can_sync("?"));
    }
}
