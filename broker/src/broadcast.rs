//! One request for every handler that serves the action now.
//!
//! The whole is a request that waits for its parts; each part is a request of its own for one handler. A handler without
//! free credit gets its part when it has credit again, before other work. Each part that ends becomes one tagged reply;
//! when the last one has ended, the counts end the whole.

use crate::action::Action;
use crate::admission::{Refusal, Taken};
use crate::broker::Broker;
use crate::dispatch::mix;
use crate::endings::{End, Outcome};
use crate::handler::Handler;
use crate::request::{Keeping, Owner, Rare, Request, State};
use crate::session::Session;
use crate::settings::REQUEST_OVERHEAD_BYTES;
use crate::tables::{Key, Links, TimerLinks};
use crate::words;
use answerback_protocol::frames::{CallInfo, Gather, Reply, Request as Frame};
use answerback_protocol::{Code, NodeId, Payload, RequestId, Text};
use std::sync::Arc;

impl Broker {
    pub(crate) fn begin_broadcast(
        &mut self,
        session: Key<Session>,
        frame: &Frame<'_>,
        data: Payload,
    ) -> Result<Taken, Refusal> {
        self.may_be_here(frame)?;
        if frame.again && (self.recovering.is_some() || self.comes_late(session, frame)) {
            // Which handlers had it before the restart is not known.
            return Err(Refusal::new(Code::HandlerLost, words::broadcast_was_lost()));
        }
        let nobody = || Refusal::new(Code::NoHandler, words::no_handler(frame.action.as_str(), true));
        let action = self.action_by_name.get(frame.action.as_str()).copied().ok_or_else(nobody)?;
        let mut whole = self.new_request(session, frame, action, data);
        if whole.deadline <= self.now {
            return Err(Refusal::new(Code::Timeout, words::no_time()));
        }
        let was_here = self.was_cast(frame);
        let handlers = if was_here { Vec::new() } else { self.present_handlers(action, &whole) };
        if handlers.is_empty() && frame.via.is_none() {
            return Err(nobody());
        }
        whole.cost += u32::try_from(handlers.len() * REQUEST_OVERHEAD_BYTES).unwrap_or(u32::MAX / 2);
        self.has_room(&whole)?;
        whole.state = State::Gathering;
        let here = handlers.iter().filter(|&&key| self.handlers.get(key).is_some_and(|h| h.way.is_none())).count();
        let cast = frame.via.as_deref().and_then(|via| via.cast).map_or(mix(whole.origin), RequestId::get);
        whole.rare_mut().gather = Gather { expected: here as u64, ..Gather::default() };
        whole.rare_mut().cast = cast;
        let key = self.hold(whole);
        let parts: Vec<_> = handlers.iter().zip(0..).filter_map(|(&h, n)| self.part_for(key, h, n)).collect();
        if let Some(whole) = self.requests.get_mut(key) {
            whole.rare_mut().parts = parts.iter().copied().collect();
        }
        let is_nowhere = parts.is_empty();
        for (part, handler) in parts.into_iter().zip(handlers) {
            if self.handlers.get(handler).is_some_and(|handler| handler.rank().is_some()) {
                self.deliver(part, handler);
                self.wheel.set(&mut self.requests, part);
            } else {
                self.enqueue(part);
            }
        }
        if is_nowhere {
            self.conclude(key, Outcome { error: None, data: Payload::NONE }, false);
        }
        Ok(Taken::Now)
    }

    fn present_handlers(&self, action: Key<Action>, request: &Request) -> Vec<Key<Handler>> {
        let Some(action) = self.actions.get(action) else { return Vec::new() };
        let connected = |key: &&Key<Handler>| {
            let handler = self.handlers.get(**key).filter(|h| h.open && self.may_take(h, request));
            handler.and_then(|handler| self.sessions.get(handler.session)).is_some_and(|s| s.connection.is_some())
        };
        action.handlers.iter().filter(connected).copied().collect()
    }

