//! A server on a directory that outlives it, and what can be learnt of it.

use super::Arguments;
use super::talk::Talk;
use crate::Outcome;
use crate::folder::Folder;
use crate::process::{self, Owned};
use crate::wire::ServerArguments;
use crate::wire::answerback::{Answerback, listening_at};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A start that takes longer has failed.
const STARTS_WITHIN: Duration = Duration::from_secs(300);

/// Bytes that a request may cost beside its data when the server counts them.
const BESIDE_DATA_BYTES: u64 = 256;

/// A directory and an address for one server after another.
pub(super) struct Site {
    program: PathBuf,
    folder: Folder,
    address: SocketAddr,
    flags: Vec<String>,
}

/// A server that runs.
pub(super) struct Server {
    pub(super) process: Owned,
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
    /// When it was started.
    pub(super) begun: Instant,
}

impl Site {
    pub(super) fn new(arguments: &Arguments, snapshot_interval: &str) -> Outcome<Self> {
        let server = ServerArguments { server_binary: arguments.server_binary.clone(), address: None };
        let program = Answerback::new(&server, 0)?.program()?.to_owned();
        let room = 2 * arguments.count() * (arguments.size as u64 + BESIDE_DATA_BYTES) + (1 << 30);
        let flags = [
            ("--max-queue", (2 * arguments.count()).to_string()),
            ("--max-queue-bytes", room.to_string()),
            ("--max-memory", room.to_string()),
            ("--snapshot-interval", snapshot_interval.to_owned()),
            ("--drain-deadline", "300s".to_owned()),
            ("--log", "warn".to_owned()),
        ];
        let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        // Every life of the server listens at the same port, as a user's would.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self { program, folder: Folder::new()?, address, flags })
    }

    /// Starts a server and waits until it has said where its admin port is.
    pub(super) fn start(&self) -> Outcome<Server> {
        let mut command = Command::new(&self.program);
        command.arg("--listen").arg(self.address.to_string()).args(["--admin", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(self.folder.path()).args(&self.flags);
        let begun = Instant::now();
        let listens = Cell::new(None);
        let (process, (address, admin)) = Owned::start(&mut command, |line| {
            listens.set(listens.get().or_else(|| listening_at(line)));
            let admin = line.trim_start().strip_prefix("admin")?.trim().strip_prefix("http://")?.parse().ok()?;
            Some((listens.get()?, admin))
        })?;
        Ok(Server { process, address, admin, begun })
    }

    /// Bytes of all its files.
    pub(super) fn disk_bytes(&self) -> Outcome<u64> {
        bytes_below(self.folder.path())
    }
}

/// What the files of a folder take on the disk; files that go meanwhile do not count.
fn bytes_below(folder: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => sum += bytes_below(&path).unwrap_or(0),
            Ok(metadata) => sum += 512 * metadata.blocks(),
            Err(_) => {}
        }
    }
    Ok(sum)
}

impl Server {
    /// A client of it, as soon as it answers.
    pub(super) fn talk(&self, name: &str) -> Outcome<Talk> {
        let end = self.begun + STARTS_WITHIN;
        loop {
            match Talk::open(self.address, name) {
                Ok(talk) => return Ok(talk),
                Err(error) if Instant::now() > end => return Err(format!("it does not answer: {error}").into()),
                Err(_) => std::thread::park_timeout(Duration::from_millis(1)),
            }
        }
    }

    /// A figure of its `/metrics`.
    pub(super) fn metric(&self, name: &str) -> Outcome<f64> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let figure = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
        figure.ok_or_else(|| format!("/metrics says no {name}").into())
    }

    /// Waits until a figure is as it is wanted.
    pub(super) fn wait_until(&self, name: &str, is_so: impl Fn(f64) -> bool) -> Outcome<()> {
        let end = Instant::now() + STARTS_WITHIN;
        while !is_so(self.metric(name)?) {
            if Instant::now() > end {
                return Err(format!("{name} stays {}", self.metric(name)?).into());
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Bytes resident now, and the most that there were.
    pub(super) fn resident(&self) -> Outcome<(u64, u64)> {
        Ok((process::usage(self.process.id())?.resident_bytes, process::peak_bytes(self.process.id())?))
    }
}
