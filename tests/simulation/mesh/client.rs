//! Clients: they choose a server, come back there or at another one, and speak the protocol. What they ask is in `caller.rs`, how they work in
//! `handler.rs`.

use super::handler::Job;
use super::ledger::Token;
use super::plan::Mood;
use super::wire::Frame;
use super::world::{Event, World};
use crate::ledger::hold;
use answerback_protocol::frames::{Ack, Bye, Hello, Ping, Pong, Resume, Serve, Welcome};
use answerback_protocol::{ClientFrame, DeliveryId, Name, Payload, RequestId, ServerFrame, SessionId};
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};

pub(super) struct Client {
    pub(super) session: SessionId,
    /// The server where its session is.
    pub(super) server: usize,
    pub(super) line: Option<usize>,
    pub(super) is_ready: bool,
    was_welcome: bool,
    pub(super) is_dead: bool,
    /// Its server leaves: it finishes what it has and goes to another one.
    pub(super) is_moving: bool,
    last_heard: answerback_broker::Time,
    next_id: u64,
    pub(super) waiting: BTreeMap<RequestId, Token>,
    pub(super) serving: BTreeMap<&'static str, u32>,
    pub(super) holding: BTreeMap<u64, Job>,
    kept: VecDeque<(ClientFrame<'static>, Payload)>,
    acknowledged: u64,
    taken: u64,
    pub(super) is_caller: bool,
}

impl World {
    pub(super) fn add_client(&mut self) -> usize {
        let number = self.clients.len();
        let server = self.random.place(self.servers.len());
        let session = self.new_session();
        // The first two serve everything in worlds where every call is to be answered.
        let always = number < 2 && matches!(self.plan.mood, Mood::Peace | Mood::Drains);
        let mut serving = BTreeMap::new();
        for action in self.plan.actions.clone() {
            if always || self.random.chance(400) {
                serving.insert(action, self.random.between(1, self.plan.credit) as u32);
            }
        }
        // Nobody waits for a handler that itself waits before it goes to another server.
        let is_caller = !always && (serving.is_empty() || self.random.chance(300));
        self.clients.push(Client {
            session,
            server,
            line: None,
            is_ready: false,
            was_welcome: false,
            is_dead: false,
            is_moving: false,
            last_heard: self.now,
            next_id: 0,
            waiting: BTreeMap::new(),
            serving,
            holding: BTreeMap::new(),
            kept: VecDeque::new(),
            acknowledged: 0,
            taken: 0,
            is_caller,
        });
        self.after_around(20, Event::Reconnect(number));
        // When the world is at peace, all offers have been heard by then.
        let begin =
            if self.plan.mood == Mood::Peace { std::time::Duration::from_millis(1_500) } else { self.around(100) };
        self.after(begin, Event::Act(number));
        number
    }

    fn new_session(&mut self) -> SessionId {
        SessionId::new(u128::from(self.random.bits()) << 64 | u128::from(self.random.bits()))
    }

    /// A client that is away connects, to the server it was at or, if that is not there, to another one.
    pub(super) fn reconnect(&mut self, client: usize) {
        if self.clients[client].line.is_some() || self.clients[client].is_dead {
            return;
        }
        let usable = |server: usize| self.servers[server].is_up && !self.servers[server].is_leaving;
        let some: Vec<_> = (0..self.servers.len()).filter(|server| usable(*server)).collect();
        if some.is_empty() {
            return self.after_around(60, Event::Reconnect(client));
        }
        let stays = self.servers[self.clients[client].server].is_up && (self.calm || self.random.chance(700));
        if !stays {
            let server = self.random.pick(&some);
            self.begin_anew(client, server);
        }
        let (server, session) = (self.clients[client].server, self.clients[client].session);
        let line = self.connect_client(client, server);
        let heartbeat = self.plan.heartbeat;
        let me = &mut self.clients[client];
        (me.line, me.is_ready, me.last_heard) = (Some(line), false, self.now);
        (me.acknowledged, me.taken) = (0, 0);
        self.after(heartbeat, Event::Listen { client, line });
        let hello =
            Hello { protocol: (1, 1), name: format!("client{client}").into(), session, agent: None, node: None };
        self.say(client, hello, Payload::NONE);
    }

    /// A new session, perhaps at another server: what the old one asked and had is nobody's.
    fn begin_anew(&mut self, client: usize, server: usize) {
        if server != self.clients[client].server {
            self.trace.count("mesh", "client moved");
        }
        self.lose_session(client);
        let session = self.new_session();
        let me = &mut self.clients[client];
        (me.server, me.session, me.was_welcome, me.is_moving) = (server, session, false, false);
    }

    pub(super) fn lose_session(&mut self, client: usize) {
        let me = &mut self.clients[client];
        let forgotten: Vec<_> = me.waiting.values().copied().collect();
        me.waiting.clear();
        me.kept.clear();
        me.holding.clear();
        me.next_id += 1;
        let session = me.session;
        for token in forgotten {
            self.ledger.asked[token].alive = false;
        }
        let starts = self.ledger.asked.iter_mut().flat_map(|asked| &mut asked.starts);
        // What it has answered may have been on its way.
        starts.filter(|start| start.handler == session).for_each(|start| start.is_void = true);
    }

    pub(super) fn next_id(&mut self, client: usize) -> RequestId {
        self.clients[client].next_id += 1;
        RequestId::truncated(self.clients[client].next_id)
    }

    pub(super) fn say<'a>(&mut self, client: usize, frame: impl Into<ClientFrame<'a>>, data: Payload) {
        let Some(line) = self.clients[client].line else { return };
        let mut bytes = BytesMut::new();
        frame.into().write(&data, &mut bytes);
        let head = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
        self.write(line, 1, (bytes[6..6 + head].to_vec(), data));
    }

