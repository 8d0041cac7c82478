//! A place for a server that comes and goes: always the same directory and address.

use crate::ledger::Kill;
use crate::place::Place;
use crate::process::{Process, command};
use rustix::process::Signal;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Nobody starts a server that takes longer than this.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// How often it is asked how many snapshots there were.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How many answers are kept: more than there are between two snapshots.
const LOOKS_MAX: usize = 1_000;

/// A directory, an address and flags; the server itself may be gone.
pub(crate) struct Site {
    pub(crate) place: Place,
    pub(crate) flags: Vec<String>,
    pub(crate) address: Option<SocketAddr>,
}

impl Site {
    pub(crate) fn new(flags: &[&str]) -> Self {
        Self { place: Place::new(), flags: flags.iter().map(|&flag| flag.to_owned()).collect(), address: None }
    }

    /// Starts a server, at the address of the one before it.
    pub(crate) fn start(&mut self) -> Process {
        let mut command = command();
        let address = self.address.map_or("127.0.0.1:0".to_owned(), |address| address.to_string());
        command.args(["--listen", &address, "--admin", "127.0.0.1:0", "--data-dir", self.place.0.to_str().unwrap()]);
        command.args(&self.flags);
        let begun = Instant::now();
        let process = Process::spawn(command);
        assert!(begun.elapsed() < STARTS_WITHIN, "a start took {:?}", begun.elapsed());
        self.address = Some(process.address);
        process
    }
}

/// Kills a server and starts the next, and says what must have survived.
pub(crate) fn kill_and_start(process: Process, watch: &Watch, site: &mut Site) -> (Kill, Process) {
    let saved_before = watch.saved_before();
    kill(process);
    watch.forget();
    let next = site.start();
    // What clients have heard until now was said by the one that was killed.
    (Kill { at: Instant::now(), saved_before }, next)
}

/// Kills a server.
pub(crate) fn kill(mut process: Process) {
    process.signal(Signal::KILL);
    process.end();
    has_not_panicked(&process);
}

/// Asks a server to leave and waits until it has.
pub(crate) fn leave(mut process: Process) -> ExitStatus {
    process.signal(Signal::TERM);
    let status = process.end();
    has_not_panicked(&process);
    status
}

/// Looks at what one that has ended has said.
pub(crate) fn has_not_panicked(process: &Process) {
    let said = process.said_to_the_end();
    assert!(!said.contains("panicked"), "the server panicked:\n{said}");
}

/// Knows when snapshots were made.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<VecDeque<(Instant, u64)>>>);

impl Watch {
    fn looks(&self) -> MutexGuard<'_, VecDeque<(Instant, u64)>> {
        self.0.lock().unwrap()
    }

    /// Looks once.
    pub(crate) fn look(&self, process: &Process) {
        let (at, rounds) = (Instant::now(), snapshots(process));
        let mut looks = self.looks();
        looks.push_back((at, rounds));
        if looks.len() > LOOKS_MAX {
            looks.pop_front();
        }
    }

    /// Looks again and again for a while.
    pub(crate) async fn look_for(&self, time: Duration, process: &Process) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            tokio::task::block_in_place(|| self.look(process));
            let left = end.saturating_duration_since(Instant::now());
            crate::load::pass(LOOK_EVERY.min(left)).await;
        }
    }

    /// The last moment from which on two snapshots were finished. The first of the two may have begun before it, the second
    /// has not.
    fn saved_before(&self) -> Option<Instant> {
        let looks = self.looks();
        let (_, last) = *looks.back()?;
        looks.iter().rev().find(|(_, rounds)| last >= rounds + 2).map(|(at, _)| *at)
    }

    fn forget(&self) {
        self.looks().clear();
    }
}

/// How many snapshots a server has made.
pub(crate) fn snapshots(process: &Process) -> u64 {
    metric(process, "answerback_snapshot_rounds_total") as u64
}

/// A figure of `/metrics`.
pub(crate) fn metric(process: &Process, name: &str) -> f64 {
    let (status, text) = process.ask("GET", "/metrics");
    assert_eq!(status, 200, "{text}");
    let figure = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
    figure.unwrap_or_else(|| panic!("no {name} in {text}"))
}
