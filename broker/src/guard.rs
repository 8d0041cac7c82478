//! Who a session belongs to, what it may do, and what becomes of it when that changes.
//!
//! ```text
//!  key removed ─────► its connections close; the session goes on, as if they had broken
//!  holder gone ─────► its connections close; its sessions end, as with `bye`
//!  rights changed ──► what is served or heard and is not allowed any more ends with an error; what was accepted or delivered goes on
//! ```
//!
//! On a server with keys a session is found under a keyed hash of its holder and of what its client calls it. So the same words from another
//! holder name another session, in the tables as in the store, and nobody takes one over that is not his.

use crate::broker::Broker;
use crate::handler::Handler;
use crate::input::ConnectionId;
use crate::rights::{Holder, Right, Rights};
use crate::session::Session;
use crate::tables::{Key, Map, map};
use crate::words;
use answerback_protocol::frames::{About, Hello};
use answerback_protocol::limits::CLIENT_NAME_BYTES_MAX;
use answerback_protocol::{Code, SessionId, Text};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::Arc;

/// Tells this hash from others under the same key.
const SESSION_OF_HOLDER: &[u8] = b"session of a holder\0";

/// Whose a session is, and which names it was found to be allowed. Most clients use few names again and again, and looking for a grant among
/// hundreds costs more than the rest of a call.
pub(crate) struct Guard {
    holder: Holder,
    called: Map<Box<str>, ()>,
    published: Map<Box<str>, ()>,
}

/// What there is of each holder, so that a change of rights costs what it changes: a reload may change those of thousands at once, and looking
/// for the sessions of each among all of them would keep everybody waiting.
pub(crate) struct Belongings(Map<Arc<str>, OfHolder>);

/// In order, so that everything is done and told in one order.
#[derive(Default)]
struct OfHolder {
    connections: BTreeSet<ConnectionId>,
    sessions: BTreeSet<Key<Session>>,
}

impl Belongings {
    pub(crate) fn new(seed: u64) -> Self {
        Self(map(seed))
    }

    pub(crate) fn opened(&mut self, holder: &Holder, connection: ConnectionId) {
        self.of(holder).connections.insert(connection);
    }

    pub(crate) fn closed(&mut self, holder: &Holder, connection: ConnectionId) {
        self.of(holder).connections.remove(&connection);
        self.forget_if_nothing(holder);
    }

    pub(crate) fn began(&mut self, holder: &Holder, session: Key<Session>) {
        self.of(holder).sessions.insert(session);
    }

    pub(crate) fn ended(&mut self, holder: &Holder, session: Key<Session>) {
        self.of(holder).sessions.remove(&session);
        self.forget_if_nothing(holder);
    }

    fn of(&mut self, holder: &Holder) -> &mut OfHolder {
        self.0.entry(Arc::clone(&holder.id)).or_default()
    }

    fn forget_if_nothing(&mut self, holder: &Holder) {
        if self.0.get(&holder.id).is_some_and(|of| of.connections.is_empty() && of.sessions.is_empty()) {
            self.0.remove(&holder.id);
        }
    }

    /// The connections that a key of this holder opened.
    fn connections(&self, holder: &str) -> Vec<ConnectionId> {
        self.0.get(holder).into_iter().flat_map(|of| &of.connections).copied().collect()
    }

    fn sessions(&self, holder: &str) -> Vec<Key<Session>> {
        self.0.get(holder).into_iter().flat_map(|of| &of.sessions).copied().collect()
    }
}

/// Names that a session remembers for each right. Who uses more has each of them looked up now and then.
const REMEMBERED_MAX: usize = 128;

impl Guard {
    pub(crate) fn new(holder: Holder, seed: u64) -> Self {
        Self { holder, called: map(seed), published: map(seed) }
    }

    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// What was found under other rights is forgotten.
    fn change(&mut self, rights: Arc<Rights>) {
        self.holder.rights = rights;
        self.called.clear();
        self.published.clear();
    }

    fn allows(&mut self, right: Right, name: &str) -> bool {
        let rights = &self.holder.rights;
        let remembered = match right {
            Right::Call => &mut self.called,
            Right::Publish => &mut self.published,
            Right::Serve | Right::Subscribe => return rights.allow(right, name),
        };
        if rights.allow_all(right, name) || remembered.contains_key(name) {
            return true;
        }
        let allowed = rights.allow(right, name);
        if allowed {
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(name.into(), ());
        }
        allowed
    }
}

