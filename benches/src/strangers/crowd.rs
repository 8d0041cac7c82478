//! A crowd: everybody who connects and has no business here, so many a second, all kinds in turn.

use answerback_protocol::sealed::{Entropy, Greeting, Key, KeyId, Secret};
use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Who was told something leaves after this time; it does not read what it was told.
const STAYS: Duration = Duration::from_millis(50);

/// Who says nothing, or half of something, waits to be thrown out.
const WAITS: Duration = Duration::from_secs(8);

/// A crowd that comes in a thread of its own.
pub(crate) struct Crowd {
    over: Arc<AtomicBool>,
    coming: JoinHandle<Came>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Came {
    /// Connections that were made.
    pub(crate) connected: u64,
    /// Connections that could not be made.
    pub(crate) failed: u64,
    /// How long it came.
    pub(crate) time: Duration,
}

impl Came {
    /// Connections a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.connected as f64 / self.time.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl Crowd {
    /// Comes to this server, which has this key: one of the kinds plays a greeting again that somebody made with it.
    pub(crate) fn start(server: SocketAddr, per_second: u64, key: &Key) -> Self {
        let over = Arc::<AtomicBool>::default();
        let (end, kinds) = (Arc::clone(&over), kinds(key));
        let pause = Duration::from_secs(1) / u32::try_from(per_second.max(1)).unwrap_or(u32::MAX);
        Self { over, coming: std::thread::spawn(move || come(server, pause, &kinds, &end)) }
    }

    /// Nobody else comes. Those who are there leave.
    pub(crate) fn end(self) -> Came {
        self.over.store(true, Ordering::Relaxed);
        self.coming.join().unwrap_or_default()
    }
}

/// What one says, and how long it stays.
struct Kind {
    says: Vec<u8>,
    stays: Duration,
}

fn kinds(key: &Key) -> Vec<Kind> {
    let other = |id: KeyId| Key { id, secret: Secret::new([0x5a; 32]) };
    let greeting = |key: &Key| Greeting::new(key, Entropy::new([3; 32])).map(|(_, bytes)| bytes).unwrap_or_default();
    let unknown = KeyId::new("nobody").unwrap_or_else(|_| key.id.clone());
    let (sound, wrong, unknown) = (greeting(key), greeting(&other(key.id.clone())), greeting(&other(unknown)));
    let half = sound[..sound.len() / 2].to_vec();
    let hello = br#"{"type":"hello","protocol":[1,1],"name":"x","session":"00000000000000000000000000000001"}"#;
    let plain = [&(hello.len() as u32 + 2).to_be_bytes()[..], &(hello.len() as u16).to_be_bytes(), hello].concat();
    let told = |says: &[u8]| Kind { says: says.to_vec(), stays: STAYS };
    let waits = |says: &[u8]| Kind { says: says.to_vec(), stays: WAITS };
    vec![
        Kind { says: Vec::new(), stays: Duration::ZERO },
        waits(b""),
        waits(&half),
        told(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
        told(b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"),
        told(b"\xff\x00\x7f\x13\x37random bytes"),
        told(&plain),
        told(&wrong),
        told(&unknown),
        // Played again: it costs the server a whole handshake.
        told(&sound),
    ]
}

fn come(server: SocketAddr, pause: Duration, kinds: &[Kind], over: &AtomicBool) -> Came {
    let begun = Instant::now();
    let (mut came, mut there) = (Came::default(), VecDeque::new());
    for (kind, number) in kinds.iter().cycle().zip(0..) {
        let due = begun + pause * number;
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        if over.load(Ordering::Relaxed) {
            break;
        }
        match TcpStream::connect(server) {
            Ok(mut socket) => {
                came.connected += 1;
                // Whoever is at rest has closed it already.
                let _ = socket.write_all(&kind.says);
                there.push_back((Instant::now() + kind.stays, socket));
            }
            Err(_) => came.failed += 1,
        }
        let now = Instant::now();
        // In no order, so those in front are looked at and the rest waits for its turn; a few thousand are a few microseconds.
        for _ in 0..there.len().min(LOOKS) {
            if let Some((until, socket)) = there.pop_front().filter(|(until, _)| *until > now) {
                there.push_back((until, socket));
            }
        }
    }
    came.time = begun.elapsed();
    came
}

/// How many of those who are there are looked at each time one comes.
const LOOKS: usize = 16;
