//! `ls`, `explain`, `check`.

use crate::bed::{Bed, finish, tool};
use std::io::Read;

#[test]
fn ls_shows_who_serves_what_and_what_waits() {
    let bed = Bed::start();
    bed.run(&["ls"]).printed("nobody serves anything, and nothing waits\n");
    let _serving = bed.serve(&["hello", "--echo", "--concurrency", "3", "--name", "greeter"]);
    bed.run(&["send", "nobody\u{9b}"]).failed(2, "no control characters");
    bed.run(&["send", "nobody", "[1]"]).printed("accepted\n");
    let listed = bed.run(&["ls"]).out;
    let rows: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ACTION", "HANDLERS", "CREDIT", "IN", "FLIGHT", "WAITING", "OLDEST", "BYTES"]);
    assert_eq!(rows[1], ["hello", "1", "3", "0", "0", "0", "B"]);
    assert_eq!((rows[2][0], rows[2][1], rows[2][4]), ("nobody", "0", "1"));
    let json = bed.run(&["ls", "--json"]).json();
    assert_eq!((&json["actions"][0]["action"], &json["more"]), (&"hello".into(), &0.into()));
    let clients = bed.run(&["ls", "--clients"]).out;
    assert!(clients.contains("greeter") && clients.contains("hello"), "{clients}");
    assert!(bed.run(&["ls", "--clients", "--json"]).json()["sessions"].is_array());
}

#[test]
fn explain_leads_from_an_action_to_a_request() {
    let bed = Bed::start();
    bed.run(&["explain", "a"]).printed("nobody serves `a` and nothing waits for it\n");
    let _calling = bed.start_tool(&["call", "a", "--name", "ada"]);
    bed.until_waiting(1);
    let listed = bed.run(&["explain", "a"]);
    assert_eq!(listed.out.lines().next(), Some("1 request waits for `a`, 0 run: nobody serves it"));
    let request = listed.out.lines().last().unwrap().split_whitespace().next().unwrap();
    assert!(listed.out.contains("ada"), "{listed:?}");
    let why = bed.run(&["explain", request]).out;
    assert!(why.contains("its caller waits: 1 request waits for `a`"), "{why}");
    let json = bed.run(&["explain", "a", "--json"]).json();
    assert_eq!((&json["waiting"][0]["name"], &json["handlers"]), (&"ada".into(), &0.into()));
    bed.run(&["explain", "77:1"]).printed("no client 77 is here; `$sessions` lists who is\n");
}

#[test]
fn check_is_one_line_and_an_exit_code() {
    let bed = Bed::start();
    let healthy = bed.run(&["check"]);
    assert!(healthy.code == 0 && healthy.out.starts_with("healthy: server1 at 127.0.0.1:"), "{healthy:?}");
    assert_eq!(healthy.out.lines().count(), 1);
    assert_eq!(bed.run(&["check", "--max-queued", "0", "--max-latency", "10s"]).code, 0);
    bed.run(&["send", "a"]).printed("accepted\n");
    let json = bed.run(&["check", "--max-queued", "0", "--json"]);
    assert_eq!((json.code, &json.json()["healthy"], &json.json()["queued"]), (1, &false.into(), &1.into()));
    assert!(bed.run(&["check", "--max-latency", "0"]).out.contains("not healthy"));
    let unserved = bed.run(&["check", "--action", "a"]);
    assert!(unserved.code == 4 && unserved.out.contains("nobody serves `a`"), "{unserved:?}");
    let _serving = bed.serve(&["a", "--echo"]);
    assert_eq!(bed.run(&["check", "--action", "a"]).code, 0);
    finish(tool(&["check", "--server", "127.0.0.1:1"]), "").failed(6, "cannot connect");
}

/// As `answerback ls | head -1` does.
#[test]
fn who_reads_no_more_is_no_error() {
    let bed = Bed::start();
    let mut command = tool(&["ls", "--server", &bed.address.to_string()]);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}
