//! All responder connections, on one thread: each call is answered with its own data, at once.

use super::dialect::Heard;
use super::link::{Link, SCRATCH_BYTES};
use super::system::{Role, Running};
use crate::Outcome;
use mio::{Events, Poll, Token, Waker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Connections that answer, or are only there.
pub(crate) struct Responders {
    poll: Poll,
    links: Vec<Link>,
    scratch: Vec<u8>,
    stop: Stop,
    handled: Arc<AtomicU64>,
}

/// Ends the responders of another thread.
#[derive(Clone)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Responders {
    /// Connects `count` of them.
    pub(crate) fn open(running: &dyn Running, role: Role, count: usize, data_bytes: usize) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut links = Vec::new();
        for index in 0..count {
            links.push(Link::new(running.open(role)?, index, poll.registry())?);
        }
        let waker = Arc::new(Waker::new(poll.registry(), Token(count))?);
        let stop = Stop { asked: Arc::new(AtomicBool::new(false)), waker };
        Ok(Self { poll, links, scratch: vec![0; SCRATCH_BYTES + 2 * data_bytes], stop, handled: Arc::default() })
    }

    /// What ends `run`.
    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Counts the calls that were taken.
    pub(crate) fn handled(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.handled)
    }

    /// Answers until asked to stop.
    pub(crate) fn run(mut self) -> Outcome<()> {
        let mut events = Events::with_capacity(1_024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            if self.stop.asked.load(Ordering::Acquire) {
                return Ok(());
            }
            for event in &events {
                let Some(link) = self.links.get_mut(event.token().0) else { continue };
                let mut taken = 0;
                let open = link.turn(&mut self.scratch, |heard, dialect, out| {
                    if let Heard::Call { reply_to, data } = heard {
                        dialect.answer(reply_to, data, out);
                        taken += 1;
                    }
                    Ok(())
                })?;
                self.handled.fetch_add(taken, Ordering::Relaxed);
                if !open {
                    return Err("the connection of a responder was closed".into());
                }
            }
        }
    }
}

impl Stop {
    /// Asks them to stop.
    pub(crate) fn ask(&self) -> Outcome<()> {
        self.asked.store(true, Ordering::Release);
        Ok(self.waker.wake()?)
    }
}
