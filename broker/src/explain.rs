//! `$explain`: why a request waits, in words. Of an action, with the requests that wait longest; of one request of the asker's own
//! session; or of one of another client, by the public numbers that the first answer shows.

use crate::action::Action;
use crate::broker::Broker;
use crate::endings::Outcome;
use crate::request::{Owner, Request, State};
use crate::session::Session;
use crate::tables::{Chain, Key};
use crate::words;
use answerback_protocol::{Code, Payload, Ran};
use serde_json::{Value, json};

/// Bytes of a question at most: names and numbers only. The thread that decides must not parse megabytes.
const QUESTION_BYTES_MAX: usize = 4 << 10;

/// Requests of one action that are listed: enough for a person to find the one that is meant, and made in a moment.
const WAITING_MAX: usize = 10;

impl Broker {
    /// Answers a question, if it is one.
    pub(crate) fn explain(&mut self, asker: Key<Session>, data: &Payload) -> Result<Value, Outcome> {
        let asked = if data.len() <= QUESTION_BYTES_MAX { serde_json::from_slice(data).ok() } else { None };
        let asked: Value = asked.unwrap_or(Value::Null);
        let number = |member: &str| asked.get(member).and_then(Value::as_u64);
        match (asked.get("action").and_then(Value::as_str), number("client"), number("id")) {
            (Some(name), ..) => Ok(self.explain_action(name)),
            (None, Some(client), Some(id)) => Ok(self.explain_of_client(client, id)),
            (None, None, Some(id)) => Ok(json!({ "id": id, "text": self.explain_call(asker, id) })),
            _ => {
                let text = "`$explain` takes {\"action\":\"…\"}, {\"id\":…} or {\"client\":…,\"id\":…}".to_owned();
                Err(Outcome::failed(Code::BadRequest, Ran::No, 0, text, None))
            }
        }
    }

    fn explain_action(&mut self, name: &str) -> Value {
        let (waiting, more) = self.longest_waiting(name);
        let handlers = self.action_by_name.get(name).and_then(|&key| self.actions.get(key)).map(|a| a.handlers.len());
        json!({
            "action": name,
            "text": self.why_action_waits(name),
            "handlers": handlers.unwrap_or(0),
            "waiting": waiting,
            "more": more,
        })
    }

    /// The requests at the front of an action's queue, and how many there are behind them.
    fn longest_waiting(&mut self, name: &str) -> (Vec<Value>, usize) {
        let Some(action) = self.action_by_name.get(name).and_then(|&key| self.actions.get(key)) else {
            return (Vec::new(), 0);
        };
        let queued = action.queue.len();
        let mut next = action.queue.first(&self.requests);
        let mut list = Vec::new();
        while let Some(key) = next.filter(|_| list.len() < WAITING_MAX) {
            list.extend(self.requests.get(key).map(|request| self.waiting_line(request)));
            next = Chain::after(&mut self.requests, key);
        }
        let more = queued.saturating_sub(list.len());
        (list, more)
    }

    /// A send has no client: once it was accepted it is nobody's.
    fn waiting_line(&self, request: &Request) -> Value {
        let owner = match request.owner {
            Owner::Caller { session, id } => self.sessions.get(session).map(|session| (session.client, id.get())),
            Owner::Broadcast { .. } | Owner::Nobody | Owner::Gone => None,
        };
        json!({
            "client": owner.map(|(client, _)| client),
            "id": owner.map(|(_, id)| id),
            "name": &*request.from,
            "waits_ms": request.received.millis_until(self.now),
            "left_ms": self.now.millis_until(request.expires),
        })
    }

    fn explain_of_client(&self, client: u64, id: u64) -> Value {
        let session = self.sessions.iter().find(|(_, session)| session.client == client);
        let text = session.map_or_else(|| words::no_client(client), |(key, _)| self.explain_call(key, id));
        json!({ "client": client, "id": id, "text": text })
    }

    fn explain_call(&self, session: Key<Session>, id: u64) -> String {
        let call = self.sessions.get(session).and_then(|session| session.calls.get(&id));
        let request = call.and_then(|call| self.requests.get(call.request));
        request.map_or_else(|| words::not_waiting(id), |request| self.why_request_waits(request))
    }

    fn why_action_waits(&self, name: &str) -> String {
        let Some(action) = self.action_by_name.get(name).and_then(|&key| self.actions.get(key)) else {
            return format!("nobody serves `{name}` and nothing waits for it");
        };
        let requests = match action.queue.len() {
            1 => "1 request waits".to_owned(),
            queued => format!("{queued} requests wait"),
        };
        let run = if action.in_flight == 1 { "1 runs".to_owned() } else { format!("{} run", action.in_flight) };
        let wait = match self.predicted_wait(action) {
            Some(wait) => format!("; one that comes now waits about {} ms", wait.as_millis()),
            None => String::new(),
        };
        format!("{requests} for `{name}`, {run}: {}{wait}", self.what_holds_up(action))
    }

    fn what_holds_up(&self, action: &Action) -> String {
        let handlers = action.handlers.iter().filter_map(|&key| self.handlers.get(key));
        let away = handlers.filter(|handler| !handler.present).count();
        if action.handlers.is_empty() {
            "nobody serves it".to_owned()
        } else if action.queue.is_empty() {
            "nothing waits".to_owned()
        } else if away == action.handlers.len() {
            match away {
                1 => "its handler is away and may come back".to_owned(),
                away => format!("its {away} handlers are away and may come back"),
            }
        } else {
            let each = self.settings.dispatch_interval;
            let pause = if each.is_zero() { String::new() } else { format!(", one at most every {each:?}") };
            format!("every handler has as many as it takes ({} of {}){pause}", action.in_flight, self.credit_of(action))
        }
    }

    fn why_request_waits(&self, request: &Request) -> String {
        let name = self.actions.get(request.action).map_or("", |action| &*action.name);
        let age = request.received.millis_until(self.now);
        let left = self.now.millis_until(request.deadline);
        let state = match request.state {
            State::Arrived | State::Queued => self.why_action_waits(name),
            State::Storing { .. } => "it is being written to disk".to_owned(),
            State::Sought => {
                let until = self.recovering.as_ref().map_or(self.now, |recovering| recovering.until);
                let most = self.now.millis_until(until);
                format!(
                    "the server has started again, and a handler may still say that it has it: {most} ms more at most"
                )
            }
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
