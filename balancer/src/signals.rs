//! Signals: the first one asks the balancer to leave, the second one ends the process. SIGHUP has it read its backends again, SIGUSR1 has
//! connections move.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that say something to the process.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

/// What one of them asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To leave, by the signal of this name.
    Leave(&'static str),
    /// To read the backends again.
    Reload,
    /// To have connections move.
    Rebalance,
}

impl Signals {
    /// From here on these signals do not kill the process. Needs a tokio runtime around it.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Leave("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Leave("SIGINT"),
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Rebalance,
        }
    }
}
