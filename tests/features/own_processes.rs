//! Services as processes of their own: how signals end them, and that they can end by themselves.
//!
//! The process is this test program again, with [`as_a_process_of_its_own`] as its only test.

use crate::support::{Gate, PATIENCE, begin, hasty_broker, serve_gated, soon, until, until_told};
use answerback::{Client, Code, Ran, Reconnect};
use answerback_testing::TestBroker;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What tells the process that it is one: the broker's address, and what it shall do.
const ADDRESS: &str = "FEATURES_BROKER";
const LIFE: &str = "FEATURES_LIFE";

struct Process(Child);

impl Process {
    fn start(broker: &TestBroker, life: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["own_processes::as_a_process_of_its_own", "--exact", "--ignored"]);
        command.env(ADDRESS, broker.address()).env(LIFE, life).stdin(Stdio::piped()).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id() as i32).unwrap(), signal).unwrap();
    }

    /// Lets one piece of its work be done.
    fn let_go(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Waits for its end, and says whether all went well there.
    async fn ended_well(&mut self) -> bool {
        let mut status = None;
        until("the end of the process", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the process serves.
async fn until_serving(watcher: &Client) {
    until_told("the service of the process", watcher, "$actions", |told| {
        told["actions"].as_array().unwrap().iter().any(|action| action["action"] == "job" && action["handlers"] == 1)
    })
    .await;
}

/// The other side. Without the variables it has nothing to do.
#[test]
#[ignore = "the tests of this file start it as a process of its own"]
fn as_a_process_of_its_own() {
    let (Ok(address), Ok(life)) = (std::env::var(ADDRESS), std::env::var(LIFE)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::builder(address).name("process").reconnect(Reconnect::never()).connect().await.unwrap();
        let gate = Gate::new();
        serve_gated(&client, "job", 1, &gate).await;
        let opener = gate.clone();
        std::thread::spawn(move || {
            for _ in std::io::stdin().lines() {
                opener.let_go(1);
            }
        });
        match &*life {
            "drains" => {
                let drained = client.run_until_signal(Duration::from_secs(60)).await.unwrap();
                assert_eq!((drained.finished, drained.cut_off), (1, 0));
            }
            "is cut off" => {
                let drained = client.run_until_signal(Duration::from_secs(3_600)).await.unwrap();
                assert_eq!((drained.finished, drained.cut_off), (0, 1));
            }
            "loses its server" => {
                let why = client.run_until_signal(PATIENCE).await.unwrap_err();
                assert_eq!(why.code(), Code::Disconnected);
            }
            "is closed" => {
                let ending = client.clone();
                tokio::spawn(async move { ending.close().await });
                let drained = client.run_until_signal(PATIENCE).await.unwrap();
                assert_eq!(drained.finished, 0);
            }
            // Ends by itself.
            _ => client.close().await,
        }
    });
}

/// The service leaves in order: what runs finishes, what waits goes to others, and the process ends well.
async fn a_signal_lets_work_finish(signal: Signal) {
    let broker = TestBroker::start().await;
    let (caller, other) = (broker.client("caller").await, broker.client("other").await);
    let mut process = Process::start(&broker, "drains");
    until_serving(&caller).await;
    let runs = begin(caller.call::<u32>("job", 1));
    until_told("work under way", &caller, "$stats", |told| told["in_flight"] == 1).await;
    let waits = begin(caller.call::<u32>("job", 2));
    until_told("a call in the queue", &caller, "$stats", |told| told["queued"] == 1).await;
    process.signal(signal);
    other.serve("job", |n: u32| async move { answerback::Ok(10 * n) }).await.unwrap();
    assert_eq!(soon("the answer of another", waits).await.unwrap().unwrap(), 20);
    until_told("the end of the service", &caller, "$actions", |told| told["actions"][0]["credit"] == 64).await;
    process.let_go();
    assert_eq!(soon("the answer of the process", runs).await.unwrap().unwrap(), 1);
    assert!(process.ended_well().await);
}

/// Seed 49, for a service.
#[tokio::test]
async fn sigterm_lets_work_finish() {
    a_signal_lets_work_finish(Signal::TERM).await;
}

/// Seed 49, for a service.
#[tokio::test]
async fn sigint_lets_work_finish() {
    a_signal_lets_work_finish(Signal::INT).await;
}

#[tokio::test]
async fn a_second_signal_ends_the_draining_at_once() {
    let broker = TestBroker::start().await;
    let caller = broker.client("caller").await;
    let mut process = Process::start(&broker, "is cut off");
    until_serving(&caller).await;
    let runs = begin(caller.call::<u32>("job", 1));
    until_told("work under way", &caller, "$stats", |told| told["in_flight"] == 1).await;
    process.signal(Signal::TERM);
    let drains =
        |told: &serde_json::Value| told["actions"][0]["credit"] == 0 || told["actions"] == serde_json::json!([]);
    until_told("the draining", &caller, "$actions", drains).await;
    process.signal(Signal::INT);
    let error = soon("the word on it", runs).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.ran()), (Code::HandlerLost, Ran::Maybe));
    assert!(process.ended_well().await);
}

#[tokio::test]
async fn a_service_that_loses_its_server_for_good_says_why() {
    let broker = TestBroker::start().await;
    let mut process = Process::start(&broker, "loses its server");
    until_serving(&broker.client("watcher").await).await;
    broker.stop().await;
    assert!(process.ended_well().await);
}

#[tokio::test]
async fn a_service_that_is_closed_by_its_program_ends_without_a_signal() {
    let broker = TestBroker::start().await;
    assert!(Process::start(&broker, "is closed").ended_well().await);
}

/// Seed S23: a process ends by itself after it has closed its client.
#[tokio::test]
async fn a_process_ends_by_itself_after_close() {
    let broker = TestBroker::start().await;
    assert!(Process::start(&broker, "ends").ended_well().await);
    let gone = async { while broker.report().await.unwrap().held.sessions > 0 {} };
    soon("the end of its session", gone).await;
}

/// A process that is killed says no goodbye; its session ends after the grace, and it is not counted any more.
#[tokio::test]
async fn s22_a_process_that_is_killed_is_not_counted_any_more() {
    let broker = hasty_broker().await;
    let watcher = broker.client("watcher").await;
    let process = Process::start(&broker, "drains");
    until_serving(&watcher).await;
    process.signal(Signal::KILL);
    until_told("the end of its session", &watcher, "$stats", |told| told["sessions"] == 1).await;
}
