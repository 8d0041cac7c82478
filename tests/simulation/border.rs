//! The border of the broker, what goes in: from it follows what must or may come out, which `border_out` compares.
//!
//! This is a model of what has been said, not of what the broker thinks: it knows sessions, who serves what with how much
//! credit, which deliveries are open and in which order requests arrived. It decides nothing.

use crate::holders::Holder;
use crate::ledger::{Asked, Kind, Ledger, OwnKey, Token, hold};
use answerback_broker::{ConnectionId, Settings, Time};
use answerback_protocol::frames::{Answer, Request, Resume};
use answerback_protocol::{ClientFrame, Payload, RequestId, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What was said to the broker and by it.
pub(crate) struct Border {
    pub(crate) settings: Settings,
    /// How much later than due things may happen.
    pub(crate) slack: Duration,
    pub(crate) room_for_stored: bool,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// The session that each open connection belongs to.
    pub(crate) connections: BTreeMap<ConnectionId, Option<SessionId>>,
    /// Sessions by the number that the broker's notes use.
    pub(crate) numbers: BTreeMap<u64, SessionId>,
    pub(crate) deliveries: BTreeMap<(SessionId, u64), Delivery>,
    /// Requests by their id on their session.
    pub(crate) ids: BTreeMap<(SessionId, RequestId), Token>,
    /// Requests that stand alone and have not been delivered, by the order of their arrival.
    pub(crate) waiting: BTreeMap<&'static str, BTreeMap<u64, Token>>,
    /// Requests that stand alone and came back unstarted: they go first.
    pub(crate) handed_back: BTreeMap<&'static str, BTreeMap<u64, Token>>,
    pub(crate) keys: BTreeMap<OwnKey, Key>,
    /// Whose each session is, on a server with keys.
    pub(crate) holders: BTreeMap<SessionId, Holder>,
    /// What must come out before the broker is given anything else.
    pub(crate) expected: Vec<Expected>,
    pub(crate) drain_until: Option<Time>,
    pub(crate) drained: bool,
    /// Which life of the broker this is.
    pub(crate) life: u32,
    /// A drain has begun in some life.
    pub(crate) ever_drained: bool,
    /// When the disk failed last.
    pub(crate) disk_failed: Option<Time>,
    /// What was taken back from the store in this life, and may be over the limits.
    pub(crate) restored_bytes: usize,
    /// Until when a client is told that the server has restarted.
    pub(crate) restarted_until: Option<Time>,
    /// All deliveries there ever were.
    pub(crate) ever: BTreeMap<u64, Token>,
    arrivals: u64,
}

/// A session, as far as its frames tell.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) gone_at: Option<Time>,
    /// Credit by action, and whether it was given on this connection.
    pub(crate) serving: BTreeMap<String, (u32, bool)>,
    /// It was resumed and has not said what it holds.
    pub(crate) must_resume: bool,
    /// When it was welcomed on this connection.
    pub(crate) welcomed: Option<Time>,
    pub(crate) holding: BTreeSet<u64>,
    /// Replies taken in on this connection, and how many of them were acknowledged.
    pub(crate) replies: (u64, u64),
    /// It has said something after `welcome`, so its client counts on it.
    pub(crate) confirmed: bool,
    /// What `welcome` must say, if that is certain.
    pub(crate) must_be_resumed: Option<bool>,
}

/// A delivery that is open: neither answered nor handed back nor lost.
pub(crate) struct Delivery {
    pub(crate) session: SessionId,
    pub(crate) token: Token,
    pub(crate) action: &'static str,
    pub(crate) at: Time,
    pub(crate) cancel_told: bool,
    /// Its handler has been away since and has not said that it holds it: it may have been given up unheard.
    pub(crate) unsure: bool,
}

/// An idempotency key.
#[derive(Default)]
pub(crate) struct Key {
    pub(crate) members: Vec<Token>,
    /// When a reply was stored, that is: when a handler's answer came in.
    pub(crate) stored: Option<Time>,
}

/// What must come out at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// `accepted`, or a reply that says why not.
    Accepted(ConnectionId, RequestId),
    /// `error{bad_request}` about this id.
    Refused(ConnectionId, RequestId),
    /// A reply with this id.
    Answer(ConnectionId, RequestId),
    /// `error{denied}` about this action.
    Denied(ConnectionId, String),
    /// `serving` or `error`.
    Serving(ConnectionId, String),
    Unserved(ConnectionId, String),
    Pong(ConnectionId),
    Welcome(ConnectionId),
}

