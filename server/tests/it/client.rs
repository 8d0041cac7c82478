//! A client made of one blocking socket: it says frames and hears frames.

use crate::place::PATIENCE;
use answerback_protocol::envelope::Envelope;
use answerback_protocol::frames::{Answer, Deliver, ErrorNotice, Goaway, Hello, Reply, Request, Serve, Welcome};
use answerback_protocol::{ClientFrame, DeliveryId, Name, RequestId, ServerFrame, SessionId};
use bytes::BytesMut;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    received: BytesMut,
}

/// What a client heard: a head, as JSON text to be read again, and data.
pub(crate) struct Heard {
    head: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Client {
    /// Connects and says nothing.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, received: BytesMut::new() }
    }

    /// Connects, says hello and is welcomed.
    pub(crate) fn welcomed(address: SocketAddr, name: &str) -> Self {
        let mut client = Self::connect(address);
        client.say(&hello(name), b"");
        let heard = client.hear();
        let _: Welcome<'_> = heard.welcome();
        client
    }

    /// Connects and serves an action.
    pub(crate) fn serving(address: SocketAddr, action: &str, credit: u32) -> Self {
        let mut handler = Self::welcomed(address, "handler");
        handler.say(&ClientFrame::Serve(Serve { action: Name::new(action).unwrap(), credit }), b"");
        assert!(matches!(handler.hear().frame(), ServerFrame::Serving(_)));
        handler
    }

    pub(crate) fn say(&mut self, frame: &ClientFrame<'_>, data: &[u8]) {
        let mut bytes = BytesMut::new();
        frame.write(data, &mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    /// The same, where the server may have closed the connection.
    pub(crate) fn try_say(&mut self, frame: &ClientFrame<'_>) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        frame.write(b"", &mut bytes);
        self.socket.write_all(&bytes)
    }

    pub(crate) fn call(&mut self, id: u64, action: &str, data: &[u8]) {
        self.try_call(id, action, data).unwrap();
    }

    /// The same, where the server may have closed the connection.
    pub(crate) fn try_call(&mut self, id: u64, action: &str, data: &[u8]) -> io::Result<()> {
        let request = Request::call(RequestId::new(id).unwrap(), Name::new(action).unwrap());
        let mut bytes = BytesMut::new();
        ClientFrame::from(request).write(data, &mut bytes);
        self.socket.write_all(&bytes)
    }

    /// Sends a request for whose answer nobody waits.
    pub(crate) fn send(&mut self, id: u64, action: &str, data: &[u8], durable: bool) {
        let request = Request::call(RequestId::new(id).unwrap(), Name::new(action).unwrap());
        self.say(&ClientFrame::from(Request { reply: false, durable, ..request }), data);
    }

    /// Sends, and hears that it was accepted.
    pub(crate) fn send_accepted(&mut self, id: u64, action: &str, data: &[u8], durable: bool) {
        self.send(id, action, data, durable);
        self.hear().accepted();
    }

    pub(crate) fn answer(&mut self, id: DeliveryId, data: &[u8]) {
        self.say(&Answer { id, error: None, part: false, seq: None }.into(), data);
    }

    /// The next delivery; that the server has counted earlier answers is passed over.
    pub(crate) fn hear_delivery(&mut self) -> Heard {
        loop {
            let heard = self.hear();
            if !matches!(heard.frame(), ServerFrame::Ack(_)) {
                return heard;
            }
        }
    }

    /// The next frame; pings of the server are not told.
    pub(crate) fn hear(&mut self) -> Heard {
        self.try_hear().unwrap().unwrap_or_else(|| panic!("the connection has ended"))
    }

    /// The next frame, or nothing if the server has closed its side.
    pub(crate) fn try_hear(&mut self) -> io::Result<Option<Heard>> {
        loop {
            match self.try_hear_any()? {
                Some(heard) if matches!(heard.frame(), ServerFrame::Ping(_)) => {}
                other => return Ok(other),
            }
        }
    }

    /// Hears a frame of any kind, notes when, and says of which.
    pub(crate) fn hear_kind(&mut self, when: &mut Vec<Instant>) -> &'static str {
        let heard = self.try_hear_any().unwrap().unwrap_or_else(|| panic!("the connection has ended"));
        when.push(Instant::now());
        match heard.frame() {
            ServerFrame::Ping(_) => "ping",
            ServerFrame::Reply(_) => "reply",
            _ => "other",
        }
    }

    /// Takes a piece of what came, whatever it is.
    pub(crate) fn read_some(&mut self, most: usize) {
        let mut piece = vec![0; most];
        let count = self.socket.read(&mut piece).unwrap();
        self.received.extend_from_slice(&piece[..count]);
    }

    fn try_hear_any(&mut self) -> io::Result<Option<Heard>> {
        loop {
            if let Some(envelope) = Envelope::peek(&self.received, u32::MAX).unwrap()
                && self.received.len() >= envelope.total()
            {
                let mut frame = self.received.split_to(envelope.total());
                let data = frame.split_off(envelope.data_at()).to_vec();
                return Ok(Some(Heard { head: frame[envelope.data_at() - envelope.head..].to_vec(), data }));
            }
            let mut piece = [0; 64 << 10];
            match self.socket.read(&mut piece)? {
                0 => return Ok(None),
                count => self.received.extend_from_slice(&piece[..count]),
            }
        }
    }
}

impl Heard {
    pub(crate) fn frame(&self) -> ServerFrame<'_> {
        ServerFrame::read(&self.head).unwrap()
    }

    pub(crate) fn is_welcome(&self) -> bool {
        matches!(self.frame(), ServerFrame::Welcome(_))
    }

    pub(crate) fn welcome(&self) -> Welcome<'_> {
        match self.frame() {
            ServerFrame::Welcome(welcome) => welcome,
            other => panic!("not welcome: {other:?}"),
        }
    }

    pub(crate) fn accepted(&self) -> u64 {
        match self.frame() {
            ServerFrame::Accepted(accepted) => accepted.id.get(),
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub(crate) fn deliver(&self) -> Deliver<'_> {
        match self.frame() {
            ServerFrame::Deliver(deliver) => deliver,
            other => panic!("not deliver: {other:?}"),
        }
    }

    pub(crate) fn reply(&self) -> Reply<'_> {
        match self.frame() {
            ServerFrame::Reply(reply) => reply,
            other => panic!("not reply: {other:?}"),
        }
    }

    pub(crate) fn error(&self) -> ErrorNotice<'_> {
        match self.frame() {
            ServerFrame::ErrorNotice(error) => error,
            other => panic!("not error: {other:?}"),
        }
    }

    pub(crate) fn goaway(&self) -> Goaway<'_> {
        match self.frame() {
            ServerFrame::Goaway(goaway) => goaway,
            other => panic!("not goaway: {other:?}"),
        }
    }
}

/// A hello with a session that no other one has.
pub(crate) fn hello(name: &str) -> ClientFrame<'_> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let session = SessionId::new(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)));
    Hello { protocol: (1, 1), name: name.into(), session, agent: None }.into()
}
