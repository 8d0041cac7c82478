//! Connections between clients and servers, and between servers: each direction keeps the order of its frames, delays them, and may lose all from
//! some frame on, of which its reader hears sooner, later or never.

use super::world::{Event, World};
use crate::random::Random;
use answerback_broker::{ConnectionId, Time};
use answerback_protocol::Payload;
use std::collections::VecDeque;
use std::time::Duration;

/// Who is at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Server { server: usize, connection: ConnectionId },
    Client(usize),
}

/// Head and data of a frame.
pub(super) type Frame = (Vec<u8>, Payload);

/// A connection.
pub(super) struct Line {
    pub(super) ends: [End; 2],
    pub(super) open: [bool; 2],
    /// What is on its way to each end.
    pipes: [Pipe; 2],
    /// The link that it belongs to, if both ends are servers.
    pub(super) edge: Option<usize>,
}

#[derive(Default)]
struct Pipe {
    /// `None` is the end.
    under_way: VecDeque<(Time, Option<Frame>)>,
    last: Time,
    broken: bool,
}

impl Line {
    pub(super) fn new(ends: [End; 2], edge: Option<usize>) -> Self {
        Self { ends, open: [true; 2], pipes: Default::default(), edge }
    }

    /// Whether something can still go both ways.
    pub(super) fn is_whole(&self) -> bool {
        self.open == [true; 2] && self.pipes.iter().all(|pipe| !pipe.broken)
    }

    /// What has arrived at an end by now.
    pub(super) fn arrived(&mut self, to: usize, now: Time) -> Option<Option<Frame>> {
        let pipe = &mut self.pipes[to];
        let is_here = pipe.under_way.front().is_some_and(|(at, _)| *at <= now);
        if is_here { pipe.under_way.pop_front().map(|(_, frame)| frame) } else { None }
    }
}

impl Pipe {
    fn push(&mut self, at: Time, frame: Option<Frame>) -> Time {
        self.last = self.last.max(at);
        self.under_way.push_back((self.last, frame));
        self.last
    }

    fn lose_tail(&mut self, random: &mut Random) {
        let keep = match random.below(3) {
            0 => self.under_way.len(),
            1 => 0,
            _ => random.place(self.under_way.len() + 1),
        };
        self.under_way.truncate(keep);
    }
}

impl World {
    fn delay(&mut self) -> Duration {
        let (least, more) = self.plan.delay_us;
        Duration::from_micros(least + self.random.below(more + 1))
    }

    /// Writes a frame towards an end.
    pub(super) fn write(&mut self, line: usize, to: usize, frame: Frame) {
        let at = self.now + self.delay();
        let pipe = &mut self.lines[line].pipes[to];
        if !pipe.broken {
            let at = pipe.push(at, Some(frame));
            self.later(at, Event::Arrive { line, to });
        }
    }

    /// An end closes: the other one hears of it after all that was written.
    pub(super) fn hang_up(&mut self, line: usize, end: usize) {
        if !std::mem::take(&mut self.lines[line].open[end]) {
            return;
        }
        let at = self.now + self.delay();
        let pipe = &mut self.lines[line].pipes[1 - end];
        if !std::mem::replace(&mut pipe.broken, true) {
            let at = pipe.push(at, None);
            self.later(at, Event::Arrive { line, to: 1 - end });
        }
    }

    /// Breaks a connection.
    pub(super) fn cut(&mut self, line: usize) {
        for to in [0, 1] {
            let noticed = match self.random.below(10) {
                0 | 1 => None,
                2 | 3 => Some(Duration::from_millis(self.random.between(50, 2_500))),
                _ => Some(self.delay()),
            };
            let at = noticed.map(|after| self.now + after);
            let pipe = &mut self.lines[line].pipes[to];
            pipe.lose_tail(&mut self.random);
            if let (Some(at), false) = (at, pipe.broken) {
                let at = pipe.push(at, None);
                self.later(at, Event::Arrive { line, to });
            }
            self.lines[line].pipes[to].broken = true;
        }
    }
}
