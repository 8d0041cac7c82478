//! `/metrics`: what a report holds, in the text format of OpenMetrics, which Prometheus reads.
//!
//! Nothing is counted here: each scrape asks for a report as every other page does. Names end in their unit.

use crate::control::Report;
pub(crate) use answerback_process::figures::CONTENT_TYPE;
use answerback_process::figures::{self, Figures, Lines};
use std::fmt;

/// The page.
pub(crate) fn page(report: Report) -> Result<String, fmt::Error> {
    figures::page("answerback", Scrape(report))
}

#[derive(Debug)]
struct Scrape(Report);

impl Figures for Scrape {
    fn write(&self, to: &mut Lines<'_>) -> fmt::Result {
        self.connections(to)?;
        self.peers(to)?;
        self.requests(to)?;
        self.loop_of_the_data_plane(to)?;
        self.journal(to)?;
        self.snapshots(to)
    }
}

impl Scrape {
    fn connections(&self, to: &mut Lines<'_>) -> fmt::Result {
        let Report { counters, held, .. } = &self.0;
        to.gauge("connections", "Open connections", self.0.connections)?;
        to.counter("connections_accepted", "Connections accepted", counters.accepted)?;
        to.counter(
            "connections_refused",
            "Connections turned away because as many as may be were open",
            counters.refused,
        )?;
        let strangers = counters.strangers.iter().map(|(kind, count)| ((*kind).to_owned(), *count));
        to.counters("strangers", "Connections that did not come in, by what they were", "kind", strangers)?;
        to.counter("connections_closed_slow", "Connections closed because they did not read", counters.closed_slow)?;
        to.counter("accept_pauses", "Pauses because no further file could be opened", counters.accept_pauses)?;
        let limited = counters.limited.iter().map(|(word, count)| ((*word).to_owned(), *count));
        to.counters("limited", "Times that a limit against strangers and floods was met", "limit", limited)?;
        to.gauge("addresses", "Addresses that are remembered, of clients and of strangers", self.0.addresses)?;
        to.gauge("sessions", "Sessions, connected or away", held.sessions)?;
        to.gauge("subscriptions", "Subscriptions to topics", held.subscriptions)
    }

    fn peers(&self, to: &mut Lines<'_>) -> fmt::Result {
        let dials = &self.0.dials;
        to.gauge("peers", "Other servers that this one was told to be linked with", dials.peers)?;
        to.gauge("peers_up", "Other servers whose links are up, whoever dialed", self.0.peers_up)?;
        to.counter("peer_dials", "Times that another server was dialed", dials.dialed)?;
        let failed = dials.failed.iter().map(|(word, count)| ((*word).to_owned(), *count));
        to.counters("peer_dials_failed", "Times that no link came of it, by why", "reason", failed)
    }

    fn requests(&self, to: &mut Lines<'_>) -> fmt::Result {
        let Report { counts, held, .. } = &self.0;
        to.gauge("actions", "Actions that are served or waited for", held.actions)?;
        to.gauge("requests_queued", "Requests waiting in queues", held.queued)?;
        to.gauge("requests_delivered", "Requests that handlers have", held.delivered)?;
        to.bytes("requests", "Memory counted for requests", held.bytes)?;
        to.gauge("replies_kept", "Replies that their callers have not acknowledged", held.kept_replies)?;
        to.gauge("replies_stored", "Replies stored under an idempotency key", held.stored_replies)?;
        to.counter("requests", "Requests that arrived, refused ones included", counts.requests)?;
        to.counter("deliveries", "Times that a request was given to a handler", counts.deliveries)?;
        to.counter("replies", "Requests answered with data", counts.replies)?;
        let errors = counts.errors.iter().map(|(code, count)| (code.to_string(), *count));
        to.counters("errors", "Requests that ended in an error", "code", errors)?;
        to.counter("sends_lost", "Accepted sends that ended without an answer", counts.sends_lost)?;
        to.counter("requeued", "Requests queued again after they had been delivered", counts.requeued)?;
        to.counter("events_published", "Events published", counts.published)?;
        to.counter("events_delivered", "Events sent to subscribers", counts.events)?;
        to.gauge("draining", "1 while the server is leaving", usize::from(self.0.draining))
    }

