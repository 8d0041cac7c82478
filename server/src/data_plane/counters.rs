//! What the data plane counts about itself. Plain numbers: one thread owns them, others are sent a copy.

use std::collections::BTreeMap;

/// What has happened since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections turned away because as many as may be were open.
    pub refused: u64,
    /// Connections closed because they did not read what they were sent.
    pub closed_slow: u64,
    /// Pauses made because no further file could be opened.
    pub accept_pauses: u64,
    /// Frames taken in, sound or not.
    pub frames_in: u64,
    /// Frames appended to outboxes.
    pub frames_out: u64,
    /// Frames that were not what the protocol allows, by the short word for what was wrong.
    pub bad_frames: BTreeMap<&'static str, u64>,
    /// Connections that did not come in, by the short word for what they were.
    pub strangers: BTreeMap<&'static str, u64>,
    /// How often each limit against strangers and floods was met, by its word.
    pub limited: BTreeMap<&'static str, u64>,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Calls of `read`.
    pub reads: u64,
    /// Calls of `write`.
    pub writes: u64,
    /// Turns of the loop, so calls of `epoll_wait` or its like.
    pub turns: u64,
}

impl Counters {
    pub(crate) fn stranger(&mut self, kind: &'static str) {
        *self.strangers.entry(kind).or_default() += 1;
    }

    pub(crate) fn bad_frame(&mut self, word: &'static str) {
        *self.bad_frames.entry(word).or_default() += 1;
    }

    pub(crate) fn limited(&mut self, word: &'static str) {
        *self.limited.entry(word).or_default() += 1;
    }
}
