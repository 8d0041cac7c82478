//! A handler written from `docs/PROTOCOL.md`: it comes back with its session, says its replies again until they are
//! acknowledged, and says what it holds.

use crate::client::{Heard, new_session};
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::line::Line;
use crate::load::{Work, answer_of};
use serde_json::json;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much it takes at once.
const CREDIT: u32 = 16;

/// How many deliveries one `resume` names at most; few, so that there are often several.
const HOLDING_MAX: usize = 3;

/// One that is mortal dies after so many deliveries, about.
const DIES_AFTER: usize = 40;

/// A handler on a thread of its own.
pub(crate) struct RawHandler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl RawHandler {
    /// One that always comes back; or, with a seed, one that dies now and then without a word, and another takes its place.
    pub(crate) fn start(address: SocketAddr, action: &'static str, mortal: Option<u64>, ledger: &Arc<Ledger>) -> Self {
        let (stop, ledger) = (Arc::new(AtomicBool::new(false)), Arc::clone(ledger));
        let asked_to_stop = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut session = new_session();
            let mut handler = Handler::new(action, mortal.map(Dice::new), ledger);
            while !asked_to_stop.load(Ordering::Relaxed) {
                if handler.is_dead {
                    (session, handler) = (new_session(), handler.next());
                }
                let (line, _welcome) = Line::open(address, "raw-handler", &session);
                // It ends when it is asked to, or with an error of the connection.
                let _ = handler.life(line, &asked_to_stop);
            }
        });
        Self { stop, thread }
    }

    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the raw handler is content");
    }
}

/// A delivery under way.
struct Held {
    id: u64,
    number: u64,
    done_at: Instant,
}

struct Handler {
    action: &'static str,
    ledger: Arc<Ledger>,
    held: Vec<Held>,
    /// Replies that the server has not acknowledged, in order: delivery, and data.
    not_acked: VecDeque<(u64, String)>,
    mortal: Option<Dice>,
    is_dead: bool,
}

impl Handler {
    fn new(action: &'static str, mortal: Option<Dice>, ledger: Arc<Ledger>) -> Self {
        Self { action, ledger, held: Vec::new(), not_acked: VecDeque::new(), mortal, is_dead: false }
    }

    /// Somebody else, who knows nothing of this one's work.
    fn next(self) -> Self {
        Self::new(self.action, self.mortal, self.ledger)
    }

    /// The life of one connection.
    fn life(&mut self, mut line: Line, stop: &AtomicBool) -> io::Result<()> {
        for (id, data) in &self.not_acked {
            line.say(json!({ "type": "reply", "id": id }).to_string(), data)?;
        }
        let mut acked = 0;
        self.resume(&mut line)?;
        line.say(json!({ "type": "serve", "action": self.action, "credit": CREDIT }).to_string(), "")?;
        while !stop.load(Ordering::Relaxed) {
            if self.is_dead {
                return Ok(());
            }
            while let Some(heard) = line.hear(Duration::from_millis(1))? {
                self.hear(&heard, &mut acked);
            }
            self.reply_to_what_is_done(&mut line)?;
        }
        line.say(r#"{"type":"bye"}"#, "")
    }

    fn resume(&self, line: &mut Line) -> io::Result<()> {
        let ids: Vec<u64> = self.held.iter().map(|held| held.id).collect();
        if ids.is_empty() {
            return line.say(r#"{"type":"resume","holding":[]}"#, "");
        }
        let pieces: Vec<_> = ids.chunks(HOLDING_MAX).collect();
        for (nth, piece) in pieces.iter().enumerate() {
            let more = nth + 1 < pieces.len();
            line.say(json!({ "type": "resume", "holding": piece, "more": more }).to_string(), "")?;
        }
        Ok(())
    }

    fn hear(&mut self, heard: &Heard, acked: &mut u64) {
        match heard.head["type"].as_str().unwrap_or_default() {
            "deliver" => {
                let (number, takes): Work = serde_json::from_slice(&heard.data).unwrap();
                self.ledger.runs(number, "raw-handler");
                let id = heard.head["id"].as_u64().unwrap();
                let done_at = Instant::now() + Duration::from_millis(takes);
                self.held.push(Held { id, number, done_at });
                self.is_dead |= self.mortal.as_mut().is_some_and(|dice| dice.below(DIES_AFTER) == 0);
            }
            "ack" => {
                let replies = heard.head["replies"].as_u64().unwrap();
                let many = replies.checked_sub(*acked).expect("the count never goes down") as usize;
                assert!(many <= self.not_acked.len(), "{many} replies acknowledged of {}", self.not_acked.len());
                self.not_acked.drain(..many);
                *acked = replies;
            }
            "serving" | "pong" | "goaway" => {}
            _ => panic!("the raw handler hears {}", heard.head),
        }
    }

    fn reply_to_what_is_done(&mut self, line: &mut Line) -> io::Result<()> {
        let now = Instant::now();
        let done: Vec<Held> = self.held.extract_if(.., |held| held.done_at <= now).collect();
        for Held { id, number, .. } in &done {
            self.not_acked.push_back((*id, answer_of(*number).to_string()));
        }
        let first = self.not_acked.len() - done.len();
        for (id, data) in self.not_acked.range(first..) {
            line.say(json!({ "type": "reply", "id": id }).to_string(), data)?;
        }
        Ok(())
    }
}
