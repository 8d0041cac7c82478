//! The program as somebody starts it who has read two lines of the README.

use crate::client::Client;
use crate::place::Place;
use crate::process::{Process, command};
use rustix::process::Signal;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

/// In an empty directory, with no settings but free ports: it makes its data directory, says where it is, answers a call,
/// and leaves when asked. A second time it finds what it made.
#[test]
fn it_starts_from_nothing() {
    let place = Place::new();
    std::fs::create_dir(&place.0).unwrap();
    for _ in 0..2 {
        let mut command = command();
        command.current_dir(&place.0).args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let mut server = Process::spawn(command);
        assert!(server.banner.contains(&server.address.to_string()), "{}", server.banner);
        let data = place.0.join("answerback-data");
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(server.ask("GET", "/readyz").0, 200);
        let mut client = Client::welcomed(server.address, "first");
        client.call(1, "$echo", r#"{"name":"Ada"}"#);
        assert_eq!(client.hear().data, br#"{"name":"Ada"}"#);
        drop(client);
        server.signal(Signal::TERM);
        assert_eq!(server.end().code(), Some(0));
    }
}

/// S24: it listens on the address it is told, and on no other.
#[test]
fn s24_it_binds_to_the_address_it_is_told() {
    for host in ["127.0.0.1", "127.0.0.7", "[::1]"] {
        let Ok(free) = TcpListener::bind(format!("{host}:0")) else {
            eprintln!("skipped: this machine has no {host}");
            continue;
        };
        let address = free.local_addr().unwrap().ip();
        let place = Place::new();
        let mut command = command();
        command.args(["--listen", &format!("{host}:0"), "--admin", "off", "--data-dir"]).arg(&place.0);
        let server = Process::spawn(command);
        assert_eq!(server.address.ip(), address);
        Client::welcomed(server.address, "here");
        for other in ["127.0.0.1", "127.0.0.7", "127.0.0.8", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap()) {
            let reached = TcpStream::connect(SocketAddr::new(other, server.address.port())).is_ok();
            assert_eq!(reached, other == address, "{other} of a server that listens on {host}");
        }
    }
}
