//! What can go wrong with a connection, and the plan that says with which.

use crate::random::Random;
use std::time::Duration;

/// A direction through the proxy.
///
/// ```
/// # use answerback_testing::{Fault, Way};
/// let fault = Fault::HalfClose { way: Way::ToClient, after: 100, hang: false };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the broker.
    ToBroker,
    /// From the broker to the client.
    ToClient,
}

/// How a connection is ended.
///
/// ```
/// # use answerback_testing::{Ending, Fault, Way};
/// let fault = Fault::Cut { way: Way::ToBroker, after: 100, ending: Ending::Reset };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In order, as when a program ends.
    Fin,
    /// With a reset, as when a machine or a router forgot it.
    Reset,
}

/// What is wrong with one connection.
///
/// ```
/// # use answerback_testing::{Ending, Fault, Faults, Way};
/// // The first connection breaks inside its first frame, the second is slow.
/// let hello = Fault::Cut { way: Way::ToBroker, after: 20, ending: Ending::Fin };
/// let slow = Fault::Delay { by: std::time::Duration::from_millis(50) };
/// let faults = Faults::each([hello, slow]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing.
    None,
    /// It ends after so many bytes one way, often in the middle of a frame.
    Cut {
        /// Which bytes are counted.
        way: Way,
        /// How many of them pass.
        after: u64,
        /// How it ends, for both ends.
        ending: Ending,
    },
    /// Everything takes longer.
    Delay {
        /// Every piece waits so long, one after another.
        by: Duration,
    },
    /// One direction ends after so many bytes, and whoever wrote them does not see it.
    HalfClose {
        /// Which direction.
        way: Way,
        /// How many of its bytes pass.
        after: u64,
        /// Whether the other direction stands still from then on, rather than going on.
        hang: bool,
    },
    /// It is accepted, and nothing passes either way.
    Stall,
    /// Everything comes in tiny pieces.
    Pieces {
        /// Bytes of a piece at most.
        most: usize,
    },
    /// The way is narrow, in both directions.
    Throttle {
        /// Bytes that pass in a second.
        bytes_per_second: u64,
    },
}

/// The plan: which connection has which fault. The same plan gives the same faults, by the number of the connection.
///
/// ```
/// use answerback_testing::{Fault, Faults};
///
/// let faults = Faults::seeded(7).percent(50).cut_within(2_000);
/// assert_eq!(faults.of(3), faults.of(3));
///
/// let faults = Faults::each([Fault::Stall]); // the first stalls, the others are well
/// assert_eq!((faults.of(0), faults.of(1)), (Fault::Stall, Fault::None));
/// ```
#[derive(Debug, Clone)]
pub struct Faults {
    plan: Plan,
    percent: u64,
    cut_within: u64,
    delay_most: Duration,
    stalls: bool,
}

#[derive(Debug, Clone)]
enum Plan {
    Each(Vec<Fault>),
    Seeded(u64),
}

impl Faults {
    /// No faults.
    ///
    /// ```
    /// # use answerback_testing::{Fault, Faults};
    /// assert_eq!(Faults::none().of(0), Fault::None);
    /// ```
    pub fn none() -> Self {
        Self::each([])
    }

    /// One fault for each connection, in the order in which they come. Later ones have none.
    ///
    /// ```
    /// # use answerback_testing::{Fault, Faults};
    /// let faults = Faults::each([Fault::None, Fault::Stall]);
    /// assert_eq!(faults.of(1), Fault::Stall);
    /// ```
    pub fn each(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self::new(Plan::Each(faults.into_iter().collect()))
    }

    /// Faults of every kind, chosen by a seed. Most connections have one.
    ///
    /// ```
    /// # use answerback_testing::Faults;
    /// let faults = Faults::seeded(7);
    /// ```
    pub fn seeded(seed: u64) -> Self {
        Self::new(Plan::Seeded(seed))
    }

    fn new(plan: Plan) -> Self {
        Self { plan, percent: 80, cut_within: 20_000, delay_most: Duration::from_millis(20), stalls: true }
    }

