//! A connection: one turn reads what is there, lets the session decide, and writes once.

use super::Io;
use super::task::Task;
use super::tending::Obey;
use crate::serve::Work;
use crate::session::Broken;
use crate::shared::{Inside, Shared};
use answerback_protocol::codec::FrameCodec;
use bytes::BytesMut;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::Decoder;
use tokio_util::io::{poll_read_buf, poll_write_buf};

/// Bytes read at once: what a busy server writes at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes collected for one write. More would only wait in the socket's buffer.
const WRITE_BYTES: usize = 64 << 10;

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
}

pub(crate) struct Connection<'a> {
    task: &'a mut Task,
    io: Box<dyn Io>,
    address: &'a str,
    inbound: BytesMut,
    outbound: BytesMut,
    /// Deliveries that came in this turn, started once the lock is free.
    works: Vec<Work>,
    was_welcome: bool,
    /// Whether the others had their turn since the task woke.
    let_others: bool,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(task: &'a mut Task, io: Box<dyn Io>, address: &'a str) -> Self {
        let (inbound, outbound) = (BytesMut::with_capacity(READ_BYTES), BytesMut::new());
        Self { task, io, address, inbound, outbound, works: Vec::new(), was_welcome: false, let_others: false }
    }

    /// Whether the server has let us in on this connection.
    pub(crate) fn was_welcome(&self) -> bool {
        self.was_welcome
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
            let read = self.read(context);
            // What was read before the end still counts.
            let decided = self.decide(context, matches!(read, Ok(true)));
            for work in self.works.drain(..) {
                work.begin();
            }
            let decided = match decided {
                Ok(decided) => decided,
                Err(ended) => return Poll::Ready(ended),
            };
            let all_written = match self.write(context) {
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

    /// Reads once; whether there may be more.
    fn read(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        if self.inbound.capacity() - self.inbound.len() < READ_BYTES / 4 {
            self.inbound.reserve(READ_BYTES);
        }
        match poll_read_buf(Pin::new(&mut self.io), context, &mut self.inbound) {
            Poll::Ready(Ok(0)) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it")),
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(false),
        }
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
        link.session.transmit(now, &mut self.outbound, WRITE_BYTES);
        link.sleeps(context);
        // Replies may be acknowledged, calls over, words said: somebody may wait for that.
        shared.ring();
        Ok(Decided { next, more_to_say: link.session.wants_to_transmit(), said_bye: link.session.said_bye() })
    }

    /// Gives every whole frame to the session.
    fn take_in(&mut self, inside: &mut Inside, now: Instant) -> Result<(), Broken> {
        let Some(link) = inside.link(self.task.number) else { return Ok(()) };
        link.session.heard(now);
        loop {
            let mut codec = FrameCodec::new(link.session.frame_limit());
            match codec.decode(&mut self.inbound) {
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

    /// Writes what there is; whether all of it.
    fn write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        while !self.outbound.is_empty() {
            match poll_write_buf(Pin::new(&mut self.io), context, &mut self.outbound) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }

    /// After the goodbye: ends our side and waits until the server has ended its own. To close with something unread would break the connection, and with it
    /// the last words.
    pub(crate) async fn part_in_peace(&mut self) {
        let ending = async {
            self.io.shutdown().await?;
            loop {
                self.inbound.clear();
                if self.io.read_buf(&mut self.inbound).await? == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        // Everything was said; how it ends makes no difference any more.
        let _ = tokio::time::timeout(GOODBYE_WITHIN, ending).await;
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
