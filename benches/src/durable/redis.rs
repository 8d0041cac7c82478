//! Redis as a broker, with every command on disk before it is answered (`appendonly yes`, `appendfsync always`). `wire` measures the
//! same lists with nothing on disk.
//!
//! ```text
//!  list     LPUSH work  ──► BLMPOP work COUNT 512              what is popped is gone: nothing is acknowledged
//!  stream   XADD work   ──► XREADGROUP COUNT 512, then XACK and XDEL, one of each for all that one read brought
//!  answers  LPUSH answers:N ──► BLMPOP answers:N COUNT 512     one list for each requester connection
//! ```
//!
//! A value is `N.ID data`: who waits for the answer, the number of the call, and the data.

use super::What;
use super::resp::{self, Replies, Token};
use crate::Outcome;
use crate::folder::Folder;
use crate::process::Owned;
use crate::wire::dialect::{Dialect, Heard};
use crate::wire::frames::{digits, number};
use crate::wire::system::{Opened, Role, Running, System};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most that one read takes: more than any shape has in flight.
const AT_ONCE: &[u8] = b"512";

/// How often another port is tried. Redis cannot pick one, and somebody else may be quicker.
const TRIES: usize = 10;

/// Redis as a system under test.
pub(crate) struct Redis {
    pub(crate) program: PathBuf,
    pub(crate) what: What,
    pub(crate) stream: bool,
    /// Whether a command is on disk before it is answered; otherwise nothing is ever written.
    pub(crate) on_disk: bool,
}

struct Started {
    process: Owned,
    _folder: Folder,
    address: SocketAddr,
    what: What,
    stream: bool,
    /// Connections of requesters so far.
    requesters: AtomicU64,
}

impl System for Redis {
    fn name(&self) -> &'static str {
        match (self.on_disk, self.stream) {
            (false, _) => "redis",
            (true, true) => "redis stream, fsync always",
            (true, false) => "redis list, fsync always",
        }
    }

    fn start(&self) -> Outcome<Box<dyn Running>> {
        let mut tried = self.try_to_start();
        for _ in 1..TRIES {
            if tried.is_ok() {
                break;
            }
            tried = self.try_to_start();
        }
        let started = tried?;
        if self.stream {
            let mut stream = TcpStream::connect(started.address)?;
            let mut out = Vec::new();
            resp::command(&[b"XGROUP", b"CREATE", b"work", b"all", b"0", b"MKSTREAM"], &mut out);
            stream.write_all(&out)?;
            let mut said = [0; 64];
            let count = stream.read(&mut said)?;
            if !said[..count].starts_with(b"+OK") {
                return Err(format!("Redis makes no group: {}", String::from_utf8_lossy(&said[..count])).into());
            }
        }
        Ok(Box::new(started))
    }
}

impl Redis {
    fn try_to_start(&self) -> Outcome<Started> {
        let folder = Folder::new()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(&self.program);
        let appends = if self.on_disk { "yes" } else { "no" };
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", appends, "--appendfsync", "always"]);
        command.arg("--port").arg(port.to_string()).arg("--dir").arg(folder.path());
        let ready = |line: &str| line.contains("Ready to accept connections").then_some(());
        let (process, ()) = Owned::start(&mut command, ready)?;
        let (address, requesters) = (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), AtomicU64::new(0));
        Ok(Started { process, _folder: folder, address, what: self.what, stream: self.stream, requesters })
    }
}

impl Running for Started {
    fn process(&self) -> Option<u32> {
        Some(self.process.id())
    }

    fn open(&self, role: Role) -> Outcome<Opened> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let mut speaker = Speaker::new(self.what, self.stream, role);
        if role == Role::Requester {
            speaker.number = self.requesters.fetch_add(1, Ordering::Relaxed).to_string().into_bytes();
        } else if role == Role::Responder {
            let mut out = Vec::new();
            speaker.end_of_batch(&mut out);
            stream.write_all(&out)?;
        }
        Ok((stream, Box::new(speaker)))
    }
}

