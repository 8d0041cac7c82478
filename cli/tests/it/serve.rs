//! `serve`: its lines, and how it leaves.

use crate::bed::Bed;
use serde_json::Value;

#[test]
fn a_line_for_each_call() {
    let bed = Bed::start();
    let mut serving = bed.serve(&["hello", "--echo"]);
    bed.run(&["call", "hello", "--name", "ada\u{202e}"]).printed("null\n");
    let line = serving.until_said("hello  ok");
    assert!(line.contains("Z  ada\\u202e  hello  ok  "), "{line}");
    serving.leave().printed("");
}

#[test]
fn quiet_says_nothing_and_json_says_it_on_standard_output() {
    let bed = Bed::start();
    let quiet = bed.start_tool(&["serve", "a", "--reply", "[1]", "-q"]);
    let loud = bed.start_tool(&["serve", "b", "--echo", "--json"]);
    bed.until_served("a");
    bed.until_served("b");
    bed.run(&["call", "a"]).printed("[1]\n");
    bed.run(&["call", "b", "--name", "ada"]).printed("null\n");
    let quiet = quiet.leave();
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (0, "", ""));
    let line: Value = loud.leave().json();
    assert_eq!((&line["caller"], &line["action"], &line["attempt"]), (&"ada".into(), &"b".into(), &1.into()));
    assert_eq!((&line["ended"], line["ms"].is_number(), line["time"].is_u64()), (&"ok".into(), true, true));
}

#[test]
fn what_runs_may_finish_after_ctrl_c() {
    let bed = Bed::start();
    let go = bed.place.join("go");
    let command = format!("while ! [ -e {} ]; do sleep 0.01; done; echo done", go.display());
    let mut serving = bed.serve(&["slow", "--exec", &command]);
    let calling = bed.start_tool(&["call", "slow"]);
    bed.until_in_flight(1);
    serving.signal("TERM");
    serving.until_said("1 call may finish");
    std::fs::write(go, "").unwrap();
    serving.end().printed("");
    calling.end().printed("\"done\"\n");
}

#[test]
fn exactly_one_way_to_answer() {
    let bed = Bed::start();
    bed.run(&["serve", "a"]).failed(2, "--echo");
    bed.run(&["serve", "a", "--echo", "--reply", "1"]).failed(2, "cannot be used with");
    bed.run(&["serve", "a", "--reply", "{"]).failed(2, "--reply is not JSON");
    bed.run(&["serve", "$mine", "--echo"]).failed(6, "(denied, ran: no)");
}

#[test]
fn it_comes_back_to_a_server_that_was_lost() {
    let bed = Bed::start();
    let mut serving = bed.serve(&["a", "--echo"]);
    let bed = bed.start_again();
    serving.until_said("connected again to 127.0.0.1:");
    bed.run(&["call", "a", "1", "--timeout", "20s"]).printed("1\n");
}
