//! The pure half of the client: what it says and hears on one session with one server. No socket, no clock, no task: frames
//! and times go in, bytes and [`Event`]s come out, and the same goes in, the same comes out.
//!
//! ```text
//!  Client, Context      ask, cancel, serve, answer, release         what the application wants
//!        │
//!        ▼
//!     Session ◄── handle(now, frame) ◄── bytes read ◄─┐
//!        │                                            │   connection: one task that owns the socket
//!        ├──────► transmit(now, out) ──► bytes written┘
//!        ├──────► Caller::part, Caller::end               answers go straight to who waits for them
//!        └──────► next_event()                            deliveries and what happens to the connection
//! ```
//!
//! The life of a call here, from [`Session::ask`] to [`Caller::end`], which comes exactly once:
//!
//! ```text
//!            over a limit, ttl 0 and no connection
//!   ask ─────────────────────────────► refused (ran: no)
//!    │
//!    ▼             written to a connection               reply, or accepted
//!  UNSAID ───────────────────────────► SAID ───────────────────────► ended
//!    │ ▲                               │  │ └─ its time, and a little more, is up ──► timeout (ran: maybe)
//!    │ └── draining; or the session is │  └─ caller dropped it ─► CANCELLING ─ reply ─► gone
//!    │     lost and attempts are left ─┘                             (said again on every new connection)
//!    ├── ttl or deadline ─► expired, timeout (ran: no)
//!    ├── caller dropped it ─► gone
//!    └── taken over by the session with another server (`take_unsaid`)
//! ```
//!
//! When a connection breaks, the session stays. Bytes that were written may not have arrived, so on the next connection everything is
//! said again, in the order of PROTOCOL's chapter on resuming. If the server does not know the session any more, a call that was said may have
//! run: it is announced again only if `attempts` allow one more handler, else it ends as `disconnected` (ran: maybe).
//!
//! | file | what is there |
//! |---|---|
//! | `hear`, `say` | the frames of the server, and what is written when |
//! | `call`, `calls` | one call, and all of them: their lives, their deadlines |
//! | `work` | deliveries that are held, answers that are kept |
//! | `services` | what is served |
//! | `topics`, `publishes` | what is subscribed to, and what is published |
//! | `line` | what holds for one connection only: greeting, heartbeats, acks |
//! | `words` | what goes in and comes out |

mod call;
mod calls;
mod hear;
mod ids;
mod line;
mod publishes;
mod say;
mod services;
#[cfg(test)]
mod tests;
mod topics;
pub(crate) mod words;
mod work;

pub(crate) use publishes::Publish;
pub(crate) use topics::Topic;
pub(crate) use words::{
    Ask, Broken, Caller, Counts, Delivery, Ending, Event, Identity, Info, Limits, Part, TopicEvent, Verdict,
};

use crate::error::Error;
use answerback_protocol::limits::{KEPT_REPLIES_MAX, KEPT_REPLY_BYTES_MAX};
use answerback_protocol::{Code, DeliveryId, NodeId, Ran, RequestId};
use calls::Calls;
use line::Line;
use publishes::Publishes;
use services::Services;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use topics::Topics;
use work::Work;

/// One session with one server, over as many connections as it takes.
pub(crate) struct Session<C> {
    identity: Identity,
    limits: Limits,
    line: Line,
    /// Whether the server has ever let this session in.
    was_welcome: bool,
    /// Which server that was, if it says so.
    node: Option<NodeId>,
    calls: Calls<C>,
    work: Work,
    services: Services,
    topics: Topics,
    publishes: Publishes<C>,
    events: VecDeque<Event>,
    /// Whether what was never said is for another server.
    leaving: bool,
    bye: Bye,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bye {
    No,
    Wanted,
    Said,
}

impl<C: Caller> Session<C> {
    pub(crate) fn new(identity: Identity, limits: Limits) -> Self {
        Self {
            identity,
            limits,
            line: Line::away(0),
            was_welcome: false,
            node: None,
            calls: Calls::new(limits.patience),
            work: Work::new(),
            services: Services::default(),
            topics: Topics::default(),
            publishes: Publishes::new(),
            events: VecDeque::new(),
            leaving: false,
            bye: Bye::No,
        }
    }

    // ── the connection

