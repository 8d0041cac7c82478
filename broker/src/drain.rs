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
        self.send_everybody_away();
        let waiting = self.waiting();
        let calls: Vec<_> = waiting.iter().copied().filter(|&key| !self.is_send(key)).collect();
        let note = Note::Draining {
            calls_returned: calls.len() as u64,
            sends_waiting: (waiting.len() - calls.len()) as u64,
            running: self.held().delivered as u64,
        };
        self.out.push_back(Output::Note(note));
        for call in calls {
            self.end(call, End::Draining);
        }
        self.look_whether_drained();
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

    fn waiting(&self) -> Vec<Key<Request>> {
        self.requests.iter().filter(|(_, request)| request.state == State::Queued).map(|(key, _)| key).collect()
    }

    fn is_send(&self, key: Key<Request>) -> bool {
        self.requests.get(key).is_some_and(|request| request.owner == Owner::Nobody)
    }

    /// Whether the last request has ended.
    pub(crate) fn look_whether_drained(&mut self) {
        let done = self.requests.len() == 0;
        if let Some(drain) = self.drain.as_mut().filter(|drain| done && !drain.over) {
            drain.over = true;
            self.alarms.unset(drain.deadline, Alarm::Drain);
            self.out.push_back(Output::Drained { complete: true });
        }
    }

    /// The deadline: whoever still waits is told.
    pub(crate) fn drain_over(&mut self) {
        let Some(drain) = self.drain.as_mut().filter(|drain| !drain.over) else { return };
        drain.over = true;
        for key in self.requests.keys() {
            let end = match self.requests.get(key).map(|request| request.state) {
                Some(State::Queued | State::Arrived) => End::Draining,
                Some(State::Delivered { .. } | State::Joined { .. } | State::Gathering) => End::DrainedAway,
                None => continue,
            };
            self.end(key, end);
        }
        self.out.push_back(Output::Drained { complete: false });
    }
}
