//! The actions of the broker's own: `$echo`, `$actions`, `$stats`, `$sessions`; `$explain` is in `explain.rs`.

use crate::action::Action;
use crate::broker::Broker;
use crate::endings::Outcome;
use crate::session::Session;
use crate::tables::Key;
use crate::words;
use answerback_protocol::frames::{Reply, Request as Frame};
use answerback_protocol::{Code, Payload, Ran};
use serde_json::{Value, json};
use std::cmp::Ordering;

/// Entries in a list at most, so that an answer fits into a frame and is made in a moment.
const LIST_MAX: usize = 1_000;

/// Names of actions shown for one session.
const SERVES_MAX: usize = 16;

impl Broker {
    /// Answers a request for a name that starts with `$`.
    pub(crate) fn builtin(&mut self, session: Key<Session>, frame: &Frame<'_>, data: Payload) {
        let answer = match frame.action.as_str() {
            "$echo" => Ok(data),
            "$actions" => Ok(payload(&self.list_actions())),
            "$stats" => Ok(payload(&self.list_stats())),
            "$peers" => Ok(payload(&self.list_peers())),
            "$sessions" => Ok(payload(&self.list_sessions())),
            "$explain" => self.explain(session, &data).map(|answer| payload(&answer)),
            other => Err(Outcome::failed(Code::NoHandler, Ran::No, 0, words::no_builtin(other), None)),
        };
        let outcome = answer.map_or_else(|failed| failed, |data| Outcome { error: None, data });
        match &outcome.error {
            Some(error) => self.counts.error(error.code),
            None => self.counts.replies += 1,
        }
        if frame.reply {
            self.reply(session, Reply { error: outcome.error, ..Reply::to(frame.id) }, outcome.data);
        } else {
            self.accepted(session, frame.id.get());
        }
    }

    fn list_actions(&self) -> Value {
        // What leads to other servers is no action that anybody could call.
        let actions = self.actions.iter().map(|(_, action)| action).filter(|action| !action.name.starts_with('$'));
        let (first, more) = first_of(actions, |a, b| a.name.cmp(&b.name));
        let list: Vec<_> = first.into_iter().map(|action| self.action_line(action)).collect();
        json!({ "actions": list, "more": more })
    }

    fn action_line(&self, action: &Action) -> Value {
        json!({
            "action": &*action.name,
            "handlers": action.handlers.len(),
            "elsewhere": self.elsewhere(action),
            "credit": self.credit_of(action),
            "in_flight": action.in_flight,
            "queued": action.queue.len(),
            "bytes": action.bytes,
            "oldest_ms": action.oldest(&self.requests).map(|since| since.millis_until(self.now)),
        })
    }

    pub(crate) fn credit_of(&self, action: &Action) -> u64 {
        let handlers = action.handlers.iter().filter_map(|&key| self.handlers.get(key));
        handlers.filter(|handler| handler.open && handler.present).map(|handler| u64::from(handler.credit)).sum()
    }

    fn list_sessions(&self) -> Value {
        let (first, more) = first_of(self.sessions.iter().map(|(_, session)| session), |a, b| a.client.cmp(&b.client));
        let list: Vec<_> = first.into_iter().map(|session| self.session_line(session)).collect();
        json!({ "sessions": list, "more": more })
    }

    fn session_line(&self, session: &Session) -> Value {
        let serves = session.serves.keys().take(SERVES_MAX).filter_map(|&key| self.actions.get(key)).map(|a| &*a.name);
        json!({
            "client": session.client,
            "name": &*session.name,
            "is_server": session.link.is_some(),
            "connected": session.connection.is_some(),
            "address": session.connection.map(|connection| self.peer_of(connection)),
            "waiting": session.calls.len(),
            "holding": session.deliveries.len(),
            "subscriptions": session.subscriptions.len(),
            "serving": session.serves.len(),
            "serves": serves.collect::<Vec<_>>(),
        })
    }

    /// How the store is, if there is one.
    fn store_line(&self) -> Value {
        if !self.settings.has_store {
            return Value::Null;
        }
        json!({
            "takes_durable": self.journal.takes_durable,
            "unsaved_ms": self.journal.unsaved_since.map(|since| since.millis_until(self.now)),
            "recovering_ms": self.recovering.as_ref().map(|recovering| self.now.millis_until(recovering.until)),
        })
    }

    fn list_stats(&self) -> Value {
        let (held, counts) = (self.held(), &self.counts);
        let errors: serde_json::Map<_, _> =
            counts.errors.iter().map(|(code, &count)| (code.to_string(), count.into())).collect();
        json!({
            "server": self.settings.server,
            "uptime_ms": self.now.micros() / 1_000,
            "draining": self.is_draining(),
            "connections": held.connections,
            "clients": self.sessions.iter().filter(|(_, session)| session.connection.is_some()).count(),
            "sessions": held.sessions,
            "actions": held.actions,
            "queued": held.queued,
            "in_flight": held.delivered,
            "storing": held.storing,
            "bytes": held.bytes,
            "kept_replies": held.kept_replies,
            "kept_reply_bytes": self.kept.bytes,
            "stored_replies": held.stored_replies,
            "subscriptions": held.subscriptions,
            "peers": self.peers_up(),
            "topics": self.topics.patterns(),
            "store": self.store_line(),
            "total": {
                "connections": counts.connections,
                "sessions": counts.sessions,
                "resumed": counts.resumed,
                "frames_in": counts.frames_in,
                "frames_out": counts.frames_out,
                "data_in": counts.data_in,
                "data_out": counts.data_out,
                "requests": counts.requests,
                "accepted": counts.accepted,
                "deliveries": counts.deliveries,
                "replies": counts.replies,
                "errors": errors,
                "sends_lost": counts.sends_lost,
                "passed_on": counts.passed_on,
                "requeued": counts.requeued,
                "stray_replies": counts.stray_replies,
                "malformed": counts.malformed,
                "published": counts.published,
                "events": counts.events,
                "silent": counts.silent,
                "slow": counts.slow,
            },
        })
    }
}

/// The first entries by an order, sorted, and how many more there are. Only these are sorted: there may be many.
fn first_of<'a, T>(all: impl Iterator<Item = &'a T>, order: impl Fn(&T, &T) -> Ordering) -> (Vec<&'a T>, usize) {
    let mut first: Vec<_> = all.collect();
    let more = first.len().saturating_sub(LIST_MAX);
    if more > 0 {
        first.select_nth_unstable_by(LIST_MAX, |a, b| order(a, b));
        first.truncate(LIST_MAX);
    }
    first.sort_unstable_by(|a, b| order(a, b));
    (first, more)
}

fn payload(value: &Value) -> Payload {
    Payload::from(value.to_string().into_bytes())
}
