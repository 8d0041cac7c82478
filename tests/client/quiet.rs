//! When all is done, nothing is left: not at the callers, not at the services, not at the broker.

use crate::load::pass;
use answerback::Client;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Waits until a question is answered with nothing that is left.
pub(crate) async fn until<F: Future<Output = Result<(), String>>>(within: Duration, mut ask: impl FnMut() -> F) {
    let end = Instant::now() + within;
    while let Err(left) = ask().await {
        assert!(Instant::now() < end, "left after {within:?}: {left}");
        pass(Duration::from_millis(5)).await;
    }
}

/// Waits until these clients and their broker are quiet. `watcher` is a client that only looks.
pub(crate) async fn all_quiet(watcher: &Client, clients: &[&Client], within: Duration) {
    until(within, || async {
        for client in clients {
            let (calls, work) = (client.calls_waiting(), client.work_under_way());
            if calls + work > 0 {
                return Err(format!("{} has {calls} calls and {work} deliveries", client.name()));
            }
        }
        let states =
            || clients.iter().map(|client| format!("{} {:?}", client.name(), client.state())).collect::<Vec<_>>();
        broker_is_quiet(watcher, clients.len() + 1).await.map_err(|left| format!("{left}; {:?}", states()))
    })
    .await;
}

/// What the broker says of itself, or why it is not quiet yet.
async fn broker_is_quiet(watcher: &Client, sessions: usize) -> Result<(), String> {
    let ask = async |action: &str| watcher.call::<Value>(action, ()).await.map_err(|error| error.to_string());
    let actions = ask("$actions").await?;
    for action in actions["actions"].as_array().unwrap() {
        if action["in_flight"] != 0 || action["queued"] != 0 || action["bytes"] != 0 {
            return Err(action.to_string());
        }
    }
    let list = ask("$sessions").await?;
    let list = list["sessions"].as_array().unwrap();
    for session in list {
        if session["waiting"] != 0 || session["holding"] != 0 {
            return Err(session.to_string());
        }
    }
    if list.len() != sessions {
        return Err(format!("{} sessions of {sessions} clients: {list:?}", list.len()));
    }
    let stats = ask("$stats").await?;
    let left = ["queued", "in_flight", "bytes"].into_iter().find(|name| stats[name] != 0);
    left.map_or(Ok(()), |name| Err(format!("{name}: {}", stats[name])))
}
