//! The border of the broker, what goes in: from it follows what must or may come out, which `border_out` compares.
//!
//! This is a model of what has been said, not of what the broker thinks: it knows sessions, who serves what with how much
//! credit, which deliveries are open and in which order requests arrived. It decides nothing.

use crate::ledger::{Kind, Ledger, Token, hold};
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
    pub(crate) keys: BTreeMap<(&'static str, String), Key>,
    /// What must come out before the broker is given anything else.
    pub(crate) expected: Vec<Expected>,
    pub(crate) drain_until: Option<Time>,
    pub(crate) drained: bool,
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
            expected: Vec::new(),
            drain_until: None,
            drained: false,
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
                    ledger.asked[*token].cancelled = true;
                }
            }
            ClientFrame::Answer(answer) => self.answer(ledger, now, session, answer, data),
            ClientFrame::Release(release) => self.release(ledger, session, release.id.get()),
            ClientFrame::Resume(resume) => self.resume(ledger, session, resume),
            ClientFrame::Serve(serve) => {
                let action = serve.action.as_str().to_owned();
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
            self.ids.insert((session, id), token);
            self.expected.push(Expected::Answer(connection, id));
        }
    }

    /// A connection is gone.
    pub(crate) fn disconnected(&mut self, now: Time, connection: ConnectionId) {
        let Some(id) = self.connections.remove(&connection).flatten() else { return };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.connection == Some(connection) {
            session.connection = None;
            session.gone_at = Some(now);
            self.doubt(id, true);
        }
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

    /// Whether a client counts on its session: it was welcomed, so whatever it asked may be on its way.
    pub(crate) fn at_stake(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.confirmed)
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
        let asked = &mut ledger.asked[token];
        asked.announced = Some((now, connection));
        if !request.reply {
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
        if let Some(key) = &asked.key {
            let members = &mut self.keys.entry((asked.action, key.clone())).or_default().members;
            members.push(token);
            // What was muddled under a key is what everybody gets who comes later.
            let muddled = members.iter().any(|member| ledger.asked[*member].muddled);
            ledger.asked[token].muddled |= muddled;
        } else if asked.stands_alone() {
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
        let Some(delivery) = self.deliveries.get(&(id, answer.id.get())) else { return };
        let intrudes = crate::ledger::number_after::<usize>(data, "{\"r\":")
            .is_some_and(|said| ledger.said[said].how == crate::ledger::How::Intruder);
        if intrudes {
            let token = delivery.token;
            self.muddle(ledger, token);
        }
        let Some(delivery) = self.deliveries.get(&(id, answer.id.get())) else { return };
        let asked = &mut ledger.asked[delivery.token];
        if answer.part {
            return;
        }
        asked.answered = true;
        let stored =
            !delivery.cancel_told && !delivery.unsure && answer.error.as_ref().is_none_or(|error| !error.retryable);
        if let (Some(key), true) = (&asked.key, stored) {
            self.keys.entry((asked.action, key.clone())).or_default().stored = Some(now);
        }
        self.close_delivery(id, answer.id.get());
    }

    /// A handler broke the rules about a delivery of its own: what comes of it, and of all that share its key, is nobody's
    /// fault.
    fn muddle(&self, ledger: &mut Ledger, token: Token) {
        ledger.asked[token].muddled = true;
        let Some(key) = ledger.asked[token].key.clone() else { return };
        for member in self.keys.get(&(ledger.asked[token].action, key)).into_iter().flat_map(|key| &key.members) {
            ledger.asked[*member].muddled = true;
        }
    }

    fn release(&mut self, ledger: &mut Ledger, session: SessionId, delivery: u64) {
        if let (true, Some(open)) =
            (ledger.rude_releases.contains(&delivery), self.deliveries.get(&(session, delivery)))
        {
            let token = open.token;
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
            let asked = &ledger.asked[token];
            for queue in [&mut self.waiting, &mut self.handed_back] {
                if let (true, Some(waiting)) = (asked.reply, queue.get_mut(asked.action)) {
                    waiting.remove(&asked.order);
                }
            }
        }
        self.ids.retain(|(session, _), _| *session != id);
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
            Self::Serving(connection, _) | Self::Unserved(connection, _) => *connection,
            Self::Pong(connection) | Self::Welcome(connection) => *connection,
        }
    }
}
