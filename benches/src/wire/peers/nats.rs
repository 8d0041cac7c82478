//! nats-server as a broker of calls: a queue group serves a subject, and each requester has an inbox.
//!
//! ```text
//!  call    PUB bench _INBOX.N.ID LENGTH ──► one of the queue group
//!  answer  PUB _INBOX.N.ID LENGTH       ──► the requester, who subscribed to _INBOX.N.*
//! ```

use super::nats_line::{self, Plain, Said, put};
use crate::Outcome;
use crate::process::Owned;
use crate::wire::dialect::{Dialect, Heard};
use crate::wire::frames::number;
use crate::wire::system::{Opened, Role, Running, System};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// NATS as a system under test.
pub(crate) struct Nats {
    pub(crate) program: PathBuf,
}

struct Started {
    process: Owned,
    address: SocketAddr,
    requesters: AtomicU64,
}

impl System for Nats {
    fn name(&self) -> &'static str {
        "nats-server"
    }

    fn start(&self) -> Outcome<Box<dyn Running>> {
        // It keeps nothing on disk, so it needs no folder.
        let (process, address) = nats_line::start(Command::new(&self.program).args(["-a", "127.0.0.1", "-p", "-1"]))?;
        Ok(Box::new(Started { process, address, requesters: AtomicU64::new(0) }))
    }
}

impl Running for Started {
    fn process(&self) -> Option<u32> {
        Some(self.process.id())
    }

    fn open(&self, role: Role) -> Outcome<Opened> {
        let mut line = Plain::connect(self.address)?;
        let mut speaker = Speaker::default();
        match role {
            Role::Requester => {
                let number = self.requesters.fetch_add(1, Ordering::Relaxed).to_string();
                line.say(&format!("SUB _INBOX.{number}.* 1\r\n"))?;
                speaker.number = number.into_bytes();
            }
            Role::Responder => line.say("SUB bench all 1\r\n")?,
            Role::Idle => {}
        }
        line.settle()?;
        Ok((line.into_stream(), Box::new(speaker)))
    }
}

/// One connection's side of the conversation.
#[derive(Default)]
struct Speaker {
    /// Which requester this is.
    number: Vec<u8>,
    pings: u32,
}

impl Dialect for Speaker {
    fn hear<'b>(&mut self, bytes: &'b [u8]) -> Outcome<Option<(Heard<'b>, usize)>> {
        let Some((said, length)) = nats_line::hear(bytes)? else { return Ok(None) };
        let heard = match said {
            Said::Message { head, data } if head.subject == b"bench" => Heard::Call { reply_to: head.reply, data },
            Said::Message { head, data } => {
                let id = head.subject.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
                Heard::Answer { id: number(id), data_bytes: data.len() }
            }
            Said::Ping => {
                self.pings += 1;
                Heard::Nothing
            }
            Said::Nothing => Heard::Nothing,
        };
        Ok(Some((heard, length)))
    }

    fn ask(&mut self, id: u64, data: &[u8], out: &mut Vec<u8>) {
        put(&[b"PUB bench _INBOX.", &self.number, b".", itoa::Buffer::new().format(id).as_bytes()], out);
        put(&[b" ", itoa::Buffer::new().format(data.len()).as_bytes(), b"\r\n", data, b"\r\n"], out);
    }

    fn answer(&mut self, reply_to: &[u8], data: &[u8], out: &mut Vec<u8>) {
        put(&[b"PUB ", reply_to, b" ", itoa::Buffer::new().format(data.len()).as_bytes()], out);
        put(&[b"\r\n", data, b"\r\n"], out);
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

    #[test]
    fn what_it_says_and_hears() {
        let mut speaker = Speaker { number: b"3".to_vec(), pings: 0 };
        let mut out = Vec::new();
        speaker.ask(7, b"\"x\"", &mut out);
        assert_eq!(out, b"PUB bench _INBOX.3.7 3\r\n\"x\"\r\n");
        let call = b"MSG bench 1 _INBOX.3.7 3\r\n\"x\"\r\n";
        let heard = speaker.hear(call).unwrap();
        assert_eq!(heard, Some((Heard::Call { reply_to: b"_INBOX.3.7", data: b"\"x\"" }, call.len())));
        assert_eq!(speaker.hear(&call[..call.len() - 1]).unwrap(), None);
        out.clear();
        speaker.answer(b"_INBOX.3.7", b"\"x\"", &mut out);
        assert_eq!(out, b"PUB _INBOX.3.7 3\r\n\"x\"\r\n");
        let answer = b"MSG _INBOX.3.7 1 3\r\n\"x\"\r\n";
        assert_eq!(speaker.hear(answer).unwrap(), Some((Heard::Answer { id: 7, data_bytes: 3 }, answer.len())));
    }

    #[test]
    fn a_ping_is_answered() {
        let (mut speaker, mut out) = (Speaker::default(), Vec::new());
        assert_eq!(speaker.hear(b"PING\r\n").unwrap(), Some((Heard::Nothing, 6)));
        speaker.end_of_batch(&mut out);
        assert_eq!(out, b"PONG\r\n");
    }
}
