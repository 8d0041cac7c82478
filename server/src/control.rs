//! What other threads may ask of the data plane: a bounded channel, and a waker that ends its wait.
//!
//! Nobody shares state with the data plane; who wants to know something asks and is sent a copy.

use crate::data_plane::{Counters, DialCounts, Found, StoreReport};
use crate::keys::Exchange;
use crate::store::News;
use answerback_broker::{Counts, Held};
use mio::Waker;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// Commands that may wait to be taken. Few are ever sent: signals, a question for each probe, what
/// two keepers say of the store, and what was looked up for a peer.
const COMMANDS_MAX: usize = 256;

/// Something another thread wants of the data plane.
#[derive(Debug)]
pub(crate) enum Command {
    /// Leave: no new work, and what runs may finish within this time.
    Drain(Duration),
    /// Have the clients that come from this address move.
    Move(SocketAddr),
    /// Close all connections, save everything, and end: the next server in this directory goes on.
    HandOver,
    /// End at once.
    Stop,
    /// Take in what a keeper of the store says.
    Store(News),
    /// Put other keys, and another certificate, in place of those before, and say how many connections were closed.
    Exchange(Exchange, SyncSender<usize>),
    /// Dial a peer, or wait until that may be of use.
    Found(Found),
    /// Say how things are.
    Report(oneshot::Sender<Report>),
}

/// How things are in the data plane, as a copy.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What has happened since the start.
    pub counters: Counters,
    /// What the core holds.
    pub held: Held,
    /// What the core has counted.
    pub counts: Counts,
    /// Open connections, among them those that are being closed.
    pub connections: usize,
    /// Bytes that wait to be read by clients.
    pub outbox_bytes: usize,
    /// Bytes of frames that have come in part, or wait for their turn.
    pub inbox_bytes: usize,
    /// Addresses of clients and strangers that are remembered.
    pub addresses: usize,
    /// What has come of dialing other servers.
    pub dials: DialCounts,
    /// Other servers whose links are up.
    pub peers_up: usize,
    /// Whether the server is leaving.
    pub draining: bool,
    /// How the store is.
    pub store: StoreReport,
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

    /// Hands a command over. Waits if many are waiting already; does nothing if the data plane has ended.
    pub(crate) fn send(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            self.wake();
        }
    }

    /// The same, but never waits: says whether the command could be handed over.
    pub(crate) fn try_send(&self, command: Command) -> bool {
        let sent = self.commands.try_send(command).is_ok();
        if sent {
            self.wake();
        }
        sent
    }

    /// Asks how things are. Never waits: if the question cannot be put, the answer's channel is closed.
    pub(crate) fn ask(&self) -> oneshot::Receiver<Report> {
        let (sender, answer) = oneshot::channel();
        if self.commands.try_send(Command::Report(sender)).is_ok() {
            self.wake();
        }
        answer
    }

    /// Ends the wait of the data plane.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "the data plane could not be woken");
        }
    }
}
