//! What a store promises, checked where it can be seen: on the disk of the model, at the moment in which something is written,
//! delivered or lost.

use crate::ledger::{Asked, Kind, Token, hold};
use crate::world::World;
use answerback_broker::{Item, SavedRequest};
use answerback_protocol::frames::Deliver;
use answerback_protocol::{Code, Payload};
use std::collections::{BTreeMap, BTreeSet};

/// What was seen on the disk.
#[derive(Default)]
pub(crate) struct Disk {
    /// Requests that are there, each with how many handlers it was given to and whether one has it.
    now: BTreeMap<Token, (u16, bool)>,
    /// By which session a handler has it.
    handlers: BTreeMap<Token, u128>,
    /// Requests that were there at some time.
    ever: BTreeSet<Token>,
    /// How often the server died when it was written that a handler gets a request, and none had got it.
    unlucky: BTreeMap<Token, u32>,
    /// Requests that the snapshot which is being written must hold, and those that it must not.
    gathered: (Vec<Token>, Vec<Token>),
}

impl World {
    fn token_of(&self, saved: &SavedRequest) -> Token {
        self.ledger.identify(saved.trace.as_deref(), &saved.data)
    }

    /// The disk has changed: what is gone from it must not come back.
    pub(crate) fn look_at_disk(&mut self) {
        let Some(store) = &self.store else { return };
        let mut now = BTreeMap::<Token, (u16, bool)>::new();
        self.disk.handlers.clear();
        for saved in store.requests() {
            let with = saved.progress.handler.map(|handler| (self.token_of(saved), handler));
            self.disk.handlers.extend(with);
            let seen = now.entry(self.token_of(saved)).or_default();
            *seen = (*seen).max((saved.progress.attempt, saved.progress.delivered));
        }
        let before = std::mem::replace(&mut self.disk.now, now);
        for token in self.disk.now.keys() {
            self.disk.ever.insert(*token);
            self.gone.remove(token);
        }
        self.gone.extend(before.into_keys().filter(|token| !self.disk.now.contains_key(token)));
    }

    /// A durable request is accepted only when it is on disk.
    pub(crate) fn is_on_disk(&self, token: Token) {
        let asked = &self.ledger.asked[token];
        if asked.journaled && asked.key.is_none() {
            hold!(self.disk.ever.contains(&token), "durable send {token} was accepted before it was on disk");
        }
    }

    /// It is on disk that a handler gets a durable request, before one does.
    pub(crate) fn is_marked(&self, deliver: &Deliver<'_>, data: &Payload) {
        let token = self.ledger.identify(deliver.trace.as_deref(), data);
        if self.ledger.asked[token].journaled && self.store.is_some() {
            let seen = self.disk.now.get(&token).copied();
            let due = (deliver.attempt as u16, true);
            hold!(seen == Some(due), "durable request {token} is delivered as {due:?}, but on disk is {seen:?}");
        }
    }

    /// All was gathered: what waits at this moment must be in the snapshot, and what has ended must not.
    pub(crate) fn note_what_is_gathered(&mut self) {
        let now = self.now;
        let ended = |asked: &Asked| {
            asked.ended.is_some() || asked.settled && asked.reply || !asked.reply && asked.answered_here
        };
        let waits = |asked: &Asked| {
            let life = asked.life == Some(self.life) && asked.stands_alone() && !ended(asked) && !asked.cancelled;
            let here = if asked.reply { self.border.hears(asked) } else { asked.accepted };
            life && here && asked.alive && !asked.muddled && self.border.is_before_its_end(asked, now)
        };
        let is_new = |asked: &Asked| asked.delivered == 0 && waits(asked);
        let all = || self.ledger.asked.iter().enumerate().filter(|(_, asked)| asked.kind == Kind::Ordinary);
        let must = all().filter(|(_, asked)| is_new(asked)).map(|(token, _)| token).collect();
        let over =
            |asked: &Asked| asked.life == Some(self.life) && ended(asked) && !asked.muddled && asked.key.is_none();
        let must_not = all().filter(|(_, asked)| over(asked)).map(|(token, _)| token).collect();
        self.disk.gathered = (must, must_not);
    }

    /// A snapshot has come to the disk.
    pub(crate) fn look_at_snapshot(&mut self) {
        self.look_at_disk();
        let (must, must_not) = std::mem::take(&mut self.disk.gathered);
        for token in must {
            let there = self.disk.now.contains_key(&token);
            hold!(there, "request {token} waited, and is not in the snapshot: {:?}", self.ledger.asked[token]);
        }
        for token in must_not {
            let there = self.disk.now.contains_key(&token) && !self.ledger.asked[token].journaled;
            hold!(!there, "request {token} had ended, and is in the snapshot: {:?}", self.ledger.asked[token]);
        }
    }

