//! How a request ends: in one answer, whatever happened. Everything that ends a request comes through [`Broker::end`].

use crate::admission::ttl_ended_first;
use crate::broker::Broker;
use crate::kept::{KeptReply, Place};
use crate::output::{Note, Output};
use crate::receipts::Receipt;
use crate::request::{Owner, Request, State};
use crate::session::Session;
use crate::tables::{Key, give_back};
use crate::words;
use answerback_protocol::frames::{AnswerError, CallError, CallInfo, Fault, Reply};
use answerback_protocol::{Code, Payload, Ran, RequestId, Text};
use std::sync::Arc;
use std::time::Duration;

/// Why a request ends.
#[derive(Debug)]
pub(crate) enum End<'a> {
    /// A handler answered.
    Answered { error: Option<AnswerError<'a>>, data: Payload },
    /// Its ttl or its deadline has come.
    Overdue,
    /// Its caller cancelled it.
    Cancelled,
    /// Its caller is gone; nobody hears the answer.
    CallerLeft,
    /// The handler that had it is gone, and no attempts are left.
    HandlerLost,
    /// The one handler it was for is gone before it had it.
    HandlerGone,
    /// The server leaves and it has not been given to a handler.
    Draining,
    /// The server leaves and a handler still has it.
    DrainedAway,
    /// The disk would not take it.
    NotWritten,
}

/// What its owner is told.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) error: Option<Box<CallError<'static>>>,
    pub(crate) data: Payload,
}

impl Broker {
    /// The ttl or deadline of a request has come.
    pub(crate) fn request_due(&mut self, key: Key<Request>) {
        self.end(key, End::Overdue);
    }

    /// A caller cancels. What is not known has ended already, and its answer is on the way.
    pub(crate) fn cancel(&mut self, session: Key<Session>, id: RequestId) {
        let Some(call) = self.sessions.get(session).and_then(|s| s.calls.get(&id.get())).copied() else { return };
        let Some(request) = self.requests.get_mut(call.request) else { return };
        if !request.is_joined() {
            return self.end(call.request, End::Cancelled);
        }
        // Others wait for the same work: only this caller's wait is over.
        request.owner = Owner::Gone;
        let mut outcome = self.outcome_of(call.request, End::Cancelled);
        if let Some(error) = &mut outcome.error {
            // The work goes on for the others.
            (error.ran, error.message) = (Ran::Maybe, Text::Borrowed(words::CANCELLED_FOR_ONE));
        }
        self.answer_caller(session, id, outcome, None);
    }

    /// Ends a request: it leaves every table, and whoever waits for it is told.
    pub(crate) fn end(&mut self, key: Key<Request>, end: End<'_>) {
        let silent = matches!(end, End::CallerLeft);
        let outcome = self.outcome_of(key, end);
        self.conclude(key, outcome, silent);
    }

    pub(crate) fn conclude(&mut self, key: Key<Request>, outcome: Outcome, silent: bool) {
        let info = self.info_of(key);
        self.leave_queue(key, false);
        self.undeliver(key);
        let place = self.release_place(key);
        self.leave_leader(key);
        self.end_parts(key);
        self.wheel.unset(&mut self.requests, key);
        let Some(mut request) = self.requests.remove(key) else { return };
        self.bytes -= request.cost as usize;
        if let Some(action) = self.actions.get_mut(request.action) {
            action.bytes -= request.cost as usize;
            action.requests -= 1;
        }
        self.count_end(&request, &outcome);
        if !request.path().is_empty() {
            self.count_taken(request.owner, request.action, true);
        }
        let step = self.begin_ending(&request);
        self.settle_key(key, &request, &outcome);
        let joined = request.rare.as_mut().and_then(|rare| rare.joined.take()).map(|joined| (joined, outcome.clone()));
        self.tell_owner(key, &request, outcome, info, silent);
        if let Some((joined, outcome)) = joined {
            self.end_joined(joined, &outcome);
        }
        self.finish_ending(step);
        self.forget_action_if_unwanted(request.action);
        if let Some(handler) = place {
            self.handler_changed(handler);
        }
        self.look_whether_drained();
    }

