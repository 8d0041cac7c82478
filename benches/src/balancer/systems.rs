//! The systems that are compared, each one process with one thread for connections, in front of one backend.

use crate::Outcome;
use crate::folder::Folder;
use crate::process::{self, Owned};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// The balancer of this repository
    Answerback,
    /// The same, all bytes through the shared buffer
    AnswerbackBuffer,
    /// The same, all bytes through pipes
    AnswerbackSplice,
    /// HAProxy with one thread, splicing where it sees fit
    Haproxy,
    /// nginx (stream) with one worker
    Nginx,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Answerback => "answerback",
            Self::AnswerbackBuffer => "answerback, buffer",
            Self::AnswerbackSplice => "answerback, splice",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    fn program(self, ours: Option<&Path>) -> PathBuf {
        match self {
            Self::Haproxy => "haproxy".into(),
            Self::Nginx => "nginx".into(),
            _ => ours.map_or_else(beside, Path::to_owned),
        }
    }
}

fn beside() -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name("answerback-balancer")
}

/// The systems that can be measured here. Says of the others why they are left out.
pub(super) fn there(asked: &[Kind], ours: Option<&Path>) -> Vec<Kind> {
    let all = [Kind::Answerback, Kind::AnswerbackBuffer, Kind::AnswerbackSplice, Kind::Haproxy, Kind::Nginx];
    let asked = if asked.is_empty() { &all[..] } else { asked };
    let is_there = |kind: &&Kind| {
        let mut command = Command::new(kind.program(ours));
        let there = command.arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if !there {
            eprintln!(
                "{kind:?} is left out: cargo build --release -p answerback-balancer, or apt-get install haproxy nginx libnginx-mod-stream"
            );
        }
        there
    };
    asked.iter().filter(is_there).copied().collect()
}

/// A system that runs.
pub(super) struct Started {
    process: Owned,
    /// The process that moves bytes, which nginx starts itself.
    worker: u32,
    pub(super) address: SocketAddr,
    _folder: Folder,
}

/// How long one may take to begin.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

impl Started {
    pub(super) fn start(kind: Kind, backend: SocketAddr, ours: Option<&Path>) -> Outcome<Self> {
        let folder = Folder::new()?;
        // Neither of the others can pick a port. Somebody else may be quicker, and then this run fails.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(kind.program(ours));
        let file = folder.path().join("configuration");
        match kind {
            Kind::Haproxy => {
                fs::write(&file, haproxy(address, backend))?;
                command.arg("-db").arg("-f").arg(&file);
            }
            Kind::Nginx => {
                fs::write(&file, nginx(address, backend, folder.path()))?;
                command.arg("-p").arg(folder.path()).arg("-c").arg(&file);
            }
            ours => {
                let way = match ours {
                    Kind::AnswerbackBuffer => "buffer",
                    Kind::AnswerbackSplice => "splice",
                    _ => "auto",
                };
                command.args(["--listen", &address.to_string(), "--admin", "off", "--backend", &backend.to_string()]);
                command.args(["--copy", way, "--probe-interval", "1h", "--log", "error"]);
            }
        }
        let process = Owned::quietly(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        until_open(address)?;
        let worker = if kind == Kind::Nginx { child_of(process.id())? } else { process.id() };
        Ok(Self { process, worker, address, _folder: folder })
    }

    /// Seconds on a processor so far.
    pub(super) fn cpu_seconds(&self) -> Outcome<f64> {
        process::usage(self.worker).map(|usage| usage.cpu_seconds)
    }

    pub(super) fn resident_bytes(&self) -> Outcome<u64> {
        process::usage(self.worker).map(|usage| usage.resident_bytes)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // A master that is killed leaves its worker behind; asked to leave, it takes it along.
        self.process.ask_to_leave();
    }
}

fn until_open(address: SocketAddr) -> Outcome<()> {
    let end = Instant::now() + STARTS_WITHIN;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > end {
            return Err(format!("nobody listens at {address}").into());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}

/// The master listens before it has its worker.
fn child_of(id: u32) -> Outcome<u32> {
    let end = Instant::now() + STARTS_WITHIN;
    loop {
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        if let Some(child) = children.split_whitespace().next() {
            return Ok(child.parse()?);
        }
        if Instant::now() > end {
            return Err("no worker".into());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn haproxy(listen: SocketAddr, backend: SocketAddr) -> String {
    format!(
        "global\n nbthread 1\n maxconn 4000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 10m\n timeout server 10m\n \
         option splice-auto\n option tcp-smart-accept\nlisten all\n bind {listen}\n server one {backend}\n"
    )
}

fn nginx(listen: SocketAddr, backend: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    // On Debian the module is a file of its own; elsewhere it may be part of the program.
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let load = if Path::new(module).exists() { format!("load_module {module};\n") } else { String::new() };
    format!(
        "{load}daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log /dev/null crit;\nworker_rlimit_nofile 18000;\n\
         events {{ worker_connections 16000; }}\nstream {{\n access_log off;\n proxy_timeout 10m;\n \
         server {{ listen {listen} backlog=4096; tcp_nodelay on; proxy_pass {backend}; }}\n}}\n"
    )
}
