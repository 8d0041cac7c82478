//! A plain client that fills and empties queues: one blocking socket, many frames to a write.

use crate::Outcome;
use answerback_protocol::envelope::Envelope;
use answerback_protocol::frames::{Ack, Answer, Hello, Pong, Request, Serve};
use answerback_protocol::limits::{ACK_AFTER_REPLIES, FRAME_BYTES_DEFAULT, PREFIX_BYTES, SERVER_EXTRA_BYTES};
use answerback_protocol::{ClientFrame, DeliveryId, Name, RequestId, ServerFrame, SessionId};
use bytes::{Buf, BytesMut};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Requests that are on their way at once.
const WINDOW: u64 = 2_000;

/// What one read brings at most.
const READ_BYTES: usize = 256 << 10;

/// Silence that lasts longer means that something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that says hello and waits for what it is told.
pub(super) struct Talk {
    stream: TcpStream,
    received: BytesMut,
    scratch: Vec<u8>,
    out: BytesMut,
    next_id: u64,
    /// Replies heard, and how many of them are acknowledged.
    replies: (u64, u64),
    /// Deliveries that are not answered.
    pub(super) held: Vec<DeliveryId>,
}

/// What was heard that somebody may wait for.
enum Heard {
    Welcome,
    Serving,
    Accepted,
    Delivery(DeliveryId),
    Answer(Vec<u8>),
}