    fn tell_owner(
        &mut self,
        key: Key<Request>,
        request: &Request,
        outcome: Outcome,
        info: Option<Box<CallInfo<'static>>>,
        silent: bool,
    ) {
        match request.owner {
            Owner::Caller { session, id } if silent => self.forget_call(session, id),
            // A send that joined what runs, and was to be accepted when that is on disk: it has been done already.
            Owner::Caller { session, id } if request.keeping.unaccepted && outcome.is_answer() => {
                self.accept_owned(session, id);
            }
            Owner::Caller { session, id } => {
                let is_whole = request.state == State::Gathering;
                let gather = request.rare.as_ref().filter(|_| is_whole).map(|rare| rare.gather);
                // After parts, the number of the last frame tells whether some are missing.
                let seq = (request.parts > 0).then(|| u64::from(request.parts) + 1);
                let reply = Reply { seq, info, gather: gather.map(Box::new), ..Reply::to(id) };
                let did_not_run = outcome.error.as_ref().is_some_and(|error| error.ran == Ran::No);
                self.reply(session, Reply { error: outcome.error, ..reply }, outcome.data);
                self.forget_call(session, id);
                if did_not_run {
                    self.handed_back(session, (!request.path().is_empty()).then_some(request.action));
                }
            }
            Owner::Broadcast { whole, handler } => match request.rare.as_ref().filter(|rare| rare.is_elsewhere) {
                Some(rare) => self.server_gathered(whole, key, rare.is_gathered.then_some(rare.gather)),
                None => {
                    let from = self.handler_name(handler);
                    self.broadcast_part(whole, from, outcome, Some((key, info)));
                }
            },
            Owner::Nobody => self.send_ended(request, &outcome),
            Owner::Gone => {}
        }
    }

    pub(crate) fn forget_call(&mut self, session: Key<Session>, id: RequestId) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.calls.remove(&id.get());
            give_back(&mut session.calls);
        }
    }

    fn answer_caller(
        &mut self,
        session: Key<Session>,
        id: RequestId,
        outcome: Outcome,
        info: Option<Box<CallInfo<'static>>>,
    ) {
        if let Some(error) = &outcome.error {
            self.counts.error(error.code);
        }
        self.reply(session, Reply { error: outcome.error, info, ..Reply::to(id) }, outcome.data);
        self.forget_call(session, id);
    }

    /// Sends a reply to a session, and keeps it until the client says that it has it.
    pub(crate) fn reply(&mut self, key: Key<Session>, reply: Reply<'static>, data: Payload) {
        if self.sessions.get(key).is_none() {
            return;
        }
        let place = self.write_down_reply(key, &reply, &data);
        let receipt = self.need_source();
        self.send_kept(key, reply, data, receipt, place);
    }

    /// The same of one that was kept before.
    pub(crate) fn send_kept(
        &mut self,
        key: Key<Session>,
        reply: Reply<'static>,
        data: Payload,
        receipt: Option<Receipt>,
        place: Place,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let limits = if session.link.is_some() { self.mesh.limits() } else { &self.settings.limits };
        let kept = KeptReply::new(&reply, data.clone()).with(receipt, place);
        if session.connection.is_none() {
            self.snapshot.away(key);
        }
        // A call of an earlier connection that was not announced again yet: its answer waits for that. Sent now, it would
        // cross the announcement, which would then be taken for a new call.
        if session.calls.get(&reply.id.get()).is_some_and(|call| call.epoch != session.epoch) {
            return session.kept.push_unclaimed(kept, limits, &mut self.kept);
        }
        session.kept.push(kept, limits, &mut self.kept);
        if let Some(connection) = session.connection {
            self.send(connection, reply, data);
        }
    }

    pub(crate) fn acknowledged(&mut self, session: Key<Session>, replies: u64) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.kept.acknowledged(replies, &mut self.kept);
        }
    }

    fn send_ended(&mut self, request: &Request, outcome: &Outcome) {
        let Some(error) = outcome.error.as_ref().filter(|error| error.code != Code::Fault) else { return };
        self.counts.sends_lost += 1;
        let action = Arc::from(self.action_of(request));
        self.out.push_back(Output::Note(Note::SendLost { action, code: error.code }));
    }

    fn count_end(&mut self, request: &Request, outcome: &Outcome) {
        match &outcome.error {
            Some(error) => self.counts.error(error.code),
            // The whole of a broadcast is not one more reply.
            None if request.state == State::Gathering => {}
            None => self.counts.replies += 1,
        }
    }

    /// What the owner of a request is told when it ends like this.
    pub(crate) fn outcome_of(&self, key: Key<Request>, end: End<'_>) -> Outcome {
        let Some(request) = self.requests.get(key) else {
            return Outcome::failed(Code::Cancelled, Ran::Maybe, 0, String::new(), None);
        };
        let attempts = u32::from(request.attempt);
        if let End::Answered { error, data } = end {
            return Outcome::of_answer(error, data, attempts);
        }
        let (code, ran) = self.code_of(request, &end);
        let name = self.action_of(request);
        let text = match end {
            End::NotWritten if ran != Ran::No => words::not_written_and_may_run(),
            _ => words::ended(code, ran, name, request, self.now),
        };
        Outcome::failed(code, ran, attempts, text, None)
    }

    fn code_of(&self, request: &Request, end: &End<'_>) -> (Code, Ran) {
        let waits = request.waits();
        let ran = if waits && !request.may_have_run { Ran::No } else { Ran::Maybe };
        let code = match end {
            End::Cancelled | End::CallerLeft => Code::Cancelled,
            End::HandlerLost | End::DrainedAway => Code::HandlerLost,
            End::HandlerGone => Code::NoHandler,
            End::Draining => Code::Draining,
            End::NotWritten => Code::Unavailable,
            End::Overdue if ran == Ran::No && !self.was_served(request) => Code::NoHandler,
            End::Overdue if waits && ttl_ended_first(request, self.now) => Code::Expired,
            End::Overdue | End::Answered { .. } => Code::Timeout,
        };
        match code {
            // These promise that the work did not run, which a handler that was lost with it cannot.
            Code::NoHandler | Code::Expired | Code::Draining | Code::Unavailable if ran != Ran::No => {
                (Code::HandlerLost, Ran::Maybe)
            }
            _ => (code, ran),
        }
    }

    fn was_served(&self, request: &Request) -> bool {
        self.actions.get(request.action).is_some_and(|action| action.was_served_since(request.received))
    }

    /// Where the time of a request went, if it asked.
    fn info_of(&self, key: Key<Request>) -> Option<Box<CallInfo<'static>>> {
        let request = self.requests.get(key).filter(|request| request.info)?;
        Some(Box::new(match request.state {
            State::Delivered { handler, at, .. } => CallInfo {
                queued: request.received.millis_until(at),
                ran: Some(at.millis_until(self.now)),
                by: request.rare.as_ref().and_then(|rare| rare.by.clone()).or_else(|| self.handler_name(handler)),
            },
            _ => CallInfo { queued: request.received.millis_until(self.now), ran: None, by: None },
        }))
    }
}

