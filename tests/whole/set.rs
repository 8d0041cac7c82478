//! Three servers that are linked, and two balancers before them: each goes, and comes back at the same address with the same directory.

use crate::place::Place;
use crate::process::{Process, command};
use crate::support::{Balancer, until};
use rustix::process::Signal;
use std::net::SocketAddr;

/// How many there are of each.
pub(crate) const SERVERS: usize = 3;
pub(crate) const BALANCERS: usize = 2;

/// How one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Going {
    /// SIGTERM: it ends what it has.
    Drained,
    /// SIGKILL.
    Killed,
}

struct Server {
    process: Process,
    place: Place,
    address: SocketAddr,
    admin: SocketAddr,
    flags: Vec<String>,
}

impl Server {
    fn start(number: usize, peers: &[Self]) -> Self {
        let (place, nowhere) = (Place::new(), SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut flags = vec!["--id".to_owned(), format!("server-{number}")];
        flags.extend(peers.iter().flat_map(|peer| ["--peer".to_owned(), peer.address.to_string()]));
        let process = spawn(&place, nowhere, nowhere, &flags);
        let (address, admin) = (process.address, process.admin.unwrap());
        Self { process, place, address, admin, flags }
    }

    fn goes(&mut self, how: Going) {
        match how {
            Going::Killed => self.process.kill(),
            Going::Drained => {
                self.process.signal(Signal::TERM);
                let status = self.process.end();
                assert_eq!(status.code(), Some(0), "{}: did not leave in order", self.process.said_to_the_end());
            }
        }
        let said = self.process.said_to_the_end();
        assert!(!said.contains("panicked"), "a server panicked:\n{said}");
    }

    fn comes_back(&mut self) {
        self.process = spawn(&self.place, self.address, self.admin, &self.flags);
    }
}

fn spawn(place: &Place, address: SocketAddr, admin: SocketAddr, flags: &[String]) -> Process {
    let mut command = command();
    command.args(["--listen", &address.to_string(), "--admin", &admin.to_string(), "--data-dir"]).arg(&place.0);
    // Who is killed is noticed at once on one machine; a busy one must not take somebody who is late for dead.
    command.args(["--heartbeat", "5s", "--session-grace", "2s", "--drain-deadline", "10s"]).args(flags);
    Process::spawn(command)
}

/// All of them.
pub(crate) struct Set {
    servers: Vec<Server>,
    balancers: Vec<Balancer>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum One {
    Server(usize),
    Balancer(usize),
}

impl Set {
    /// Starts all, and waits until they are linked and found to be well.
    pub(crate) fn start() -> Self {
        let mut servers = Vec::new();
        for number in 0..SERVERS {
            servers.push(Server::start(number, &servers));
        }
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let balancers = (0..BALANCERS).map(|_| balancer(&servers, nowhere)).collect();
        let set = Self { servers, balancers };
        set.until_whole();
        set
    }

    /// Where clients go.
    pub(crate) fn doors(&self) -> Vec<SocketAddr> {
        self.balancers.iter().map(|balancer| balancer.address).collect()
    }

    /// Each in turn.
    pub(crate) fn in_turn(&self) -> Vec<One> {
        vec![One::Server(0), One::Balancer(0), One::Server(1), One::Balancer(1), One::Server(2)]
    }

    /// One goes.
    pub(crate) fn goes(&mut self, one: One, how: Going) {
        match (one, how) {
            (One::Server(number), how) => self.servers[number].goes(how),
            (One::Balancer(number), Going::Killed) => {
                self.balancers[number].signal(Signal::KILL);
                self.balancers[number].exit_code();
            }
            (One::Balancer(number), Going::Drained) => {
                self.balancers[number].signal(Signal::TERM);
                let code = self.balancers[number].exit_code();
                assert_eq!(code, Some(0), "the balancer did not leave in order:\n{}", self.balancers[number].log());
            }
        }
    }

    /// And comes back.
    pub(crate) fn comes_back(&mut self, one: One) {
        match one {
            One::Server(number) => self.servers[number].comes_back(),
            One::Balancer(number) => {
                let address = self.balancers[number].address;
                self.balancers[number] = balancer(&self.servers, address);
            }
        }
    }

    /// Waits until each server is linked with all others, and every balancer finds all of them.
    pub(crate) fn until_whole(&self) {
        let linked = format!("answerback_peers_up {}", SERVERS - 1);
        for server in &self.servers {
            until("links", || server.process.ask("GET", "/metrics").1.lines().any(|line| line == linked));
        }
        let all: Vec<_> = self.servers.iter().map(|server| server.address).collect();
        self.balancers.iter().for_each(|balancer| balancer.until_up(&all));
    }
}

fn balancer(servers: &[Server], address: SocketAddr) -> Balancer {
    let specs: Vec<_> = servers.iter().map(|server| format!("{},admin={}", server.address, server.admin)).collect();
    let mut command = crate::support::program();
    command.args(["--listen", &address.to_string(), "--drain-deadline", "10s", "--strategy", "least-connections"]);
    command.args(crate::support::HASTY.iter().flatten());
    command.args(specs.iter().flat_map(|spec| ["--backend", spec]));
    Balancer::spawn(command)
}
