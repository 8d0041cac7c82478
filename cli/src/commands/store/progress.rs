//! The line that shows how a long look goes on, for people, and that it can be ended.
//!
//! Copies of what is secret may lie in temporary places as long as a store is looked at, so Ctrl-C must not simply kill the process.

use crate::exit::{Exit, Failure};
use crate::print::{CLEAR_LINE, is_error_terminal, status};
use crate::signals::Signals;
use crate::units::{grouped, show_rate};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// Whether Ctrl-C was said.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on the first SIGINT or SIGTERM ends the work at the next item, and the second one the process.
pub(super) fn listen_for_signals() -> Result<(), Failure> {
    let failed = |error| Failure::system("listen for signals", &error);
    let runtime = Builder::new_current_thread().enable_io().build().map_err(failed)?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let listen = async move {
        signals.next().await;
        INTERRUPTED.store(true, Ordering::Relaxed);
        signals.next().await;
        std::process::exit(Exit::Other as i32);
    };
    thread::Builder::new().spawn(move || runtime.block_on(listen)).map_err(failed)?;
    Ok(())
}

/// Often enough to be alive, seldom enough to be read. Nothing is shown before.
const EVERY: Duration = Duration::from_millis(500);

/// Items between two looks at the clock.
const LOOK_EVERY: u64 = 256;

/// Counts, and now and then says so. Its being dropped makes the line go away.
pub(crate) struct Progress {
    doing: &'static str,
    begun: Instant,
    said: Instant,
    is_shown: bool,
    pub(crate) count: u64,
}

impl Progress {
    pub(crate) fn new(doing: &'static str) -> Self {
        let now = Instant::now();
        Self { doing, begun: now, said: now, is_shown: false, count: 0 }
    }

    /// One more. An error if that is enough.
    pub(crate) fn step(&mut self) -> Result<(), Failure> {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err(Failure::new(Exit::Other, "interrupted", "nothing was changed"));
        }
        self.count += 1;
        if self.count.is_multiple_of(LOOK_EVERY) && self.said.elapsed() >= EVERY && is_error_terminal() {
            self.said = Instant::now();
            self.is_shown = true;
            let rate = self.count as f64 / self.begun.elapsed().as_secs_f64();
            status(&format!("{CLEAR_LINE}{} {} items, {} a second", self.doing, grouped(self.count), show_rate(rate)));
        }
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            status(CLEAR_LINE);
        }
    }
}
