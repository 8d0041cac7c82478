//! `drain`, against real servers with an admin port.

use crate::bed::{Bed, finish, tool, wait_for};
use answerback_server::End;

#[test]
fn an_idle_server_leaves_at_once() {
    let bed = Bed::start_with_admin();
    let told = bed.drain(&[]);
    assert!(told.code == 0 && told.out.starts_with("gone after "), "{told:?}");
    assert!(told.err.contains("running work may finish within 10s"), "{told:?}");
    bed.drain(&[]).failed(6, "cannot connect to 127.0.0.1:");
    assert_eq!(bed.end(), End::Drained { complete: true });
}

/// What runs may finish, and whoever waits for the end sees what it waits for.
#[test]
fn work_under_way_is_waited_for() {
    let bed = Bed::start_with_admin();
    let gate = bed.place.join("gate");
    // Bounded, so that nothing is left turning if the test fails.
    let command = format!("for n in $(seq 400); do [ -e {} ] && break; sleep 0.05; done; echo 1", gate.display());
    let serving = bed.serve(&["slow", "--exec", &command]);
    let calling = bed.start_tool(&["call", "slow"]);
    bed.until_in_flight(1);
    let mut draining = bed.start_drain(&["--deadline", "1m"]);
    draining.until_said("running work may finish within 1m");
    draining.until_said("draining, 1 running, 0 waiting to be saved");
    std::fs::write(&gate, "").unwrap();
    let ended = draining.end();
    assert!(ended.code == 0 && ended.out.starts_with("gone after "), "{ended:?}");
    assert_eq!(calling.end().out, "1\n");
    drop(serving);
}

#[test]
fn for_scripts_it_is_one_line_and_need_not_wait() {
    let bed = Bed::start_with_admin();
    let json = bed.drain(&["--no-wait", "--json"]).json();
    assert_eq!((&json["asked"], &json["gone"]), (&true.into(), &false.into()), "{json}");
    assert_eq!(bed.end(), End::Drained { complete: true });
    let bed = Bed::start_with_admin();
    let told = bed.drain(&["--json", "--deadline", "0"]);
    assert!(told.err.is_empty() && told.json()["gone"] == true, "{told:?}");
}

/// A deadline that passes: the server is gone all the same, and what ran is saved.
#[test]
fn a_deadline_ends_the_waiting() {
    let bed = Bed::start_with_admin();
    // It outlives the tool that is killed, but not for long.
    let serving = bed.serve(&["slow", "--exec", "sleep 10"]);
    let calling = bed.start_tool(&["send", "slow", "--durable"]);
    bed.until_in_flight(1);
    let told = bed.drain(&["--deadline", "0"]);
    assert_eq!(told.code, 0, "{told:?}");
    drop((serving, calling));
    let data = bed.place.join("server");
    let seen = wait_for("the directory to be free", || {
        let seen = finish(tool(&["store", "inspect", data.to_str().unwrap(), "--json"]), "");
        (seen.code == 0).then(|| seen.json())
    });
    assert_eq!(seen["actions"][0]["delivered"], 1, "{seen}");
    assert_eq!(bed.end(), End::Drained { complete: false });
}

#[test]
fn who_is_no_admin_port_is_told_apart() {
    let bed = Bed::start();
    let told = finish(tool(&["drain", "--admin", &bed.address.to_string()]), "");
    told.failed(6, "refuses: this port speaks Answerback, not HTTP");
    finish(tool(&["drain", "--admin", "127.0.0.1:1"]), "").failed(6, "cannot connect to 127.0.0.1:1");
    finish(tool(&["drain", "--admin", "nowhere"]), "").failed(2, "an address is HOST:PORT");
}