    /// The server dies: every durable send that was accepted and has not been given to a handler must be on disk.
    pub(crate) fn nothing_accepted_is_lost(&self) {
        let certain = |asked: &Asked| {
            let alone = asked.stands_alone_on_disk() && !asked.reply && asked.accepted && asked.delivered == 0;
            alone && asked.starts.is_empty() && !asked.muddled && self.border.is_before_its_end(asked, self.now)
        };
        let unlucky = |token| self.disk.unlucky.get(&token).copied().unwrap_or_default();
        for (token, asked) in self.ledger.asked.iter().enumerate().filter(|(_, asked)| certain(asked)) {
            if unlucky(token) >= asked.attempts_allowed() {
                continue;
            }
            hold!(self.disk.now.contains_key(&token), "durable send {token} was accepted, and is lost: {asked:?}");
        }
    }

    /// Written before it is done, a delivery may count that never was. In good order none does.
    fn count_the_unlucky(&mut self, clean: bool) {
        for (token, (attempt, delivered)) in &self.disk.now {
            let asked = &self.ledger.asked[*token];
            if *delivered && asked.journaled && !asked.again && asked.delivered < u32::from(*attempt) {
                let counted = self.disk.unlucky.entry(*token).or_default();
                *counted += 1;
                let before = *counted > 1;
                hold!(!clean || before, "request {token} waits, and was saved as delivered: {asked:?}");
            }
        }
    }

    /// A life ends. What was started in it and is not known on disk may be started once more if its handler does not come
    /// back in time to say what it has: nothing else may.
    pub(crate) fn remember_starts(&mut self, clean: bool) {
        self.nothing_accepted_is_lost();
        self.count_the_unlucky(clean);
        let window = self.ledger.window_until;
        for token in 0..self.ledger.asked.len() {
            let missed_it = self.ledger.asked[token].life != Some(self.life) && self.now >= window;
            self.ledger.asked[token].dropped |= missed_it;
            let asked = &self.ledger.asked[token];
            if asked.starts.is_empty() || asked.broadcast {
                continue;
            }
            // Nobody acknowledges `accepted`: a send of which it was lost is announced again after it has ended.
            let unheard = !asked.reply && !asked.settled && !self.disk.now.contains_key(&token);
            // The answer was lost with the server, and whoever works for a call that has ended need not keep its reply. A caller that was away for
            // longer than the grace time, or a whole life, does not know that its session had ended before the server died.
            let given_up = asked.dropped
                || asked.ended.is_some_and(|(_, code, _)| {
                    matches!(code, Some(Code::Timeout | Code::Cancelled | Code::HandlerLost))
                });
            // A send that may be given to several handlers does not wait for the one that had it before the server died.
            let hurries = !asked.reply && asked.attempts_allowed() > 1;
            if (asked.journaled || clean) && !unheard && !asked.dropped {
                continue;
            }
            let counted = self.starts_on_disk(token);
            let mut uncounted = asked.starts.iter().filter(|start| !start.forgiven).count().saturating_sub(counted);
            for place in 0..self.ledger.asked[token].starts.len() {
                let start = self.ledger.asked[token].starts[place];
                if start.forgiven || uncounted == 0 {
                    continue;
                }
                uncounted -= 1;
                let keeps = self.clients[start.handler].keeps(token);
                let start = &mut self.ledger.asked[token].starts[place];
                start.forgiven = start.abandoned
                    || hurries
                    || (start.in_doubt && self.now >= window)
                    || ((unheard || given_up) && !keeps);
                start.in_doubt = !start.forgiven;
            }
        }
    }

    /// How many starts the disk knows of. One that it says to be with a handler that never started it was handed back since.
    fn starts_on_disk(&self, token: Token) -> usize {
        let Some((attempt, _)) = self.disk.now.get(&token) else { return 0 };
        let handler = self.disk.handlers.get(&token);
        let starts = &self.ledger.asked[token].starts;
        let by = |handler: u128| starts.iter().any(|start| self.clients[start.handler].stored_session == handler);
        usize::from(*attempt) - usize::from(handler.is_some_and(|handler| !by(*handler)))
    }

    /// A handler has come back in time and has said what it has.
    pub(crate) fn accounted_for(&mut self, client: usize) {
        if self.now < self.ledger.window_until {
            let starts = self.ledger.asked.iter_mut().flat_map(|asked| &mut asked.starts);
            starts.filter(|start| start.handler == client).for_each(|start| start.in_doubt = false);
        }
    }

    /// All have left and all is old: the store must be as empty as the broker.
    pub(crate) fn store_is_empty(&mut self) {
        let Some(store) = &mut self.store else { return };
        while !self.broker.gather(1_000, false, &mut store.batch) {}
        store.saved();
        if let Some((last, steps)) = self.broker.take_steps() {
            store.take(last, steps);
        }
        store.synced(u64::MAX);
        let left: Vec<_> = store.items().map(|(place, id, item)| format!("{place} {id:?} {}", kind(item))).collect();
        hold!(left.is_empty(), "all is old, and the store holds {left:?}");
        hold!(!self.broker.has_changes(), "nothing is left, and there are changes");
    }
}

fn kind(item: &Item) -> String {
    match item {
        Item::Request(saved) => format!("request {:?}", saved.progress),
        Item::Kept(_) => "kept reply".to_owned(),
        Item::Stored(_) => "stored reply".to_owned(),
    }
}
