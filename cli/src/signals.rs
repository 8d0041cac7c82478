//! The two signals that ask a program to leave.

use crate::connection::interrupted;
use crate::exit::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, which is Ctrl-C, and SIGTERM. From the first of these on they do not end the process by themselves.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::system("listen for signals", &error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for `future`, unless one of them comes before.
    pub(crate) async fn or_interrupted<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            done = future => Ok(done),
            () = self.next() => Err(interrupted()),
        }
    }

    /// Waits for one of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
