//! The border of the broker, what comes out: each frame is compared with what was said before.

use crate::border::{Border, Delivery, Expected};
use crate::ledger::{Asked, Kind, Ledger, Token, hold};
use answerback_broker::{ConnectionId, Note, Time};
use answerback_protocol::frames::{About, CallError, Deliver, Reply};
use answerback_protocol::{Code, Payload, Ran, RequestId, ServerFrame, SessionId};
use std::collections::BTreeMap;
use std::time::Duration;

/// After this time what was announced is on disk, or refused.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);

impl Border {
    /// The broker sends a frame.
    pub(crate) fn frame_out(
        &mut self,
        ledger: &mut Ledger,
        now: Time,
        to: ConnectionId,
        frame: &ServerFrame<'_>,
        data: &Payload,
    ) {
        hold!(self.connections.contains_key(&to), "{} sent to {to}, which is closed", frame.kind());
        self.strike_off(ledger, to, frame);
        match frame {
            ServerFrame::Welcome(welcome) => {
                // Only who may hold something must say so before it gets more.
                let may_hold = self.deliveries.keys().any(|(session, _)| *session == welcome.session);
                let Some(session) = self.sessions.get_mut(&welcome.session) else { return };
                session.must_resume = welcome.resumed && may_hold;
                session.welcomed = Some(now);
                let must = session.must_be_resumed.take();
                hold!(must.is_none_or(|must| must == welcome.resumed), "welcome says resumed:{}", welcome.resumed);
                self.says_restarted(now, welcome.resumed, welcome.restarted);
            }
            ServerFrame::Deliver(deliver) => self.deliver(ledger, now, to, deliver, data),
            ServerFrame::Reply(reply) => self.reply(ledger, now, to, reply),
            ServerFrame::Accepted(accepted) => {
                if let Some(token) = self.token(to, accepted.id) {
                    ledger.asked[token].accepted = true;
                    self.queue_is_within_limits(ledger, now, token);
                }
            }
            ServerFrame::CancelDelivery(cancel) => {
                let delivery =
                    self.session_of(to).and_then(|session| self.deliveries.get_mut(&(session, cancel.id.get())));
                if let Some(delivery) = delivery {
                    delivery.cancel_told = true;
                }
            }
            ServerFrame::Ack(ack) => {
                let session = self.session_of(to).and_then(|session| self.sessions.get_mut(&session));
                let Some(session) = session else { return };
                let (taken, told) = session.replies;
                hold!(told < ack.replies && ack.replies <= taken, "{} replies acknowledged, {taken} came", ack.replies);
                session.replies.1 = ack.replies;
            }
            _ => {}
        }
    }

    /// The broker notes something for the log.
    pub(crate) fn noted(&mut self, ledger: &mut Ledger, now: Time, note: &Note) {
        match note {
            Note::SessionOpened { connection, client, .. } => {
                if let Some(Some(session)) = self.connections.get(connection) {
                    self.numbers.insert(*client, *session);
                }
            }
            Note::SessionClosed { client, .. } => {
                let Some(session) = self.numbers.remove(client) else { return };
                let Some(known) = self.sessions.get(&session) else { return };
                if known.connection.is_some_and(|connection| self.expected.contains(&Expected::Welcome(connection))) {
                    hold!(!known.confirmed, "a session that comes back was closed instead");
                    return;
                }
                let within_grace = known.gone_at.is_some_and(|gone| now < gone + self.settings.session_grace);
                let connected = known.connection.is_some_and(|connection| self.connections.contains_key(&connection));
                hold!(!connected, "a session that is connected was closed");
                let lost = within_grace && self.at_stake(session);
                hold!(!lost, "a session was closed within its grace time though something waits for it");
                self.end_session(ledger, session);
            }
            _ => {}
        }
    }

