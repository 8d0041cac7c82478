//! A client as PROTOCOL describes it: it says hello with its session, keeps its replies until they are acknowledged,
//! acknowledges what it takes in, and after a break sends its replies again, says what it holds and announces its calls.
//! What it asks is in `caller`, how it serves in `handler`, and its bad manners are in `rude`.

use crate::agenda::Timer;
use crate::ledger::{Token, hold};
use crate::network::Way;
use crate::scenario::Habits;
use crate::world::World;
use answerback_protocol::frames::{About, Ack, Bye, Hello, Ping, Pong, Resume, Welcome};
use answerback_protocol::limits::{ACK_AFTER_BYTES, ACK_AFTER_REPLIES, ACK_WITHIN_MS, HOLDING_MAX};
use answerback_protocol::{ClientFrame, DeliveryId, Payload, RequestId, ServerFrame, SessionId};
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A client.
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) name: String,
    /// What others see it as.
    pub(crate) seen_as: String,
    pub(crate) session: SessionId,
    /// What a store calls that.
    pub(crate) stored_session: u128,
    pub(crate) habits: Habits,
    pub(crate) phase: Phase,
    /// Whether it was ever welcomed in this session.
    pub(crate) was_welcome: bool,
    pub(crate) last_heard: answerback_broker::Time,

    // As a caller.
    pub(crate) next_id: u64,
    /// Requests without an answer.
    pub(crate) waiting: BTreeMap<RequestId, Token>,
    /// `reply` frames taken in on this connection, those acknowledged of them, and bytes since.
    taken: u64,
    told: u64,
    untold_bytes: u64,

    // As a handler.
    pub(crate) serving: BTreeMap<String, Serving>,
    pub(crate) holding: BTreeMap<u64, crate::handler::Job>,
    /// Replies that were not acknowledged, in the order in which they were sent.
    pub(crate) kept: VecDeque<KeptReply>,
    /// When it sent a reply last.
    pub(crate) replied: answerback_broker::Time,
    /// How many replies were acknowledged on this connection.
    acknowledged: u64,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not connected; it will come back.
    Away,
    /// Said hello on this link.
    Greeting(usize),
    /// Welcomed on this link.
    Ready(usize),
    /// It will not come back.
    Dead,
}

/// An action that it serves or served.
#[derive(Debug, Clone, Default)]
pub(crate) struct Serving {
    /// Whether it wants deliveries.
    pub(crate) wanted: bool,
    /// The credit that is in force, or may be; 0 if it does not serve.
    pub(crate) in_force: u32,
    /// Credits that are not confirmed, in order; 0 for `unserve`.
    pub(crate) asked: VecDeque<u32>,
}

/// A reply as it was sent: the head and data.
pub(crate) struct KeptReply {
    pub(crate) frame: ClientFrame<'static>,
    pub(crate) data: Payload,
    /// What it is about.
    token: Option<Token>,
}

impl Client {
    /// Whether it has been welcomed and is connected.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready(_))
    }

    /// Whether it has gone for good.
    pub(crate) fn is_dead(&self) -> bool {
        self.phase == Phase::Dead
    }

    /// Whether it works on this request, or has a reply to it that was not acknowledged.
    pub(crate) fn keeps(&self, token: Token) -> bool {
        self.holding.values().any(|job| job.token == token) || self.kept.iter().any(|kept| kept.token == Some(token))
    }

    /// The link it is on.
    pub(crate) fn link(&self) -> Option<usize> {
        match self.phase {
            Phase::Greeting(link) | Phase::Ready(link) => Some(link),
            Phase::Away | Phase::Dead => None,
        }
    }
}