impl Talk {
    /// Connects and is welcomed.
    pub(super) fn open(address: SocketAddr, name: &str) -> Outcome<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut talk = Self {
            stream,
            received: BytesMut::new(),
            scratch: vec![0; READ_BYTES],
            out: BytesMut::new(),
            next_id: 1,
            replies: (0, 0),
            held: Vec::new(),
        };
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let session = SessionId::new(u128::from(std::process::id()) << 64 | 1 << 63 | u128::from(number));
        talk.say(&Hello { protocol: (1, 1), name: name.into(), session, agent: None, node: None }.into(), b"");
        talk.flush()?;
        talk.until(|heard| matches!(heard, Heard::Welcome).then_some(()))?;
        Ok(talk)
    }

    /// Sends so many requests that nobody waits for, and returns once all are accepted.
    pub(super) fn send_many(&mut self, action: &str, count: u64, data: &[u8], durable: bool) -> Outcome<()> {
        let (mut sent, mut accepted) = (0, 0);
        while accepted < count {
            while sent < count.min(accepted + WINDOW) {
                let request = Request::call(self.id(), name(action)?);
                self.say(&Request { reply: false, durable, ..request }.into(), data);
                sent += 1;
            }
            self.flush()?;
            // Half a window is waited for, so that reading and writing take turns in large pieces.
            let enough = sent.min(accepted + WINDOW / 2);
            while accepted < enough {
                self.until(|heard| matches!(heard, Heard::Accepted).then_some(()))?;
                accepted += 1;
            }
        }
        Ok(())
    }

    /// Calls an action of the server's own.
    pub(super) fn ask(&mut self, action: &str) -> Outcome<Value> {
        let request = Request::call(self.id(), name(action)?);
        self.say(&request.into(), b"");
        self.flush()?;
        let answer = self.until(|heard| if let Heard::Answer(data) = heard { Some(data) } else { None })?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Requests that wait or are delivered.
    pub(super) fn requests(&mut self) -> Outcome<u64> {
        let stats = self.ask("$stats")?;
        let of = |member: &str| stats[member].as_u64().ok_or_else(|| format!("$stats says no {member}"));
        Ok(of("queued")? + of("in_flight")?)
    }

    /// Serves an action.
    pub(super) fn serve(&mut self, action: &str, credit: u32) -> Outcome<()> {
        self.say(&Serve { action: name(action)?, credit }.into(), b"");
        self.flush()?;
        self.until(|heard| matches!(heard, Heard::Serving).then_some(()))
    }

    /// Waits until it holds so many deliveries.
    pub(super) fn wait_for(&mut self, deliveries: usize) -> Outcome<()> {
        while self.held.len() < deliveries {
            let id = self.until(|heard| if let Heard::Delivery(id) = heard { Some(id) } else { None })?;
            self.held.push(id);
        }
        Ok(())
    }

    /// Answers all deliveries that it holds.
    pub(super) fn answer_all(&mut self) -> Outcome<usize> {
        let many = self.held.len();
        for id in std::mem::take(&mut self.held) {
            self.say(&Answer { id, error: None, part: false, seq: None }.into(), b"");
        }
        self.flush()?;
        Ok(many)
    }

    /// Keeps the deliveries that have come already, and waits for none: the frame after the last of them may be of another kind.
    pub(super) fn keep_what_came(&mut self) -> Outcome<()> {
        while let Some(heard) = self.next()? {
            if let Heard::Delivery(id) = heard {
                self.held.push(id);
            }
        }
        Ok(())
    }

    fn id(&mut self) -> RequestId {
        self.next_id += 1;
        RequestId::truncated(self.next_id)
    }

    fn say(&mut self, frame: &ClientFrame<'_>, data: &[u8]) {
        frame.write(data, &mut self.out);
    }

    fn flush(&mut self) -> Outcome<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Listens until something is heard that is waited for. Deliveries that come meanwhile are kept.
    fn until<T>(&mut self, mut is_it: impl FnMut(Heard) -> Option<T>) -> Outcome<T> {
        loop {
            while let Some(heard) = self.next()? {
                let delivery = if let Heard::Delivery(id) = heard { Some(id) } else { None };
                match (is_it(heard), delivery) {
                    (Some(found), _) => return Ok(found),
                    (None, Some(id)) => self.held.push(id),
                    (None, None) => {}
                }
            }
            self.acknowledge()?;
            match self.stream.read(&mut self.scratch) {
                Ok(0) => return Err("the server has closed the connection".into()),
                Ok(count) => self.received.extend_from_slice(&self.scratch[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn acknowledge(&mut self) -> Outcome<()> {
        if self.replies.0 >= self.replies.1 + ACK_AFTER_REPLIES {
            self.replies.1 = self.replies.0;
            self.say(&Ack { replies: self.replies.0 }.into(), b"");
        }
        self.flush()
    }

    /// The next frame of those that have come.
    fn next(&mut self) -> Outcome<Option<Heard>> {
        loop {
            let envelope = Envelope::peek(&self.received, FRAME_BYTES_DEFAULT + SERVER_EXTRA_BYTES)
                .map_err(|error| format!("not a frame: {error:?}"))?;
            let Some(envelope) = envelope.filter(|envelope| envelope.total() <= self.received.len()) else {
                return Ok(None);
            };
            let (head, data) = self.received[PREFIX_BYTES..envelope.total()].split_at(envelope.head);
            let frame = ServerFrame::read(head).map_err(|error| format!("the server says {error}"))?;
            let heard = understand(&frame, head, data)?;
            self.replies.0 += u64::from(matches!(frame, ServerFrame::Reply(_)));
            let pinged = matches!(frame, ServerFrame::Ping(_));
            self.received.advance(envelope.total());
            if pinged {
                self.say(&Pong.into(), b"");
            }
            if heard.is_some() {
                return Ok(heard);
            }
        }
    }
}

fn understand(frame: &ServerFrame<'_>, head: &[u8], data: &[u8]) -> Outcome<Option<Heard>> {
    Ok(match frame {
        ServerFrame::Welcome(_) => Some(Heard::Welcome),
        ServerFrame::Serving(_) => Some(Heard::Serving),
        ServerFrame::Accepted(_) => Some(Heard::Accepted),
        ServerFrame::Deliver(deliver) => Some(Heard::Delivery(deliver.id)),
        ServerFrame::Reply(reply) if reply.error.is_none() => Some(Heard::Answer(data.to_vec())),
        ServerFrame::Reply(_) | ServerFrame::ErrorNotice(_) | ServerFrame::Goaway(_) => {
            return Err(format!("the server says {}", String::from_utf8_lossy(head).escape_debug()).into());
        }
        _ => None,
    })
}

fn name(text: &str) -> Outcome<Name<'_>> {
    Name::new(text).map_err(|problem| format!("{problem:?}").into())
}