impl Border {
    /// The border of a broker with these settings.
    pub(crate) fn new(settings: Settings, slack: Duration, room_for_stored: bool) -> Self {
        Self {
            settings,
            slack,
            room_for_stored,
            sessions: BTreeMap::new(),
            connections: BTreeMap::new(),
            numbers: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            ids: BTreeMap::new(),
            waiting: BTreeMap::new(),
            handed_back: BTreeMap::new(),
            keys: BTreeMap::new(),
            holders: BTreeMap::new(),
            expected: Vec::new(),
            drain_until: None,
            drained: false,
            life: 0,
            ever_drained: false,
            disk_failed: None,
            restored_bytes: 0,
            restarted_until: None,
            ever: BTreeMap::new(),
            arrivals: 0,
        }
    }

    /// The session of a connection, if it has said hello and was not taken over.
    pub(crate) fn session_of(&self, connection: ConnectionId) -> Option<SessionId> {
        let session = (*self.connections.get(&connection)?)?;
        (self.sessions.get(&session)?.connection == Some(connection)).then_some(session)
    }

    /// A frame is about to be given to the broker.
    pub(crate) fn frame_in(
        &mut self,
        ledger: &mut Ledger,
        now: Time,
        connection: ConnectionId,
        frame: &ClientFrame<'_>,
        data: &Payload,
    ) {
        if let ClientFrame::Hello(hello) = frame {
            if hello.protocol.0 <= 1 && self.connections.get(&connection) == Some(&None) {
                self.hello(now, connection, hello.session);
            } else if let Some(session) = self.session_of(connection) {
                self.sessions.entry(session).or_default().confirmed = true;
            }
            return;
        }
        let Some(session) = self.session_of(connection) else { return };
        self.sessions.entry(session).or_default().confirmed = true;
        match frame {
            ClientFrame::Request(request) => self.request(ledger, now, (connection, session), request, data),
            ClientFrame::Cancel(cancel) => {
                if let Some(token) = self.ids.get(&(session, cancel.id)) {
                    (ledger.asked[*token].cancelled, ledger.asked[*token].ever_cancelled) = (true, true);
                }
            }
            ClientFrame::Answer(answer) => self.answer(ledger, now, session, answer, data),
            ClientFrame::Release(release) => self.release(ledger, session, release.id.get()),
            ClientFrame::Resume(resume) => self.resume(ledger, session, resume),
            ClientFrame::Serve(serve) => {
                let action = serve.action.as_str().to_owned();
                if self.holders.get(&session).is_some_and(|holder| !holder.may_serve(&action)) {
                    return self.expected.push(Expected::Denied(connection, action));
                }
                self.expected.push(Expected::Serving(connection, action.clone()));
                self.sessions.entry(session).or_default().serving.insert(action, (serve.credit, true));
            }
            ClientFrame::Unserve(unserve) => {
                let action = unserve.action.as_str().to_owned();
                self.sessions.entry(session).or_default().serving.remove(&action);
                self.expected.push(Expected::Unserved(connection, action));
            }
            ClientFrame::Ping(_) => self.expected.push(Expected::Pong(connection)),
            ClientFrame::Bye(_) => self.end_session(ledger, session),
            _ => {}
        }
    }

    /// A head that is not what the protocol allows is about to be given to the broker.
    pub(crate) fn malformed_in(
        &mut self,
        ledger: &mut Ledger,
        now: Time,
        connection: ConnectionId,
        id: Option<RequestId>,
    ) {
        let Some(session) = self.session_of(connection) else { return };
        self.sessions.entry(session).or_default().confirmed = true;
        let token = id.and_then(|id| ledger.asked.iter().position(|asked| (asked.session, asked.id) == (session, id)));
        if let (Some(id), Some(token)) = (id, token)
            && ledger.asked[token].kind == Kind::Malformed
        {
            ledger.asked[token].arrived.get_or_insert(now);
            ledger.asked[token].arrives(now, self.settings.default_timeout, None);
            self.ids.insert((session, id), token);
            self.expected.push(Expected::Answer(connection, id));
        }
    }

