//! A small broker for one session, as PROTOCOL describes it and no larger: it takes requests, runs or refuses them, keeps replies
//! until they are acknowledged, delivers work, and checks that the client keeps to the rules.

use super::*;
use answerback_protocol::frames::{CancelDelivery, Ping, Pong, Request, Resume, Serving, Unserved};
use answerback_protocol::limits::HOLDING_MAX;
use std::collections::{BTreeSet, VecDeque};

/// A frame to the client, with its data.
pub(super) type Outgoing = (ServerFrame<'static>, String);

#[derive(Default)]
pub(super) struct Model {
    /// Whether it has a session, and whether anything was said in it after `hello`.
    open: bool,
    confirmed: bool,
    /// Whether `hello` was said on the connection that there is.
    greeted: bool,
    epoch: u64,
    /// Calls that wait for their answer.
    waiting: BTreeMap<u64, Waiting>,
    /// Replies sent on this connection and not acknowledged, and how many were acknowledged.
    sent: VecDeque<Outgoing>,
    acknowledged: u64,
    unclaimed: BTreeMap<u64, Vec<Outgoing>>,
    accepted: BTreeSet<u64>,
    announced: BTreeSet<u64>,
    pub(super) serves: bool,
    deliveries: BTreeMap<u64, Delivered>,
    resuming: bool,
    /// Replies that it took in, and those that it acknowledged.
    taken: u64,
    told: u64,
    pub(super) outbox: VecDeque<Outgoing>,
    // What is so whatever becomes of the session.
    /// How often each request was run.
    pub(super) runs: BTreeMap<u64, u32>,
    next_delivery: u64,
    /// What the client has said of deliveries in its own house.
    pub(super) started: BTreeSet<u64>,
    pub(super) handed_back: BTreeSet<u64>,
}

struct Waiting {
    epoch: u64,
    deadline: Option<Instant>,
    ran: bool,
    parts: u64,
}

#[derive(Default)]
struct Delivered {
    held: bool,
    parts: u64,
}

impl Model {
    pub(super) fn calls(&self) -> Vec<u64> {
        self.waiting.keys().copied().collect()
    }

    pub(super) fn deliveries(&self) -> Vec<u64> {
        self.deliveries.keys().copied().collect()
    }

    // ── connections

    /// The connection is gone. Nobody comes back in time if the server forgets.
    pub(super) fn disconnected(&mut self, forgets: bool) {
        self.outbox.clear();
        self.greeted = false;
        for (frame, data) in std::mem::take(&mut self.sent) {
            let ServerFrame::Reply(reply) = &frame else { continue };
            self.unclaimed.entry(reply.id.get()).or_default().push((frame, data));
        }
        if forgets || !self.confirmed {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let (runs, started) = (std::mem::take(&mut self.runs), std::mem::take(&mut self.started));
        let handed_back = std::mem::take(&mut self.handed_back);
        *self = Self {
            epoch: self.epoch,
            next_delivery: self.next_delivery,
            runs,
            started,
            handed_back,
            ..Self::default()
        };
    }

    fn hello(&mut self, welcome: Welcome<'static>) {
        let resumed = std::mem::replace(&mut self.open, true);
        self.epoch += 1;
        self.greeted = true;
        (self.acknowledged, self.taken, self.told) = (0, 0, 0);
        self.announced.clear();
        self.deliveries.values_mut().for_each(|delivery| delivery.held = false);
        self.resuming = !self.deliveries.is_empty();
        self.outbox.push_back((Welcome { resumed, ..welcome }.into(), String::new()));
    }

    // ── what the client says

    pub(super) fn hears(&mut self, now: Instant, welcome: Welcome<'static>, head: &str, data: &str) {
        let frame = ClientFrame::read(head.as_bytes()).expect("a sound head");
        if let ClientFrame::Hello(_) = frame {
            return self.hello(welcome);
        }
        self.confirmed = true;
        match frame {
            ClientFrame::Request(request) => self.request(now, &request, data),
            ClientFrame::Cancel(cancel) if self.waiting.contains_key(&cancel.id.get()) => {
                self.fails(cancel.id.get(), Code::Cancelled);
            }
            ClientFrame::Ack(ack) => {
                let news = ack.replies.checked_sub(self.acknowledged).expect("acks never go down") as usize;
                assert!((1..=self.sent.len()).contains(&news), "{news} replies are acknowledged");
                self.sent.drain(..news);
                self.acknowledged = ack.replies;
            }
            ClientFrame::Answer(answer) => self.answered(answer.id.get(), answer.seq),
            ClientFrame::Release(release) => self.released(release.id.get()),
            ClientFrame::Resume(resume) => self.resumed(&resume),
            ClientFrame::Serve(serve) => {
                self.serves = true;
                self.tells(Serving { action: serve.action.into_text().into_static() });
            }
            ClientFrame::Unserve(unserve) => {
                self.serves = false;
                self.tells(Unserved { action: unserve.action.into_text().into_static() });
            }
            ClientFrame::Ping(_) => self.tells(Pong),
            _ => {}
        }
    }

    fn request(&mut self, now: Instant, request: &Request<'_>, data: &str) {
        let id = request.id.get();
        assert!(self.announced.insert(id), "{id} was said twice on one connection");
        assert_eq!(data, id.to_string());
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.epoch = self.epoch;
        }
        let unclaimed = self.unclaimed.remove(&id);
        let is_known = self.waiting.contains_key(&id) || unclaimed.is_some() || self.accepted.contains(&id);
        for reply in unclaimed.into_iter().flatten() {
            self.sends_reply(reply);
        }
        if !request.reply {
            if self.accepted.insert(id) {
                *self.runs.entry(id).or_default() += 1;
            }
            return self.tells(Accepted { id: request.id });
        }
        if !is_known {
            let deadline = request.timeout.map(|timeout| now + ms(timeout));
            self.waiting.insert(id, Waiting { epoch: self.epoch, deadline, ran: false, parts: 0 });
        }
    }

    fn answered(&mut self, id: u64, part: Option<u64>) {
        self.taken += 1;
        match part {
            None => drop(self.deliveries.remove(&id)),
            Some(part) => {
                let Some(delivery) = self.deliveries.get_mut(&id) else { return };
                assert!(part <= delivery.parts + 1, "part {part} of delivery {id} comes after {}", delivery.parts);
                delivery.parts = delivery.parts.max(part);
            }
        }
    }

    fn released(&mut self, id: u64) {
        assert!(!self.started.contains(&id) || self.handed_back.contains(&id));
        self.deliveries.remove(&id);
    }

    fn resumed(&mut self, resume: &Resume) {
        assert!(resume.holding.len() <= HOLDING_MAX);
        for id in &resume.holding {
            match self.deliveries.get_mut(&id.get()) {
                Some(delivery) => delivery.held = true,
                None => self.tells(CancelDelivery { id: *id }),
            }
        }
        if resume.more || !std::mem::take(&mut self.resuming) {
            return;
        }
        let (started, handed_back) = (&self.started, &self.handed_back);
        self.deliveries.retain(|id, delivery| {
            let is_lost = started.contains(id) && !handed_back.contains(id);
            assert!(delivery.held || !is_lost, "{id} was started, and the server hears that it never arrived");
            delivery.held
        });
    }

    // ── what it does

    fn tells(&mut self, frame: impl Into<ServerFrame<'static>>) {
        self.outbox.push_back((frame.into(), String::new()));
    }

    fn sends_reply(&mut self, reply: Outgoing) {
        self.sent.push_back(reply.clone());
        self.outbox.push_back(reply);
    }

    /// Sends it, or keeps it until its request is announced again.
    fn replies(&mut self, epoch: u64, reply: Reply<'static>, data: String) {
        let id = reply.id.get();
        if self.greeted && epoch == self.epoch {
            self.sends_reply((reply.into(), data));
        } else {
            self.unclaimed.entry(id).or_default().push((reply.into(), data));
        }
    }

    pub(super) fn runs(&mut self, id: u64) {
        if let Some(waiting) = self.waiting.get_mut(&id).filter(|waiting| !waiting.ran) {
            waiting.ran = true;
            *self.runs.entry(id).or_default() += 1;
        }
    }

    pub(super) fn sends_part(&mut self, id: u64) {
        self.runs(id);
        let Some(waiting) = self.waiting.get_mut(&id) else { return };
        waiting.parts += 1;
        let (epoch, seq) = (waiting.epoch, waiting.parts);
        self.replies(epoch, Reply { part: true, seq: Some(seq), ..Reply::to(request_id(id)) }, seq.to_string());
    }

    pub(super) fn answers(&mut self, id: u64) {
        self.runs(id);
        if let Some(waiting) = self.waiting.remove(&id) {
            self.replies(waiting.epoch, Reply::to(request_id(id)), id.to_string());
        }
    }

    pub(super) fn fails(&mut self, id: u64, code: Code) {
        let Some(waiting) = self.waiting.remove(&id) else { return };
        let ran = if waiting.ran { Ran::Maybe } else { Ran::No };
        let error = CallError { code, message: "m".into(), ran, attempts: 0, retry_after: None, fault: None };
        self.replies(waiting.epoch, Reply { error: Some(Box::new(error)), ..Reply::to(request_id(id)) }, String::new());
    }

    pub(super) fn delivers(&mut self) {
        if self.serves && !self.resuming && self.deliveries.len() < 50 {
            self.next_delivery += 1;
            self.deliveries.insert(self.next_delivery, Delivered::default());
            self.outbox.push_back((deliver(self.next_delivery).into(), "1".to_owned()));
        }
    }

    pub(super) fn pings(&mut self) {
        self.tells(Ping);
    }

    pub(super) fn acknowledges(&mut self) {
        if self.told < self.taken {
            self.told = self.taken;
            self.tells(Ack { replies: self.taken });
        }
    }

    pub(super) fn time_passes(&mut self, now: Instant) {
        let due = self.waiting.iter().filter(|(_, waiting)| waiting.deadline.is_some_and(|at| at <= now));
        for id in due.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.fails(id, Code::Timeout);
        }
    }
}
