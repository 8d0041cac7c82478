//! `store import`: a store from lines of JSON, all of them or none.
//!
//! The new store is written beside the place where it belongs, and takes that place when the last line is in and everything is on disk. What
//! ends before leaves the old one as it was.

use super::place::Place;
use super::progress::Progress;
use super::refused;
use crate::args::{Common, Import as Args};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::told;
use crate::print::{escaped, line, note, shortened};
use crate::units::grouped;
use answerback_broker::{Item, ItemId, Time};
use answerback_store::lines::{CALENDAR, Line};
use answerback_store::{Calendar, Filling, Options, Store};
use serde_json::json;
use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest line: the largest frame, as base64, and names.
const LINE_BYTES_MAX: u64 = (1 << 30) / 3 * 4 + (1 << 16);

pub(crate) fn run(common: &Common, args: &Args) -> Outcome {
    if io::stdin().is_terminal() {
        let next = format!("answerback store import {} < FILE", args.dir.display());
        return Err(Failure::new(Exit::Usage, "the lines to import come from standard input", next));
    }
    let place = Place::to_fill(&args.dir)?;
    let before = what_is_there(&place, args.add)?;
    let beside = Beside::new(&place.store)?;
    let filling = Filling::begin(&beside.0, CALENDAR, &Options::default()).map_err(|error| refused(&error))?;
    let mut intake = Intake { filling, base: 0, ids: HashSet::new(), origins: HashSet::new() };
    if before.items > 0 {
        copy(&place, &mut intake)?;
        intake.base = before.next_item - 1;
    }
    let (imported, clean) = intake.read(&mut io::stdin().lock())?;
    let is_exact = clean && (before.items == 0 || before.clean);
    intake.filling.finish(is_exact).map_err(|error| refused(&error))?;
    let aside = Store::put_in_place(&beside.0, &place.store, now()).map_err(|error| refused(&error))?;
    tell(common, &place, imported, before.items, aside.as_deref())
}

fn tell(common: &Common, place: &Place, imported: u64, before: u64, aside: Option<&Path>) -> Outcome {
    if common.json {
        let (path, aside) = (place.store.display().to_string(), aside.map(|path| path.display().to_string()));
        line(&told(&json!({ "imported": imported, "there_before": before, "path": path, "aside": aside })))?;
        return Ok(Exit::Ok);
    }
    let items = if imported == 1 { "item" } else { "items" };
    line(&format!("{} {items} imported into {}", grouped(imported), place.store.display()))?;
    if before > 0 {
        line(&format!("{} were there before", grouped(before)))?;
    }
    if let Some(aside) = aside {
        line(&format!("the store as it was is at {}", aside.display()))?;
    }
    let key = place.data.join("server.key");
    if !key.exists() {
        note(&format!("now copy server.key of the old server to {}", key.display()));
    }
    Ok(Exit::Ok)
}

/// What a store holds before something is imported into it.
#[derive(Default)]
struct Before {
    items: u64,
    clean: bool,
    next_item: u64,
}

fn what_is_there(place: &Place, add: bool) -> Result<Before, Failure> {
    let is_nothing = fs::read_dir(&place.store).map_or(true, |mut entries| entries.next().is_none());
    if is_nothing {
        return Ok(Before::default());
    }
    let seen = Store::inspect(&place.store, CALENDAR, &Options::default(), &mut |_, _| ControlFlow::Continue(()));
    let seen = seen.map_err(|error| refused(&error))?;
    let at = place.store.display();
    if let Some(loss) = seen.findings.iter().find(|finding| finding.is_loss()) {
        let next = "start a server there once: it sets aside what is damaged and keeps the rest";
        return Err(Failure::new(Exit::NoServer, format!("the store in {at} is damaged: {loss}"), next));
    }
    if seen.items > 0 && !add {
        let items = grouped(seen.items);
        let next = "--add puts the new ones behind them; `answerback store inspect` shows what is there";
        return Err(Failure::new(Exit::NoServer, format!("{at} holds {items} items already"), next));
    }
    Ok(Before { items: seen.items, clean: seen.clean, next_item: seen.next_item })
}

/// Takes over what is there already.
fn copy(place: &Place, intake: &mut Intake) -> Result<(), Failure> {
    let (mut progress, mut failed) = (Progress::new("copied"), None);
    let seen = Store::inspect(&place.store, CALENDAR, &Options::default(), &mut |id, item| match progress
        .step()
        .map_err(Refused::Failed)
        .and_then(|()| intake.put(id, item))
    {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => {
            failed = Some(failure);
            ControlFlow::Break(())
        }
    });
    seen.map_err(|error| refused(&error))?;
    failed.map_or(Ok(()), |failure| Err(failure.into_failure("what is there already")))
}

