//! What a client does as a handler: it serves with a credit that it changes, works, answers, hands back, and dies.

use crate::agenda::Timer;
use crate::client::Serving;
use crate::ledger::{How, Kind, Start, Token, hold};
use crate::world::World;
use answerback_protocol::frames::{Answer, AnswerError, Deliver, Release, Serve, Unserve};
use answerback_protocol::{DeliveryId, Name, Payload};
use std::time::Duration;

/// A delivery that a handler has.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) token: Token,
    action: String,
    plan: Plan,
    /// Parts it still sends before its answer.
    parts: u64,
    sent_parts: u64,
    /// In which life of the server it came.
    life: u32,
    /// Only the newest timer counts.
    serial: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Answer,
    Fault {
        retryable: bool,
    },
    /// It is not started and will be handed back.
    HandBack,
}

impl World {
    /// Begins or ends to serve something, or changes a credit.
    pub(crate) fn change_service(&mut self, client: usize) {
        let action = self.random.pick(&self.scenario.actions);
        if self.clients[client].serving.get(action).is_some_and(|serving| serving.wanted) && self.random.chance(150) {
            self.stop_serving(client, action);
        } else {
            self.clients[client].serving.entry(action.to_owned()).or_default().wanted = true;
            self.serve(client, action);
        }
    }

    fn serve(&mut self, client: usize, action: &str) {
        let credit = self.random.between(1, self.clients[client].habits.credit) as u32;
        self.say_service(client, action, credit);
    }

    fn stop_serving(&mut self, client: usize, action: &str) {
        self.clients[client].serving.entry(action.to_owned()).or_default().wanted = false;
        self.say_service(client, action, 0);
    }

    fn say_service(&mut self, client: usize, action: &str, credit: u32) {
        let Ok(name) = Name::new(action) else { return };
        if !self.clients[client].is_ready() {
            return;
        }
        self.clients[client].serving.entry(action.to_owned()).or_default().asked.push_back(credit);
        match credit {
            0 => self.say(client, Unserve { action: name }, b""),
            _ => self.say(client, Serve { action: name, credit }, b""),
        }
    }

    /// After a reconnect: says again what it serves and what not. Until the broker confirms, any credit that it may have
    /// in force is allowed.
    pub(crate) fn serve_again(&mut self, client: usize) {
        let actions: Vec<_> =
            self.clients[client].serving.iter().map(|(action, s)| (action.clone(), s.wanted)).collect();
        for (action, wanted) in actions {
            let serving = self.clients[client].serving.entry(action.clone()).or_default();
            let asked = std::mem::take(&mut serving.asked);
            serving.in_force = asked.into_iter().fold(serving.in_force, u32::max);
            if wanted { self.serve(client, &action) } else { self.say_service(client, &action, 0) }
        }
    }

    /// `serving` or `unserved` came in.
    pub(crate) fn confirmed(&mut self, client: usize, action: &str) {
        let serving = self.clients[client].serving.get_mut(action);
        let Some((serving, credit)) = serving.and_then(|s| s.asked.pop_front().map(|credit| (s, credit))) else {
            panic!("broken: client {client} is told about `{action}` and did not ask")
        };
        serving.in_force = credit;
    }

    /// `serve` or `unserve` was refused.
    pub(crate) fn refused(&mut self, client: usize, action: &str) {
        if let Some(serving) = self.clients[client].serving.get_mut(action) {
            serving.asked.pop_front();
            if serving.asked.is_empty() {
                *serving = Serving::default();
            }
        }
    }

    /// A delivery comes in. It is started at once, or laid aside to be handed back.
    pub(crate) fn take_delivery(&mut self, client: usize, deliver: &Deliver<'_>, data: &[u8]) {
        let token = self.ledger.identify(deliver.trace.as_deref(), data);
        let asked = &self.ledger.asked[token];
        hold!(asked.data == data, "request {token} reached its handler with other data");
        hold!(asked.trace.as_deref() == deliver.trace.as_deref(), "request {token} lost its trace");
        hold!(asked.action == &*deliver.action, "request {token} reached a handler of `{}`", deliver.action);
        hold!(asked.name == *deliver.from, "request {token} is said to be from {}", deliver.from);
        let (broadcast, ordinary) = (asked.broadcast, asked.kind == Kind::Ordinary);
        self.check_credit(client, &deliver.action);
        let plan = self.plan();
        let parts = if ordinary && !broadcast && self.random.chance(80) { self.random.between(1, 4) } else { 0 };
        let job =
            Job { token, action: deliver.action.to_string(), plan, parts, sent_parts: 0, life: self.life, serial: 0 };
        let twice = self.clients[client].holding.insert(deliver.id.get(), job);
        let muddled = self.ledger.asked[token].muddled;
        // After a restart the same request may come with the same delivery id, if it came so late that it was given up.
        let twice = twice.filter(|before| before.life == self.life);
        hold!(twice.is_none() || muddled, "client {client} was given delivery {} twice", deliver.id);
        self.recent.push(deliver.id.get());
        if plan != Plan::HandBack {
            self.trace.line(self.now, || format!("client {client} starts request {token}"));
            let delivery = self.border.deliveries.get(&(self.clients[client].session, deliver.id.get()));
            let delivered = delivery.map_or(self.now, |delivery| delivery.at);
            let mut start = Start::new(client, self.now, delivered);
            // The server died before its handler had read it.
            start.in_doubt = delivery.is_none() && self.life > 0 || self.down;
            self.ledger.start(token, start);
        }
        let after = self.duration();
        self.go_on_later(client, deliver.id.get(), after);
    }

