//! What is done with the lock in hand: a server is started in its directory, watched, and handed over.

use crate::data_dir::{DataDir, DataDirError};
use crate::data_plane::End;
use crate::running::Running;
use crate::settings::Settings;
use crate::stage::Interrupt;
use crate::start::{Place, Server, StartError};
use crate::store::StoreError;
use answerback::StateWatch;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// A pause between two tries to listen where the sockets of the last holder are still being closed.
const BIND_AGAIN: Duration = Duration::from_millis(5);

/// How long that is tried before the lock is given back and it is told as an error: the system closes the sockets of a dead process within milliseconds.
const BIND_WITHIN: Duration = Duration::from_secs(5);

/// How often a holder looks whether its lock file is still the one that others find.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What became of a try to hold the broker.
pub(super) enum Try {
    Holds(Box<Running>),
    /// Somebody else does, or is about to.
    NotUs,
    Failed(StartError),
}

/// Why a holder holds no more.
pub(super) enum Over {
    Ended(End),
    LostLock,
    HandleGone,
}

/// Takes the lock if it is free, and starts a server with it. Blocks for as long as that takes.
pub(super) fn try_to_hold(settings: Settings, interrupt: &Interrupt, states: &StateWatch, gone: &Receiver<()>) -> Try {
    let mistakes = settings.mistakes();
    if !mistakes.is_empty() {
        return Try::Failed(StartError::Settings(mistakes));
    }
    let data_dir = match DataDir::open(&settings.data_dir, &settings.broker.server) {
        Ok(data_dir) => data_dir,
        Err(DataDirError::Held { .. }) => return Try::NotUs,
        Err(error) => return Try::Failed(StartError::DataDir(error)),
    };
    let until = Instant::now() + BIND_WITHIN;
    // Somebody who answers has another directory, or none of ours: then this lock is worth nothing.
    let is_wanted = || !interrupt.is_said() && !states.now().is_connected();
    let waited = || {
        let waited = gone.recv_timeout(BIND_AGAIN) == Err(RecvTimeoutError::Timeout);
        waited && is_wanted() && Instant::now() < until
    };
    // Whoever found another lock file has no store to read before this server has written its last.
    let address = Place { is_kept: true, waited };
    match Server::start_in(settings, data_dir, interrupt.clone(), address) {
        Ok(running) => Try::Holds(Box::new(running)),
        Err(StartError::Store(StoreError::Interrupted)) => Try::NotUs,
        Err(StartError::Listen { error, .. }) if error.kind() == io::ErrorKind::AddrInUse && !is_wanted() => Try::NotUs,
        Err(error) => Try::Failed(error),
    }
}

/// Waits until the server has ended, or may not go on.
pub(super) async fn until_over(running: &mut Running) -> Over {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            end = running.ended() => return Over::Ended(end),
            _ = looks.tick() => {
                if !running.has_its_directory() {
                    return Over::LostLock;
                }
            }
        }
    }
}

/// Lets a server that still runs save what it has and end. What is under way goes on: nobody is asked to finish first, since nobody is served meanwhile. The lock is free when this returns.
pub(super) async fn end(mut running: Box<Running>, over: &Over) {
    let epoch = running.epoch();
    match over {
        Over::HandleGone => {}
        Over::LostLock => tracing::error!(
            epoch,
            data_dir = %running.data_dir().display(),
            "the lock file of this broker was removed or replaced, so others can take its place: handing over"
        ),
        Over::Ended(End::Failed) => tracing::error!(epoch, "the broker has failed; somebody takes over"),
        Over::Ended(end) => tracing::warn!(epoch, ?end, "the broker has ended; somebody takes over"),
    }
    if !matches!(over, Over::Ended(_)) {
        running.hand_over();
        match running.ended().await {
            End::NotSaved => tracing::error!(epoch, "not everything could be saved; the lines above say what is lost"),
            End::Failed => tracing::error!(epoch, "the broker has failed while it was handed over"),
            End::Drained { .. } | End::Stopped => tracing::info!(epoch, "handed over the broker, epoch {epoch}"),
        }
    }
    // Its threads are waited for, and then its lock is given back.
    let _ = tokio::task::spawn_blocking(move || drop(running)).await;
}
