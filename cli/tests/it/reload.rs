//! `reload`, against an admin page that says what a test wants it to say.

use crate::bed::{Ended, finish, tool};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

/// Asks an admin page that answers this; what the tool said, and what the page was asked.
fn reload(status: &str, body: &str, arguments: &[&str]) -> (Ended, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let page = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let asked: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        stream.write_all(answer.as_bytes()).unwrap();
        asked.join("\n").to_lowercase()
    });
    let ended = finish(tool(&[&["reload", "--admin", &address], arguments].concat()), "");
    (ended, page.join().unwrap())
}

#[test]
fn what_changed_is_printed() {
    let body = r#"{"holders":3,"keys":4,"added":["x"],"removed":["y"],"changed":["z"],"closed":2}"#;
    let (told, asked) = reload("200 OK", body, &[]);
    told.printed("3 holders, 4 keys; added x; removed y; changed z; 2 connections closed\n");
    assert!(asked.starts_with("post /reload http/1.1\n") && asked.contains("\nanswerback-admin: yes"), "{asked}");
    let (told, _) = reload("200 OK", body, &["--json"]);
    assert_eq!(told.json(), serde_json::from_str::<serde_json::Value>(body).unwrap());
}

#[test]
fn mistakes_are_shown_line_by_line() {
    let body = r#"{"error":"--keys: 2 mistakes in k.toml\nline 1: [a] x\nline 2: [b] \u001b[2Jy"}"#;
    let (told, _) = reload("400 Bad Request", body, &[]);
    told.failed(1, "goes on with the keys that it has: --keys: 2 mistakes in k.toml");
    let lines: Vec<_> = told.err.lines().collect();
    assert_eq!(
        lines[1..],
        ["line 1: [a] x", "line 2: [b] \\u001b[2Jy", "next: mend that on the server's machine, and reload again"]
    );
    let (told, _) = reload("400 Bad Request", body, &["--json"]);
    assert_eq!(told.error_json()["error"]["lines"].as_array().unwrap().len(), 2);
}

#[test]
fn who_is_no_admin_port_of_a_server_with_keys_is_told() {
    reload("404 Not Found", "", &[]).0.failed(6, "has no page /reload");
    reload("403 Forbidden", "not meant", &[]).0.failed(6, "refuses: not meant (HTTP 403)");
    reload("200 OK", "<html>", &[]).0.failed(1, "answers nothing that is understood: <html>");
    reload("200 OK", &"x".repeat(3 << 20), &[]).0.failed(1, "answers nothing that is understood");
    finish(tool(&["reload", "--admin", "127.0.0.1:1"]), "").failed(6, "cannot connect to 127.0.0.1:1");
}
