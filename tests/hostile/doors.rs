//! Everybody who is at the wrong door: with the program and the command line, as people see it. Each is told what is wrong on its own side within a
//! second, the server's log has a line with its address, and a crowd of them makes few lines.

use crate::place::{Place, wait_for};
use crate::process::Process;
use crate::stage::{Stage, honest_key, key, key_file, victims_key};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Somebody who is slow because the machine is busy with other tests may try again.
const TRIES: usize = 5;

/// The command line, with nothing of this process's environment that it would listen to.
fn tool(server: SocketAddr, arguments: &[&str]) -> Command {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(TOOL.get_or_init(|| crate::program::build("answerback")));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ANSWERBACK_")) {
        command.env_remove(name);
    }
    command.args(["--server", &server.to_string()]).args(arguments).stdin(Stdio::null());
    command
}

/// Asks again until an answer took less than a second.
fn within_a_second<T>(mut ask: impl FnMut() -> T) -> T {
    for _ in 0..TRIES {
        let begun = Instant::now();
        let answer = ask();
        if begun.elapsed() < SECOND {
            return answer;
        }
    }
    panic!("in {TRIES} tries not one answer came within a second");
}

/// What the command line says to a person who calls, and the number it ends with.
fn told(server: SocketAddr, arguments: &[&str]) -> (i32, String) {
    within_a_second(|| {
        let output = tool(server, &[&["call", "$echo", "1"], arguments].concat()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    })
}

/// What raw bytes are answered with, to the end of the connection.
fn answered(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    within_a_second(|| {
        let mut socket = TcpStream::connect(server).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        answer
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A line of the log about this kind, with the address.
fn logged(server: &Process, kind: &str) {
    let line = server.logged(&format!("kind=\"{kind}\""));
    assert!(line.contains("peer=127.0.0.1:") && line.contains("WARN"), "{line}");
}

const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";

/// The beginning of a ClientHello.
const TLS: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";

const NOISE: &[u8] = b"\xff\x13\x37\xde\xad\xbe\xef\x00\x99";

/// A fatal alert: handshake_failure.
const TLS_ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 40];

#[test]
fn people_at_the_wrong_door_are_told_which_it_is() {
    let (sealed, plain) = (Stage::with(&[]), Process::start(&[]));
    let place = Place::new();
    let file = |name, key| key_file(&place, name, &key);
    let (sound, wrong) = (file("sound", honest_key()), file("wrong", key("honest", 9)));
    let unknown = file("unknown", key("nobody", 9));
    let door = sealed.address();
    let refused = "key honest is refused, with the unproven words";
    for (server, arguments, words, next) in [
        (door, vec!["--key-file", &wrong], refused, "--key-file FILE with a key"),
        (door, vec!["--key-file", &unknown], "key nobody is refused", "--key-file FILE with a key"),
        (door, vec![], "it takes nobody without a key", "--key-file FILE"),
        (plain.address, vec!["--key-file", &sound], "a server without keys answers", "connect without a key"),
    ] {
        let (code, said) = told(server, &arguments);
        assert!(code == 6 && said.contains(words) && said.contains(next), "{code} {said}");
    }
    // One and the same for both, but for the name that the client itself gave.
    let strip = |said: String| said.replace("honest", "").replace("nobody", "");
    assert_eq!(strip(told(door, &["--key-file", &wrong]).1), strip(told(door, &["--key-file", &unknown]).1));
    for kind in ["key", "plain"] {
        logged(&sealed.server, kind);
    }
    logged(&plain, "sealed");
    let output = tool(door, &["call", "$echo", "1", "--key-file", &sound]).output().unwrap();
    assert_eq!(text(&output.stdout), "1\n", "{output:?}");
}

#[test]
fn browsers_tls_clients_and_scanners_are_answered_in_their_own_language() {
    let (sealed, plain) = (Stage::with(&["--handshake", "300ms"]), Process::start(&["--handshake", "300ms"]));
    for server in [&sealed.server, &plain] {
        let http = text(&answered(server.address, HTTP));
        assert!(http.starts_with("HTTP/1.1 400 Bad Request\r\n") && http.contains("not HTTP"), "{http}");
        assert_eq!(answered(server.address, TLS), TLS_ALERT);
        let noise = text(&answered(server.address, NOISE));
        let words = if server.address == plain.address {
            "a frame of 4279449566 bytes"
        } else {
            "these bytes are something else"
        };
        assert!(noise.contains(words), "{noise}");
        let silence = text(&answered(server.address, b""));
        assert!(silence.contains("no `hello` within 300 ms"), "{silence}");
        for kind in ["http", "tls", "unknown", "silent"] {
            logged(server, kind);
        }
        drop(TcpStream::connect(server.address).unwrap());
        let line = server.logged("kind=\"gone\"");
        assert!(line.contains("peer=127.0.0.1:"), "{line}");
    }
}

/// Two hundred of all kinds: all are counted, a few are lines.
#[test]
fn a_crowd_at_the_wrong_door_makes_few_lines() {
    let stage = Stage::with(&["--handshake", "300ms"]);
    let (begun, door) = (Instant::now(), stage.address());
    let kinds: [&[u8]; 4] = [HTTP, TLS, NOISE, &[0, 0, 0, 9]];
    for at in 0..200 {
        let mut socket = TcpStream::connect(door).unwrap();
        socket.write_all(kinds[at % 4]).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let counted = |kind: &str| stage.metric(&format!("answerback_strangers_total{{kind=\"{kind}\"}}"));
    wait_for("all to be counted", || {
        ["http", "tls", "unknown", "plain"].iter().all(|kind| counted(kind) == 50).then_some(())
    });
    // One a second of each kind, and one for the second that had begun.
    let most = 4 * (begun.elapsed().as_secs() as usize + 2);
    let log = stage.log();
    let lines = log.lines().filter(|line| line.contains(" WARN ")).count();
    assert!((4..=most).contains(&lines), "{lines} lines, at most {most} are right: {log}");
    assert!(log.contains("also="), "{log}");
}

/// The keys stay where they are: not a piece of one is in what anybody is told or in the log.
#[test]
fn no_secret_is_in_any_log_or_answer() {
    let stage = Stage::with(&["--log", "trace", "--handshake", "300ms"]);
    let place = Place::new();
    let secrets: Vec<_> = [honest_key(), victims_key(), key("honest", 9)]
        .iter()
        .map(|key| answerback_server::key_ring::text::print(key).rsplit_once(':').unwrap().1.to_owned())
        .collect();
    let mut said = String::new();
    for (name, key) in [("sound", honest_key()), ("wrong", key("honest", 9)), ("unknown", key("nobody", 7))] {
        let file = key_file(&place, name, &key);
        let output = tool(stage.address(), &["call", "$echo", "1", "--key-file", &file]).output().unwrap();
        said += &(text(&output.stdout) + &text(&output.stderr));
    }
    said += &stage.log();
    for secret in secrets {
        assert!(!said.contains(&secret[..12]), "a piece of a secret is in {said}");
    }
}
