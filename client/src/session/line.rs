//! What holds for one connection only: how far the greeting has come, signs of life, and which replies of the server are not
//! acknowledged.

use super::call::earlier;
use super::words::Broken;
use answerback_protocol::ClientFrame;
use answerback_protocol::frames::{Ack, Ping, Pong};
use answerback_protocol::limits::{
    ACK_AFTER_BYTES, ACK_AFTER_REPLIES, ACK_WITHIN_MS, FRAME_BYTES_DEFAULT, SERVER_EXTRA_BYTES,
};
use bytes::BytesMut;
use std::time::{Duration, Instant};

/// A server that wants to hear more often would keep this client busy with it, one that wants to hear more seldom would never be
/// found silent.
const HEARTBEAT_LEAST: Duration = Duration::from_millis(10);
const HEARTBEAT_MOST: Duration = Duration::from_secs(3_600);

const ACK_WITHIN: Duration = Duration::from_millis(ACK_WITHIN_MS);

/// The connection, or that there is none.
pub(super) struct Line {
    /// Counts connections of this session, from 1.
    pub(super) number: u64,
    pub(super) phase: Phase,
    /// The most that the first length of a frame to the server may say.
    pub(super) max_frame: u32,
    /// Whether the server must be told, before anything new, which deliveries are still worked on.
    pub(super) resume_due: bool,
    heartbeat: Duration,
    heard: Option<Instant>,
    /// When the silence was noticed, if nothing was heard since.
    pinged: Option<Instant>,
    ping_due: bool,
    pongs_due: u32,
    pub(super) pings_said: u64,
    pongs_heard: u64,
    /// Replies taken in, those of them that the server was told of, and bytes of the others.
    taken: u64,
    told: u64,
    untold_bytes: u64,
    /// By when the others must be told.
    ack_by: Option<Instant>,
    ack_due: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Away,
    /// There is a socket. `hello` is to be written, and `welcome` must come by then.
    Greeting {
        hello_said: bool,
        until: Option<Instant>,
    },
    Welcome,
}

impl Line {
    /// No connection yet.
    pub(super) fn away(number: u64) -> Self {
        Self {
            number,
            phase: Phase::Away,
            max_frame: FRAME_BYTES_DEFAULT,
            resume_due: false,
            heartbeat: HEARTBEAT_MOST,
            heard: None,
            pinged: None,
            ping_due: false,
            pongs_due: 0,
            pings_said: 0,
            pongs_heard: 0,
            taken: 0,
            told: 0,
            untold_bytes: 0,
            ack_by: None,
            ack_due: false,
        }
    }

    /// A connection that has just begun.
    pub(super) fn connected(&self, until: Option<Instant>) -> Self {
        Self { phase: Phase::Greeting { hello_said: false, until }, ..Self::away(self.number + 1) }
    }

    pub(super) fn welcomed(&mut self, now: Instant, max_frame: u32, heartbeat: u64, resume_due: bool) {
        self.phase = Phase::Welcome;
        self.max_frame = max_frame;
        self.heartbeat = Duration::from_millis(heartbeat).clamp(HEARTBEAT_LEAST, HEARTBEAT_MOST);
        self.resume_due = resume_due;
        self.heard(now);
    }

    pub(super) fn is_away(&self) -> bool {
        self.phase == Phase::Away
    }

    pub(super) fn is_welcome(&self) -> bool {
        self.phase == Phase::Welcome
    }

    pub(super) fn frame_limit(&self) -> u32 {
        self.max_frame.saturating_add(SERVER_EXTRA_BYTES)
    }

    // ── signs of life

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.pinged = None;
    }

    /// The server asks whether anybody is there.
    pub(super) fn ping(&mut self) {
        self.pongs_due = self.pongs_due.saturating_add(1);
    }

    /// Something is to be known to have arrived: the server's answer will say so.
    pub(super) fn ask_for_pong(&mut self) {
        self.ping_due = true;
    }

    /// The server has answered. How often it has.
    pub(super) fn pong(&mut self) -> u64 {
        self.pongs_heard += 1;
        self.pongs_heard
    }

    // ── acks

    /// A `reply` frame came in.
    pub(super) fn took_reply(&mut self, now: Instant, bytes: usize) {
        if self.taken == self.told {
            self.ack_by = now.checked_add(ACK_WITHIN);
        }
        self.taken += 1;
        self.untold_bytes += bytes as u64;
        if self.taken - self.told >= ACK_AFTER_REPLIES || self.untold_bytes >= ACK_AFTER_BYTES {
            self.ack_due = true;
        }
    }

    // ── writing

    pub(super) fn has_signs(&self) -> bool {
        self.ack_due || self.ping_due || self.pongs_due > 0
    }

    /// Writes what is small and must not wait.
    pub(super) fn say_signs(&mut self, out: &mut BytesMut, most: usize) {
        while self.pongs_due > 0 && out.len() < most {
            self.pongs_due -= 1;
            ClientFrame::from(Pong).write(b"", out);
        }
        if self.ping_due && out.len() < most {
            (self.ping_due, self.pings_said) = (false, self.pings_said + 1);
            ClientFrame::from(Ping).write(b"", out);
        }
        if self.ack_due && out.len() < most {
            (self.ack_due, self.ack_by) = (false, None);
            (self.told, self.untold_bytes) = (self.taken, 0);
            ClientFrame::from(Ack { replies: self.taken }).write(b"", out);
        }
    }

    // ── time

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Away => None,
            Phase::Greeting { until, .. } => until,
            Phase::Welcome => earlier(self.silent_at(), self.ack_by.filter(|_| !self.ack_due)),
        }
    }

    /// When the next thing is to be done about silence. Counted from the ping that was sent, so that a client that slept itself does not
    /// call its server silent before it has asked.
    fn silent_at(&self) -> Option<Instant> {
        self.pinged.or(self.heard)?.checked_add(self.heartbeat)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Broken> {
        let is_up = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self.phase {
            Phase::Away => {}
            Phase::Greeting { until, .. } if is_up(until) => return Err(Broken::Silent),
            Phase::Greeting { .. } => {}
            Phase::Welcome => {
                self.ack_due |= is_up(self.ack_by);
                match (is_up(self.silent_at()), self.pinged) {
                    (true, Some(_)) => return Err(Broken::Silent),
                    (true, None) => (self.pinged, self.ping_due) = (Some(now), true),
                    (false, _) => {}
                }
            }
        }
        Ok(())
    }
}
