//! What a client does with deliveries: it answers, fails, hands back; and it is told to stop or to go.

use super::client::Client;
use super::ledger::{Kind, Start, Token};
use super::plan::Mood;
use super::world::{Event, World};
use crate::ledger::hold;
use answerback_protocol::frames::{Answer, AnswerError, Deliver, Release, Unserve};
use answerback_protocol::{DeliveryId, Name, Payload};

/// A delivery that a handler has.
#[derive(Debug, Clone)]
pub(super) struct Job {
    token: Token,
    action: String,
    plan: Plan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Answer { parts: u64 },
    Fault { retryable: bool },
    HandBack,
}

impl World {
    pub(super) fn take_delivery(&mut self, client: usize, deliver: &Deliver<'_>, data: &Payload) {
        let token: Option<Token> = deliver.trace.as_deref().and_then(|trace| trace.parse().ok());
        let Some(token) = token.filter(|token| *token < self.ledger.asked.len()) else {
            panic!("broken: a delivery of nothing that was asked: {deliver:?}")
        };
        let asked = &self.ledger.asked[token];
        hold!(asked.action == &*deliver.action, "request {token} came to a handler of {}", deliver.action);
        hold!(asked.data(token).as_bytes() == &data[..], "request {token} came with other data");
        let plan = self.plan_for(token);
        let job = Job { token, action: deliver.action.to_string(), plan };
        let id = deliver.id.get();
        let twice = self.clients[client].holding.insert(id, job);
        hold!(twice.is_none(), "client {client} was given delivery {id} twice");
        self.check_credit(client, &deliver.action);
        if plan != Plan::HandBack {
            self.start_work(client, token);
        }
        let after = self.around(self.plan.work_ms);
        self.after(after, Event::Work { client, delivery: id });
    }

    fn plan_for(&mut self, token: Token) -> Plan {
        if self.ledger.asked[token].must_be_answered {
            return Plan::Answer { parts: 0 };
        }
        match self.random.below(20) {
            0 => Plan::Fault { retryable: false },
            1 => Plan::Fault { retryable: true },
            2 => Plan::HandBack,
            3 => Plan::Answer { parts: self.random.between(1, 3) },
            _ => Plan::Answer { parts: 0 },
        }
    }

    fn check_credit(&self, client: usize, action: &str) {
        if self.plan.mood == Mood::Peace {
            let me = &self.clients[client];
            let has = me.holding.values().filter(|job| job.action == action).count();
            let credit = me.serving.get(action).copied().unwrap_or_default();
            hold!(has <= credit as usize, "client {client} has {has} of `{action}` and takes {credit}");
        }
    }

    fn start_work(&mut self, client: usize, token: Token) {
        let handler = self.clients[client].session;
        let keeps_keys = matches!(self.plan.mood, Mood::Peace) && self.plan.all_in_reach();
        let asked = &self.ledger.asked[token];
        if let (Some(_), true) = (asked.key, keeps_keys) {
            let same = self.ledger.asked.iter().filter(|other| (other.key, other.action) == (asked.key, asked.action));
            let before = same.flat_map(|other| &other.starts).find(|start| !start.is_void);
            hold!(before.is_none(), "key {:?} of request {token} runs again: {before:?}", asked.key);
        }
        let asked = &mut self.ledger.asked[token];
        self.trace.line(self.now, || format!("client {client} starts request {token}"));
        hold!(!asked.told_not_run, "request {token} runs, and its caller was told that it did not");
        if asked.kind == Kind::Broadcast {
            let known = asked.starts.iter().any(|start| start.handler == handler);
            hold!(!known, "broadcast {token} reached client {client} twice");
        } else {
            let most = asked.attempts_allowed();
            hold!(asked.starts.len() < most, "request {token} is started more than {most} times");
        }
        asked.starts.push(Start { handler, answered: false, is_void: false });
    }

    /// Its work on a delivery is done.
    pub(super) fn work(&mut self, client: usize, delivery: u64) {
        let Some(job) = self.clients[client].holding.get_mut(&delivery) else { return };
        let id = DeliveryId::truncated(delivery);
        let token = job.token;
        if let Plan::Answer { parts: parts @ 1.. } = &mut job.plan {
            *parts -= 1;
            let seq = 10 - *parts;
            self.say_kept(client, Answer { id, error: None, part: true, seq: Some(seq) }.into(), Payload::NONE);
            let after = self.around(self.plan.work_ms);
            return self.after(after, Event::Work { client, delivery });
        }
        let Some(job) = self.clients[client].holding.remove(&delivery) else { return };
        let session = self.clients[client].session;
        let data = Payload::from(format!("{} by client {client}", self.ledger.asked[token].data(token)).as_str());
        let error = match job.plan {
            Plan::HandBack => {
                self.trace.count("mesh", "handed back");
                self.say(client, Release { id }, Payload::NONE);
                return self.move_if_done(client);
            }
            Plan::Answer { .. } => None,
            Plan::Fault { retryable } => {
                Some(AnswerError { code: "broke".into(), message: "it broke".into(), retryable })
            }
        };
        let is_void = error.as_ref().is_some_and(|error| error.retryable);
        for start in self.ledger.asked[token].starts.iter_mut().filter(|start| start.handler == session) {
            start.answered = true;
            start.is_void |= is_void;
        }
        self.say_kept(client, Answer { id, error, part: false, seq: None }.into(), data);
    }

    pub(super) fn told_to_cancel(&mut self, client: usize, delivery: u64) {
        self.trace.count("mesh", "told to cancel");
        let session = self.clients[client].session;
        let Some(job) = self.clients[client].holding.get(&delivery) else { return };
        let starts = self.ledger.asked[job.token].starts.iter_mut();
        starts.filter(|start| start.handler == session).for_each(|start| start.is_void = true);
    }

    /// Its server leaves: it takes nothing more, finishes what it has, and goes to another one.
    pub(super) fn told_to_go(&mut self, client: usize) {
        self.clients[client].is_moving = true;
        let actions: Vec<_> = Client::names(&self.clients[client]);
        for action in actions {
            if let Ok(action) = Name::new(action) {
                self.say(client, Unserve { action }, Payload::NONE);
            }
        }
    }
}

impl Client {
    fn names(&self) -> Vec<&'static str> {
        self.serving.keys().copied().collect()
    }
}
