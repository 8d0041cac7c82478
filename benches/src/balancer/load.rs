//! The load: a backend, and clients that talk to it through a system.

use crate::Outcome;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What backends and clients read and write at once in bulk.
const PIECE_BYTES: usize = 256 << 10;

/// Threads need little to say back what they hear.
const STACK_BYTES: usize = 512 << 10;

/// A backend: says back what it hears, or writes without end as soon as it has heard something. Connections that say nothing cost it a thread.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Backend {
    pub(super) fn start(bulk: bool) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        rustix::net::listen(&listener, 4096)?;
        let (address, ended) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&ended);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let serve = move || if bulk { pour(stream) } else { echo(stream) };
                // One that cannot be served is closed, which its client tells.
                let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn(serve);
            }
        });
        Ok(Self { address, ended })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 16 << 10];
    let _ = stream.set_nodelay(true);
    while let Ok(count) = stream.read(&mut buffer)
        && count > 0
        && stream.write_all(&buffer[..count]).is_ok()
    {}
}

fn pour(mut stream: TcpStream) {
    let piece = vec![7; PIECE_BYTES];
    if stream.read(&mut [0]).is_ok_and(|count| count == 1) {
        while stream.write_all(&piece).is_ok() {}
    }
}

fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Has `each` work on connections of its own for so long. Returns what they counted meanwhile, and what `cpu` grew by.
fn count(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    cpu: impl Fn() -> Outcome<f64>,
    each: impl Fn(&mut TcpStream, &AtomicU64, &AtomicBool) + Send + Sync + Copy + 'static,
) -> Outcome<(f64, f64)> {
    let (counted, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut streams = Vec::new();
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for _ in 0..connections {
        let mut stream = connect(address)?;
        streams.push(stream.try_clone()?);
        let (counted, over) = (Arc::clone(&counted), Arc::clone(&over));
        threads.push(thread::Builder::new().spawn(move || each(&mut stream, &counted, &over))?);
    }
    // Until all are at work.
    thread::park_timeout(Duration::from_millis(300));
    let (before, cpu_before) = (counted.load(Ordering::Relaxed), cpu()?);
    thread::park_timeout(time);
    let (after, cpu_after) = (counted.load(Ordering::Relaxed), cpu()?);
    over.store(true, Ordering::Relaxed);
    for stream in streams {
        // One that has broken has ended already.
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads {
        thread.join().map_err(|_| "a client panicked")?;
    }
    let count = after - before;
    if count == 0 { Err("nothing came through".into()) } else { Ok((count as f64, cpu_after - cpu_before)) }
}

/// Small messages there and back. Returns how many, and seconds on a processor.
pub(super) fn round_trips(
    address: SocketAddr,
    connections: usize,
    size: usize,
    time: Duration,
    cpu: impl Fn() -> Outcome<f64>,
) -> Outcome<(f64, f64)> {
    count(address, connections, time, cpu, move |stream, counted, over| {
        let mut message = vec![1; size.max(1)];
        while !over.load(Ordering::Relaxed)
            && stream.write_all(&message).and_then(|()| stream.read_exact(&mut message)).is_ok()
        {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    })
}

/// As many bytes as go through. Returns how many, and seconds on a processor.
pub(super) fn bulk(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    cpu: impl Fn() -> Outcome<f64>,
) -> Outcome<(f64, f64)> {
    count(address, connections, time, cpu, |stream, counted, over| {
        let mut piece = vec![0; PIECE_BYTES];
        let mut begun = stream.write_all(b"x").map(|()| 1);
        while !over.load(Ordering::Relaxed) && begun.as_ref().is_ok_and(|count| *count > 0) {
            begun = stream.read(&mut piece);
            counted.fetch_add(begun.as_ref().map_or(0, |count| *count as u64), Ordering::Relaxed);
        }
    })
}

/// Connections that have each said one thing, and then nothing.
pub(super) fn idle(address: SocketAddr, connections: usize) -> Outcome<Vec<TcpStream>> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let mut stream = connect(address)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        streams.push(stream);
    }
    Ok(streams)
}
