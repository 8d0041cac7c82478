//! Servers in processes of their own, clients of them, and waits that have an end.

use crate::place::{PATIENCE, Place};
use crate::process::{Process, command};
use answerback::{Builder, Client, Key, KeyId, Reconnect, Secret};
use answerback_server::key_ring::text;
use serde_json::Value;
use std::fs;
use std::future::IntoFuture;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// A server, what it keeps, and how it is started again.
pub(crate) struct Server {
    pub(crate) process: Process,
    place: Place,
    id: String,
    flags: Vec<String>,
}

impl Server {
    /// On free ports. Links that stand still, and servers that are gone, are noticed soon.
    pub(crate) fn start(id: &str, flags: &[&str]) -> Self {
        Self::start_in(Place::new(), id, flags)
    }

    /// The same in a directory where files were put before.
    pub(crate) fn start_in(place: Place, id: &str, flags: &[&str]) -> Self {
        let flags: Vec<_> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let process = blocking(|| Process::spawn(command_of(&place, id, "127.0.0.1:0", &flags)));
        Self { process, place, id: id.to_owned(), flags }
    }

    /// The same, linked with these.
    pub(crate) fn linked(id: &str, with: &[&Self]) -> Self {
        let addresses: Vec<_> = with.iter().map(|server| server.address()).collect();
        let flags: Vec<_> = addresses.iter().flat_map(|address| ["--peer", address]).collect();
        Self::start(id, &flags)
    }

    pub(crate) fn address(&self) -> String {
        self.process.address.to_string()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        blocking(|| self.process.kill());
    }

    /// Starts it again where it was, after its end.
    pub(crate) fn again(&mut self) {
        let command = command_of(&self.place, &self.id, &self.address(), &self.flags);
        self.process = blocking(|| Process::spawn(command));
    }

    /// The same with these flags instead.
    pub(crate) fn restarted_with(mut self, flags: &[&str]) -> Self {
        self.flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        self.again();
        self
    }

    /// Waits until a line of its log contains a text.
    pub(crate) fn logged(&self, text: &str) -> String {
        blocking(|| self.process.logged(text))
    }

    /// A client that comes back quickly.
    pub(crate) fn builder(&self, name: &str) -> Builder {
        let reconnect =
            Reconnect::default().first_delay(Duration::from_millis(10)).longest_delay(Duration::from_millis(100));
        Client::builder(self.address()).name(name).reconnect(reconnect)
    }

    pub(crate) async fn client(&self, name: &str) -> Client {
        soon("a connection", self.builder(name).connect()).await.unwrap()
    }
}

fn command_of(place: &Place, id: &str, listen: &str, flags: &[String]) -> Command {
    let mut command = command();
    command.args(["--listen", listen, "--admin", "127.0.0.1:0", "--id", id, "--data-dir"]).arg(place.0.join("data"));
    command.args(["--heartbeat", "400ms", "--session-grace", "1500ms"]).args(flags);
    fs::create_dir_all(&place.0).unwrap();
    command
}

/// Starts and ends processes, and reads their logs.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Waits for something that must come.
pub(crate) async fn soon<F: IntoFuture>(what: &str, coming: F) -> F::Output {
    let waited = tokio::time::timeout(PATIENCE, coming.into_future()).await;
    waited.unwrap_or_else(|_| panic!("waited too long for: {what}"))
}

/// Waits until a server's answer is as it should be.
pub(crate) async fn until_told(what: &str, client: &Client, action: &str, is_so: impl Fn(&Value) -> bool) {
    let mut last = Value::Null;
    let asking = async {
        loop {
            if let Ok(told) = client.call::<Value>(action, ()).await {
                if is_so(&told) {
                    return;
                }
                last = told;
            }
            pause(2).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, asking).await;
    assert!(waited.is_ok(), "waited too long for: {what}; last: {last}");
}

/// Waits until a server is linked with so many others.
pub(crate) async fn until_linked(client: &Client, servers: usize) {
    let up = |told: &Value| told["peers"].as_array().unwrap().iter().filter(|peer| peer["up"] == true).count();
    until_told("links", client, "$peers", |told| up(told) == servers).await;
}

/// Waits until a server knows so many ways to an action, over other servers.
pub(crate) async fn until_offered(client: &Client, action: &str, ways: usize) {
    let known = |told: &Value| {
        let line = told["actions"].as_array().unwrap().iter().find(|line| line["action"] == action);
        line.map_or(0, |line| line["elsewhere"].as_array().map_or(0, Vec::len))
    };
    until_told("offers", client, "$actions", |told| known(told) == ways).await;
}

#[allow(clippy::disallowed_methods, reason = "between two looks at a condition, or as work that takes its time")]
pub(crate) async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn key(id: &str, byte: u8) -> Key {
    Key { id: KeyId::new(id).unwrap(), secret: Secret::new([byte; 32]) }
}

/// A file with one key.
pub(crate) fn key_file(place: &Place, name: &str, key: &Key) -> String {
    fs::create_dir_all(&place.0).unwrap();
    let path = place.0.join(name);
    answerback_server::key_ring::file::create_key_file(&path, &[], key).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A keys file: who has which key, and what it may do.
pub(crate) fn keys_file(place: &Place, holders: &[(&Key, &str)]) -> String {
    fs::create_dir_all(&place.0).unwrap();
    let path = place.0.join("keys");
    let entry = |(key, rest): &(&Key, &str)| format!("[{}]\nkeys = [\"{}\"]\n{rest}\n", key.id, &*text::print(key));
    fs::write(&path, holders.iter().map(entry).collect::<String>()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}