    /// Of a hundred connections, so many have a seeded fault. 80 if nothing is said.
    ///
    /// ```
    /// # use answerback_testing::Faults;
    /// let faults = Faults::seeded(7).percent(10);
    /// ```
    pub fn percent(mut self, percent: u8) -> Self {
        self.percent = u64::from(percent);
        self
    }

    /// Seeded cuts and half-closes come after so many bytes at most. 20,000 if nothing is said.
    ///
    /// ```
    /// # use answerback_testing::Faults;
    /// let faults = Faults::seeded(7).cut_within(500);
    /// ```
    pub fn cut_within(mut self, bytes: u64) -> Self {
        self.cut_within = bytes;
        self
    }

    /// Seeded delays are so long at most. 20 ms if nothing is said.
    ///
    /// ```
    /// # use answerback_testing::Faults;
    /// let faults = Faults::seeded(7).delay_most(std::time::Duration::from_millis(5));
    /// ```
    pub fn delay_most(mut self, delay: Duration) -> Self {
        self.delay_most = delay;
        self
    }

    /// Without seeded faults that only a clock can find: stalls, and half-closes that hang.
    ///
    /// ```
    /// # use answerback_testing::Faults;
    /// let faults = Faults::seeded(7).without_hangs();
    /// ```
    pub fn without_hangs(mut self) -> Self {
        self.stalls = false;
        self
    }

    /// The fault of a connection, counted from 0.
    ///
    /// ```
    /// # use answerback_testing::Faults;
    /// let faults = Faults::seeded(7);
    /// assert_eq!(faults.of(3), faults.of(3));
    /// ```
    pub fn of(&self, connection: u64) -> Fault {
        match &self.plan {
            Plan::Each(faults) => {
                usize::try_from(connection).ok().and_then(|place| faults.get(place).copied()).unwrap_or(Fault::None)
            }
            Plan::Seeded(seed) => self.draw(&mut Random::nth(*seed, connection)),
        }
    }

    /// Cuts are most of it: they are what a client has to survive; the others make them come at odd moments.
    fn draw(&self, random: &mut Random) -> Fault {
        if !random.percent(self.percent) {
            return Fault::None;
        }
        let way = if random.percent(50) { Way::ToBroker } else { Way::ToClient };
        let after = random.below(self.cut_within.saturating_add(1));
        let hang = self.stalls && random.percent(30);
        match random.below(10) {
            0..=4 => {
                let ending = if random.percent(50) { Ending::Fin } else { Ending::Reset };
                Fault::Cut { way, after, ending }
            }
            5 => Fault::Delay { by: random.up_to(self.delay_most) },
            6 | 7 => Fault::HalfClose { way, after, hang },
            8 if hang => Fault::Stall,
            8 => Fault::Throttle { bytes_per_second: 10_000 + random.below(1_000_000) },
            _ => Fault::Pieces { most: 1 + random.below(16) as usize },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::mem::discriminant;

    #[test]
    fn a_seed_brings_every_fault_and_the_same_again() {
        let drawn = |seed| (0..1_000).map(|number| Faults::seeded(seed).of(number)).collect::<Vec<_>>();
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let kinds: BTreeSet<_> = drawn(1).iter().map(|fault| format!("{:?}", discriminant(fault))).collect();
        assert_eq!(kinds.len(), 7);
    }

    #[test]
    fn what_is_switched_off_does_not_come() {
        let healthy = Faults::seeded(1).percent(0);
        assert!((0..100).all(|number| healthy.of(number) == Fault::None));
        let no_hangs = Faults::seeded(1).without_hangs().cut_within(10);
        for number in 0..1_000 {
            match no_hangs.of(number) {
                Fault::Stall | Fault::HalfClose { hang: true, .. } => panic!("{number} hangs"),
                Fault::Cut { after, .. } | Fault::HalfClose { after, .. } => assert!(after <= 10),
                _ => {}
            }
        }
    }
}
