//! Other servers: links to them, what they offer, and requests that pass from one to the other.
//!
//! On a link each server is the other's client and the other's server at once. What this one knows of the other is an ordinary session, with
//! handlers made of its offers: so a request is given to a server as it is given to a handler, and comes back, is lost or is cancelled in the same
//! way. What the other knows of this one is a session there, whose calls are the requests that were passed on: so they are announced again
//! after a break, and answered once, as those of any client.
//!
//! ```text
//!   this server                                                      the other one
//!     handler, made of an offer ◄── offer{action,credit,path} ──────── has handlers, or knows a server that has
//!     delivery of it            ─── request{via} ───────────────────► a call of the session that this server has there
//!     answered, or taken back   ◄── reply ─────────────────────────── its end
//! ```
//!
//! | what | file |
//! |---|---|
//! | a link opens, is up, breaks, comes back | here |
//! | what others offer, and what is offered to them | `offers.rs` |
//! | a request is passed on, and its answer comes back | `pass_on.rs` |
//! | a request comes from another server | `admission.rs`, `transit.rs` |
//! | which server knows an idempotency key | `home.rs` |
//! | events, and who wants them | `interest.rs` |
//! | what is shown of them | `lists.rs` |
//!
//! A request carries the servers where it has been, and goes to none of them again. An offer carries the servers on the way to its nearest
//! handler, and who finds himself there does not believe it. So there may be any number of ways between two servers, and rings.

#[cfg(test)]
mod bounds;
mod home;
mod interest;
mod lists;
mod offers;
mod pass_on;
mod recent;
mod transit;

pub(crate) use home::Home;

use crate::action::Action;
use crate::broker::Broker;
use crate::input::ConnectionId;
use crate::output::{Note, Output};
use crate::request::Owner;
use crate::session::Session;
use crate::settings::Limits;
use crate::tables::{Key, Map, Slab, map};
use crate::time::Time;
use crate::words;
use answerback_protocol::frames::{Bye, ErrorNotice, Hello, Welcome};
use answerback_protocol::limits::VERSIONS;
use answerback_protocol::{Code, NodeId, Payload, ServerFrame, SessionId, Text};
use recent::Recent;
use serde_json::json;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

/// Tells this hash from others under the same key.
const SESSION_OF_LINK: &[u8] = b"session of a link\0";

/// A server may have as many answers unacknowledged as so many clients.
const CLIENTS_OF_A_SERVER: usize = 16;

/// All that is known of other servers.
pub(crate) struct Mesh {
    pub(crate) links: Slab<Link>,
    /// Actions whose offers may have changed since they were told.
    changed: BTreeSet<Key<Action>>,
    /// When those are looked at.
    alarm: Option<Time>,
    /// The action that leads to each server that knows keys, as long as somebody offers it.
    homes: BTreeMap<NodeId, Key<Action>>,
    events: interest::Events,
    /// What is kept for a server, which speaks for many clients.
    limits: Limits,
    /// Broadcasts that came here: each handler hears of one once, whatever the ways between servers.
    casts: Recent,
}

/// A link to another server, over as many connections as it takes.
pub(crate) struct Link {
    /// As the settings have it, if this server dials.
    address: Option<Arc<str>>,
    /// What the session of this server is called there.
    ours: SessionId,
    /// The session of that server here.
    pub(crate) theirs: Option<Key<Session>>,
    pub(crate) connection: Option<ConnectionId>,
    /// Whether the other said `welcome` on this connection.
    welcomed: bool,
    /// The last delivery before the other said so: that one and those before it were given on an earlier connection.
    given_before: u64,
    /// Whether both have said everything that comes before offers.
    pub(crate) is_up: bool,
    /// Whether the other has said `goaway` on this connection.
    is_leaving: bool,
    pub(crate) node: NodeId,
    pub(crate) server: Arc<str>,
    /// The longest frame that it takes.
    most: u32,
    /// What it was offered on this connection.
    offered: BTreeMap<Key<Action>, offers::Offered>,
    wishes: interest::Wishes,
    /// Requests that it passed on to this server and that have not ended, by action.
    taken: Map<Key<Action>, u32>,
}

