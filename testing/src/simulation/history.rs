//! What happened in a simulation, line by line.

use answerback_protocol::{ClientFrame, ServerFrame};
use std::fmt;
use std::sync::Arc;

/// Lines kept. Later ones are only counted, and change the fingerprint.
const LINES_MAX: usize = 100_000;

/// What happened, in a line each: when, on which connection, which frame. No data, and no names but those of clients.
///
/// ```text
/// 12.003ms c1 > request 7
/// 14.000ms c2 < deliver 5629499534213120
/// ```
///
/// Two runs with the same seed and the same program have equal histories.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct History {
    lines: Vec<Arc<str>>,
    more: u64,
    fingerprint: u64,
}

impl History {
    /// The lines: the first 100,000.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// assert!(simulation.history().lines().any(|line| line.ends_with("the broker starts")));
    /// # });
    /// ```
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| &**line)
    }

    /// How many lines there are, also those that are not kept.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let history = Simulation::new(7).history();
    /// assert_eq!(history.count() as usize, history.lines().count());
    /// # });
    /// ```
    pub fn count(&self) -> u64 {
        self.lines.len() as u64 + self.more
    }

    /// A number made of all lines.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let (one, two) = (Simulation::new(7).history(), Simulation::new(7).history());
    /// assert_eq!(one.fingerprint(), two.fingerprint());
    /// # });
    /// ```
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The first line that another run has not, or has otherwise: its number, and both lines. Nothing if there is none
    /// among those that are kept.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let (one, two) = (Simulation::new(7).history(), Simulation::new(7).history());
    /// assert_eq!(one.difference(&two), None);
    /// # });
    /// ```
    pub fn difference<'a>(&'a self, other: &'a Self) -> Option<(usize, &'a str, &'a str)> {
        let length = self.lines.len().max(other.lines.len());
        let line = |of: &'a Self, number: usize| of.lines.get(number).map_or("(ended)", |line| &**line);
        (0..length).map(|number| (number, line(self, number), line(other, number))).find(|(_, a, b)| a != b)
    }

    pub(super) fn add(&mut self, line: &str) {
        for byte in line.bytes().chain([b'\n']) {
            // FNV-1a: short, and the same everywhere.
            self.fingerprint = (self.fingerprint ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.lines.len() < LINES_MAX {
            self.lines.push(line.into());
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "{line}")?;
        }
        if self.more > 0 { writeln!(f, "and {} more", self.more) } else { Ok(()) }
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "History({} lines, fingerprint {:016x})", self.count(), self.fingerprint)
    }
}

/// What a client says, without its data: kind and number.
pub(super) fn said(frame: &ClientFrame<'_>) -> String {
    let kind = frame.kind();
    match frame {
        ClientFrame::Hello(hello) => format!("{kind} {}", hello.name.escape_debug()),
        ClientFrame::Request(request) => format!("{kind} {}", request.id),
        ClientFrame::Cancel(cancel) => format!("{kind} {}", cancel.id),
        ClientFrame::Answer(answer) => format!("{kind} {}{}", answer.id, if answer.part { " part" } else { "" }),
        ClientFrame::Release(release) => format!("{kind} {}", release.id),
        ClientFrame::Resume(resume) => format!("{kind} {:?}", resume.holding),
        ClientFrame::Ack(ack) => format!("{kind} {}", ack.replies),
        _ => kind.to_owned(),
    }
}

/// The same of what the broker says.
pub(super) fn told(frame: &ServerFrame<'_>) -> String {
    let kind = frame.kind();
    match frame {
        ServerFrame::Reply(reply) => {
            let error = reply.error.as_ref().map_or_else(String::new, |error| format!(" {}", error.code));
            format!("{kind} {}{}{error}", reply.id, if reply.part { " part" } else { "" })
        }
        ServerFrame::Deliver(deliver) => format!("{kind} {}", deliver.id),
        ServerFrame::Accepted(accepted) => format!("{kind} {}", accepted.id),
        ServerFrame::CancelDelivery(cancel) => format!("{kind} {}", cancel.id),
        ServerFrame::Ack(ack) => format!("{kind} {}", ack.replies),
        ServerFrame::ErrorNotice(error) => format!("{kind} {}", error.code),
        ServerFrame::Welcome(welcome) => format!("{kind}{}", if welcome.resumed { " resumed" } else { "" }),
        _ => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_and_named() {
        let of = |lines: &[&str]| {
            let mut history = History::default();
            lines.iter().for_each(|line| history.add(line));
            history
        };
        let (a, b) = (of(&["x", "y"]), of(&["x", "z"]));
        assert_eq!((a.difference(&a), a.difference(&b)), (None, Some((1, "y", "z"))));
        assert_eq!(a.difference(&of(&["x"])), Some((1, "y", "(ended)")));
        assert!(a != b && a.fingerprint() != b.fingerprint());
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let mut history = History::default();
        (0..LINES_MAX + 3).for_each(|_| history.add("line"));
        assert_eq!((history.lines().count(), history.count()), (LINES_MAX, LINES_MAX as u64 + 3));
        assert!(history.to_string().ends_with("and 3 more\n"));
    }
}
