//! Calls that go on beside whatever a test does to the server, and must not be disturbed by it.

use crate::client::Client;
use crate::place::wait_for;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// A caller and a handler on connections of their own, calling without a pause. Every call must be answered with the
/// right data.
pub(crate) struct Bystander {
    calls: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Calls that must be answered after the disturbance is over.
const AFTER: u64 = 50;

impl Bystander {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let mut handler = Client::serving(address, "bystander-svc", "bystander", 4);
        let mut caller = Client::welcomed(address, "bystander-web");
        let (calls, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&calls), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for id in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let data = format!("[{id}]");
                caller.call(id, "bystander", &data);
                let delivery = handler.hear();
                assert_eq!(delivery.data, data.as_bytes());
                handler.answer(&delivery, &data);
                let reply = caller.hear();
                assert!(reply.head["id"] == id && reply.data == data.as_bytes(), "{reply:?}");
                counted.store(id, Ordering::Relaxed);
            }
        });
        Self { calls, stop, thread: Some(thread) }
    }

    /// Waits until it has called some more, and ends it. Fails if any of its calls went wrong.
    pub(crate) fn was_not_disturbed(mut self) {
        let thread = self.thread.take().unwrap();
        let until = self.calls.load(Ordering::Relaxed) + AFTER;
        wait_for("the bystander to go on", || {
            (thread.is_finished() || self.calls.load(Ordering::Relaxed) >= until).then_some(())
        });
        self.stop.store(true, Ordering::Relaxed);
        thread.join().expect("a call of the bystander went wrong");
    }
}