impl Mesh {
    /// Whether no other server is known.
    pub(crate) fn is_alone(&self) -> bool {
        self.links.len() == 0
    }

    pub(crate) fn new(limits: &Limits) -> Self {
        let limits = Limits {
            kept_replies_per_session: limits.kept_replies_per_session.saturating_mul(CLIENTS_OF_A_SERVER),
            kept_reply_bytes_per_session: limits.kept_reply_bytes_per_session.saturating_mul(CLIENTS_OF_A_SERVER),
            ..limits.clone()
        };
        Self {
            limits,
            events: interest::Events::default(),
            links: Slab::new(),
            changed: BTreeSet::new(),
            alarm: None,
            homes: BTreeMap::new(),
            casts: Recent::new(transit::CASTS_MAX),
        }
    }

    /// How much is kept for another server.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Broker {
    /// Whether the other end of a connection is a server, which also says what a server says: its frames are read as
    /// [`LinkFrame`](answerback_protocol::LinkFrame).
    pub fn is_link(&self, connection: ConnectionId) -> bool {
        self.link_of(connection).is_some()
    }

    /// How many links are up.
    pub fn peers_up(&self) -> usize {
        self.mesh.links.iter().filter(|(_, link)| link.is_up).count()
    }

    /// How many requests others have passed on to this server.
    pub(crate) fn taken_for_servers(&self) -> usize {
        self.mesh.links.iter().flat_map(|(_, link)| link.taken.values()).map(|taken| *taken as usize).sum()
    }

    pub(crate) fn link_of(&self, connection: ConnectionId) -> Option<Key<Link>> {
        let link = self.connections.get(connection.place())?.as_ref()?.link?;
        self.mesh.links.get(link).is_some_and(|record| record.connection == Some(connection)).then_some(link)
    }

    /// The link whose server a session is.
    pub(crate) fn link_of_session(&self, session: Key<Session>) -> Option<Key<Link>> {
        self.sessions.get(session)?.link
    }

    /// This server has dialed another one.
    pub(crate) fn dialed(&mut self, connection: ConnectionId, address: &Arc<str>) {
        self.connected(connection, address.to_string(), None, Duration::ZERO);
        let known = self.mesh.links.iter().find(|(_, link)| link.address.as_ref() == Some(address)).map(|(key, _)| key);
        let link = known.unwrap_or_else(|| {
            let ours = self.session_of_link(address.as_bytes());
            self.mesh.links.insert(Link::new(Some(Arc::clone(address)), ours, self.settings.secrets.tables))
        });
        if let Some(before) = self.mesh.links.get(link).and_then(|link| link.connection) {
            self.close(before);
        }
        self.greet_server(link, connection);
    }

    /// Says who this server is to the other one.
    fn greet_server(&mut self, key: Key<Link>, connection: ConnectionId) {
        let Some(link) = self.mesh.links.get_mut(key) else { return };
        (link.connection, link.welcomed, link.is_up, link.is_leaving) = (Some(connection), false, false, false);
        let hello = Hello {
            protocol: VERSIONS,
            name: Text::from(self.settings.server.clone()),
            session: link.ours,
            agent: None,
            node: Some(self.settings.node),
        };
        if let Some(connection) = self.connection(connection) {
            connection.link = Some(key);
        }
        self.say(connection, hello, Payload::NONE);
    }

    /// What the session of this server is called at another one: not to be guessed, and the same after a restart.
    fn session_of_link(&self, what: &[u8]) -> SessionId {
        let mut hasher = SipHasher13::new_with_key(&self.settings.secrets.delivery);
        hasher.write(SESSION_OF_LINK);
        hasher.write(&self.settings.node.get().to_le_bytes());
        hasher.write(what);
        SessionId::new(hasher.finish128().as_u128())
    }