    /// A connection is gone.
    pub(crate) fn disconnected(&mut self, now: Time, connection: ConnectionId) {
        let Some(id) = self.connections.remove(&connection).flatten() else { return };
        if self.sessions.get(&id).is_none_or(|session| session.connection != Some(connection)) {
            return;
        }
        self.lose_what_was_not_said(now, id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.connection = None;
        session.gone_at = Some(now);
        // It has the whole grace time again.
        session.must_resume = false;
        self.doubt(id, true);
    }

    fn doubt(&mut self, session: SessionId, unsure: bool) {
        let its = self.deliveries.range_mut((session, 0)..=(session, u64::MAX));
        its.for_each(|(_, delivery)| delivery.unsure = unsure);
    }

    fn hello(&mut self, now: Time, connection: ConnectionId, id: SessionId) {
        let at_stake = self.at_stake(id);
        let (grace, slack) = (self.settings.session_grace, self.slack);
        self.connections.insert(connection, Some(id));
        self.doubt(id, true);
        self.expected.push(Expected::Welcome(connection));
        self.lose_what_was_not_said(now, id);
        let known = self.sessions.contains_key(&id);
        let session = self.sessions.entry(id).or_default();
        session.must_be_resumed = match session.gone_at {
            _ if !known || !session.confirmed => Some(false),
            Some(gone) if now > gone + grace + slack => Some(false),
            Some(gone) if at_stake && now < gone + grace => Some(true),
            None if at_stake => Some(true),
            _ => None,
        };
        session.connection = Some(connection);
        session.gone_at = None;
        session.replies = (0, 0);
        session.holding.clear();
        session.must_resume = false;
        session.serving.values_mut().for_each(|(_, current)| *current = false);
    }

    /// Who has not said within the grace time what it holds, holds no more than it has said by then.
    pub(crate) fn lose_what_was_not_said(&mut self, now: Time, id: SessionId) {
        let grace = self.settings.session_grace;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.must_resume && session.welcomed.is_some_and(|at| now >= at + grace) {
            session.must_resume = false;
            let holding = std::mem::take(&mut session.holding);
            self.deliveries.retain(|(session, delivery), _| *session != id || holding.contains(delivery));
        }
    }

    /// Whether a client counts on its session: it was welcomed, so whatever it asked may be on its way.
    pub(crate) fn at_stake(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.confirmed)
    }

    /// Whether its caller would be told at once how it ended.
    pub(crate) fn hears(&self, asked: &Asked) -> bool {
        let connection = self.sessions.get(&asked.session).and_then(|session| session.connection);
        connection.is_some() && connection == asked.announced.map(|(_, on)| on)
    }

    fn request(
        &mut self,
        ledger: &mut Ledger,
        now: Time,
        on: (ConnectionId, SessionId),
        request: &Request<'_>,
        data: &[u8],
    ) {
        let (connection, session) = on;
        let token = ledger.asked.iter().rposition(|asked| {
            (asked.session, asked.id) == (session, request.id)
                && asked.data == data
                && asked.trace.as_deref() == request.trace.as_deref()
        });
        let Some(token) = token else { panic!("the simulation does not know its own request {request:?}") };
        if let Kind::Twice(first) = ledger.asked[token].kind {
            return self.used_twice(ledger, connection, first, request.id);
        }
        self.ids.insert((session, request.id), token);
        let first_time = ledger.asked[token].arrived.is_none();
        let life = self.life;
        let journaled = self.is_durable(&ledger.asked[token]);
        let whole = self.whole(request);
        let asked = &mut ledger.asked[token];
        asked.announced = Some((now, connection));
        asked.journaled |= journaled;
        asked.again |= request.again && life > 0;
        if asked.life.replace(life) != Some(life) {
            asked.arrives(now, whole, request.ttl);
            asked.answered_here = false;
        }
        if asked.kind == Kind::Denied {
            asked.arrived.get_or_insert(now);
            return self.expected.push(Expected::Answer(connection, request.id));
        }
        if !request.reply && !journaled {
            self.expected.push(Expected::Accepted(connection, request.id));
        }
        if first_time {
            self.arrivals += 1;
            asked.arrived = Some(now);
            asked.order = self.arrivals;
            asked.audience = self.audience(asked.action);
            self.line_up(ledger, token);
        }
    }

