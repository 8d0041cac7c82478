//! `store inspect`: what a stopped server holds, in totals or one by one.

use super::place::Place;
use super::progress::Progress;
use super::{refused, warn};
use crate::args::{Common, Inspect as Args};
use crate::commands::ls::show;
use crate::exit::{Exit, Failure, Outcome};
use crate::json::told;
use crate::print::{Lines, Style, escaped, line, paint, shortened};
use crate::table::Column::{Figures, Words};
use crate::table::Table;
use crate::units::{grouped, show_ms, show_size};
use answerback_broker::{Item, ItemId, Time, matches_pattern};
use answerback_store::lines::CALENDAR;
use answerback_store::{Files, Finding, Inspected, Options, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Of the names in a line of an item, so much is shown.
const NAME_MAX: usize = 32;

pub(crate) fn run(common: &Common, args: &Args) -> Outcome {
    let place = Place::to_read(&args.dir)?;
    let mut look = Look { args, now: now(), json: common.json, totals: Totals::default(), out: Lines::to_stdout() };
    if args.items && !common.json {
        look.out.line(&paint(Style::Strong, &heads()))?;
    }
    let (mut progress, mut failed) = (Progress::new("read"), None);
    let seen = Store::inspect(&place.store, CALENDAR, &Options::default(), &mut |id, item| match progress
        .step()
        .and_then(|()| look.take(id, &item))
    {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => {
            failed = Some(failure);
            ControlFlow::Break(())
        }
    });
    drop(progress);
    if let Some(failure) = failed {
        return Err(failure);
    }
    let seen = seen.map_err(|error| refused(&error))?;
    let Look { totals, out, .. } = look;
    out.finish()?;
    if !args.items {
        let files = Store::files(&place.store).map_err(|error| refused(&error))?;
        let path = place.store.display().to_string();
        let report = Report { path, seen: &seen, files, totals };
        if common.json { line(&told(&report.json()))? } else { report.tell()? }
    }
    warn(&seen.findings);
    Ok(if seen.findings.iter().any(Finding::is_loss) { Exit::Other } else { Exit::Ok })
}

/// Looking at each item.
struct Look<'a> {
    args: &'a Args,
    now: Time,
    json: bool,
    totals: Totals,
    out: Lines,
}

impl Look<'_> {
    fn take(&mut self, id: ItemId, item: &Item) -> Result<(), Failure> {
        let shown = Shown::of(item, self.now);
        // A reply that is kept does not say what it answers.
        let is_wanted = |pattern: &String| shown.action.is_some_and(|action| matches_pattern(pattern, action));
        if !self.args.action.as_ref().is_none_or(is_wanted) {
            return Ok(());
        }
        if !self.args.items {
            self.totals.add(&shown);
            return Ok(());
        }
        let text = if self.json { told(&shown.json(id)) } else { shown.line(id) };
        self.out.line(&text)
    }
}

/// What is shown of an item: never its data, its key or a session.
struct Shown<'a> {
    kind: &'static str,
    action: Option<&'a Arc<str>>,
    from: Option<&'a str>,
    state: &'static str,
    durable: bool,
    waits_ms: Option<u64>,
    bytes: u64,
}

impl<'a> Shown<'a> {
    fn of(item: &'a Item, now: Time) -> Self {
        let bytes = |length: usize| length as u64;
        match item {
            Item::Request(request) => Self {
                kind: "request",
                action: Some(&request.action),
                from: Some(&request.from),
                state: if request.progress.delivered { "delivered" } else { "queued" },
                durable: request.durable,
                waits_ms: Some(request.received.millis_until(now)),
                bytes: bytes(request.data.len()),
            },
            Item::Kept(kept) => Self {
                kind: "kept",
                action: None,
                from: Some(&kept.name),
                state: "answered",
                durable: kept.durable,
                waits_ms: None,
                bytes: bytes(kept.data.len()),
            },
            Item::Stored(stored) => Self {
                kind: "stored",
                action: Some(&stored.action),
                from: None,
                state: "answered",
                durable: stored.durable,
                waits_ms: None,
                bytes: bytes(stored.data.len()),
            },
        }
    }

    fn line(&self, id: ItemId) -> String {
        let name = |name: Option<&str>| shortened(&escaped(name.unwrap_or_default()), NAME_MAX).into_owned();
        let (action, from) = (name(self.action.map(|action| &**action)), name(self.from));
        let durable = if self.durable { "yes" } else { "no" };
        let waits = self.waits_ms.map(show_ms).unwrap_or_default();
        let bytes = show_size(self.bytes);
        row([&id.0.to_string(), self.kind, self.state, durable, &waits, &bytes, &action, &from])
    }

    fn json(&self, id: ItemId) -> Value {
        json!({
            "item": id.0,
            "kind": self.kind,
            "action": self.action.map(|action| &**action),
            "from": self.from,
            "state": self.state,
            "durable": self.durable,
            "waits_ms": self.waits_ms,
            "bytes": self.bytes,
        })
    }
}

