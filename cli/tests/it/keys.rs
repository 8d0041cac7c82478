//! `keygen` and `keys check`: files, modes, and what is told.

use crate::bed::{Ended, PATIENCE, finish, tool};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A folder that is removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("answerback-cli-keys-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    fn private(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Runs the tool here.
    fn run(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = tool(arguments);
        command.current_dir(&self.0);
        finish(command, input)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PASSPHRASE: &str = "correct horse battery staple";

#[test]
fn a_key_is_printed_and_never_the_same() {
    let one = finish(tool(&["keygen"]), "");
    assert!(one.code == 0 && one.out.starts_with("abk1:answerback:") && one.out.lines().count() == 1, "{one:?}");
    // In a pipe there is nobody to tell what to do next.
    assert_eq!(one.err, "");
    assert_ne!(finish(tool(&["keygen"]), "").out, one.out);
    let json = finish(tool(&["keygen", "billing/2", "--json"]), "").json();
    assert_eq!((&json["id"], &json["file"]), (&"billing/2".into(), &serde_json::Value::Null));
    assert!(json["key"].as_str().unwrap().starts_with("abk1:billing/2:"), "{json}");
}

#[test]
fn a_file_is_private_and_none_is_written_over() {
    let place = Place::new();
    let told = place.run(&["keygen", "billing", "-o", "billing.key"], "");
    assert_eq!((told.code, told.out.as_str(), place.mode("billing.key")), (0, "", 0o600), "{told:?}");
    let text = place.read("billing.key");
    let (comment, key) = text.split_once('\n').unwrap();
    assert_eq!(comment, "# Key billing of Answerback: whoever reads it can do what billing may do.");
    assert!(key.starts_with("abk1:billing:"), "{text}");
    let again = place.run(&["keygen", "billing", "-o", "billing.key"], "");
    again.failed(1, "billing.key is there already, and a key is never written over");
    assert_eq!(place.read("billing.key"), text);
    place.run(&["keygen", "-o", "nowhere/a.key"], "").failed(1, "cannot write nowhere/a.key: No such file");
    let json = place.run(&["keygen", "-o", "json.key", "--json"], "").json();
    assert_eq!((&json["file"], &json["key"]), (&"json.key".into(), &serde_json::Value::Null));
}

#[test]
fn a_passphrase_makes_the_same_key_elsewhere() {
    let place = Place::new();
    let told = place.run(&["keygen", "billing", "--passphrase", "-o", "a.key"], &format!("{PASSPHRASE}\n"));
    assert_eq!((told.code, told.out.as_str(), told.err.as_str()), (0, "", ""));
    let text = place.read("a.key");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[1].starts_with("# Made of a passphrase: Argon2id, 64 MiB, 3 passes, 1 lane, salt "), "{text}");
    // The command works as it stands there.
    let command = lines[2].strip_prefix("# The same key again: answerback ").unwrap();
    let again = place.run(&command.split(' ').collect::<Vec<_>>(), PASSPHRASE);
    assert_eq!(again.out.trim_end(), lines[3]);
    assert!(again.err.starts_with("salt: ") && !text.contains(PASSPHRASE), "{again:?}");
    let other = place.run(&["keygen", "billing", "--passphrase", "--json"], PASSPHRASE).json();
    assert!(other["key"] != lines[3] && other["salt"].as_str().unwrap().len() == 26, "{other}");
}

#[test]
fn a_passphrase_that_is_no_good_is_refused() {
    let told = finish(tool(&["keygen", "--passphrase"]), "short\n");
    told.failed(2, "the passphrase has 5 characters, and fewer than 12 can be guessed");
    assert!(told.err.contains("without --passphrase the key is generated, which is better") && told.out.is_empty());
    finish(tool(&["keygen", "--passphrase"]), "").failed(2, "the passphrase has 0 characters");
    finish(tool(&["keygen", "--passphrase"]), &"x".repeat(2_000)).failed(2, "more than 1024 bytes");
    finish(tool(&["keygen", "--passphrase"]), "twelve\tcharacters").failed(2, "a control character");
    finish(tool(&["keygen", "--passphrase", "--salt", "x"]), "").failed(2, "a salt is 26 characters");
}

/// A terminal, of which this test is the person at it.
struct Terminal {
    screen: File,
    line: File,
    appears: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn open() -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap().into_string().unwrap();
        let flags = OFlags::NOCTTY.bits().cast_signed();
        let line = OpenOptions::new().read(true).write(true).custom_flags(flags).open(name).unwrap();
        let screen = File::from(screen);
        let (mut from, (tell, appears)) = (screen.try_clone().unwrap(), channel());
        thread::spawn(move || {
            let mut bytes = [0; 256];
            // It goes on until nobody has the other end any more.
            while let Ok(count) = from.read(&mut bytes) {
                if tell.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { screen, line, appears, seen: String::new() }
    }

    fn start(&self, arguments: &[&str]) -> std::process::Child {
        let mut command = tool(arguments);
        command.env("NO_COLOR", "1").stdin(self.line.try_clone().unwrap()).stderr(self.line.try_clone().unwrap());
        command.spawn().unwrap()
    }

    /// Reads what appears, until these words do.
    fn until(&mut self, words: &str) {
        while !self.seen.contains(words) {
            let bytes = self.appears.recv_timeout(PATIENCE);
            let bytes = bytes.unwrap_or_else(|_| panic!("`{words}` never appeared: {}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn is_as_before(&self) -> bool {
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ISIG) && !modes.contains(LocalModes::ECHONL)
    }
}

#[test]
fn on_a_terminal_it_is_asked_for_twice_and_not_seen() {
    let mut terminal = Terminal::open();
    let child = terminal.start(&["keygen", "--passphrase"]);
    terminal.until("passphrase, 12 characters or more: ");
    writeln!(terminal.screen, "{PASSPHRASE}").unwrap();
    terminal.until("the same again: ");
    writeln!(terminal.screen, "{PASSPHRASE}").unwrap();
    terminal.until("It is shown once and kept nowhere");
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stdout.starts_with(b"abk1:answerback:"), "{ended:?}");
    assert!(!terminal.seen.contains("horse") && terminal.is_as_before(), "{}", terminal.seen);
}

#[test]
fn a_terminal_is_as_it_was_whatever_happens() {
    let mut terminal = Terminal::open();
    let child = terminal.start(&["keygen", "--passphrase"]);
    terminal.until("or more: ");
    terminal.screen.write_all(b"correct\x03").unwrap();
    terminal.until("next: nothing was made");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(1));
    assert!(terminal.is_as_before() && !terminal.seen.contains("correct"), "{}", terminal.seen);

    let mut terminal = Terminal::open();
    let child = terminal.start(&["keygen", "--passphrase"]);
    terminal.until("or more: ");
    writeln!(terminal.screen, "{PASSPHRASE}").unwrap();
    terminal.until("the same again: ");
    writeln!(terminal.screen, "{PASSPHRASE}!").unwrap();
    terminal.until("the two passphrases are not the same");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(2));
    assert!(terminal.is_as_before());
}

#[test]
fn rotation_makes_the_next_key_and_explains_the_rest() {
    let place = Place::new();
    place.run(&["keygen", "billing", "-o", "billing.key"], "").printed("");
    let old = place.read("billing.key");
    let told = place.run(&["keygen", "--rotate", "billing.key"], "");
    assert_eq!((told.code, place.mode("billing.key.next")), (0, 0o600), "{told:?}");
    assert!(place.read("billing.key.next").lines().last().unwrap().starts_with("abk1:billing/2:"));
    for words in [
        "made key billing/2 in billing.key.next; billing.key still holds billing\n",
        "keys = [\"abk1:billing:…\", \"abk1:billing/2:…\"]",
        "grep abk1 billing.key.next\n",
        "mv billing.key.next billing.key\n",
        "answerback keys check KEYS_FILE && answerback reload\n",
    ] {
        assert!(told.out.contains(words), "{words}: {}", told.out);
    }
    // No key is shown, and the old one still holds.
    let secret = |text: &str| text.trim_end().rsplit(':').next().unwrap().to_owned();
    assert!(!told.out.contains(&secret(&old)) && !told.out.contains(&secret(&place.read("billing.key.next"))));
    assert_eq!(place.read("billing.key"), old);
    place.run(&["keygen", "--rotate", "billing.key"], "").failed(1, "billing.key.next is there already");
    let json = place.run(&["keygen", "--rotate", "billing.key.next", "-o", "third", "--json"], "").json();
    assert_eq!((&json["id"], &json["replaces"]), (&"billing/3".into(), &"billing/2".into()));
    // Both keys together are a sound keys file, as the first step says.
    let text = |name: &str| place.read(name).lines().last().unwrap().to_owned();
    let both = format!("[billing]\nkeys = [\"{}\", \"{}\"]\n", text("billing.key"), text("billing.key.next"));
    place.private("keys.toml", &both);
    assert_eq!(place.run(&["keys", "check", "keys.toml"], "").code, 0);
    place.run(&["keygen", "--rotate", "keys.toml"], "").failed(1, "looks like a keys file");
    place.run(&["keygen", "--rotate", "none"], "").failed(1, "cannot read none: No such file");
    fs::set_permissions(place.path("billing.key"), Permissions::from_mode(0o644)).unwrap();
    let open = place.run(&["keygen", "--rotate", "billing.key"], "");
    open.failed(1, "others can read billing.key, its mode is 0644");
    assert!(open.err.ends_with("next: chmod 600 billing.key\n"), "{open:?}");
}

#[test]
fn a_keys_file_is_shown_as_a_table_without_secrets() {
    let place = Place::new();
    let key = |id: &str| finish(tool(&["keygen", id]), "").out.trim_end().to_owned();
    let text = format!(
        "[billing]\nkeys = [\"{}\", \"{}\"]\ncall = [\"user.get\", \"mail.*\"]\nserve = [\"billing.>\"]\n[ops]\nkeys = [\"{}\"]\nadmin = true\npeer = true\n[web]\ncertificate = \"CN=web\"\n",
        key("billing"),
        key("billing/2"),
        key("ops"),
    );
    place.private("keys.toml", &text);
    place.run(&["keys", "check", "keys.toml"], "").printed(
        "HOLDER   KEYS               CALL             SERVE      PUBLISH  SUBSCRIBE  ADMIN  PEER  CERTIFICATE\n\
         billing  billing billing/2  user.get mail.*  billing.>  -        -          -      -     -\n\
         ops      ops                -                -          -        -          yes    yes   -\n\
         web      -                  -                -          -        -          -      -     CN=web\n",
    );
    let json = place.run(&["keys", "check", "keys.toml", "--json"], "").json();
    let billing = serde_json::json!({
        "id": "billing", "keys": ["billing", "billing/2"], "call": ["user.get", "mail.*"], "serve": ["billing.>"],
        "publish": [], "subscribe": [], "admin": false, "peer": false, "certificate": null,
    });
    assert_eq!((&json["holders"][0], &json["holders"][2]["certificate"]), (&billing, &"CN=web".into()));
}

#[test]
fn every_mistake_in_a_keys_file_is_told() {
    let place = Place::new();
    place.private("keys.toml", "[billing]\ncal = []\n[web]\nkeys = [\"abk1:web:aaaa\"]\n");
    let told = place.run(&["keys", "check", "keys.toml"], "");
    told.failed(2, "3 mistakes in keys.toml");
    let lines: Vec<_> = told.err.lines().collect();
    assert_eq!(lines.len(), 5, "{told:?}");
    assert!(lines[1].starts_with("line 1: [billing] nobody can be this holder"), "{told:?}");
    assert_eq!(lines[2], "line 2: [billing] nothing is called `cal`: did you mean `call`?");
    assert!(lines[3].starts_with("line 4: [web] key 1 is not one: it has 4 characters"), "{told:?}");
    let json = place.run(&["keys", "check", "keys.toml", "--json"], "").error_json();
    assert_eq!((&json["exit"], json["error"]["lines"].as_array().unwrap().len()), (&2.into(), 3));
    fs::set_permissions(place.path("keys.toml"), Permissions::from_mode(0o640)).unwrap();
    let open = place.run(&["keys", "check", "keys.toml"], "");
    open.failed(1, "others can read keys.toml, its mode is 0640");
    assert!(open.err.ends_with("next: chmod 600 keys.toml\n"), "{open:?}");
}
