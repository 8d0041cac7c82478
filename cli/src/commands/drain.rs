//! `drain`: asks a server to leave, and shows how it does until it is gone.

use crate::args::{Common, Drain as Args};
use crate::commands::http::{self, NoPage, Page};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::told;
use crate::print::{CLEAR_LINE, escaped, is_error_terminal, line, note, shortened, status};
use crate::signals::Signals;
use crate::units::show_duration;
use serde_json::json;
use std::time::{Duration, Instant};

/// The time between two looks: short beside what a person waits, long beside what a look costs.
const EVERY: Duration = Duration::from_millis(100);

/// How long nothing may move, beside the deadline for what runs: saving the last of a very long queue takes some of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The most that is shown of a page.
const SHOWN_MAX: usize = 200;

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    let mut signals = Signals::listen()?;
    let from = Instant::now();
    let asked = signals.or_interrupted(ask(args)).await??;
    if args.no_wait {
        line(&if common.json { json_of(false, &Seen::default(), from.elapsed()) } else { asked })?;
        return Ok(Exit::Ok);
    }
    let mut watch = Watch { is_quiet: common.json, ..Watch::default() };
    watch.tell(&asked);
    tokio::select! {
        gone = watch.until_gone(args) => gone?,
        () = signals.next() => {
            let next = "the server goes on leaving; `answerback drain` again shows how far it is";
            return Err(Failure::new(Exit::Other, "interrupted", next));
        }
    }
    watch.clear();
    let took = from.elapsed();
    line(&if common.json { json_of(true, &watch.seen, took) } else { format!("gone after {}", show_duration(took)) })?;
    Ok(Exit::Ok)
}

/// Asks it to leave; what it says to that.
async fn ask(args: &Args) -> Result<String, Failure> {
    let deadline = args.deadline.map(|deadline| format!("?deadline={}ms", deadline.as_millis()));
    let path = format!("/drain{}", deadline.unwrap_or_default());
    match http::post(&args.admin, &path).await {
        Ok(Page { status: 202, text }) => Ok(shown(&text)),
        Ok(Page { status: 404, .. }) => {
            let what =
                format!("{} has no page /drain: it is not the admin port of a server that can be asked", args.admin);
            Err(Failure::new(Exit::NoServer, what, "--admin HOST:PORT, as the server's banner shows it"))
        }
        Ok(Page { status, text }) => {
            let what = format!("{} refuses: {} (HTTP {status})", args.admin, shown(&text));
            Err(Failure::new(Exit::NoServer, what, "SIGTERM asks a server to leave too"))
        }
        Err(NoPage::Refused(error)) => {
            let what = format!("cannot connect to {}: {error}", args.admin);
            let next = "--admin HOST:PORT, as the server's banner shows it; without an admin port: SIGTERM";
            Err(Failure::new(Exit::NoServer, what, next))
        }
        Err(NoPage::Broken(why)) => {
            let what = format!("{} answers nothing that is understood: {}", args.admin, shown(&why));
            Err(Failure::new(Exit::Other, what, "--admin HOST:PORT, as the server's banner shows it"))
        }
    }
}

/// What was last seen of a server that leaves.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Seen {
    running: Option<u64>,
    waiting: Option<u64>,
}

/// What one look shows.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    /// It is on its way.
    Leaving(String),
    /// It is gone, or another one stands in its place already.
    Gone,
    /// This look says nothing.
    Unclear,
}

/// Looking at a server that leaves.
#[derive(Default)]
struct Watch {
    is_quiet: bool,
    seen: Seen,
    told: String,
    is_line_open: bool,
}

impl Watch {
    async fn until_gone(&mut self, args: &Args) -> Result<(), Failure> {
        let patience = PATIENCE + args.deadline.unwrap_or_default();
        let mut moved = Instant::now();
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            match sight(http::get(&args.admin, "/readyz").await) {
                Sight::Gone => return Ok(()),
                Sight::Leaving(text) if text != self.told => {
                    moved = Instant::now();
                    self.seen =
                        Seen { running: number_before(&text, "running"), waiting: number_before(&text, "waiting") };
                    self.tell(&text);
                }
                Sight::Leaving(_) | Sight::Unclear => {}
            }
            if moved.elapsed() > patience {
                self.clear();
                let what = format!("the server is still there, and nothing has moved for {}", show_duration(patience));
                let next =
                    "its log says what it waits for; a second SIGTERM ends it at once, and what is not saved is lost";
                return Err(Failure::new(Exit::Time, what, next));
            }
        }
    }

    /// On a terminal one line that changes, else a line for each change.
    fn tell(&mut self, text: &str) {
        self.told = text.to_owned();
        if self.is_quiet {
        } else if is_error_terminal() {
            self.is_line_open = true;
            status(&format!("{CLEAR_LINE}{text}"));
        } else {
            note(text);
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_line_open) {
            status(CLEAR_LINE);
        }
    }
}

fn sight(page: Result<Page, NoPage>) -> Sight {
    match page {
        Ok(Page { status: 503, text }) if text.contains("draining") => {
            Sight::Leaving(shown(text.strip_prefix("not ready: ").unwrap_or(&text)))
        }
        Ok(Page { status: 503, text }) if !text.contains("recovering") => Sight::Unclear,
        Ok(_) | Err(NoPage::Refused(_)) => Sight::Gone,
        Err(NoPage::Broken(_)) => Sight::Unclear,
    }
}

/// The number in `…, 30 waiting …`.
fn number_before(text: &str, word: &str) -> Option<u64> {
    let words: Vec<_> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok())
}

fn shown(text: &str) -> String {
    shortened(&escaped(text.lines().next().unwrap_or_default()), SHOWN_MAX).into_owned()
}

fn json_of(gone: bool, seen: &Seen, took: Duration) -> String {
    let Seen { running, waiting } = seen;
    let took = took.as_millis() as u64;
    told(&json!({ "asked": true, "gone": gone, "running": running, "waiting": waiting, "took_ms": took }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(status: u16, text: &str) -> Result<Page, NoPage> {
        Ok(Page { status, text: text.to_owned() })
    }

    #[test]
    fn a_server_that_leaves_is_told_from_one_that_came_after_it() {
        let leaving = "not ready: draining, 2 running, 30 waiting to be saved";
        let text = "draining, 2 running, 30 waiting to be saved".to_owned();
        assert_eq!((number_before(&text, "running"), number_before(&text, "waiting")), (Some(2), Some(30)));
        assert_eq!(sight(page(503, leaving)), Sight::Leaving(text));
        assert_eq!(number_before("draining, saving what is left", "running"), None);
        assert_eq!(sight(page(503, "not ready: the data plane does not answer")), Sight::Unclear);
        assert_eq!(sight(page(503, "not ready: recovering, 7 restored")), Sight::Gone);
        assert_eq!(sight(page(200, "ready")), Sight::Gone);
        assert_eq!(sight(Err(NoPage::Refused(std::io::ErrorKind::ConnectionRefused.into()))), Sight::Gone);
        assert_eq!(sight(Err(NoPage::Broken("it broke off".to_owned()))), Sight::Unclear);
    }

    #[test]
    fn a_page_cannot_command_the_terminal() {
        assert_eq!(shown("draining\u{1b}[2J\nmore"), "draining\\u001b[2J");
    }
}
