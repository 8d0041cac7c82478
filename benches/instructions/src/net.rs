//! Brokers, alone or linked, and around them callers and handlers that exist only as connection ids. What goes between brokers goes
//! through bytes and back; what goes to a client is looked at just enough to answer it.

use crate::Outcome;
use answerback_broker::{Broker, ConnectionId, Input, Limits, Output, Secrets, Settings, Time};
use answerback_protocol::envelope::Envelope;
use answerback_protocol::frames::{Ack, Answer, Hello, Request, Serve};
use answerback_protocol::limits::{ACK_AFTER_REPLIES, FRAME_BYTES_DEFAULT, PREFIX_BYTES, SERVER_EXTRA_BYTES};
use answerback_protocol::{
    ClientFrame, DeliveryId, LinkFrame, Name, NodeId, Payload, RequestId, ServerFrame, SessionId,
};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::time::Duration;

const ACTION: &str = "user.get";

/// Requests that wait before calls go through the queue.
const WAITING: u64 = 1_000;

/// An hour: no call here ends by itself.
const LONG_MS: u64 = 3_600_000;

/// How long linked brokers take at most to know of each other's handlers.
const ACQUAINTED: Duration = Duration::from_millis(100);

/// One call at a time, one handler.
pub(crate) fn call(count: u64) -> Outcome<()> {
    let mut net = Net::new(1);
    let caller = net.connect(0, "caller");
    let handler = net.connect(0, "handler");
    net.serve(handler, 64)?;
    for _ in 0..count {
        net.request(caller)?;
        net.answer_one();
    }
    net.expect(count)
}

/// Each answer lets the oldest of those that wait out, and a new one joins at the end.
pub(crate) fn call_through_queue(count: u64) -> Outcome<()> {
    let mut net = Net::new(1);
    let caller = net.connect(0, "caller");
    for _ in 0..WAITING {
        net.request(caller)?;
    }
    let handler = net.connect(0, "handler");
    net.serve(handler, 64)?;
    for _ in 0..count {
        net.request(caller)?;
        net.answer_one();
    }
    net.expect(count)
}

/// 64 calls at a time, 64 handlers with one each.
pub(crate) fn call_64_handlers(count: u64) -> Outcome<()> {
    let mut net = Net::new(1);
    let caller = net.connect(0, "caller");
    for _ in 0..64 {
        let handler = net.connect(0, "handler");
        net.serve(handler, 1)?;
    }
    for _ in 0..count / 64 {
        for _ in 0..64 {
            net.request(caller)?;
        }
        while !net.work.is_empty() {
            net.answer_one();
        }
    }
    net.expect(count / 64 * 64)
}

/// One call at a time, from a caller at one broker to a handler at another.
pub(crate) fn call_linked(count: u64) -> Outcome<()> {
    let mut net = Net::new(2);
    net.link();
    let caller = net.connect(0, "caller");
    let handler = net.connect(1, "handler");
    net.serve(handler, 64)?;
    net.pass(ACQUAINTED);
    for _ in 0..count {
        net.request(caller)?;
        net.answer_one();
    }
    net.expect(count)
}

/// A connection, and the broker that it is to.
type At = (usize, ConnectionId);

struct Net {
    brokers: Vec<Broker>,
    now: Time,
    connections: u32,
    /// Both ends of the link have the same id, which no client has.
    link: Option<ConnectionId>,
    /// Frames between brokers: for which one, and their bytes.
    wire: VecDeque<(usize, BytesMut)>,
    /// Deliveries not yet answered, oldest first.
    work: VecDeque<(At, DeliveryId)>,
    requests: u64,
    replies: u64,
    failed: u64,
    acked: u64,
    data: Payload,
}

impl Net {
    fn new(brokers: u64) -> Self {
        let broker = |number: u64| {
            let limits = Limits {
                requests_per_action: usize::MAX,
                bytes_per_action: usize::MAX,
                bytes_in_all: usize::MAX,
                ..Limits::default()
            };
            Broker::new(Settings {
                server: format!("server-{number}"),
                node: NodeId::truncated(number),
                secrets: Secrets { delivery: [number as u8; 16], tables: number },
                heartbeat: Duration::from_secs(365 * 24 * 3_600),
                limits,
                ..Settings::default()
            })
        };
        Self {
            brokers: (1..=brokers).map(broker).collect(),
            now: Time::from_millis(1_000),
            connections: 0,
            link: None,
            wire: VecDeque::new(),
            work: VecDeque::new(),
            requests: 0,
            replies: 0,
            failed: 0,
            acked: 0,
            data: Payload::copy_of(&[b'1'; 64]),
        }
    }

    fn place(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId::new(0, self.connections, 0)
    }

