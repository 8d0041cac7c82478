//! Connections: hello, silence, bad frames, the end.

use crate::broker::{Alarm, Broker};
use crate::input::{ConnectionId, Disconnect};
use crate::mesh::Link;
use crate::output::{Note, Output};
use crate::receipts::Receipts;
use crate::rights::Holder;
use crate::session::Session;
use crate::tables::Key;
use crate::time::Time;
use answerback_protocol::envelope::EnvelopeError;
use answerback_protocol::frames::{About, ErrorNotice, Hello, Ping, Pong, Reply};
use answerback_protocol::limits::VERSIONS;
use answerback_protocol::{ClientFrame, Code, Malformed, Payload, Ran, RequestId, Text};
use std::time::Duration;

/// An open connection.
pub(crate) struct Connection {
    /// The whole id; the place alone may have been used before.
    id: ConnectionId,
    pub(crate) peer: Box<str>,
    /// Who has the key that it was opened with, on a server with keys.
    pub(crate) holder: Option<Holder>,
    /// None before hello.
    pub(crate) session: Option<Key<Session>>,
    /// The link that it belongs to, if the other end is a server.
    pub(crate) link: Option<Key<Link>>,
    /// When the first thing came after hello, or the last announcement of a request of an earlier connection.
    spoke: Option<Time>,
    /// Whether it was told that it will be closed; nothing it says counts any more.
    closing: bool,
    /// Why it ends, in a word, once that is known.
    why: Option<&'static str>,
    heard: Time,
    pinged: bool,
    /// When its alarm for silence rings.
    alarm: Time,
    /// The `reply` frames that came on it.
    pub(crate) receipts: Receipts,
}

impl Broker {
    pub(crate) fn connected(&mut self, id: ConnectionId, peer: String, holder: Option<Holder>, waited: Duration) {
        let alarm = self.now + self.settings.handshake.saturating_sub(waited);
        let connection = Connection {
            id,
            peer: peer.into(),
            holder,
            session: None,
            link: None,
            spoke: None,
            closing: false,
            why: None,
            heard: self.now,
            pinged: false,
            alarm,
            receipts: Receipts::default(),
        };
        if self.connections.len() <= id.place() {
            self.connections.resize_with(id.place() + 1, || None);
        }
        // A place is used again only when its connection is gone, whether or not that was told in time.
        if let Some(before) = self.connections[id.place()].as_ref().map(|before| before.id) {
            self.disconnected(before, Disconnect::ByPeer);
        }
        if let Some(holder) = &connection.holder {
            self.belongings.opened(holder, id);
        }
        self.connections[id.place()] = Some(connection);
        self.alarms.set(alarm, Alarm::Silence(id));
        self.counts.connections += 1;
    }

