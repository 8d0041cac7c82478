//! Limits against a hostile network: who may connect, how much one connection may say, and how much of a turn it may take. Pure: time is an
//! argument, and what is decided here is carried out by `sockets`.
//!
//! ```text
//!  origin      where a connection comes from: an IPv4 address, or a /64
//!  bucket      how often something may happen
//!  addresses   what is remembered of origins, in a table with a bound
//!  admission   who may connect
//!  purse       frames and bytes a second of one connection
//!  budget      work of one connection in one turn
//!  watch       what is kept with each connection for all of that
//! ```

mod addresses;
mod admission;
mod bucket;
mod budget;
mod origin;
mod purse;
mod watch;

pub(super) use admission::{Admission, Left};
pub(super) use budget::{Budget, LEFT_OVERS};
pub(super) use origin::Origin;
pub(super) use purse::{Allowance, Spent};
pub(crate) use purse::{BYTES_LEAST, FRAMES_LEAST};
pub(super) use watch::{Held, Watch};

use crate::settings::Settings;
use answerback_broker::Time;
use answerback_process::paced::Paced;
use std::fmt;
use std::time::Duration;

/// A limit that was met, with what it allows where that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    ConnectionsPerAddress {
        most: usize,
    },
    /// Connections of one address that have not said hello.
    Strangers {
        most: usize,
    },
    /// Outsiders in all: the oldest is closed without a word.
    Outsiders,
    Handshakes {
        most: u64,
    },
    HandshakesPerAddress {
        most: u64,
    },
    /// What comes from an address that has failed too often is closed without a word.
    Rest,
    Frames,
    Bytes,
    /// What one connection may take of a turn.
    Turn,
    InboxMemory {
        most: u64,
    },
    /// An outbox that has not moved for two heartbeats.
    Stalled,
}

/// How many kinds there are.
const KINDS: usize = 11;

impl Limit {
    /// The word for it in counters, and its place among the lines of the log.
    fn kind(self) -> (usize, &'static str) {
        match self {
            Self::ConnectionsPerAddress { .. } => (0, "connections_per_address"),
            Self::Strangers { .. } => (1, "strangers_per_address"),
            Self::Handshakes { .. } => (2, "handshakes"),
            Self::HandshakesPerAddress { .. } => (3, "handshakes_per_address"),
            Self::Rest => (4, "rest"),
            Self::Frames => (5, "frames"),
            Self::Bytes => (6, "bytes"),
            Self::Turn => (7, "turn"),
            Self::InboxMemory { .. } => (8, "inbox_memory"),
            Self::Stalled => (9, "stalled"),
            Self::Outsiders => (10, "outsiders"),
        }
    }

    pub(super) fn word(self) -> &'static str {
        self.kind().1
    }

    /// Whether it was met by what one address does, so that the address answers for it.
    pub(super) fn is_of_one_address(self) -> bool {
        matches!(self, Self::ConnectionsPerAddress { .. } | Self::Strangers { .. } | Self::HandshakesPerAddress { .. })
    }

    /// The flag that sets it.
    fn flag(self) -> &'static str {
        match self {
            Self::ConnectionsPerAddress { .. } => "--max-connections-per-address",
            Self::Strangers { .. } | Self::Outsiders => "--max-connections",
            Self::Handshakes { .. } => "--handshakes-per-second",
            Self::HandshakesPerAddress { .. } => "--handshakes-per-address",
            Self::Rest => "--stranger-rest",
            Self::Frames => "--frames-per-second",
            Self::Bytes => "--bytes-per-second",
            Self::Turn => "none",
            Self::InboxMemory { .. } => "--inbox-memory",
            Self::Stalled => "--heartbeat",
        }
    }
}

/// What the peer is told.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = self.flag();
        match self {
            Self::ConnectionsPerAddress { most } => {
                write!(f, "your address has {most} connections open here, as many as {flag} allows; ")?;
                f.write_str("close some, or try again later")
            }
            Self::Strangers { most } => {
                write!(f, "{most} connections of your address have not said hello yet, the most that {flag} ")?;
                f.write_str("leaves to one address; say hello, or try again later")
            }
            Self::Handshakes { most } => {
                write!(f, "this server takes {most} new connections a second ({flag}); try again in a moment")
            }
            Self::HandshakesPerAddress { most } => {
                write!(f, "this server takes {most} new connections a second from one address ({flag}); ")?;
                f.write_str("try again in a moment")
            }
            Self::InboxMemory { most } => {
                let most = crate::units::print_size(*most);
                write!(f, "frames that have come in part fill {most}, as much as {flag} allows, and yours has to ")?;
                f.write_str("go; send it again later, or in smaller frames")
            }
            Self::Rest | Self::Outsiders | Self::Frames | Self::Bytes | Self::Turn | Self::Stalled => {
                write!(f, "see {flag}")
            }
        }
    }
}

/// What bounds all connections of a data plane.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) admission: Admission,
    pub(super) allowed: Allowance,
    /// Bytes of frames that have come in part, of all connections.
    pub(super) inbox_bytes: usize,
    /// Silence after which somebody is asked whether it is there.
    pub(super) heartbeat: Duration,
    log: [Paced<Time>; KINDS],
}

impl Limits {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            admission: Admission::new(admission::Rules::of(settings)),
            allowed: Allowance::new(settings.frames_per_second, settings.bytes_per_second),
            inbox_bytes: settings.inbox_memory,
            heartbeat: settings.broker.heartbeat,
            log: Default::default(),
        }
    }

    /// Whether a line about this may be written now; if so: how many were passed over since the last one of its kind, and the flag.
    pub(super) fn may_log(&mut self, limit: Limit, now: Time) -> Option<(u64, &'static str)> {
        Some((self.log[limit.kind().0].may(now)?, limit.flag()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_peer_is_told_names_the_flag_and_what_to_do() {
        for (limit, text) in [
            (
                Limit::ConnectionsPerAddress { most: 7 },
                "your address has 7 connections open here, as many as --max-connections-per-address allows; close some, or try again later",
            ),
            (
                Limit::Strangers { most: 16 },
                "16 connections of your address have not said hello yet, the most that --max-connections leaves to one address; say hello, or try again later",
            ),
            (
                Limit::Handshakes { most: 5 },
                "this server takes 5 new connections a second (--handshakes-per-second); try again in a moment",
            ),
            (
                Limit::HandshakesPerAddress { most: 5 },
                "this server takes 5 new connections a second from one address (--handshakes-per-address); try again in a moment",
            ),
            (
                Limit::InboxMemory { most: 256 << 20 },
                "frames that have come in part fill 256MiB, as much as --inbox-memory allows, and yours has to go; send it again later, or in smaller frames",
            ),
        ] {
            assert_eq!(limit.to_string(), text);
        }
    }

    #[test]
    fn each_kind_has_its_own_line_in_the_log() {
        let mut limits = Limits::new(&Settings::default());
        let now = Time::from_millis(5);
        assert_eq!(limits.may_log(Limit::Rest, now), Some((0, "--stranger-rest")));
        assert_eq!(limits.may_log(Limit::Rest, now), None);
        assert_eq!(limits.may_log(Limit::Stalled, now), Some((0, "--heartbeat")));
        assert_eq!(limits.may_log(Limit::Rest, Time::from_millis(1_005)), Some((1, "--stranger-rest")));
    }
}
