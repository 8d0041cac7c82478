//! Which of several backends takes the next connection. A backend that comes back has less weight than others for a while: it is started
//! gently, because its caches are cold and all its clients would come at once.

use super::Key;

/// How a backend is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// One after another.
    RoundRobin,
    /// Who has the fewest.
    LeastConnections,
    /// Two at random, and of them who has fewer: as even as the fewest, and several balancers do not all choose the same.
    TwoChoices,
}

impl Strategy {
    pub(crate) const WORDS: &str = "round-robin, least-connections or two-choices";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "round-robin" => Some(Self::RoundRobin),
            "least-connections" => Some(Self::LeastConnections),
            "two-choices" => Some(Self::TwoChoices),
            _ => None,
        }
    }
}

/// A backend that could take it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) connections: usize,
    pub(super) weight: u32,
    /// What it has waited for, in round robin.
    pub(super) turn: i64,
}

impl Candidate {
    /// Connections, as they weigh on it: with a tenth of the weight each counts tenfold.
    fn load(&self) -> u64 {
        (self.connections as u64 + 1) * u64::from(super::backend::WEIGHT) / u64::from(self.weight.max(1))
    }
}

/// The one that takes the next connection.
pub(super) fn choose(strategy: Strategy, among: &[Candidate], dice: &mut Dice) -> Option<Key> {
    let chosen = match strategy {
        Strategy::RoundRobin => among
            .iter()
            .max_by_key(|candidate| (candidate.turn + i64::from(candidate.weight), std::cmp::Reverse(candidate.key))),
        Strategy::LeastConnections => {
            // Among equals chance decides: otherwise the first would get every first connection.
            let first = dice.below(among.len());
            let (before, after) = among.split_at(first);
            after.iter().chain(before).min_by_key(|candidate| candidate.load())
        }
        Strategy::TwoChoices => {
            let first = dice.below(among.len());
            let second = (first + 1 + dice.below(among.len().saturating_sub(1))) % among.len().max(1);
            [among.get(first), among.get(second)].into_iter().flatten().min_by_key(|candidate| candidate.load())
        }
    };
    chosen.map(|candidate| candidate.key)
}

/// Random numbers that nobody needs to be unable to guess (splitmix64).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, or 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (bound.max(1) as u64)).unwrap_or(0)
    }
}
