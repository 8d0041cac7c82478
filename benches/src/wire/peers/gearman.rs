//! gearmand as a broker of calls: jobs in the foreground, in its binary protocol.
//!
//! ```text
//!  call     SUBMIT_JOB   bench, no unique key, "ID data"    JOB_CREATED is passed over
//!  work     GRAB_JOB     as many under way at once as the system is told to; NO_JOB to all of them ──► PRE_SLEEP; NOOP wakes
//!  answer   WORK_COMPLETE handle, "ID data"                 ──► the requester hears the same
//! ```

use crate::Outcome;
use crate::process::Owned;
use crate::wire::dialect::{Dialect, Heard};
use crate::wire::frames::{digits, number};
use crate::wire::system::{Opened, Role, Running, System};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long it may take to listen.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

const REQUEST: &[u8; 4] = b"\0REQ";
const RESPONSE: &[u8; 4] = b"\0RES";
const HEAD_BYTES: usize = 12;

const CAN_DO: u32 = 1;
const PRE_SLEEP: u32 = 4;
const NOOP: u32 = 6;
const SUBMIT_JOB: u32 = 7;
const JOB_CREATED: u32 = 8;
const GRAB_JOB: u32 = 9;
const NO_JOB: u32 = 10;
const JOB_ASSIGN: u32 = 11;
const WORK_COMPLETE: u32 = 13;
const ERROR: u32 = 19;

/// gearmand as a system under test.
pub(crate) struct Gearman {
    pub(crate) program: PathBuf,
    /// Grabs that a worker has under way at once.
    pub(crate) grabs: u32,
}

struct Started {
    process: Owned,
    address: SocketAddr,
    grabs: u32,
}

impl System for Gearman {
    fn name(&self) -> &'static str {
        if self.grabs == 1 { "gearmand" } else { "gearmand, 16 grabs" }
    }

    fn start(&self) -> Outcome<Box<dyn Running>> {
        // It cannot pick a port.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(&self.program);
        command.args(["--listen", "127.0.0.1", "--log-file", "none", "--port"]).arg(address.port().to_string());
        let process = Owned::quietly(&mut command)?;
        let end = Instant::now() + STARTS_WITHIN;
        while let Err(error) = TcpStream::connect(address) {
            if Instant::now() > end {
                return Err(format!("gearmand does not listen: {error}").into());
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        Ok(Box::new(Started { process, address, grabs: self.grabs }))
    }
}

impl Running for Started {
    fn process(&self) -> Option<u32> {
        Some(self.process.id())
    }

    fn open(&self, role: Role) -> Outcome<Opened> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let mut speaker = Speaker::default();
        if role == Role::Responder {
            speaker.grabs_wanted = self.grabs;
            let mut out = Vec::new();
            put(CAN_DO, &[b"bench"], &mut out);
            speaker.end_of_batch(&mut out);
            stream.write_all(&out)?;
        }
        Ok((stream, Box::new(speaker)))
    }
}

/// One connection's side of the conversation.
#[derive(Default)]
struct Speaker {
    /// Grabs that a worker keeps under way; none for who only asks.
    grabs_wanted: u32,
    grabs: u32,
    /// No grab since has been answered with a job.
    idle: bool,
    asleep: bool,
}

impl Speaker {
    fn understand<'b>(&mut self, kind: u32, body: &'b [u8]) -> Outcome<Heard<'b>> {
        match kind {
            JOB_ASSIGN => {
                self.grabs = self.grabs.saturating_sub(1);
                self.idle = false;
                let (handle, rest) = until_zero(body)?;
                let (_function, data) = until_zero(rest)?;
                Ok(Heard::Call { reply_to: handle, data })
            }
            WORK_COMPLETE => {
                let (_handle, data) = until_zero(body)?;
                let id = digits(data);
                Ok(Heard::Answer { id: number(id), data_bytes: data.len().saturating_sub(id.len() + 1) })
            }
            NO_JOB => {
                self.grabs = self.grabs.saturating_sub(1);
                self.idle = true;
                Ok(Heard::Nothing)
            }
            NOOP => {
                (self.asleep, self.idle) = (false, false);
                Ok(Heard::Nothing)
            }
            JOB_CREATED => Ok(Heard::Nothing),
            ERROR => Err(format!("gearmand says {}", String::from_utf8_lossy(body).escape_debug()).into()),
            other => Err(format!("gearmand says something of kind {other}").into()),
        }
    }
}