fn heads() -> String {
    row(["ITEM", "KIND", "STATE", "DURABLE", "WAITS FOR", "BYTES", "ACTION", "FROM"])
}

/// Lines come one by one, and there may be millions: the widths stand before what is in them is known.
fn row([item, kind, state, durable, waits, bytes, action, from]: [&str; 8]) -> String {
    let text = format!("{item:>8}  {kind:<7}  {state:<9}  {durable:<7}  {waits:>9}  {bytes:>8}  {action:<20}  {from}");
    text.trim_end().to_owned()
}

/// What there is, added up.
#[derive(Default)]
struct Totals {
    items: u64,
    actions: BTreeMap<Arc<str>, Total>,
    kept: Replies,
    stored: Replies,
}

#[derive(Default)]
struct Total {
    queued: u64,
    delivered: u64,
    durable: u64,
    bytes: u64,
    oldest_ms: u64,
}

#[derive(Default)]
struct Replies {
    count: u64,
    bytes: u64,
}

impl Totals {
    fn add(&mut self, shown: &Shown<'_>) {
        self.items += 1;
        if shown.kind != "request" {
            let replies = if shown.kind == "kept" { &mut self.kept } else { &mut self.stored };
            (replies.count, replies.bytes) = (replies.count + 1, replies.bytes + shown.bytes);
            return;
        }
        let Some(action) = shown.action else { return };
        let total = match self.actions.get_mut(action) {
            Some(total) => total,
            None => self.actions.entry(Arc::clone(action)).or_default(),
        };
        total.queued += u64::from(shown.state == "queued");
        total.delivered += u64::from(shown.state == "delivered");
        total.durable += u64::from(shown.durable);
        total.bytes += shown.bytes;
        total.oldest_ms = total.oldest_ms.max(shown.waits_ms.unwrap_or_default());
    }
}

struct Report<'a> {
    path: String,
    seen: &'a Inspected,
    files: Files,
    totals: Totals,
}

impl Report<'_> {
    fn tell(&self) -> Result<(), Failure> {
        let Totals { items, actions, kept, stored } = &self.totals;
        let left = if self.seen.clean { "its server left in order" } else { "its server did not leave in order" };
        line(&format!("{}: {}, {left}", escaped(&self.path), counted(*items, "item", "items")))?;
        if !actions.is_empty() {
            line("")?;
            self.tell_actions()?;
        }
        line("")?;
        let replies =
            |replies: &Replies| format!("{}, {}", counted(replies.count, "reply", "replies"), show_size(replies.bytes));
        let Files { segments, journal_bytes, generation, snapshot_bytes, aside } = &self.files;
        let segments = counted(*segments, "segment", "segments");
        let generation = generation.map_or("none".to_owned(), |number| format!("generation {number}"));
        line(&format!("  kept        {}, for callers that are away", replies(kept)))?;
        line(&format!("  stored      {}, under keys", replies(stored)))?;
        line(&format!("  journal     {segments}, {}", show_size(*journal_bytes)))?;
        line(&format!("  snapshots   {generation}, {}", show_size(*snapshot_bytes)))?;
        for set_aside in aside {
            line(&format!("  set aside   {}, {}", escaped(&set_aside.name), show_size(set_aside.bytes)))?;
        }
        Ok(())
    }

    fn tell_actions(&self) -> Result<(), Failure> {
        let heads = ["WAITING", "WITH HANDLERS", "DURABLE", "OLDEST", "BYTES"].map(Figures);
        let mut table = Table::new(&[&[Words("ACTION")][..], &heads].concat());
        for (action, total) in &self.totals.actions {
            table.row([
                action.to_string(),
                grouped(total.queued),
                grouped(total.delivered),
                grouped(total.durable),
                show_ms(total.oldest_ms),
                show_size(total.bytes),
            ]);
        }
        show(&table, 0)
    }

    fn json(&self) -> Value {
        let actions = self.totals.actions.iter().map(|(action, total)| {
            let &Total { queued, delivered, durable, bytes, oldest_ms } = total;
            json!({ "action": **action, "queued": queued, "delivered": delivered, "durable": durable,
                    "bytes": bytes, "oldest_ms": oldest_ms })
        });
        let replies = |replies: &Replies| json!({ "replies": replies.count, "bytes": replies.bytes });
        let aside = self.files.aside.iter().map(|aside| json!({ "name": aside.name, "bytes": aside.bytes }));
        let findings = self.seen.findings.iter();
        let findings = findings.map(|f| json!({ "kind": f.word(), "text": f.to_string(), "loss": f.is_loss() }));
        json!({
            "path": self.path,
            "clean": self.seen.clean,
            "items": self.totals.items,
            "actions": actions.collect::<Vec<_>>(),
            "kept": replies(&self.totals.kept),
            "stored": replies(&self.totals.stored),
            "journal": { "segments": self.files.segments, "bytes": self.files.journal_bytes },
            "snapshots": { "generation": self.files.generation, "bytes": self.files.snapshot_bytes },
            "aside": aside.collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// Now, as items say it that are read as clock times.
fn now() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::from_micros(now.map_or(0, |since| since.as_micros() as u64))
}
