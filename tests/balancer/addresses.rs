//! Servers know who their clients are, and believe only balancers.

use crate::process::Process;
use crate::set::{Set, client_of};
use rustix::net::{AddressFamily, SocketType};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Stands between a client and a place, so that the client comes from this address, and says this first.
fn detour(from: SocketAddr, to: SocketAddr, first: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &from).unwrap();
        rustix::net::connect(&socket, &to).unwrap();
        let mut there = TcpStream::from(socket);
        there.write_all(first).unwrap();
        let (mut back, mut to_client) = (there.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut to_client));
        let _ = std::io::copy(&mut client, &mut there);
    });
    address
}

/// The addresses of all sessions that a server knows.
async fn addresses(server: SocketAddr) -> Vec<String> {
    let watcher = client_of(server).connect().await.unwrap();
    let told: Value = watcher.call("$sessions", ()).await.unwrap();
    let all = told["sessions"].as_array().unwrap();
    all.iter().map(|session| session["address"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn the_server_sees_the_client_behind_the_balancer() {
    // Watchers come from another address, which is not believed and has no header to say.
    let believed = ["--proxy-protocol", "--proxy-from", "127.0.0.9"];
    let server = Process::start(&believed);
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\x01\x02\0\x50";
    let door = detour("127.0.0.9:0".parse().unwrap(), server.address, header);
    let _client = client_of(door).connect().await.unwrap();
    assert!(addresses(server.address).await.contains(&"192.0.2.7:258".to_owned()));
}

#[tokio::test]
async fn the_balancer_says_where_its_clients_come_from() {
    let set = Set::start(1, &["--proxy-protocol", "--proxy-from", "127.0.0.1"], ",proxy=v2", &[]);
    let door = detour("127.0.0.77:0".parse().unwrap(), set.balancer.address, b"");
    let client = client_of(door).connect().await.unwrap();
    let told: Value = client.call("$sessions", ()).await.unwrap();
    assert!(told["sessions"][0]["address"].as_str().unwrap().starts_with("127.0.0.77:"), "{told}");
    // Who should say a header and says something else is closed, and the log says why.
    let refused = client_of(set.servers[0].address).reconnect(answerback::Reconnect::never()).connect().await;
    assert!(refused.is_err());
    set.servers[0].logged("--proxy-from says that this address sends PROXY headers");
}

#[test]
fn a_header_that_does_not_come_is_waited_for_no_longer_than_a_hello() {
    let server = Process::start(&["--proxy-protocol", "--proxy-from", "127.0.0.0/8", "--handshake", "200ms"]);
    let mut half = TcpStream::connect(server.address).unwrap();
    half.write_all(b"\r\n\r\n").unwrap();
    assert_eq!(half.read(&mut [0; 9]).unwrap_or(0), 0);
    server.logged("no PROXY header came within --handshake (200 ms)");
}
