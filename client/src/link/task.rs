//! The life of a link's task: open, move bytes, open again.

use super::tending::{Obey, Tending};
use super::turn::{Connection, Ended};
use super::wire::Wire;
use super::{LinkNumber, Rota, greet};
use crate::error::Error;
use crate::link::rota::Next;
use crate::obstacle::{Met, Obstacle};
use crate::session::Broken;
use crate::shared::Shared;
use crate::state::State;
use answerback_protocol::{Code, Ran};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// A connection that lived shorter than this is followed by a pause, so that a server that closes every connection is not besieged.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// How long after a connection was given up without a welcome its `hello` may still reach the server.
const LATE_HELLO: Duration = Duration::from_secs(60);

/// A year: who is that patient does not mind, and a clock cannot count for ever.
const WITHIN_MOST: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Starts the task of a link. With `fail_first` the client gives up if the first round of addresses fails.
pub(crate) fn spawn(shared: &Arc<Shared>, number: LinkNumber, rota: Rota, fail_first: bool) {
    let ends = Ends { shared: Arc::clone(shared), number };
    let task =
        Task { shared: Arc::clone(shared), number, rota, fail_first, tending: Tending::new(number), unwelcome: None };
    tokio::spawn(async move {
        let _ends = ends;
        task.run().await;
    });
}

/// Whatever ends the task, a panic or a runtime that shuts down: nobody waits for it in vain.
struct Ends {
    shared: Arc<Shared>,
    number: LinkNumber,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.shared.ended(self.number);
    }
}

pub(crate) struct Task {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: LinkNumber,
    pub(crate) rota: Rota,
    /// Whether the first round of addresses must not fail; over once a server has said welcome.
    fail_first: bool,
    pub(crate) tending: Tending,
    /// When a connection ended last without a welcome. Its `hello` may be under way; a server that hears it late takes that connection for the
    /// newer one, and says to the one of now that it was replaced.
    unwelcome: Option<Instant>,
}

/// What comes after a connection, or after an attempt to open one.
enum After {
    /// Connect again at once.
    Again,
    /// This address did not work.
    Failed(Error),
    /// It did, but not for long.
    BrokeSoon(Error),
    /// The link has ended.
    End,
}