impl Outcome {
    /// What is certain of the work that was joined is not of what ran before a restart.
    pub(crate) fn of_one_that_may_have_run(mut self) -> Self {
        if let Some(error) = self.error.as_mut().filter(|error| error.ran == Ran::No) {
            error.ran = Ran::Maybe;
            if !matches!(error.code, Code::Timeout | Code::Cancelled) {
                (error.message, error.code) = (words::refused_after_restart(error.code).into(), Code::HandlerLost);
            }
        }
        self
    }

    /// Whether a handler said it.
    fn is_answer(&self) -> bool {
        self.error.as_ref().is_none_or(|error| error.code == Code::Fault)
    }

    pub(crate) fn of_answer(error: Option<AnswerError<'_>>, data: Payload, attempts: u32) -> Self {
        let error = error.map(|error| {
            let fault = Fault {
                code: error.code.into_static(),
                message: error.message.into_static(),
                retryable: error.retryable,
            };
            Box::new(CallError {
                code: Code::Fault,
                message: Text::from(words::fault(&fault)),
                ran: Ran::Yes,
                attempts,
                retry_after: None,
                fault: Some(fault),
            })
        });
        Self { error, data }
    }

    pub(crate) fn failed(code: Code, ran: Ran, attempts: u32, text: String, retry_after: Option<Duration>) -> Self {
        let retry_after = retry_after.map(|wait| (wait.as_millis() as u64).max(1));
        let error = CallError { code, message: Text::from(text), ran, attempts, retry_after, fault: None };
        Self { error: Some(Box::new(error)), data: Payload::NONE }
    }
}