/// The store under construction, and what must be in it only once.
struct Intake {
    filling: Filling,
    /// What is added to the numbers of new items, so that they come behind those that were there.
    base: u64,
    ids: HashSet<u64>,
    /// What delivery ids are made of: a server takes two requests that share it for one.
    origins: HashSet<u64>,
}

/// Why an item was not taken.
enum Refused {
    /// It cannot be there.
    Wrong(String),
    /// The disk, or the output.
    Failed(Failure),
}

impl Refused {
    fn into_failure(self, place: &str) -> Failure {
        match self {
            Self::Wrong(why) => {
                let what = format!("{place}: {}", shortened(&escaped(&why), 300));
                Failure::new(Exit::Usage, what, "nothing was imported; correct the lines, or export them again")
            }
            Self::Failed(failure) => failure,
        }
    }
}

impl Intake {
    /// Reads all lines; says how many items there were, and whether their store was left in order.
    fn read(&mut self, from: &mut impl BufRead) -> Result<(u64, bool), Failure> {
        let (mut number, mut begun, mut text) = (0_u64, false, Vec::new());
        let mut progress = Progress::new("imported");
        loop {
            text.clear();
            let read = from.take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
            let read = read.map_err(|error| Failure::system("read standard input", &error))?;
            number += 1;
            let wrong = |why: &str| Refused::Wrong(why.to_owned()).into_failure(&format!("line {number}"));
            if read == 0 {
                return Err(wrong("the lines end without the last one, {\"end\":true,…}: something is missing"));
            }
            let text = std::str::from_utf8(&text).map_err(|_| wrong("it is not UTF-8"))?.trim();
            if text.is_empty() {
                continue;
            }
            match (Line::read(text).map_err(|error| wrong(&error.to_string()))?, begun) {
                (Line::Head, false) => begun = true,
                (_, false) => return Err(wrong("the first line is not that of an export: {\"answerback_store\":1,…}")),
                (Line::Head, true) => return Err(wrong("a second first line; join exports with --add instead")),
                (Line::Item(id, item), true) => {
                    let put = self.put_behind(id, item);
                    put.map_err(|refused| refused.into_failure(&format!("line {number}")))?;
                    progress.step()?;
                }
                (Line::End { clean }, true) => {
                    nothing_more(from).map_err(|why| wrong(&why))?;
                    return Ok((progress.count, clean));
                }
            }
        }
    }

    fn put_behind(&mut self, id: ItemId, item: Item) -> Result<(), Refused> {
        let id = id.0.checked_add(self.base).filter(|id| *id < u64::MAX);
        let id = id.ok_or_else(|| Refused::Wrong("its number is too large".to_owned()))?;
        self.put(ItemId(id), item)
    }

    fn put(&mut self, id: ItemId, item: Item) -> Result<(), Refused> {
        if !self.ids.insert(id.0) {
            return Err(Refused::Wrong("another item has the same number".to_owned()));
        }
        if let Item::Request(request) = &item
            && !self.origins.insert(request.origin)
        {
            return Err(Refused::Wrong("the same request, by its \"origin\", is there already".to_owned()));
        }
        self.filling.put(id, item).map_err(|error| Refused::Failed(refused(&error)))
    }
}

/// Behind the last line there may only be empty ones.
fn nothing_more(from: &mut impl BufRead) -> Result<(), String> {
    let mut text = Vec::new();
    let read = from.take(1 << 10).read_to_end(&mut text);
    match read {
        Ok(_) if text.trim_ascii().is_empty() => Ok(()),
        Ok(_) => Err("more follows behind it; join exports with --add instead".to_owned()),
        Err(error) => Err(format!("cannot read standard input: {error}")),
    }
}

/// The store under construction. It goes away unless it has found its place.
struct Beside(PathBuf);

impl Beside {
    fn new(store: &Path) -> Result<Self, Failure> {
        let path = store.with_extension("importing");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::system(&format!("remove {}", path.display()), &error))
            }
            _ => Ok(Self(path)),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// For the name of what is set aside.
fn now() -> Calendar {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    Calendar::now_is(Time::from_micros(0), now)
}
