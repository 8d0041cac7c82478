//! The task that watches over the address: it takes the lock when nobody is there, and holds the broker as long as it may.
//!
//! It looks at the lock each time that the client has found nobody who takes connections. That costs a system call and decides nothing by time: the lock does.
//! `holding.rs` has what is done with the lock in hand.

use super::error::Error;
use super::holding::{self, Over, Try};
use crate::running::Running;
use crate::settings::Settings;
use crate::stage::Interrupt;
use answerback::{Code, Obstacle, State, StateWatch};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The name of a broker that some process started for all. One with another name is a server of its own.
pub(super) const SERVER_ID: &str = "just-there";

/// A pause after a start that failed, which the next would do too: the log gets a line and not a flood.
const START_AGAIN: Duration = Duration::from_secs(1);

/// Where, and with what.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) address: String,
    /// Of a server to be started, or why none may be.
    pub(super) settings: Result<Settings, String>,
}

/// How this process stands.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// There is no connection yet, or no more.
    Looking,
    /// Another process has the broker.
    Client,
    /// It is here; `connected` once our own client is in.
    Holding { epoch: u64, connected: bool },
    /// There is nobody to be a client of, and why. It goes on trying.
    Failed(Error),
    /// It takes no part any more.
    Left,
}

impl Standing {
    pub(super) fn epoch(&self) -> Option<u64> {
        if let Self::Holding { epoch, .. } = self { Some(*epoch) } else { None }
    }

    /// Whether that is an answer for who waits to be connected.
    pub(super) fn is_settled(&self) -> bool {
        !matches!(self, Self::Looking | Self::Holding { connected: false, .. })
    }
}

pub(super) struct Keeper {
    plan: Plan,
    states: StateWatch,
    standing: watch::Sender<Standing>,
    handle: Handle,
    /// A server of its own was met: its place is not taken.
    has_met_server: bool,
    not_before: Option<Instant>,
}

/// Whether the program still has its handle.
struct Handle(watch::Receiver<()>);

impl Handle {
    async fn is_gone(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

/// A start that nobody waits for any more ends as soon as it can.
struct Abandon(Interrupt);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

impl Keeper {
    /// The keeper leaves when the sender is dropped.
    pub(super) fn new(plan: Plan, states: StateWatch) -> (Self, watch::Sender<()>, watch::Receiver<Standing>) {
        let (keep, handle) = watch::channel(());
        let (standing, told) = watch::channel(Standing::Looking);
        let handle = Handle(handle);
        (Self { plan, states, standing, handle, has_met_server: false, not_before: None }, keep, told)
    }

    pub(super) async fn run(mut self) {
        let mut state = self.states.now();
        loop {
            self.tell(&state);
            if state.is_closed() {
                return;
            }
            if self.may_hold(&state)
                && let Some(running) = self.try_to_hold().await
            {
                if matches!(self.hold(running).await, Over::HandleGone) {
                    break;
                }
                self.standing.send_replace(Standing::Looking);
                state = self.states.now();
                continue;
            }
            tokio::select! {
                biased;
                () = self.handle.is_gone() => break,
                next = self.states.changed() => state = next,
            }
        }
        self.standing.send_replace(Standing::Left);
    }

    /// Says how things stand by what the client says.
    fn tell(&mut self, state: &State) {
        let standing = match state {
            State::Connected { server, .. } => {
                self.met(server);
                Standing::Client
            }
            State::Waiting { why, .. } if is_unreachable(why) => match &self.plan.settings {
                Err(reason) => Standing::Failed(Error::NotOurs { client: why.clone(), why: reason.clone() }),
                Ok(_) => return,
            },
            State::Waiting { why, .. } if is_not_ours(why) => Standing::Failed(Error::Client(why.clone())),
            State::Closed { why: Some(why), .. } => Standing::Failed(Error::Client(why.clone())),
            State::Closed { .. } => Standing::Left,
            _ => return,
        };
        self.standing.send_replace(standing);
    }

    fn met(&mut self, server: &str) {
        if server != SERVER_ID && !std::mem::replace(&mut self.has_met_server, true) {
            let (address, server) = (self.plan.address.escape_debug(), server.escape_debug());
            tracing::info!(%address, %server, "a server of its own answers: no broker is started here, also when it is away");
        }
    }

    fn may_hold(&self, state: &State) -> bool {
        let nobody_there = matches!(state, State::Waiting { why, .. } if is_unreachable(why));
        nobody_there && !self.has_met_server && self.not_before.is_none_or(|moment| Instant::now() >= moment)
    }

    /// Takes the lock if it is free, and starts a server. Nothing if that is for somebody else.
    async fn try_to_hold(&mut self) -> Option<Box<Running>> {
        let settings = self.plan.settings.as_ref().ok()?.clone();
        let data_dir = settings.data_dir.clone();
        let abandon = Abandon(Interrupt::default());
        let (interrupt, states) = (abandon.0.clone(), self.states.clone());
        // Nobody sends: the pauses end early when the keeper is gone.
        let (_keep, gone) = mpsc::channel();
        let mut tried = tokio::task::spawn_blocking(move || holding::try_to_hold(settings, &interrupt, &states, &gone));
        let tried = tokio::select! {
            tried = &mut tried => tried,
            () = self.handle.is_gone() => {
                abandon.0.interrupt();
                tried.await
            }
        };
        match tried {
            Ok(Try::Holds(running)) => return Some(running),
            Ok(Try::NotUs) => {}
            Ok(Try::Failed(error)) => self.failed(Error::of_start(data_dir, &error)),
            Err(_) => tracing::error!("no broker can be started here, because of a bug"),
        }
        None
    }

    fn failed(&mut self, error: Error) {
        tracing::error!(%error, "no broker is started here; trying again");
        self.not_before = Some(Instant::now() + START_AGAIN);
        self.standing.send_replace(Standing::Failed(error));
    }

    /// Holds the broker until its end, or until it is handed over.
    async fn hold(&mut self, mut running: Box<Running>) -> Over {
        let epoch = running.epoch();
        tracing::info!(epoch, address = %running.address(), data_dir = %running.data_dir().display(), "holding the broker, epoch {epoch}");
        let mut state = self.states.now();
        let over = loop {
            self.standing.send_replace(Standing::Holding { epoch, connected: state.is_connected() });
            tokio::select! {
                biased;
                () = self.handle.is_gone() => break Over::HandleGone,
                over = holding::until_over(&mut running) => break over,
                // A client that was closed is of no use any more; but others need the broker.
                next = self.states.changed(), if !state.is_closed() => state = next,
            }
        };
        holding::end(running, &over).await;
        over
    }
}

/// Nobody takes connections there.
fn is_unreachable(why: &answerback::Error) -> bool {
    why.obstacle() == Some(Obstacle::Unreachable)
}

/// Somebody is there who will not let us in. A connection that was closed is none of that: it may be a broker that is ending.
fn is_not_ours(why: &answerback::Error) -> bool {
    let code = matches!(why.code(), Code::BadRequest | Code::VersionMismatch | Code::Denied | Code::Silent);
    code || why.obstacle().is_some_and(|obstacle| !matches!(obstacle, Obstacle::Unreachable | Obstacle::Closed))
}