    /// The first broker dials the second.
    fn link(&mut self) {
        let connection = self.place();
        self.link = Some(connection);
        let accepted = Input::Connected { connection, peer: "first".to_owned(), holder: None, waited: Duration::ZERO };
        self.input(1, accepted);
        self.input(0, Input::Dialed { connection, address: "second".into() });
        self.deliver();
    }

    fn connect(&mut self, broker: usize, name: &str) -> At {
        let connection = self.place();
        let peer = "127.0.0.1:1".to_owned();
        self.input(broker, Input::Connected { connection, peer, holder: None, waited: Duration::ZERO });
        let session = SessionId::new(u128::from(self.connections));
        let hello = Hello { protocol: (1, 1), name: name.into(), session, agent: None, node: None };
        self.say((broker, connection), hello.into(), Payload::NONE);
        (broker, connection)
    }

    fn serve(&mut self, handler: At, credit: u32) -> Outcome<()> {
        self.say(handler, Serve { action: name()?, credit }.into(), Payload::NONE);
        Ok(())
    }

    fn request(&mut self, caller: At) -> Outcome<()> {
        let call = Request::call(RequestId::truncated(self.requests), name()?);
        self.requests += 1;
        let data = self.data.clone();
        self.say(caller, Request { ttl: Some(LONG_MS), timeout: Some(LONG_MS), ..call }.into(), data);
        if self.replies - self.acked >= ACK_AFTER_REPLIES {
            self.acked = self.replies;
            self.say(caller, Ack { replies: self.replies }.into(), Payload::NONE);
        }
        Ok(())
    }

    fn answer_one(&mut self) {
        if let Some((handler, id)) = self.work.pop_front() {
            let data = self.data.clone();
            self.say(handler, Answer { id, error: None, part: false, seq: None }.into(), data);
        }
    }

    fn expect(&self, replies: u64) -> Outcome<()> {
        match (self.replies, self.failed) {
            (came, 0) if came == replies => Ok(()),
            (came, failed) => Err(format!("{came} of {replies} calls were answered, {failed} failed").into()),
        }
    }

    /// Lets time pass, and everything happen that is due.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.brokers.iter().filter_map(Broker::poll_timeout).min().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            for broker in 0..self.brokers.len() {
                self.brokers[broker].handle_timeout(self.now);
                self.take_outputs(broker);
            }
            self.deliver();
        }
        self.now = until;
    }

    fn say(&mut self, (broker, connection): At, frame: ClientFrame<'_>, data: Payload) {
        self.input(broker, Input::Frame { connection, frame, data });
        self.deliver();
    }

    fn input(&mut self, broker: usize, input: Input<'_>) {
        self.brokers[broker].handle(self.now, input);
        self.take_outputs(broker);
    }

    /// What is on its way between brokers arrives.
    fn deliver(&mut self) {
        let Some(connection) = self.link else { return };
        while let Some((broker, bytes)) = self.wire.pop_front() {
            let limit = FRAME_BYTES_DEFAULT + SERVER_EXTRA_BYTES;
            let Ok(Some(envelope)) = Envelope::peek(&bytes, limit) else { continue };
            let (head, data) = bytes[PREFIX_BYTES..].split_at(envelope.head);
            let data = Payload::copy_of(data);
            match LinkFrame::read(head) {
                Ok(LinkFrame::AsClient(frame)) => self.input(broker, Input::Frame { connection, frame, data }),
                Ok(LinkFrame::AsServer(frame)) => self.input(broker, Input::Told { connection, frame, data }),
                Err(_) => self.failed += 1,
            }
        }
    }

    fn take_outputs(&mut self, broker: usize) {
        while let Some(output) = self.brokers[broker].next_output() {
            match output {
                Output::Send { to, frame, data } if Some(to) == self.link => {
                    self.cross(broker, |bytes| frame.write(&data, bytes));
                }
                Output::Say { frame, data, .. } => self.cross(broker, |bytes| frame.write(&data, bytes)),
                Output::SendAll { to, frame, data } if to.iter().any(|to| Some(*to) == self.link) => {
                    self.cross(broker, |bytes| frame.write(&data, bytes));
                }
                Output::Send { to, frame: ServerFrame::Deliver(deliver), .. } => {
                    self.work.push_back(((broker, to), deliver.id));
                }
                Output::Send { frame: ServerFrame::Reply(reply), .. } => {
                    self.failed += u64::from(reply.error.is_some());
                    self.replies += 1;
                }
                _ => {}
            }
        }
    }

    /// Puts a frame on its way to the other broker.
    fn cross(&mut self, from: usize, write: impl FnOnce(&mut BytesMut)) {
        let mut bytes = BytesMut::new();
        write(&mut bytes);
        self.wire.push_back((1 - from, bytes));
    }
}

fn name() -> Outcome<Name<'static>> {
    Name::new(ACTION).map_err(|problem| format!("{problem:?}").into())
}
