//! The server leaves. New requests go elsewhere, and so do calls that still wait; accepted sends are delivered as long
//! as there is time, and what runs may finish.

use crate::broker::{Alarm, Broker};
use crate::endings::End;
use crate::input::ConnectionId;
use crate::output::{Note, Output};
use crate::request::{Owner, Request, State};
use crate::tables::Key;
use crate::time::Time;
use answerback_protocol::frames::Goaway;
use answerback_protocol::{Payload, Text};
use serde_json::json;

/// A drain that has begun.
pub(crate) struct Drain {
    deadline: Time,
    over: bool,
}

/// Clients are asked to come back one after another, this far apart …
const SPREAD_MICROS_EACH: u64 = 2_000;
/// … but none later than this.
const SPREAD_MICROS_MOST: u64 = 10_000_000;

impl Broker {
    pub(crate) fn drain(&mut self, deadline: Time) {
        if let Some(drain) = &mut self.drain {
            // Asked again: the earlier deadline holds.
            let before = drain.deadline;
            drain.deadline = before.min(deadline);
            self.alarms.unset(before, Alarm::Drain);
            self.alarms.set(before.min(deadline), Alarm::Drain);
            return;
        }
        self.drain = Some(Drain { deadline, over: false });
        self.alarms.set(deadline, Alarm::Drain);
        self.save_doubts();
        self.withdraw_offers();
        self.tell_of(
            "server.draining",
            |broker| json!({ "server": &broker.settings.server, "deadline_ms": broker.now.millis_until(deadline) }),
        );
        self.send_everybody_away();
        let waiting = self.waiting();
        let (sends, calls): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|&key| self.is_send(key));
        let note = Note::Draining {
            calls_returned: calls.len() as u64,
            sends_waiting: sends.len() as u64,
            running: self.in_flight as u64,
        };
        self.out.push_back(Output::Note(note));
        for call in calls {
            self.end(call, End::Draining);
        }
        self.look_whether_drained();
    }

    /// After a clean stop the next life takes the store's word, so what is not known of a request since a crash must be in it.
    fn save_doubts(&mut self) {
        let doubtful = self.requests.iter().filter(|(_, request)| request.keeping.doubtful && request.item != 0);
        let doubtful: Vec<_> = doubtful.map(|(key, _)| key).collect();
        doubtful.into_iter().for_each(|key| self.list_for_snapshot(key));
    }

    /// Tells every client to go, each at another time.
    fn send_everybody_away(&mut self) {
        let connections: Vec<ConnectionId> =
            self.sessions.iter().filter_map(|(_, session)| session.connection).collect();
        let step = SPREAD_MICROS_EACH.min(SPREAD_MICROS_MOST / (connections.len() as u64).max(1));
        for (connection, after) in connections.into_iter().zip((0..).map(|nth: u64| nth * step / 1_000)) {
            let elsewhere = self.settings.elsewhere.iter().cloned().map(Text::from).collect();
            self.send(connection, Goaway { reason: "draining".into(), after, elsewhere }, Payload::NONE);
        }
    }

    /// Asks one client to go, while the server stays. Links between servers stay as well: their ends know of each other.
    pub(crate) fn send_away(&mut self, connection: ConnectionId) {
        let session = self.connection(connection).and_then(|connection| connection.session);
        if self.drain.is_none() && session.is_some_and(|session| !self.is_server(session)) {
            self.send(connection, Goaway { reason: "moving".into(), after: 0, elsewhere: Vec::new() }, Payload::NONE);
        }
    }

    fn waiting(&self) -> Vec<Key<Request>> {
        let waits = |request: &Request| match request.state {
            State::Queued | State::Sought => true,
            // What it joined is not delivered any more in this life.
            State::Joined { leader } if self.settings.has_store => {
                self.requests.get(leader).is_some_and(Request::waits)
            }
            _ => false,
        };
        self.requests.iter().filter(|(_, request)| waits(request)).map(|(key, _)| key).collect()
    }

    fn is_send(&self, key: Key<Request>) -> bool {
        self.requests.get(key).is_some_and(|request| request.owner == Owner::Nobody)
    }

    /// Whether the last request has ended. With a store sends that wait are no reason to stay: they are saved.
    pub(crate) fn look_whether_drained(&mut self) {
        let undecided = self.drain.as_ref().is_some_and(|drain| !drain.over);
        if undecided && (self.requests.len() == 0 || self.only_stored_are_left()) {
            self.drained(true);
        }
    }

    fn only_stored_are_left(&self) -> bool {
        let rests = |request: &Request| request.owner == Owner::Nobody && request.waits();
        self.settings.has_store
            && self.in_flight == 0
            && self.journal.waiting() == 0
            && self.requests.iter().all(|(_, request)| rests(request))
    }

    fn drained(&mut self, complete: bool) {
        let Some(drain) = self.drain.as_mut() else { return };
        drain.over = true;
        self.alarms.unset(drain.deadline, Alarm::Drain);
        self.leave_servers();
        self.out.push_back(Output::Drained { complete });
    }

    /// The deadline: whoever still waits is told. Sends are saved, those that handlers have as well.
    pub(crate) fn drain_over(&mut self) {
        let Some(drain) = self.drain.as_mut().filter(|drain| !drain.over) else { return };
        drain.over = true;
        for key in self.requests.keys() {
            let Some(request) = self.requests.get(key) else { continue };
            if self.settings.has_store && request.owner == Owner::Nobody {
                self.will_not_be_delivered(key);
                continue;
            }
            let end = if request.waits() { End::Draining } else { End::DrainedAway };
            self.end(key, end);
        }
        self.drained(false);
    }
}
