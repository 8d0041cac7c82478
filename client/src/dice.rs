//! Randomness: of session ids, which are secrets, and of pauses, which are not.

use answerback_protocol::SessionId;

/// A source of random numbers. With a seed it always says the same, which only simulations want.
#[derive(Debug)]
pub(crate) struct Dice {
    state: u64,
    seeded: bool,
}

impl Dice {
    /// Random, or by this seed. Fails if the system has no random numbers.
    pub(crate) fn new(seed: Option<u64>) -> Result<Self, getrandom::Error> {
        let state = seed.map_or_else(getrandom::u64, Ok)?;
        Ok(Self { state, seeded: seed.is_some() })
    }

    /// A session that nobody can guess.
    pub(crate) fn session(&mut self) -> Result<SessionId, getrandom::Error> {
        let mut bits = [0; 16];
        if self.seeded {
            bits[..8].copy_from_slice(&self.bits().to_le_bytes());
            bits[8..].copy_from_slice(&self.bits().to_le_bytes());
        } else {
            getrandom::fill(&mut bits)?;
        }
        Ok(SessionId::new(u128::from_le_bytes(bits)))
    }

    /// From 0 up to 1, for pauses.
    pub(crate) fn chance(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// SplitMix64: good enough to spread pauses.
    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_says_the_same() {
        let [mut one, mut two] = [Dice::new(Some(7)).unwrap(), Dice::new(Some(7)).unwrap()];
        assert_eq!(one.session().unwrap(), two.session().unwrap());
        assert!((0.0..1.0).contains(&one.chance()));
    }

    #[test]
    fn without_a_seed_no_two_sessions_are_alike() {
        let mut dice = Dice::new(None).unwrap();
        assert_ne!(dice.session().unwrap(), dice.session().unwrap());
    }
}
