//! `peers`: the other servers that a server is linked with.

use crate::args::{Common, Peers as Args};
use crate::commands::ls::show;
use crate::connection::{ask, look, with_client};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::one_line;
use crate::print::line;
use crate::table::Column::{Figures, Words};
use crate::table::Table;
use crate::units::grouped;
use answerback::Client;
use serde::Deserialize;

/// The answer of `$peers`.
#[derive(Debug, Deserialize)]
struct Peers {
    peers: Vec<Peer>,
    /// How many there are beyond those listed.
    #[serde(default)]
    more: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Peer {
    server: String,
    node: Option<String>,
    address: Option<String>,
    dialed: bool,
    up: bool,
    /// Actions that it offers.
    actions: u64,
    /// Requests that it has of this server.
    waiting: u64,
    /// Requests of it that this server has.
    running: u64,
}

pub(crate) async fn run(common: &Common, Args {}: &Args) -> Outcome {
    with_client(common, async |client, _| list(common, client).await).await
}

async fn list(common: &Common, client: &Client) -> Outcome {
    if common.json {
        line(&one_line(ask(client, "$peers", "").await?.as_bytes()))?;
    } else {
        print(&look(client, "$peers", "").await?)?;
    }
    Ok(Exit::Ok)
}

fn print(Peers { peers, more }: &Peers) -> Result<(), Failure> {
    if peers.is_empty() {
        return line("this server is linked with no other; --peer HOST:PORT links it");
    }
    let mut table = Table::new(&[
        Words("SERVER"),
        Words("ADDRESS"),
        Words("LINK"),
        Figures("ACTIONS"),
        Figures("GIVEN"),
        Figures("TAKEN"),
        Words("NODE"),
    ]);
    for peer in peers {
        let server = if peer.server.is_empty() { "?" } else { &peer.server };
        table.row([
            server.to_owned(),
            peer.address.clone().unwrap_or_default(),
            state(peer).to_owned(),
            grouped(peer.actions),
            grouped(peer.waiting),
            grouped(peer.running),
            peer.node.clone().unwrap_or_default(),
        ]);
    }
    show(&table, *more)
}

fn state(peer: &Peer) -> &'static str {
    match (peer.up, peer.dialed) {
        (true, true) => "up, dialed",
        (true, false) => "up",
        (false, true) => "down, dialed",
        (false, false) => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_members_and_missing_ones_are_no_trouble() {
        let text = r#"{"node":"0a","peers":[{"server":"b","up":true,"dialed":true,"later":[1]},{}]}"#;
        let Peers { peers, more } = serde_json::from_str(text).unwrap();
        assert_eq!((state(&peers[0]), state(&peers[1]), more), ("up, dialed", "down", 0));
    }
}
