//! Signals: the first one asks the server to leave, the second one ends the process. SIGHUP has it read its keys again.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that say something to the process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What one of them asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To leave, by the signal of this name.
    Leave(&'static str),
    /// To read the keys again.
    Reload,
}

impl Signals {
    /// From here on these signals do not kill the process. Needs a tokio runtime around it.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Leave("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Leave("SIGINT"),
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
