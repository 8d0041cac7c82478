//! The least time between the starts of two calls of one action.

use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

/// Lets one start at a time, and the next one no sooner than it may. Who stops waiting takes nothing: had starts been promised in
/// advance, an overload would push them ever further away, beyond the time of every call.
#[derive(Debug)]
pub(super) struct Pace {
    between: Duration,
    /// When the next may start. Whoever waits for that moment holds the lock; the others queue for it in order.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(between: Duration) -> Self {
        Self { between, next: Mutex::new(None) }
    }

    /// Waits for one's turn and takes it.
    pub(super) async fn turn(&self) {
        let mut next = self.next.lock().await;
        if let Some(at) = *next {
            tokio::time::sleep_until(at).await;
        }
        // A moment that the clock cannot hold never comes: the pace allows no second start.
        let now = Instant::now();
        *next = Some(now.checked_add(self.between).unwrap_or(now + NEVER));
    }
}

/// A hundred years.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts were promised on arrival. With more calls than the pace allows, those promises ran away from the calls' own time, and nothing was started any more.
    #[tokio::test]
    async fn who_stops_waiting_takes_no_turn() {
        let pace = Pace::new(Duration::from_secs(60));
        pace.turn().await;
        let next = *pace.next.lock().await;
        for _ in 0..10 {
            assert!(tokio::time::timeout(Duration::ZERO, pace.turn()).await.is_err());
        }
        assert_eq!(*pace.next.lock().await, next);
    }

    #[tokio::test]
    async fn starts_keep_their_distance() {
        let (pace, begun) = (Pace::new(Duration::from_millis(10)), Instant::now());
        for _ in 0..4 {
            pace.turn().await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(30));
    }

    #[tokio::test]
    async fn a_pace_without_end_starts_one_call() {
        let pace = Pace::new(Duration::MAX);
        pace.turn().await;
        assert!(tokio::time::timeout(Duration::from_millis(5), pace.turn()).await.is_err());
    }
}
