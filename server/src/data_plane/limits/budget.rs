//! How much work one connection may cause in one turn. One read brings up to a thousand frames, and a frame may cost a few milliseconds (a list of
//! 10,000 names): without a bound, one client that asks much would have all others wait for seconds.

use answerback_broker::Time;
use std::time::Duration;

/// What one connection may take of a turn. More than a full read of ordinary frames takes, and far less than anybody notices.
const PER_CONNECTION: Duration = Duration::from_millis(2);

/// What all may take together who go on with what was left over from the turn before: then it is the turn of new ones again.
pub(in crate::data_plane) const LEFT_OVERS: Duration = Duration::from_millis(5);

/// The clock is asked after so many frames: it costs a fortieth of what deciding a cheap one costs.
const FRAMES_PER_LOOK: u32 = 4;

/// What one connection has taken of a turn.
#[derive(Debug, Default)]
pub(in crate::data_plane) struct Budget {
    frames: u32,
    began: Option<Time>,
}

impl Budget {
    /// Whether it is somebody else's turn. A read that brings one frame, as most do, asks no clock.
    pub(in crate::data_plane) fn is_spent(&self, clock: impl FnOnce() -> Time) -> bool {
        self.looks() && self.began.is_some_and(|began| clock() - began >= PER_CONNECTION)
    }

    /// Says that one more frame was decided. The first is not measured, nor is the second if there is no third.
    pub(in crate::data_plane) fn decided(&mut self, clock: impl FnOnce() -> Time) {
        self.frames += 1;
        if self.frames == 2 {
            self.began = Some(clock());
        }
    }

    pub(in crate::data_plane) fn frames(&self) -> u32 {
        self.frames
    }

    /// Costly ones are noticed with the third frame, the others every few.
    fn looks(&self) -> bool {
        self.frames == 3 || self.frames.is_multiple_of(FRAMES_PER_LOOK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Frames decided in one turn if each costs so many microseconds, and how often the clock was asked.
    fn decided(cost: u64, most: u32) -> (u32, u32) {
        let (now, asked) = (Cell::new(0), Cell::new(0));
        let clock = || {
            asked.set(asked.get() + 1);
            Time::from_micros(now.get())
        };
        let mut budget = Budget::default();
        while budget.frames() < most && !budget.is_spent(clock) {
            now.set(now.get() + cost);
            budget.decided(clock);
        }
        (budget.frames(), asked.get())
    }

    #[test]
    fn costly_frames_are_few_and_cheap_ones_are_not_held_up() {
        for (cost, most, frames) in [(2_300, 1_000, 3), (700, 1_000, 8), (100, 1_000, 24), (1, 1_000, 1_000)] {
            let (decided, _) = decided(cost, most);
            assert_eq!(decided, frames, "{cost} µs each");
        }
        assert!(decided(1, 100).1 <= 27);
    }

    #[test]
    fn one_frame_costs_no_look_at_the_clock() {
        assert_eq!(decided(1, 1).1, 0);
    }
}
