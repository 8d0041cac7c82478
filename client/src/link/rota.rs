//! Which address is tried next, and after which pause.

use std::sync::Arc;
use std::time::Duration;

/// How a client comes back when its connection breaks: pauses that grow from the first to the longest, each shortened by chance by up to a
/// half so that thousands of clients do not come at once.
///
/// The first try after a break is made at once, to the same address, where the session is known.
///
/// ```
/// use answerback::Reconnect;
/// use std::time::Duration;
///
/// let patient = Reconnect::default().longest_delay(Duration::from_secs(30));
/// let briefly = Reconnect::default().tries(3);
/// # drop((patient, briefly));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    first: Duration,
    longest: Duration,
    tries: Option<u32>,
}

/// 50 ms: a server that starts again is usually back within a few of them.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// 5 s: half of the time for which a server keeps a session by default.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// The least pause: without one, a client without a server would spin.
const LEAST_DELAY: Duration = Duration::from_millis(1);

impl Default for Reconnect {
    fn default() -> Self {
        Self { first: FIRST_DELAY, longest: LONGEST_DELAY, tries: None }
    }
}

impl Reconnect {
    /// Never comes back: when the connection breaks, the client closes.
    ///
    /// ```
    /// let once = answerback::Client::builder("127.0.0.1:7040").reconnect(answerback::Reconnect::never());
    /// # drop(once);
    /// ```
    pub fn never() -> Self {
        Self { tries: Some(0), ..Self::default() }
    }

    /// The pause after the first round of addresses that failed; each further one is twice as long. Default 50 ms, at least 1 ms.
    ///
    /// ```
    /// let eager = answerback::Reconnect::default().first_delay(std::time::Duration::from_millis(5));
    /// # drop(eager);
    /// ```
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first = delay.max(LEAST_DELAY);
        self.longest = self.longest.max(self.first);
        self
    }

    /// The longest pause. Default 5 s; a session waits 10 s on the server.
    ///
    /// ```
    /// let steady = answerback::Reconnect::default().longest_delay(std::time::Duration::from_millis(500));
    /// # drop(steady);
    /// ```
    #[must_use]
    pub fn longest_delay(mut self, delay: Duration) -> Self {
        self.longest = delay.max(LEAST_DELAY);
        self.first = self.first.min(self.longest);
        self
    }

    /// How many rounds of addresses may fail, one after another, before the client gives up and closes. Default: it never does.
    ///
    /// ```
    /// let briefly = answerback::Reconnect::default().tries(10);
    /// # drop(briefly);
    /// ```
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = Some(tries);
        self
    }
}

/// The addresses in turn, and the pauses between rounds.
#[derive(Debug)]
pub(crate) struct Rota {
    reconnect: Reconnect,
    addresses: Vec<Arc<str>>,
    /// The one that is tried next.
    next: usize,
    /// Addresses that failed since the round began.
    failed: usize,
    /// Rounds that failed, one after another.
    rounds: u32,
    /// Connections that broke soon after they were made, one after another.
    short: u32,
}

/// What to do after a try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try the next address at once.
    Now,
    /// All have failed: pause.
    After(Duration),
    /// No tries are left.
    Never,
}

impl Rota {
    /// Addresses are tried in this order; there is at least one.
    pub(crate) fn new(reconnect: Reconnect, addresses: Vec<Arc<str>>) -> Self {
        Self { reconnect, addresses, next: 0, failed: 0, rounds: 0, short: 0 }
    }

    /// Whether a connection that broke may be opened again at all.
    pub(crate) fn may_come_back(&self) -> bool {
        self.reconnect.tries != Some(0)
    }

    /// The address to try.
    pub(crate) fn address(&self) -> Arc<str> {
        Arc::clone(&self.addresses[self.next % self.addresses.len()])
    }

    /// The server at the address let us in: it is the first to be tried after the next break.
    pub(crate) fn welcomed(&mut self) {
        (self.failed, self.rounds) = (0, 0);
    }

    /// The connection held for a while.
    pub(crate) fn lasted(&mut self) {
        self.short = 0;
    }

