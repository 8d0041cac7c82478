//! The broker: what it holds, and which part decides about which input. The decisions are in the files of the parts.

use crate::action::Action;
use crate::connections::Connection;
use crate::counts::Counts;
use crate::drain::Drain;
use crate::guard::Belongings;
use crate::handler::Handler;
use crate::input::{ConnectionId, Input};
use crate::journal::Journal;
use crate::kept::KeptInAll;
use crate::keys::Keys;
use crate::mesh::Mesh;
use crate::orphans::Orphans;
use crate::output::Output;
use crate::receipts::Receipt;
use crate::recovery::Recovering;
use crate::request::Request;
use crate::session::Session;
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::tables::{Alarms, Key, Map, Slab, Wheel, map};
use crate::time::Time;
use crate::topics::Topics;
use answerback_protocol::{ClientFrame, Payload, ServerFrame};
use std::collections::VecDeque;
use std::sync::Arc;

/// The broker. Not a server: it decides, and somebody else reads and writes.
pub struct Broker {
    pub(crate) settings: Settings,
    /// The time of the input that is being handled.
    pub(crate) now: Time,
    /// By place.
    pub(crate) connections: Vec<Option<Connection>>,
    pub(crate) sessions: Slab<Session>,
    pub(crate) session_by_id: Map<u128, Key<Session>>,
    /// Connections and sessions by holder, on a server with keys.
    pub(crate) belongings: Belongings,
    pub(crate) actions: Slab<Action>,
    pub(crate) action_by_name: Map<Arc<str>, Key<Action>>,
    pub(crate) handlers: Slab<Handler>,
    pub(crate) requests: Slab<Request>,
    /// When each request's ttl or deadline comes.
    pub(crate) wheel: Wheel,
    /// When anything else is due.
    pub(crate) alarms: Alarms<Alarm>,
    pub(crate) keys: Keys,
    pub(crate) topics: Topics,
    /// Other servers.
    pub(crate) mesh: Mesh,
    /// Requests that handlers have.
    pub(crate) in_flight: usize,
    /// Bytes of all requests.
    pub(crate) bytes: usize,
    /// What is kept for all sessions together.
    pub(crate) kept: KeptInAll,
    pub(crate) journal: Journal,
    pub(crate) snapshot: Snapshot,
    pub(crate) recovering: Option<Box<Recovering>>,
    /// The reply of a handler that is being taken in.
    pub(crate) source: Option<Receipt>,
    pub(crate) orphans: Orphans,
    /// The number of the next item for the store.
    pub(crate) next_item: u64,
    pub(crate) drain: Option<Drain>,
    pub(crate) counts: Counts,
    pub(crate) clients: u64,
    pub(crate) deliveries: u64,
    pub(crate) out: VecDeque<Output>,
}

/// Requests whose time has come that end in one call. A million at once would keep everybody else waiting for a second.
const DUE_AT_ONCE_MAX: usize = 1_000;

/// What to wake up for, besides requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// A connection has not said hello, or has been silent.
    Silence(ConnectionId),
    /// Replies were taken in and not yet acknowledged.
    Acknowledge(ConnectionId),
    /// A session's grace time is over.
    Grace(Key<Session>),
    /// The pause between two deliveries of an action is over.
    Dispatch(Key<Action>),
    /// The oldest reply stored under a key is old enough.
    Stored,
    /// The grace time after a restart is over.
    Recovered,
    /// What is offered to other servers may have changed.
    Offers,
    /// The drain deadline.
    Drain,
}

/// What a broker holds at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Requests, waiting or delivered.
    pub requests: usize,
    /// Requests waiting in queues.
    pub queued: usize,
    /// Requests that handlers have.
    pub delivered: usize,
    /// Requests of which something is being written to disk.
    pub storing: usize,
    /// Bytes counted against `bytes_in_all`.
    pub bytes: usize,
    /// Actions that exist.
    pub actions: usize,
    /// Sessions, connected or away.
    pub sessions: usize,
    /// Open connections.
    pub connections: usize,
    /// Replies kept until they are acknowledged.
    pub kept_replies: usize,
    /// Replies stored under a key.
    pub stored_replies: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Requests that other servers passed on to this one.
    pub passed_on_here: usize,
}

impl Broker {
    /// A broker with nothing in it.
    pub fn new(settings: Settings) -> Self {
        let seed = settings.secrets.tables;
        Self {
            now: Time::default(),
            connections: Vec::new(),
            sessions: Slab::new(),
            session_by_id: map(seed),
            actions: Slab::new(),
            action_by_name: map(seed),
            handlers: Slab::new(),
            requests: Slab::new(),
            wheel: Wheel::new(),
            alarms: Alarms::new(),
            keys: Keys::new(&settings),
            topics: Topics::new(),
            mesh: Mesh::new(&settings.limits),
            in_flight: 0,
            bytes: 0,
            kept: KeptInAll::default(),
            journal: Journal::new(),
            snapshot: Snapshot::default(),
            belongings: Belongings::new(seed),
            recovering: None,
            source: None,
            orphans: Orphans::default(),
            next_item: settings.first_item,
            drain: None,
            counts: Counts::default(),
            clients: 0,
            deliveries: 0,
            out: VecDeque::new(),
            settings,
        }
    }

