//! How the process ends.

use crate::client::Client;
use crate::process::Process;
use rustix::process::Signal;

#[test]
fn a_first_signal_drains_and_an_idle_server_is_gone_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = Process::start(&[]);
        let client = Client::welcomed(process.address, "idle");
        process.signal(signal);
        process.logged("asked to leave");
        drop(client);
        assert_eq!(process.end().code(), Some(0), "{signal:?}");
        process.logged("drained");
    }
}

#[test]
fn work_that_runs_may_finish_and_probes_see_the_drain() {
    let mut process = Process::start(&["--drain-deadline", "60s"]);
    let mut handler = Client::serving(process.address, "work", 1);
    let mut caller = Client::welcomed(process.address, "caller");
    caller.call(1, "work", b"1");
    let delivery = handler.hear().deliver().id;
    process.signal(Signal::TERM);
    caller.hear().goaway();
    assert_eq!(
        process.ask("GET", "/readyz"),
        (503, "not ready: draining, 1 running, 0 waiting to be saved\n".to_owned())
    );
    assert_eq!(process.ask("GET", "/livez").0, 200);
    handler.answer(delivery, b"done");
    assert_eq!(caller.hear().data, b"done");
    drop((caller, handler));
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn a_drain_deadline_that_passes_is_exit_5() {
    let mut process = Process::start(&["--drain-deadline", "50ms"]);
    let mut handler = Client::serving(process.address, "work", 1);
    let mut caller = Client::welcomed(process.address, "caller");
    caller.call(1, "work", b"1");
    handler.hear().deliver();
    process.signal(Signal::TERM);
    assert_eq!(process.end().code(), Some(5));
    process.logged("deadline passed");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut process = Process::start(&["--drain-deadline", "1h"]);
    let mut handler = Client::serving(process.address, "work", 1);
    let mut caller = Client::welcomed(process.address, "caller");
    caller.call(1, "work", b"1");
    handler.hear().deliver();
    process.signal(Signal::TERM);
    process.logged("asked to leave");
    process.signal(Signal::INT);
    assert_eq!(process.end().code(), Some(1));
    process.logged("ending at once");
}