impl World {
    /// A new client, which connects soon.
    pub(crate) fn add_client(&mut self, habits: Habits) -> usize {
        let number = self.clients.len();
        let bits = u128::from(self.random.bits()) << 64 | u128::from(self.random.bits());
        let (name, session) = (format!("client-{number}"), SessionId::new(bits));
        if let Some(holder) = self.holder_of(number).cloned() {
            self.border.holders.insert(session, holder);
        }
        self.clients.push(Client {
            number,
            seen_as: self.holder_of(number).map_or_else(|| name.clone(), |holder| holder.before(&name)),
            name,
            session,
            stored_session: self.stored_session(number, session),
            habits,
            phase: Phase::Away,
            was_welcome: false,
            last_heard: self.now,
            next_id: self.random.below(1_000),
            waiting: BTreeMap::new(),
            taken: 0,
            told: 0,
            untold_bytes: 0,
            serving: BTreeMap::new(),
            holding: BTreeMap::new(),
            kept: VecDeque::new(),
            replied: self.now,
            acknowledged: 0,
        });
        let (connect, act) = (self.around(20), self.around(60));
        self.wake_later(number, connect, Timer::Reconnect);
        self.wake_later(number, act, Timer::Act);
        number
    }

    /// Comes back, if it is away.
    pub(crate) fn reconnect(&mut self, client: usize) {
        if self.clients[client].phase == Phase::Away && !self.left {
            self.connect(client);
        }
    }

    /// Connects, whether or not an older connection is still open; that one is left as it is and not read any more.
    pub(crate) fn connect(&mut self, client: usize) {
        if self.down {
            return self.find_nobody(client);
        }
        if let Some(old) = self.clients[client].link() {
            self.network.links[old].client_open = false;
        }
        let link = self.open_link(Some(client));
        let heartbeat = self.scenario.settings.heartbeat;
        let (name, session) = (self.clients[client].name.clone(), self.clients[client].session);
        let me = &mut self.clients[client];
        me.phase = Phase::Greeting(link);
        me.last_heard = self.now;
        (me.taken, me.told, me.untold_bytes, me.acknowledged) = (0, 0, 0, 0);
        self.wake_later(client, heartbeat, Timer::Silence { link });
        self.say(client, Hello { protocol: (1, 1), name: name.into(), session, agent: None, node: None }, b"");
    }

    /// Nobody listens where it wants to connect.
    fn find_nobody(&mut self, client: usize) {
        if let Some(old) = self.clients[client].link() {
            self.network.links[old].client_open = false;
        }
        self.clients[client].phase = Phase::Away;
        let after = self.around(60);
        self.wake_later(client, after, Timer::Reconnect);
    }

