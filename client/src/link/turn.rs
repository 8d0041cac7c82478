//! A connection: one turn reads what is there, lets the session decide, and writes once.

use super::greet;
use super::task::Task;
use super::tending::Obey;
use super::wire::Wire;
use crate::obstacle::{Met, Obstacle, quoted};
use crate::serve::Work;
use crate::session::Broken;
use crate::shared::{Inside, Shared};
use answerback_protocol::Code;
use answerback_protocol::codec::FrameCodec;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_util::codec::Decoder;

/// How long the server may take to end its side after our goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);

/// Turns, before other tasks of the thread have theirs: those who read what came among them.
const TURNS_AT_ONCE: usize = 8;

/// Why a connection has ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The application or a timer wants something else.
    Obey(Obey),
    /// We said goodbye, and it was written.
    SaidBye,
    /// The session says that it cannot go on.
    Broken(Broken),
    /// The socket says so.
    Io(io::Error),
    /// This is not a server that lets us in.
    Met(Met),
}

pub(crate) struct Connection<'a> {
    task: &'a mut Task,
    wire: Wire,
    address: &'a str,
    /// Deliveries that came in this turn, started once the lock is free.
    works: Vec<Work>,
    was_welcome: bool,
    /// Whether the others had their turn since the task woke.
    let_others: bool,
}

impl<'a> Connection<'a> {
    pub(super) fn new(task: &'a mut Task, wire: Wire, address: &'a str) -> Self {
        Self { task, wire, address, works: Vec::new(), was_welcome: false, let_others: false }
    }

    /// Whether the server has let us in on this connection.
    pub(crate) fn was_welcome(&self) -> bool {
        self.was_welcome
    }

    /// Without a key and before a welcome, what ends a connection is often that it led to a server that wants one, or to something else. Whoever it is, nothing proves it.
    pub(super) fn recognise(&self, ended: Ended) -> Ended {
        if self.was_welcome || self.wire.is_sealed() {
            return ended;
        }
        match ended {
            Ended::Broken(Broken::Fatal(error)) if error.code() == Code::Denied => {
                let what =
                    format!("it takes nobody without a key, with the unproven words {}", quoted(error.message()));
                Ended::Met(Met::new(Obstacle::KeyWanted, what))
            }
            Ended::Broken(Broken::Malformed(what)) => match greet::kind(&self.wire.inbound) {
                Some(it) => Ended::Met(Met::new(Obstacle::NotAnswerback, it)),
                None => Ended::Broken(Broken::Malformed(what)),
            },
            Ended::Io(error) => greet::of_tls(&error).map_or(Ended::Io(error), Ended::Met),
            other => other,
        }
    }

    /// Turns until nothing moves any more, or it is time for others.
    ///
    /// Whoever wakes the task is often the first of many: tokio runs it right after them. So it lets all that are ready go first, and writes what they all say at
    /// once. An idle call loses nothing by that, since nobody else is ready.
    pub(crate) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        self.let_others = !self.let_others;
        if self.let_others {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        for _ in 0..TURNS_AT_ONCE {
            let read = self.wire.read(context);
            // What was read before the end still counts.
            let decided = self.decide(context, matches!(read, Ok(true)));
            for work in self.works.drain(..) {
                work.begin();
            }
            let decided = match decided {
                Ok(decided) => decided,
                Err(ended) => return Poll::Ready(ended),
            };
            let all_written = match self.wire.write(context) {
                Ok(all) => all,
                Err(error) => return Poll::Ready(Ended::Io(error)),
            };
            if all_written && decided.said_bye {
                return Poll::Ready(Ended::SaidBye);
            }
            let read = match read {
                Ok(read) => read,
                Err(error) => return Poll::Ready(Ended::Io(error)),
            };
            let due = self.task.tending.is_due(decided.next, context);
            if !(read || due || all_written && decided.more_to_say) {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands frames to the session and takes what it wants to say.
    fn decide(&mut self, context: &Context<'_>, read: bool) -> Result<Decided, Ended> {
        let now = Shared::now();
        let shared = Arc::clone(&self.task.shared);
        let mut inside = shared.lock();
        if read {
            self.take_in(&mut inside, now).map_err(Ended::Broken)?;
            self.notice(&mut inside, now);
        }
        let next = match self.task.tending.tend(&mut inside, now) {
            Err(Obey::GoElsewhere) => {
                self.task.go_elsewhere(&mut inside, self.address);
                self.task.tending.tend(&mut inside, now)
            }
            other => other,
        };
        let next = next.map_err(Ended::Obey)?;
        let link = inside.link(self.task.number).ok_or(Ended::Obey(Obey::Stop))?;
        let (outbound, enough) = self.wire.outbound();
        link.session.transmit(now, outbound, enough);
        link.sleeps(context);
        // Replies may be acknowledged, calls over, words said: somebody may wait for that.
        shared.ring();
        Ok(Decided { next, more_to_say: link.session.wants_to_transmit(), said_bye: link.session.said_bye() })
    }

    /// Gives every whole frame to the session.
    fn take_in(&mut self, inside: &mut Inside, now: Instant) -> Result<(), Broken> {
        let Some(link) = inside.link(self.task.number) else { return Ok(()) };
        if self.wire.take_heard() {
            link.session.heard(now);
        }
        loop {
            let mut codec = FrameCodec::new(link.session.frame_limit());
            match codec.decode(&mut self.wire.inbound) {
                Ok(Some(frame)) => link.session.handle(now, frame)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(Broken::Malformed(error.to_string())),
            }
        }
    }

    /// Acts on what the session has noticed.
    fn notice(&mut self, inside: &mut Inside, now: Instant) {
        let number = self.task.number;
        while let Some(event) = inside.link(number).and_then(|link| link.session.next_event()) {
            if let Some(state) = self.task.notice(inside, event, now, self.address, &mut self.works) {
                self.was_welcome = true;
                self.task.shared.tell_within(inside, number, state);
            }
        }
        inside.pass_on_unsaid(number);
    }

    /// After the goodbye: ends our side and waits until the server has ended its own. To close with something unread would break the connection, and with it
    /// the last words.
    pub(crate) async fn part_in_peace(&mut self) {
        // Everything was said; how it ends makes no difference any more.
        let _ = tokio::time::timeout(GOODBYE_WITHIN, self.wire.end()).await;
    }
}

/// What a turn has come to.
struct Decided {
    /// When the next timer is due.
    next: Option<Instant>,
    /// Whether the session has more to say than fits into one write.
    more_to_say: bool,
    /// Whether goodbye is among what was written.
    said_bye: bool,
}
