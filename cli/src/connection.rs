//! The way to a server, the same for every command: connect, ask one of the broker's own actions, say when the server is gone.

use crate::args::Common;
use crate::exit::{Exit, Failure, Outcome, trouble};
use crate::print::{Style, escaped, note, paint_error};
use crate::signals::Signals;
use crate::units::show_duration;
use answerback::{Builder, Client, Error, Raw, State};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};

/// How long one try to connect may take. A person waits, and a script wants to know.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long the broker may take for an action of its own, which it answers at once.
pub(crate) const BUILTIN_WITHIN: Duration = Duration::from_secs(5);

/// A connected client, and how long that took.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) took: Duration,
}

/// Connects to the first server that can be reached.
pub(crate) async fn connect(common: &Common) -> Result<Connected, Failure> {
    connect_with(common, |builder| builder).await
}

/// Connects with settings of its own.
pub(crate) async fn connect_with(
    common: &Common,
    settle: impl FnOnce(Builder) -> Builder,
) -> Result<Connected, Failure> {
    let from = Instant::now();
    let (first, others) = common.servers.split_first().ok_or_else(no_address)?;
    let mut builder = Client::builder(first.as_str()).connect_timeout(CONNECT_WITHIN);
    for address in others {
        builder = builder.address(address.as_str());
    }
    builder = builder.name(common.name.clone().unwrap_or_else(|| format!("answerback-{}", std::process::id())));
    builder = common.secure.settle(builder).map_err(|error| Failure::new(Exit::Usage, error.what(), error.advice()))?;
    let client = settle(builder).connect().await.map_err(|error| Failure::no_server(error, &common.servers))?;
    Ok(Connected { client, took: from.elapsed() })
}

/// Connects, does the work and says goodbye, however it ended: what is left behind without a goodbye is kept by the server for its grace
/// time. Ctrl-C ends it: the server hears of that too, and cancels what was asked.
pub(crate) async fn with_client(common: &Common, work: impl AsyncFnOnce(&Client, Duration) -> Outcome) -> Outcome {
    let mut signals = Signals::listen()?;
    let connected = tokio::select! {
        connected = connect(common) => connected?,
        () = signals.next() => return Err(interrupted()),
    };
    let Connected { client, took } = connected;
    let outcome = tokio::select! {
        outcome = work(&client, took) => outcome,
        () = signals.next() => Err(interrupted()),
    };
    client.close().await;
    outcome
}

pub(crate) fn interrupted() -> Failure {
    Failure::new(Exit::Other, "interrupted", "what was not answered is cancelled; ask again")
}

fn no_address() -> Failure {
    Failure::new(Exit::Usage, "no server is given", "--server HOST:PORT, or ANSWERBACK_SERVER")
}

/// Where the server is to which this client is connected; nothing if it is not.
pub(crate) fn address(client: &Client) -> String {
    match client.state() {
        State::Connected { address, .. } => address,
        _ => String::new(),
    }
}

/// Asks the broker itself; the answer as it came.
pub(crate) async fn ask(client: &Client, action: &str, data: impl Into<Bytes>) -> Result<Raw, Failure> {
    let call = client.call_raw(action, data).timeout(BUILTIN_WITHIN);
    call.await.map_err(|error| Failure::of(error, action))
}

/// Asks the broker itself; the answer as what it is.
pub(crate) async fn look<T: DeserializeOwned>(
    client: &Client,
    action: &str,
    data: impl Into<Bytes>,
) -> Result<T, Failure> {
    let answer = ask(client, action, data).await?;
    serde_json::from_slice(answer.as_bytes()).map_err(|error| not_known(action, &error))
}

/// Tells on standard error when the server is lost, when it is back, and when another one has taken its place, until the client gives up.
pub(crate) async fn tell_changes(client: &Client) -> Error {
    let mut watch = client.watch();
    let (mut lost, mut at) = (false, address(client));
    loop {
        match watch.changed().await {
            State::Connected { address, .. } if std::mem::take(&mut lost) || address != at => {
                let again = if address == at { "connected again to" } else { "connected to another server," };
                note(&paint_error(Style::Good, &format!("{again} {}", escaped(&address))));
                at = address;
            }
            State::Waiting { pause, why, .. } => {
                lost = true;
                let text = format!("{}; next try in {}", escaped(trouble(&why)), show_duration(pause));
                note(&paint_error(Style::Warn, &text));
            }
            State::Closed { why: Some(why), .. } => return why,
            // This program has closed it, and goes on elsewhere.
            State::Closed { .. } => std::future::pending().await,
            _ => {}
        }
    }
}

/// An answer of the broker's own that this version does not understand.
pub(crate) fn not_known(action: &str, error: &serde_json::Error) -> Failure {
    let what = format!("the answer of {action} is not what this version knows: {error}");
    Failure::new(Exit::Other, what, "use a tool and a server of the same version")
}
