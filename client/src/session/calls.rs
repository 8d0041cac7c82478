//! Calls that wait for their answers: the left half of a session.

use super::saying::Say;
use super::words::{Ask, Caller, Ending};
use super::{Session, words};
use crate::error::Error;
use answerback_protocol::{Code, Ran, RequestId};
use bytes::Bytes;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Ids are our own and count up, so nobody can choose them to collide.
type ById<T> = HashMap<RequestId, T, foldhash::fast::FixedState>;

/// The least time between two looks at all deadlines.
const LOOK_AFTER: Duration = Duration::from_millis(1);

/// Calls by id.
#[derive(Debug)]
pub(super) struct Calls<C> {
    by_id: ById<Call<C>>,
    /// Data of all of them.
    bytes: usize,
    /// No deadline is earlier than this. Calls that end in time never make it look: a look at all of them is due at most once for the
    /// shortest timeout there is.
    earliest: Option<Instant>,
    /// Cancels that were said on this connection about requests that were said on an earlier one: the server's answer to the ping that follows
    /// is the only word there will be on them.
    pub(super) bare_cancels: usize,
}

#[derive(Debug)]
pub(super) struct Call<C> {
    pub(super) ask: Ask,
    /// Nobody, if it is being cancelled.
    pub(super) caller: Option<C>,
    pub(super) stage: Stage,
    /// The connection on which it was said last; 0 if on none.
    pub(super) said_on: u64,
    /// Sessions that were lost since it was first said: each may have used up an attempt.
    pub(super) lost: u32,
    /// The number of the last part that was taken in.
    pub(super) parts_seen: u64,
}

/// See the drawing above [`Session`]'s module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Unsaid,
    Said,
    /// It will be said that nobody waits any more, or was; on an earlier connection if `bare`.
    Cancelling {
        bare: bool,
    },
}

impl<C> Default for Calls<C> {
    fn default() -> Self {
        Self { by_id: ById::default(), bytes: 0, earliest: None, bare_cancels: 0 }
    }
}

impl<C: Caller> Call<C> {
    /// When it ends here at the latest.
    fn deadline(&self, patience: Duration) -> Option<Instant> {
        let asked = self.ask.asked;
        let whole = self.ask.timeout.and_then(|timeout| asked.checked_add(timeout));
        if self.stage != Stage::Unsaid {
            return whole.and_then(|whole| whole.checked_add(patience));
        }
        let ttl = self.ask.ttl.and_then(|ttl| asked.checked_add(ttl));
        whole.into_iter().chain(ttl).min()
    }

    /// How its caller is told that its time is up.
    fn overdue(&self, now: Instant) -> Error {
        let action = &self.ask.action;
        let ttl_is_over = self.ask.ttl.is_some_and(|ttl| now >= self.ask.asked + ttl);
        match self.stage {
            Stage::Unsaid if ttl_is_over => {
                let message = format!("no server could be asked for {action} within its ttl: see the client's state");
                Error::new(Code::Expired, Ran::No, message)
            }
            Stage::Unsaid => {
                let message =
                    format!("no server could be asked for {action} within its timeout: see the client's state");
                Error::new(Code::Timeout, Ran::No, message)
            }
            _ => {
                let message = format!(
                    "no word came from the server on {action} within its timeout: the connection may be broken"
                );
                Error::new(Code::Timeout, Ran::Maybe, message)
            }
        }
    }

    /// How many handlers it may be given: what was asked, or the default.
    pub(super) fn attempts_left(&self) -> u32 {
        let default = if self.ask.reply { 1 } else { 3 };
        self.ask.attempts.unwrap_or(default).saturating_sub(self.lost)
    }
}

impl<C: Caller> Calls<C> {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn get_mut(&mut self, id: RequestId) -> Option<&mut Call<C>> {
        self.by_id.get_mut(&id)
    }

    /// A call that was said has a later deadline than one that was not; the bound stays one.
    fn insert(&mut self, id: RequestId, call: Call<C>, patience: Duration) {
        self.bytes += call.ask.data.len();
        self.earliest = self.earliest.into_iter().chain(call.deadline(patience)).min();
        self.by_id.insert(id, call);
    }

    fn remove(&mut self, id: RequestId) -> Option<Call<C>> {
        let call = self.by_id.remove(&id)?;
        self.bytes -= call.ask.data.len();
        if self.by_id.is_empty() {
            self.earliest = None;
        }
        Some(call)
    }