    fn strike_off(&mut self, ledger: &Ledger, to: ConnectionId, frame: &ServerFrame<'_>) {
        let is = |expected: &Expected| match (expected, frame) {
            (Expected::Accepted(_, id), ServerFrame::Accepted(accepted)) => *id == accepted.id,
            (Expected::Accepted(_, id) | Expected::Answer(_, id), ServerFrame::Reply(reply)) => *id == reply.id,
            (Expected::Refused(_, id), ServerFrame::ErrorNotice(error)) => {
                error.code == Code::BadRequest && error.about == Some(About::Id(*id))
            }
            (Expected::Serving(_, action), ServerFrame::Serving(serving)) => serving.action == action.as_str(),
            (Expected::Unserved(_, action), ServerFrame::Unserved(unserved)) => unserved.action == action.as_str(),
            (Expected::Denied(_, action), ServerFrame::ErrorNotice(error)) => {
                error.code == Code::Denied && error.about == Some(About::Action(action.as_str().into()))
            }
            (Expected::Serving(_, action) | Expected::Unserved(_, action), ServerFrame::ErrorNotice(error)) => {
                let about = error.about == Some(About::Action(action.as_str().into()));
                about && (error.code != Code::Denied || action.starts_with('$'))
            }
            (Expected::Pong(_), ServerFrame::Pong(_)) | (Expected::Welcome(_), ServerFrame::Welcome(_)) => true,
            (Expected::Welcome(_), ServerFrame::ErrorNotice(error)) => error.fatal,
            _ => false,
        };
        let found = self.expected.iter().position(|expected| expected.connection() == to && is(expected));
        let refused = matches!(frame, ServerFrame::ErrorNotice(_));
        match found.map(|place| self.expected.swap_remove(place)) {
            Some(Expected::Serving(_, action)) if refused => {
                if let Some(session) = self.session_of(to).and_then(|session| self.sessions.get_mut(&session)) {
                    session.serving.remove(&action);
                }
            }
            Some(_) => {}
            None => {
                let waits_for_disk = |id: RequestId| {
                    let asked = self.token(to, id).map(|token| &ledger.asked[token]);
                    asked.is_some_and(|asked| asked.journaled && asked.announced.is_some_and(|(_, on)| on == to))
                };
                let written = matches!(frame, ServerFrame::Accepted(accepted) if waits_for_disk(accepted.id));
                let unasked = !written
                    && matches!(
                        frame,
                        ServerFrame::Accepted(_)
                            | ServerFrame::Serving(_)
                            | ServerFrame::Unserved(_)
                            | ServerFrame::Pong(_)
                    );
                hold!(!unasked, "{} said to {to}, which did not ask", frame.kind());
            }
        }
    }

    fn says_restarted(&self, now: Time, resumed: bool, restarted: bool) {
        let (lately, certain) = match self.restarted_until {
            // It is said longer as long as something that was announced in time is being written.
            Some(until) => (now < until, now < until || now > until + WRITTEN_WITHIN),
            None => (false, true),
        };
        hold!(!certain || restarted == (lately && !resumed), "welcome says restarted:{restarted}");
    }

    pub(crate) fn token(&self, connection: ConnectionId, id: RequestId) -> Option<Token> {
        self.ids.get(&(self.session_of(connection)?, id)).copied()
    }

    fn deliver(&mut self, ledger: &mut Ledger, now: Time, to: ConnectionId, deliver: &Deliver<'_>, data: &[u8]) {
        let Some(session) = self.session_of(to) else { panic!("broken: a delivery to {to}, which has no session") };
        let token = ledger.identify(deliver.trace.as_deref(), data);
        self.credit_is_free(now, session, &deliver.action);
        if let Kind::Twice(first) = ledger.asked[token].kind {
            hold!(ledger.asked[first].muddled, "request {token}, which used an id twice, was delivered");
            let delivery = Delivery {
                session,
                token,
                action: ledger.asked[token].action,
                at: now,
                cancel_told: false,
                unsure: false,
            };
            self.deliveries.insert((session, deliver.id.get()), delivery);
            return;
        }
        hold!(ledger.asked[token].kind != Kind::Denied, "request {token} is not allowed, and was delivered");
        self.ever.insert(deliver.id.get(), token);
        self.keyed_call_runs_once(ledger, now, token);
        self.is_in_time(ledger, now, token, deliver.left);
        let first_time = ledger.asked[token].delivered == 0 && !ledger.asked[token].again;
        if first_time && ledger.asked[token].stands_alone() {
            self.is_next(ledger, now, token);
        }
        let asked = &mut ledger.asked[token];
        // One that ended just before the server died may be there again, until its caller has not announced it.
        let here = asked.life == Some(self.life);
        let over = here && asked.ended.is_some() && asked.key.is_none() && !asked.muddled;
        hold!(!over, "request {token} was delivered after it had ended as {:?}", asked.ended);
        hold!(
            asked.key.is_some() || !asked.cancelled || asked.muddled,
            "request {token} was delivered after its cancel"
        );
        hold!(
            (1..=asked.attempts_allowed()).contains(&deliver.attempt),
            "request {token}: attempt {} of {}",
            deliver.attempt,
            asked.attempts_allowed()
        );
        asked.delivered += 1;
        for queue in [&mut self.waiting, &mut self.handed_back] {
            if let Some(waiting) = queue.get_mut(asked.action) {
                waiting.remove(&asked.order);
            }
        }
        let delivery = Delivery { session, token, action: asked.action, at: now, cancel_told: false, unsure: false };
        let twice = self.deliveries.insert((session, deliver.id.get()), delivery);
        hold!(twice.is_none(), "delivery id {} is open twice", deliver.id);
    }

