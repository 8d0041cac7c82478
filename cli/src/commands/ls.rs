//! `ls`: who serves what and what waits, as a table.

use crate::args::{Common, Ls as Args};
use crate::connection::{ask, look, with_client};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::one_line;
use crate::print::{Style, line, paint};
use crate::table::Column::{Figures, Words};
use crate::table::Table;
use crate::units::{grouped, show_ms, show_size};
use answerback::Client;
use serde::Deserialize;

/// The answer of `$actions`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Actions {
    pub(crate) actions: Vec<Action>,
    /// How many there are beyond those listed.
    #[serde(default)]
    pub(crate) more: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Action {
    pub(crate) action: String,
    pub(crate) handlers: u64,
    pub(crate) credit: u64,
    pub(crate) in_flight: u64,
    pub(crate) queued: u64,
    pub(crate) bytes: u64,
    /// How long the first request in the queue has waited.
    pub(crate) oldest_ms: Option<u64>,
    /// Servers that offer it.
    #[serde(default)]
    pub(crate) elsewhere: Vec<Elsewhere>,
}

/// A server through which an action can be reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Elsewhere {
    server: String,
    hops: u64,
}

/// The answer of `$sessions`.
#[derive(Debug, Deserialize)]
struct Sessions {
    sessions: Vec<Session>,
    #[serde(default)]
    more: u64,
}

#[derive(Debug, Deserialize)]
struct Session {
    client: u64,
    name: String,
    connected: bool,
    address: Option<String>,
    waiting: u64,
    holding: u64,
    subscriptions: u64,
    serving: u64,
    serves: Vec<String>,
}

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    with_client(common, async |client, _| list(common, args, client).await).await
}

async fn list(common: &Common, args: &Args, client: &Client) -> Outcome {
    let action = if args.clients { "$sessions" } else { "$actions" };
    if common.json {
        let answer = ask(client, action, "").await?;
        line(&one_line(answer.as_bytes()))?;
    } else if args.clients {
        show_sessions(&look(client, action, "").await?)?;
    } else {
        show_actions(&look(client, action, "").await?)?;
    }
    Ok(Exit::Ok)
}

fn show_actions(actions: &Actions) -> Result<(), Failure> {
    if actions.actions.is_empty() {
        return line("nobody serves anything, and nothing waits");
    }
    let mut heads = vec![
        Words("ACTION"),
        Figures("HANDLERS"),
        Figures("CREDIT"),
        Figures("IN FLIGHT"),
        Figures("WAITING"),
        Figures("OLDEST"),
        Figures("BYTES"),
    ];
    // A server without links has nothing to say there.
    let linked = actions.actions.iter().any(|action| !action.elsewhere.is_empty());
    if linked {
        heads.push(Words("THROUGH"));
    }
    let mut table = Table::new(&heads);
    for action in &actions.actions {
        let through = linked.then(|| through(&action.elsewhere));
        table.row(
            [
                action.action.clone(),
                grouped(action.handlers),
                grouped(action.credit),
                grouped(action.in_flight),
                grouped(action.queued),
                action.oldest_ms.map(show_ms).unwrap_or_default(),
                show_size(action.bytes),
            ]
            .into_iter()
            .chain(through),
        );
    }
    show(&table, actions.more)
}

/// Servers, the nearest first, and how far the handler is if it is not there.
fn through(elsewhere: &[Elsewhere]) -> String {
    let mut all: Vec<_> = elsewhere.iter().collect();
    all.sort_by_key(|one| one.hops);
    let words = all.iter().map(|one| match one.hops {
        0 | 1 => one.server.clone(),
        hops => format!("{} ({hops} hops)", one.server),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn show_sessions(sessions: &Sessions) -> Result<(), Failure> {
    let mut table = Table::new(&[
        Figures("CLIENT"),
        Words("NAME"),
        Words("ADDRESS"),
        Figures("CALLS"),
        Figures("WORKS ON"),
        Figures("HEARS"),
        Words("SERVES"),
    ]);
    for session in &sessions.sessions {
        let away = || if session.connected { String::new() } else { "away".to_owned() };
        table.row([
            session.client.to_string(),
            session.name.clone(),
            session.address.clone().unwrap_or_else(away),
            grouped(session.waiting),
            grouped(session.holding),
            grouped(session.subscriptions),
            serves(session),
        ]);
    }
    show(&table, sessions.more)
}

fn serves(session: &Session) -> String {
    let mut text = session.serves.join(", ");
    let more = session.serving.saturating_sub(session.serves.len() as u64);
    if more > 0 {
        text = format!("{text} and {more} more");
    }
    text
}

/// Prints a table whose head stands out.
pub(crate) fn show(table: &Table, more: u64) -> Result<(), Failure> {
    let mut lines = table.lines();
    if let Some(head) = lines.first_mut() {
        *head = paint(Style::Strong, head);
    }
    if more > 0 {
        lines.push(paint(Style::Faint, &format!("and {} more", grouped(more))));
    }
    line(&lines.join("\n"))
}
