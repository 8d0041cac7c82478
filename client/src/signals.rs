//! A service's life: until a signal comes.

use crate::client::Client;
use crate::error::Error;
use crate::leave::Drained;
use answerback_protocol::{Code, Ran};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// See [`Client::run_until_signal`].
pub(crate) async fn run_until_signal(client: &Client, deadline: Duration) -> Result<Drained, Error> {
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        () = either(&mut terminate, &mut interrupt) => {}
        why = closed(client) => return why.map_or(Ok(Drained::default()), Err),
    }
    tracing::info!("leaving");
    let before = client.shared().lock().services.counts;
    tokio::select! {
        drained = client.drain(deadline) => Ok(drained),
        () = either(&mut terminate, &mut interrupt) => {
            client.drain(Duration::ZERO).await;
            Ok(Drained::between(before, client.shared().lock().services.counts))
        }
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Error> {
    let failed = |error| Error::new(Code::Unavailable, Ran::No, format!("signals cannot be listened for: {error}"));
    signal(kind).map_err(failed)
}

/// Waits until the client has ended by itself; says why, unless the program asked for it.
async fn closed(client: &Client) -> Option<Error> {
    let mut watch = client.watch();
    loop {
        if let crate::State::Closed { why } = watch.changed().await {
            return why;
        }
    }
}
