//! A broker with a caller and handlers around it that exist only as connection ids. What the broker sends is looked at
//! just enough to answer it.

use crate::Outcome;
use crate::allocations::{self, Allocated};
use answerback_broker::{Broker, ConnectionId, Input, Limits, Output, Settings, Time};
use answerback_protocol::frames::{Ack, Answer, Cancel, Hello, Request, Serve};
use answerback_protocol::limits::ACK_AFTER_REPLIES;
use answerback_protocol::{ClientFrame, DeliveryId, Name, Payload, RequestId, ServerFrame, SessionId};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of data in calls that are timed.
pub(super) const DATA: usize = 64;

/// A ttl that does not end while anything is timed: an hour of the made-up time, and up to as much again.
pub(super) const LONG_MS: u64 = 3_600_000;

/// One caller, any number of handlers, and the broker between them.
pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) now: Time,
    caller: ConnectionId,
    connections: u32,
    requests: u64,
    /// Deliveries not yet answered, oldest first.
    work: VecDeque<(ConnectionId, DeliveryId)>,
    /// Replies with data, and with an error.
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// Replies since the last `ack`.
    not_acked: u64,
    /// The data of calls and replies. Cloning it shares it, so that allocations counted are the broker's own.
    data: Payload,
}

/// What one call cost.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub(super) ns: f64,
    pub(super) allocations: f64,
    pub(super) bytes: f64,
}

/// Where the counters stood when a measurement began.
pub(super) struct Meter {
    allocated: Allocated,
    answered: u64,
}

impl World {
    /// A broker without limits that matter here, and a caller.
    pub(super) fn new() -> Self {
        let mut world = Self {
            broker: Broker::new(settings()),
            now: Time::from_millis(1),
            caller: ConnectionId::new(0, 0, 0),
            connections: 0,
            requests: 0,
            work: VecDeque::new(),
            answered: 0,
            failed: 0,
            not_acked: 0,
            data: Payload::copy_of(&[b'1'; DATA]),
        };
        world.caller = world.connect("caller");
        world
    }

    /// A new connection that has said hello.
    pub(super) fn connect(&mut self, name: &str) -> ConnectionId {
        let connection = ConnectionId::new(0, self.connections, 0);
        self.connections += 1;
        self.broker.handle(self.now, Input::Connected { connection, peer: "127.0.0.1:1".to_owned() });
        let session = SessionId::new(u128::from(self.connections));
        let hello = Hello { protocol: (1, 1), name: name.into(), session, agent: None };
        self.say(connection, hello.into(), Payload::NONE);
        connection
    }

    /// `handler` serves `action`.
    pub(super) fn serve(&mut self, handler: ConnectionId, action: &str, credit: u32) -> Outcome<()> {
        let action = Name::new(action).map_err(|problem| format!("{action}: {problem:?}"))?;
        self.say(handler, Serve { action, credit }.into(), Payload::NONE);
        Ok(())
    }

    /// The caller calls, with the ttl and deadline that a server gives by itself.
    pub(super) fn call(&mut self, action: &str) -> Outcome<()> {
        let data = self.data.clone();
        self.pass(1);
        self.request(action, None, data)?;
        Ok(())
    }

    /// The caller calls; `ttl_ms` is also the deadline.
    pub(super) fn request(&mut self, action: &str, ttl_ms: Option<u64>, data: Payload) -> Outcome<RequestId> {
        let action = Name::new(action).map_err(|problem| format!("{action}: {problem:?}"))?;
        let id = RequestId::truncated(self.requests);
        self.requests += 1;
        let request = Request { ttl: ttl_ms, timeout: ttl_ms, ..Request::call(id, action) };
        self.say(self.caller, request.into(), data);
        Ok(id)
    }

