//! Servers with a balancer in front of them, and clients that go through it.

use crate::process::Process;
use crate::support::Balancer;
use answerback::{Builder, Client, Reconnect};
use std::net::SocketAddr;
use std::time::Duration;

/// Servers, each with a service of its own that is connected to it directly: `who` answers which one it was.
pub(crate) struct Set {
    pub(crate) servers: Vec<Process>,
    pub(crate) balancer: Balancer,
}

impl Set {
    /// Probed at their admin ports.
    pub(crate) fn start(count: usize, server_args: &[&str], more: &str, balancer_args: &[&str]) -> Self {
        let servers: Vec<_> = (0..count).map(|_| Process::start(server_args)).collect();
        let specs: Vec<_> =
            servers.iter().map(|server| format!("{},admin={}{more}", server.address, server.admin.unwrap())).collect();
        let flags: Vec<_> = specs.iter().flat_map(|spec| ["--backend", spec.as_str()]).collect();
        let balancer = Balancer::start(&[&flags[..], balancer_args].concat());
        balancer.until_up(&servers.iter().map(|server| server.address).collect::<Vec<_>>());
        Self { servers, balancer }
    }

    /// A client that goes through the balancer.
    pub(crate) fn client(&self) -> Builder {
        client_of(self.balancer.address)
    }
}

/// A client that comes back soon.
pub(crate) fn client_of(address: SocketAddr) -> Builder {
    let reconnect =
        Reconnect::default().first_delay(Duration::from_millis(10)).longest_delay(Duration::from_millis(100));
    Client::builder(address.to_string()).reconnect(reconnect)
}

/// A service at one server that says which one.
pub(crate) async fn serve_who(builder: Builder, number: usize) -> Client {
    let service = builder.name("who").connect().await.unwrap();
    service.serve("who", move |(): ()| async move { answerback::Ok(number) }).await.unwrap();
    service
}
