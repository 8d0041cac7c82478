//! Every request, every end that its caller was told and every run by a handler, and whether that is what was promised.

use answerback::{Error, Ran};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// How something was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    pub(crate) action: &'static str,
    pub(crate) durable: bool,
    /// How many handlers may be given it.
    pub(crate) attempts: u32,
    /// Whether its handlers may die. Others always come back, so that everything of theirs runs once.
    pub(crate) handlers_die: bool,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An answer.
    Call,
    /// The work of a call that was made several times under one key; its number is the key's.
    Key,
    /// Work that nobody waits for.
    Send,
    /// The same, and no handler comes before the end.
    Parked,
}

/// What a caller was told.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Answered,
    Accepted,
    /// Something else: the code, and whether it ran.
    Failed(String, Ran),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error.code().to_string(), error.ran())
    }
}

struct Entry {
    asked: Asked,
    begun: Instant,
    ends: Vec<(End, Instant)>,
    /// Who ran it, and when.
    runs: Vec<(&'static str, Instant)>,
}

/// What callers and handlers write down.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: Mutex<Vec<Entry>>,
}

/// A kill, and what must have survived it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kill {
    pub(crate) at: Instant,
    /// What was accepted before this moment was in a snapshot.
    pub(crate) saved_before: Option<Instant>,
}

/// Of what is wrong, so much is shown.
const SHOWN_MAX: usize = 20;

/// How often things happened, so that no test passes because nothing did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counts: BTreeMap<String, usize>,
    /// Accepted, not durable, and gone: allowed only for what no snapshot had.
    pub(crate) lost: usize,
    /// Accepted and not durable, and in a snapshot before the next kill.
    pub(crate) saved: usize,
    /// Ran more than once, because a handler died.
    pub(crate) again: usize,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap()
    }

    /// A request begins. Returns its number.
    pub(crate) fn begins(&self, asked: Asked) -> u64 {
        let mut entries = self.entries();
        entries.push(Entry { asked, begun: Instant::now(), ends: Vec::new(), runs: Vec::new() });
        entries.len() as u64 - 1
    }

    /// Its caller was told how it ended.
    pub(crate) fn ends(&self, number: u64, end: End) {
        self.entries()[number as usize].ends.push((end, Instant::now()));
    }

    /// A handler has begun to work on it.
    pub(crate) fn runs(&self, number: u64, who: &'static str) {
        self.entries()[number as usize].runs.push((who, Instant::now()));
    }

    /// Accepted requests that have to run and have not yet.
    pub(crate) fn owed(&self, kills: &[Kill]) -> usize {
        self.entries().iter().filter(|entry| entry.must_run(kills) && entry.runs.is_empty()).count()
    }

    /// Compares what happened with what was promised to callers whose handlers lived on. `story` says how to run it again.
    pub(crate) fn check(&self, kills: &[Kill], story: &str) -> Tally {
        let (mut tally, mut wrong) = (Tally::default(), Vec::new());
        for (number, entry) in self.entries().iter().enumerate() {
            if let Err(what) = entry.check(kills) {
                wrong.push((!entry.asked.durable, format!("{number}: {what}: {}", entry.story(kills))));
            }
            tally.add(entry, kills);
        }
        // What is durable first: that is graver.
        wrong.sort();
        let shown: Vec<_> = wrong.iter().take(SHOWN_MAX).map(|(_, text)| text.as_str()).collect();
        assert!(wrong.is_empty(), "{} of {story} are wrong, {tally:?}:\n{}", wrong.len(), shown.join("\n"));
        tally
    }

    /// Nobody was told of an error, and everything ran once.
    pub(crate) fn check_that_nobody_noticed(&self, story: &str) -> Tally {
        let tally = self.check(&[], story);
        for (number, entry) in self.entries().iter().enumerate() {
            let failed = entry.ends.iter().any(|(end, _)| matches!(end, End::Failed(..)));
            assert!(!failed && entry.runs.len() == 1, "{story}: {number}: {}", entry.story(&[]));
        }
        tally
    }
}

