//! The calls of this client: those that wait for an answer, and those that nobody waits for any more but of which the server has
//! still to hear.

use super::call::{Call, Obstacle, earlier};
use super::ids::ById;
use super::words::{Ask, Caller};
use answerback_protocol::frames::Cancel;
use answerback_protocol::{ClientFrame, Code, Ran, RequestId};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// All deadlines are looked at together, and not more often than this.
const LOOK_EVERY: Duration = Duration::from_millis(1);

pub(super) struct Calls<C> {
    waiting: ById<Call<C>>,
    cancelling: ById<Cancelling>,
    /// Requests to write on this connection, in order. May name calls that have ended.
    to_say: VecDeque<u64>,
    /// Cancels to write on this connection.
    to_cancel: VecDeque<u64>,
    /// Data of those that wait.
    bytes: usize,
    /// No call is due before this moment. Not exact, so that nothing needs to be done when a call ends.
    earliest: Option<Instant>,
    /// When the deadlines may be looked at again.
    look_from: Option<Instant>,
    /// How much longer than its timeout one that was said waits.
    patience: Duration,
}

/// A call that was said and is not wanted any more.
struct Cancelling {
    said_on: u64,
    /// When it is over even if the server says nothing.
    until: Option<Instant>,
    /// On a later connection than its request's, `cancel` gets no answer: the server would give it to an announcement only, and
    /// must not hear one, because it would take up a request that it does not know. Then it has heard the `cancel` when it has
    /// answered this `ping`, counted on this connection.
    settled_by_pong: Option<u64>,
}

/// What calls have to know of the connection that they are written on.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) connection: u64,
    pub(super) max_frame: u32,
    /// Pings that were said on it.
    pub(super) pings: u64,
}

