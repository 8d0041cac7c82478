//! The client of PROTOCOL.md, run as a person would: `docs/minimal_client.py` serves in one process and calls in another.

use crate::client::Client;
use crate::process::Process;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

fn python(server: &Process, arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/minimal_client.py"));
    command.args(["--server", &server.address.to_string()]).args(arguments);
    command
}

fn call(server: &Process, arguments: &[&str]) -> Output {
    python(server, &[&["call"], arguments].concat()).output().unwrap()
}

fn said(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// A handler in a process of its own, ended with its test.
struct Handler(Child);

impl Handler {
    fn start(server: &Process, action: &str) -> Self {
        let mut child = python(server, &["serve", action]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("serving {action}\n"));
        Self(child)
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_minimal_client_serves_and_calls() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: python3 is not installed, so docs/minimal_client.py cannot run");
        return;
    }
    let server = Process::start(&["--default-timeout", "2s", "--heartbeat", "1s"]);
    let _handler = Handler::start(&server, "hello");

    let answer = call(&server, &["hello", r#"{"name": "Ada"}"#]);
    assert_eq!((answer.status.code(), said(&answer.stdout)), (Some(0), "{\"name\": \"Ada\"}\n"), "{answer:?}");
    let nothing = call(&server, &["hello"]);
    assert_eq!((nothing.status.code(), said(&nothing.stdout)), (Some(0), "null\n"), "{nothing:?}");
    let actions = call(&server, &["$actions"]);
    assert!(said(&actions.stdout).contains(r#""action":"hello""#), "{actions:?}");

    let nobody = call(&server, &["nobody.home"]);
    let error = said(&nobody.stderr);
    assert_eq!((nobody.status.code(), said(&nobody.stdout)), (Some(1), ""), "{nobody:?}");
    assert!(error.starts_with("no_handler: nobody serves `nobody.home`") && error.ends_with("(ran: no)\n"), "{error}");
    let no_json = call(&server, &["hello", "{"]);
    assert!(no_json.status.code() == Some(1) && said(&no_json.stderr).starts_with("JSONDecodeError"), "{no_json:?}");

    // A handler that answers in parts and then with an error of its own.
    let mut other = Client::serving(server.address, "other", "other", 1);
    let caller = python(&server, &["call", "other"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = other.hear().head["id"].clone();
    other.say(format!(r#"{{"type":"reply","id":{id},"part":true}}"#), "[1]");
    other.say(format!(r#"{{"type":"reply","id":{id},"error":{{"code":"tired","message":"no more"}}}}"#), "");
    let answer = caller.wait_with_output().unwrap();
    let error = said(&answer.stderr);
    assert_eq!((answer.status.code(), said(&answer.stdout)), (Some(1), "[1]\n"), "{answer:?}");
    assert!(error.starts_with("fault: ") && error.contains("no more") && error.ends_with("(ran: yes)\n"), "{error}");
}