    fn check_credit(&self, client: usize, action: &str) {
        let me = &self.clients[client];
        let in_force = me.serving.get(action).map_or(0, |serving| serving.in_force);
        // What was lost because nobody said within the grace time that it is held is no longer the broker's to count.
        let is_known = |id: u64| self.border.deliveries.contains_key(&(me.session, id));
        let counts = |job: &Job| job.action == action && !self.ledger.asked[job.token].muddled;
        let unanswered = me.holding.iter().filter(|(id, job)| counts(job) && is_known(**id)).count() as u32;
        hold!(
            unanswered < in_force,
            "client {client} got a delivery of `{action}` with {unanswered} unanswered and credit {in_force}"
        );
    }

    fn plan(&mut self) -> Plan {
        match self.random.below(12) {
            0 => Plan::HandBack,
            1 => Plan::Fault { retryable: self.random.chance(500) },
            _ => Plan::Answer,
        }
    }

    /// Mostly short; now and then longer than any timeout.
    fn duration(&mut self) -> Duration {
        if self.random.chance(15) { self.around(4_000) } else { self.around(self.scenario.work_ms) }
    }

    fn go_on_later(&mut self, client: usize, delivery: u64, after: Duration) {
        if let Some(job) = self.clients[client].holding.get_mut(&delivery) {
            job.serial += 1;
            let serial = job.serial;
            self.wake_later(client, after, Timer::Work { delivery, serial });
        }
    }

    /// Goes on with its work: the next part, or the end.
    pub(crate) fn work(&mut self, client: usize, delivery: u64, serial: u64) {
        let me = &mut self.clients[client];
        if me.is_dead() {
            return;
        }
        let Some(job) = me.holding.get_mut(&delivery).filter(|job| job.serial == serial) else { return };
        if job.plan == Plan::HandBack || job.parts == 0 {
            return self.finish(client, delivery);
        }
        job.parts -= 1;
        job.sent_parts += 1;
        let (token, seq) = (job.token, job.sent_parts);
        self.answer(client, delivery, token, How::Part { seq });
        let after = self.duration();
        self.go_on_later(client, delivery, after);
    }

    fn finish(&mut self, client: usize, delivery: u64) {
        let Some(job) = self.clients[client].holding.remove(&delivery) else { return };
        match job.plan {
            Plan::HandBack => {
                self.trace.count("client", "handed back");
                self.say(client, Release { id: DeliveryId::truncated(delivery) }, b"");
            }
            Plan::Answer => self.answer(client, delivery, job.token, How::Result),
            Plan::Fault { retryable } => self.answer(client, delivery, job.token, How::Fault { retryable }),
        }
        if job.plan != Plan::HandBack && self.random.chance(self.clients[client].habits.rude) {
            self.intrude(client, delivery, "second answer");
        }
    }

    fn answer(&mut self, client: usize, delivery: u64, token: Token, how: How) {
        let said = self.ledger.say(Some(token), how);
        self.send_answer(client, delivery, said);
    }

    /// Sends what it says about a delivery.
    pub(crate) fn send_answer(&mut self, client: usize, delivery: u64, said: usize) {
        let said = self.ledger.said[said].clone();
        let (mut error, mut seq) = (None, None);
        match said.how {
            How::Fault { retryable } => {
                error = Some(AnswerError { code: "broke".into(), message: "it broke".into(), retryable });
            }
            How::Part { seq: number } => seq = Some(number),
            How::Result | How::Intruder => {}
        }
        let answer = Answer { id: DeliveryId::truncated(delivery), error, part: seq.is_some(), seq };
        self.say_reply(client, answer.into(), Payload::from(said.data), said.about);
    }

    /// The caller of a delivery has gone. Some handlers stop soon, others do not care.
    pub(crate) fn told_to_cancel(&mut self, client: usize, delivery: u64) {
        self.trace.count("client", "told to cancel");
        if self.random.chance(600) {
            let after = self.around(10);
            if let Some(job) = self.clients[client].holding.get_mut(&delivery) {
                job.parts = 0;
            }
            self.go_on_later(client, delivery, after);
        }
    }

    /// The server leaves: what is not started is handed back.
    pub(crate) fn told_to_go(&mut self, client: usize) {
        self.trace.count("client", "told to go");
        let aside = self.clients[client].holding.iter().filter(|(_, job)| job.plan == Plan::HandBack);
        let aside: Vec<_> = aside.map(|(delivery, _)| *delivery).collect();
        aside.into_iter().for_each(|delivery| self.finish(client, delivery));
    }

    /// Dies, or loses its connection in one of many ways.
    pub(crate) fn be_unsteady(&mut self, client: usize) {
        match self.random.below(4) {
            0 => self.die(client),
            1 => {
                self.say_bye(client);
                self.add_client(self.clients[client].habits);
            }
            2 => self.connect(client),
            _ => {
                if let Some(link) = self.clients[client].link() {
                    self.trace.count("client", "hung up");
                    self.client_lost(link);
                }
            }
        }
    }

    /// Its process dies: nothing it knew is left. Another one takes its place, with another session.
    pub(crate) fn die(&mut self, client: usize) {
        self.trace.count("client", "died");
        self.vanish(client);
        self.add_client(self.clients[client].habits);
    }
}
