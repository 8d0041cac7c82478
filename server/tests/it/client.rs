//! A client made of one blocking socket: it says frames and hears frames, as they are or sealed.

use crate::place::PATIENCE;
use answerback_protocol::envelope::Envelope;
use answerback_protocol::frames::{
    Answer, Deliver, ErrorNotice, Goaway, Hello, Publish, Reply, Request, Serve, Subscribe, Welcome,
};
use answerback_protocol::sealed::{
    ANSWER_BYTES, Channel, Entropy, Greeting, Key, KeyId, SECRET_BYTES, SealedReader, SealedWriter, Secret,
};
use answerback_protocol::{ClientFrame, DeliveryId, Name, Pattern, RequestId, ServerFrame, SessionId};
use bytes::BytesMut;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    /// Frames, opened if they came sealed.
    received: BytesMut,
    channel: Option<(SealedWriter, SealedReader)>,
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
        Self { socket, received: BytesMut::new(), channel: None }
    }

    /// Connects with a key and says nothing yet.
    pub(crate) fn greeted(address: SocketAddr, key: &Key) -> Self {
        let mut client = Self::connect(address);
        let (greeting, bytes) = greeting(key);
        client.socket.write_all(&bytes).unwrap();
        client.finish(greeting);
        client
    }

    /// Reads the answer to a greeting.
    pub(crate) fn finish(&mut self, greeting: Greeting) {
        let mut answer = [0; ANSWER_BYTES];
        self.socket.read_exact(&mut answer).unwrap();
        let Channel { sealer, opener } = greeting.read(&answer).unwrap();
        self.channel = Some((SealedWriter::new(sealer), SealedReader::new(opener)));
    }

    /// Connects with a key, says hello and is welcomed.
    pub(crate) fn sealed(address: SocketAddr, key: &Key, name: &str) -> Self {
        let mut client = Self::greeted(address, key);
        client.say(&hello(name), b"");
        let _: Welcome<'_> = client.hear().welcome();
        client
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
        handler.serve(action, credit);
        handler
    }

    /// Serves an action.
    pub(crate) fn serve(&mut self, action: &str, credit: u32) {
        self.try_serve(action, credit);
        assert!(matches!(self.hear().frame(), ServerFrame::Serving(_)));
    }

    /// The same, if it may.
    pub(crate) fn try_serve(&mut self, action: &str, credit: u32) {
        self.say(&ClientFrame::Serve(Serve { action: Name::new(action).unwrap(), credit }), b"");
    }

    pub(crate) fn subscribe(&mut self, topic: &str) {
        self.say(
            &ClientFrame::Subscribe(Subscribe { topic: Pattern::new(topic).unwrap(), group: None, path: None }),
            b"",
        );
    }

    pub(crate) fn publish(&mut self, id: u64, topic: &str, data: &[u8]) {
        let topic = Pattern::topic(topic).unwrap();
        self.say(&ClientFrame::Publish(Publish { topic, id: RequestId::new(id), to: None, others: false }), data);
    }

    pub(crate) fn say(&mut self, frame: &ClientFrame<'_>, data: &[u8]) {
        self.try_say(frame, data).unwrap();
    }

    /// The same, where the server may have closed the connection.
    pub(crate) fn try_say(&mut self, frame: &ClientFrame<'_>, data: &[u8]) -> io::Result<()> {
        let bytes = self.wire(&[(frame, data)]);
        self.socket.write_all(&bytes)
    }

    /// What these frames are on the wire; on a sealed connection they share records.
    pub(crate) fn wire(&mut self, frames: &[(&ClientFrame<'_>, &[u8])]) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|(frame, data)| frame.write(data, &mut bytes));
        let Some((writer, _)) = &mut self.channel else { return bytes.to_vec() };
        writer.append(&bytes).unwrap();
        writer.finish().unwrap();
        let sealed = writer.sealed().to_vec();
        writer.advance(sealed.len());
        sealed
    }

    pub(crate) fn call(&mut self, id: u64, action: &str, data: &[u8]) {
        self.try_call(id, action, data).unwrap();
    }

    /// The same, where the server may have closed the connection.
    pub(crate) fn try_call(&mut self, id: u64, action: &str, data: &[u8]) -> io::Result<()> {
        let request = Request::call(RequestId::new(id).unwrap(), Name::new(action).unwrap());
        self.try_say(&request.into(), data)
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
                count => match &mut self.channel {
                    None => self.received.extend_from_slice(&piece[..count]),
                    Some((_, reader)) => {
                        reader.sealed().extend_from_slice(&piece[..count]);
                        reader.open(&mut self.received).unwrap();
                    }
                },
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

/// A key with this id, whose secret is this byte.
pub(crate) fn key(id: &str, byte: u8) -> Key {
    Key { id: KeyId::new(id).unwrap(), secret: Secret::new([byte; SECRET_BYTES]) }
}

/// A greeting with an ephemeral key that no other one has.
pub(crate) fn greeting(key: &Key) -> (Greeting, Vec<u8>) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut entropy = [0; 32];
    entropy[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Greeting::new(key, Entropy::new(entropy)).unwrap()
}

/// A hello with a session that no other one has.
pub(crate) fn hello(name: &str) -> ClientFrame<'_> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let session = SessionId::new(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)));
    Hello { protocol: (1, 1), name: name.into(), session, agent: None, node: None }.into()
}
