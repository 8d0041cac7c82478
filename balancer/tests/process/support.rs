//! A balancer that runs, and what tests ask of it.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest that anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Times so short that tests need not wait for them.
pub(crate) const HASTY: [[&str; 2]; 5] = [
    ["--probe-interval", "50ms"],
    ["--rest", "50ms"],
    ["--rest-max", "200ms"],
    ["--slow-start", "0"],
    ["--connect-timeout", "500ms"],
];

/// The program.
pub(crate) fn program() -> Command {
    Command::new(crate::balancer_program())
}

/// A process that is killed when the test is over.
pub(crate) struct Balancer {
    child: Child,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Balancer {
    /// On free ports, with hasty times and these arguments.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = program();
        command.args(["--listen", "127.0.0.1:0"]).args(args);
        // What a test says itself is said once.
        command.args(HASTY.iter().filter(|[flag, _]| !args.contains(flag)).flatten());
        Self::spawn(command)
    }

    /// In front of these.
    pub(crate) fn before(backends: &[SocketAddr], args: &[&str]) -> Self {
        let names: Vec<_> = backends.iter().map(ToString::to_string).collect();
        let flags: Vec<_> = names.iter().flat_map(|name| ["--backend", name.as_str()]).collect();
        Self::start(&[&flags[..], args].concat())
    }

    /// Whatever the command is. It must not say anything about the admin port.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.args(["--admin", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::default();
        keep(child.stderr.take().unwrap(), Arc::clone(&log));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut line = |name: &str| {
            let found = lines.find_map(|line| Some(line.trim().strip_prefix(name)?.trim().to_owned()));
            found.unwrap_or_else(|| panic!("no banner: {}", log.lock().unwrap()))
        };
        let address = line("listen").parse().unwrap();
        let admin = line("admin").trim_start_matches("http://").trim_end_matches("/backends").parse().unwrap();
        Self { child, address, admin, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    /// Waits until it says something.
    pub(crate) fn until_logged(&self, what: &str) {
        until(what, || self.log.lock().unwrap().contains(what));
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        until("the end of the balancer", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "")
    }

    /// As an operator who means it.
    pub(crate) fn post(&self, path: &str) -> (u16, String) {
        self.ask("POST", path, "Answerback-Admin: yes\r\n")
    }

    pub(crate) fn ask(&self, method: &str, path: &str, header: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = self.admin;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{header}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// What `/backends` says of one of them.
    pub(crate) fn backend(&self, name: SocketAddr) -> Value {
        let told: Value = serde_json::from_str(&self.get("/backends").1).unwrap();
        let all = told["backends"].as_array().unwrap();
        all.iter().find(|backend| backend["backend"] == name.to_string()).cloned().unwrap_or_default()
    }

    /// Waits until each of these is up.
    pub(crate) fn until_up(&self, backends: &[SocketAddr]) {
        until("backends that are up", || backends.iter().all(|backend| self.backend(*backend)["state"] == "up"));
    }

    /// A value of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").1;
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("answerback_balancer_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the balancer's log:\n{}", self.log());
        }
    }
}

/// Collects what a process says, so that it never waits for a reader.
fn keep(mut from: ChildStderr, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count) = from.read(&mut buffer)
            && count > 0
        {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        // Between two looks.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits for the end of a connection, and says how it came: orderly or not.
pub(crate) fn end_of(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).map(drop)
}

/// Whether a connection is still there: nothing has come and it has not ended.
pub(crate) fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let seen = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    seen.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}
