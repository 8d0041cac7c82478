//! `call --broadcast`.

use crate::bed::Bed;
use serde_json::Value;

#[test]
fn each_reply_is_a_line_and_the_counts_come_last() {
    let bed = Bed::start();
    bed.run(&["call", "who", "--broadcast"]).failed(4, "nobody serves `who`");
    let _one = bed.serve(&["who", "--reply", "1", "--name", "one"]);
    let _two = bed.serve(&["who", "--reply", "2", "--name", "two\u{202e}"]);
    let all = bed.run(&["call", "who", "--broadcast"]);
    let mut lines: Vec<_> = all.out.lines().collect();
    lines[..2].sort_unstable();
    assert_eq!(lines, ["one  1", "two\\u202e  2", "2 handlers: 2 answered, 0 failed, 0 did not answer"]);
    assert_eq!(all.code, 0);
}

#[test]
fn for_scripts_each_line_is_json_and_the_exit_code_tells_whether_all_answered() {
    let bed = Bed::start();
    let _one = bed.serve(&["who", "--reply", "1.50", "--name", "one"]);
    let _two = bed.serve(&["who", "--exec", "exit 9", "--name", "two"]);
    let all = bed.run(&["call", "who", "--broadcast", "--json"]);
    assert_eq!(all.code, 3, "{all:?}");
    assert!(all.out.contains(r#"{"from":"one","data":1.50}"#), "{all:?}");
    let lines: Vec<Value> = all.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fault = lines.iter().find(|line| line["from"] == "two").unwrap();
    assert_eq!(fault["error"]["fault"]["code"], "exit_9");
    assert_eq!(lines[2]["gather"], serde_json::json!({ "expected": 2, "answered": 1, "failed": 1, "lost": 0 }));
    let _three = bed.serve(&["slow", "--exec", "sleep 20"]);
    assert_eq!(bed.run(&["call", "slow", "--broadcast", "--timeout", "100ms"]).code, 5);
}