    /// `count` requests with data of their own and a long ttl each, none of which is served. Time stands still: the broker
    /// would take a pause in which nobody served for the pace of those who serve, and refuse what comes then.
    pub(super) fn enqueue(&mut self, action: &str, count: usize, bytes: usize) -> Outcome<()> {
        let (queued, data) = (self.broker.held().queued, vec![b'1'; bytes]);
        for index in 0..count as u64 {
            let ttl_ms = LONG_MS + index.wrapping_mul(7_368_787) % LONG_MS;
            self.request(action, Some(ttl_ms), Payload::copy_of(&data))?;
        }
        let waiting = self.broker.held().queued - queued;
        if waiting == count { Ok(()) } else { Err(format!("{waiting} of {count} requests wait").into()) }
    }

    /// The caller no longer wants an answer.
    pub(super) fn cancel(&mut self, id: RequestId) {
        self.say(self.caller, Cancel { id }.into(), Payload::NONE);
    }

    /// Handlers answer all that they were given, in the order in which it came.
    pub(super) fn answer_all(&mut self) {
        for _ in 0..self.work.len() {
            self.answer_one();
        }
    }

    /// A handler answers the oldest delivery.
    pub(super) fn answer_one(&mut self) {
        if let Some((handler, id)) = self.work.pop_front() {
            let data = self.data.clone();
            self.say(handler, Answer { id, error: None, part: false, seq: None }.into(), data);
        }
    }

    /// Deliveries that are not yet answered.
    pub(super) fn working(&self) -> usize {
        self.work.len()
    }

    /// Nothing may have gone wrong, and nothing may be under way.
    pub(super) fn settle(&mut self) -> Outcome<()> {
        self.answer_all();
        let held = self.broker.held();
        if self.failed == 0 && held.delivered == 0 {
            return Ok(());
        }
        Err(format!("{} calls failed, {} answered; {held:?}", self.failed, self.answered).into())
    }

    /// Lets time pass; the broker is told as a shell would.
    pub(super) fn pass(&mut self, micros: u64) {
        self.now = self.now + Duration::from_micros(micros);
        if self.broker.poll_timeout().is_some_and(|due| due <= self.now) {
            self.broker.handle_timeout(self.now);
            self.take_outputs();
        }
    }

    /// Begins a measurement.
    pub(super) fn meter(&self) -> Meter {
        Meter { allocated: allocations::so_far(), answered: self.answered }
    }

    fn say(&mut self, connection: ConnectionId, frame: ClientFrame<'_>, data: Payload) {
        self.broker.handle(self.now, Input::Frame { connection, frame, data });
        self.take_outputs();
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.broker.next_output() {
            match output {
                Output::Send { to, frame: ServerFrame::Deliver(deliver), .. } => self.work.push_back((to, deliver.id)),
                Output::Send { frame: ServerFrame::Reply(reply), .. } => {
                    self.failed += u64::from(reply.error.is_some());
                    self.answered += u64::from(reply.error.is_none());
                    self.not_acked += 1;
                }
                _ => {}
            }
        }
        if self.not_acked >= ACK_AFTER_REPLIES {
            self.not_acked = 0;
            let replies = self.answered + self.failed;
            let frame = Ack { replies }.into();
            self.broker.handle(self.now, Input::Frame { connection: self.caller, frame, data: Payload::NONE });
        }
    }
}

impl Meter {
    /// What each call cost that was answered since.
    pub(super) fn read(&self, world: &World, elapsed: Duration) -> Cost {
        let (now, calls) = (allocations::so_far(), (world.answered - self.answered).max(1) as f64);
        Cost {
            ns: elapsed.as_nanos() as f64 / calls,
            allocations: (now.count - self.allocated.count) as f64 / calls,
            bytes: (now.bytes - self.allocated.bytes) as f64 / calls,
        }
    }
}

/// No limit is reached, and no connection is ever silent for too long.
fn settings() -> Settings {
    let limits = Limits {
        requests_per_action: usize::MAX,
        bytes_per_action: usize::MAX,
        bytes_in_all: usize::MAX,
        ..Limits::default()
    };
    Settings { heartbeat: Duration::from_secs(365 * 24 * 3_600), limits, ..Settings::default() }
}
