//! A client in another language, written from `docs/PROTOCOL.md` with the package `cryptography`, at the real server: it calls and serves, in records
//! that it sealed itself.
//!
//! The package is installed by the test itself, below the folder for what is built. Who has no network and does not want this test sets
//! `ANSWERBACK_SKIP_PYTHON=1`; who has a Python with the package names it in `ANSWERBACK_PYTHON`.

use crate::stage::{Runs, Stage, Work, client, honest_key, key, key_file, soon, victims_key, work};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const SKIP: &str = "ANSWERBACK_SKIP_PYTHON";
const OWN_PYTHON: &str = "ANSWERBACK_PYTHON";
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// A Python that has what the client needs, or nothing if nobody wants it.
fn python() -> Option<PathBuf> {
    if std::env::var_os(SKIP).is_some() {
        eprintln!("skipped: {SKIP} is set, so the sealed channel was not tried with a client in Python");
        return None;
    }
    if let Some(own) = std::env::var_os(OWN_PYTHON) {
        return Some(own.into());
    }
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-for-sealed-client");
    if !has_package(&place) {
        install(&place);
    }
    Some(interpreter(&place))
}

fn interpreter(place: &Path) -> PathBuf {
    place.join("bin/python")
}

/// Whether this very version is there.
fn has_package(place: &Path) -> bool {
    let script = "import sys, importlib.metadata as m; sys.exit(m.version('cryptography') != sys.argv[1])";
    let wanted = std::fs::read_to_string(format!("{FOLDER}/requirements.txt")).unwrap();
    let version = wanted.trim().strip_prefix("cryptography==").unwrap();
    let output = Command::new(interpreter(place)).args(["-c", script, version]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Makes an environment of its own and puts it in place whole, so that one that was left half made is never used.
fn install(place: &Path) {
    let new = place.with_extension(std::process::id().to_string());
    run(Command::new("python3").args(["-m", "venv"]).arg(&new));
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(interpreter(&new)).args(pip).arg(format!("{FOLDER}/requirements.txt")));
    let _ = std::fs::remove_dir_all(place);
    std::fs::rename(&new, place).unwrap();
}

fn run(command: &mut Command) {
    let advice = format!(
        "The sealed channel is tried with a client in Python, which needs python3 (3.9 or later) with its module venv, and the package in \
         tests/python/requirements.txt, from the network once. Name a Python that has it in {OWN_PYTHON}, or set {SKIP}=1 to go without this test."
    );
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{advice}\n{command:?}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("{advice}\n{command:?}: {error}"),
    }
}

fn client_in_python(python: &Path, stage: &Stage, key_file: &str, arguments: [&str; 2]) -> Child {
    let mut command = Command::new(python);
    command.arg(format!("{FOLDER}/sealed_client.py")).args(["--server", &stage.address().to_string()]);
    command.args(["--key-file", key_file]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn calling(python: &Path, stage: &Stage, key_file: &str, action: &str, lines: &str) -> Output {
    let mut child = client_in_python(python, stage, key_file, ["call", action]);
    let (mut to, lines) = (child.stdin.take().unwrap(), lines.to_owned());
    // It answers while it reads. Who was refused does not read it.
    let writing = std::thread::spawn(move || to.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writing.join();
    output
}

/// Ended with its test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_python_calls_and_serves() {
    let Some(python) = tokio::task::block_in_place(python) else { return };
    let stage = Stage::with(&["--heartbeat", "1s"]);
    let victim = key_file(&stage.place, "victim.key", &victims_key());
    let (runs, honest) = (Runs::default(), client(stage.address(), honest_key(), "honest").await);
    runs.serve(&honest, "work").await;

    // It calls a handler of the library.
    let lines: String = (0..50).map(|number| serde_json::to_string(&work(number)).unwrap() + "\n").collect();
    let output = tokio::task::block_in_place(|| calling(&python, &stage, &victim, "work", &lines));
    assert!(output.status.success(), "{output:?}");
    let answers: Vec<Work> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers, (0..50).map(work).collect::<Vec<_>>());

    // It serves a caller of the library, with data that takes many records, and is alive after some heartbeats.
    let mut serving = Serving(client_in_python(&python, &stage, &victim, ["serve", "victim.py"]));
    let mut said = String::new();
    BufReader::new(serving.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "serving victim.py\n");
    for length in [0, 10, 65_000, 1_000_000] {
        let text = "x".repeat(length);
        let answer = soon("an answer", honest.call::<(String, String)>("victim.py", &text)).await.unwrap();
        assert_eq!(answer, ("honest/honest".to_owned(), text));
    }
    crate::stage::pause(2_500).await;
    let answer = soon("an answer", honest.call::<(String, u32)>("victim.py", 7)).await.unwrap();
    assert_eq!(answer.1, 7);

    // What it may not do, and with a key that is not right.
    let output = tokio::task::block_in_place(|| calling(&python, &stage, &victim, "other", "1\n"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("denied: victim may not call other"), "{said}");
    let wrong = key_file(&stage.place, "wrong.key", &key("victim", 9));
    let output = tokio::task::block_in_place(|| calling(&python, &stage, &wrong, "work", "1\n"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("refused: denied: 'this server does not know this key"), "{said}");
}
