//! Sessions: how they begin, are taken up again on a new connection, and end. The life of one is drawn in `session.rs`.

use crate::broker::{Alarm, Broker};
use crate::endings::End;
use crate::guard::Guard;
use crate::input::ConnectionId;
use crate::output::{Note, Output};
use crate::recovery::EPOCH_BEFORE;
use crate::request::{Owner, Request};
use crate::session::Session;
use crate::tables::Key;
use crate::time::Time;
use answerback_protocol::frames::{CancelDelivery, Goaway, Hello, Resume, Welcome};
use answerback_protocol::limits::VERSIONS;
use answerback_protocol::{Code, DeliveryId, Payload, SessionId, Text};
use std::sync::Arc;
use std::time::Duration;

/// A grace time of nothing would be over before the client has said a word.
const GRACE_LEAST: Duration = Duration::from_millis(10);

/// Alarms looked at to find a session that can go.
const LOOK_FOR_ROOM: usize = 1_000;

impl Broker {
    /// Answers `hello`: the session goes on or begins. `None` if the connection was refused.
    pub(crate) fn open_session(&mut self, connection: ConnectionId, hello: &Hello<'_>) -> Option<Key<Session>> {
        let holder = self.connection(connection).and_then(|connection| connection.holder.clone());
        let name = self.name_for(connection, holder.as_ref(), hello)?;
        let id = self.identity(holder.as_ref(), hello);
        let known = self.session_by_id.get(&id.get()).copied().and_then(|key| self.if_confirmed(key));
        let resumed = known.is_some();
        let goes_on = known.and_then(|key| self.sessions.get(key)).is_some_and(|session| !session.restored);
        if let Some(key) = known {
            self.take_over(key);
        }
        let key = match known {
            Some(key) => key,
            None => self.new_session(connection, id, Arc::clone(&name))?,
        };
        if let Some(holder) = &holder {
            self.belongings.began(holder, key);
        }
        let guard = holder.map(|holder| Box::new(Guard::new(holder, self.settings.secrets.tables)));
        self.counts.resumed += u64::from(resumed);
        let session = self.sessions.get_mut(key)?;
        session.connection = Some(connection);
        session.epoch += 1;
        (session.name, session.guard) = (Arc::clone(&name), guard);
        session.kept.new_connection();
        // What it holds must be known before it is given more.
        session.resuming = !session.deliveries.is_empty() && hello.node.is_none();
        let (client, resuming) = (session.client, session.resuming);
        if !goes_on && self.recovering.is_some() {
            session.announces_earlier = true;
        }
        if resumed || session.announces_earlier {
            self.set_grace(key);
        }
        self.welcome(connection, hello, goes_on);
        self.out.push_back(Output::Note(Note::SessionOpened { connection, client, name, resumed: goes_on }));
        self.client_came(key, goes_on);
        // What it may do may have changed while it was away.
        self.end_what_is_denied(key);
        // What a server takes is known when it offers it anew, and before that nothing can be said to it but hello.
        if !resuming && hello.node.is_none() {
            self.set_present(key, true);
        }
        Some(key)
    }

    /// A client that has said nothing but `hello` may not have got its `welcome`: were its session told to be resumed, the
    /// client would not learn that the one before had ended.
    fn if_confirmed(&mut self, key: Key<Session>) -> Option<Key<Session>> {
        if self.sessions.get(key)?.confirmed {
            return Some(key);
        }
        self.take_over(key);
        self.end_session(key);
        None
    }

    fn new_session(&mut self, connection: ConnectionId, id: SessionId, name: Arc<str>) -> Option<Key<Session>> {
        if self.drain.is_some() {
            self.refuse(connection, Code::Draining, "this server is going away; connect to another one".to_owned());
            return None;
        }
        if self.sessions.len() >= self.settings.limits.sessions && !self.make_room() {
            let text = format!("{} sessions are open, the most allowed (--max-sessions)", self.sessions.len());
            self.refuse(connection, Code::Overloaded, text);
            return None;
        }
        self.clients += 1;
        self.counts.sessions += 1;
        let mut session = Session::new(id, self.clients, name, self.settings.secrets.tables);
        if self.recovering.is_some() {
            session.epoch = EPOCH_BEFORE;
        }
        let key = self.sessions.insert(session);
        self.session_by_id.insert(id.get(), key);
        Some(key)
    }