    /// Writes a frame, if it is connected.
    pub(crate) fn say<'a>(&mut self, client: usize, frame: impl Into<ClientFrame<'a>>, data: &[u8]) {
        let mut bytes = BytesMut::new();
        frame.into().write(data, &mut bytes);
        self.write_raw(client, &bytes);
    }

    /// Writes bytes, if it is connected.
    pub(crate) fn write_raw(&mut self, client: usize, bytes: &[u8]) {
        if let Some(link) = self.clients[client].link() {
            self.network.write((link, Way::Up), bytes, self.now, &mut self.random, &mut self.agenda);
        }
    }

    /// Its end of a link has closed, or was found dead.
    pub(crate) fn client_lost(&mut self, link: usize) {
        self.network.links[link].client_open = false;
        self.network.end(link, Way::Up, self.now, &mut self.random, &mut self.agenda);
        let Some(client) = self.network.links[link].client else { return };
        if self.clients[client].link() != Some(link) {
            return;
        }
        self.trace.line(self.now, || format!("client {client} lost link {link}"));
        self.clients[client].phase = Phase::Away;
        let grace = self.scenario.settings.session_grace;
        let unsteady = self.random.chance(2 * self.clients[client].habits.unsteady);
        // A server that leaves refuses new sessions: there is no hurry.
        let patience = if self.border.drain_until.is_some() { 600 } else { 60 };
        let after = if unsteady && !self.calm { grace + self.around(600) } else { self.around(patience) };
        self.wake_later(client, after, Timer::Reconnect);
    }

    /// Is the broker still there?
    pub(crate) fn listen(&mut self, client: usize, link: usize) {
        if self.clients[client].link() != Some(link) {
            return;
        }
        let heartbeat = self.scenario.settings.heartbeat;
        let silent = self.now - self.clients[client].last_heard;
        if silent > heartbeat * 2 {
            self.trace.count("client", "found its connection silent");
            return self.client_lost(link);
        }
        if silent >= heartbeat && self.clients[client].is_ready() {
            self.say(client, Ping, b"");
        }
        self.wake_later(client, heartbeat, Timer::Silence { link });
    }

    /// Bytes from the broker.
    pub(crate) fn bytes_down(&mut self, link: usize, bytes: &[u8]) {
        let (frames, error) = self.network.links[link].at_client.take_in(&mut self.scratch, bytes);
        hold!(error.is_none(), "the broker wrote what is not a frame: {error:?}");
        let Some(client) = self.network.links[link].client else { return };
        for (head, data) in frames {
            if self.clients[client].link() != Some(link) {
                return;
            }
            self.clients[client].last_heard = self.now;
            match ServerFrame::read(&head) {
                Ok(frame) => self.hear(client, link, frame, &data),
                Err(error) => panic!("broken: the broker wrote a head that cannot be read: {error}"),
            }
        }
    }

    fn hear(&mut self, client: usize, link: usize, frame: ServerFrame<'_>, data: &Payload) {
        let ready = self.clients[client].is_ready();
        match frame {
            ServerFrame::Welcome(welcome) => {
                hold!(!ready, "welcome was said twice");
                self.welcomed(client, link, &welcome);
            }
            ServerFrame::ErrorNotice(error) => {
                if let Some(About::Action(action)) = &error.about {
                    self.refused(client, action);
                }
            }
            frame if !ready => panic!("broken: {} was said before welcome", frame.kind()),
            ServerFrame::Ping(_) => self.say(client, Pong, b""),
            ServerFrame::Ack(ack) => self.acknowledged(client, ack.replies),
            ServerFrame::Reply(reply) => {
                self.count_reply(client, link, data.len() as u64);
                self.take_reply(client, &reply, data);
            }
            ServerFrame::Accepted(accepted) => self.take_accepted(client, accepted.id),
            ServerFrame::Deliver(deliver) => self.take_delivery(client, &deliver, data),
            ServerFrame::CancelDelivery(cancel) => self.told_to_cancel(client, cancel.id.get()),
            ServerFrame::Serving(serving) => self.confirmed(client, &serving.action),
            ServerFrame::Unserved(unserved) => self.confirmed(client, &unserved.action),
            ServerFrame::Goaway(_) => self.told_to_go(client),
            _ => {}
        }
    }

    /// The steps of resuming, in their order.
    fn welcomed(&mut self, client: usize, link: usize, welcome: &Welcome<'_>) {
        self.trace.count("client", if welcome.resumed { "resumed" } else { "opened" });
        if welcome.restarted {
            self.trace.count("client", "found the server restarted");
        }
        let goes_on = welcome.resumed || welcome.restarted;
        if !goes_on && self.clients[client].was_welcome {
            self.lose_session(client);
        }
        self.clients[client].was_welcome = true;
        for place in 0..self.clients[client].kept.len() {
            let (frame, data) =
                (self.clients[client].kept[place].frame.clone(), self.clients[client].kept[place].data.clone());
            self.trace.count("client", "sent a reply again");
            self.say(client, frame, &data);
        }
        self.clients[client].phase = Phase::Ready(link);
        if goes_on {
            self.say_what_it_holds(client);
        }
        self.serve_again(client);
        self.announce_all(client);
    }

    fn say_what_it_holds(&mut self, client: usize) {
        let held: Vec<_> = self.clients[client].holding.keys().map(|id| DeliveryId::truncated(*id)).collect();
        let most = if self.random.chance(300) { self.random.between(1, 3) as usize } else { HOLDING_MAX };
        let mut chunks = held.chunks(most).peekable();
        if chunks.peek().is_none() {
            self.say(client, Resume { holding: Vec::new(), more: false }, b"");
        }
        while let Some(chunk) = chunks.next() {
            self.say(client, Resume { holding: chunk.to_vec(), more: chunks.peek().is_some() }, b"");
        }
    }

    /// The broker does not know the session any more. A call that was sent may have run, so it is not sent again, and
    /// what it worked on is nobody's; if it is rude it answers all the same.
    fn lose_session(&mut self, client: usize) {
        self.trace.count("client", "lost its session");
        self.forget_calls(client);
        self.abandon_work(client);
        let me = &mut self.clients[client];
        me.serving.values_mut().for_each(|serving| *serving = Serving { wanted: serving.wanted, ..Serving::default() });
        let late: Vec<_> = std::mem::take(&mut me.holding).into_keys().collect();
        me.kept.clear();
        if self.random.chance(500) {
            for delivery in late {
                self.intrude(client, delivery, "late answer");
            }
        }
    }

    /// Sends a reply and keeps it until it is acknowledged.
    pub(crate) fn say_reply(
        &mut self,
        client: usize,
        frame: ClientFrame<'static>,
        data: Payload,
        token: Option<Token>,
    ) {
        if self.clients[client].is_ready() {
            self.say(client, frame.clone(), &data);
        }
        self.clients[client].replied = self.now;
        self.clients[client].kept.push_back(KeptReply { frame, data, token });
    }

    fn acknowledged(&mut self, client: usize, replies: u64) {
        let me = &mut self.clients[client];
        let news = replies.saturating_sub(me.acknowledged);
        hold!(news > 0, "an ack that says nothing new: {replies}");
        hold!(news <= me.kept.len() as u64, "{news} replies acknowledged, {} are kept", me.kept.len());
        me.kept.drain(..news as usize);
        me.acknowledged = replies;
    }

    fn count_reply(&mut self, client: usize, link: usize, bytes: u64) {
        let me = &mut self.clients[client];
        if me.taken == me.told {
            self.wake_later(client, Duration::from_millis(ACK_WITHIN_MS), Timer::Ack { link });
        }
        let me = &mut self.clients[client];
        me.taken += 1;
        me.untold_bytes += bytes;
        if me.taken - me.told >= ACK_AFTER_REPLIES || me.untold_bytes >= ACK_AFTER_BYTES {
            self.acknowledge(client, link);
        }
    }

    /// Tells how many replies it has taken in on this connection.
    pub(crate) fn acknowledge(&mut self, client: usize, link: usize) {
        let me = &mut self.clients[client];
        if me.phase == Phase::Ready(link) && me.told < me.taken {
            me.told = me.taken;
            me.untold_bytes = 0;
            let replies = me.taken;
            self.say(client, Ack { replies }, b"");
        }
    }

    /// Leaves in good order: bye, then the end.
    pub(crate) fn say_bye(&mut self, client: usize) {
        if self.clients[client].is_ready() {
            self.trace.count("client", "said bye");
            self.say(client, Bye, b"");
        }
        self.vanish(client);
    }

    /// Leaves without a word.
    pub(crate) fn vanish(&mut self, client: usize) {
        self.trace.line(self.now, || format!("client {client} leaves"));
        if let Some(link) = self.clients[client].link() {
            self.network.links[link].client_open = false;
            self.network.end(link, Way::Up, self.now, &mut self.random, &mut self.agenda);
        }
        self.forget_calls(client);
        self.abandon_work(client);
        self.clients[client].phase = Phase::Dead;
    }

    /// What it has started is nobody's any more.
    fn abandon_work(&mut self, client: usize) {
        let starts = self.ledger.asked.iter_mut().flat_map(|asked| &mut asked.starts);
        starts.filter(|start| start.handler == client).for_each(|start| start.abandoned = true);
    }

    /// Nobody waits for its calls any more, except for those that were never sent.
    fn forget_calls(&mut self, client: usize) {
        let ledger = &mut self.ledger;
        let dies = self.left;
        self.clients[client].waiting.retain(|_, token| {
            let asked = &mut ledger.asked[*token];
            let keep = !asked.sent && !dies;
            asked.alive &= keep;
            keep
        });
    }
}
