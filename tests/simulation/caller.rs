//! What a client does as a caller: it asks, cancels, announces again, and takes answers in.

use crate::agenda::Timer;
use crate::ledger::{Asked, Kind, Token, hold};
use crate::world::World;
use answerback_protocol::frames::{Cancel, Reply};
use answerback_protocol::{Code, Payload, RequestId};

/// An action that nobody ever serves.
pub(crate) const UNSERVED: &str = "nobody.here";

impl World {
    /// A client does something, and will do something again.
    pub(crate) fn act(&mut self, client: usize) {
        if self.calm || self.clients[client].is_dead() {
            return;
        }
        let habits = self.clients[client].habits;
        match self.random.weighted(&[habits.calls, habits.serves, habits.unsteady, habits.rude, habits.calls / 8, 1]) {
            0 => self.ask_some(client),
            1 => self.change_service(client),
            2 => self.be_unsteady(client),
            3 => self.be_rude(client),
            4 => self.cancel_some(client),
            _ => self.say(client, answerback_protocol::frames::Ping, b""),
        }
        let pause = self.around(habits.pause_ms);
        self.wake_later(client, pause, Timer::Act);
    }

    fn ask_some(&mut self, client: usize) {
        let count = self.random.between(1, self.clients[client].habits.burst);
        let room = 60_usize.saturating_sub(self.clients[client].waiting.len());
        for _ in 0..count.min(room as u64) {
            let asked = self.invent(client);
            let longest = u64::from(self.scenario.settings.max_frame / 2).min(40_000);
            let token = self.ledger.ask(asked, longest, &mut self.random);
            let id = self.ledger.asked[token].id;
            self.clients[client].waiting.insert(id, token);
            if self.clients[client].is_ready() {
                self.announce(client, token);
            }
        }
    }

    /// A request with anything that a request may say.
    fn invent(&mut self, client: usize) -> Asked {
        let action = if self.random.chance(20) { UNSERVED } else { self.random.pick(&self.scenario.actions) };
        let id = self.next_id(client);
        let (name, session) = (self.clients[client].seen_as.clone(), self.clients[client].session);
        let mut asked = Asked::new(&name, session, id, action);
        let random = &mut self.random;
        asked.ttl = match random.below(5) {
            0 => Some(0),
            1 => Some(random.below(600)),
            _ => None,
        };
        asked.timeout = random.chance(700).then(|| random.between(1, self.scenario.timeout_ms));
        asked.reply = !random.chance(150);
        asked.info = random.chance(100);
        asked.durable = random.chance(self.scenario.durable);
        match random.below(20) {
            0 | 1 => (asked.broadcast, asked.durable) = (true, false),
            2 | 3 => {
                asked.key = Some(format!("k{}", random.below(3)));
                asked.variant = u64::from(random.chance(200));
                asked.attempts = random.chance(300).then_some(2);
            }
            4 => {
                asked.kind = Kind::BuiltIn;
                asked.action = "$echo";
                (asked.reply, asked.durable) = (true, false);
            }
            5..8 => asked.attempts = Some(random.between(1, 4) as u32),
            _ => {}
        }
        if !self.may_call(client, asked.action) {
            asked.kind = Kind::Denied;
        }
        asked
    }

    /// An id that this session has not used.
    pub(crate) fn next_id(&mut self, client: usize) -> RequestId {
        self.clients[client].next_id += 1;
        RequestId::truncated(self.clients[client].next_id)
    }

    fn announce(&mut self, client: usize, token: Token) {
        let now = self.now;
        let asked = &mut self.ledger.asked[token];
        if !asked.sent {
            asked.sent_at = now;
        }
        let before = asked.clone();
        asked.sent = true;
        if let Some(frame) = before.frame(now) {
            self.say(client, frame, &before.data);
        }
    }

    /// Announces everything that waits, after a reconnect.
    pub(crate) fn announce_all(&mut self, client: usize) {
        let waiting: Vec<_> = self.clients[client].waiting.values().copied().collect();
        for token in waiting {
            if self.ledger.asked[token].sent {
                self.trace.count("client", "announced a request again");
            }
            match self.ledger.asked[token].kind {
                Kind::Malformed => self.announce_malformed(client, token),
                _ => self.announce(client, token),
            }
        }
    }

    fn cancel_some(&mut self, client: usize) {
        let calls = self.clients[client].waiting.iter();
        let calls: Vec<_> = calls.filter(|(_, token)| self.ledger.asked[**token].reply).map(|(id, _)| *id).collect();
        if !calls.is_empty() && self.clients[client].is_ready() {
            let id = self.random.pick(&calls);
            self.say(client, Cancel { id }, b"");
        }
    }

    /// A reply comes in: the one answer to a call, or a part of it.
    pub(crate) fn take_reply(&mut self, client: usize, reply: &Reply<'_>, data: &Payload) {
        let Some(token) = self.clients[client].waiting.get(&reply.id).copied() else {
            let session = self.clients[client].session;
            let muddled =
                self.ledger.asked.iter().any(|asked| (asked.session, asked.id) == (session, reply.id) && asked.muddled);
            hold!(muddled, "client {client} got a reply with id {}, for which it does not wait", reply.id);
            return;
        };
        if reply.part {
            self.trace.count("answer", if self.ledger.asked[token].broadcast { "part of a broadcast" } else { "part" });
            self.ledger.take_part(token, reply, data);
            return;
        }
        self.trace.count("answer", reply.error.as_ref().map_or("ok", |error| error.code.as_str()));
        self.check_answer(token, reply, data);
        self.settle(client, token);
    }

    fn check_answer(&mut self, token: Token, reply: &Reply<'_>, data: &Payload) {
        let asked = &self.ledger.asked[token];
        hold!(asked.reply || reply.error.is_some(), "send {token} got an answer");
        if asked.broadcast && (reply.error.is_none() || reply.gather.is_some()) {
            self.trace.count("answer", "gathered");
            self.ledger.check_gather(token, reply);
            return;
        }
        let spoken = reply.error.as_ref().is_none_or(|error| error.code == Code::Fault);
        if spoken {
            self.ledger.check_said(token, reply, data);
            hold!(
                asked.kind == Kind::BuiltIn || asked.key.is_some() || !asked.starts.is_empty() || asked.muddled,
                "request {token} has an answer, but nobody started it"
            );
        }
        if let Some(info) = reply.info.as_ref() {
            hold!(asked.info, "request {token} got an info that it did not ask for");
            let most = asked.arrived.map_or(0, |at| at.millis_until(self.now)) + 1;
            let sum = info.queued + info.ran.unwrap_or(0);
            hold!(sum <= most || asked.key.is_some(), "request {token}: {info:?}, but only {most} ms have passed");
        } else if asked.info && spoken && asked.stands_alone() {
            panic!("broken: request {token} asked for an info and got none");
        }
    }

    fn settle(&mut self, client: usize, token: Token) {
        let asked = &mut self.ledger.asked[token];
        hold!(!asked.settled, "request {token} was answered twice");
        asked.settled = true;
        self.clients[client].waiting.remove(&asked.id);
    }

    /// A send is the broker's now.
    pub(crate) fn take_accepted(&mut self, client: usize, id: RequestId) {
        let Some(token) = self.clients[client].waiting.get(&id).copied() else {
            panic!("broken: client {client} got accepted with id {id}, for which it does not wait")
        };
        hold!(!self.ledger.asked[token].reply, "call {token} was accepted as if it were a send");
        self.trace.count("answer", "accepted");
        self.settle(client, token);
    }
}
