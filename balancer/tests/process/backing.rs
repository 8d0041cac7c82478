//! Backends that are plain sockets.

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A backend that does something with each connection, until it is dropped.
pub(crate) struct Backing {
    pub(crate) address: SocketAddr,
    ended: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Backing {
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), serve)
    }

    /// Says back what it hears, after a byte that tells who it is.
    pub(crate) fn echo(name: u8) -> Self {
        Self::start(move |stream| echo(name, stream))
    }

    pub(crate) fn echo_at(name: u8, address: SocketAddr) -> Self {
        Self::at(address, move |stream| echo(name, stream))
    }

    fn at(address: SocketAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        set_socket_reuseaddr(&socket, true).unwrap();
        rustix::net::bind(&socket, &address).unwrap();
        rustix::net::listen(&socket, 1024).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let (ended, streams) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let all = Self { address, ended: Arc::clone(&ended), streams: Arc::clone(&streams) };
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                streams.lock().unwrap().push(stream.try_clone().unwrap());
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        all
    }
}

/// As a process that dies: the address is free and all connections end.
impl Drop for Backing {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Ends the wait of its thread, which closes the listener.
        drop(TcpStream::connect(self.address));
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn echo(name: u8, mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 64 << 10];
    let mut said = stream.write_all(&[name]);
    while said.is_ok() {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => said = stream.write_all(&buffer[..count]),
        }
    }
    // Other handles are kept for the end of the backend, so dropping this one would not end the connection.
    let _ = stream.shutdown(Shutdown::Write);
}

/// Who is behind a new connection of a client.
pub(crate) fn who(stream: &mut TcpStream) -> u8 {
    let mut name = [0];
    stream.read_exact(&mut name).unwrap();
    name[0]
}

/// One message there and back.
pub(crate) fn round_trip(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"hello")?;
    let mut back = [0; 5];
    stream.read_exact(&mut back)?;
    assert_eq!(&back, b"hello");
    Ok(())
}

/// An address that nobody listens at.
pub(crate) fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
