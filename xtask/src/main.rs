//! Chores of this repository, started with `cargo xtask`. The one that counts is `cargo xtask check`: the whole gate, and
//! what CI runs. It needs nothing installed beyond cargo.

// A chore speaks to the person who started it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod instructions;
mod named_tests;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

const HELP: &str = "cargo xtask check [STEP]   the whole gate, or one step of it:
  fmt       every file is formatted
  tidy      rules of the house that no other tool knows
  lint      no warning of the compiler or of clippy
  features  the library builds with each of its features and with none
  test      all tests, as README says: cargo test --workspace
  docs      the documentation builds without a warning
  instructions  a call takes no more instructions than benches/instructions.txt says; needs valgrind, without it says so
cargo xtask instructions record  makes what is counted now the record
cargo xtask sim [SEEDS]     the simulation with this many seeds (default 20000)
cargo xtask fuzz [SECONDS]  every fuzz target for this long (default 60); needs cargo-fuzz and a nightly toolchain";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["check"] => STEPS.iter().all(run_step),
        ["check", name] => match STEPS.iter().find(|step| step.name == name) {
            Some(step) => run_step(step),
            None => usage(),
        },
        ["instructions"] => instructions::check(&root(), false),
        ["instructions", "record"] => instructions::check(&root(), true),
        ["sim"] => simulate("20000"),
        ["sim", seeds] => simulate(seeds),
        ["fuzz"] => fuzz("60"),
        ["fuzz", seconds] => fuzz(seconds),
        _ => usage(),
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> bool {
    eprintln!("{HELP}");
    false
}

/// A part of the gate.
struct Step {
    name: &'static str,
    run: fn() -> bool,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", run: || cargo(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", run: || tidy::check(&root()) },
    Step {
        name: "lint",
        run: || cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]),
    },
    // The workspace builds the library with all that anybody in it asks for; its users do not.
    Step { name: "features", run: || FEATURES.iter().all(|features| check_client(features)) },
    Step { name: "test", run: || cargo(&["test", "--workspace", "--locked"]) },
    Step {
        name: "docs",
        run: || cargo_with("RUSTDOCFLAGS", "--deny warnings", &["doc", "--workspace", "--no-deps", "--locked"]),
    },
    Step { name: "instructions", run: || instructions::check(&root(), false) },
];

/// What a user may ask of the library `answerback`.
const FEATURES: [&str; 4] = ["", "signals", "anyhow", "signals,anyhow"];

fn check_client(features: &str) -> bool {
    cargo(&["clippy", "--package", "answerback", "--locked", "--features", features, "--", "--deny", "warnings"])
}

fn run_step(step: &Step) -> bool {
    println!("── {}", step.name);
    let started = Instant::now();
    let done = (step.run)();
    println!(
        "── {}: {} after {:.1} s",
        step.name,
        if done { "good" } else { "FAILED" },
        started.elapsed().as_secs_f32()
    );
    done
}

fn simulate(seeds: &str) -> bool {
    let test = ["test", "--release", "--package", "answerback-tests", "--test", "simulation", "--locked"];
    cargo_with("SEEDS", seeds, &test)
}

fn fuzz(seconds: &str) -> bool {
    let limit = format!("-max_total_time={seconds}");
    FUZZED.iter().all(|(folder, targets)| targets.iter().all(|target| fuzz_one(folder, target, &limit)))
}

/// The crates that are fuzzed, and their targets.
const FUZZED: [(&str, &[&str]); 3] = [
    ("protocol", &["client_head", "server_head", "inbox", "handshake", "sealed"]),
    ("keys", &["keys_file", "key_text"]),
    ("server", &["proxy_header"]),
];

fn fuzz_one(folder: &str, target: &str, limit: &str) -> bool {
    println!("── fuzz {target}");
    let arguments = ["+nightly", "fuzz", "run", target, "--", limit];
    run(Command::new("cargo").args(arguments).current_dir(root().join(folder)))
}

fn cargo(arguments: &[&str]) -> bool {
    run(Command::new(env!("CARGO")).args(arguments).current_dir(root()))
}

fn cargo_with(variable: &str, value: &str, arguments: &[&str]) -> bool {
    run(Command::new(env!("CARGO")).args(arguments).env(variable, value).current_dir(root()))
}

fn run(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("cannot run {:?}: {error}", command.get_program());
            false
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
