//! `reload`: has a server read its keys again, and says what changed.

use crate::args::{Common, Reload as Args};
use crate::commands::http::{self, NoPage, Page};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::told;
use crate::print::{escaped, line, shortened};
use crate::signals::Signals;
use crate::units::grouped;
use serde::{Deserialize, Serialize};

/// The most that is shown of what is not understood.
const SHOWN_MAX: usize = 200;

/// Names that are listed in one line; `--json` has them all.
const LISTED_MAX: usize = 20;

/// What the server says when it has read them.
#[derive(Debug, Serialize, Deserialize)]
struct Reloaded {
    holders: u64,
    keys: u64,
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
    /// Connections that were closed.
    closed: u64,
}

/// What it says when it has not.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
}

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    let page = Signals::listen()?.or_interrupted(http::post(&args.admin, "/reload")).await?;
    let reloaded = understood(&args.admin, page)?;
    line(&if common.json { told(&serde_json::json!(reloaded)) } else { reloaded.line() })?;
    Ok(Exit::Ok)
}

fn understood(admin: &str, page: Result<Page, NoPage>) -> Result<Reloaded, Failure> {
    let there = "--admin HOST:PORT, as the server's banner shows it";
    match page {
        Ok(Page { status: 200, text }) => serde_json::from_str(&text).map_err(|_| nonsense(admin, &text)),
        Ok(Page { status: 400, text }) => match serde_json::from_str(&text) {
            Ok(Refusal { error }) => Err(bad_keys(admin, &error)),
            Err(_) => Err(nonsense(admin, &text)),
        },
        Ok(Page { status: 404, .. }) => {
            let what = format!("{admin} has no page /reload: it is not the admin port of a server with keys");
            Err(Failure::new(Exit::NoServer, what, there))
        }
        Ok(Page { status, text }) => {
            let what = format!("{admin} refuses: {} (HTTP {status})", shown(&text));
            Err(Failure::new(Exit::NoServer, what, "SIGHUP has a server read its keys again too"))
        }
        Err(NoPage::Refused(error)) => {
            let next = format!("{there}; without an admin port: SIGHUP");
            Err(Failure::new(Exit::NoServer, format!("cannot connect to {admin}: {error}"), next))
        }
        Err(NoPage::Broken(why)) => Err(nonsense(admin, &why)),
    }
}

/// The server says every mistake, a line each.
fn bad_keys(admin: &str, error: &str) -> Failure {
    let mut lines = error.lines().map(str::to_owned);
    let first = lines.next().unwrap_or_default();
    let what = format!("{admin} goes on with the keys that it has: {first}");
    Failure::new(Exit::Other, what, "mend that on the server's machine, and reload again").with(lines)
}

fn nonsense(admin: &str, text: &str) -> Failure {
    let what = format!("{admin} answers nothing that is understood: {}", shown(text));
    Failure::new(Exit::Other, what, "--admin HOST:PORT, as the server's banner shows it")
}

fn shown(text: &str) -> String {
    shortened(&escaped(text.lines().next().unwrap_or_default()), SHOWN_MAX).into_owned()
}

impl Reloaded {
    fn line(&self) -> String {
        let count = |number: u64, one: &str| format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" });
        let mut parts = vec![format!("{}, {}", count(self.holders, "holder"), count(self.keys, "key"))];
        let changes = [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)];
        let is_same = changes.iter().all(|(_, names)| names.is_empty());
        parts.extend(changes.iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| listed(what, names)));
        if is_same {
            parts.push("nothing changed".to_owned());
        }
        if self.closed > 0 {
            parts.push(format!("{} closed", count(self.closed, "connection")));
        }
        parts.join("; ")
    }
}

fn listed(what: &str, names: &[String]) -> String {
    let first: Vec<_> = names.iter().take(LISTED_MAX).map(|name| escaped(name)).collect();
    let more = names.len().saturating_sub(LISTED_MAX);
    let more = if more > 0 { format!(" and {} more", grouped(more as u64)) } else { String::new() };
    format!("{what} {}{more}", first.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, text: &str) -> Result<String, String> {
        let page = Ok(Page { status, text: text.to_owned() });
        understood("a:1", page).map(|reloaded| reloaded.line()).map_err(|failure| failure.what().to_owned())
    }

    #[test]
    fn what_changed_is_one_line() {
        let text = r#"{"holders":3,"keys":4,"added":["x"],"removed":["y"],"changed":["z","w"],"closed":2}"#;
        assert_eq!(
            said(200, text).unwrap(),
            "3 holders, 4 keys; added x; removed y; changed z w; 2 connections closed"
        );
        let none = r#"{"holders":1,"keys":1,"added":[],"removed":[],"changed":[],"closed":0,"later":1}"#;
        assert_eq!(said(200, none).unwrap(), "1 holder, 1 key; nothing changed");
        let names: Vec<_> = (0..1_021).map(|at| format!("h{at}")).collect();
        let many = listed("added", &names);
        assert!(many.starts_with("added h0 h1 ") && many.ends_with(" h19 and 1,001 more"), "{many}");
    }

    #[test]
    fn what_cannot_be_understood_is_told() {
        assert!(said(200, "ready\u{1b}[2J").unwrap_err().ends_with("nothing that is understood: ready\\u001b[2J"));
        assert!(said(400, "no").unwrap_err().ends_with("understood: no"));
        assert_eq!(
            said(400, r#"{"error":"2 mistakes\nline 1"}"#).unwrap_err(),
            "a:1 goes on with the keys that it has: 2 mistakes"
        );
        assert!(said(404, "").unwrap_err().contains("no page /reload"));
        assert_eq!(said(403, "not meant").unwrap_err(), "a:1 refuses: not meant (HTTP 403)");
    }
}
