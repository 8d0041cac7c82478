//! `call` and `send`: answers, and an exit code for each way in which there is none.

use crate::bed::{Bed, finish, tool, wait_for};
use answerback::{Context, Fault};
use tokio::runtime::Builder;

#[test]
fn an_answer_in_a_pipe_is_the_bytes_as_they_came() {
    let bed = Bed::start();
    bed.run(&["call", "$echo", r#"{"b": 1.50,  "a":[18446744073709551616]}"#])
        .printed("{\"b\": 1.50,  \"a\":[18446744073709551616]}\n");
    bed.run(&["call", "$echo"]).printed("null\n");
    bed.run(&["call", "$echo", "-7"]).printed("-7\n");
    bed.run(&["call", "--json", "$echo", "\"x\""]).printed("\"x\"\n");
    bed.run_with(&["call", "$echo", "-"], "[1,\n 2]\n").printed("[1,\n 2]\n\n");
}

#[test]
fn data_that_is_not_json_is_told_with_its_place() {
    let bed = Bed::start();
    let eaten = bed.run(&["call", "$echo", "{name:Ada}"]);
    eaten.failed(2, "the data is not JSON: key must be a string at line 1, column 2, at `name:Ada}`");
    assert!(eaten.err.contains("single quotes"), "{eaten:?}");
    bed.run(&["call", "$echo", "hello"]).failed(2, "at `hello`");
    bed.run_with(&["call", "$echo", "-"], "").failed(2, "standard input is empty");
    bed.run_with(&["call", "$echo", "-"], "[1,\nx]").failed(2, "line 2, column 1");
}

#[test]
fn each_way_without_an_answer_has_its_exit_code() {
    let bed = Bed::start();
    bed.run(&["call", "nobody", "--ttl", "0"]).failed(4, "nobody serves `nobody`");
    bed.run(&["call", "nobody", "--timeout", "50ms"]).failed(4, "nobody serves `nobody`");
    let _slow = bed.serve(&["slow", "--exec", "sleep 20", "--concurrency", "1"]);
    bed.run(&["call", "slow", "--timeout", "100ms"]).failed(5, "(timeout, ran: maybe)");
    bed.run(&["send", "slow"]).printed("accepted\n");
    bed.run(&["call", "slow", "--ttl", "50ms"]).failed(5, "(expired, ran: no)");
    bed.run(&["call", "nobody", "--durable", "--ttl", "0"]).failed(4, "nobody serves `nobody`");
    let nowhere = finish(tool(&["--server", "127.0.0.1:1", "call", "x"]), "");
    nowhere.failed(6, "cannot connect to 127.0.0.1:1");
    assert!(nowhere.err.contains("answerback-server") && nowhere.err.contains("--server"), "{nowhere:?}");
}

#[test]
fn errors_for_scripts_are_json() {
    let bed = Bed::start();
    let error = bed.run(&["call", "nobody", "--ttl", "0", "--json"]);
    let told = error.error_json();
    assert_eq!((error.code, &told["error"]["code"], &told["exit"]), (4, &"no_handler".into(), &4.into()));
    assert_eq!((&told["error"]["ran"], told["next"].is_string()), (&"no".into(), true));
    let wrong = bed.run(&["call", "x", "{", "--json"]);
    assert_eq!((wrong.code, &wrong.error_json()["exit"]), (2, &2.into()));
}

#[test]
fn a_handlers_own_error_has_its_code_and_details() {
    let bed = Bed::start();
    let _serving = bed.serve(&["stock", "--exec", "echo none left >&2; exit 4"]);
    bed.run(&["call", "stock"]).failed(3, "exit_4: none left (fault, ran: yes)");
    let told = bed.run(&["call", "stock", "--json"]).error_json();
    assert_eq!(told["error"]["fault"]["code"], "exit_4");
    assert_eq!(told["error"]["fault"]["message"], "none left");
}

#[test]
fn a_key_runs_the_work_once() {
    let bed = Bed::start();
    let mut serving = bed.serve(&["now", "--exec", "date +%N"]);
    let first = bed.run(&["call", "now", "1", "--key", "k"]);
    bed.run(&["call", "now", "1", "--key", "k"]).printed(&first.out);
    bed.run(&["call", "now", "2", "--key", "k"]).failed(1, "(conflict, ran: no)");
    serving.until_said("  now  ok");
}

#[test]
fn verbose_shows_where_the_time_went() {
    let bed = Bed::start();
    let _serving = bed.serve(&["nap", "--exec", "sleep 0.02; echo 1", "--name", "napper"]);
    let shown = bed.run(&["call", "nap", "-v"]);
    shown.printed("1\n");
    for part in ["connect", "way", "queued", "ran", "by napper", "total", "█"] {
        assert!(shown.err.contains(part), "{part}: {shown:?}");
    }
    let told = bed.run(&["call", "nap", "-v", "--json"]).error_json();
    assert!(told["ran_ms"].as_u64().unwrap() >= 20, "{told}");
    assert!(told["total_ms"].as_f64().unwrap() >= 20.0, "{told}");
    assert_eq!(told["by"], "napper");
}

#[test]
fn an_answer_in_one_part_is_a_stream_of_one_line() {
    let bed = Bed::start();
    let _serving = bed.serve(&["a", "--reply", "{\"x\":\n [1, 2]}"]);
    bed.run(&["call", "a", "--stream"]).printed("{\"x\":[1,2]}\n");
}

/// A service of the library, which can do what `serve` cannot.
#[test]
fn each_part_of_an_answer_is_a_line_and_a_fault_has_details() {
    let bed = Bed::start();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _client = runtime.block_on(async {
        let client = answerback::connect(bed.address.to_string()).await.unwrap();
        let count = client.serve("count", |context: Context, to: u32| async move {
            for number in 1..to {
                context.part(number).await?;
            }
            if to < 5 { Ok(to) } else { Err(Fault::new("limit", "too far").with_data(&4).retryable()) }
        });
        count.await.unwrap();
        client
    });
    bed.run(&["call", "count", "3", "--stream"]).printed("1\n2\n3\n");
    bed.run(&["call", "count", "3"]).printed("3\n");
    let far = bed.run(&["call", "count", "5", "--stream"]);
    far.failed(3, "limit: too far (fault, ran: yes)");
    assert_eq!(far.out, "1\n2\n3\n4\n");
    assert!(far.err.contains("\ndata: 4\n") && far.err.contains("may succeed later"), "{far:?}");
    let told = bed.run(&["call", "count", "5", "--json"]).error_json();
    assert_eq!((&told["error"]["fault"]["data"], &told["error"]["fault"]["retryable"]), (&4.into(), &true.into()));
}

#[test]
fn a_send_is_accepted_and_done_later() {
    let bed = Bed::start();
    bed.run(&["send", "later", "7"]).printed("accepted\n");
    bed.run(&["send", "later", "8", "--json"]).printed("{\"accepted\":true}\n");
    let serving = bed.serve(&["later", "--echo", "--json"]);
    wait_for("both are done", || {
        let later = bed.run(&["ls", "--json"]).json()["actions"][0].clone();
        (later["queued"] == 0 && later["in_flight"] == 0).then_some(())
    });
    let lines = serving.leave().out;
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

/// The server must hear of it: otherwise the work would go on for the grace time.
#[test]
fn ctrl_c_cancels_the_call() {
    let bed = Bed::start();
    let mut serving = bed.serve(&["slow", "--exec", "sleep 20"]);
    let calling = bed.start_tool(&["call", "slow"]);
    bed.until_in_flight(1);
    let ended = calling.leave();
    ended.failed(1, "interrupted");
    serving.until_said("cancelled");
}