    /// Takes in something that happened at `now`.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        self.now = self.now.max(now);
        match input {
            Input::Frame { connection, frame, data } => self.frame(connection, frame, data),
            Input::Connected { connection, peer, holder, waited } => {
                self.connected(connection, peer, holder, waited);
            }
            Input::Dialed { connection, address } => self.dialed(connection, &address),
            Input::Told { connection, frame, data } => self.told(connection, frame, data),
            Input::Disconnected { connection, reason } => self.disconnected(connection, reason),
            Input::Malformed { connection, error } => self.malformed(connection, &error),
            Input::Bytes { connection } => {
                self.heard(connection);
            }
            Input::NotAFrame { connection, error } => self.not_a_frame(connection, &error),
            Input::Rights { holder, rights: Some(rights) } => self.rights_changed(&holder, &rights),
            Input::Rights { holder, rights: None } => self.holder_gone(&holder),
            Input::KeyRemoved { connection } => self.key_removed(connection),
            Input::Moves { connection } => self.send_away(connection),
            Input::Store(news) => self.store_news(news),
            Input::Drain { deadline } => self.drain(deadline),
        }
        if !self.kept.gone.is_empty() {
            self.let_kept_go();
        }
    }

    /// The next thing to do, in order.
    pub fn next_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When `handle_timeout` wants to be called, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        match (self.wheel.next(), self.alarms.next()) {
            (Some(request), Some(alarm)) => Some(request.min(alarm)),
            (request, alarm) => request.or(alarm),
        }
    }

    /// Does what is due at `now`, or a part of it if it is much: `poll_timeout` says then that there is more.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        for _ in 0..DUE_AT_ONCE_MAX {
            let Some(request) = self.wheel.pop(&mut self.requests, self.now) else { break };
            self.request_due(request);
        }
        while let Some(alarm) = self.alarms.pop(self.now) {
            match alarm {
                Alarm::Silence(connection) => self.silence(connection),
                Alarm::Acknowledge(connection) => self.acknowledge(connection),
                Alarm::Grace(session) => self.grace_over(session),
                Alarm::Dispatch(action) => self.dispatch_due(action),
                Alarm::Stored => self.stored_due(),
                Alarm::Offers => self.offers_due(),
                Alarm::Recovered => self.recovery_over(),
                Alarm::Drain => self.drain_over(),
            }
        }
        self.let_kept_go();
    }

    /// What is held at the moment.
    pub fn held(&self) -> Held {
        let actions = || self.actions.iter().map(|(_, action)| action);
        Held {
            requests: self.requests.len(),
            queued: actions().map(|action| action.queue.len()).sum(),
            delivered: self.in_flight,
            storing: self.journal.waiting(),
            bytes: self.bytes,
            actions: self.actions.len(),
            sessions: self.sessions.len(),
            connections: self.connections.iter().flatten().count(),
            kept_replies: self.sessions.iter().map(|(_, session)| session.kept.len()).sum(),
            stored_replies: self.keys.stored(),
            subscriptions: self.sessions.iter().map(|(_, session)| session.subscriptions.len()).sum(),
            passed_on_here: self.taken_for_servers(),
        }
    }

    /// What has happened since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    fn frame(&mut self, connection: ConnectionId, frame: ClientFrame<'_>, data: Payload) {
        self.counts.frames_in += 1;
        self.counts.data_in += data.len() as u64;
        let Some(session) = self.heard(connection) else {
            return self.first_frame(connection, &frame);
        };
        match frame {
            ClientFrame::Request(request) => self.request(session, &request, data),
            ClientFrame::Answer(answer) => self.answer(connection, session, answer, data),
            ClientFrame::Cancel(cancel) => self.cancel(session, cancel.id),
            ClientFrame::Release(release) => self.release(session, release.id),
            ClientFrame::Ack(ack) => self.acknowledged(session, ack.replies),
            ClientFrame::Serve(serve) => self.serve(session, serve),
            ClientFrame::Unserve(unserve) => self.unserve(session, unserve),
            ClientFrame::Resume(resume) => self.resume(session, &resume),
            ClientFrame::Publish(publish) => self.publish(session, publish, &data),
            ClientFrame::Subscribe(subscribe) => self.subscribe(session, subscribe),
            ClientFrame::Unsubscribe(unsubscribe) => self.unsubscribe(session, unsubscribe),
            ClientFrame::Ping(_) => self.pong(connection),
            ClientFrame::Pong(_) => {}
            ClientFrame::Bye(_) => self.bye(connection, session),
            ClientFrame::Offer(offer) => self.offered(connection, session, &offer),
            ClientFrame::Hello(_) => self.second_hello(connection),
        }
    }

    /// Sends a frame to a connection.
    pub(crate) fn send(&mut self, to: ConnectionId, frame: impl Into<ServerFrame<'static>>, data: Payload) {
        self.counts.frames_out += 1;
        self.counts.data_out += data.len() as u64;
        self.out.push_back(Output::Send { to, frame: frame.into(), data });
    }

    /// Says a frame to another server, as its client.
    pub(crate) fn say(&mut self, to: ConnectionId, frame: impl Into<ClientFrame<'static>>, data: Payload) {
        self.counts.frames_out += 1;
        self.out.push_back(Output::Say { to, frame: frame.into(), data });
    }

    /// Sends a frame to a session, if its client is there.
    pub(crate) fn tell(&mut self, session: Key<Session>, frame: impl Into<ServerFrame<'static>>) {
        if let Some(to) = self.sessions.get(session).and_then(|session| session.connection) {
            self.send(to, frame, Payload::NONE);
        }
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("now", &self.now).field("held", &self.held()).finish_non_exhaustive()
    }
}
