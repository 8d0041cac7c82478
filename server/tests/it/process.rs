//! The process: started with arguments, spoken to by signals, and killed when its test ends.

use crate::place::{PATIENCE, Place, wait_for};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// The program under test, with an environment that says nothing to it.
pub(crate) fn command() -> Command {
    let mut command = Command::new(crate::program());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ANSWERBACK_")) {
        command.env_remove(name);
    }
    command
}

/// The program on free ports, with this directory.
pub(crate) fn command_in(place: &Place, args: &[&str]) -> Command {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir"]).arg(&place.0).args(args);
    command
}

/// What a process that ends by itself has said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str], variables: &[(&str, &str)]) -> Said {
    let output = command().args(args).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A server process.
pub(crate) struct Process {
    child: Child,
    pub(crate) banner: String,
    pub(crate) address: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    log: Receiver<String>,
    _place: Option<Place>,
}

impl Process {
    /// A server on free ports, with a directory of its own.
    pub(crate) fn start(args: &[&str]) -> Self {
        let place = Place::new();
        let mut process = Self::start_in(&place, args);
        process._place = Some(place);
        process
    }

    /// The same, with a directory that another one may have had before.
    pub(crate) fn start_in(place: &Place, args: &[&str]) -> Self {
        Self::spawn(command_in(place, args))
    }

    /// Starts it and reads its banner to the end.
    pub(crate) fn spawn(command: Command) -> Self {
        Self::try_spawn(command).unwrap_or_else(|log| panic!("no banner; log: {log}"))
    }

    /// The same for one that may not start: then what it has said.
    pub(crate) fn try_spawn(mut command: Command) -> Result<Self, String> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let log = lines_of(child.stderr.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("\n  stop ") {
            if out.read_line(&mut banner).unwrap() == 0 {
                let _ = child.wait();
                return Err(log.iter().map(|line| line + "\n").collect());
            }
        }
        let address = value(&banner, "listen").parse().unwrap();
        let admin = value(&banner, "admin").strip_prefix("http://").map(|admin| admin.parse().unwrap());
        Ok(Self { child, banner, address, admin, log, _place: None })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until a line of the log contains a text.
    pub(crate) fn logged(&self, text: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never logged: {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// What the log of one that has ended has said since it was last looked at.
    pub(crate) fn said_to_the_end(&self) -> String {
        self.log.iter().map(|line| line + "\n").collect()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        wait_for("the end of the process", || self.child.try_wait().unwrap())
    }

    /// Memory that it has, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Asks the admin port, and returns the status and the body.
    pub(crate) fn ask(&self, method: &str, path: &str) -> (u16, String) {
        ask(self.admin.unwrap(), method, path)
    }

    /// As if the power of the process, not of the machine, was cut.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Asks an admin port, and returns the status and the body.
pub(crate) fn ask(admin: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let head = "Answerback-Admin: yes\r\nConnection: close";
    let answer = http(admin, &format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\n{head}\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a text and returns everything that comes back.
pub(crate) fn http(to: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// What the banner says behind a name.
pub(crate) fn value<'a>(banner: &'a str, name: &str) -> &'a str {
    let line = banner.lines().find(|line| line.trim_start().starts_with(name));
    line.and_then(|line| line.trim().strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {banner}")).trim()
}

fn lines_of(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
