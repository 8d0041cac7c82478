//! The process with keys: where they come from, what is said when they are bad, and how they are read again.

use crate::client::{Client, key};
use crate::place::Place;
use crate::process::{Process, command, command_in, run, value};
use answerback_protocol::sealed::Key;
use answerback_server::key_ring::{file, text};
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

fn billing() -> Key {
    key("billing", 7)
}

/// A directory with a file that its owner alone can read.
fn place_with(name: &str, content: &str) -> (Place, PathBuf) {
    let place = Place::new();
    fs::create_dir_all(&place.0).unwrap();
    let path = place.0.join(name);
    write(&path, content);
    (place, path)
}

fn write(path: &PathBuf, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn entry(key: &Key, rest: &str) -> String {
    format!("[{}]\nkeys = [\"{}\"]\n{rest}\n", key.id.holder(), &*text::print(key))
}

fn key_file() -> (Place, PathBuf) {
    let place = Place::new();
    fs::create_dir_all(&place.0).unwrap();
    let path = place.0.join("key");
    file::create_key_file(&path, &[], &billing()).unwrap();
    (place, path)
}

/// Flag, variable with a path, variable with the text, credential: whichever it is, a client with the key comes in.
#[test]
fn one_key_from_anywhere() {
    let (place, path) = key_file();
    let text = text::print(&billing());
    fs::copy(&path, place.0.join("answerback.key")).unwrap();
    let variables = [
        ("ANSWERBACK_KEY_FILE", path.as_os_str()),
        ("ANSWERBACK_KEY", text.as_str().as_ref()),
        ("CREDENTIALS_DIRECTORY", place.0.as_os_str()),
    ];
    for (name, said) in variables {
        let data = Place::new();
        let mut command = command_in(&data, &[]);
        command.env(name, said);
        let process = Process::spawn(command);
        assert_eq!(value(&process.banner, "keys"), "1 key of 1 holder", "{name}");
        Client::sealed(process.address, &billing(), "client");
    }
    let process = Process::start(&["--key-file", path.to_str().unwrap()]);
    let next = format!("answerback serve hello --echo --server {} --key-file {}", process.address, path.display());
    assert_eq!(value(&process.banner, "try"), next);
    Client::sealed(process.address, &billing(), "client");
}

/// With keys a server listens where others can reach it; without, it says what to do.
#[test]
fn beyond_loopback_only_with_keys() {
    let (_place, path) = key_file();
    let data = Place::new();
    let mut with = command();
    with.args(["--listen", "0.0.0.0:0", "--admin", "off", "--data-dir"]).arg(&data.0).arg("--key-file").arg(&path);
    let process = Process::spawn(with);
    assert_eq!(process.address.ip().to_string(), "0.0.0.0");
    Client::sealed(([127, 0, 0, 1], process.address.port()).into(), &billing(), "client");
    let said = run(&["--listen", "0.0.0.0:7040"], &[]);
    assert_eq!(said.code, Some(78));
    for advice in ["answerback keygen", "--key-file FILE", "--keys FILE", "listen on 127.0.0.1:7040"] {
        assert!(said.err.contains(advice), "{advice}: {}", said.err);
    }
}

/// Bad keys stand among the other mistakes, each with what to do, and are not blamed for what follows from them.
#[test]
fn bad_keys_are_told_with_all_other_mistakes() {
    let (_place, path) = place_with("keys", "[billing]\nkeys = [\"abk1:x\"]\ncalls = []\n\n[web]\nadmin = true\n");
    let path = path.to_str().unwrap();
    let said = run(&["--keys", path, "--heartbeat", "15", "--listen", "0.0.0.0:7040"], &[]);
    assert_eq!((said.code, said.out.as_str()), (Some(78), ""));
    for text in
        ["--keys (or ANSWERBACK_KEYS)", "line 2", "did you mean `call`?", "nobody can be this holder", "--heartbeat"]
    {
        assert!(said.err.contains(text), "{text}: {}", said.err);
    }
    assert!(!said.err.contains("abk1:x") && !said.err.contains("--listen (or"), "{}", said.err);
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let said = run(&["--keys", path], &[]);
    assert!(said.code == Some(78) && said.err.contains("chmod 600"), "{}", said.err);
    let said = run(&["--key-file", "/nowhere/key"], &[("ANSWERBACK_KEY", "abk1:x")]);
    assert!(
        said.err.contains("--key-file (or ANSWERBACK_KEY_FILE)") && said.err.contains("/nowhere/key"),
        "{}",
        said.err
    );
    let said = run(&["--key-file", "a", "--keys", "b"], &[]);
    assert!(said.code == Some(78) && said.err.contains("take away --key-file or --keys"), "{}", said.err);
}

/// Both ways to have keys read again, and a bad file, which changes nothing.
#[test]
fn keys_are_read_again_on_sighup_and_by_the_admin_port() {
    let web = key("web", 3);
    let (_place, path) = place_with("keys", &entry(&billing(), "admin = true"));
    let process = Process::start(&["--keys", path.to_str().unwrap()]);
    let mut first = Client::sealed(process.address, &billing(), "first");

    write(&path, &format!("{}{}", entry(&billing(), "admin = true"), entry(&web, "call = [\"pay\"]")));
    process.signal(Signal::HUP);
    process.logged("keys read again, asked by SIGHUP: 2 holders, 2 keys; added 1: web; 0 connections closed");
    let mut second = Client::sealed(process.address, &web, "second");

    write(&path, "[web]\nkeys = 7\n");
    process.signal(Signal::HUP);
    process.logged("the keys cannot be read again; those before go on");
    let (status, body) = process.ask("POST", "/reload");
    let error: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 400);
    assert!(error["error"].as_str().unwrap().contains("`keys` is a list"), "{body}");
    for client in [&mut first, &mut second] {
        client.call(1, "$echo", b"1");
        assert_eq!(client.hear().data, b"1");
    }

    write(&path, &entry(&web, ""));
    let (status, body) = process.ask("POST", "/reload");
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "holders": 1, "keys": 1, "added": [], "removed": ["billing"], "changed": ["web"], "closed": 1
    });
    assert_eq!((status, told), (200, expected));
    assert!(first.hear().error().fatal);
    second.call(2, "$echo", b"2");
    assert_eq!(second.hear().data, b"2");
    assert_eq!(process.ask("GET", "/reload").0, 405);
}