    /// How long it may take in all.
    fn whole(&self, request: &Request<'_>) -> Duration {
        let default = if request.reply { self.settings.default_timeout } else { self.settings.send_timeout };
        request.timeout.map_or(default, Duration::from_millis)
    }

    /// Whether it is to be on disk before it counts.
    fn is_durable(&self, asked: &Asked) -> bool {
        let by_setting = self.settings.durable_actions.iter().any(|action| action == asked.action);
        let ordinary = asked.kind == Kind::Ordinary && !asked.broadcast;
        self.settings.has_store && ordinary && (asked.durable || by_setting)
    }

    /// The handlers that a broadcast must reach, and those that it may.
    fn audience(&self, action: &str) -> (u64, u64) {
        let current =
            |session: &Session| session.connection.is_some() && session.serving.get(action).is_some_and(|s| s.1);
        let least = self.sessions.values().filter(|session| current(session)).count();
        let most = self.sessions.values().filter(|session| session.serving.contains_key(action)).count();
        (least as u64, most as u64)
    }

    fn line_up(&mut self, ledger: &mut Ledger, token: Token) {
        let asked = &ledger.asked[token];
        if let Some(key) = asked.own_key() {
            let members = &mut self.keys.entry(key).or_default().members;
            members.push(token);
            // What was muddled under a key is what everybody gets who comes later.
            let muddled = members.iter().any(|member| ledger.asked[*member].muddled);
            ledger.asked[token].muddled |= muddled;
        } else if asked.stands_alone() && !asked.again {
            self.waiting.entry(asked.action).or_default().insert(asked.order, token);
        }
    }

    fn used_twice(&mut self, ledger: &mut Ledger, connection: ConnectionId, first: Token, id: RequestId) {
        let first = &mut ledger.asked[first];
        let waits = first.ended.is_none() && !first.accepted && first.announced.is_some_and(|(_, on)| on == connection);
        // Of one that was muddled before it is not known whether it waits.
        if waits && !first.muddled {
            self.expected.push(Expected::Refused(connection, id));
        } else {
            first.muddled = true;
        }
    }

    fn answer(&mut self, ledger: &mut Ledger, now: Time, id: SessionId, answer: &Answer<'_>, data: &[u8]) {
        let session = self.sessions.entry(id).or_default();
        session.replies.0 += 1;
        let known = self.deliveries.get(&(id, answer.id.get())).map(|delivery| delivery.token);
        // Of the deliveries of an earlier life the broker knows only what handlers say.
        let before = self.ever.get(&answer.id.get()).copied().filter(|_| self.life > 0);
        if let (Some(token), None, false) = (before, known, answer.part) {
            ledger.asked[token].answered = true;
        }
        let Some(token) = known.or(before) else { return };
        let intrudes = crate::ledger::number_after::<usize>(data, "{\"r\":")
            .is_some_and(|said| ledger.said[said].how == crate::ledger::How::Intruder);
        if intrudes {
            self.muddle(ledger, token);
        }
        let Some(delivery) = self.deliveries.get(&(id, answer.id.get())) else { return };
        let asked = &mut ledger.asked[delivery.token];
        if answer.part {
            return;
        }
        (asked.answered, asked.answered_here) = (true, true);
        let stored =
            !delivery.cancel_told && !delivery.unsure && answer.error.as_ref().is_none_or(|error| !error.retryable);
        if let (Some(key), true) = (asked.own_key(), stored) {
            self.keys.entry(key).or_default().stored = Some(now);
        }
        self.close_delivery(id, answer.id.get());
    }

    /// A handler broke the rules about a delivery of its own: what comes of it, and of all that share its key, is nobody's
    /// fault.
    fn muddle(&self, ledger: &mut Ledger, token: Token) {
        ledger.asked[token].muddled = true;
        let Some(key) = ledger.asked[token].own_key() else { return };
        for member in self.keys.get(&key).into_iter().flat_map(|key| &key.members) {
            ledger.asked[*member].muddled = true;
        }
    }