impl Entry {
    fn end(&self) -> Option<&End> {
        self.ends.first().map(|(end, _)| end)
    }

    /// Whether it was accepted and nothing that happened since may have taken it.
    fn must_run(&self, kills: &[Kill]) -> bool {
        match self.ends.first() {
            Some((End::Answered, _)) => true,
            // A handler that dies may not have read what was given to it, and that was an attempt.
            Some((End::Accepted, _)) if self.asked.handlers_die => false,
            Some((End::Accepted, at)) => self.asked.durable || survived(*at, kills),
            Some((End::Failed(..), _)) | None => false,
        }
    }

    /// What happened to it, with times from the last kill before.
    fn story(&self, kills: &[Kill]) -> String {
        let when = |at: Instant| match kills.iter().rposition(|kill| kill.at <= at) {
            Some(kill) => format!("{:?} after kill {kill}", at - kills[kill].at),
            None => kills.first().map_or("".to_owned(), |kill| format!("{:?} before kill 0", kill.at - at)),
        };
        let ends: Vec<_> = self.ends.iter().map(|(end, at)| format!("{end:?} {}", when(*at))).collect();
        let runs: Vec<_> = self.runs.iter().map(|(who, at)| format!("by {who} {}", when(*at))).collect();
        format!("{:?}, asked {}, ended {ends:?}, ran {runs:?}", self.asked, when(self.begun))
    }

    fn check(&self, kills: &[Kill]) -> Result<(), &'static str> {
        let runs = self.runs.len();
        if runs > self.asked.attempts as usize {
            return Err("more runs than attempts");
        }
        // Of what is durable it is known which handler has it, and that one comes back. Of other requests a snapshot may not know it; they run
        // again if they may.
        if runs > 1 && self.asked.durable && !self.asked.handlers_die {
            return Err("ran twice, though its handler lived on");
        }
        if self.must_run(kills) && runs == 0 {
            return Err("accepted, and never ran");
        }
        match self.end() {
            None => return Err("has no end"),
            Some(End::Failed(_, Ran::No)) if runs > 0 => return Err("said not to have run, and did"),
            Some(End::Failed(_, Ran::Yes)) if runs == 0 => return Err("said to have run, and did not"),
            // It may have died before it had read what was given to it.
            Some(End::Failed(code, Ran::Maybe)) if code == "handler_lost" && self.asked.handlers_die => {}
            Some(End::Failed(..)) if self.asked.durable => return Err("durable, and failed"),
            Some(_) => {}
        }
        // A key's work is asked for several times, and each of them has its end.
        if self.ends.len() > 1 && self.asked.kind != Kind::Key { Err("has more than one end") } else { Ok(()) }
    }
}

/// Whether something that was accepted at this moment was in a snapshot when the next kill came.
fn survived(accepted: Instant, kills: &[Kill]) -> bool {
    let next = kills.iter().find(|kill| kill.at > accepted);
    next.is_none_or(|kill| kill.saved_before.is_some_and(|saved| accepted < saved))
}

impl Tally {
    fn add(&mut self, entry: &Entry, kills: &[Kill]) {
        let Asked { kind, durable, .. } = entry.asked;
        let end = match entry.end() {
            Some(End::Failed(code, ran)) => format!("{code}, ran {ran}"),
            Some(end) => format!("{end:?}"),
            None => "no end".to_owned(),
        };
        let durable_or_not = if durable { "durable" } else { "plain" };
        *self.counts.entry(format!("{durable_or_not} {kind:?} {end}")).or_default() += 1;
        self.again += usize::from(entry.runs.len() > 1);
        if let (Some((End::Accepted, at)), false) = (entry.ends.first(), durable) {
            self.lost += usize::from(entry.runs.is_empty());
            let before_a_kill = kills.iter().any(|kill| kill.at > *at);
            self.saved += usize::from(before_a_kill && survived(*at, kills));
        }
    }

    /// How many ended so.
    pub(crate) fn of(&self, what: &str) -> usize {
        self.counts.get(what).copied().unwrap_or(0)
    }
}
