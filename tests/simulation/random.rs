//! The one source of chance in a run: splitmix64. The same seed gives the same run on every machine.

/// A generator of numbers that look random.
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The generator of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x5851_f42d_4c95_7f2d }
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
        if end == 0 { 0 } else { ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64 }
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True in so many of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// A place in a list of this length.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// One of a list that is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.place(list.len())]
    }

    /// The place of one of the weights, each as likely as it weighs.
    pub(crate) fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut rest = self.below(weights.iter().sum());
        for (place, weight) in weights.iter().enumerate() {
            if rest < *weight {
                return place;
            }
            rest -= weight;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_within_their_bounds() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        for end in 1..500 {
            let number = one.below(end);
            assert!(number < end);
            assert_eq!(number, two.below(end));
        }
        assert_ne!(Random::new(1).bits(), Random::new(2).bits());
    }

    #[test]
    fn weights_of_nothing_are_never_taken() {
        let mut random = Random::new(3);
        let mut taken = [0; 3];
        for _ in 0..1_000 {
            taken[random.weighted(&[1, 0, 3])] += 1;
        }
        assert!(taken[0] > 150 && taken[1] == 0 && taken[2] > 600, "{taken:?}");
    }
}