/// One connection's side of the conversation.
struct Speaker {
    replies: Replies,
    what: What,
    stream: bool,
    role: Role,
    /// Which requester this is.
    number: Vec<u8>,
    /// Sends whose reply has not come, in order.
    sent: VecDeque<u64>,
    /// Whether a command waits for messages.
    waits: bool,
    /// Ids of the stream that are to be acknowledged.
    taken: Vec<Vec<u8>>,
    /// Whether the next string of an entry is its value, rather than the name of its only field.
    value_next: bool,
}

impl Speaker {
    fn new(what: What, stream: bool, role: Role) -> Self {
        Self {
            replies: Replies::default(),
            what,
            stream,
            role,
            number: Vec::new(),
            sent: VecDeque::new(),
            waits: false,
            taken: Vec::new(),
            value_next: false,
        }
    }

    /// Where the values of messages stand in what this connection waits for.
    fn is_message(&mut self, depth: usize) -> bool {
        if self.role == Role::Requester || !self.stream {
            return depth == 2;
        }
        // Field and value take turns.
        self.value_next ^= depth == 5;
        depth == 5 && !self.value_next
    }

    fn done(&mut self) -> Heard<'static> {
        match self.sent.pop_front() {
            Some(id) => Heard::Accepted { id },
            None => Heard::Nothing,
        }
    }

    fn message<'b>(&self, text: &'b [u8]) -> Outcome<Heard<'b>> {
        let blank = text.iter().position(|&byte| byte == b' ').ok_or("a value without an address")?;
        let (reply_to, data) = (&text[..blank], &text[blank + 1..]);
        if self.role == Role::Responder {
            return Ok(Heard::Call { reply_to, data });
        }
        let id = reply_to.splitn(2, |&byte| byte == b'.').nth(1).ok_or("an answer without a number")?;
        Ok(Heard::Answer { id: number(digits(id)), data_bytes: data.len() })
    }

    fn wait_for_more(&self, out: &mut Vec<u8>) {
        if self.role == Role::Responder && self.stream {
            let words = [
                b"XREADGROUP",
                &b"GROUP"[..],
                b"all",
                b"one",
                b"COUNT",
                AT_ONCE,
                b"BLOCK",
                b"0",
                b"STREAMS",
                b"work",
                b">",
            ];
            return resp::command(&words, out);
        }
        resp::begin(7, out);
        for text in [&b"BLMPOP"[..], b"0", b"1"] {
            resp::word(&[text], out);
        }
        if self.role == Role::Responder {
            resp::word(&[b"work"], out);
        } else {
            resp::word(&[b"answers:", &self.number], out);
        }
        for text in [&b"RIGHT"[..], b"COUNT", AT_ONCE] {
            resp::word(&[text], out);
        }
    }

    fn acknowledge(&mut self, out: &mut Vec<u8>) {
        for (name, group) in [(&b"XACK"[..], Some(&b"all"[..])), (b"XDEL", None)] {
            resp::begin(2 + usize::from(group.is_some()) + self.taken.len(), out);
            resp::word(&[name], out);
            resp::word(&[b"work"], out);
            if let Some(group) = group {
                resp::word(&[group], out);
            }
            for id in &self.taken {
                resp::word(&[id], out);
            }
        }
        self.taken.clear();
    }
}

