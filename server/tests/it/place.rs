//! A directory for each test, and servers in this process that use one.

use answerback_server::{Report, Running, Server, Settings};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The end of every wait: far longer than anything takes, so that it is reached only if something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that is removed at the end of its test.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("answerback-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server in this process, on free ports.
pub(crate) struct Embedded {
    pub(crate) running: Running,
    _place: Place,
}

impl Embedded {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let place = Place::new();
        let mut settings = Settings { data_dir: place.0.clone(), admin: None, ..Settings::default() };
        settings.listen.set_port(0);
        change(&mut settings);
        Self { running: Server::start(settings).unwrap(), _place: place }
    }

    pub(crate) fn report(&self) -> Report {
        self.running.report().unwrap()
    }

    /// Waits until the server says something of itself.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Report) -> bool) -> Report {
        wait_for(what, || Some(self.report()).filter(&is_so))
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited too long for: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
