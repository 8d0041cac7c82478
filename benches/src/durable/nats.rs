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
use crate::wire::frames::number;
use crate::wire::peers::nats_line::{self, Head, Plain, Said, put};
use crate::wire::system::{Opened, Role, Running, System};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

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
        let (process, address) = nats_line::start(Command::new(&self.program).arg("-c").arg(&file))?;
        let mut line = Plain::connect(address)?;
        line.ask("$JS.API.STREAM.CREATE.W", STREAM)?;
        line.ask("$JS.API.CONSUMER.DURABLE.CREATE.W.C", CONSUMER)?;
        let requesters = AtomicU64::new(0);
        Ok(Box::new(Started { process, _folder: folder, address, what: self.what, requesters }))
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
        Ok((line.into_stream(), Box::new(speaker)))
    }
}

/// One connection's side of the conversation.
struct Speaker {
    what: What,
    /// Which requester this is.
    number: Vec<u8>,
    pings: u32,
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
        let Some((said, length)) = nats_line::hear(bytes)? else { return Ok(None) };
        Ok(Some(match said {
            Said::Message { head, data } => (self.message(&head, data)?, length),
            Said::Ping => {
                self.pings += 1;
                (Heard::Nothing, length)
            }
            Said::Nothing => (Heard::Nothing, length),
        }))
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
