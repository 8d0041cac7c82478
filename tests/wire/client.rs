//! A client written from `docs/PROTOCOL.md`: one blocking socket, heads as JSON text, nothing shared with the server.

use crate::place::PATIENCE;
use rustix::net::sockopt::set_socket_linger;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    pub(crate) session: String,
    /// Whether it says that it is there when it is asked.
    pub(crate) answers_pings: bool,
    received: Vec<u8>,
    /// Frames read while looking for another one.
    heard: VecDeque<Heard>,
}

/// A frame as it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) head: Value,
    pub(crate) data: Vec<u8>,
}

/// The bytes of a frame.
pub(crate) fn frame(head: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Vec<u8> {
    let (head, data) = (head.as_ref(), data.as_ref());
    let length = (2 + head.len() + data.len()) as u32;
    [&length.to_be_bytes()[..], &(head.len() as u16).to_be_bytes(), head, data].concat()
}

/// The head of a hello.
pub(crate) fn hello(name: &str, session: &str) -> String {
    json!({ "type": "hello", "protocol": [1, 1], "name": name, "session": session }).to_string()
}

/// A session that no other client of this run has.
pub(crate) fn new_session() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Client {
    /// Connects and says nothing.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, session: new_session(), answers_pings: true, received: Vec::new(), heard: VecDeque::new() }
    }

    /// Connects, says hello and is welcomed.
    pub(crate) fn welcomed(address: SocketAddr, name: &str) -> Self {
        let mut client = Self::greeting(address, name, &new_session());
        assert_eq!(client.hear().head["type"], "welcome");
        client
    }

    /// Connects and says hello with this session.
    pub(crate) fn greeting(address: SocketAddr, name: &str, session: &str) -> Self {
        let mut client = Self::connect(address);
        client.session = session.to_owned();
        client.say(hello(name, session), "");
        client
    }

    /// Connects and serves an action.
    pub(crate) fn serving(address: SocketAddr, name: &str, action: &str, credit: u32) -> Self {
        let mut client = Self::welcomed(address, name);
        client.serve(action, credit);
        client
    }

    pub(crate) fn serve(&mut self, action: &str, credit: u32) {
        self.say(json!({ "type": "serve", "action": action, "credit": credit }).to_string(), "");
        assert_eq!(self.hear().head["type"], "serving");
    }

    pub(crate) fn say(&mut self, head: impl AsRef<[u8]>, data: impl AsRef<[u8]>) {
        self.socket.write_all(&frame(head, data)).unwrap();
    }

    pub(crate) fn say_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn call(&mut self, id: u64, action: &str, data: impl AsRef<[u8]>) {
        self.say(json!({ "type": "request", "id": id, "action": action }).to_string(), data);
    }

    /// Answers a delivery.
    pub(crate) fn answer(&mut self, delivery: &Heard, data: impl AsRef<[u8]>) {
        assert_eq!(delivery.head["type"], "deliver", "{delivery:?}");
        self.say(json!({ "type": "reply", "id": delivery.head["id"] }).to_string(), data);
    }

    /// The next frame that is not an acknowledgement.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            let heard = self.hear_any().unwrap_or_else(|| panic!("the connection has ended"));
            if heard.head["type"] != "ack" {
                return heard;
            }
        }
    }

    /// The next frame, or nothing if the connection has ended.
    pub(crate) fn hear_any(&mut self) -> Option<Heard> {
        match self.heard.pop_front() {
            Some(heard) => Some(heard),
            None => self.read_frame().unwrap_or_else(|error| panic!("heard nothing: {error}")),
        }
    }

    /// Waits until the server has taken in all that was said, and keeps what comes meanwhile. Returns false if the
    /// connection ends before that.
    pub(crate) fn settle(&mut self) -> bool {
        if self.socket.write_all(&frame(r#"{"type":"ping"}"#, "")).is_err() {
            return false;
        }
        loop {
            match self.read_frame() {
                Ok(Some(heard)) if heard.head["type"] == "pong" => return true,
                Ok(Some(heard)) => self.heard.push_back(heard),
                Ok(None) => return false,
                Err(error) if is_the_end(&error) => return false,
                Err(error) => panic!("no pong: {error}"),
            }
        }
    }

    /// Everything that has come until now, but for acknowledgements.
    pub(crate) fn heard_until_now(&mut self) -> Vec<Heard> {
        self.settle();
        self.heard.drain(..).filter(|heard| heard.head["type"] != "ack").collect()
    }

    /// The next of the frames that were kept by [`settle`](Self::settle), acknowledgements included.
    pub(crate) fn already_heard(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    /// Reads to the end of the connection and returns what came before it.
    pub(crate) fn hear_to_the_end(&mut self) -> Vec<Heard> {
        let mut all: Vec<_> = self.heard.drain(..).collect();
        loop {
            match self.read_frame() {
                Ok(Some(heard)) => all.push(heard),
                Ok(None) => return all,
                Err(error) if is_the_end(&error) => return all,
                Err(error) => panic!("the connection has not ended: {error}"),
            }
        }
    }

    /// Listens for a while, in which nothing must come.
    pub(crate) fn hears_nothing_for(&mut self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).unwrap();
        match self.read_frame() {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            other => panic!("heard {other:?}"),
        }
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Ends the connection with a reset instead of a goodbye.
    pub(crate) fn reset(self) {
        set_socket_linger(&self.socket, Some(Duration::ZERO)).unwrap();
    }

    /// Reads a frame; pings of the server are answered and not told.
    fn read_frame(&mut self) -> io::Result<Option<Heard>> {
        loop {
            if let Some(heard) = self.take_frame() {
                if heard.head["type"] != "ping" {
                    return Ok(Some(heard));
                }
                if self.answers_pings {
                    self.socket.write_all(&frame(r#"{"type":"pong"}"#, ""))?;
                }
                continue;
            }
            let mut piece = [0; 64 << 10];
            match self.socket.read(&mut piece)? {
                0 => return Ok(None),
                count => self.received.extend_from_slice(&piece[..count]),
            }
        }
    }

    fn take_frame(&mut self) -> Option<Heard> {
        let (length, rest) = self.received.split_first_chunk::<4>()?;
        let frame = rest.get(..u32::from_be_bytes(*length) as usize)?;
        let (head_length, rest) = frame.split_first_chunk::<2>()?;
        let (head, data) = rest.split_at(usize::from(u16::from_be_bytes(*head_length)));
        let heard = Heard { head: serde_json::from_slice(head).unwrap(), data: data.to_vec() };
        self.received.drain(..4 + frame.len());
        Some(heard)
    }
}

impl Heard {
    /// The data as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.data).unwrap()
    }

    /// The code of the error, in a reply or by itself.
    pub(crate) fn code(&self) -> &str {
        let of_reply = &self.head["error"]["code"];
        let code = if of_reply.is_null() { &self.head["code"] } else { of_reply };
        code.as_str().unwrap_or_default()
    }
}

/// Whether the connection is gone, rather than silent for too long.
fn is_the_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}
