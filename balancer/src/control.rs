//! What other threads may ask of the data plane: a bounded channel, and a waker that ends its wait. Nobody shares state with the data plane;
//! who wants to know something asks and is sent a copy.

use crate::pool::{BACKENDS_MAX, Backend, Key, Reloaded, Spec};
use mio::Waker;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// Commands that may wait to be taken: the outcome of a probe of each backend, and few others.
const COMMANDS_MAX: usize = 2 * BACKENDS_MAX;

/// Something another thread wants of the data plane.
#[derive(Debug)]
pub(crate) enum Command {
    /// Leave: no new connections, and those that are there may end within this time.
    Drain(Duration),
    /// A probe is over.
    Probed { key: Key, life: u64, found: Vec<SocketAddr>, outcome: Result<(), String> },
    /// Another list of backends; what has changed is told.
    Reload(Vec<Spec>, oneshot::Sender<Reloaded>),
    /// Give a backend no new connections, within this time those that it has end; or take it in again. Says whether there is such a backend.
    DrainBackend { name: String, within: Option<Duration>, told: oneshot::Sender<bool> },
    /// Have a share of the connections that backends have too many of move. Says how many are meant.
    Rebalance(oneshot::Sender<usize>),
    /// Say how things are.
    Report(oneshot::Sender<Report>),
}

/// What has happened since the start.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counters {
    pub(crate) accepted: u64,
    pub(crate) refused_full: u64,
    pub(crate) refused_no_backend: u64,
    pub(crate) retries: u64,
    pub(crate) broken: u64,
    pub(crate) idle_closed: u64,
    pub(crate) drain_closed: u64,
    pub(crate) moved: u64,
    pub(crate) accept_pauses: u64,
    pub(crate) turns: u64,
    pub(crate) spliced_bytes: u64,
}

/// How things are in the data plane, as a copy.
#[derive(Debug, Default, Clone)]
pub(crate) struct Report {
    pub(crate) counters: Counters,
    pub(crate) backends: Vec<Backend>,
    pub(crate) up: usize,
    pub(crate) connections: usize,
    pub(crate) held_bytes: usize,
    pub(crate) draining: bool,
}

/// The end of the channel that other threads hold.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    commands: SyncSender<Command>,
    waker: Arc<Waker>,
}

impl Control {
    /// A channel whose receiving end is looked at after each ring of `waker`.
    pub(crate) fn new(waker: Waker) -> (Self, Receiver<Command>) {
        let (commands, receiver) = sync_channel(COMMANDS_MAX);
        (Self { commands, waker: Arc::new(waker) }, receiver)
    }

    /// Hands a command over, and never waits: says whether it could be.
    pub(crate) fn send(&self, command: Command) -> bool {
        let sent = self.commands.try_send(command).is_ok();
        if sent && let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "the data plane could not be woken");
        }
        sent
    }

    /// Asks something. If the question cannot be put, the answer's channel is closed.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Command) -> oneshot::Receiver<T> {
        let (sender, answer) = oneshot::channel();
        self.send(question(sender));
        answer
    }
}
