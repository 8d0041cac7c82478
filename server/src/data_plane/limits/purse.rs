//! What one connection may still say: frames and bytes a second. Who has spent its credit loses nothing and is not closed; it is just not
//! read until there is credit again, and what it goes on sending waits with it, because its own socket takes no more.
//!
//! A pause is never longer than a tenth of a second, the shortest heartbeat that can be set: so heartbeats go on in both directions.

use super::bucket::{Bucket, Rate};
use answerback_broker::Time;

/// Seconds whose credit may be used at once.
const BURST_SECONDS: u64 = 1;

/// A pause lasts until there is credit for so many parts of a second.
const PAUSES_PER_SECOND: u64 = 10;

/// The least rate of frames: with fewer a pause would be longer than it may be.
pub(crate) const FRAMES_LEAST: usize = PAUSES_PER_SECOND as usize;

/// The least rate of bytes: with fewer each read would bring but a piece of a head.
pub(crate) const BYTES_LEAST: usize = 1 << 10;

/// Which of the two is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data_plane) enum Spent {
    Frames { until: Time },
    Bytes { until: Time },
}

/// What every connection may say.
#[derive(Debug, Clone, Copy)]
pub(in crate::data_plane) struct Allowance {
    frames: Rate,
    bytes: Rate,
}

impl Allowance {
    /// So much a second; 0 is no limit.
    pub(super) fn new(frames: usize, bytes: usize) -> Self {
        Self { frames: Rate::new(frames, BURST_SECONDS), bytes: Rate::new(bytes, BURST_SECONDS) }
    }

    pub(in crate::data_plane) fn purse(&self, now: Time) -> Purse {
        Purse { frames: self.frames.bucket(now), bytes: self.bytes.bucket(now) }
    }
}

/// What one connection may still say.
#[derive(Debug, Clone, Copy)]
pub(in crate::data_plane) struct Purse {
    frames: Bucket,
    bytes: Bucket,
}

impl Purse {
    /// How many bytes one read may take.
    pub(in crate::data_plane) fn room(&mut self, allowed: &Allowance, now: Time) -> Result<usize, Spent> {
        if allowed.bytes.is_off() {
            return Ok(usize::MAX);
        }
        let (credit, piece) = (self.bytes.credit(allowed.bytes, now), piece(allowed.bytes));
        if credit >= piece {
            return Ok(usize::try_from(credit).unwrap_or(usize::MAX));
        }
        Err(Spent::Bytes { until: self.bytes.when(piece, allowed.bytes) })
    }

    /// Says that so many were read.
    pub(in crate::data_plane) fn read(&mut self, bytes: usize) {
        self.bytes.spend(bytes as u64);
    }

    /// Whether one more frame may be decided.
    pub(in crate::data_plane) fn may_say_more(&mut self, allowed: &Allowance, now: Time) -> Result<(), Spent> {
        if allowed.frames.is_off() || self.frames.credit(allowed.frames, now) >= 1 {
            return Ok(());
        }
        Err(Spent::Frames { until: self.frames.when(piece(allowed.frames), allowed.frames) })
    }

    /// Says that one was.
    pub(in crate::data_plane) fn said(&mut self) {
        self.frames.spend(1);
    }
}

/// What a pause brings.
fn piece(rate: Rate) -> u64 {
    (rate.per_second() / PAUSES_PER_SECOND).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Reads as much as it may for so long; returns the bytes, and the longest pause.
    fn reads(rate: usize, seconds: u64) -> (usize, Duration) {
        let allowed = Allowance::new(0, rate);
        let (mut now, mut bytes, mut longest) = (Time::default(), 0, Duration::ZERO);
        let mut purse = allowed.purse(now);
        while now < Time::from_millis(seconds * 1_000) {
            match purse.room(&allowed, now) {
                Ok(room) => {
                    assert!(purse.may_say_more(&allowed, now).is_ok());
                    let room = room.min(64 << 10);
                    purse.read(room);
                    bytes += room;
                }
                Err(Spent::Bytes { until }) => {
                    assert!(until > now);
                    (longest, now) = (longest.max(until - now), until);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        (bytes, longest)
    }

    #[test]
    fn bytes_come_at_their_rate_after_one_burst_and_pauses_are_short() {
        for rate in [BYTES_LEAST, 10_000, 1 << 20, 100 << 20] {
            let (bytes, longest) = reads(rate, 10);
            assert!((rate * 10..=rate * 11 + rate / 10).contains(&bytes), "{rate} a second: {bytes}");
            assert!(longest <= Duration::from_millis(100), "{rate} a second: {longest:?}");
        }
    }

    #[test]
    fn frames_come_at_their_rate_after_one_burst_and_pauses_are_short() {
        for rate in [FRAMES_LEAST, 33, 1_000, 100_000] {
            let allowed = Allowance::new(rate, 0);
            let (mut now, mut frames) = (Time::default(), 0);
            let mut purse = allowed.purse(now);
            while now < Time::from_millis(5_000) {
                assert_eq!(purse.room(&allowed, now), Ok(usize::MAX));
                match purse.may_say_more(&allowed, now) {
                    Ok(()) => {
                        purse.said();
                        frames += 1;
                    }
                    Err(Spent::Frames { until }) => {
                        assert!(until > now && until - now <= Duration::from_millis(100), "{rate}");
                        now = until;
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert!((rate * 5..=rate * 6 + rate / 10).contains(&frames), "{rate} a second: {frames}");
        }
    }

    #[test]
    fn without_limits_everything_may_be_said() {
        let allowed = Allowance::new(0, 0);
        let mut purse = allowed.purse(Time::default());
        for _ in 0..1_000_000 {
            purse.said();
        }
        purse.read(usize::MAX);
        assert_eq!(purse.room(&allowed, Time::default()), Ok(usize::MAX));
        assert_eq!(purse.may_say_more(&allowed, Time::default()), Ok(()));
    }
}
