//! A broker with callers and handlers around it that exist only as connection ids. What the broker sends is looked at
//! just enough to answer it.
//!
//! One caller makes the calls that are timed; a hundred others own the requests that wait. No session of a real system
//! would hold a million calls.

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

/// Callers that own what waits.
const WAITING_CALLERS: usize = 100;

/// Callers, any number of handlers, and the broker between them.
pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) now: Time,
    /// The one whose calls are timed, and behind it those who wait. Each has the place of its index.
    callers: Vec<Caller>,
    connections: u32,
    /// Deliveries not yet answered, oldest first.
    work: VecDeque<(ConnectionId, DeliveryId)>,
    /// Replies with data, and with an error.
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// The data of calls and replies. Cloning it shares it, so that allocations counted are the broker's own.
    data: Payload,
}

struct Caller {
    connection: ConnectionId,
    requests: u64,
    replies: u64,
    acked: u64,
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
    /// A broker without limits that matter here, and its callers.
    pub(super) fn new() -> Self {
        let mut world = Self {
            broker: Broker::new(settings()),
            now: Time::from_millis(1),
            callers: Vec::new(),
            connections: 0,
            work: VecDeque::new(),
            answered: 0,
            failed: 0,
            data: Payload::copy_of(&[b'1'; DATA]),
        };
        for _ in 0..=WAITING_CALLERS {
            let connection = world.connect("caller");
            world.callers.push(Caller { connection, requests: 0, replies: 0, acked: 0 });
        }
        world
    }

    /// A new connection that has said hello.
    pub(super) fn connect(&mut self, name: &str) -> ConnectionId {
        let connection = ConnectionId::new(0, self.connections, 0);
        self.connections += 1;
        self.broker.handle(
            self.now,
            Input::Connected { connection, peer: "127.0.0.1:1".to_owned(), holder: None, waited: Duration::ZERO },
        );
        let session = SessionId::new(u128::from(self.connections));
        let hello = Hello { protocol: (1, 1), name: name.into(), session, agent: None, node: None };
        self.say(connection, hello.into(), Payload::NONE);
        connection
    }

    /// `handler` serves `action`.
    pub(super) fn serve(&mut self, handler: ConnectionId, action: &str, credit: u32) -> Outcome<()> {
        let action = Name::new(action).map_err(|problem| format!("{action}: {problem:?}"))?;
        self.say(handler, Serve { action, credit }.into(), Payload::NONE);
        Ok(())
    }

    /// A call of the caller that is timed. Without a ttl it has the deadline that a server gives by itself.
    pub(super) fn call(&mut self, action: &str, ttl_ms: Option<u64>) -> Outcome<()> {
        let data = self.data.clone();
        self.pass(1);
        self.request(0, action, ttl_ms, data)
    }

    /// The `index`-th of the requests that wait, by the caller whose turn it is. Its ttl is also its deadline.
    pub(super) fn wait(&mut self, index: usize, action: &str, ttl_ms: u64, data: Payload) -> Outcome<()> {
        self.request(1 + index % WAITING_CALLERS, action, Some(ttl_ms), data)
    }

    fn request(&mut self, caller: usize, action: &str, ttl_ms: Option<u64>, data: Payload) -> Outcome<()> {
        let action = Name::new(action).map_err(|problem| format!("{action}: {problem:?}"))?;
        let caller = &mut self.callers[caller];
        let id = RequestId::truncated(caller.requests);
        caller.requests += 1;
        let (connection, call) = (caller.connection, Request::call(id, action));
        self.say(connection, Request { ttl: ttl_ms, timeout: ttl_ms, ..call }.into(), data);
        Ok(())
    }

    /// `count` requests with data of their own and a long ttl each, none of which is served. Time stands still: the broker
    /// would take a pause in which nobody served for the pace of those who serve, and refuse what comes then.
    pub(super) fn enqueue(&mut self, action: &str, count: usize, bytes: usize) -> Outcome<()> {
        let (queued, data) = (self.broker.held().queued, vec![b'1'; bytes]);
        for index in 0..count {
            let ttl_ms = LONG_MS + (index as u64).wrapping_mul(7_368_787) % LONG_MS;
            self.wait(index, action, ttl_ms, Payload::copy_of(&data))?;
        }
        let waiting = self.broker.held().queued - queued;
        if waiting == count { Ok(()) } else { Err(format!("{waiting} of {count} requests wait").into()) }
    }

    /// The `index`-th of the requests that wait is no longer wanted.
    pub(super) fn cancel(&mut self, index: usize) {
        let id = RequestId::truncated((index / WAITING_CALLERS) as u64);
        let connection = self.callers[1 + index % WAITING_CALLERS].connection;
        self.say(connection, Cancel { id }.into(), Payload::NONE);
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
                Output::Send { to, frame: ServerFrame::Reply(reply), .. } => {
                    self.failed += u64::from(reply.error.is_some());
                    self.answered += u64::from(reply.error.is_none());
                    self.take_reply(to);
                }
                _ => {}
            }
        }
    }

    /// A caller has a reply. After as many as the protocol says it acknowledges them.
    fn take_reply(&mut self, to: ConnectionId) {
        let caller = &mut self.callers[to.place()];
        caller.replies += 1;
        if caller.replies - caller.acked >= ACK_AFTER_REPLIES {
            caller.acked = caller.replies;
            let (connection, frame) = (caller.connection, Ack { replies: caller.replies }.into());
            self.broker.handle(self.now, Input::Frame { connection, frame, data: Payload::NONE });
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

/// As servers run, with a store that is never asked to save; no limit is reached, and no connection is ever silent for too long.
fn settings() -> Settings {
    let limits = Limits {
        requests_per_action: usize::MAX,
        bytes_per_action: usize::MAX,
        bytes_in_all: usize::MAX,
        ..Limits::default()
    };
    Settings { heartbeat: Duration::from_secs(365 * 24 * 3_600), limits, has_store: true, ..Settings::default() }
}