    fn credit_is_free(&mut self, now: Time, id: SessionId, action: &str) {
        self.lose_what_was_not_said(now, id);
        let Some(session) = self.sessions.get(&id) else { return };
        hold!(!session.must_resume, "a delivery to a resumed session that has not said what it holds");
        let session = &self.sessions[&id];
        let Some((credit, _)) = session.serving.get(action) else {
            panic!("broken: a delivery of `{action}` to a session that does not serve it")
        };
        let mine = |open: &&Delivery| open.session == id && open.action == action;
        let open = self.deliveries.values().filter(mine).count();
        hold!((open as u32) < *credit, "credit for `{action}` is {credit}, and {open} deliveries were open already");
    }

    fn keyed_call_runs_once(&self, ledger: &Ledger, now: Time, token: Token) {
        let asked = &ledger.asked[token];
        let Some(own) = asked.own_key() else { return };
        let key = &own.2;
        let same = |other: Token| ledger.asked[other].own_key().is_some_and(|other| other == own);
        let runs = self.deliveries.values().any(|open| !open.cancel_told && !open.unsure && same(open.token));
        hold!(!runs, "a call with key `{key}` was delivered while one with that key runs");
        let stored = self.keys.get(&own).and_then(|key| key.stored);
        let age = self.settings.limits.stored_reply_age;
        let fresh = stored.is_some_and(|at| now < at + age) && self.room_for_stored;
        hold!(!fresh, "a call with key `{key}` was delivered while a reply to that key is stored");
    }

    fn is_in_time(&self, ledger: &Ledger, now: Time, token: Token, left: u64) {
        let asked = &ledger.asked[token];
        let members = self.members(asked).filter_map(|member| self.deadline(&ledger.asked[member]));
        let deadline = members.chain(self.deadline(asked)).max();
        let Some(deadline) = deadline else { panic!("broken: request {token} was delivered before it arrived") };
        hold!(now <= deadline, "request {token} was delivered {:?} after its deadline", now - deadline);
        hold!(left <= now.millis_until(deadline) + 1, "request {token}: left {left} ms, deadline {deadline:?}");
        let ttl_end = self.ttl_end(asked);
        // With a ttl of nothing a handler was free; how long the disk takes is not its wait.
        let at_once = asked.journaled && ttl_end == asked.arrived_here;
        if asked.delivered == 0 && asked.key.is_none() && !at_once {
            hold!(ttl_end.is_none_or(|end| now <= end), "request {token} was delivered after its ttl {ttl_end:?}");
        }
    }

    /// Requests leave the queue of their action in the order they came.
    fn is_next(&mut self, ledger: &Ledger, now: Time, token: Token) {
        if self.drain_until.is_some() {
            // A caller that is away learns only later that its call was sent elsewhere.
            return;
        }
        let (action, order) = (ledger.asked[token].action, ledger.asked[token].order);
        self.forget_overdue(ledger, now, action);
        let is_there = |other: &(&u64, &Token)| !ledger.asked[*other.1].cancelled;
        let back = self.handed_back.get(action).and_then(|back| back.iter().find(is_there));
        hold!(back.is_none(), "request {token} was delivered before {back:?}, which had been handed back");
        let before = self.waiting.get(action).and_then(|waiting| waiting.range(..order).find(is_there));
        hold!(before.is_none(), "request {token} was delivered before {before:?}, which came earlier");
    }

