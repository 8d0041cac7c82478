//! What a client asks, and what it is told.

use super::ledger::{Asked, Kind, Token};
use super::plan::Mood;
use super::world::{Event, World};
use crate::ledger::hold;
use answerback_protocol::frames::{Cancel, Reply, Request};
use answerback_protocol::{Code, Name, Payload, Ran, RequestId};

/// Calls that one client waits for at most.
const WAITING_MAX: usize = 12;

impl World {
    /// A client does something, and will do something again.
    pub(super) fn act(&mut self, client: usize) {
        if self.calm || self.clients[client].is_dead {
            return;
        }
        let is_at_war = self.plan.mood == Mood::War;
        match self.random.below(100) {
            0..3 if is_at_war => {
                let says_bye = self.random.chance(300);
                self.trace.count("mesh", "client died");
                self.vanish(client, says_bye);
                self.add_client();
                return;
            }
            3..12 if is_at_war || self.plan.mood == Mood::Storm => self.change_service(client),
            12..18 => self.cancel_some(client),
            _ if self.clients[client].is_caller => self.ask_some(client),
            _ => {}
        }
        self.after_around(self.plan.pause_ms, Event::Act(client));
    }

    /// It stops to serve something, begins again, or takes more or less.
    fn change_service(&mut self, client: usize) {
        let action = self.random.pick(&self.plan.actions);
        if self.clients[client].is_moving || !self.clients[client].is_ready {
            return;
        }
        if self.clients[client].serving.contains_key(action) && self.random.chance(500) {
            self.clients[client].serving.remove(action);
            if let Ok(action) = Name::new(action) {
                self.say(client, answerback_protocol::frames::Unserve { action }, Payload::NONE);
            }
        } else {
            let credit = self.random.between(1, self.plan.credit) as u32;
            self.clients[client].serving.insert(action, credit);
            self.serve(client, action, credit);
        }
    }

    fn ask_some(&mut self, client: usize) {
        if !self.clients[client].is_ready || self.clients[client].is_moving {
            return;
        }
        let burst = if self.random.chance(200) { 6 } else { 1 };
        for _ in 0..burst {
            if self.clients[client].waiting.len() < WAITING_MAX {
                let asked = self.invent(client);
                self.ask(client, asked);
            }
        }
    }

    fn invent(&mut self, client: usize) -> Asked {
        let action = self.random.pick(&self.plan.actions);
        let mut asked = self.plain(client, action);
        let patient = matches!(self.plan.mood, Mood::Peace | Mood::Drains);
        match self.random.below(20) {
            0..3 => asked.kind = Kind::Broadcast,
            3..5 => asked.kind = Kind::Send,
            5..9 => asked.key = Some(self.random.below(4)),
            _ => {}
        }
        if asked.kind != Kind::Broadcast && asked.key.is_none() && self.random.chance(300) {
            asked.attempts = Some(self.random.between(1, 3) as u32);
        }
        if !patient && asked.key.is_none() {
            asked.timeout = self.random.chance(600).then(|| self.random.between(10, 5_000));
            asked.ttl = match self.random.below(5) {
                0 if asked.kind != Kind::Broadcast => Some(0),
                1 => Some(self.random.below(800)),
                _ => None,
            };
        }
        if asked.kind == Kind::Send {
            // What nobody serves would wait for a day.
            asked.timeout = asked.timeout.or(Some(30_000));
        }
        asked
    }

    pub(super) fn plain(&mut self, client: usize, action: &'static str) -> Asked {
        Asked {
            server: self.clients[client].server,
            id: self.next_id(client),
            action,
            kind: Kind::Call,
            key: None,
            attempts: None,
            ttl: None,
            timeout: None,
            sent: None,
            cancelled: false,
            alive: true,
            starts: Vec::new(),
            told_not_run: false,
            parts: [0; 3],
            must_be_answered: false,
        }
    }

    pub(super) fn ask(&mut self, client: usize, asked: Asked) -> Token {
        let token = self.ledger.asked.len();
        self.clients[client].waiting.insert(asked.id, token);
        self.ledger.asked.push(asked);
        self.announce(client, token);
        token
    }

    /// Says a request, for the first time or once more.
    pub(super) fn announce(&mut self, client: usize, token: Token) {
        let now = self.now;
        let asked = &mut self.ledger.asked[token];
        let again = asked.sent.is_some();
        let gone = asked.sent.get_or_insert(now).millis_until(now);
        let Ok(action) = Name::new(asked.action) else { return };
        let frame = Request {
            ttl: asked.ttl.map(|ttl| ttl.saturating_sub(gone)),
            timeout: asked.timeout.map(|timeout| timeout.saturating_sub(gone)),
            broadcast: asked.kind == Kind::Broadcast,
            reply: asked.kind != Kind::Send,
            attempts: asked.attempts,
            key: asked.key.map(|key| format!("k{key}").into()),
            trace: Some(token.to_string().into()),
            info: token.is_multiple_of(7),
            again,
            ..Request::call(asked.id, action)
        };
        let data = Payload::from(asked.data(token).as_str());
        self.trace.line(now, || format!("client {client} asks {frame:?}"));
        self.say(client, frame, data);
    }