    fn release(&mut self, ledger: &mut Ledger, session: SessionId, delivery: u64) {
        let open = self.deliveries.get(&(session, delivery)).map(|open| open.token);
        let known = open.or_else(|| self.ever.get(&delivery).copied().filter(|_| self.life > 0));
        if let (true, Some(token)) = (ledger.rude_releases.contains(&delivery), known) {
            self.muddle(ledger, token);
        }
        self.hand_back(ledger, session, delivery);
    }

    /// A delivery came back unstarted: unless it was given up, its request goes to the front of its queue.
    fn hand_back(&mut self, ledger: &Ledger, session: SessionId, delivery: u64) {
        let Some(open) = self.deliveries.remove(&(session, delivery)) else { return };
        let asked = &ledger.asked[open.token];
        let is_wanted = !asked.reply || self.ids.contains_key(&(asked.session, asked.id));
        if asked.stands_alone() && is_wanted && !open.cancel_told {
            self.handed_back.entry(asked.action).or_default().insert(asked.order, open.token);
        }
    }

    fn close_delivery(&mut self, session: SessionId, delivery: u64) {
        self.deliveries.remove(&(session, delivery));
    }

    fn resume(&mut self, ledger: &Ledger, id: SessionId, resume: &Resume) {
        let session = self.sessions.entry(id).or_default();
        session.holding.extend(resume.holding.iter().map(|id| id.get()));
        if !resume.more && session.must_resume {
            session.must_resume = false;
            let holding = std::mem::take(&mut session.holding);
            let its = self.deliveries.range((id, 0)..=(id, u64::MAX)).map(|((_, delivery), _)| *delivery);
            let never_arrived: Vec<_> = its.filter(|delivery| !holding.contains(delivery)).collect();
            never_arrived.into_iter().for_each(|delivery| self.hand_back(ledger, id, delivery));
            self.doubt(id, false);
        }
    }

    /// A session is over: what it asked and what it had are nobody's any more.
    pub(crate) fn end_session(&mut self, ledger: &mut Ledger, id: SessionId) {
        self.sessions.remove(&id);
        self.deliveries.retain(|_, open| open.session != id);
        let its = (id, RequestId::truncated(0))..=(id, RequestId::truncated(u64::MAX));
        for token in self.ids.range(its).map(|(_, token)| *token) {
            ledger.asked[token].dropped = true;
            let asked = &ledger.asked[token];
            for queue in [&mut self.waiting, &mut self.handed_back] {
                if let (true, Some(waiting)) = (asked.reply, queue.get_mut(asked.action)) {
                    waiting.remove(&asked.order);
                }
            }
        }
        self.ids.retain(|(session, _), _| *session != id);
    }

    /// The server is gone, and with it all that was said.
    pub(crate) fn end_life(&mut self, ledger: &mut Ledger) {
        self.deliveries.clear();
        self.sessions.clear();
        self.connections.clear();
        self.numbers.clear();
        self.ids.clear();
        self.waiting.clear();
        self.handed_back.clear();
        self.keys.values_mut().for_each(|key| key.stored = None);
        (self.drain_until, self.drained) = (None, false);
        for asked in ledger.asked.iter_mut().filter(|asked| !asked.settled) {
            (asked.cancelled, asked.accepted, asked.ended, asked.ended_on) = (false, false, None, None);
        }
    }

    /// The server has started again.
    pub(crate) fn begin_life(&mut self, ledger: &mut Ledger, now: Time) {
        self.life += 1;
        self.restored_bytes = 0;
        let until = now + self.settings.session_grace;
        (self.restarted_until, ledger.window_until) = (Some(until), until);
    }

    /// Everything that had to come out at once has come out.
    pub(crate) fn nothing_is_missing(&mut self) {
        let open = &self.connections;
        let missing = self.expected.iter().find(|expected| open.contains_key(&expected.connection()));
        hold!(missing.is_none(), "the broker should have said at once: {missing:?}");
        self.expected.clear();
    }
}

impl Expected {
    pub(crate) fn connection(&self) -> ConnectionId {
        match self {
            Self::Accepted(connection, _) | Self::Refused(connection, _) | Self::Answer(connection, _) => *connection,
            Self::Serving(connection, _) | Self::Unserved(connection, _) | Self::Denied(connection, _) => *connection,
            Self::Pong(connection) | Self::Welcome(connection) => *connection,
        }
    }
}
