//! `bench` and `top`, as scripts see them.

use crate::bed::{Bed, Ended};
use serde_json::Value;

#[test]
fn bench_serves_a_name_of_its_own_and_counts() {
    let bed = Bed::start();
    let table = bed.run(&["bench", "--calls", "200", "--in-flight", "8", "--connections", "2"]);
    assert_eq!(table.code, 0, "{table:?}");
    let lines: Vec<_> = table.out.lines().collect();
    assert!(
        lines[0].starts_with("bench.") && lines[0].contains("8 in flight on 2 connections, 64 B each"),
        "{table:?}"
    );
    let heads: Vec<_> = lines[2].split_whitespace().collect();
    assert_eq!(heads, ["CALLS/S", "ANSWERED", "ERRORS", "P50", "P99", "P99.9", "MAX"]);
    assert_eq!(lines[3].split_whitespace().nth(1), Some("200"));
    assert_eq!(bed.run(&["ls", "--json"]).json()["actions"], Value::Array(Vec::new()));
}

#[test]
fn bench_for_scripts() {
    let bed = Bed::start();
    let closed = bed.run(&["bench", "--calls", "50", "--size", "1KiB", "--json"]).json();
    assert_eq!((&closed["answered"], &closed["size"], &closed["rate"]), (&50.into(), &1024.into(), &Value::Null));
    assert!(closed["us"]["p50"].as_u64() <= closed["us"]["p999"].as_u64() && closed["us"]["max"].is_u64(), "{closed}");
    let open = bed.run(&["bench", "a", "--serve", "--calls", "50", "--rate", "1000", "--json"]).json();
    assert_eq!((&open["answered"], &open["rate"], &open["action"]), (&50.into(), &1_000.into(), &"a".into()));
    assert!(open["seconds"].as_f64().unwrap() >= 0.049, "{open}");
}

#[test]
fn bench_counts_errors_by_code() {
    let bed = Bed::start();
    bed.run(&["bench", "a"]).failed(4, "nobody serves `a`");
    let _serving = bed.serve(&["a", "--exec", "exit 3"]);
    let failed = bed.run(&["bench", "a", "--calls", "4", "--in-flight", "2", "--json"]);
    assert_eq!((failed.code, &failed.json()["errors"]["fault"]), (3, &4.into()));
    assert_eq!(failed.json()["us"]["p50"], Value::Null);
    let shown = bed.run(&["bench", "a", "--calls", "4", "--in-flight", "2"]).out;
    assert!(shown.contains("ERROR  CALLS\nfault      4"), "{shown}");
}

/// Calls that the rate wanted and that could not even start are told, not left out.
#[test]
fn bench_tells_what_could_not_start() {
    let bed = Bed::start();
    let _serving = bed.serve(&["slow", "--exec", "sleep 20"]);
    let arguments = ["bench", "slow", "--seconds", "1", "--rate", "100", "--in-flight", "2", "--timeout", "400ms"];
    let shown = bed.run(&arguments);
    assert!(shown.out.contains("calls could not start, because all 2 were in flight"), "{shown:?}");
    let json: Value = bed.run(&[&arguments[..], &["--json"]].concat()).json();
    assert!(json["not_started"].as_u64().unwrap() > 50, "{json}");
}

#[test]
fn bench_ends_early_with_what_it_has() {
    let bed = Bed::start();
    let running = bed.start_tool(&["bench", "a", "--serve", "--seconds", "600"]);
    bed.until_served("a");
    let ended = running.leave();
    assert!(ended.code == 0 && ended.out.contains("CALLS/S") && ended.err.contains("ended early"), "{ended:?}");
}

#[test]
fn top_for_scripts_is_a_line_for_each_look() {
    let bed = Bed::start();
    let _serving = bed.serve(&["a", "--echo"]);
    let Ended { code, out, .. } = bed.run(&["top", "--json", "--interval", "100ms", "--times", "2"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, lines.len()), (0, 2), "{out}");
    assert_eq!((&lines[0]["per_second"], &lines[0]["actions"][0]["action"]), (&Value::Null, &"a".into()));
    assert!(lines[1]["per_second"]["requests"].as_f64().unwrap() > 0.0, "{out}");
    assert!(lines[1]["stats"]["server"].is_string(), "{out}");
}

#[test]
fn top_needs_a_terminal() {
    let bed = Bed::start();
    bed.run(&["top"]).failed(2, "top draws on a terminal");
    bed.run(&["top", "--interval", "1ms"]).failed(2, "it is from 100ms to 1h");
}
