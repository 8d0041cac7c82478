//! What happened in a run: a hash over everything, the last events as text, and counts of what was reached.

use answerback_broker::Time;
use std::collections::{BTreeMap, VecDeque};

/// Events kept as text, if `TAIL` in the environment does not say otherwise.
const TAIL: usize = 60;

/// Follows a run.
pub(crate) struct Trace {
    hash: u64,
    /// Text is only made when somebody will read it: a failing seed is run a second time for it.
    tail: Option<VecDeque<String>>,
    most: usize,
    counts: Counts,
}

/// How often each thing happened: a kind ("answer", "input", …) and a word.
pub(crate) type Counts = BTreeMap<(&'static str, &'static str), u64>;

impl Trace {
    /// A trace that keeps text only if asked to.
    pub(crate) fn new(keep_text: bool) -> Self {
        let most = std::env::var("TAIL").ok().and_then(|most| most.parse().ok()).unwrap_or(TAIL);
        Self { hash: 0xcbf2_9ce4_8422_2325, tail: keep_text.then(VecDeque::new), most, counts: Counts::new() }
    }

    /// Mixes a number into the hash.
    pub(crate) fn number(&mut self, number: u64) {
        self.hash = (self.hash.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// Mixes bytes into the hash.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
    }

    /// Keeps a line of text, if somebody will read it.
    pub(crate) fn line(&mut self, now: Time, text: impl FnOnce() -> String) {
        if let Some(tail) = &mut self.tail {
            if tail.len() == self.most {
                tail.pop_front();
            }
            tail.push_back(format!("{now:?}  {}", text()));
        }
    }

    /// Counts something that was reached.
    pub(crate) fn count(&mut self, kind: &'static str, word: &'static str) {
        *self.counts.entry((kind, word)).or_default() += 1;
    }

    /// The hash over all that happened.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The counts.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        self.tail.iter().flatten().map(|line| format!("  {line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_order_and_borders() {
        let of = |pieces: &[&[u8]]| {
            let mut trace = Trace::new(false);
            pieces.iter().for_each(|piece| trace.bytes(piece));
            trace.hash()
        };
        assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"c", b"ab"]));
    }

    #[test]
    fn text_is_kept_for_the_last_events_only() {
        let mut trace = Trace::new(true);
        for number in 0..100 {
            trace.line(Time::from_millis(number), || format!("event {number}"));
        }
        assert!(trace.tail().starts_with("  40.000ms  event 40\n"));
        assert_eq!(trace.tail().lines().count(), TAIL);
    }
}
