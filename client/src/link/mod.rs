//! A link: one session, and the one task that owns its socket. The task opens a connection, moves bytes between it and the session for
//! as long as it lives, and opens the next.
//!
//! With a key, a connection is greeted (`greet`) before the session hears of it, and what it carries is sealed (`wire`).
//!
//! ```text
//!            dial: next address, pause                      turn: read, decide, write once
//!   ┌─► OPENING ──────────────────► CONNECTED ──────────────────────────────────┐
//!   │      │  no tries left             │ goaway                                │ broken
//!   │      ▼                            ▼                                       │
//!   │    closed       a new link takes over what was not said;                  │
//!   │                 this one finishes what it has, says bye and ends          │
//!   └───────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The session's timers run in both states, so a call whose time is up ends also while there is no connection.

mod dial;
mod greet;
mod news;
mod rota;
mod task;
mod tending;
#[cfg(feature = "tls")]
mod tls;
mod turn;
mod wire;

pub use dial::{Connecting, Connector, Io, Tcp};
pub use rota::Reconnect;
pub(crate) use rota::Rota;
pub(crate) use task::spawn;
#[cfg(feature = "tls")]
pub use tls::TlsOptions;

use crate::ask::Waiter;
use crate::session::Session;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

/// Names a link within its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkNumber(pub(crate) u64);

/// A session, and how its task is told things.
pub(crate) struct Link {
    pub(crate) number: LinkNumber,
    pub(crate) session: Session<Waiter>,
    /// The task, if it sleeps.
    waker: Option<Waker>,
    /// Whether it is to wake once the lock is free.
    roused: bool,
    pub(crate) order: Order,
    /// Set when the server has said that it will leave.
    pub(crate) going: Option<Going>,
}

/// What the application wants of a link's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Go,
    /// Break the connection, or end the pause, and connect.
    Reconnect,
    /// Another link has taken over: finish what is here, say goodbye, and end.
    Retire,
    /// Say goodbye once everything is said, and end.
    Leave,
    /// End now.
    Stop,
}

/// The server leaves: when to go elsewhere, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Going {
    pub(crate) at: Instant,
    pub(crate) elsewhere: Vec<Arc<str>>,
}

impl Link {
    pub(crate) fn new(number: LinkNumber, session: Session<Waiter>) -> Self {
        Self { number, session, waker: None, roused: false, order: Order::Go, going: None }
    }

    /// The session has something to say, or the task something to obey: it wakes when the lock is free.
    pub(crate) fn rouse(&mut self) {
        self.roused = true;
    }

    /// The waker of the task, if it sleeps and is to wake.
    pub(crate) fn take_roused(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.roused) { self.waker.take() } else { None }
    }

    /// The task has looked at everything and will sleep: whoever gives the session something to say rouses it.
    pub(crate) fn sleeps(&mut self, context: &Context<'_>) {
        self.roused = false;
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
        }
    }
}
