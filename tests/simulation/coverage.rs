//! What the seeds of the gate must have reached together, so that the simulation cannot become empty without notice.

use crate::trace::Counts;

/// Kind, word, and how often at least in a thousand seeds: about a fifth of what there is.
const REACHED: &[(&str, &str, u64)] = &[
    ("answer", "accepted", 11_000),
    ("answer", "bad_request", 780),
    ("answer", "cancelled", 5_300),
    ("answer", "conflict", 3_500),
    ("answer", "denied", 8_000),
    ("answer", "draining", 21_000),
    ("answer", "expired", 19_000),
    ("answer", "fault", 2_900),
    ("answer", "gathered", 10_000),
    ("answer", "handler_lost", 900),
    ("answer", "no_handler", 5_500),
    ("answer", "ok", 53_000),
    ("answer", "overloaded", 110_000),
    ("answer", "part", 5_700),
    ("answer", "part of a broadcast", 24_000),
    ("answer", "timeout", 7_200),
    ("answer", "unavailable", 2_000),
    ("client", "announced a request again", 26_000),
    ("client", "died", 1_100),
    ("client", "found its connection silent", 96),
    ("client", "found the server restarted", 1_000),
    ("client", "handed back", 5_300),
    ("client", "hung up", 880),
    ("client", "lost its session", 330),
    ("client", "opened", 3_000),
    ("client", "resumed", 2_600),
    ("client", "said bye", 1_100),
    ("client", "sent a reply again", 13_000),
    ("client", "told to cancel", 13_000),
    ("client", "told to go", 380),
    ("drained", "at its deadline", 28),
    ("drained", "complete", 35),
    ("input", "ack", 9_100),
    ("input", "bye", 1_100),
    ("input", "cancel", 9_000),
    ("input", "disconnected", 10_000),
    ("input", "drain", 63),
    ("input", "hello", 9_700),
    ("input", "ping", 2_200),
    ("input", "pong", 6_700),
    ("input", "release", 5_800),
    ("input", "reply", 78_000),
    ("input", "request", 280_000),
    ("input", "resume", 3_400),
    ("input", "serve", 37_000),
    ("input", "unserve", 5_000),
    ("malformed", "contradiction", 830),
    ("malformed", "frame_too_large", 160),
    ("malformed", "frame_too_short", 150),
    ("malformed", "head_beyond_frame", 160),
    ("malformed", "http", 150),
    ("malformed", "not_an_id", 180),
    ("malformed", "not_an_object", 180),
    ("malformed", "not_in_range", 180),
    ("malformed", "not_json", 180),
    ("malformed", "not_utf8", 180),
    ("malformed", "tls", 150),
    ("malformed", "too_deep", 180),
    ("malformed", "twice", 180),
    ("malformed", "unknown_type", 180),
    ("network", "connected twice", 180),
    ("network", "cut", 1_200),
    ("network", "ended inside a frame", 210),
    ("network", "stranger", 490),
    ("note", "connection refused", 6_100),
    ("note", "draining", 63),
    ("note", "send lost", 2_400),
    ("note", "session closed", 3_200),
    ("note", "session opened", 3_200),
    ("note", "session resumed", 2_700),
    ("notice", "bad_request", 2_400),
    ("notice", "denied", 2_400),
    ("notice", "draining", 3_600),
    ("notice", "overloaded", 1_400),
    ("notice", "replaced", 1_300),
    ("notice", "silent", 140),
    ("notice", "too_large", 160),
    ("notice", "version_mismatch", 88),
    ("output", "accepted", 12_000),
    ("output", "ack", 6_600),
    ("output", "cancel", 14_000),
    ("output", "deliver", 69_000),
    ("output", "error", 9_800),
    ("output", "goaway", 400),
    ("output", "ping", 6_800),
    ("output", "pong", 2_100),
    ("output", "reply", 280_000),
    ("output", "serving", 35_000),
    ("output", "unserved", 5_000),
    ("output", "welcome", 6_000),
    ("rude", "foreign answer", 810),
    ("rude", "id used twice", 370),
    ("rude", "late answer", 36),
    ("rude", "second answer", 1_400),
    ("send lost", "draining", 14),
    ("send lost", "expired", 200),
    ("send lost", "handler_lost", 170),
    ("send lost", "no_handler", 310),
    ("send lost", "timeout", 1_700),
    ("store", "clean stop", 70),
    ("store", "crash", 190),
    ("store", "failing", 220),
    ("store", "not written", 560),
    ("store", "piece", 4_300),
    ("store", "restored", 440),
    ("store", "saved", 5_800),
    ("store", "written", 17_000),
];

/// The same of meshes, in a gate of them.
const REACHED_BY_MESHES: &[(&str, &str, u64)] = &[
    ("mesh", "passed on", 11_000),
    ("mesh", "over two links", 3_000),
    ("mesh", "taken back", 680),
    ("mesh", "link down with work on it", 140),
    ("mesh", "home of a key elsewhere", 2_800),
    ("mesh", "joined over servers", 1_400),
    ("mesh", "broadcast over servers", 3_600),
    ("mesh", "stranded handed back", 220),
    ("mesh", "client moved", 300),
    ("mesh", "link cut", 170),
    ("mesh", "probe", 3_700),
    ("mesh", "server drained", 50),
    ("mesh", "server killed", 44),
    ("mesh answer", "handler_lost", 130),
    ("mesh answer", "ok", 18_000),
];

/// Adds what one seed reached.
pub(crate) fn add(sum: &mut Counts, counts: &Counts) {
    for (what, count) in counts {
        *sum.entry(*what).or_default() += count;
    }
}

/// Checks that everything was reached.
pub(crate) fn check(counts: &Counts) {
    check_that(REACHED, counts);
}

/// Checks that meshes have reached everything.
pub(crate) fn check_mesh(counts: &Counts) {
    check_that(REACHED_BY_MESHES, counts);
}

fn check_that(expected: &[(&str, &str, u64)], counts: &Counts) {
    let reached = |kind, word| counts.iter().find(|(what, _)| **what == (kind, word)).map_or(0, |(_, count)| *count);
    let missing: Vec<_> = expected
        .iter()
        .filter(|(kind, word, least)| reached(kind, word) < *least)
        .map(|(kind, word, least)| format!("{kind} `{word}`: {} of {least}", reached(kind, word)))
        .collect();
    assert!(missing.is_empty(), "the seeds did not reach: {missing:#?}\nbut {counts:#?}");
}