impl<C: Caller> Calls<C> {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            waiting: ById::default(),
            cancelling: ById::default(),
            to_say: VecDeque::new(),
            to_cancel: VecDeque::new(),
            bytes: 0,
            earliest: None,
            look_from: None,
            patience,
        }
    }

    /// Those that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Those that have a record here.
    pub(super) fn all(&self) -> usize {
        self.waiting.len() + self.cancelling.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    // ── the life of a call

    /// Takes a new one in. It is written now if it is `to_say`, else when it is announced with the others.
    pub(super) fn insert(&mut self, id: u64, ask: Ask, caller: C, to_say: bool) {
        self.put(id, Call::new(ask, caller));
        if to_say {
            self.to_say.push_back(id);
        }
    }

    /// Puts one back that was taken, or a new one.
    pub(super) fn put(&mut self, id: u64, call: Call<C>) {
        let due = call.due(self.patience);
        // Those that have ended need not be waited for.
        self.earliest =
            if self.waiting.is_empty() && self.cancelling.is_empty() { due } else { earlier(self.earliest, due) };
        self.bytes += call.ask.data.len();
        self.waiting.insert(id, call);
    }

    /// One that waits, to be given a part.
    pub(super) fn get(&mut self, id: u64) -> Option<&mut Call<C>> {
        self.waiting.get_mut(&id)
    }

    /// One whose answer is here. It is none of the table's business any more.
    pub(super) fn take(&mut self, id: u64) -> Option<Call<C>> {
        let Some(call) = self.waiting.remove(&id) else {
            self.cancelling.remove(&id);
            return None;
        };
        self.bytes -= call.ask.data.len();
        Some(call)
    }

    /// Nobody waits for it any more. Whether it was known.
    pub(super) fn cancel(&mut self, id: u64, is_welcome: bool) -> bool {
        self.cancel_and_take(id, is_welcome).is_some() || self.cancelling.contains_key(&id)
    }

    /// The same, for who has a word to say to its asker.
    pub(super) fn cancel_and_take(&mut self, id: u64, is_welcome: bool) -> Option<Call<C>> {
        let call = self.waiting.remove(&id)?;
        self.bytes -= call.ask.data.len();
        if call.is_said() {
            let (said_on, until) = (call.said_on(), call.due(self.patience));
            self.cancelling.insert(id, Cancelling { said_on, until, settled_by_pong: None });
            if is_welcome {
                self.to_cancel.push_back(id);
            }
        }
        Some(call)
    }

    /// The server leaves and has not taken it: it waits for the session with another one.
    pub(super) fn unsay(&mut self, id: u64, mut call: Call<C>) {
        call.unsay();
        self.put(id, call);
    }

    // ── connections

    /// The connection is gone, and what was to be written on it. A ttl of 0 does not wait for the next one.
    pub(super) fn disconnected(&mut self) {
        self.to_say.clear();
        self.to_cancel.clear();
        for (_, call) in self.waiting.extract_if(|_, call| !call.is_said() && call.ask.ttl == Some(Duration::ZERO)) {
            self.bytes -= call.ask.data.len();
            let ran = call.ran();
            call.fail(Code::Expired, ran, NOT_CONNECTED);
        }
    }

    /// The server does not know this session any more, nor what was said in it.
    pub(super) fn session_lost(&mut self) {
        self.cancelling.clear();
        let lost = |_: &u64, call: &mut Call<C>| call.is_said() && !call.survives_the_session();
        for (_, call) in self.waiting.extract_if(lost) {
            self.bytes -= call.ask.data.len();
            call.fail(Code::Disconnected, Ran::Maybe, SESSION_LOST);
        }
        // What is unsaid again is due earlier than it was.
        self.earliest = self.waiting.values().map(|call| call.due(self.patience)).fold(None, earlier);
    }

    /// Everything is to be said on a new connection; `fresh` is whether that holds for what was never said before, too.
    pub(super) fn announce(&mut self, fresh: bool) {
        let mut ids: Vec<_> =
            self.waiting.iter().filter(|(_, call)| fresh || !call.is_fresh()).map(|(&id, _)| id).collect();
        ids.sort_unstable();
        self.to_say = ids.into();
        let mut ids: Vec<_> = self.cancelling.keys().copied().collect();
        ids.sort_unstable();
        self.to_cancel = ids.into();
        for cancelling in self.cancelling.values_mut() {
            cancelling.settled_by_pong = None;
        }
    }

    /// What was never said is not written on this connection any more.
    pub(super) fn hold_back(&mut self) {
        let waiting = &self.waiting;
        self.to_say.retain(|id| waiting.get(id).is_some_and(|call| !call.is_fresh()));
    }

    /// Gives up what was never said, for the session with another server.
    pub(super) fn take_fresh(&mut self) -> Vec<(RequestId, Ask, C)> {
        self.hold_back();
        let mut taken: Vec<_> = self.waiting.extract_if(|_, call| call.is_fresh()).collect();
        taken.sort_unstable_by_key(|(id, _)| *id);
        self.bytes -= taken.iter().map(|(_, call)| call.ask.data.len()).sum::<usize>();
        taken.into_iter().map(|(id, call)| (RequestId::truncated(id), call.ask, call.caller)).collect()
    }

    /// Moves those that are to be said again, since they may run more than once, to another session.
    pub(super) fn move_unsaid(&mut self, to: &mut Self) {
        let mut moved: Vec<_> = self.waiting.extract_if(|_, call| !call.is_said()).collect();
        moved.sort_unstable_by_key(|(id, _)| *id);
        for (id, call) in moved {
            self.bytes -= call.ask.data.len();
            to.put(id, call);
        }
    }

    /// Ends all of them.
    pub(super) fn give_up(&mut self, code: Code, why: &str) {
        self.to_say.clear();
        self.to_cancel.clear();
        self.cancelling.clear();
        self.bytes = 0;
        let mut all: Vec<_> = self.waiting.drain().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        for (_, call) in all {
            let ran = call.ran();
            call.fail(code, ran, why);
        }
    }

    // ── writing

    pub(super) fn has_requests(&self) -> bool {
        !self.to_say.is_empty()
    }

    pub(super) fn has_cancels(&self) -> bool {
        !self.to_cancel.is_empty()
    }

    /// Writes the next request, or ends it instead. False if there is none.
    pub(super) fn say_next(&mut self, now: Instant, way: Way, out: &mut BytesMut) -> bool {
        let Some(id) = self.to_say.pop_front() else { return false };
        let Some(call) = self.waiting.get_mut(&id) else { return true };
        match call.obstacle(now, way.max_frame) {
            None if call.write(now, id, way.connection, out).is_some() => {}
            obstacle => self.end_unwritten(id, obstacle),
        }
        true
    }

    fn end_unwritten(&mut self, id: u64, obstacle: Option<Obstacle>) {
        let Some(call) = self.take(id) else { return };
        let ran = call.ran();
        match obstacle {
            Some(Obstacle::NobodyWaits) => {}
            Some(Obstacle::TooLate) => call.end_overdue(),
            Some(Obstacle::TooLarge(text)) => call.fail(Code::TooLarge, ran, text),
            None => call.fail(Code::BadRequest, ran, "the name of the action is not one"),
        }
    }

    /// Writes the next cancel. `None` if there is none, else whether a `ping` must follow.
    pub(super) fn say_cancel(&mut self, way: Way, out: &mut BytesMut) -> Option<bool> {
        let id = self.to_cancel.pop_front()?;
        let Some(cancelling) = self.cancelling.get_mut(&id) else { return Some(false) };
        ClientFrame::from(Cancel { id: RequestId::truncated(id) }).write(b"", out);
        let unannounced = cancelling.said_on != way.connection;
        cancelling.settled_by_pong = unannounced.then_some(way.pings + 1);
        Some(unannounced)
    }

    /// The server has answered so many pings.
    pub(super) fn pong(&mut self, pongs: u64) {
        self.cancelling.retain(|_, cancelling| cancelling.settled_by_pong.is_none_or(|pong| pong > pongs));
    }

    // ── time

    /// When the deadlines are to be looked at.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.all() == 0 {
            return None;
        }
        self.earliest.map(|earliest| self.look_from.map_or(earliest, |from| from.max(earliest)))
    }

    /// Ends those whose time is up.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        self.look_from = now.checked_add(LOOK_EVERY);
        let (mut earliest, patience) = (None, self.patience);
        let mut is_due = |due: Option<Instant>| {
            let is_due = due.is_some_and(|due| due <= now);
            if !is_due {
                earliest = earlier(earliest, due);
            }
            is_due
        };
        self.cancelling.retain(|_, cancelling| !is_due(cancelling.until));
        for (_, call) in self.waiting.extract_if(|_, call| is_due(call.due(patience))) {
            self.bytes -= call.ask.data.len();
            call.end_overdue();
        }
        self.earliest = earliest;
    }
}

pub(super) const NOT_CONNECTED: &str = "no server is connected, and a ttl of 0 does not wait for one";

const SESSION_LOST: &str = "the server no longer knows this client's session, so it cannot be said whether the work ran: allow more attempts if it may run twice";
