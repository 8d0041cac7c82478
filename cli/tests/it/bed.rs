//! A server for each test, and processes of the tool that talk to it.

use answerback_server::{End, Running, Server, Settings};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The end of every wait: far longer than anything takes, so that it is reached only if something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server in this process, with a directory that is removed with it.
pub(crate) struct Bed {
    running: Option<Running>,
    /// Of one that ends by itself when it was asked to leave.
    admin: Option<(SocketAddr, JoinHandle<End>)>,
    pub(crate) address: SocketAddr,
    pub(crate) place: PathBuf,
}

/// What a process has said, and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A process that goes on.
pub(crate) struct Ongoing {
    child: Child,
    out: Option<JoinHandle<String>>,
    err: Receiver<String>,
    pub(crate) said: Vec<String>,
}

impl Bed {
    pub(crate) fn start() -> Self {
        let place = place();
        let running = start_server(&place, ([127, 0, 0, 1], 0).into()).unwrap();
        Self { address: running.address(), running: Some(running), admin: None, place }
    }

    /// With an admin port. It is gone when it was asked to leave and has done so, as a process is.
    pub(crate) fn start_with_admin() -> Self {
        let (place, any) = (place(), ([127, 0, 0, 1], 0).into());
        let settings =
            Settings { listen: any, admin: Some(any), data_dir: place.join("server"), ..Settings::default() };
        let running = Server::start(settings).unwrap();
        let (address, admin) = (running.address(), running.admin_address().unwrap());
        Self { address, running: None, admin: Some((admin, thread::spawn(|| running.join()))), place }
    }

    fn drain_command(&self, arguments: &[&str]) -> Command {
        let admin = self.admin.as_ref().unwrap().0.to_string();
        self.command(&[&["drain", "--admin", &admin], arguments].concat())
    }

    pub(crate) fn drain(&self, arguments: &[&str]) -> Ended {
        finish(self.drain_command(arguments), "")
    }

    pub(crate) fn start_drain(&self, arguments: &[&str]) -> Ongoing {
        Ongoing::start(self.drain_command(arguments))
    }

    /// How the server with the admin port has ended.
    pub(crate) fn end(mut self) -> End {
        self.admin.take().unwrap().1.join().unwrap()
    }

    /// Ends the server as if it were killed, and starts it at the same place.
    pub(crate) fn start_again(mut self) -> Self {
        drop(self.running.take());
        self.running = Some(wait_for("the port to be free", || start_server(&self.place, self.address)));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tool(arguments);
        command.env("ANSWERBACK_SERVER", self.address.to_string());
        command
    }

    /// Runs to its end, without anything on standard input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        finish(self.command(arguments), "")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        finish(self.command(arguments), input)
    }

    /// Starts something that goes on.
    pub(crate) fn start_tool(&self, arguments: &[&str]) -> Ongoing {
        Ongoing::start(self.command(arguments))
    }

    /// Waits until this many requests are with handlers.
    pub(crate) fn until_in_flight(&self, number: u64) {
        self.until_listed(&format!("{number} in flight"), |action| action["in_flight"] == number);
    }

    /// Waits until this many requests wait for one action.
    pub(crate) fn until_waiting(&self, number: u64) {
        self.until_listed(&format!("{number} waiting"), |action| action["queued"] == number);
    }

    /// Waits until somebody serves this.
    pub(crate) fn until_served(&self, name: &str) {
        self.until_listed(name, |action| action["action"] == name && action["handlers"] == 1);
    }

    #[track_caller]
    fn until_listed(&self, what: &str, is_it: impl Fn(&Value) -> bool) {
        wait_for(what, || self.run(&["ls", "--json"]).json()["actions"].as_array()?.iter().any(&is_it).then_some(()));
    }

    /// Starts `serve` and waits until it serves.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Ongoing {
        let mut serving = self.start_tool(&[&["serve"], arguments].concat());
        serving.until_said("serving `");
        serving
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some((admin, server)) = self.admin.take().filter(|(_, server)| !server.is_finished()) {
            // A test that failed has left it running.
            let _ = tool(&["drain", "--admin", &admin.to_string(), "--deadline", "0"]).output();
            let _ = server.join();
        }
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

/// A directory of its own for each.
fn place() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("answerback-cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(name)
}

fn start_server(place: &Path, listen: SocketAddr) -> Option<Running> {
    let settings = Settings { listen, data_dir: place.join("server"), admin: None, ..Settings::default() };
    Server::start(settings).ok()
}

/// The tool, with nothing of this process's environment that it would listen to.
pub(crate) fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_answerback"));
    command.args(arguments);
    for variable in
        ["ANSWERBACK_SERVER", "ANSWERBACK_KEY", "ANSWERBACK_KEY_FILE", "CREDENTIALS_DIRECTORY", "TRACEPARENT"]
    {
        command.env_remove(variable);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for the end of a process.
pub(crate) fn finish(mut command: Command, input: &str) -> Ended {
    let mut child = command.spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    // Who does not read it has ended already.
    let _ = to.write_all(input.as_bytes());
    drop(to);
    let (out, err) = (text_of(child.stdout.take().unwrap()), text_of(child.stderr.take().unwrap()));
    let status = wait(&mut child);
    Ended { code: status.code().unwrap_or(-1), out: out.join().unwrap(), err: err.join().unwrap() }
}

fn text_of(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        from.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    })
}

fn wait(child: &mut Child) -> ExitStatus {
    wait_for("the end of the process", || child.try_wait().unwrap())
}

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited too long for: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

impl Ended {
    /// What was printed, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error that was told, as JSON.
    pub(crate) fn error_json(&self) -> Value {
        serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It has ended well and said this.
    #[track_caller]
    pub(crate) fn printed(&self, expected: &str) {
        assert_eq!((self.code, self.out.as_str()), (0, expected), "{self:?}");
    }

    /// It has ended with this number, an error of one line with these words, and one about what to do.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{self:?}");
        let lines: Vec<_> = self.err.lines().collect();
        assert!(lines[0].starts_with("error: ") && lines[0].contains(words), "{self:?}");
        assert!(lines.last().unwrap().starts_with("next: "), "{self:?}");
    }
}

impl Ongoing {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let out = text_of(child.stdout.take().unwrap());
        let (tell, err) = channel();
        let from = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || from.lines().map_while(Result::ok).all(|line| tell.send(line).is_ok()));
        Self { child, out: Some(out), err, said: Vec::new() }
    }

    /// Waits for a line on standard error that has these words.
    #[track_caller]
    pub(crate) fn until_said(&mut self, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        while let Ok(line) = self.err.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.said.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
        panic!("it never said `{words}` but {:?}", self.said);
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let status = wait(&mut self.child);
        let out = self.out.take().unwrap().join().unwrap();
        self.said.extend(self.err.iter());
        Ended { code: status.code().unwrap_or(-1), out, err: self.said.join("\n") }
    }

    /// Asks it to leave and waits for its end.
    pub(crate) fn leave(self) -> Ended {
        self.signal("INT");
        self.end()
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