    fn loop_of_the_data_plane(&self, to: &mut Lines<'_>) -> fmt::Result {
        let Report { counters, outbox_bytes, .. } = &self.0;
        to.counter("frames_received", "Frames taken in, sound or not", counters.frames_in)?;
        to.counter("frames_sent", "Frames appended to outboxes", counters.frames_out)?;
        let bad = counters.bad_frames.iter().map(|(word, count)| ((*word).to_owned(), *count));
        to.counters("bad_frames", "Frames that the protocol does not allow", "problem", bad)?;
        to.counted_bytes("received", "Bytes read from clients", counters.bytes_in)?;
        to.counted_bytes("sent", "Bytes written to clients", counters.bytes_out)?;
        to.bytes("outbox", "Bytes that wait to be read by clients", *outbox_bytes)?;
        to.bytes("inbox", "Bytes of frames that have come in part or wait for their turn", self.0.inbox_bytes)?;
        to.counter("reads", "Calls of read", counters.reads)?;
        to.counter("writes", "Calls of write", counters.writes)?;
        to.counter("turns", "Turns of the data plane's loop", counters.turns)
    }

    fn journal(&self, to: &mut Lines<'_>) -> fmt::Result {
        let store = &self.0.store;
        let (journal, busy) = (&store.journal.report, store.journal.busy);
        to.gauge(
            "journal_healthy",
            "0 while durable requests are refused",
            usize::from(store.journal_trouble.is_none()),
        )?;
        to.counter("journal_commits", "Groups of steps written and synced together", journal.commits)?;
        to.counter("journal_steps", "Steps written", journal.steps)?;
        to.gauge("journal_steps_waiting", "Steps that wait for their sync", store.steps_waiting)?;
        to.counter("journal_syncs", "Syncs of files", journal.syncs)?;
        to.counter("journal_failures", "Commits that failed", journal.failures)?;
        to.counted_bytes("journal_written", "Bytes written", journal.bytes_written)?;
        to.counted_seconds("journal_busy", "Time spent writing and syncing", busy)?;
        to.bytes("journal_disk", "Bytes of its files", journal.bytes_on_disk)?;
        to.gauge("journal_segments", "Its files", journal.segments)?;
        to.gauge("journal_items", "Durable requests and replies in it that are still wanted", journal.items)
    }

    fn snapshots(&self, to: &mut Lines<'_>) -> fmt::Result {
        let store = &self.0.store;
        let rounds = &store.rounds;
        let healthy = usize::from(store.snapshot_trouble.is_none());
        to.gauge("snapshots_healthy", "0 while snapshots cannot be saved", healthy)?;
        to.seconds("store_unsaved", "Age of the oldest change that is in no snapshot", store.unsaved)?;
        to.counter("snapshot_rounds", "Snapshots saved", rounds.rounds)?;
        to.counter("snapshot_changes", "Changes saved in them", rounds.changes)?;
        to.counter("snapshot_failures", "Times that saving has failed", rounds.failures)?;
        to.counted_seconds("snapshot_busy", "Time that the rounds took, from the first change gathered", rounds.took)?;
        to.seconds("snapshot_last", "The same for the last round", rounds.last_took)?;
        to.gauge("snapshot_items", "Items in the last snapshot", rounds.items)?;
        to.counter("sends_restored", "Stored sends of the last life taken in again", store.sends_restored)?;
        to.gauge("restoring", "1 while stored sends are being taken in", usize::from(store.restoring))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    /// Values by name and labels, after each line was found to be what the format wants.
    fn parsed(text: &str) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        let mut described = BTreeSet::new();
        let (lines, end) = text.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(end, "# EOF");
        for line in lines.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && described.insert(name.to_owned()), "{line}");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let bare = name.split('{').next().unwrap();
                assert!(described.contains(bare.trim_end_matches("_total")), "not described: {line}");
                assert!(bare.starts_with("answerback_"), "{line}");
                assert!(values.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
            }
        }
        values
    }

    #[test]
    fn every_metric_is_described_once_and_has_its_value() {
        let mut report = Report::default();
        report.counters.bytes_in = 7;
        report.counters.bad_frame("bad_json");
        report.counters.stranger("tls");
        report.held.queued = 3;
        report.counters.limited("rest");
        report.inbox_bytes = 9;
        report.store.unsaved = Duration::from_millis(12_500);
        report.store.journal.report.commits = 5;
        let values = parsed(&page(report).unwrap());
        for (name, value) in [
            ("answerback_received_bytes_total", 7.0),
            ("answerback_bad_frames_total{problem=\"bad_json\"}", 1.0),
            ("answerback_strangers_total{kind=\"tls\"}", 1.0),
            ("answerback_requests_queued", 3.0),
            ("answerback_limited_total{limit=\"rest\"}", 1.0),
            ("answerback_inbox_bytes", 9.0),
            ("answerback_store_unsaved_seconds", 12.5),
            ("answerback_journal_commits_total", 5.0),
            ("answerback_journal_healthy", 1.0),
        ] {
            assert_eq!(values.get(name), Some(&value), "{name}");
        }
    }
}