impl Task {
    async fn run(mut self) {
        loop {
            let after = self.open_and_serve().await;
            let goes_on = match after {
                After::Again => true,
                After::End => false,
                After::Failed(error) => {
                    let next = self.rota.failed(self.chance());
                    self.try_on(next, error).await
                }
                After::BrokeSoon(error) => {
                    let next = self.rota.broke_soon(self.chance());
                    self.try_on(next, error).await
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Opens a connection and moves bytes until it ends.
    async fn open_and_serve(&mut self) -> After {
        let address = self.rota.address();
        self.shared.tell(self.number, State::Connecting { address: address.to_string() });
        let wire = match self.open(&address).await {
            Ok(wire) => wire,
            Err(after) => return after,
        };
        let opened = Shared::now();
        if !self.shared.connected_link(self.number, opened) {
            return After::End;
        }
        let mut connection = Connection::new(self, wire, &address);
        let ended = poll_fn(|context| connection.poll_turn(context)).await;
        let (ended, was_welcome) = (connection.recognise(ended), connection.was_welcome());
        if matches!(ended, Ended::SaidBye) {
            connection.part_in_peace().await;
        }
        drop(connection);
        self.shared.disconnected_link(self.number);
        self.after(ended, &address, opened, was_welcome)
    }

    /// Opens a connection, and with a key its sealed channel, within the time that one try may take.
    async fn open(&mut self, address: &str) -> Result<Wire, After> {
        let shared = Arc::clone(&self.shared);
        match self.tended(open(&shared, address)).await {
            Ok(Ok(wire)) => Ok(wire),
            Ok(Err(met)) => Err(After::Failed(met.at(address))),
            Err(obey) => Err(self.obey(obey)),
        }
    }

    /// What follows when a connection has ended.
    fn after(&mut self, ended: Ended, address: &str, opened: Instant, was_welcome: bool) -> After {
        if was_welcome {
            self.rota.welcomed();
            self.fail_first = false;
        } else {
            self.unwelcome = Some(Shared::now());
        }
        let error = match ended {
            Ended::SaidBye => return After::End,
            Ended::Obey(Obey::Broken(broken)) | Ended::Broken(broken) => match self.judge(broken, address) {
                Ok(error) => error,
                Err(after) => return after,
            },
            Ended::Obey(obey) => return self.obey(obey),
            Ended::Io(error) => lost_server(address, &error),
            Ended::Met(met) => met.at(address),
        };
        tracing::debug!(address, %error, "connection lost");
        if self.shared.is_leaving_link(self.number) || was_welcome && !self.rota.may_come_back() {
            self.give_up_unless_others(error);
            return After::End;
        }
        let short = Shared::now().saturating_duration_since(opened) < SHORT_LIFE;
        match (was_welcome, short) {
            (false, _) => After::Failed(error),
            (true, true) => After::BrokeSoon(error),
            (true, false) => {
                self.rota.lasted();
                After::Again
            }
        }
    }

    /// Whether to come back after the session says that the connection cannot go on.
    fn judge(&mut self, broken: Broken, address: &str) -> Result<Error, After> {
        match broken {
            Broken::Malformed(what) => {
                let message = format!("what came from {address} is not the protocol of this client: {what}");
                Ok(Error::new(Code::BadRequest, Ran::No, message))
            }
            Broken::Silent => {
                Ok(Error::new(Code::Silent, Ran::No, format!("nothing was heard from {address} for too long")))
            }
            Broken::Unacknowledged => {
                // A session with a server that never acknowledges cannot be resumed within any limit.
                self.shared.renew_session(self.number, "the server acknowledged nothing, so the session ended");
                Ok(Error::new(Code::Overloaded, Ran::No, format!("{address} acknowledges no replies")))
            }
            Broken::Elsewhere => {
                tracing::debug!(address, "another server answers here; a new session begins");
                self.shared.renew_session(self.number, "another server answers where the session was");
                Err(After::Again)
            }
            Broken::Fatal(error) if error.code() == Code::Replaced && self.may_have_replaced_itself() => Ok(error),
            Broken::Fatal(error) if matches!(error.code(), Code::Replaced | Code::VersionMismatch) => {
                self.shared.close(Some(error));
                Err(After::End)
            }
            Broken::Fatal(error) => Ok(error),
        }
    }

    fn may_have_replaced_itself(&self) -> bool {
        self.unwelcome.is_some_and(|at| Shared::now().saturating_duration_since(at) < LATE_HELLO)
    }

    fn chance(&self) -> f64 {
        self.shared.lock().dice.chance()
    }

    /// Pauses, or passes on to the next address; whether the link goes on.
    async fn try_on(&mut self, next: Next, error: Error) -> bool {
        let gives_up = next == Next::Never || self.fail_first && self.rota.a_round_failed();
        if gives_up {
            self.give_up_unless_others(error);
            return false;
        }
        let Next::After(pause) = next else { return true };
        tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "no server; trying again");
        self.shared.tell(self.number, State::Waiting { pause, why: error });
        // A pause between tries is the point here; orders and timers end it or go on within it.
        #[allow(clippy::disallowed_methods)]
        match self.tended(tokio::time::sleep(pause)).await {
            Ok(()) | Err(Obey::Reconnect) => true,
            Err(obey) => matches!(self.obey(obey), After::Again),
        }
    }

    /// The client ends with this link, unless another has taken over. Links that only finish what they have go on.
    fn give_up_unless_others(&self, error: Error) {
        if self.shared.is_leaving_link(self.number) {
            return;
        }
        self.shared.close(Some(error));
    }

    fn obey(&mut self, obey: Obey) -> After {
        match obey {
            Obey::Reconnect => After::Again,
            Obey::Stop => After::End,
            // Without a connection there is nothing to finish: whoever is next in the rota is as good.
            Obey::GoElsewhere => After::Again,
            Obey::Broken(broken) => match self.judge(broken, "the server") {
                Ok(error) => After::Failed(error),
                Err(after) => after,
            },
        }
    }

    /// Runs `future`, and meanwhile what else a link must do.
    async fn tended<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Obey> {
        let mut future = pin!(future);
        let (tending, shared) = (&mut self.tending, &self.shared);
        poll_fn(|context| {
            if let Poll::Ready(obey) = tending.poll(shared, context) {
                return Poll::Ready(Err(obey));
            }
            future.as_mut().poll(context).map(Ok)
        })
        .await
    }
}

async fn open(shared: &Shared, address: &str) -> Result<Wire, Met> {
    let within = shared.settings.connect_timeout;
    let by = tokio::time::Instant::now() + within.min(WITHIN_MOST);
    let mut io = match tokio::time::timeout_at(by, shared.settings.connector.connect(address)).await {
        Ok(Ok(io)) => io,
        Ok(Err(error)) => return Err(Met::of(error)),
        Err(_elapsed) => return Err(Met::new(Obstacle::Unreachable, format!("no connection within {within:?}"))),
    };
    let Some(key) = &shared.settings.key else { return Ok(Wire::plain(io)) };
    match tokio::time::timeout_at(by, greet::greet(&mut *io, key)).await {
        Ok(channel) => Ok(Wire::sealed(io, channel?)),
        Err(_elapsed) => Err(Met::new(Obstacle::Silent, format!("no answer to the greeting within {within:?}"))),
    }
}

fn lost_server(address: &str, error: &io::Error) -> Error {
    Error::new(Code::Disconnected, Ran::No, format!("the connection to {address} broke: {error}"))
}
