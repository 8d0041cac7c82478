//! What has happened since the start, in numbers.

use answerback_protocol::Code;
use std::collections::BTreeMap;

/// Counters. They only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Sessions that came back on a new connection.
    pub resumed: u64,
    /// Frames that arrived.
    pub frames_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Bytes of data that arrived in them.
    pub data_in: u64,
    /// Bytes of data sent.
    pub data_out: u64,
    /// Requests that arrived, refused ones included.
    pub requests: u64,
    /// Sends among them that were accepted.
    pub accepted: u64,
    /// Times a request was given to a handler.
    pub deliveries: u64,
    /// Requests answered with data.
    pub replies: u64,
    /// Requests that ended in an error, by code.
    pub errors: BTreeMap<Code, u64>,
    /// Sends that ended without having been answered.
    pub sends_lost: u64,
    /// Requests that were passed on to another server.
    pub passed_on: u64,
    /// Requests queued again: handed back, never arrived, or lost with attempts left.
    pub requeued: u64,
    /// Replies for deliveries that the session does not have: late, twice, or somebody else's.
    pub stray_replies: u64,
    /// Frames with a bad head and bytes that are no frame, by what was wrong.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Events published.
    pub published: u64,
    /// Events sent to subscribers.
    pub events: u64,
    /// Connections closed for silence.
    pub silent: u64,
    /// Connections closed because they did not read what they were sent.
    pub slow: u64,
}

impl Counts {
    pub(crate) fn error(&mut self, code: Code) {
        *self.errors.entry(code).or_default() += 1;
    }

    pub(crate) fn malformed(&mut self, word: &'static str) {
        *self.malformed.entry(word).or_default() += 1;
    }
}