    /// Why a server that says hello cannot be a peer.
    pub(crate) fn not_a_peer(&mut self, connection: ConnectionId, node: NodeId) -> Option<(Code, String)> {
        if node == self.settings.node {
            let text = "this is the server itself; take its own address out of --peer".to_owned();
            return Some((Code::BadRequest, text));
        }
        let holder = self.connection(connection)?.holder.as_ref()?;
        (!holder.rights.peer).then(|| (Code::Denied, words::no_server(&holder.id)))
    }

    /// A server has said hello, and its session is open.
    pub(crate) fn server_came(&mut self, connection: ConnectionId, session: Key<Session>, hello: &Hello<'_>) {
        let Some(node) = hello.node else { return };
        let of_session = self.link_of_session(session);
        let key = match self.link_of(connection).or(of_session) {
            Some(key) => key,
            None => {
                let ours = self.session_of_link(&hello.session.get().to_le_bytes());
                self.mesh.links.insert(Link::new(None, ours, self.settings.secrets.tables))
            }
        };
        let Some(link) = self.mesh.links.get_mut(key) else { return };
        let before = link.theirs.replace(session).filter(|before| *before != session);
        (link.node, link.server) = (node, Arc::from(hello.name.as_str()));
        let is_greeted = link.connection == Some(connection);
        if let Some(session) = self.sessions.get_mut(session) {
            session.link = Some(key);
        }
        if let Some(before) = before {
            // Another life of the server, or another server at its address.
            self.end_session(before);
        }
        self.stop_offers_of(session);
        self.unsubscribe_all(session);
        if is_greeted {
            self.is_perhaps_up(key);
        } else {
            self.greet_server(key, connection);
        }
    }

    /// Something that another server says as a server.
    pub(crate) fn told(&mut self, connection: ConnectionId, frame: ServerFrame<'_>, data: Payload) {
        self.counts.frames_in += 1;
        self.heard(connection);
        let Some(link) = self.link_of(connection) else { return };
        match frame {
            ServerFrame::Reply(reply) => self.passed_back(connection, link, reply, data),
            ServerFrame::Welcome(welcome) => self.welcomed(link, &welcome),
            ServerFrame::Event(event) => self.event_came(&event, &data),
            ServerFrame::Goaway(_) => self.server_drains(link),
            ServerFrame::ErrorNotice(notice) => self.refused_by_server(connection, &notice),
            // What it offers no more it takes back itself; the rest is not asked for.
            _ => {}
        }
    }

    fn refused_by_server(&mut self, connection: ConnectionId, notice: &ErrorNotice<'_>) {
        if notice.fatal {
            let (code, message) = (notice.code, notice.message.to_string());
            self.out.push_back(Output::Note(Note::PeerRefused { connection, code, message }));
        }
    }

    /// The other server knows this one, or does not any more: what it has is asked for again, or lost.
    fn welcomed(&mut self, key: Key<Link>, welcome: &Welcome<'_>) {
        let Some(link) = self.mesh.links.get_mut(key) else { return };
        if std::mem::replace(&mut link.welcomed, true) {
            return;
        }
        (link.most, link.given_before) = (welcome.max_frame, self.deliveries);
        link.offered.clear();
        link.wishes.new_connection();
        if let Some(theirs) = link.theirs {
            if welcome.resumed || welcome.restarted {
                self.announce_to_server(key, theirs);
            } else {
                self.lose_all_deliveries(theirs);
            }
        }
        self.is_perhaps_up(key);
    }

    fn lose_all_deliveries(&mut self, session: Key<Session>) {
        let all = self.sessions.get(session).map(|record| record.deliveries_in_order(|_| true)).unwrap_or_default();
        let ids: Vec<_> = all.iter().map(|(id, _)| *id).collect();
        self.lose_deliveries(session, &ids);
    }