impl Dialect for Speaker {
    fn hear<'b>(&mut self, bytes: &'b [u8]) -> Outcome<Option<(Heard<'b>, usize)>> {
        let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else { return Ok(None) };
        if !head.starts_with(RESPONSE) {
            return Err("gearmand says something that is no response".into());
        }
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = word(8) as usize;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        Ok(Some((self.understand(word(4), body)?, HEAD_BYTES + length)))
    }

    fn ask(&mut self, id: u64, data: &[u8], out: &mut Vec<u8>) {
        put(SUBMIT_JOB, &[b"bench\0\0", itoa::Buffer::new().format(id).as_bytes(), b" ", data], out);
    }

    fn answer(&mut self, reply_to: &[u8], data: &[u8], out: &mut Vec<u8>) {
        put(WORK_COMPLETE, &[reply_to, b"\0", data], out);
    }

    fn end_of_batch(&mut self, out: &mut Vec<u8>) {
        if self.grabs_wanted == 0 || self.asleep {
            return;
        }
        if !self.idle {
            for _ in self.grabs..self.grabs_wanted {
                put(GRAB_JOB, &[], out);
            }
            self.grabs = self.grabs_wanted;
        } else if self.grabs == 0 {
            // Whatever came meanwhile makes gearmand say NOOP at once, so nothing is slept through.
            put(PRE_SLEEP, &[], out);
            self.asleep = true;
        }
    }
}

/// What stands before the first zero, and behind it.
fn until_zero(bytes: &[u8]) -> Outcome<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == 0).ok_or("gearmand leaves out a zero")?;
    Ok((&bytes[..at], &bytes[at + 1..]))
}

/// Writes a packet whose body comes in pieces.
fn put(kind: u32, pieces: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    out.extend_from_slice(REQUEST);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(length as u32).to_be_bytes());
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u32, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(kind, &[body], &mut out);
        out[..4].copy_from_slice(RESPONSE);
        out
    }

    fn kinds(out: &[u8]) -> Vec<u8> {
        let (mut rest, mut kinds) = (out, Vec::new());
        while let Some((head, body)) = rest.split_at_checked(HEAD_BYTES) {
            kinds.push(head[7]);
            rest = &body[usize::from(head[11])..];
        }
        kinds
    }

    #[test]
    fn a_worker_grabs_answers_and_sleeps() {
        let (mut worker, mut out) = (Speaker { grabs_wanted: 2, ..Speaker::default() }, Vec::new());
        worker.end_of_batch(&mut out);
        assert_eq!(kinds(&out), [9, 9]);
        let job = packet(JOB_ASSIGN, b"H:1\0bench\x007 \"x\"");
        let heard = worker.hear(&job).unwrap();
        assert_eq!(heard, Some((Heard::Call { reply_to: b"H:1", data: b"7 \"x\"" }, job.len())));
        assert_eq!(worker.hear(&job[..job.len() - 1]).unwrap(), None);
        out.clear();
        worker.answer(b"H:1", b"7 \"x\"", &mut out);
        worker.end_of_batch(&mut out);
        assert_eq!(kinds(&out), [13, 9]);
        out.clear();
        for _ in 0..2 {
            worker.hear(&packet(NO_JOB, b"")).unwrap();
        }
        worker.end_of_batch(&mut out);
        assert_eq!(kinds(&out), [4]);
        worker.hear(&packet(NOOP, b"")).unwrap();
        out.clear();
        worker.end_of_batch(&mut out);
        assert_eq!(kinds(&out), [9, 9]);
    }

    #[test]
    fn a_requester_hears_which_job_is_done() {
        let mut requester = Speaker::default();
        let done = packet(WORK_COMPLETE, b"H:1\x007 \"x\"");
        assert_eq!(requester.hear(&done).unwrap(), Some((Heard::Answer { id: 7, data_bytes: 3 }, done.len())));
        let mut out = Vec::new();
        requester.ask(7, b"\"x\"", &mut out);
        requester.end_of_batch(&mut out);
        assert_eq!(out, b"\0REQ\0\0\0\x07\0\0\0\x0cbench\0\x007 \"x\"");
    }
}
