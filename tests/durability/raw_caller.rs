//! A caller written from `docs/PROTOCOL.md`: it comes back with its session, and announces again what waits.

use crate::client::{Heard, new_session};
use crate::dice::Dice;
use crate::ledger::{Asked, End, Kind, Ledger};
use crate::line::Line;
use crate::load::{Work, answer_of};
use answerback::Ran;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What it has in flight at most.
const IN_FLIGHT: usize = 8;

/// Acknowledges after so many replies; few, so that there is nearly always one that is not acknowledged.
const ACK_AFTER: u64 = 5;

/// How long it listens before it looks whether there is more to ask.
const LISTENS_FOR: Duration = Duration::from_millis(2);

/// The timeout of everything it asks, far beyond the test's end.
const TIMEOUT_MS: u64 = 600_000;

/// What a caller asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) action: &'static str,
    /// The most that it allows; each request says a number up to it.
    pub(crate) attempts: u32,
    /// Whether the handlers of this action may die.
    pub(crate) handlers_die: bool,
}

/// A caller on a thread of its own.
pub(crate) struct RawCaller {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl RawCaller {
    pub(crate) fn start(address: SocketAddr, aim: Aim, seed: u64, ledger: &Arc<Ledger>) -> Self {
        let (stop, ledger) = (Arc::new(AtomicBool::new(false)), Arc::clone(ledger));
        let asked_to_stop = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            Caller::new(address, aim, seed, ledger).run(&asked_to_stop);
        });
        Self { stop, thread }
    }

    /// Nothing new; waits until everything has its end, and longer than this fails.
    pub(crate) fn finish(self, within: Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let end = Instant::now() + within;
        while !self.thread.is_finished() {
            assert!(Instant::now() < end, "a raw caller's requests do not end");
            std::thread::park_timeout(LISTENS_FOR);
        }
        self.thread.join().expect("the raw caller is content");
    }
}

struct Caller {
    address: SocketAddr,
    aim: Aim,
    session: String,
    ledger: Arc<Ledger>,
    dice: Dice,
    next_id: u64,
    /// What waits for its answer: the number in the ledger, and the frame.
    waiting: BTreeMap<u64, (u64, Value, String)>,
}

impl Caller {
    fn new(address: SocketAddr, aim: Aim, seed: u64, ledger: Arc<Ledger>) -> Self {
        let (dice, session) = (Dice::new(seed), new_session());
        Self { address, aim, session, ledger, dice, next_id: 1, waiting: BTreeMap::new() }
    }

    fn run(&mut self, stop: &AtomicBool) {
        let mut known = false;
        loop {
            let (line, welcome) = Line::open(self.address, "raw-caller", &self.session);
            let goes_on = welcome["resumed"] == true || welcome["restarted"] == true;
            assert!(!known || goes_on, "a session that was used goes on: {welcome}");
            known = true;
            // It ends when it is asked to, or with an error of the connection.
            if self.life(line, stop).is_ok() {
                return;
            }
        }
    }

    /// The life of one connection.
    fn life(&mut self, mut line: Line, stop: &AtomicBool) -> io::Result<()> {
        line.say(r#"{"type":"resume","holding":[]}"#, "")?;
        for (_, head, data) in self.waiting.values_mut() {
            head["again"] = true.into();
            line.say(head.to_string(), data)?;
        }
        let (mut replies, mut acked) = (0, 0);
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            if stopping && self.waiting.is_empty() {
                return line.say(r#"{"type":"bye"}"#, "");
            }
            if !stopping && self.waiting.len() < IN_FLIGHT {
                self.ask(&mut line)?;
            }
            while let Some(heard) = line.hear(LISTENS_FOR)? {
                replies += u64::from(heard.head["type"] == "reply");
                self.hear(&heard);
            }
            if replies >= acked + ACK_AFTER {
                line.say(json!({ "type": "ack", "replies": replies }).to_string(), "")?;
                acked = replies;
            }
        }
    }

    fn ask(&mut self, line: &mut Line) -> io::Result<()> {
        let kind = if self.dice.below(2) == 0 { Kind::Send } else { Kind::Call };
        let attempts = 1 + self.dice.below(self.aim.attempts as usize) as u32;
        let asked =
            Asked { kind, action: self.aim.action, durable: true, attempts, handlers_die: self.aim.handlers_die };
        let number = self.ledger.begins(asked);
        let work: Work = (number, self.dice.below(5) as u64);
        let head = json!({
            "type": "request", "id": self.next_id, "action": self.aim.action, "timeout": TIMEOUT_MS, "attempts": attempts,
            "durable": true, "reply": kind == Kind::Call,
        });
        let (text, data) = (head.to_string(), serde_json::to_string(&work).unwrap());
        self.waiting.insert(self.next_id, (number, head, data.clone()));
        self.next_id += 1;
        line.say(text, data)
    }

    fn hear(&mut self, heard: &Heard) {
        let (head, id) = (&heard.head, heard.head["id"].as_u64());
        let end = match head["type"].as_str().unwrap_or_default() {
            "accepted" => End::Accepted,
            "reply" if head["error"].is_null() => End::Answered,
            "reply" => failed(&head["error"]),
            "ack" | "pong" | "goaway" => return,
            _ => panic!("the raw caller hears {head}"),
        };
        let id = id.unwrap_or_else(|| panic!("no id: {head}"));
        // A send that is announced again may be accepted again, as may a call be answered; but never what has ended before.
        let (number, ..) = self.waiting.remove(&id).unwrap_or_else(|| panic!("ended before, or never asked: {head}"));
        if matches!(end, End::Answered) {
            assert_eq!(heard.json(), json!(answer_of(number)), "an answer to another call");
        }
        self.ledger.ends(number, end);
    }
}

fn failed(error: &Value) -> End {
    let ran = match error["ran"].as_str() {
        Some("no") => Ran::No,
        Some("yes") => Ran::Yes,
        _ => Ran::Maybe,
    };
    End::Failed(error["code"].as_str().unwrap_or_default().to_owned(), ran)
}
