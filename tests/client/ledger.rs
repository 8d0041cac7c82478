//! Every run of every call and every end of it, and whether that is what was promised.

use answerback::{Code, Error, Ran};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// How something was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call that so many handlers may be given.
    Call { attempts: u32 },
    /// A call whose timeout may be shorter than its work.
    Hurried,
    /// The same as a send.
    Send { attempts: u32 },
    /// To every handler.
    Broadcast,
    /// A call with the idempotency key of this number, which is also what the handler is given.
    Keyed { key: u64 },
    /// A call whose future is dropped, unless its answer is faster.
    Dropped,
    /// A call that is answered in parts.
    Parts,
}

/// What its caller was told.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Answered,
    Accepted,
    Failed(Error),
    Dropped,
}

#[derive(Debug, Clone)]
struct Call {
    kind: Kind,
    ends: Vec<End>,
}

/// What callers and handlers write down.
#[derive(Default)]
pub(crate) struct Ledger {
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    calls: BTreeMap<u64, Call>,
    /// Who ran it, by the number that the handler was given.
    runs: BTreeMap<u64, Vec<&'static str>>,
}

/// How often things happened, so that no test passes because nothing did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls: usize,
    pub(crate) answered: usize,
    pub(crate) faults: usize,
    pub(crate) dropped: usize,
    /// Ended with `ran: no`.
    pub(crate) not_run: usize,
    /// Ended with `ran: maybe`.
    pub(crate) maybe: usize,
    /// Ended as `timeout`, though there was time.
    pub(crate) late: usize,
    /// Ran more than once.
    pub(crate) again: usize,
    pub(crate) codes: BTreeMap<String, usize>,
}

/// How long brokers remember who is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Longer than any call lasts.
    Long,
    /// So short that a broker may lose a handler, give its work to another, and then lose the caller as well. A caller
    /// whose session is lost asks again with one attempt less; how many the broker had used up, nobody can tell it.
    Short,
}

/// Numbers of keys are far from those of calls.
pub(crate) const KEYS_FROM: u64 = 1 << 40;

impl Ledger {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap()
    }

    /// A call begins. Returns its number.
    pub(crate) fn begins(&self, kind: Kind) -> u64 {
        let mut pages = self.pages();
        let number = pages.calls.len() as u64;
        pages.calls.insert(number, Call { kind, ends: Vec::new() });
        number
    }

    /// Its caller was told how it ended.
    pub(crate) fn ends(&self, number: u64, end: End) {
        self.pages().calls.get_mut(&number).unwrap().ends.push(end);
    }

    /// A handler has begun to work on it.
    pub(crate) fn runs(&self, number: u64, who: &'static str) {
        self.pages().runs.entry(number).or_default().push(who);
    }

    /// Compares what happened with what was promised.
    pub(crate) fn check(&self, memory: Memory) -> Tally {
        let pages = self.pages();
        let mut tally = Tally::default();
        for (number, call) in &pages.calls {
            let [end] = &call.ends[..] else { panic!("call {number} has not one end: {call:?}") };
            tally.add(call.kind, end);
            let runs = pages.runs.get(number).map_or(&[][..], |runs| runs);
            tally.again += usize::from(runs.len() > 1);
            match call.kind {
                Kind::Keyed { .. } => {}
                kind => check_one(*number, kind, end, runs, memory),
            }
        }
        check_keys(&pages);
        tally
    }
}

fn check_one(number: u64, kind: Kind, end: &End, runs: &[&'static str], memory: Memory) {
    let story = || format!("{kind:?} {number} ended {end:?}, and was run by {runs:?}");
    match kind {
        Kind::Call { attempts } | Kind::Send { attempts } => {
            // With a short memory each session may use up what the session before it left: 3, then 2, then 1.
            let most = if memory == Memory::Short { (1..=attempts).sum() } else { attempts };
            assert!(runs.len() <= most as usize, "more runs than attempts: {}", story());
        }
        Kind::Dropped | Kind::Hurried | Kind::Parts => assert!(runs.len() <= 1, "more runs than attempts: {}", story()),
        Kind::Broadcast => {
            let mut handlers = runs.to_vec();
            handlers.sort_unstable();
            handlers.dedup();
            assert_eq!(handlers.len(), runs.len(), "a handler ran a broadcast twice: {}", story());
        }
        Kind::Keyed { .. } => {}
    }
    match end {
        End::Answered => assert!(!runs.is_empty(), "answered, and never run: {}", story()),
        End::Failed(error) if error.ran() == Ran::No => assert!(runs.is_empty(), "not so: {}", story()),
        End::Failed(error) if error.ran() == Ran::Yes => assert!(!runs.is_empty(), "not so: {}", story()),
        End::Failed(_) | End::Accepted | End::Dropped => {}
    }
}

/// Calls with one key are one piece of work. How often it may run: once, and once more for each end that left no answer
/// behind.
fn check_keys(pages: &Pages) {
    let mut by_key = BTreeMap::<u64, Vec<&End>>::new();
    for call in pages.calls.values() {
        if let Kind::Keyed { key } = call.kind {
            by_key.entry(key).or_default().push(&call.ends[0]);
        }
    }
    for (key, ends) in by_key {
        let runs = pages.runs.get(&key).map_or(0, Vec::len);
        assert!(runs <= ends.len(), "key {key} ran {runs} times for {ends:?}");
        let answered = ends.iter().any(|end| matches!(end, End::Answered));
        assert!(runs > 0 || !answered, "key {key} never ran: {ends:?}");
        let certain = ends.iter().all(|end| matches!(end, End::Failed(error) if error.ran() == Ran::No));
        assert!(runs == 0 || !certain, "key {key} ran {runs} times: {ends:?}");
    }
}

impl Tally {
    fn add(&mut self, kind: Kind, end: &End) {
        self.calls += 1;
        match end {
            End::Answered | End::Accepted => self.answered += 1,
            End::Dropped => self.dropped += 1,
            End::Failed(error) => {
                self.faults += usize::from(error.code() == Code::Fault);
                self.not_run += usize::from(error.ran() == Ran::No);
                self.maybe += usize::from(error.ran() == Ran::Maybe);
                self.late += usize::from(error.code() == Code::Timeout && kind != Kind::Hurried);
                *self.codes.entry(error.code().to_string()).or_default() += 1;
            }
        }
    }
}