/// Keys that a password manager writes into a pipe will do for a start. Read again, a pipe kept a server waiting for somebody to write: it neither
/// answered nor ended.
#[test]
fn a_pipe_will_do_for_a_start_and_not_for_a_reload() {
    let (place, path) = key_file();
    let (pipe, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&fs::read(&path).unwrap()).unwrap();
    drop(writer);
    let data = Place::new();
    let mut command = command_in(&data, &["--key-file", "/dev/stdin"]);
    command.stdin(pipe);
    let mut process = Process::spawn(command);
    let mut client = Client::sealed(process.address, &billing(), "client");
    refuses_to_read_again(&process, &mut client);
    process.signal(Signal::TERM);
    process.end();

    let mut process = Process::start(&["--key-file", path.to_str().unwrap()]);
    let mut client = Client::sealed(process.address, &billing(), "client");
    fs::remove_file(&path).unwrap();
    let made = Command::new("mkfifo").args(["-m", "600"]).arg(place.0.join("key")).status().unwrap();
    assert!(made.success());
    refuses_to_read_again(&process, &mut client);
    process.signal(Signal::TERM);
    process.end();
}

fn refuses_to_read_again(process: &Process, client: &mut Client) {
    let (status, body) = process.ask("POST", "/reload");
    assert!(status == 400 && body.contains("cannot be read a second time: start the server again"), "{body}");
    process.signal(Signal::HUP);
    process.logged("the keys cannot be read again; those before go on");
    client.call(1, "$echo", b"1");
    assert_eq!(client.hear().data, b"1");
}

#[test]
fn without_keys_there_is_nothing_to_reload() {
    let process = Process::start(&[]);
    process.signal(Signal::HUP);
    process.logged("nothing to reload: this server has no keys");
    let (status, body) = process.ask("POST", "/reload");
    assert_eq!((status, body.contains("nothing to reload")), (404, true));
    assert!(value(&process.banner, "keys").starts_with("none"));
    Client::welcomed(process.address, "client");
}