    fn cancel_some(&mut self, client: usize) {
        let calls = self.clients[client].waiting.iter();
        let plain =
            |token: Token| self.ledger.asked[token].kind != Kind::Send && self.ledger.asked[token].key.is_none();
        let calls: Vec<_> = calls.filter(|(_, token)| plain(**token)).map(|(id, token)| (*id, *token)).collect();
        if !calls.is_empty() && self.clients[client].is_ready {
            let (id, token) = self.random.pick(&calls);
            self.ledger.asked[token].cancelled = true;
            self.say(client, Cancel { id }, Payload::NONE);
        }
    }

    pub(super) fn take_reply(&mut self, client: usize, reply: &Reply<'_>, data: &Payload) {
        let Some(token) = self.clients[client].waiting.get(&reply.id).copied() else {
            panic!("broken: client {client} got a reply with id {}, for which it does not wait", reply.id)
        };
        let asked = &mut self.ledger.asked[token];
        if reply.part {
            let place = match &reply.error {
                None => 0,
                Some(error) if error.code == Code::Fault => 1,
                Some(_) => 2,
            };
            asked.parts[place] += 1;
            return;
        }
        self.clients[client].waiting.remove(&reply.id);
        let word = reply.error.as_ref().map_or("ok", |error| error.code.as_str());
        self.trace.count("mesh answer", word);
        self.trace.line(self.now, || format!("request {token} is answered: {reply:?}"));
        self.check_answer(token, reply, data);
    }

    fn check_answer(&mut self, token: Token, reply: &Reply<'_>, data: &Payload) {
        let mood = self.plan.mood;
        let asked = &mut self.ledger.asked[token];
        if let Some(error) = reply.error.as_ref().filter(|error| error.ran == Ran::No) {
            hold!(asked.starts.is_empty(), "request {token} was started, and is said not to have run: {error:?}");
            asked.told_not_run = true;
        }
        let code = reply.error.as_ref().map(|error| error.code);
        let is_answer = matches!(code, None | Some(Code::Fault));
        let is_too_much =
            code == Some(Code::Overloaded) && reply.error.as_ref().is_some_and(|e| e.retry_after.is_some());
        let may_fail = (asked.cancelled && code == Some(Code::Cancelled)) || is_too_much;
        hold!(is_answer || !asked.must_be_answered, "request {token} must be answered: {:?}", reply.error);
        if asked.kind == Kind::Broadcast {
            return self.check_gather(token, reply);
        }
        let refused = code == Some(Code::Draining) && reply.error.as_ref().is_some_and(|error| error.ran == Ran::No);
        match mood {
            Mood::Peace => hold!(is_answer || may_fail, "all is well, but request {token} failed: {:?}", reply.error),
            Mood::Drains => {
                hold!(is_answer || may_fail || refused, "servers leave, and request {token} failed: {:?}", reply.error);
            }
            Mood::Storm | Mood::War => {}
        }
        if is_answer {
            self.check_said(token, data);
        }
    }

    /// What came was said by a handler that had started it, or what shares its key.
    fn check_said(&mut self, token: Token, data: &Payload) {
        let asked = &self.ledger.asked[token];
        let expected = format!("{} by client ", asked.data(token));
        hold!(data.starts_with(expected.as_bytes()), "request {token} got the answer of another one: {data:?}");
        if asked.starts.iter().any(|start| start.answered) {
            return;
        }
        let Some(_) = asked.key else { panic!("broken: request {token} has an answer that nobody gave") };
        let same = self.ledger.asked.iter().filter(|other| (other.key, other.action) == (asked.key, asked.action));
        let by = same.flat_map(|other| other.starts.iter().map(|start| (other.server, start)));
        let Some((server, _)) = by.into_iter().find(|(_, start)| start.answered) else {
            panic!("broken: request {token} has an answer that nobody gave under its key")
        };
        if server != asked.server {
            self.trace.count("mesh", "joined over servers");
        }
    }

    fn check_gather(&mut self, token: Token, reply: &Reply<'_>) {
        let asked = &self.ledger.asked[token];
        let Some(gather) = &reply.gather else {
            hold!(reply.error.is_some(), "broadcast {token} ended without counts");
            return;
        };
        hold!(
            gather.expected == gather.answered + gather.failed + gather.lost,
            "broadcast {token} does not add up: {gather:?}"
        );
        if reply.error.is_some() || !matches!(self.plan.mood, Mood::Peace) {
            return;
        }
        let [answered, failed, _] = asked.parts;
        let answered_once = asked.starts.iter().filter(|start| start.answered).count() as u64;
        hold!(gather.failed == failed, "broadcast {token}: {gather:?}, but {:?} came", asked.parts);
        hold!(gather.answered <= answered, "broadcast {token}: {gather:?}, but {:?} came", asked.parts);
        hold!(
            gather.answered + gather.failed == answered_once,
            "broadcast {token}: {gather:?}, but {answered_once} have answered"
        );
    }

    /// A send is taken.
    pub(super) fn take_accepted(&mut self, client: usize, id: RequestId) {
        let Some(token) = self.clients[client].waiting.remove(&id) else {
            panic!("broken: client {client} got accepted with id {id}, for which it does not wait")
        };
        hold!(self.ledger.asked[token].kind == Kind::Send, "call {token} was accepted as if it were a send");
    }
}
