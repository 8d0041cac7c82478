//! Watches one of the two ways to the disk: whether it works, since when it does not, and what the log says about that.

use answerback_broker::Time;
use std::time::Duration;

/// How often the log is reminded of a trouble that lasts.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Journal,
    Snapshots,
}

/// Something that the disk does not do.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    /// What was accepted before this moment had been written when it began.
    pub(super) since: Time,
    pub(super) why: String,
    /// Whether the disk has said so, rather than nothing for too long.
    pub(super) failed: bool,
    remind_at: Time,
}

/// What is known of one way to the disk.
#[derive(Debug)]
pub(super) struct Watch {
    way: Way,
    patience: Duration,
    /// Since when something has been under way of which nothing was heard.
    silent_since: Option<Time>,
    trouble: Option<Trouble>,
}

impl Watch {
    pub(super) fn new(way: Way, patience: Duration) -> Self {
        Self { way, patience, silent_since: None, trouble: None }
    }

    /// Something was handed over.
    pub(super) fn begun(&mut self, now: Time) {
        self.silent_since.get_or_insert(now);
    }

    /// It worked. `more` says whether something else is under way.
    pub(super) fn worked(&mut self, now: Time, more: bool) {
        self.silent_since = more.then_some(now);
        if let Some(trouble) = self.trouble.take() {
            let after_s = now.since(trouble.since).as_secs();
            match self.way {
                Way::Journal => tracing::info!(after_s, "the journal is written again; durable requests are taken"),
                Way::Snapshots => tracing::info!(after_s, "snapshots are saved again"),
            }
        }
    }

    /// It did not work. It is being tried again; what is waited for now is only the next try, which tells of itself.
    pub(super) fn failed(&mut self, now: Time, since: Time, why: String) {
        self.silent_since = None;
        match &mut self.trouble {
            Some(trouble) => (trouble.why, trouble.failed) = (why, true),
            None => self.trouble_begins(now, Trouble { since, why, failed: true, remind_at: now + REMIND_EVERY }),
        }
    }

    /// Looks whether it takes too long, and reminds of what lasts.
    pub(super) fn look(&mut self, now: Time) {
        if let Some(since) = self.overdue_since(now).filter(|_| self.trouble.is_none()) {
            let why = format!("the disk has not answered for {} ms", self.patience.as_millis());
            self.trouble_begins(now, Trouble { since, why, failed: false, remind_at: now + REMIND_EVERY });
        }
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| trouble.remind_at <= now) {
            trouble.remind_at = now + REMIND_EVERY;
            warn(self.way, trouble, now);
        }
    }

    fn overdue_since(&self, now: Time) -> Option<Time> {
        self.silent_since.filter(|since| *since + self.patience <= now)
    }

    fn trouble_begins(&mut self, now: Time, trouble: Trouble) {
        warn(self.way, &trouble, now);
        self.trouble = Some(trouble);
    }

    /// When to look next.
    pub(super) fn next(&self) -> Option<Time> {
        match &self.trouble {
            Some(trouble) => Some(trouble.remind_at),
            None => self.silent_since.map(|since| since + self.patience),
        }
    }

    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }
}

fn warn(way: Way, trouble: &Trouble, now: Time) {
    let (why, since_s) = (trouble.why.as_str(), now.since(trouble.since).as_secs());
    match way {
        Way::Journal => tracing::warn!(
            why,
            since_s,
            "the journal cannot be written: durable requests are refused, the rest goes on; it is tried again until it works"
        ),
        Way::Snapshots if !trouble.failed => tracing::warn!(
            why,
            since_s,
            "a snapshot takes long: until it is there, what came since the last one and is not durable would be lost with this process"
        ),
        Way::Snapshots => tracing::warn!(
            why,
            since_s,
            "nothing is saved: what is not durable would be lost with this process; it is tried again until it works"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn watch() -> Watch {
        Watch::new(Way::Journal, Duration::from_secs(5))
    }

    #[test]
    fn silence_becomes_trouble_after_patience_and_each_sign_of_life_begins_it_anew() {
        let mut watch = watch();
        watch.begun(at(1));
        watch.begun(at(3));
        assert_eq!(watch.next(), Some(at(6)));
        watch.worked(at(5), true);
        watch.look(at(9));
        assert!(watch.trouble().is_none());
        watch.look(at(10));
        assert_eq!(watch.trouble().map(|trouble| (trouble.since, trouble.failed)), Some((at(5), false)));
        watch.worked(at(12), false);
        assert!(watch.trouble().is_none() && watch.next().is_none());
    }

    #[test]
    fn a_failure_is_trouble_at_once_keeps_its_beginning_and_is_reminded_of() {
        let mut watch = watch();
        watch.failed(at(10), at(8), "full".to_owned());
        watch.failed(at(20), at(20), "read-only".to_owned());
        let trouble = watch.trouble().unwrap();
        assert_eq!((trouble.since, trouble.why.as_str(), trouble.failed), (at(8), "read-only", true));
        assert_eq!(watch.next(), Some(at(70)));
        watch.look(at(71));
        assert_eq!(watch.next(), Some(at(131)));
    }
}
