//! The one source of chance: splitmix64. The same seed gives the same numbers on every machine.

use std::time::Duration;

/// A generator of numbers that look random.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The generator of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x5851_f42d_4c95_7f2d }
    }

    /// The `number`-th of many generators of one seed, each independent of what the others were asked.
    pub(crate) fn nth(seed: u64, number: u64) -> Self {
        let mut mixed = Self::new(number);
        Self::new(seed ^ mixed.bits())
    }

    /// 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time from nothing to `most`.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(micros.saturating_add(1)))
    }

    /// A time from half to one and a half of `about`.
    pub(crate) fn around(&mut self, about: Duration) -> Duration {
        about / 2 + self.up_to(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_of_one_seed_differ_and_repeat() {
        let drawn = |seed, number| Random::nth(seed, number).bits();
        assert_eq!(drawn(1, 1), drawn(1, 1));
        assert!(drawn(1, 1) != drawn(1, 2) && drawn(1, 1) != drawn(2, 1));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut random = Random::new(7);
        let about = Duration::from_millis(10);
        for _ in 0..1_000 {
            assert!(random.below(3) < 3);
            let time = random.around(about);
            assert!(time >= about / 2 && time <= about + about / 2);
        }
        assert_eq!(random.below(0), 0);
    }
}
