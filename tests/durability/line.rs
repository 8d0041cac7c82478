//! A connection written from `docs/PROTOCOL.md` that may break at any moment: everything it does can fail.

use crate::client::{Heard, frame, hello};
use serde_json::Value;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a server may be away.
const AWAY_AT_MOST: Duration = Duration::from_secs(20);

/// A pause between two tries to connect.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// A greeting that takes longer has failed, and is tried again.
const GREETING: Duration = Duration::from_secs(5);

/// A greeted connection.
pub(crate) struct Line {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Line {
    /// Connects as soon as there is a server, and returns what it says in its welcome.
    pub(crate) fn open(address: SocketAddr, name: &str, session: &str) -> (Self, Value) {
        let end = Instant::now() + AWAY_AT_MOST;
        loop {
            match Self::try_to_open(address, name, session) {
                Ok(opened) => return opened,
                Err(error) => assert!(Instant::now() < end, "{name} cannot come back: {error}"),
            }
            std::thread::park_timeout(TRY_EVERY);
        }
    }

    fn try_to_open(address: SocketAddr, name: &str, session: &str) -> io::Result<(Self, Value)> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(AWAY_AT_MOST))?;
        let mut line = Self { socket, received: Vec::new() };
        line.say(hello(name, session), "")?;
        let welcome = line.hear(GREETING)?.ok_or(ErrorKind::TimedOut)?.head;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        Ok((line, welcome))
    }

    pub(crate) fn say(&mut self, head: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(&frame(head, data))
    }

    /// The next frame, pings answered and not told. Nothing if none comes within this time.
    pub(crate) fn hear(&mut self, within: Duration) -> io::Result<Option<Heard>> {
        let end = Instant::now() + within;
        loop {
            match self.take_frame() {
                Some(heard) if heard.head["type"] == "ping" => self.say(r#"{"type":"pong"}"#, "")?,
                Some(heard) => return Ok(Some(heard)),
                None if !self.read_until(end)? => return Ok(None),
                None => {}
            }
        }
    }

    /// Reads what comes next. Returns false if the time is over.
    fn read_until(&mut self, end: Instant) -> io::Result<bool> {
        // A timeout of zero would mean none.
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_micros(100));
        self.socket.set_read_timeout(Some(left))?;
        let mut piece = [0; 64 << 10];
        match self.socket.read(&mut piece) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.received.extend_from_slice(&piece[..count]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(Instant::now() < end)
            }
            Err(error) => Err(error),
        }
    }

    fn take_frame(&mut self) -> Option<Heard> {
        let (length, rest) = self.received.split_first_chunk::<4>()?;
        let whole = rest.get(..u32::from_be_bytes(*length) as usize)?;
        let (head_length, rest) = whole.split_first_chunk::<2>()?;
        let (head, data) = rest.split_at(usize::from(u16::from_be_bytes(*head_length)));
        let heard = Heard { head: serde_json::from_slice(head).unwrap(), data: data.to_vec() };
        self.received.drain(..4 + whole.len());
        Some(heard)
    }
}