    /// Ends a session that is away and would lose nothing, so that clients that come and go without a good-bye do not keep
    /// others out. Looks among those whose grace time ends first.
    fn make_room(&mut self) -> bool {
        let looked_at = self.alarms.iter().take(LOOK_FOR_ROOM).filter_map(|alarm| match alarm {
            Alarm::Grace(key) => Some(key),
            _ => None,
        });
        let is_spare = |key: &Key<Session>| {
            self.sessions.get(*key).is_some_and(|session| session.connection.is_none() && !session.has_anything())
        };
        let spare = looked_at.into_iter().find(is_spare);
        if let Some(key) = spare {
            self.end_session(key);
        }
        spare.is_some()
    }

    fn welcome(&mut self, connection: ConnectionId, hello: &Hello<'_>, resumed: bool) {
        let welcome = Welcome {
            protocol: hello.protocol.1.min(VERSIONS.1),
            server: Text::from(self.settings.server.clone()),
            session: hello.session,
            resumed,
            restarted: !resumed && self.recovering.is_some(),
            max_frame: self.settings.max_frame,
            heartbeat: self.settings.heartbeat.as_millis() as u64,
            node: Some(self.settings.node),
        };
        self.send(connection, welcome, Payload::NONE);
        if self.drain.is_some() {
            let elsewhere = self.settings.elsewhere.iter().cloned().map(Text::from).collect();
            self.send(connection, Goaway { reason: "draining".into(), after: 0, elsewhere }, Payload::NONE);
        }
    }