impl Broker {
    /// Why a session may not do something, if it may not. On a server without keys everybody may do everything.
    pub(crate) fn denies(&mut self, session: Key<Session>, right: Right, name: &str) -> Option<String> {
        let guard = self.sessions.get_mut(session)?.guard.as_mut()?;
        (!guard.allows(right, name)).then(|| words::denied(&guard.holder.id, right, name))
    }

    /// Tells a session that it may not.
    pub(crate) fn denied(&mut self, session: Key<Session>, text: String, about: About<'static>) {
        if let Some(connection) = self.sessions.get(session).and_then(|session| session.connection) {
            self.notice(connection, Code::Denied, text, Some(about));
        }
    }

    /// What a session is found under.
    pub(crate) fn identity(&self, holder: Option<&Holder>, hello: &Hello<'_>) -> SessionId {
        let session = hello.session;
        // What a server says names another session than what a client says.
        let holder = match (holder, hello.node) {
            (Some(holder), None) => &*holder.id,
            (None, None) => return session,
            (holder, Some(_)) => &format!("{} as a server", holder.map_or("", |holder| &holder.id)),
        };
        let mut hasher = SipHasher13::new_with_key(&self.settings.secrets.delivery);
        hasher.write(SESSION_OF_HOLDER);
        hasher.write(holder.as_bytes());
        hasher.write(&session.get().to_le_bytes());
        SessionId::new(hasher.finish128().as_u128())
    }

    /// What others see a client as. `None` if it was refused: a `from` is a name like others, so one that is too long must not come to be.
    pub(crate) fn name_for(
        &mut self,
        connection: ConnectionId,
        holder: Option<&Holder>,
        hello: &Hello<'_>,
    ) -> Option<Arc<str>> {
        let Some(holder) = holder else { return Some(Arc::from(hello.name.as_str())) };
        let name = format!("{}/{}", holder.id, hello.name);
        if name.len() > CLIENT_NAME_BYTES_MAX {
            let most = CLIENT_NAME_BYTES_MAX.saturating_sub(holder.id.len() + 1);
            let text = words::name_too_long(&holder.id, hello.name.len(), most);
            self.refuse(connection, Code::BadRequest, text);
            return None;
        }
        Some(name.into())
    }

    /// A holder may do other things than before.
    pub(crate) fn rights_changed(&mut self, holder: &str, rights: &Arc<Rights>) {
        for id in self.belongings.connections(holder) {
            if let Some(known) = self.connection(id).and_then(|connection| connection.holder.as_mut()) {
                known.rights = Arc::clone(rights);
            }
            if !rights.peer && self.is_link(id) {
                self.refuse(id, Code::Denied, words::no_server(holder));
            }
        }
        for key in self.belongings.sessions(holder) {
            if let Some(guard) = self.sessions.get_mut(key).and_then(|session| session.guard.as_mut()) {
                guard.change(Arc::clone(rights));
            }
            self.end_what_is_denied(key);
        }
    }

    /// A holder has no key any more.
    pub(crate) fn holder_gone(&mut self, holder: &str) {
        for id in self.belongings.connections(holder) {
            if self.connection(id).is_some() {
                self.refuse(id, Code::Denied, words::holder_gone(holder));
            }
        }
        for key in self.belongings.sessions(holder) {
            self.end_session(key);
        }
    }

    /// A connection was opened with a key that is not accepted any more.
    pub(crate) fn key_removed(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else { return };
        let text = words::key_removed(connection.holder.as_ref().map_or("", |holder| &holder.id));
        self.refuse(id, Code::Denied, text);
    }