    /// Whoever is overdue may have ended, even if its caller is away and was not told.
    fn forget_overdue(&mut self, ledger: &Ledger, now: Time, action: &'static str) {
        let certain = |asked: &Asked| {
            let end = self.deadline(asked).into_iter().chain(self.ttl_end(asked)).min();
            end.is_some_and(|end| now < end) && asked.ended.is_none() && !asked.muddled
        };
        let keep = |queue: Option<&BTreeMap<u64, Token>>| -> BTreeMap<u64, Token> {
            let tokens = queue.into_iter().flatten().filter(|(_, token)| certain(&ledger.asked[**token]));
            tokens.map(|(order, token)| (*order, *token)).collect()
        };
        let (waiting, back) = (keep(self.waiting.get(action)), keep(self.handed_back.get(action)));
        self.waiting.insert(action, waiting);
        self.handed_back.insert(action, back);
    }

    fn queue_is_within_limits(&mut self, ledger: &Ledger, now: Time, token: Token) {
        let action = ledger.asked[token].action;
        self.forget_overdue(ledger, now, action);
        let waiting = self
            .waiting
            .get(action)
            .map_or(0, |waiting| waiting.values().filter(|other| !ledger.asked[**other].cancelled).count());
        let limit = self.settings.limits.requests_per_action;
        hold!(waiting <= limit || self.drain_until.is_some(), "{waiting} requests wait for `{action}`, limit {limit}");
    }

    /// The latest moment in which it may be answered.
    pub(crate) fn deadline(&self, asked: &Asked) -> Option<Time> {
        asked.deadline.map(|ends| ends.latest)
    }

    fn ttl_end(&self, asked: &Asked) -> Option<Time> {
        asked.expires.map(|ends| ends.latest)
    }

    /// Whether none of its times is over.
    pub(crate) fn is_before_its_end(&self, asked: &Asked, now: Time) -> bool {
        let before = |ends: crate::ledger::Ends| now < ends.earliest;
        asked.deadline.is_some_and(before) && asked.expires.is_none_or(before)
    }

    /// All requests with the same action and key.
    fn members(&self, asked: &Asked) -> impl Iterator<Item = Token> {
        let key = asked.own_key().and_then(|key| self.keys.get(&key));
        key.into_iter().flat_map(|key| key.members.iter().copied())
    }

    fn reply(&mut self, ledger: &mut Ledger, now: Time, to: ConnectionId, reply: &Reply<'_>) {
        let Some(token) = self.token(to, reply.id) else {
            panic!("broken: a reply to {to} with id {}, which its session never used", reply.id)
        };
        let (deadline, slack) = (self.deadline(&ledger.asked[token]), self.slack);
        let asked = &mut ledger.asked[token];
        if asked.muddled || reply.part {
            return;
        }
        hold!(asked.ended_on != Some(to), "request {token} was answered twice on one connection");
        asked.ended_on = Some(to);
        let said =
            (reply.error.as_ref().map(|error| error.code), reply.error.as_ref().map_or(Ran::Yes, |error| error.ran));
        match asked.ended {
            Some((_, code, ran)) => {
                hold!((code, ran) == said, "request {token} ended as {code:?} {ran}, and now as {said:?}");
                return;
            }
            None => asked.ended = Some((now, said.0, said.1)),
        }
        if let Some(waiting) = self.waiting.get_mut(asked.action) {
            waiting.remove(&asked.order);
        }
        hold!(asked.reply || reply.error.is_some(), "send {token} got an answer");
        hold!(!asked.accepted, "send {token} was accepted and then told {said:?}");
        let announced = asked.announced.map_or(now, |(at, _)| at);
        let latest = deadline.map_or(now, |deadline| deadline.max(announced) + slack);
        hold!(now <= latest, "request {token} was told {said:?} {:?} after its deadline", now - latest);
        let asked = &ledger.asked[token];
        let code = reply.error.as_ref().map(|error| error.code);
        let refused = matches!(code, Some(Code::Denied | Code::HandlerLost));
        hold!(asked.kind != Kind::Denied || refused, "request {token} is not allowed, and ended as {code:?}");
        match &reply.error {
            Some(error) => self.error_has_its_cause(ledger, now, token, error),
            None => hold!(
                asked.answered || asked.key.is_some() || asked.broadcast || asked.kind == Kind::BuiltIn,
                "request {token} has a result, but no handler answered it"
            ),
        }
    }