    /// The part of a broadcast for one handler. Its bytes are counted with the whole.
    fn part_for(&mut self, whole: Key<Request>, handler: Key<Handler>, number: u64) -> Option<Key<Request>> {
        let whole_request = self.requests.get(whole)?;
        let part = Request {
            owner: Owner::Broadcast { whole, handler },
            origin: mix(whole_request.origin.wrapping_add(number + 1)),
            action: whole_request.action,
            from: Arc::clone(&whole_request.from),
            data: whole_request.data.clone(),
            received: whole_request.received,
            expires: whole_request.expires,
            deadline: whole_request.deadline,
            state: State::Arrived,
            attempt: 0,
            attempts: 1,
            deliveries: 0,
            parts: 0,
            cost: 0,
            info: whole_request.info,
            may_have_run: false,
            item: 0,
            keeping: Keeping::default(),
            rare: self.rare_of_part(whole_request, handler),
            links: Links::LOOSE,
            timer: TimerLinks::UNSET,
        };
        Some(self.hold(part))
    }

    /// What few parts have. One for another server has been where the whole has been.
    fn rare_of_part(&self, whole: &Request, handler: Key<Handler>) -> Option<Box<Rare>> {
        let is_elsewhere = self.handlers.get(handler).is_some_and(|handler| handler.way.is_some());
        let trace = whole.trace().cloned();
        let path: Box<[NodeId]> = if is_elsewhere { whole.path().into() } else { Box::default() };
        (is_elsewhere || trace.is_some()).then(|| Box::new(Rare { trace, path, is_elsewhere, ..Rare::default() }))
    }

    /// A handler's part of the answer. `ended` says which part of the broadcast it ends; otherwise more will come.
    pub(crate) fn broadcast_part(
        &mut self,
        whole: Key<Request>,
        from: Option<Text<'static>>,
        outcome: Outcome,
        ended: Option<(Key<Request>, Option<Box<CallInfo<'static>>>)>,
    ) {
        let Some(request) = self.requests.get_mut(whole) else { return };
        let (ended, info) = ended.map_or((None, None), |(part, info)| (Some(part), info));
        request.parts += 1;
        let seq = Some(u64::from(request.parts));
        let rare = request.rare_mut();
        if let Some(part) = ended {
            rare.parts.remove(&part);
            match &outcome.error {
                None => rare.gather.answered += 1,
                Some(error) if error.code == Code::Fault => rare.gather.failed += 1,
                Some(_) => rare.gather.lost += 1,
            }
        }
        let all_ended = rare.parts.is_empty();
        if let Owner::Caller { session, id } = request.owner {
            let reply = Reply { part: true, seq, from, info, error: outcome.error, ..Reply::to(id) };
            self.reply(session, reply, outcome.data);
        }
        if all_ended {
            self.conclude(whole, Outcome { error: None, data: Payload::NONE }, false);
        }
    }

    /// The part of a broadcast that is another server's has ended. Its handlers have answered already; now they are counted.
    pub(crate) fn server_gathered(&mut self, whole: Key<Request>, part: Key<Request>, gathered: Option<Gather>) {
        let Some(request) = self.requests.get_mut(whole) else { return };
        let rare = request.rare_mut();
        rare.parts.remove(&part);
        // How many there were is not known of a server that was lost.
        let more = gathered.unwrap_or(Gather { expected: 1, lost: 1, ..Gather::default() });
        let gather = &mut rare.gather;
        gather.expected = gather.expected.saturating_add(more.expected);
        gather.answered = gather.answered.saturating_add(more.answered);
        gather.failed = gather.failed.saturating_add(more.failed);
        gather.lost = gather.lost.saturating_add(more.lost);
        if rare.parts.is_empty() {
            self.conclude(whole, Outcome { error: None, data: Payload::NONE }, false);
        }
    }

    /// A broadcast ends before all its parts have: those that wait are dropped, handlers that have one are told.
    pub(crate) fn end_parts(&mut self, whole: Key<Request>) {
        let Some(request) = self.requests.get_mut(whole) else { return };
        if request.state != State::Gathering {
            return;
        }
        let rare = request.rare_mut();
        let parts = std::mem::take(&mut rare.parts);
        rare.gather.lost += parts.len() as u64;
        for part in parts {
            let is_elsewhere = |part: &Request| part.rare.as_ref().is_some_and(|rare| rare.is_elsewhere);
            if self.requests.get(part).is_some_and(is_elsewhere)
                && let Some(whole) = self.requests.get_mut(whole)
            {
                whole.rare_mut().gather.expected += 1;
            }
            // Its place in a lane is found through its owner, so it leaves that first.
            self.leave_queue(part, false);
            if let Some(record) = self.requests.get_mut(part) {
                record.owner = Owner::Gone;
                if record.state == State::Queued {
                    record.state = State::Arrived;
                }
            }
            self.end(part, End::CallerLeft);
        }
    }
}
