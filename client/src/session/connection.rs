//! What belongs to one connection: who has been heard when, what was acknowledged, which signs of life are due.

use super::words::Broken;
use answerback_protocol::frames::Welcome;
use answerback_protocol::limits::{
    ACK_AFTER_BYTES, ACK_AFTER_REPLIES, ACK_WITHIN_MS, FRAME_BYTES_DEFAULT, SERVER_EXTRA_BYTES,
};
use std::time::{Duration, Instant};

/// A heartbeat below this would be a busy loop, whatever the server says …
const HEARTBEAT_LEAST: Duration = Duration::from_millis(10);

/// … and above this a dead connection would never be noticed.
const HEARTBEAT_MOST: Duration = Duration::from_secs(3_600);

/// The state of the one connection that there is, or of none.
#[derive(Debug, Default)]
pub(super) struct Connection {
    phase: Phase,
    /// Counts connections, so that it is known on which one something was said.
    pub(super) number: u64,
    heard: Option<Instant>,
    /// Whether the silence was broken with a ping already.
    asked_for_life: bool,
    pub(super) ping_due: bool,
    pub(super) pong_due: bool,
    /// Reply frames taken in, those acknowledged of them, bytes since, and since when.
    taken: u64,
    told: u64,
    untold_bytes: u64,
    untold_since: Option<Instant>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Away,
    /// Hello is to be said, or was said; no welcome yet.
    Greeting {
        said: bool,
        since: Instant,
    },
    Welcome {
        max_frame: u32,
        heartbeat: Duration,
    },
}

impl Connection {
    /// A socket is there.
    pub(super) fn begin(&mut self, now: Instant) {
        let phase = Phase::Greeting { said: false, since: now };
        *self = Self { phase, number: self.number + 1, heard: Some(now), ..Self::default() };
    }

    /// The socket is gone.
    pub(super) fn end(&mut self) {
        *self = Self { number: self.number, ..Self::default() };
    }

    pub(super) fn welcome(&mut self, welcome: &Welcome<'_>) {
        let heartbeat = Duration::from_millis(welcome.heartbeat).clamp(HEARTBEAT_LEAST, HEARTBEAT_MOST);
        self.phase = Phase::Welcome { max_frame: welcome.max_frame, heartbeat };
    }

    pub(super) fn is_welcome(&self) -> bool {
        matches!(self.phase, Phase::Welcome { .. })
    }

    pub(super) fn is_greeting(&self) -> bool {
        matches!(self.phase, Phase::Greeting { .. })
    }

    /// Whether hello is the next thing to say.
    pub(super) fn hello_due(&self) -> bool {
        matches!(self.phase, Phase::Greeting { said: false, .. })
    }

    pub(super) fn said_hello(&mut self) {
        if let Phase::Greeting { said, .. } = &mut self.phase {
            *said = true;
        }
    }

    /// The most that the first length of a frame to the server may say.
    pub(super) fn max_frame(&self) -> u32 {
        match self.phase {
            Phase::Welcome { max_frame, .. } => max_frame,
            _ => FRAME_BYTES_DEFAULT,
        }
    }

    /// The most that the first length of a frame from the server may say.
    pub(super) fn frame_limit(&self) -> u32 {
        self.max_frame().saturating_add(SERVER_EXTRA_BYTES)
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.asked_for_life = false;
    }

    /// A reply frame was taken in.
    pub(super) fn took(&mut self, now: Instant, bytes: usize) {
        self.taken += 1;
        self.untold_bytes += bytes as u64;
        self.untold_since.get_or_insert(now);
    }

    /// How many replies are to be acknowledged now, if it is time to.
    pub(super) fn ack_due(&self) -> Option<u64> {
        let many = self.taken - self.told >= ACK_AFTER_REPLIES || self.untold_bytes >= ACK_AFTER_BYTES;
        many.then_some(self.taken)
    }

    pub(super) fn acknowledged(&mut self) {
        (self.told, self.untold_bytes, self.untold_since) = (self.taken, 0, None);
    }

    /// Whether a sign of life or an acknowledgement is to be written.
    pub(super) fn has_signs(&self) -> bool {
        self.ping_due || self.pong_due || self.ack_due().is_some()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ack = self.untold_since.map(|since| since + Duration::from_millis(ACK_WITHIN_MS));
        let life = self.heard.and_then(|heard| match self.phase {
            Phase::Welcome { heartbeat, .. } => Some(heard + heartbeat * if self.asked_for_life { 2 } else { 1 }),
            _ => None,
        });
        ack.into_iter().chain(life).min()
    }

    /// When the welcome must have come.
    pub(super) fn welcome_until(&self, within: Duration) -> Option<Instant> {
        if let Phase::Greeting { since, .. } = self.phase { Some(since + within) } else { None }
    }

    /// Runs the timers; says whether the connection is too silent to go on.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Broken> {
        if self.untold_since.is_some_and(|since| now >= since + Duration::from_millis(ACK_WITHIN_MS)) {
            // As many as are due: acknowledged with the next write.
            self.untold_bytes = ACK_AFTER_BYTES;
            self.untold_since = None;
        }
        let (Phase::Welcome { heartbeat, .. }, Some(heard)) = (&self.phase, self.heard) else { return Ok(()) };
        if now >= heard + 2 * *heartbeat {
            return Err(Broken::Silent);
        }
        if now >= heard + *heartbeat && !self.asked_for_life {
            (self.asked_for_life, self.ping_due) = (true, true);
        }
        Ok(())
    }
}