    fn error_has_its_cause(&self, ledger: &Ledger, now: Time, token: Token, error: &CallError<'_>) {
        let asked = &ledger.asked[token];
        let over = |asked: &Asked| asked.expires.is_some_and(|ends| now >= ends.earliest);
        let late = |asked: &Asked| asked.deadline.is_some_and(|ends| now >= ends.earliest);
        // Who joined a call with a key shares its fate.
        let shared =
            |is: &dyn Fn(&Asked) -> bool| is(asked) || self.members(asked).any(|other| is(&ledger.asked[other]));
        let had_it = asked.delivered > 0 || asked.key.is_some() || asked.broadcast || asked.again;
        let (cause, ran) = match error.code {
            Code::NoHandler => (self.may_be_unserved(asked), error.ran == Ran::No),
            Code::Expired => (shared(&over), error.ran == Ran::No),
            Code::Timeout => (shared(&late), error.ran != Ran::Yes),
            Code::HandlerLost => (had_it, error.ran == Ran::Maybe),
            Code::Fault => (asked.answered || asked.key.is_some(), error.ran == Ran::Yes),
            Code::Cancelled => (asked.ever_cancelled, error.ran != Ran::Yes),
            Code::Overloaded => (error.retry_after.is_some(), error.ran == Ran::No),
            Code::Conflict => (self.has_other_variant(ledger, asked), error.ran == Ran::No),
            Code::Denied => (asked.kind == Kind::Denied, error.ran == Ran::No),
            Code::BadRequest => (asked.kind == Kind::Malformed, error.ran == Ran::No),
            Code::Draining => (self.drain_until.is_some() || self.ever_drained, error.ran == Ran::No),
            Code::Unavailable => (self.is_unavailable(asked), error.ran == Ran::No),
            _ => (false, false),
        };
        hold!(cause, "request {token} ended as {} without a cause: {asked:?}", error.code);
        hold!(ran, "request {token} ended as {} with ran: {}", error.code, error.ran);
        let attempts_fit = error.attempts <= asked.attempts_allowed() || asked.key.is_some();
        hold!(attempts_fit, "request {token}: {} attempts", error.attempts);
        hold!(error.ran == Ran::No || had_it, "request {token} was never delivered, but ran: {}", error.ran);
        if error.ran == Ran::No && !asked.muddled {
            self.nobody_started(ledger, token);
        }
    }

    /// `ran: no` is never said of work that a handler started. With a key, the work is that of all calls with it, from
    /// the moment this one came; if its caller was away, it may have ended long before it is told.
    fn nobody_started(&self, ledger: &Ledger, token: Token) {
        let asked = &ledger.asked[token];
        let since = asked.arrived.unwrap_or_default();
        let own = asked.starts.first();
        let at_once = asked.announced.map(|(at, _)| at) == asked.arrived;
        let shared = asked.key.as_ref().filter(|_| at_once).and_then(|_| {
            let same = |other: &&Asked| (other.own_key(), other.variant) == (asked.own_key(), asked.variant);
            ledger.asked.iter().filter(same).flat_map(|other| &other.starts).find(|start| start.delivered >= since)
        });
        if let Some(start) = own.or(shared) {
            let (handler, at) = (start.handler, start.at);
            panic!("broken: request {token} was told `ran: no`, but client {handler} started it at {at:?}: {asked:?}");
        }
    }

    /// Without a store durable requests are refused, with one only if the disk has failed since they came, or before.
    fn is_unavailable(&self, asked: &Asked) -> bool {
        let failed = self.disk_failed.is_some() && (asked.journaled || asked.key.is_some());
        if self.settings.has_store { failed } else { asked.durable }
    }

    fn may_be_unserved(&self, asked: &Asked) -> bool {
        let steadily = self.sessions.values().any(|session| {
            session.connection.is_some() && session.serving.get(asked.action).is_some_and(|(_, current)| *current)
        });
        // Only the moment is looked at: whoever serves now is seen, whoever served for a while is not. If its caller was
        // away meanwhile, the moment has passed.
        !steadily || asked.announced.map(|(at, _)| at) != asked.arrived
    }

    fn has_other_variant(&self, ledger: &Ledger, asked: &Asked) -> bool {
        self.members(asked).any(|other| ledger.asked[other].variant != asked.variant)
    }
}