    /// A session that is known comes back. If its old connection still seems open, that one is over: the client would
    /// not have made a new one.
    fn take_over(&mut self, key: Key<Session>) {
        let replaced = self.sessions.get(key).and_then(|session| session.connection);
        if let Some(old) = replaced {
            self.closes_for(old, Code::Replaced.as_str());
            self.client_goes(key);
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Some(old) = session.connection.take() {
            self.leave_connection(old);
            self.set_present(key, false);
            self.refuse(old, Code::Replaced, "a newer connection has taken this session over".to_owned());
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        let until = std::mem::replace(&mut session.grace_until, Time::NEVER);
        for delivery in session.deliveries.values_mut() {
            delivery.held = false;
        }
        self.alarms.unset(until, Alarm::Grace(key));
    }

    fn set_grace(&mut self, key: Key<Session>) {
        let until = self.now + self.settings.session_grace.max(GRACE_LEAST);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let before = std::mem::replace(&mut session.grace_until, until);
        self.alarms.unset(before, Alarm::Grace(key));
        self.alarms.set(until, Alarm::Grace(key));
    }

    /// Its connection is gone. It may come back.
    pub(crate) fn detach(&mut self, key: Key<Session>) {
        self.client_goes(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.connection = None;
        session.resuming = false;
        let worth_keeping = session.confirmed;
        if !session.kept.is_empty() {
            self.snapshot.away(key);
        }
        self.set_present(key, false);
        if worth_keeping {
            self.set_grace(key);
        } else {
            self.end_session(key);
        }
    }

    /// Its handlers can be given work, or cannot.
    fn set_present(&mut self, key: Key<Session>, present: bool) {
        let Some(session) = self.sessions.get(key) else { return };
        let handlers: Vec<_> = session.serves.values().copied().collect();
        for handler in handlers {
            if let Some(record) = self.handlers.get_mut(handler) {
                record.present = present;
                let served = record.action;
                if let Some(action) = self.actions.get_mut(served).filter(|_| present) {
                    action.rate.starts_over(self.now);
                }
                self.look_at_action(served);
            }
            self.handler_changed(handler);
            self.forget_if_done(handler);
        }
    }

    /// The grace time is over: a client that is away has left; one that came back has claimed what it misses, and what
    /// it has not said to hold is lost.
    pub(crate) fn grace_over(&mut self, key: Key<Session>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.grace_until > self.now {
            return;
        }
        session.grace_until = Time::NEVER;
        let Some(connection) = session.connection else { return self.end_session(key) };
        if std::mem::take(&mut session.resuming) {
            let lost: Vec<_> = session.deliveries_in_order(|delivery| !delivery.held).iter().map(|d| d.0).collect();
            self.lose_deliveries(key, &lost);
            self.set_present(key, true);
        }
        // The link may be dead, and the client may not even have read its welcome.
        let settled = self.has_settled(connection);
        if settled {
            self.nothing_more_is_announced(key);
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        if settled {
            session.kept.forget_unclaimed(&mut self.kept);
            session.wait_for_no_more_announcements();
            session.announces_earlier = false;
        } else if session.kept.has_unclaimed() || session.waits_for_announcements() || session.announces_earlier {
            self.set_grace(key);
        }
    }

    /// The client said good-bye: nothing is kept for it.
    pub(crate) fn bye(&mut self, connection: ConnectionId, key: Key<Session>) {
        self.server_leaves(key);
        self.end_session(key);
        self.close(connection);
    }

    /// What a handler still works on. Whatever else was delivered to it has never arrived.
    pub(crate) fn resume(&mut self, key: Key<Session>, resume: &Resume) {
        if self.is_server(key) {
            return self.server_resumes(key, resume);
        }
        for id in &resume.holding {
            let Some(session) = self.sessions.get_mut(key) else { return };
            match session.deliveries.get_mut(&id.get()) {
                Some(delivery) => delivery.held = true,
                None => self.held_unknown(key, *id),
            }
        }
        if !resume.more && self.recovering.is_some() {
            self.handler_is_back(key);
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        if resume.more || !std::mem::take(&mut session.resuming) {
            return;
        }
        let held_and_ended = session.deliveries_in_order(|delivery| delivery.held && delivery.request.is_none());
        let never_arrived = session.deliveries_in_order(|delivery| !delivery.held);
        for (id, _) in held_and_ended {
            self.tell(key, CancelDelivery { id: DeliveryId::truncated(id) });
        }
        for (id, _) in never_arrived.into_iter().rev() {
            self.take_back(key, id);
        }
        self.set_present(key, true);
    }

    /// Ends a session: its calls are dropped, its deliveries lost, its names forgotten.
    pub(crate) fn end_session(&mut self, key: Key<Session>) {
        self.client_goes(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        // Nothing more is said to it, whatever its end leads to.
        session.connection = None;
        let (id, until, client, name) = (session.id, session.grace_until, session.client, Arc::clone(&session.name));
        let (calls, deliveries) = (session.calls_in_order(), session.deliveries_in_order(|_| true));
        self.alarms.unset(until, Alarm::Grace(key));
        self.session_by_id.remove(&id.get());
        self.set_present(key, false);
        self.unsubscribe_all(key);
        for &(_, request) in &calls {
            self.caller_left(request);
        }
        let lost = deliveries.iter().filter(|(_, delivery)| delivery.request.is_some()).count();
        let ids: Vec<_> = deliveries.iter().map(|(id, _)| *id).collect();
        self.lose_deliveries(key, &ids);
        self.stop_serving(key);
        if let Some(mut session) = self.sessions.remove(key) {
            if let Some(link) = session.link {
                self.server_gone(key, link);
            }
            session.kept.forget_all(&mut self.kept);
            if let Some(holder) = session.holder() {
                self.belongings.ended(holder, key);
            }
            self.snapshot.ended(key);
        }
        let (calls_dropped, deliveries_lost) = (calls.len() as u64, lost as u64);
        self.out.push_back(Output::Note(Note::SessionClosed { client, name, calls_dropped, deliveries_lost }));
    }

    /// Nobody is there any more to hear the answer.
    fn caller_left(&mut self, request: Key<Request>) {
        let Some(record) = self.requests.get_mut(request) else { return };
        if record.is_joined() {
            record.owner = Owner::Gone;
            if self.recovering.is_none() {
                self.judge(request);
            }
        } else {
            self.end(request, End::CallerLeft);
        }
    }
}
