//! Where clients connect: a socket of our own, one that several balancers share, or one that whoever started us has opened.

use crate::settings::Settings;
use answerback_process::open_files::Files;
use rustix::net::sockopt::{set_socket_reuseaddr, set_socket_reuseport};
use rustix::net::{AddressFamily, SocketType};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that may wait to be accepted. The usual 128 are there within milliseconds when many clients come back at once.
const BACKLOG: i32 = 4096;

/// Two ends of each connection, and beside them the listeners, the log, probes, pages, pipes.
pub(crate) const FILES: Files = Files { each: 2, others: 256 };

/// The socket that clients connect to, or what is wrong.
pub(crate) fn open(settings: &Settings) -> Result<TcpListener, String> {
    if let Some(given) = given().map_err(|error| format!("cannot use the socket of LISTEN_FDS: {error}"))? {
        return Ok(given);
    }
    let address = settings.listen;
    bind(address, settings.reuse_port).map_err(|error| {
        let any = SocketAddr::new(address.ip(), 0);
        let other =
            if settings.reuse_port { "another user's process, or one without --reuse-port, may have it; " } else { "" };
        format!(
            "cannot listen on {address}: {error}; {other}choose another address with --listen ({any} takes a free port)"
        )
    })
}

/// A socket that whoever started us has opened and goes on to hold: connections wait in it while one balancer replaces another.
fn given() -> io::Result<Option<TcpListener>> {
    let Some(listener) = listenfd::ListenFd::from_env().take_tcp_listener(0)? else { return Ok(None) };
    listener.set_nonblocking(true)?;
    Ok(Some(listener))
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    // Otherwise a balancer could not come back where connections of the last one are still being closed.
    set_socket_reuseaddr(&socket, true)?;
    if shared {
        set_socket_reuseport(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}
