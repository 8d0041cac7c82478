//! A bell that is rung whenever something may have changed, for those who wait until it has.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Ringing costs next to nothing while nobody listens.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    listeners: AtomicUsize,
    rung: Notify,
}

impl Bell {
    /// Lets all who wait look again.
    pub(crate) fn ring(&self) {
        if self.listeners.load(Ordering::SeqCst) > 0 {
            self.rung.notify_waiters();
        }
    }

    /// Looks, and again after every ring, until there is something.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let _listening = Listening::new(&self.listeners);
        loop {
            let mut rung = std::pin::pin!(self.rung.notified());
            // Listening first: what changes between the look and the wait is heard.
            rung.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            rung.await;
        }
    }
}

/// Counted for as long as it lives, however its future ends.
struct Listening<'a>(&'a AtomicUsize);

impl<'a> Listening<'a> {
    fn new(listeners: &'a AtomicUsize) -> Self {
        listeners.fetch_add(1, Ordering::SeqCst);
        Self(listeners)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_looks_again_after_each_ring_and_is_not_counted_afterwards() {
        let (bell, changes) = (Bell::default(), AtomicUsize::new(0));
        let look = || (changes.load(Ordering::SeqCst) == 3).then_some(());
        let ringing = async {
            for _ in 0..3 {
                changes.fetch_add(1, Ordering::SeqCst);
                bell.ring();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(bell.until(look), ringing);
        assert_eq!(bell.listeners.load(Ordering::SeqCst), 0);
    }
}