    pub(crate) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(id.place())?.as_mut().filter(|connection| connection.id == id && !connection.closing)
    }

    /// Something was heard: the session that speaks, if it has said hello.
    pub(crate) fn heard(&mut self, id: ConnectionId) -> Option<Key<Session>> {
        let now = self.now;
        let connection = self.connection(id)?;
        connection.heard = now;
        connection.pinged = false;
        let session = connection.session?;
        if connection.spoke.is_none() {
            connection.spoke = Some(now);
            if let Some(record) = self.sessions.get_mut(session) {
                (record.confirmed, record.restored) = (true, false);
            }
        }
        Some(session)
    }

    /// A client that came back still announces what it waits for.
    pub(crate) fn announces(&mut self, session: Key<Session>) {
        let now = self.now;
        let connection = self.sessions.get(session).and_then(|session| session.connection);
        if let Some(connection) = connection.and_then(|id| self.connection(id)) {
            connection.spoke = Some(now);
        }
    }

    /// Whether a client that came back has surely announced all that it waits for: it does so at once, and something else
    /// was heard a grace time after the last announcement.
    pub(crate) fn has_settled(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(id.place()).and_then(Option::as_ref);
        connection.is_some_and(|c| c.spoke.is_some_and(|spoke| c.heard >= spoke + self.settings.session_grace))
    }

    /// The address a connection comes from.
    pub(crate) fn peer_of(&self, id: ConnectionId) -> &str {
        self.connections.get(id.place()).and_then(Option::as_ref).map_or("", |connection| &connection.peer)
    }

    /// A frame of a connection that has no session: it must be `hello`.
    pub(crate) fn first_frame(&mut self, id: ConnectionId, frame: &ClientFrame<'_>) {
        if self.connection(id).is_none() {
            return;
        }
        match frame {
            ClientFrame::Hello(hello) => self.hello(id, hello),
            other => {
                let kind = other.kind();
                self.refuse(id, Code::BadRequest, format!("the first frame must be `hello`, not `{kind}`"));
            }
        }
    }

    fn hello(&mut self, id: ConnectionId, hello: &Hello<'_>) {
        let (least, greatest) = hello.protocol;
        if greatest < VERSIONS.0 || least > VERSIONS.1 {
            let text = format!(
                "this client speaks protocol {least} to {greatest}, this server {} to {}; update the older one",
                VERSIONS.0, VERSIONS.1
            );
            return self.refuse(id, Code::VersionMismatch, text);
        }
        if let Some((code, text)) = hello.node.and_then(|node| self.not_a_peer(id, node)) {
            return self.refuse(id, code, text);
        }
        if let Some(session) = self.open_session(id, hello) {
            let alarm = self.now + self.settings.heartbeat;
            if let Some(connection) = self.connection(id) {
                connection.session = Some(session);
                let before = std::mem::replace(&mut connection.alarm, alarm);
                self.alarms.unset(before, Alarm::Silence(id));
                self.alarms.set(alarm, Alarm::Silence(id));
            }
            self.server_came(id, session, hello);
        }
    }

    pub(crate) fn second_hello(&mut self, id: ConnectionId) {
        self.notice(id, Code::BadRequest, "a connection says `hello` once; nothing has changed".to_owned(), None);
    }

    pub(crate) fn pong(&mut self, id: ConnectionId) {
        self.send(id, Pong, Payload::NONE);
    }

    /// Tells a connection why, and closes it. Its session goes on as if the connection had broken.
    pub(crate) fn refuse(&mut self, id: ConnectionId, code: Code, message: String) {
        let notice = ErrorNotice { code, message: Text::from(message.clone()), about: None, fatal: true };
        self.send(id, notice, Payload::NONE);
        self.out.push_back(Output::Note(Note::ConnectionRefused { connection: id, code, message }));
        self.closes_for(id, code.as_str());
        self.close(id);
    }

    /// Remembers why a connection ends. The first reason counts.
    pub(crate) fn closes_for(&mut self, id: ConnectionId, why: &'static str) {
        if let Some(connection) = self.connection(id) {
            connection.why.get_or_insert(why);
        }
    }

    /// Why a connection ends, in a word.
    pub(crate) fn why_closed(&self, id: ConnectionId) -> &'static str {
        let connection = self.connections.get(id.place()).and_then(Option::as_ref);
        connection.and_then(|connection| connection.why).unwrap_or("bye")
    }

    /// A session goes on without this connection.
    pub(crate) fn leave_connection(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id) {
            connection.session = None;
        }
    }

    /// Closes a connection once everything sent to it is written.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        self.out.push_back(Output::Close { connection: id });
        self.orphan_receipts(id);
        self.link_down(id);
        let Some(connection) = self.connection(id) else { return };
        connection.closing = true;
        let session = connection.session.take();
        self.unset_alarms(id);
        if let Some(session) = session {
            self.detach(session);
        }
    }

    pub(crate) fn disconnected(&mut self, id: ConnectionId, reason: Disconnect) {
        let known = self.connections.get(id.place()).and_then(Option::as_ref).is_some_and(|c| c.id == id);
        if !known {
            return;
        }
        self.counts.slow += u64::from(reason == Disconnect::Slow);
        self.orphan_receipts(id);
        self.link_down(id);
        self.unset_alarms(id);
        let lost = match reason {
            Disconnect::ByPeer => "lost",
            Disconnect::Slow => "slow",
            Disconnect::Asked => "closed",
        };
        self.closes_for(id, lost);
        let session = self.connections[id.place()].as_mut().and_then(|connection| connection.session.take());
        if let Some(session) = session {
            self.detach(session);
        }
        let Some(connection) = self.connections[id.place()].take() else { return };
        if let Some(holder) = &connection.holder {
            self.belongings.closed(holder, id);
        }
    }

    fn unset_alarms(&mut self, id: ConnectionId) {
        let Some(Some(connection)) = self.connections.get_mut(id.place()) else { return };
        self.alarms.unset(connection.alarm, Alarm::Silence(id));
        if let Some(at) = connection.receipts.take_alarm() {
            self.alarms.unset(at, Alarm::Acknowledge(id));
        }
    }

    /// The time has come to look whether a connection has been silent. Instead of moving an alarm with every frame,
    /// it rings once per heartbeat and looks back.
    pub(crate) fn silence(&mut self, id: ConnectionId) {
        let (now, heartbeat) = (self.now, self.settings.heartbeat);
        let Some(connection) = self.connection(id) else { return };
        let quiet = now.since(connection.heard);
        if connection.session.is_none() {
            self.counts.silent += 1;
            let text = format!("no `hello` within {} ms", self.settings.handshake.as_millis());
            return self.refuse(id, Code::Silent, text);
        }
        if quiet >= heartbeat * 2 {
            self.counts.silent += 1;
            return self.refuse(id, Code::Silent, format!("nothing heard for {} ms", quiet.as_millis()));
        }
        let ask = quiet >= heartbeat && !connection.pinged;
        connection.pinged |= ask;
        connection.alarm = connection.heard + if quiet >= heartbeat { heartbeat * 2 } else { heartbeat };
        let alarm = connection.alarm;
        self.alarms.set(alarm, Alarm::Silence(id));
        if ask {
            self.send(id, Ping, Payload::NONE);
        }
    }

    /// A head that is not what the protocol allows. Who waits for an answer gets one; before hello it is the end.
    pub(crate) fn malformed(&mut self, id: ConnectionId, error: &Malformed) {
        self.counts.frames_in += 1;
        self.counts.malformed(error.word());
        if self.connection(id).is_none() {
            return;
        }
        let Some(session) = self.heard(id) else {
            return self.refuse(id, Code::BadRequest, error.to_string());
        };
        // The ids of other kinds name other things than requests.
        let kind = error.kind.as_deref().unwrap_or_default();
        let about = error.id.filter(|_| kind == "request" || kind == "publish");
        let waits = |id: RequestId| self.sessions.get(session).is_some_and(|s| s.calls.contains_key(&id.get()));
        match about {
            Some(request) if kind == "request" && !waits(request) => {
                let reply = Reply::to(request);
                self.refuse_request(session, reply, Code::BadRequest, error.to_string(), Ran::No, None);
            }
            _ => self.notice(id, Code::BadRequest, error.to_string(), about.map(About::Id)),
        }
    }

    /// Bytes that are not a frame: where the next one begins is not known, so the connection ends.
    pub(crate) fn not_a_frame(&mut self, id: ConnectionId, error: &EnvelopeError) {
        self.counts.malformed(error.word());
        if self.connection(id).is_some() {
            let code = if error.is_too_large() { Code::TooLarge } else { Code::BadRequest };
            self.refuse(id, code, error.to_string());
        }
    }

    /// Tells a connection that something it said could not be done; the connection goes on.
    pub(crate) fn notice(&mut self, id: ConnectionId, code: Code, message: String, about: Option<About<'static>>) {
        self.send(id, ErrorNotice { code, message: message.into(), about, fatal: false }, Payload::NONE);
    }
}
