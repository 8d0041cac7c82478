//! A server with keys in a process of its own, and who holds them: one whose line is attacked, and honest ones beside.

use crate::cut::Way;
use crate::place::{PATIENCE, Place, wait_for};
use crate::process::{Process, command};
use answerback::{Builder, Client, Fault, Key, KeyId, Reconnect, Secret, Service};
use answerback_server::key_ring::text;
use std::collections::HashMap;
use std::fs;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the holder whose line is attacked may do, and the honest one, and one that may do nothing.
const GRANTS: [(&str, u8, &str); 3] = [
    ("victim", 7, "call = [\"work\"]\nserve = [\"victim.*\"]"),
    ("honest", 8, "call = [\"work\", \"victim.*\"]\nserve = [\"work\"]\nadmin = true"),
    ("nothing", 9, ""),
];

/// A server process with a keys file.
pub(crate) struct Stage {
    pub(crate) server: Process,
    pub(crate) place: Place,
    flags: Vec<String>,
}

impl Stage {
    /// With these flags beside.
    pub(crate) fn with(flags: &[&str]) -> Self {
        let place = Place::new();
        keys_file(&place);
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect::<Vec<_>>();
        Self { server: Process::spawn(command_in(&place, &flags)), place, flags }
    }

    /// What it was started with.
    pub(crate) fn command(&self) -> Command {
        command_in(&self.place, &self.flags)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// A figure of `/metrics`; 0 if there is none yet.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (status, text) = self.server.ask("GET", "/metrics");
        assert_eq!(status, 200, "{text}");
        let figure =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<f64>().ok());
        figure.unwrap_or_default() as u64
    }

    /// Ends the server and returns its log.
    pub(crate) fn log(mut self) -> String {
        self.server.kill();
        let log = self.server.said_to_the_end();
        assert!(!log.contains("panicked"), "{log}");
        log
    }
}

fn command_in(place: &Place, flags: &[String]) -> Command {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir"]);
    command.arg(place.0.join("data")).arg("--keys").arg(place.0.join("keys")).args(flags);
    command
}

/// The keys of everybody, in a file that its owner alone can read.
fn keys_file(place: &Place) {
    fs::create_dir_all(&place.0).unwrap();
    let path = place.0.join("keys");
    let entry = |(id, byte, rest): &(&str, u8, &str)| {
        format!("[{id}]\nkeys = [\"{}\"]\n{rest}\n", &*text::print(&key(id, *byte)))
    };
    fs::write(&path, GRANTS.iter().map(entry).collect::<String>()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A file with one key.
pub(crate) fn key_file(place: &Place, name: &str, key: &Key) -> String {
    fs::create_dir_all(&place.0).unwrap();
    let path = place.0.join(name);
    answerback_server::key_ring::file::create_key_file(&path, &[], key).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) fn key(id: &str, byte: u8) -> Key {
    Key { id: KeyId::new(id).unwrap(), secret: Secret::new([byte; 32]) }
}

pub(crate) fn victims_key() -> Key {
    key("victim", 7)
}

pub(crate) fn honest_key() -> Key {
    key("honest", 8)
}

/// A client that comes back quickly.
pub(crate) fn builder(address: SocketAddr, key: Key) -> Builder {
    let reconnect =
        Reconnect::default().first_delay(Duration::from_millis(10)).longest_delay(Duration::from_millis(100));
    Client::builder(address.to_string()).key(key).reconnect(reconnect).default_timeout(Duration::from_secs(60))
}

pub(crate) async fn client(address: SocketAddr, key: Key, name: &str) -> Client {
    soon("a connection", builder(address, key).name(name).connect()).await.unwrap()
}

/// Waits for something that must come.
pub(crate) async fn soon<F: IntoFuture>(what: &str, coming: F) -> F::Output {
    let waited = tokio::time::timeout(PATIENCE, coming.into_future()).await;
    waited.unwrap_or_else(|_| panic!("waited too long for: {what}"))
}

#[allow(clippy::disallowed_methods, reason = "time in which something could happen that must not")]
pub(crate) async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// The same for what is not asynchronous.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    tokio::task::block_in_place(|| wait_for(what, || is_so().then_some(())));
}

/// What a call carries: its number, and text that shows it again and again.
pub(crate) type Work = (u64, String);

/// So much text that a few of these are more than a record holds, and a length that was changed soon makes itself felt.
const TEXT_BYTES: usize = 8_000;

pub(crate) fn work(number: u64) -> Work {
    let mut text = format!("{number} ").repeat(TEXT_BYTES / 2);
    text.truncate(TEXT_BYTES);
    (number, text)
}

/// What has run, and how often.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<Mutex<HashMap<u64, usize>>>);

impl Runs {
    /// How often this has run.
    pub(crate) fn of(&self, number: u64) -> usize {
        self.0.lock().unwrap().get(&number).copied().unwrap_or_default()
    }

    /// Serves an action. Only work that is what it was has a place in it.
    pub(crate) async fn serve(&self, client: &Client, action: &str) -> Service {
        let runs = self.clone();
        let handler = move |given: Work| {
            let as_said = given == work(given.0);
            *runs.0.lock().unwrap().entry(given.0).or_default() += 1;
            async move { if as_said { answerback::Ok(given) } else { Err(Fault::new("spoilt", "this was never said")) } }
        };
        soon("a service", client.serve(action, handler).concurrency(64)).await.unwrap()
    }
}

/// Which side of a service has its line attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Caller,
    Handler,
}

impl Role {
    pub(crate) const BOTH: [Self; 2] = [Self::Caller, Self::Handler];

    /// Whether requests go this way on the attacked line; otherwise their answers do.
    pub(crate) fn is_asked(self, way: Way) -> bool {
        (self == Self::Caller) == (way == Way::ToServer)
    }
}
