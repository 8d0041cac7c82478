//! Many processes at one spot. All of them are killed when the test ends, however it does.

use crate::life::{ADDRESS, FOLDER, NAME, SENDS_TO};
use crate::said::{Number, Said};
use crate::spot::{PATIENCE, Spot};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

pub(crate) struct Crowd {
    pub(crate) spot: Spot,
    processes: BTreeMap<Number, Child>,
    next: Number,
    said: Arc<Board>,
}

#[derive(Default)]
struct Board {
    said: Mutex<Said>,
    news: Condvar,
}

impl Crowd {
    pub(crate) fn new() -> Self {
        Self { spot: Spot::new(), processes: BTreeMap::new(), next: 0, said: Arc::default() }
    }

    /// The name of a process.
    pub(crate) fn name(number: Number) -> String {
        format!("p{number}")
    }

    /// Starts one more, which sends to these at once.
    pub(crate) fn start(&mut self, sends_to: &[Number]) -> Number {
        let number = self.next;
        self.next += 1;
        let sends_to: Vec<String> = sends_to.iter().map(|other| Self::name(*other)).collect();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["life::as_a_process_of_its_own", "--exact", "--ignored", "--nocapture"]);
        command.env(ADDRESS, self.spot.address.to_string()).env(FOLDER, &self.spot.folder);
        command.env(NAME, Self::name(number)).env(SENDS_TO, sends_to.join(",")).env("NO_COLOR", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        self.listen(child.stdout.take().unwrap(), move |said, line| said.told(number, line));
        self.listen(child.stderr.take().unwrap(), move |said, line| said.logged(number, line));
        self.processes.insert(number, child);
        number
    }

    fn listen(&self, from: impl Read + Send + 'static, hear: impl Fn(&mut Said, &str) + Send + 'static) {
        let board = Arc::clone(&self.said);
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                hear(&mut board.said.lock().unwrap(), &line);
                board.news.notify_all();
            }
        });
    }

    /// Those that live.
    pub(crate) fn numbers(&self) -> Vec<Number> {
        self.processes.keys().copied().collect()
    }

    pub(crate) fn tell(&mut self, number: Number, line: &str) {
        let child = self.processes.get_mut(&number).unwrap();
        child.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(crate) fn tell_all(&mut self, line: &str) {
        self.numbers().into_iter().for_each(|number| self.tell(number, line));
    }

    /// Kills one with -9, and waits until nothing is left of it.
    pub(crate) fn kill(&mut self, number: Number) {
        let mut child = self.processes.remove(&number).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn said(&self) -> MutexGuard<'_, Said> {
        self.said.said.lock().unwrap()
    }

    /// Waits until what was said is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Said) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut said = self.said();
        while !is_so(&said) {
            assert!(said.failed.is_empty(), "while waiting for {what}: {:#?}", said.failed);
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited too long for {what}; the log:\n{}", said.log.join("\n"));
            said = self.said.news.wait_timeout(said, left).unwrap().0;
        }
    }

    /// Waits until all that live are connected and subscribe.
    pub(crate) fn until_all_are_in(&self) {
        let numbers = self.numbers();
        let is_in = |said: &Said, number| said.connected.contains(number) && said.subscribed.contains(number);
        self.until("all to be connected", |said| numbers.iter().all(|number| is_in(said, number)));
    }

    /// No failure, and each epoch was held once.
    pub(crate) fn check(&self) {
        let said = self.said();
        assert!(said.failed.is_empty(), "{:#?}", said.failed);
        for (epoch, holders) in &said.epochs {
            assert_eq!(holders.len(), 1, "epoch {epoch} was held by {holders:?}");
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in self.processes.values_mut() {
            let _ = child.kill();
        }
        for child in self.processes.values_mut() {
            let _ = child.wait();
        }
    }
}
