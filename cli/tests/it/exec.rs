//! `serve --exec`: what goes in, what comes out, and what is left behind when the caller goes: nothing.

use crate::bed::{Bed, wait_for};
use std::path::Path;

#[test]
fn data_goes_in_and_what_is_printed_comes_out() {
    let bed = Bed::start();
    let _cat = bed.serve(&["cat", "--exec", "cat"]);
    bed.run(&["call", "cat", r#"{"a": 1.0}"#]).printed("{\"a\": 1.0}\n");
    bed.run(&["call", "cat"]).printed("null\n");
    let _text = bed.serve(&["text", "--exec", "echo two words"]);
    bed.run(&["call", "text"]).printed("\"two words\"\n");
    let _none = bed.serve(&["none", "--exec", "true"]);
    bed.run(&["call", "none", "\"not read\""]).printed("null\n");
}

#[test]
fn the_environment_tells_about_the_call() {
    let bed = Bed::start();
    let command =
        r#"echo "$ANSWERBACK_ACTION $ANSWERBACK_CALLER $ANSWERBACK_ATTEMPT $ANSWERBACK_LEFT_MS $TRACEPARENT""#;
    let _serving = bed.serve(&["env", "--exec", command]);
    let told = bed.run(&["call", "env", "--name", "ada", "--trace", "00-ab-cd-01", "--timeout", "9s"]).json();
    let words: Vec<_> = told.as_str().unwrap().split(' ').collect();
    assert_eq!((words[0], words[1], words[2], words[4]), ("env", "ada", "1", "00-ab-cd-01"));
    assert!((1..=9_000).contains(&words[3].parse::<u32>().unwrap()), "{words:?}");
}

#[test]
fn how_a_command_fails_is_the_code_of_the_fault() {
    let bed = Bed::start();
    let _bad = bed.serve(&["bad", "--exec", "echo one >&2; echo two >&2; exit 7"]);
    bed.run(&["call", "bad"]).failed(3, "exit_7: one\\ntwo (fault, ran: yes)");
    let _killed = bed.serve(&["killed", "--exec", "kill -9 $$"]);
    bed.run(&["call", "killed"]).failed(3, "signal_9");
    let _bytes = bed.serve(&["bytes", "--exec", "printf '\\377'"]);
    bed.run(&["call", "bytes"]).failed(3, "bad_output");
}

#[test]
fn a_command_that_prints_too_much_is_stopped() {
    let bed = Bed::start();
    let _yes = bed.serve(&["yes", "--exec", "yes", "--max-output", "4KiB"]);
    bed.run(&["call", "yes"]).failed(3, "output_too_large: the command printed more than 4096 bytes");
}

/// A command may start others; none of them outlives the call that nobody waits for.
#[test]
fn all_processes_of_a_call_are_killed_when_its_caller_goes() {
    let bed = Bed::start();
    let pids = bed.place.join("pids");
    let command = format!("echo $$ > {0}; sleep 300 & echo $! >> {0}; wait", pids.display());
    let mut serving = bed.serve(&["slow", "--exec", &command]);
    bed.run(&["call", "slow", "--timeout", "300ms"]).failed(5, "timeout");
    serving.until_said("cancelled");
    both_are_gone(&pids);
}

#[test]
fn leaving_at_once_kills_them_too() {
    let bed = Bed::start();
    let pids = bed.place.join("pids");
    let command = format!("echo $$ > {0}; sleep 300 & echo $! >> {0}; wait", pids.display());
    let mut serving = bed.serve(&["slow", "--exec", &command]);
    let _calling = bed.start_tool(&["call", "slow"]);
    wait_for("it runs", || (lines(&pids).len() == 2).then_some(()));
    serving.signal("INT");
    serving.until_said("1 call may finish within 10.0 s");
    let ended = serving.leave();
    assert!(ended.code == 5 && ended.err.contains("error: 1 call did not finish"), "{ended:?}");
    both_are_gone(&pids);
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[track_caller]
fn both_are_gone(pids: &Path) {
    let pids = lines(pids);
    assert_eq!(pids.len(), 2);
    wait_for("the end of its processes", || pids.iter().all(|pid| !lives(pid)).then_some(()));
}

/// A process that ended and was not waited for yet does not live.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