    /// Ends what a session serves and hears and may not any more. One that is away gets neither work nor events, so that can wait until it can be told.
    /// Another server does both for its clients, whose rights it knows.
    pub(crate) fn end_what_is_denied(&mut self, key: Key<Session>) {
        if self.is_server(key) {
            return;
        }
        let Some(session) = self.sessions.get(key).filter(|session| session.connection.is_some()) else { return };
        let Some(rights) = session.holder().map(|holder| Arc::clone(&holder.rights)) else { return };
        for (name, handler) in self.serves_denied(key, &rights) {
            self.stop_handler(handler);
            if let Some(text) = self.denies(key, Right::Serve, &name) {
                self.denied(key, text, About::Action(Text::from(name)));
            }
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        let is_denied = |(topic, _): &(Arc<str>, Option<Arc<str>>)| !rights.allow(Right::Subscribe, topic);
        let denied: Vec<_> = session.subscriptions.extract_if(.., is_denied).collect();
        for (topic, group) in denied {
            self.topics.remove(&topic, group.as_deref(), key);
            if let Some(text) = self.denies(key, Right::Subscribe, &topic) {
                self.denied(key, text, About::Topic(Text::from(topic)));
            }
        }
    }

    /// What a session serves and may not, in the order of the names. What it only finishes is not among it.
    fn serves_denied(&self, key: Key<Session>, rights: &Rights) -> Vec<(Arc<str>, Key<Handler>)> {
        let serves = self.sessions.get(key).into_iter().flat_map(|session| &session.serves);
        let open = serves.filter(|(_, handler)| self.handlers.get(**handler).is_some_and(|handler| handler.open));
        let named = open.filter_map(|(action, handler)| Some((Arc::clone(&self.actions.get(*action)?.name), *handler)));
        let mut denied: Vec<_> = named.filter(|(name, _)| !rights.allow(Right::Serve, name)).collect();
        denied.sort_unstable();
        denied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Disconnect, Input};
    use answerback_protocol::{ClientFrame, Payload};
    use std::time::Duration;

    fn guard(rights: Rights) -> Guard {
        Guard::new(Holder { id: "shop".into(), rights: Arc::new(rights) }, 1)
    }

    fn calls(text: &str) -> Rights {
        let pattern = answerback_protocol::names::Pattern::new(text).unwrap();
        Rights { call: [pattern].into_iter().collect(), ..Rights::default() }
    }

    /// Rights of ten thousand holders changed at once, and for each of them all sessions were looked at.
    #[test]
    fn what_belongs_to_a_holder_is_known_as_long_as_it_is_there() {
        let mut broker = Broker::new(crate::Settings::default());
        let (shop, web) = (guard(Rights::default()).holder, Holder { id: "web".into(), rights: Arc::default() });
        let at = crate::Time::from_millis(1);
        let connections: Vec<_> = (0..6).map(|place| ConnectionId::new(0, place, 0)).collect();
        for (n, &connection) in connections.iter().enumerate() {
            let holder = Some(if n % 2 == 0 { shop.clone() } else { web.clone() });
            let peer = String::new();
            broker.handle(at, Input::Connected { connection, peer, holder, waited: Duration::ZERO });
            let hello = format!(r#"{{"type":"hello","protocol":[1,1],"name":"n","session":"{n:032x}"}}"#);
            let frames = [hello.as_str(), r#"{"type":"ping"}"#];
            for frame in frames.map(|text| ClientFrame::read(text.as_bytes()).unwrap()) {
                broker.handle(at, Input::Frame { connection, frame, data: Payload::NONE });
            }
        }
        let known = |broker: &Broker, of| (broker.belongings.connections(of), broker.belongings.sessions(of).len());
        let every_second = |from| connections.iter().skip(from).step_by(2).copied().collect::<Vec<_>>();
        assert_eq!(known(&broker, "shop"), (every_second(0), 3));
        assert_eq!(known(&broker, "web"), (every_second(1), 3));
        for &connection in &connections {
            broker.handle(at, Input::Disconnected { connection, reason: Disconnect::ByPeer });
        }
        assert_eq!((known(&broker, "shop"), known(&broker, "web")), ((vec![], 3), (vec![], 3)));
        // Those who have gone are known no longer than their sessions.
        broker.handle(at, Input::Rights { holder: "shop".into(), rights: None });
        assert_eq!((known(&broker, "shop").1, broker.sessions.len(), broker.belongings.0.len()), (0, 3, 1));
        while let Some(due) = broker.poll_timeout() {
            broker.handle_timeout(due);
        }
        assert!(broker.sessions.len() == 0 && broker.belongings.0.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_for_one_right() {
        let mut guard = guard(calls("a.*"));
        for n in 0..10 * REMEMBERED_MAX {
            assert!(guard.allows(Right::Call, &format!("a.{n}")) && !guard.allows(Right::Call, &format!("b.{n}")));
            assert!(!guard.allows(Right::Publish, &format!("a.{n}")));
            assert!(guard.called.len() <= REMEMBERED_MAX && guard.published.is_empty());
        }
    }

    #[test]
    fn what_was_found_under_other_rights_is_forgotten() {
        let mut guard = guard(calls("a.*"));
        assert!(guard.allows(Right::Call, "a.b"));
        guard.change(Arc::new(calls("b")));
        assert!(!guard.allows(Right::Call, "a.b") && guard.allows(Right::Call, "b"));
    }

    #[test]
    fn everything_needs_no_memory() {
        let mut guard = guard(Rights::all());
        assert!(guard.allows(Right::Call, "a") && guard.allows(Right::Publish, "a"));
        assert_eq!(guard.called.capacity() + guard.published.capacity(), 0);
    }
}