    /// Ids in the order in which they were asked.
    pub(super) fn in_order(&self, of: impl Fn(&Call<C>) -> bool) -> Vec<RequestId> {
        let mut ids: Vec<_> = self.by_id.iter().filter(|(_, call)| of(call)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.earliest
    }

    /// Forgets a call and tells its caller.
    pub(super) fn end(&mut self, id: RequestId, result: Result<Bytes, Error>) {
        self.end_with(id, Ending { result, info: None, counts: None });
    }

    pub(super) fn end_with(&mut self, id: RequestId, ending: Ending) {
        if let Some(caller) = self.remove(id).and_then(|call| call.caller) {
            caller.end(ending);
        }
    }

    /// Ends what is overdue.
    pub(super) fn handle_timeout(&mut self, now: Instant, patience: Duration) {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return;
        }
        let overdue = self.in_order(|call| call.deadline(patience).is_some_and(|deadline| deadline <= now));
        for id in overdue {
            if let Some(error) = self.by_id.get(&id).map(|call| call.overdue(now)) {
                self.end(id, Err(error));
            }
        }
        let next = self.by_id.values().filter_map(|call| call.deadline(patience)).min();
        self.earliest = next.map(|next| next.max(now + LOOK_AFTER));
    }

    /// The server has read everything up to this connection's bare cancels.
    pub(super) fn bare_cancels_arrived(&mut self) {
        if self.bare_cancels > 0 {
            self.bare_cancels = 0;
            for id in self.in_order(|call| call.stage == Stage::Cancelling { bare: true }) {
                self.remove(id);
            }
        }
    }
}

impl<C: Caller> Session<C> {
    /// Asks. A call that cannot be taken ends at once.
    pub(crate) fn ask(&mut self, id: RequestId, ask: Ask, caller: C) {
        match self.refusal(&ask) {
            Some(error) => caller.end(Ending { result: Err(error), info: None, counts: None }),
            None => self.take_over(id, ask, caller),
        }
    }

    /// Why this call cannot be taken.
    fn refusal(&self, ask: &Ask) -> Option<Error> {
        let words::Limits { calls, bytes, .. } = self.limits;
        let action = &ask.action;
        if self.calls.len() >= calls {
            let message =
                format!("{action}: {calls} calls of this client wait already: make fewer at once, or raise max_calls");
            return Some(Error::new(Code::Overloaded, Ran::No, message));
        }
        if self.calls.bytes.saturating_add(ask.data.len()) > bytes {
            let message = format!(
                "{action}: calls of this client hold {bytes} bytes already: make fewer at once, or raise max_bytes"
            );
            return Some(Error::new(Code::Overloaded, Ran::No, message));
        }
        if ask.ttl == Some(Duration::ZERO) && !self.is_welcome() {
            let message = format!("{action}: no server is connected, and with ttl 0 it does not wait for one");
            return Some(Error::new(Code::Expired, Ran::No, message));
        }
        None
    }

    /// Takes a call that was let in once already, by this session or by the one before.
    pub(crate) fn take_over(&mut self, id: RequestId, ask: Ask, caller: C) {
        let call = Call { ask, caller: Some(caller), stage: Stage::Unsaid, said_on: 0, lost: 0, parts_seen: 0 };
        self.calls.insert(id, call, self.limits.patience);
        self.say_if_welcome(|| Say::Request(id));
    }

    /// Nobody waits for this call any more. `false` if it is not known here.
    pub(crate) fn cancel(&mut self, id: RequestId) -> bool {
        let Some(call) = self.calls.get_mut(id) else { return false };
        if call.stage == Stage::Unsaid {
            self.calls.remove(id);
            return true;
        }
        call.caller = None;
        let freed = std::mem::take(&mut call.ask.data).len();
        call.stage = Stage::Cancelling { bare: false };
        self.calls.bytes -= freed;
        self.say_if_welcome(|| Say::Cancel(id));
        true
    }

    /// Gives up the calls that were never said here, for the session with another server, in order.
    pub(crate) fn take_unsaid(&mut self) -> Vec<(RequestId, Ask, C)> {
        let ids = self.calls.in_order(|call| call.stage == Stage::Unsaid);
        let mut unsaid = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(Call { ask, caller: Some(caller), .. }) = self.calls.remove(id) {
                unsaid.push((id, ask, caller));
            }
        }
        unsaid
    }

    /// Ends every call, because there will be no connection any more.
    pub(crate) fn give_up(&mut self, code: Code, why: &str) {
        for id in self.calls.in_order(|_| true) {
            let said = self.calls.get_mut(id).is_some_and(|call| call.said_on > 0);
            self.calls.end(id, Err(Error::new(code, if said { Ran::Maybe } else { Ran::No }, why)));
        }
    }

    /// The server does not know this session any more. What was said may have run; only what may be given to one more handler is said again.
    pub(super) fn session_lost(&mut self) {
        for id in self.calls.in_order(|call| call.said_on > 0) {
            let Some(call) = self.calls.get_mut(id) else { continue };
            call.lost += 1;
            if call.stage != Stage::Said {
                self.calls.remove(id);
            } else if call.attempts_left() == 0 {
                let message = format!(
                    "the server does not know this client any more, so nobody can say what became of {}: look before you ask again",
                    call.ask.action
                );
                self.calls.end(id, Err(Error::new(Code::Disconnected, Ran::Maybe, message)));
            }
        }
    }
}
