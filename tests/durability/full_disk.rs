//! A disk that is full: durable requests are refused at once, everything else goes on, and when there is room again the server
//! notices by itself. What was accepted before is there after a kill.

use crate::client::Client;
use crate::place::{Place, wait_for};
use crate::process::{Process, command};
use crate::site::kill;
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// The size of the disk, as `mount` reads it: room for the beginnings of all files and a few hundred requests.
const DISK: &str = "size=6m";

/// What stands on it beside the server's files until it is removed.
const BALLAST_BYTES: usize = 3 << 20;

/// Data of each request.
const DATA_BYTES: usize = 8 << 10;

/// More than the disk has room for.
const REQUESTS_MAX: u64 = 2_000;

/// A small disk in memory, gone at the end.
struct SmallDisk(Place);

impl SmallDisk {
    /// Nothing if this machine does not let us: only root can mount.
    fn mount() -> Option<Self> {
        let disk = Self(Place::new());
        std::fs::create_dir_all(&disk.0.0).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&disk.0.0).output().ok()?;
        mount.status.success().then_some(disk)
    }

    fn path(&self) -> &Path {
        &self.0.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Fails only if it was never mounted.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0.0).output();
    }
}

fn start(disk: &SmallDisk) -> Process {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--snapshot-interval", "50ms"]);
    command.arg("--data-dir").arg(disk.path().join("data"));
    Process::spawn(command)
}

#[test]
fn a_full_disk_refuses_durable_requests_alone_and_heals_by_itself() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not root, so no small disk; the server's own tests fill one in memory");
        return;
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; BALLAST_BYTES]).unwrap();
    let server = start(&disk);
    let mut client = Client::welcomed(server.address, "caller");
    let mut next = 0;
    let mut accepted = 0;
    while send(&mut client, &mut next) {
        accepted += 1;
        assert!(accepted < REQUESTS_MAX, "the disk never gets full");
    }
    assert!(accepted > 10, "only {accepted} found room");

    client.call(1_000_000, "$echo", "7");
    assert_eq!(client.hear().data, b"7", "others go on");
    let (status, text) = server.ask("GET", "/readyz");
    assert!(status == 200 && text.contains("warning"), "a warning is there: {status} {text}");
    client.call(1_000_001, "$stats", "");
    let stats = client.hear().json();
    assert!(stats.to_string().contains("unsaved"), "$stats says it: {stats}");

    std::fs::remove_file(&ballast).unwrap();
    wait_for("durable requests to be taken again", || send(&mut client, &mut next).then_some(()));
    accepted += 1;
    wait_for("the warning to go", || (!server.ask("GET", "/readyz").1.contains("warning")).then_some(()));
    kill(server);

    let server = start(&disk);
    let mut handler = Client::serving(server.address, "handler", "parked", 60_000);
    let mut there = 0;
    while there < accepted {
        let delivery = handler.hear();
        assert_eq!(delivery.head["type"], "deliver", "{accepted} were accepted, {there} are there");
        there += 1;
    }
    handler.hears_nothing_for(std::time::Duration::from_millis(200));
    kill(server);
}

/// Sends something durable, and says whether it was accepted; if not, then as `unavailable`.
fn send(client: &mut Client, next: &mut u64) -> bool {
    let head = json!({ "type": "request", "id": *next, "action": "parked", "reply": false, "durable": true });
    client.say(head.to_string(), json!("x".repeat(DATA_BYTES)).to_string());
    *next += 1;
    let heard = client.hear();
    let accepted = heard.head["type"] == "accepted";
    assert!(accepted || heard.code() == "unavailable", "{heard:?}");
    accepted
}
