//! S14: a server with nothing to do does nothing.

use crate::client::{Client, frame};
use crate::process::Process;
use std::fs;
use std::time::Duration;

/// Over a second, with 50 clients connected and 1,000 requests waiting, the process gets no processor time and none of
/// its threads wakes up. There is no timer for each request.
///
/// Once something was saved, the seven threads that sled keeps for its files look once a second whether there is work, and nothing can
/// keep them from it. They are not counted.
#[test]
fn s14_an_idle_server_uses_no_processor() {
    let server = Process::start(&["--heartbeat", "1h", "--handshake", "1m"]);
    let mut clients: Vec<_> =
        (0..50).map(|nth| Client::serving(server.address, "svc", &format!("a{nth}"), 9)).collect();
    let sends =
        (0..1_000).flat_map(|id| frame(format!(r#"{{"type":"request","id":{id},"action":"x","reply":false}}"#), "1"));
    clients[0].say_bytes(sends.collect::<Vec<_>>());
    for _ in 0..1_000 {
        assert_eq!(clients[0].hear().head["type"], "accepted");
    }
    // What was begun before, such as an acknowledgement or a line of the log, may end in the first seconds.
    let quiet = (0..8).any(|_| {
        let before = used(server.id());
        clients[0].hears_nothing_for(Duration::from_secs(1));
        used(server.id()) == before
    });
    assert!(quiet, "it never slept for a second");
    assert!(clients.iter_mut().all(Client::settle));
}

/// What sled calls its threads.
const THREADS_OF_SLED: &str = "sled-io";

/// Ticks on a processor, and wake-ups of all threads of the server's own.
fn used(process: u32) -> (u64, u64) {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name of the program stands in brackets and may hold blanks; utime and stime are the 12th and 13th after it.
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let paths = tasks.map(|task| task.unwrap().path());
    let own = paths.filter(|path| !fs::read_to_string(path.join("comm")).unwrap().starts_with(THREADS_OF_SLED));
    let wake_ups = own.map(|path| {
        let status = fs::read_to_string(path.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    });
    (ticks, wake_ups.sum())
}
