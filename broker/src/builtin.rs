//! The actions of the broker's own: `$echo`, `$actions`, `$stats`, `$sessions`, `$explain`.

use crate::action::Action;
use crate::broker::Broker;
use crate::endings::Outcome;
use crate::request::{Owner, Request, State};
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

/// Bytes of a question at most: names and numbers only. The thread that decides must not parse megabytes.
const QUESTION_BYTES_MAX: usize = 4 << 10;

impl Broker {
    /// Answers a request for a name that starts with `$`.
    pub(crate) fn builtin(&mut self, session: Key<Session>, frame: &Frame<'_>, data: Payload) {
        let answer = match frame.action.as_str() {
            "$echo" => Ok(data),
            "$actions" => Ok(payload(&self.list_actions())),
            "$stats" => Ok(payload(&self.list_stats())),
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
        let (first, more) = first_of(self.actions.iter().map(|(_, action)| action), |a, b| a.name.cmp(&b.name));
        let list: Vec<_> = first.into_iter().map(|action| self.action_line(action)).collect();
        json!({ "actions": list, "more": more })
    }

    fn action_line(&self, action: &Action) -> Value {
        json!({
            "action": &*action.name,
            "handlers": action.handlers.len(),
            "credit": self.credit_of(action),
            "in_flight": action.in_flight,
            "queued": action.queue.len(),
            "bytes": action.bytes,
            "oldest_ms": action.oldest(&self.requests).map(|since| since.millis_until(self.now)),
        })
    }

    fn credit_of(&self, action: &Action) -> u64 {
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
            "connected": session.connection.is_some(),
            "address": session.connection.map(|connection| self.peer_of(connection)),
            "waiting": session.calls.len(),
            "holding": session.deliveries.len(),
            "subscriptions": session.subscriptions.len(),
            "serving": session.serves.len(),
            "serves": serves.collect::<Vec<_>>(),
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
            "sessions": held.sessions,
            "actions": held.actions,
            "queued": held.queued,
            "in_flight": held.delivered,
            "bytes": held.bytes,
            "kept_replies": held.kept_replies,
            "kept_reply_bytes": self.kept_bytes,
            "stored_replies": held.stored_replies,
            "subscriptions": held.subscriptions,
            "total": {
                "connections": counts.connections,
                "sessions": counts.sessions,
                "resumed": counts.resumed,
                "frames_in": counts.frames_in,
                "frames_out": counts.frames_out,
                "requests": counts.requests,
                "accepted": counts.accepted,
                "deliveries": counts.deliveries,
                "replies": counts.replies,
                "errors": errors,
                "sends_lost": counts.sends_lost,
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

    /// Why a request waits, in words: of an action, or one of the asker's own requests.
    fn explain(&self, session: Key<Session>, data: &Payload) -> Result<Value, Outcome> {
        let asked = if data.len() <= QUESTION_BYTES_MAX { serde_json::from_slice(data).ok() } else { None };
        let asked: Value = asked.unwrap_or(Value::Null);
        if let Some(name) = asked.get("action").and_then(Value::as_str) {
            let text = self.explain_action(name);
            return Ok(json!({ "action": name, "text": text }));
        }
        if let Some(id) = asked.get("id").and_then(Value::as_u64) {
            let call =
                self.sessions.get(session).and_then(|s| s.calls.get(&id)).and_then(|c| self.requests.get(c.request));
            let text = call.map_or_else(|| words::not_waiting(id), |request| self.explain_request(request));
            return Ok(json!({ "id": id, "text": text }));
        }
        let text = "`$explain` takes {\"action\":\"…\"} or {\"id\":…}".to_owned();
        Err(Outcome::failed(Code::BadRequest, Ran::No, 0, text, None))
    }

    fn explain_action(&self, name: &str) -> String {
        let Some(action) = self.action_by_name.get(name).and_then(|&key| self.actions.get(key)) else {
            return format!("nobody serves `{name}` and nothing waits for it");
        };
        let handlers = action.handlers.iter().filter_map(|&key| self.handlers.get(key));
        let away = handlers.filter(|handler| !handler.present).count();
        let queued = action.queue.len();
        let why = if action.handlers.is_empty() {
            "nobody serves it".to_owned()
        } else if queued == 0 {
            "nothing waits".to_owned()
        } else if away == action.handlers.len() {
            format!("its {away} handlers are away and may come back")
        } else {
            let each = self.settings.dispatch_interval;
            let pause = if each.is_zero() { String::new() } else { format!(", one at most every {each:?}") };
            format!("every handler has as many as it takes ({} of {}){pause}", action.in_flight, self.credit_of(action))
        };
        let wait = match self.predicted_wait(action) {
            Some(wait) => format!("; one that comes now waits about {} ms", wait.as_millis()),
            None => String::new(),
        };
        format!("{queued} requests wait for `{name}`, {} run: {why}{wait}", action.in_flight)
    }

    fn explain_request(&self, request: &Request) -> String {
        let name = self.actions.get(request.action).map_or("", |action| &*action.name);
        let age = request.received.millis_until(self.now);
        let left = self.now.millis_until(request.deadline);
        let state = match request.state {
            State::Arrived | State::Queued => self.explain_action(name),
            State::Delivered { handler, at, .. } => {
                let by = self.handler_name(handler).map_or_else(String::new, |name| name.to_string());
                format!("handler `{by}` has had it for {} ms", at.millis_until(self.now))
            }
            State::Joined { .. } => "it waits for the answer of an earlier call with the same key".to_owned(),
            State::Gathering => {
                let waits = request.rare.as_ref().map_or(0, |rare| rare.parts.len());
                format!("a broadcast: {waits} handlers have not answered")
            }
        };
        let owner = if request.owner == Owner::Nobody { "nobody waits for it" } else { "its caller waits" };
        format!("came {age} ms ago, {left} ms left, {owner}: {state}")
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
