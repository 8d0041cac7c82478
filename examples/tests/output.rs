//! Every example is run against a broker of its own, and says what `expected/` says that it says.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const EXAMPLES: [&str; 11] = [
    "hello",
    "workers",
    "ttl_queue",
    "broadcast",
    "emitter",
    "cancel",
    "graceful_shutdown",
    "typed_errors",
    "durable",
    "just_there",
    "sealed",
];

/// These need more than one server: `mesh.sh` starts what they need.
const OF_THE_WHOLE: [&str; 1] = ["balanced"];

/// An example is short, to read and to run.
const LINES_MAX: usize = 60;
const RUNS_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn every_example_says_what_it_should() {
    for name in EXAMPLES {
        let broker = answerback_testing::TestBroker::start().await;
        let (said, errors) = run(name, &broker.address());
        let expected = std::fs::read_to_string(folder().join("expected").join(format!("{name}.txt"))).unwrap();
        assert_eq!(said, expected, "{name}: what it said on the left; its errors: {errors}");
    }
}

#[test]
fn every_example_is_short_and_says_how_to_run_it() {
    for name in EXAMPLES.iter().chain(&OF_THE_WHOLE) {
        let text = std::fs::read_to_string(folder().join(format!("{name}.rs"))).unwrap();
        assert!(text.lines().count() < LINES_MAX, "{name} is not short");
        assert_eq!(text.lines().next(), Some(&*format!("//! cargo run --example {name}")));
    }
}

#[test]
fn no_example_is_forgotten() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let programs = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let mut names: Vec<String> = programs
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "lib")
        .collect();
    names.sort();
    let mut known = [&EXAMPLES[..], &OF_THE_WHOLE].concat();
    known.sort_unstable();
    assert_eq!(names, known);
}

/// Seeds 44 and 47: two servers, a balancer and two services with one command. It stops all that it has started.
#[test]
fn the_whole_set_starts_with_one_command() {
    for name in OF_THE_WHOLE {
        let mut script = Command::new(folder().join("mesh.sh"));
        script.arg(program(name)).env("ANSWERBACK_BIN", programs());
        script.envs(["NORTH", "SOUTH", "FRONT"].map(|port| (port, "0")));
        let (said, errors) = finish(name, &mut script);
        let expected = std::fs::read_to_string(folder().join("expected").join(format!("{name}.txt"))).unwrap();
        assert_eq!(said, expected, "{name}: what it said on the left; its errors: {errors}");
    }
}

/// Where the server and the balancer are; they are built if they are not.
fn programs() -> PathBuf {
    let profile = if cfg!(debug_assertions) { "test" } else { "release" };
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--workspace", "--bin", "answerback-server", "--bin", "answerback-balancer"]);
    assert!(build.args(["--quiet", "--profile", profile]).current_dir(folder()).status().unwrap().success());
    std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().to_owned()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs an example to its end, within its time.
fn run(name: &str, server: &str) -> (String, String) {
    finish(name, Command::new(program(name)).env("ANSWERBACK_SERVER", server))
}

fn finish(name: &str, example: &mut Command) -> (String, String) {
    example.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = example.spawn().unwrap_or_else(|error| panic!("{name}: {error}: build it with cargo build --examples"));
    let id = child.id();
    let (done, is_done) = std::sync::mpsc::channel();
    let started = Instant::now();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = is_done.recv_timeout(RUNS_WITHIN).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        panic!("{name} did not end within {:?}", started.elapsed())
    });
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} failed: {errors}");
    (String::from_utf8(output.stdout).unwrap(), errors)
}

/// Beside this test, in the folder `examples`.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let build = test.parent().and_then(Path::parent).unwrap();
    build.join("examples").join(name)
}
