//! What this client serves, and what the server has been told of that.
//!
//! ```text
//!               written              serving
//!   serve ─────────────► UNCONFIRMED ────────► serves ── a new session ──► to be written again
//!   unserve ───────────► UNCONFIRMED ────────► forgotten
//!                        unserved; and also when the server cannot have heard of it in this session
//! ```

use super::words::Event;
use crate::error::Error;
use answerback_protocol::frames::{Serve, Unserve};
use answerback_protocol::limits::CREDIT_MAX;
use answerback_protocol::{ClientFrame, Name};
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};

#[derive(Default)]
pub(super) struct Services {
    by_action: BTreeMap<Box<str>, Service>,
    /// Whether one of them is to be written.
    any_to_say: bool,
}

#[derive(Default)]
struct Service {
    /// How many deliveries at once; 0 if it is not served any more.
    credit: u32,
    to_say: bool,
    /// Words about it on this connection without an answer.
    unconfirmed: u32,
    /// Whether the server may have heard of it in this session.
    is_known: bool,
}

impl Services {
    pub(super) fn serve(&mut self, action: &str, credit: u32) {
        let service = self.by_action.entry(action.into()).or_default();
        (service.credit, service.to_say) = (credit.clamp(1, CREDIT_MAX), true);
        self.any_to_say = true;
    }

    pub(super) fn unserve(&mut self, action: &str, events: &mut VecDeque<Event>) {
        match self.by_action.get_mut(action) {
            Some(service) if service.is_known => {
                (service.credit, service.to_say) = (0, true);
                self.any_to_say = true;
            }
            _ => self.forget(action, events),
        }
    }

    fn forget(&mut self, action: &str, events: &mut VecDeque<Event>) {
        self.by_action.remove(action);
        events.push_back(Event::Unserved { action: action.into() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_action.is_empty()
    }

    pub(super) fn knows(&self, action: &str) -> bool {
        self.by_action.contains_key(action)
    }

    /// What is served, for the session with another server.
    pub(super) fn served(&self) -> Vec<(Box<str>, u32)> {
        let served = self.by_action.iter().filter(|(_, service)| service.credit > 0);
        served.map(|(action, service)| (action.clone(), service.credit)).collect()
    }

    // ── connections

    /// What was written may not have arrived.
    pub(super) fn disconnected(&mut self) {
        for service in self.by_action.values_mut() {
            (service.to_say, service.unconfirmed) = (true, 0);
        }
        self.any_to_say = !self.by_action.is_empty();
    }

    /// The server has heard of nothing.
    pub(super) fn session_lost(&mut self, events: &mut VecDeque<Event>) {
        for (action, _) in self.by_action.extract_if(.., |_, service| service.credit == 0) {
            events.push_back(Event::Unserved { action });
        }
        for service in self.by_action.values_mut() {
            service.is_known = false;
        }
    }

    // ── writing

    pub(super) fn has_any_to_say(&self) -> bool {
        self.any_to_say
    }

    /// Writes what is to be said, as far as there is room.
    pub(super) fn say(&mut self, out: &mut BytesMut, most: usize) {
        if !self.any_to_say {
            return;
        }
        for (action, service) in self.by_action.iter_mut().filter(|(_, service)| service.to_say) {
            if out.len() >= most {
                return;
            }
            service.to_say = false;
            let Ok(action) = Name::new(&**action) else { continue };
            let frame = match service.credit {
                0 => ClientFrame::from(Unserve { action }),
                credit => ClientFrame::from(Serve { action, credit }),
            };
            frame.write(b"", out);
            (service.unconfirmed, service.is_known) = (service.unconfirmed + 1, true);
        }
        self.any_to_say = false;
    }

    // ── the server's words

    /// `serving` or `unserved`: the answer to one word, of which only the last counts.
    pub(super) fn confirmed(&mut self, action: &str, events: &mut VecDeque<Event>) {
        match self.answered(action) {
            Some(0) => self.forget(action, events),
            Some(_) => events.push_back(Event::Serving { action: action.into() }),
            None => {}
        }
    }

    pub(super) fn refused(&mut self, action: &str, error: Error, events: &mut VecDeque<Event>) {
        match self.answered(action) {
            Some(0) => self.forget(action, events),
            Some(_) => {
                self.by_action.remove(action);
                events.push_back(Event::ServeRefused { action: action.into(), error });
            }
            None => {}
        }
    }

    /// A word about this action is answered. Its credit, if that was the last word.
    fn answered(&mut self, action: &str) -> Option<u32> {
        let service = self.by_action.get_mut(action)?;
        service.unconfirmed = service.unconfirmed.checked_sub(1)?;
        (service.unconfirmed == 0 && !service.to_say).then_some(service.credit)
    }
}
