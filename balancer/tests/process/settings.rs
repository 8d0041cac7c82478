//! What a person sees who starts it.

use crate::support::program;
use std::net::TcpListener;

fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = program().args(args).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(if output.stdout.is_empty() { output.stderr } else { output.stdout }).unwrap(),
    )
}

#[test]
fn help_fits_and_bad_settings_come_at_once() {
    let (code, help) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    for heading in ["Where:", "Backends:", "Health:", "Connections:", "Leaving and moving:", "Log:"] {
        assert!(help.contains(heading), "{heading}");
    }
    let (code, text) = run(&["--listen", "x", "--fall", "0", "--backend", "nonsense"]);
    assert_eq!(code, Some(78));
    for flag in ["--listen", "--fall", "--backend (or ANSWERBACK_BALANCER_BACKEND)"] {
        assert!(text.contains(flag), "{text}");
    }
    assert_eq!(run(&["--nonsense"]).0, Some(2));
}

#[test]
fn an_address_that_is_taken_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = run(&["--listen", &address, "--backend", "127.0.0.1:1"]);
    assert_eq!(code, Some(1));
    assert!(text.contains(&format!("cannot listen on {address}")) && text.contains("--listen"), "{text}");
}
