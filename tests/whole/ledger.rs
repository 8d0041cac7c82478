//! Every request, every end that its caller was told and every run by a handler, and whether that is what was promised.

use crate::set::Going;
use answerback::{Error, Ran};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// How something was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Call,
    /// Written to the disk of the server where its caller is.
    DurableCall,
    Send,
    DurableSend,
    /// A call with an idempotency key of its own.
    Keyed,
    /// To every handler.
    Broadcast,
}

impl Kind {
    /// So many handlers may be given it. A durable send whose handler may go as often as it comes must have some left.
    pub(crate) fn attempts(self) -> u32 {
        match self {
            Self::DurableSend => 10,
            _ => 1,
        }
    }

    pub(crate) fn is_durable(self) -> bool {
        matches!(self, Self::DurableCall | Self::DurableSend)
    }
}

/// What a caller was told.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Answered,
    Accepted,
    Failed(Error),
}

struct Entry {
    kind: Kind,
    begun: Instant,
    /// Where its caller was when it began, and when it ended.
    places: Vec<String>,
    ends: Vec<(End, Instant)>,
    /// Which service ran it, where, and when.
    runs: Vec<(usize, String, Instant)>,
}

/// What callers and handlers write down, and what was done to the processes meanwhile.
pub(crate) struct Ledger {
    begun: Instant,
    entries: Mutex<Vec<Entry>>,
    deeds: Mutex<Vec<(Instant, String)>>,
}

/// Of what is wrong, so much is shown.
const SHOWN_MAX: usize = 12;

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), entries: Mutex::default(), deeds: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap()
    }

    /// Something is done to a process.
    pub(crate) fn deed(&self, what: String) {
        self.deeds.lock().unwrap().push((Instant::now(), what));
    }

    /// A request begins. Returns its number.
    pub(crate) fn begins(&self, kind: Kind, place: String) -> u64 {
        let (mut entries, begun) = (self.entries(), Instant::now());
        entries.push(Entry { kind, begun, places: vec![place], ends: Vec::new(), runs: Vec::new() });
        entries.len() as u64 - 1
    }

    /// Its caller was told how it ended.
    pub(crate) fn ends(&self, number: u64, end: End, place: String) {
        let entry = &mut self.entries()[number as usize];
        entry.places.push(place);
        entry.ends.push((end, Instant::now()));
    }

    /// A handler has begun to work on it.
    pub(crate) fn runs(&self, number: u64, service: usize, place: String) {
        self.entries()[number as usize].runs.push((service, place, Instant::now()));
    }

    /// Durable requests that were accepted or answered and have not run.
    pub(crate) fn owed(&self) -> usize {
        self.entries().iter().filter(|entry| entry.is_owed()).count()
    }

    /// How many had an answer until now.
    pub(crate) fn good(&self) -> usize {
        let is_good = |entry: &&Entry| entry.ends.iter().any(|(end, _)| !matches!(end, End::Failed(_)));
        self.entries().iter().filter(is_good).count()
    }

    /// Compares what happened with what was promised. `story` says how to run it again.
    pub(crate) fn check(&self, how: Going, story: &str) -> BTreeMap<String, usize> {
        let (mut tally, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
        for (number, entry) in self.entries().iter().enumerate() {
            if let Err(what) = entry.check(how) {
                wrong.push(format!("{what}: {}", self.story(number, entry)));
            }
            *tally.entry(format!("{:?} {}", entry.kind, entry.outcome())).or_default() += 1;
        }
        let shown = wrong.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(wrong.is_empty(), "{} wrong in {story}\n{}\n{tally:#?}\n{shown}", wrong.len(), self.deeds());
        tally
    }

    /// What took longest.
    pub(crate) fn longest(&self) -> String {
        let entries = self.entries();
        let took = |entry: &Entry| entry.ends.first().map(|(_, at)| at.duration_since(entry.begun));
        let longest = entries.iter().enumerate().max_by_key(|(_, entry)| took(entry));
        longest.map(|(number, entry)| self.story(number, entry)).unwrap_or_default()
    }

    fn deeds(&self) -> String {
        let deeds = self.deeds.lock().unwrap();
        deeds.iter().map(|(at, what)| format!("{:?} {what}\n", at.duration_since(self.begun))).collect()
    }

    fn story(&self, number: usize, entry: &Entry) -> String {
        let when = |at: &Instant| at.duration_since(self.begun);
        let ends: Vec<_> = entry.ends.iter().map(|(end, at)| format!("{end:?} at {:?}", when(at))).collect();
        let runs: Vec<_> =
            entry.runs.iter().map(|(who, place, at)| format!("by {who}, {place}, at {:?}", when(at))).collect();
        let (kind, begun, places) = (entry.kind, when(&entry.begun), &entry.places);
        format!("{number}: {kind:?} at {begun:?}, its caller at {places:?}, ended {ends:?}, ran {runs:?}")
    }
}

impl Entry {
    fn is_owed(&self) -> bool {
        let was_taken = matches!(self.ends.first(), Some((End::Accepted | End::Answered, _)));
        was_taken && self.kind.is_durable() && self.runs.is_empty()
    }

    fn outcome(&self) -> String {
        match self.ends.first() {
            Some((End::Failed(error), _)) => format!("{}, ran {}", error.code(), error.ran()),
            Some((end, _)) => format!("{end:?}"),
            None => "has no end".to_owned(),
        }
    }

    fn check(&self, how: Going) -> Result<(), &'static str> {
        let runs = self.runs.len();
        let [(end, _)] = &self.ends[..] else { return Err("has not one end") };
        match end {
            End::Answered if runs == 0 => return Err("answered, and never ran"),
            End::Failed(error) if error.ran() == Ran::No && runs > 0 => return Err("said not to have run, and did"),
            End::Failed(error) if error.ran() == Ran::Yes && runs == 0 => return Err("said to have run, and did not"),
            End::Failed(_) if how == Going::Drained => return Err("an error, though all left in order"),
            _ => {}
        }
        if self.is_owed() {
            return Err("durable, accepted, and never ran");
        }
        self.check_runs()
    }

    fn check_runs(&self) -> Result<(), &'static str> {
        let mut services: Vec<_> = self.runs.iter().map(|(service, ..)| service).collect();
        services.sort_unstable();
        services.dedup();
        match self.kind {
            Kind::Broadcast if services.len() < self.runs.len() => Err("ran twice in one handler"),
            Kind::Broadcast => Ok(()),
            kind if self.runs.len() > kind.attempts() as usize => Err("more runs than attempts"),
            _ => Ok(()),
        }
    }
}
