//! Keys and TLS: where the key comes from, every command with one, and what is said at a wrong door.

use crate::bed::{Bed, Ended, finish, tool};
use crate::sealed_front::{Door, key, refusal};
use answerback::{Code, Key, KeyId, Secret};
use std::path::{Path, PathBuf};

/// The key whose secret is 00 01 … 1f.
const TEXT: &str = "abk1:billing/2:aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp5c7jcgq";

fn listed_key() -> Key {
    Key { id: KeyId::new("billing/2").unwrap(), secret: Secret::new(std::array::from_fn(|at| at as u8)) }
}

/// A server, the door to it that wants a key, and that key in a file.
fn sealed_bed() -> (Bed, Door, PathBuf) {
    let bed = Bed::start();
    let door = Door::before(bed.address, listed_key());
    let file = bed.place.join("billing.key");
    write_private(&file, TEXT);
    (bed, door, file)
}

fn write_private(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn at(door: &Door, arguments: &[&str]) -> Ended {
    finish(tool(&[&["--server", &door.address()], arguments].concat()), "")
}

#[test]
fn every_command_that_connects_takes_a_key() {
    let (bed, door, file) = sealed_bed();
    let file = file.to_str().unwrap();
    let _serving = bed.serve(&["hello", "--echo", "--server", &door.address(), "--key-file", file]);
    at(&door, &["call", "hello", "1", "--key-file", file]).printed("1\n");
    at(&door, &["--key-file", file, "send", "hello", "1"]).printed("accepted\n");
    for arguments in [
        &["ls"][..],
        &["explain", "hello"],
        &["check"],
        &["call", "hello", "1", "--broadcast"],
        &["bench", "--connections", "2", "--calls", "100"],
    ] {
        let ended = at(&door, &[&["--key-file", file], arguments].concat());
        assert_eq!(ended.code, 0, "{arguments:?} {ended:?}");
    }
}

#[test]
fn a_key_comes_from_a_flag_the_environment_or_a_credential() {
    let (bed, door, file) = sealed_bed();
    let credentials = bed.place.join("credentials");
    write_private(&credentials.join("answerback.key"), TEXT);
    for (variable, value) in [
        ("ANSWERBACK_KEY_FILE", file.to_str().unwrap()),
        ("ANSWERBACK_KEY", TEXT),
        ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()),
    ] {
        let mut command = tool(&["--server", &door.address(), "call", "$echo", "1"]);
        command.env(variable, value);
        finish(command, "").printed("1\n");
    }
    // A pipe gives its key once, whoever asks how often.
    let server = door.address();
    let script = format!(
        "{} --server {server} bench --connections 2 --calls 10 --key-file <(cat {})",
        env!("CARGO_BIN_EXE_answerback"),
        file.display()
    );
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &script]).stdin(std::process::Stdio::piped());
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let piped = finish(shell, "");
    assert_eq!(piped.code, 0, "{piped:?}");
}

#[test]
fn a_key_that_cannot_be_had_is_told_and_nothing_is_connected() {
    let (bed, door, file) = sealed_bed();
    let missing = at(&door, &["ls", "--key-file", "/nowhere/billing.key"]);
    missing.failed(2, "--key-file: cannot read /nowhere/billing.key");
    std::fs::write(&file, &TEXT[..40]).unwrap();
    let half = at(&door, &["ls", "--key-file", file.to_str().unwrap()]);
    half.failed(2, "is not a key");
    assert!(!half.err.contains("aaaq"), "{half:?}");
    let mut both = tool(&["ls", "--server", &door.address()]);
    both.env("ANSWERBACK_KEY", TEXT).env("ANSWERBACK_KEY_FILE", &file);
    finish(both, "").failed(2, "are both given");
    let ca = at(&door, &["ls", "--tls", "--tls-ca", "/nowhere/ca.pem"]);
    ca.failed(2, "--tls-ca: cannot read /nowhere/ca.pem");
    at(&door, &["ls", "--tls-ca", "ca.pem"]).failed(2, "--tls");
    at(&door, &["ls", "--tls", "--tls-certificate", "a.pem"]).failed(2, "--tls-certificate-key");
    assert_eq!(door.visits.load(std::sync::atomic::Ordering::Relaxed), 0);
    drop(bed);
}

#[test]
fn every_wrong_door_has_its_own_words() {
    let (bed, door, file) = sealed_bed();
    let with_key = ["ls", "--key-file", file.to_str().unwrap()];
    let told = |ended: Ended, words: &str, next: &str| {
        ended.failed(6, words);
        let last = ended.err.lines().last().unwrap_or_default();
        assert!(last.contains(next), "{ended:?}");
    };
    told(at(&door, &["ls"]), "it takes nobody without a key", "--key-file FILE");
    let other = Door::before(bed.address, key("billing/2", 9));
    told(at(&other, &with_key), "key billing/2 is refused, with the unproven words", "--key-file FILE with a key");
    let server = bed.address.to_string();
    let plain = [&["--server", &server], &with_key[..]].concat();
    told(finish(tool(&plain), ""), "a server without keys answers", "connect without a key");
    let http = Door::that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    told(at(&http, &with_key), "it answers in HTTP", "--server HOST:PORT of an Answerback server");
    told(at(&http, &["ls"]), "it answers in HTTP", "--server HOST:PORT of an Answerback server");
    told(at(&http, &["ls", "--tls"]), "not TLS", "connect without --tls");
    let tls = Door::that_says(b"\x15\x03\x03\0\x02\x02\x28");
    told(at(&tls, &with_key), "it answers in TLS", "--server HOST:PORT of an Answerback server");
    let silent = Door::that_is_silent();
    told(at(&silent, &with_key), "no answer to the greeting within 5s", "see whether --server is right");
    let closed = Door::that_says(b"");
    told(at(&closed, &with_key), "closed instead of an answer", "it may have no keys");
    let hostile = Door::that_says(refusal(Code::Denied, "\u{1b}[2J\nnext: rm -rf"));
    let ended = at(&hostile, &with_key);
    ended.failed(6, "key billing/2 is refused");
    assert!(!ended.err.contains('\u{1b}') && ended.err.lines().count() == 2, "{ended:?}");
    told(finish(tool(&[&["--server", "127.0.0.1:1"], &with_key[..]].concat()), ""), "refused", "answerback-server");
}