    /// Sends what it says about a delivery, and keeps it until it is acknowledged.
    pub(super) fn say_kept(&mut self, client: usize, frame: ClientFrame<'static>, data: Payload) {
        if self.clients[client].is_ready {
            self.say(client, frame.clone(), data.clone());
        }
        self.clients[client].kept.push_back((frame, data));
    }

    pub(super) fn client_lost(&mut self, client: usize, line: usize) {
        self.hang_up(line, 0);
        if self.clients[client].line != Some(line) {
            return;
        }
        (self.clients[client].line, self.clients[client].is_ready) = (None, false);
        let long = !self.calm && self.plan.mood == Mood::War && self.random.chance(150);
        let after = self.around(if long { 3_000 } else { 60 });
        self.after(after, Event::Reconnect(client));
    }

    pub(super) fn listen(&mut self, client: usize, line: usize) {
        if self.clients[client].line != Some(line) {
            return;
        }
        let (silent, heartbeat) = (self.now - self.clients[client].last_heard, self.plan.heartbeat);
        if silent > heartbeat * 2 {
            return self.client_lost(client, line);
        }
        if silent >= heartbeat && self.clients[client].is_ready {
            self.say(client, Ping, Payload::NONE);
        }
        self.after(heartbeat, Event::Listen { client, line });
    }

    pub(super) fn frame_to_client(&mut self, client: usize, line: usize, (head, data): &Frame) {
        if self.clients[client].line != Some(line) {
            return;
        }
        self.trace.bytes(head);
        let frame = ServerFrame::read(head).unwrap_or_else(|error| panic!("broken: {error}"));
        self.trace.line(self.now, || format!("client {client} < {frame:?}"));
        self.clients[client].last_heard = self.now;
        match frame {
            ServerFrame::Welcome(welcome) => self.welcomed(client, &welcome),
            ServerFrame::Ping(_) => self.say(client, Pong, Payload::NONE),
            ServerFrame::Ack(ack) => {
                let me = &mut self.clients[client];
                let news = ack.replies - me.acknowledged;
                hold!(news <= me.kept.len() as u64, "{news} acknowledged, {} kept", me.kept.len());
                me.kept.drain(..news as usize);
                me.acknowledged = ack.replies;
            }
            ServerFrame::Reply(reply) => {
                self.clients[client].taken += 1;
                let replies = self.clients[client].taken;
                self.take_reply(client, &reply, data);
                self.say(client, Ack { replies }, Payload::NONE);
            }
            ServerFrame::Accepted(accepted) => self.take_accepted(client, accepted.id),
            ServerFrame::Deliver(deliver) => self.take_delivery(client, &deliver, data),
            ServerFrame::CancelDelivery(cancel) => self.told_to_cancel(client, cancel.id.get()),
            ServerFrame::Goaway(_) => self.told_to_go(client),
            _ => {}
        }
        self.move_if_done(client);
    }

    fn welcomed(&mut self, client: usize, welcome: &Welcome<'_>) {
        hold!(!self.clients[client].is_ready, "welcome was said twice");
        if !welcome.resumed && std::mem::replace(&mut self.clients[client].was_welcome, true) {
            self.trace.count("mesh", "client lost its session");
            self.lose_session(client);
        }
        for (frame, data) in self.clients[client].kept.clone() {
            self.say(client, frame, data);
        }
        self.clients[client].is_ready = true;
        if welcome.resumed {
            let holding = self.clients[client].holding.keys().map(|id| DeliveryId::truncated(*id)).collect();
            self.say(client, Resume { holding, more: false }, Payload::NONE);
        }
        if !self.clients[client].is_moving {
            for (action, credit) in self.clients[client].serving.clone() {
                self.serve(client, action, credit);
            }
        }
        let waiting: Vec<_> = self.clients[client].waiting.values().copied().collect();
        for token in waiting {
            self.announce(client, token);
        }
    }

    pub(super) fn serve(&mut self, client: usize, action: &'static str, credit: u32) {
        if let (Ok(action), true) = (Name::new(action), self.clients[client].is_ready) {
            self.say(client, Serve { action, credit }, Payload::NONE);
        }
    }

    /// A client whose server leaves has finished what it had there, and goes to another one.
    pub(super) fn move_if_done(&mut self, client: usize) {
        let me = &self.clients[client];
        let is_done = me.waiting.is_empty() && me.holding.is_empty() && me.kept.is_empty();
        if let (true, true, Some(line)) = (me.is_moving, is_done && me.is_ready, me.line) {
            self.say(client, Bye, Payload::NONE);
            self.hang_up(line, 0);
            (self.clients[client].line, self.clients[client].is_ready) = (None, false);
            let others: Vec<_> =
                (0..self.servers.len()).filter(|n| self.servers[*n].is_up && !self.servers[*n].is_leaving).collect();
            if !others.is_empty() {
                let server = self.random.pick(&others);
                self.begin_anew(client, server);
            }
            self.after_around(20, Event::Reconnect(client));
        }
    }

    /// It is gone, with or without a good-bye.
    pub(super) fn vanish(&mut self, client: usize, says_bye: bool) {
        if says_bye && self.clients[client].is_ready {
            self.say(client, Bye, Payload::NONE);
        }
        if let Some(line) = self.clients[client].line.take() {
            self.hang_up(line, 0);
        }
        self.lose_session(client);
        (self.clients[client].is_dead, self.clients[client].is_ready) = (true, false);
    }
}