    /// The connection broke soon after the welcome. The session is known at this address, so it stays the next; but a server that closes every connection is not to be
    /// besieged, and counts as one that cannot be reached in the end.
    pub(crate) fn broke_soon(&mut self, chance: f64) -> Next {
        self.short = self.short.saturating_add(1);
        match self.reconnect.tries {
            Some(tries) if self.short > tries => Next::Never,
            _ => Next::After(self.pause(self.short, chance)),
        }
    }

    /// The address did not work. `chance` is from 0 to 1.
    pub(crate) fn failed(&mut self, chance: f64) -> Next {
        self.next = (self.next + 1) % self.addresses.len();
        self.failed += 1;
        if self.failed < self.addresses.len() {
            return Next::Now;
        }
        self.failed = 0;
        self.rounds = self.rounds.saturating_add(1);
        match self.reconnect.tries {
            Some(tries) if self.rounds >= tries => Next::Never,
            _ => Next::After(self.pause(self.rounds, chance)),
        }
    }

    /// Whether one round of addresses has failed and none has worked since.
    pub(crate) fn a_round_failed(&self) -> bool {
        self.rounds > 0
    }

    fn pause(&self, failures: u32, chance: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let pause = self.reconnect.first.saturating_mul(1 << doublings).min(self.reconnect.longest);
        pause.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rota(addresses: &[&str], reconnect: Reconnect) -> Rota {
        Rota::new(reconnect, addresses.iter().map(|address| Arc::from(*address)).collect())
    }

    #[test]
    fn pauses_grow_to_the_longest() {
        let mut rota = rota(&["a"], Reconnect::default().longest_delay(Duration::from_millis(300)));
        let pauses: Vec<Next> = (0..5).map(|_| rota.failed(0.0)).collect();
        assert_eq!(pauses, [50, 100, 200, 300, 300].map(|ms| Next::After(Duration::from_millis(ms))));
    }

    #[test]
    fn chance_shortens_a_pause_by_up_to_a_half() {
        let mut rota = rota(&["a"], Reconnect::default());
        assert_eq!(rota.failed(1.0), Next::After(Duration::from_millis(25)));
    }

    #[test]
    fn all_addresses_are_tried_before_a_pause() {
        let mut rota = rota(&["a", "b"], Reconnect::default());
        assert_eq!((&*rota.address(), rota.failed(0.0)), ("a", Next::Now));
        assert_eq!(&*rota.address(), "b");
        assert!(matches!(rota.failed(0.0), Next::After(_)));
        assert_eq!(&*rota.address(), "a");
    }

    #[test]
    fn after_a_success_the_same_address_comes_first() {
        let mut rota = rota(&["a", "b"], Reconnect::default());
        rota.failed(0.0);
        rota.welcomed();
        assert_eq!(&*rota.address(), "b");
    }

    /// A connection that was cut within a second of its welcome sent the client to the next address, where nobody knew its session.
    #[test]
    fn a_connection_that_breaks_soon_is_made_again_to_the_same_address() {
        let mut rota = rota(&["a", "b"], Reconnect::default());
        rota.welcomed();
        let pauses: Vec<Next> = (0..3).map(|_| rota.broke_soon(0.0)).collect();
        assert_eq!(pauses, [50, 100, 200].map(|ms| Next::After(Duration::from_millis(ms))));
        assert_eq!(&*rota.address(), "a");
        rota.lasted();
        assert_eq!(rota.broke_soon(0.0), Next::After(Duration::from_millis(50)));
    }

    #[test]
    fn one_break_is_not_a_try_that_failed() {
        let mut once = rota(&["a"], Reconnect::default().tries(1));
        assert!(matches!(once.broke_soon(0.0), Next::After(_)));
        assert_eq!(once.broke_soon(0.0), Next::Never);
    }

    #[test]
    fn tries_end() {
        let mut twice = rota(&["a"], Reconnect::default().tries(2));
        assert!(matches!(twice.failed(0.0), Next::After(_)));
        assert_eq!(twice.failed(0.0), Next::Never);
        assert!(!rota(&["a"], Reconnect::never()).may_come_back());
    }
}