    /// There is a socket: `hello` will be the first thing to transmit.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.disconnected(now);
        self.line = self.line.connected(now.checked_add(self.limits.welcome_within));
    }

    /// The socket is gone. The session stays.
    pub(crate) fn disconnected(&mut self, _now: Instant) {
        if self.line.is_away() {
            return;
        }
        self.line = Line::away(self.line.number);
        self.calls.disconnected();
        self.work.disconnected();
        self.services.disconnected();
        self.topics.disconnected();
        self.publishes.disconnected();
    }

    /// The most that the first length of a frame from the server may say.
    pub(crate) fn frame_limit(&self) -> u32 {
        self.line.frame_limit()
    }

    /// Bytes came, whatever they are.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.line.heard(now);
    }

    /// When [`Self::handle_timeout`] is to be called, if nothing happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let connection = call::earlier(self.line.poll_timeout(), self.work.poll_timeout());
        call::earlier(connection, self.calls.poll_timeout())
    }

    /// Does what time asks for. May be called too early.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Broken> {
        self.calls.handle_timeout(now);
        self.line.handle_timeout(now)?;
        match self.work.poll_timeout() {
            Some(due) if due <= now => Err(Broken::Unacknowledged),
            _ => Ok(()),
        }
    }

    /// What has happened that the shell must know of, in order.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    // ── what the application asks

    /// Takes a call in, or ends it at once. The id is one that no session of this client has used.
    pub(crate) fn ask(&mut self, now: Instant, id: RequestId, ask: Ask, caller: C) {
        match self.refusal(now, &ask) {
            Some(error) => caller.end(Ending::failed(error)),
            None => self.take_over(id, ask, caller),
        }
    }

    fn refusal(&self, now: Instant, ask: &Ask) -> Option<Error> {
        let refused = |code, message| Some(Error::new(code, Ran::No, message));
        let Limits { calls, bytes, .. } = self.limits;
        if self.calls.all() >= calls {
            let text = format!("{calls} calls wait already: wait for answers, or raise max_calls of the client");
            return refused(Code::Overloaded, text);
        }
        if self.calls.bytes().saturating_add(ask.data.len()) > bytes {
            let text = format!(
                "calls that wait would have more than {bytes} bytes of data: wait for answers, or raise max_bytes of the client"
            );
            return refused(Code::Overloaded, text);
        }
        if let Some(text) = call::too_large(ask, self.line.max_frame).filter(|_| self.is_welcome()) {
            return refused(Code::TooLarge, text);
        }
        let spent = now.saturating_duration_since(ask.asked);
        if ask.timeout.is_some_and(|timeout| timeout <= spent) {
            return refused(Code::Timeout, "its time was up before it was made".to_owned());
        }
        None
    }

    /// Nobody waits for this call any more. False if it is not known here.
    pub(crate) fn cancel(&mut self, id: RequestId) -> bool {
        self.calls.cancel(id.get(), self.is_welcome())
    }

    /// Serves an action, or changes its credit. It is said again on every new connection.
    pub(crate) fn serve(&mut self, action: &str, credit: u32) {
        self.services.serve(action, credit);
        self.work.extend_credit(credit);
    }

    /// Takes no more deliveries of this action. [`Event::Unserved`] says when none come.
    pub(crate) fn unserve(&mut self, action: &str) {
        self.services.unserve(action, &mut self.events);
    }

    /// Takes no more deliveries at all.
    pub(crate) fn unserve_all(&mut self) {
        for (action, _) in self.served() {
            self.unserve(&action);
        }
    }

    /// Subscribes to a topic or pattern. It is said again on every new connection.
    pub(crate) fn subscribe(&mut self, topic: Topic) {
        self.topics.subscribe(topic);
    }

    /// Wants no more events of it.
    pub(crate) fn unsubscribe(&mut self, topic: &Topic) {
        self.topics.unsubscribe(topic);
    }

    pub(crate) fn unsubscribe_all(&mut self) {
        self.topics.unsubscribe_all();
    }

    /// Whether this is subscribed to, or was and that is not confirmed to be over.
    pub(crate) fn knows_topic(&self, topic: &Topic) -> bool {
        self.topics.knows(topic)
    }

    /// Publishes an event once there is a connection.
    pub(crate) fn publish(&mut self, publish: Publish<C>) {
        self.publishes.push(publish);
    }

    /// Bytes of events that wait to be written.
    pub(crate) fn publish_bytes(&self) -> usize {
        self.publishes.bytes()
    }

    /// Answers a delivery. False if it is not held, or if a part was too large and has ended it.
    pub(crate) fn answer(&mut self, id: DeliveryId, verdict: Verdict) -> bool {
        self.work.answer(id, verdict, self.line.max_frame)
    }

    /// Hands back a delivery that was not started. False if it is not held.
    pub(crate) fn release(&mut self, id: DeliveryId) -> bool {
        let Line { number, resume_due, .. } = self.line;
        self.work.release(id, number, resume_due || !self.is_welcome())
    }

    /// Leaves for good, when all has been said that is to be said.
    pub(crate) fn bye(&mut self) {
        if self.bye == Bye::No {
            self.bye = Bye::Wanted;
        }
    }

    pub(crate) fn said_bye(&self) -> bool {
        self.bye == Bye::Said
    }

    // ── moving to another server

    /// From now on no call is written that was never said. Everything else goes on.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
        self.calls.hold_back();
    }

    /// The server has gone before another could take over: everything is for the one that is found next.
    pub(crate) fn stay(&mut self) {
        self.leaving = false;
    }

    /// Gives up the calls that certainly did not run, in order, for [`Self::take_over`] of another session.
    pub(crate) fn take_unsaid(&mut self) -> Vec<(RequestId, Ask, C)> {
        self.calls.take_fresh()
    }

    /// Moves calls that are to be said again to a session that is to begin.
    pub(crate) fn move_unsaid(&mut self, to: &mut Self) {
        self.calls.move_unsaid(&mut to.calls);
    }

    /// Gives up the events that were never written, for [`Self::publish`] of another session.
    pub(crate) fn take_unpublished(&mut self) -> VecDeque<Publish<C>> {
        self.publishes.take_unsaid()
    }

    /// Takes in a call that was admitted before.
    pub(crate) fn take_over(&mut self, id: RequestId, ask: Ask, caller: C) {
        if ask.ttl == Some(Duration::ZERO) && !self.is_welcome() {
            return caller.end(Ending::failed(Error::new(Code::Expired, Ran::No, calls::NOT_CONNECTED)));
        }
        self.calls.insert(id.get(), ask, caller, self.is_welcome() && !self.leaving);
    }

    /// What is served and with which credit, for the next session.
    pub(crate) fn served(&self) -> Vec<(Box<str>, u32)> {
        self.services.served()
    }

    /// Whether the server may still have a delivery for us: something is served, or was and is not confirmed to be over.
    pub(crate) fn serves_anything(&self) -> bool {
        !self.services.is_empty()
    }

    /// Whether this action is served, or was and that is not confirmed to be over.
    pub(crate) fn knows_action(&self, action: &str) -> bool {
        self.services.knows(action)
    }

    /// Whether no call waits, no delivery is held and every answer was written.
    pub(crate) fn is_idle(&self) -> bool {
        let nothing_waits = self.calls() == 0 && self.held() == 0 && self.publishes.is_idle();
        nothing_waits && !self.work.has_unwritten() && !self.calls.has_cancels()
    }

    /// Ends every call with this code.
    pub(crate) fn give_up(&mut self, code: Code, why: &str) {
        self.calls.give_up(code, why);
        self.publishes.give_up(code, why);
    }

    // ── what is so

    /// Whether the server has let this client in on this connection.
    pub(crate) fn is_welcome(&self) -> bool {
        self.line.is_welcome()
    }

    /// Calls that wait for their answers, without those that nobody wants any more.
    pub(crate) fn calls(&self) -> usize {
        self.calls.waiting()
    }

    /// Deliveries that are not answered.
    pub(crate) fn held(&self) -> usize {
        self.work.held()
    }

    /// Whether the server keeps up with the answers: it has acknowledged all but as many as it would keep itself.
    pub(crate) fn has_room_for_parts(&self) -> bool {
        self.work.kept() < KEPT_REPLIES_MAX && self.work.kept_bytes() < KEPT_REPLY_BYTES_MAX
    }
}
