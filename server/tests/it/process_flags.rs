//! What the process makes of its flags, its environment and its surroundings.

use crate::place::Place;
use crate::process::{Process, command, http, run, value};
use std::process::Stdio;

#[test]
fn help_names_every_flag_with_its_default_in_lines_that_fit() {
    let said = run(&["--help"], &[("COLUMNS", "100")]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    for text in ["--listen", "[default: 127.0.0.1:7040]", "--kept-reply-memory", "Exit codes", "ANSWERBACK_MAX_FRAME"] {
        assert!(said.out.contains(text), "{text}");
    }
    let flags = said.out.lines().filter(|line| line.trim_start().starts_with("--")).count();
    let wrapped = said.out.lines().filter(|line| line.starts_with("           ")).count();
    assert_eq!((flags, wrapped), (55, 0), "{}", said.out);
}

#[test]
fn the_version_is_told() {
    let said = run(&["--version"], &[]);
    assert_eq!((said.code, said.out), (Some(0), format!("answerback-server {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn flags_that_are_not_known_are_a_usage_error() {
    let said = run(&["--listne", "127.0.0.1:0"], &[]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("--listne") && said.err.contains("--listen"), "{}", said.err);
}

#[test]
fn all_mistakes_are_told_at_once_wherever_they_come_from() {
    let args = ["--listen", "0.0.0.0:7040", "--heartbeat", "15", "--max-actions", "0"];
    let said = run(&args, &[("ANSWERBACK_MAX_FRAME", "8MB"), ("ANSWERBACK_LOG", "loud")]);
    assert_eq!((said.code, said.out.as_str()), (Some(78), ""));
    for flag in ["LISTEN", "HEARTBEAT", "MAX_ACTIONS", "MAX_FRAME", "LOG"] {
        assert_eq!(said.err.matches(&format!("ANSWERBACK_{flag})")).count(), 1, "{flag}: {}", said.err);
    }
    for right in ["tunnel or VPN", "127.0.0.1:7040", "10s", "at least 1", "8MiB", "info"] {
        assert!(said.err.contains(right), "{right}: {}", said.err);
    }
}

#[test]
fn the_environment_says_what_flags_say_and_a_flag_wins() {
    let place = Place::new();
    let mut command = command();
    command.env("ANSWERBACK_LISTEN", "127.0.0.1:0").env("ANSWERBACK_ADMIN", "off").env("ANSWERBACK_ID", "from-env");
    command.env("ANSWERBACK_DATA_DIR", &place.0).env("ANSWERBACK_DRAIN_DEADLINE", "3s").args(["--id", "from-flag"]);
    let process = Process::spawn(command);
    assert_eq!((process.admin, process.banner.contains("from-flag")), (None, true));
    assert!(process.banner.contains("within 3s"), "{}", process.banner);
}

#[test]
fn the_banner_says_where_it_is_and_what_to_type_next() {
    let process = Process::start(&["--id", "blue"]);
    let name = format!("answerback-server {} · blue", env!("CARGO_PKG_VERSION"));
    assert!(process.banner.contains(&name), "{}", process.banner);
    assert_ne!((process.address.port(), process.admin.unwrap().port()), (0, 0));
    let next = format!("answerback serve hello --echo --server {}", process.address);
    assert_eq!(value(&process.banner, "try"), next);
    assert_eq!(process.ask("GET", "/readyz"), (200, "ready\n".to_owned()));
}

#[test]
fn the_json_log_is_one_object_a_line_and_there_is_no_banner() {
    let place = Place::new();
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "off", "--log-format", "json", "--data-dir"]).arg(&place.0);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stderr.take().unwrap()), &mut line).unwrap();
    child.kill().unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((event["message"].as_str(), event["id"].as_str()), (Some("listening"), Some("server1")));
    assert!(event["listen"].as_str().unwrap().starts_with("127.0.0.1:") && out.is_empty());
}

#[test]
fn a_port_in_use_says_which_flag_to_change() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin"] {
        let (place, other) = (Place::new(), if flag == "--listen" { "--admin" } else { "--listen" });
        let said = run(&[flag, &taken, other, "127.0.0.1:0", "--data-dir", place.0.to_str().unwrap()], &[]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
        assert!(said.err.contains(&format!("cannot listen on {taken}")) && said.err.contains(flag), "{}", said.err);
    }
}

#[test]
fn a_directory_in_use_says_by_whom() {
    let place = Place::new();
    let dir = place.0.to_str().unwrap();
    let mut first = command();
    first.args(["--listen", "127.0.0.1:0", "--admin", "off", "--id", "first", "--data-dir", dir]);
    let first = Process::spawn(first);
    let said = run(&["--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", dir], &[]);
    assert_eq!(said.code, Some(1));
    let holder = format!("pid {}, id first, listening on {}", first.id(), first.address);
    assert!(said.err.contains(&holder) && said.err.contains("--data-dir"), "{}", said.err);
}

#[test]
fn fewer_open_files_than_connections_lower_the_limit() {
    let place = Place::new();
    let mut shell = std::process::Command::new("sh");
    let script = "ulimit -n 200; exec \"$0\" --listen 127.0.0.1:0 --admin off --data-dir \"$1\"";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_answerback-server")]).arg(&place.0);
    let process = Process::spawn(shell);
    let line = process.logged("open files");
    assert!(line.contains("WARN") && line.contains("max_connections=72"), "{line}");
}

#[test]
fn admin_pages() {
    let process = Process::start(&[]);
    assert_eq!(process.ask("GET", "/livez"), (200, "live\n".to_owned()));
    assert_eq!(process.ask("HEAD", "/readyz"), (200, String::new()));
    let (status, text) = process.ask("GET", "/");
    assert_eq!((status, text.contains("/livez") && text.contains("/readyz")), (404, true));
    assert_eq!(process.ask("POST", "/livez").0, 405);
    let admin = process.admin.unwrap();
    assert!(http(admin, "no http at all\r\n\r\n").starts_with("HTTP/1.1 400"));
    let head = "x".repeat(20_000);
    assert!(http(admin, &format!("GET / HTTP/1.1\r\nA: {head}")).starts_with("HTTP/1.1 431"));
    assert_eq!(process.ask("GET", "/livez").0, 200);
}