    /// Both have said who they are and what they wait for: now come offers.
    fn is_perhaps_up(&mut self, key: Key<Link>) {
        let Some(link) = self.mesh.links.get_mut(key) else { return };
        let Some((connection, theirs)) = link.connection.zip(link.theirs) else { return };
        let is_here = self.sessions.get(theirs).is_some_and(|session| session.connection == Some(connection));
        if link.is_up || !link.welcomed || !is_here {
            return;
        }
        link.is_up = true;
        let (server, node, dialed) = (Arc::clone(&link.server), link.node, link.address.is_some());
        self.tell_of("peer.up", |_| json!({ "server": &*server, "node": lists::node_text(node) }));
        self.out.push_back(Output::Note(Note::PeerUp { connection, server, node, dialed }));
        self.say_what_is_held(key, connection);
        self.offer_everything(key);
    }

    /// The connection of a link is gone.
    pub(crate) fn link_down(&mut self, connection: ConnectionId) {
        let Some(key) = self.link_of(connection) else { return };
        let Some(link) = self.mesh.links.get_mut(key) else { return };
        link.connection = None;
        let was_up = std::mem::take(&mut link.is_up);
        link.offered.clear();
        let (server, node, theirs) = (Arc::clone(&link.server), link.node, link.theirs);
        let waiting = theirs.and_then(|theirs| self.sessions.get(theirs)).map_or(0, |s| s.deliveries.len() as u64);
        if was_up {
            self.tell_of("peer.down", |_| json!({ "server": &*server, "node": lists::node_text(node) }));
            self.out.push_back(Output::Note(Note::PeerDown { server, node, waiting }));
            self.offer_over_another(node);
        }
        if theirs.is_none() && self.mesh.links.get(key).is_some_and(|link| link.address.is_none()) {
            self.mesh.links.remove(key);
        }
    }

    /// The session of another server has ended.
    pub(crate) fn server_gone(&mut self, session: Key<Session>, key: Key<Link>) {
        let Some(link) = self.mesh.links.get_mut(key) else { return };
        if link.theirs == Some(session) {
            link.theirs = None;
            link.taken.clear();
            if link.connection.is_none() && link.address.is_none() {
                self.mesh.links.remove(key);
            }
        }
    }

    /// The server leaves: others are told that it has gone, and need not wait for it.
    pub(crate) fn leave_servers(&mut self) {
        let connections: Vec<_> = self.mesh.links.iter().filter_map(|(_, link)| link.connection).collect();
        for connection in connections {
            self.say(connection, Bye, Payload::NONE);
        }
    }

    /// Another server leaves. It has answered all that it took before it said so; what it was given on this connection and has not answered it
    /// will not take any more.
    pub(crate) fn server_leaves(&mut self, session: Key<Session>) {
        let Some(link) = self.link_of_session(session).and_then(|link| self.mesh.links.get(link)) else { return };
        let given_before = link.given_before;
        self.stop_offers_of(session);
        let Some(record) = self.sessions.get(session) else { return };
        let not_taken = record.deliveries_in_order(|delivery| delivery.number > given_before);
        for (id, _) in not_taken.into_iter().rev() {
            self.take_back(session, id);
        }
    }

    /// Whether the client of a session is another server.
    pub(crate) fn is_server(&self, session: Key<Session>) -> bool {
        self.link_of_session(session).is_some()
    }

    /// A request of another server came to be, or ended.
    pub(crate) fn count_taken(&mut self, owner: Owner, action: Key<Action>, ended: bool) {
        let Owner::Caller { session, .. } = owner else { return };
        let Some(link) = self.link_of_session(session).and_then(|link| self.mesh.links.get_mut(link)) else { return };
        let taken = link.taken.entry(action).or_default();
        *taken = if ended { taken.saturating_sub(1) } else { *taken + 1 };
        if *taken == 0 {
            link.taken.remove(&action);
        }
    }
}

impl Link {
    fn new(address: Option<Arc<str>>, ours: SessionId, seed: u64) -> Self {
        Self {
            address,
            ours,
            theirs: None,
            connection: None,
            welcomed: false,
            given_before: 0,
            is_up: false,
            is_leaving: false,
            node: NodeId::truncated(0),
            server: "".into(),
            most: 0,
            offered: BTreeMap::new(),
            wishes: interest::Wishes::default(),
            taken: map(seed),
        }
    }
}