impl Dialect for Speaker {
    fn hear<'b>(&mut self, bytes: &'b [u8]) -> Outcome<Option<(Heard<'b>, usize)>> {
        let Some((token, length)) = self.replies.next(bytes)? else { return Ok(None) };
        let heard = match token {
            Token::Done => self.done(),
            Token::Nothing => Heard::Nothing,
            Token::Text { depth, text } => {
                if depth == 4 {
                    self.taken.push(text.to_vec());
                }
                // What was waited for has come with its last word.
                self.waits = !self.replies.is_between();
                if self.is_message(depth) { self.message(text)? } else { Heard::Nothing }
            }
        };
        Ok(Some((heard, length)))
    }

    fn ask(&mut self, id: u64, data: &[u8], out: &mut Vec<u8>) {
        if self.stream {
            resp::begin(5, out);
            for text in [&b"XADD"[..], b"work", b"*", b"d"] {
                resp::word(&[text], out);
            }
        } else {
            resp::begin(3, out);
            resp::word(&[b"LPUSH"], out);
            resp::word(&[b"work"], out);
        }
        resp::word(&[&self.number, b".", itoa::Buffer::new().format(id).as_bytes(), b" ", data], out);
        if self.what == What::Send {
            self.sent.push_back(id);
        }
    }

    fn answer(&mut self, reply_to: &[u8], data: &[u8], out: &mut Vec<u8>) {
        if self.what == What::Call {
            resp::begin(3, out);
            resp::word(&[b"LPUSH"], out);
            let requester = reply_to.split(|&byte| byte == b'.').next().unwrap_or_default();
            resp::word(&[b"answers:", requester], out);
            resp::word(&[reply_to, b" ", data], out);
        }
    }

    fn end_of_batch(&mut self, out: &mut Vec<u8>) {
        if !self.taken.is_empty() && !self.waits {
            self.acknowledge(out);
        }
        let listens = self.role == Role::Responder || (self.role == Role::Requester && self.what == What::Call);
        if listens && !std::mem::replace(&mut self.waits, true) {
            self.wait_for_more(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection says once all of `bytes` was heard, and what it heard.
    fn hears(speaker: &mut Speaker, bytes: &[u8]) -> (Vec<String>, String) {
        let (mut at, mut heard, mut out) = (0, Vec::new(), Vec::new());
        while let Some((what, length)) = speaker.hear(&bytes[at..]).unwrap() {
            at += length;
            if let Heard::Call { reply_to, data } = what {
                speaker.answer(reply_to, data, &mut out);
            }
            if what != Heard::Nothing {
                heard.push(format!("{what:?}"));
            }
        }
        speaker.end_of_batch(&mut out);
        (heard, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_stream_is_acknowledged_when_the_whole_read_is_there() {
        let mut speaker = Speaker::new(What::Send, true, Role::Responder);
        assert!(hears(&mut speaker, b"").1.contains("XREADGROUP"));
        let bytes = b"*1\r\n*2\r\n$4\r\nwork\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nd\r\n$7\r\n0.7 \"x\"\r\n";
        let (half, rest) = bytes.split_at(40);
        assert_eq!(hears(&mut speaker, half).1, "");
        let kept = [&half[39..], rest].concat();
        let (heard, said) = hears(&mut speaker, &kept);
        assert_eq!(heard.len(), 1);
        assert!(said.contains("XACK") && said.contains("XDEL") && said.contains("1-1") && said.contains("XREADGROUP"));
    }

    #[test]
    fn a_list_is_answered_and_waited_for_again() {
        let mut speaker = Speaker::new(What::Call, false, Role::Responder);
        assert!(hears(&mut speaker, b"").1.contains("BLMPOP"));
        let (heard, said) = hears(&mut speaker, b"*2\r\n$4\r\nwork\r\n*1\r\n$7\r\n3.7 \"x\"\r\n");
        assert_eq!(heard.len(), 1);
        assert!(said.contains("answers:3") && said.contains("3.7 \"x\"") && said.contains("BLMPOP"), "{said}");
    }

    #[test]
    fn sends_are_accepted_in_order() {
        let mut speaker = Speaker::new(What::Send, false, Role::Requester);
        let mut out = Vec::new();
        speaker.ask(5, b"1", &mut out);
        speaker.ask(6, b"1", &mut out);
        let (heard, said) = hears(&mut speaker, b":1\r\n:2\r\n");
        assert_eq!((heard.join(" "), said), ("Accepted { id: 5 } Accepted { id: 6 }".to_owned(), String::new()));
    }
}
