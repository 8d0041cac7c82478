//! `fanout`: one publisher and several subscribers over loopback, beside nats-server.
//!
//! ```text
//!  publisher, one thread ──TCP──► system under test ──TCP──► all subscribers, one thread
//! ```
//!
//! The clients are as lean as they can be and the same for both: the publisher writes messages that were encoded before, and subscribers count bytes, of
//! which every event has the same number. What every subscriber got is checked to be whole at the end. The publisher is at most a window ahead of
//! the slowest subscriber, so that nobody is cut off. The systems take turns; figures are medians over rounds.

use crate::process::{Owned, usage};
use crate::table::{Table, figures, grouped};
use crate::timing::median;
use crate::wire::answerback::Answerback;
use crate::wire::system::Running as _;
use crate::wire::{ServerArguments, seconds};
use crate::{Outcome, machine};
use answerback_protocol::frames::{Event, Hello, Ping, Publish, Subscribe};
use answerback_protocol::limits::VERSIONS;
use answerback_protocol::{ClientFrame, Pattern, ServerFrame, SessionId};
use bytes::BytesMut;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    /// The program of NATS; without it only Answerback is measured
    #[arg(long, default_value = "nats-server")]
    nats_server: PathBuf,
    /// Subscribers
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    subscribers: u64,
    /// Bytes of data in each event
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(2..=65_536))]
    size: u64,
    /// Seconds of each visit that count
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds of each visit before those that count
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warmup: f64,
    /// Visits to each system; figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
}

/// Events that the publisher is ahead of the slowest subscriber at most.
const WINDOW: u64 = 16_384;

/// Events in one write.
const BATCH: u64 = 128;

/// How long a greeting, or the last event, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The topic of all events.
const TOPIC: &str = "orders.new";

/// Room for what one read brings.
const READ_BYTES: usize = 256 << 10;

/// A system that can be started.
enum System {
    Answerback(Answerback),
    Nats(PathBuf),
}

/// One that runs.
struct Started {
    address: SocketAddr,
    id: u32,
    speech: Speech,
    /// Ends with this.
    _system: Box<dyn std::any::Any>,
}

/// What clients of a system say and hear.
struct Speech {
    publisher: Vec<u8>,
    subscriber: Box<dyn Fn(u64) -> Vec<u8>>,
    /// What ends the answer to a subscriber's words.
    ready: &'static [u8],
    publish: Vec<u8>,
    /// Bytes of one event.
    event_bytes: u64,
    /// Bytes of the question whether a subscriber is there, which may come now and then.
    ping_bytes: u64,
}

/// What one visit has seen.
struct Seen {
    deliveries_per_second: f64,
    cpu_per_100_000: f64,
}

/// Visits both systems in turn and prints what was seen.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    println!("{}", machine::headline());
    let answerback = Answerback::new(&arguments.server, 16 + arguments.subscribers as usize)?;
    let mut systems = vec![System::Answerback(answerback)];
    match Command::new(&arguments.nats_server).arg("--version").output() {
        Ok(_) => systems.push(System::Nats(arguments.nats_server.clone())),
        Err(_) => eprintln!("nats-server is left out: apt-get install nats-server, or name one with --nats-server"),
    }
    let mut seen: Vec<Vec<Seen>> = systems.iter().map(|_| Vec::new()).collect();
    for _ in 0..arguments.rounds {
        for (system, seen) in systems.iter().zip(&mut seen) {
            seen.push(visit(arguments, &system.start(arguments)?)?);
        }
    }
    let title = format!("1 publisher, {} subscribers, {} B", arguments.subscribers, arguments.size);
    let mut table = Table::new(title, 1, &["system", "deliveries/s", "least", "most", "CPU s per 100,000"]);
    for (system, seen) in systems.iter().zip(&seen) {
        let mut rates: Vec<f64> = seen.iter().map(|seen| seen.deliveries_per_second).collect();
        let mut costs: Vec<f64> = seen.iter().map(|seen| seen.cpu_per_100_000).collect();
        let (middle, cost) = (median(&mut rates), median(&mut costs));
        let ends = [rates.first(), rates.last()].map(|rate| grouped(rate.copied().unwrap_or_default()));
        let [least, most] = ends;
        table.row([system.name().to_owned(), grouped(middle), least, most, figures(cost)]);
    }
    println!("{table}");
    Ok(())
}

impl System {
    fn name(&self) -> &'static str {
        match self {
            Self::Answerback(_) => "answerback",
            Self::Nats(_) => "nats-server",
        }
    }

    fn start(&self, arguments: &Arguments) -> Outcome<Started> {
        let data = format!("\"{}\"", "x".repeat(arguments.size as usize - 2));
        match self {
            Self::Answerback(answerback) => {
                let started = answerback.launch()?;
                let id = started.process().ok_or("fanout starts its server itself: name one with --server-binary")?;
                Ok(Started {
                    address: started.address(),
                    id,
                    speech: of_answerback(&data)?,
                    _system: Box::new(started),
                })
            }
            Self::Nats(program) => {
                let find = |line: &str| line.split_once("Listening for client connections on ")?.1.trim().parse().ok();
                let mut command = Command::new(program);
                let (owned, address) = Owned::start_by_error(command.args(["-a", "127.0.0.1", "-p", "-1"]), find)?;
                Ok(Started { address, id: owned.id(), speech: of_nats(&data), _system: Box::new(owned) })
            }
        }
    }
}

fn of_answerback(data: &str) -> Outcome<Speech> {
    let pattern = || Pattern::new(TOPIC).map_err(|_| "the topic is none");
    let hello = |number: u64| {
        let name = format!("client-{number}");
        let mut out = BytesMut::new();
        let session = SessionId::new(u128::from(number) + 1);
        ClientFrame::from(Hello { protocol: VERSIONS, name: name.into(), session, agent: None, node: None })
            .write(b"", &mut out);
        out
    };
    let mut subscribe = BytesMut::new();
    ClientFrame::from(Subscribe { topic: pattern()?, group: None, path: None }).write(b"", &mut subscribe);
    let subscriber = move |number: u64| [&hello(number + 1)[..], &subscribe[..]].concat();
    let (mut publish, mut event) = (BytesMut::new(), BytesMut::new());
    let frame = Publish { topic: pattern()?, id: None, to: None, others: false };
    ClientFrame::from(frame).write(data.as_bytes(), &mut publish);
    let frame = Event { topic: TOPIC.into(), from: "client-0".into(), group: None, course: None };
    ServerFrame::from(frame).write(data.as_bytes(), &mut event);
    let mut ping = BytesMut::new();
    ServerFrame::from(Ping).write(b"", &mut ping);
    Ok(Speech {
        publisher: hello(0).to_vec(),
        subscriber: Box::new(subscriber),
        ready: br#""events":0}"#,
        publish: publish.to_vec(),
        event_bytes: event.len() as u64,
        ping_bytes: ping.len() as u64,
    })
}

fn of_nats(data: &str) -> Speech {
    let connect =
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"1\",\"protocol\":1}\r\n";
    let event = format!("MSG {TOPIC} 1 {}\r\n{data}\r\n", data.len());
    Speech {
        publisher: format!("{connect}PING\r\n").into_bytes(),
        subscriber: Box::new(move |_| format!("{connect}SUB {TOPIC} 1\r\nPING\r\n").into_bytes()),
        ready: b"PONG\r\n",
        publish: format!("PUB {TOPIC} {}\r\n{data}\r\n", data.len()).into_bytes(),
        event_bytes: event.len() as u64,
        ping_bytes: "PING\r\n".len() as u64,
    }
}

/// What the threads tell each other.
struct Told {
    /// Events that the slowest subscriber has, and that all have together.
    slowest: AtomicU64,
    all: AtomicU64,
    over: AtomicBool,
}

fn visit(arguments: &Arguments, started: &Started) -> Outcome<Seen> {
    let subscribers = (0..arguments.subscribers).map(|number| subscriber(started, number));
    let subscribers = subscribers.collect::<Outcome<Vec<_>>>()?;
    let mut publisher = TcpStream::connect(started.address)?;
    publisher.set_nodelay(true)?;
    publisher.write_all(&started.speech.publisher)?;
    let told = Told { slowest: AtomicU64::new(0), all: AtomicU64::new(0), over: AtomicBool::new(false) };
    let (event, event_bytes, ping_bytes) =
        (&started.speech.publish, started.speech.event_bytes, started.speech.ping_bytes);
    let shared = &told;
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(&mut publisher, event, &told));
        let publishing_thread = publishing.thread().clone();
        let counting = scope.spawn(move || count(subscribers, event_bytes, ping_bytes, shared, &publishing_thread));
        std::thread::park_timeout(Duration::from_secs_f64(arguments.warmup));
        let (before, cpu, from) = (told.all.load(Ordering::Relaxed), usage(started.id)?.cpu_seconds, Instant::now());
        std::thread::park_timeout(Duration::from_secs_f64(arguments.seconds));
        let (took, after) = (from.elapsed().as_secs_f64(), told.all.load(Ordering::Relaxed));
        let cpu = usage(started.id)?.cpu_seconds - cpu;
        told.over.store(true, Ordering::Relaxed);
        let published = publishing.join().map_err(|_| "the publisher panicked")??;
        counting.join().map_err(|_| "the subscribers panicked")??;
        let (got, expected) = (told.all.load(Ordering::Relaxed), published * arguments.subscribers);
        if got != expected {
            return Err(format!("{got} events arrived of {expected}").into());
        }
        let deliveries = (after - before) as f64;
        Ok(Seen { deliveries_per_second: deliveries / took, cpu_per_100_000: cpu / deliveries * 100_000.0 })
    })
}

/// A subscriber whom the system has heard.
fn subscriber(started: &Started, number: u64) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(started.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&(started.speech.subscriber)(number))?;
    let mut heard = Vec::new();
    while !heard.ends_with(started.speech.ready) {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        heard.extend(byte);
    }
    Ok(stream)
}

/// Publishes until it is over. How many those were.
fn publish(stream: &mut TcpStream, event: &[u8], told: &Told) -> Outcome<u64> {
    let batch = event.repeat(BATCH as usize);
    let mut published = 0;
    while !told.over.load(Ordering::Relaxed) {
        if published + BATCH > told.slowest.load(Ordering::Relaxed) + WINDOW {
            std::thread::park_timeout(Duration::from_millis(1));
            continue;
        }
        stream.write_all(&batch)?;
        published += BATCH;
    }
    // Whoever counts knows by this how much is still to come.
    let until = Instant::now() + PATIENCE;
    while told.slowest.load(Ordering::Relaxed) < published && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    told.slowest.store(u64::MAX, Ordering::Relaxed);
    Ok(published)
}

/// Counts what every subscriber gets, until the publisher has seen that it was everything.
fn count(
    subscribers: Vec<TcpStream>,
    event_bytes: u64,
    ping_bytes: u64,
    told: &Told,
    publisher: &std::thread::Thread,
) -> Outcome<()> {
    let mut poll = Poll::new()?;
    let mut streams = Vec::new();
    for (number, stream) in subscribers.into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        streams.push((stream, 0_u64));
    }
    let (mut events, mut buffer) = (Events::with_capacity(1_024), vec![0; READ_BYTES]);
    while told.slowest.load(Ordering::Relaxed) != u64::MAX {
        poll.poll(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            if let Some((stream, bytes)) = streams.get_mut(event.token().0) {
                read_all(stream, bytes, &mut buffer)?;
            }
        }
        let slowest = streams.iter().map(|(_, bytes)| bytes / event_bytes).min().unwrap_or_default();
        // Not over what the publisher may have said meanwhile.
        let known = told.slowest.load(Ordering::Relaxed);
        let _ = told.slowest.compare_exchange(known, slowest.max(known), Ordering::Relaxed, Ordering::Relaxed);
        told.all.store(streams.iter().map(|(_, bytes)| bytes / event_bytes).sum(), Ordering::Relaxed);
        publisher.unpark();
    }
    match streams.iter().all(|(_, bytes)| (bytes % event_bytes).is_multiple_of(ping_bytes)) {
        true => Ok(()),
        false => Err("an event did not arrive whole".into()),
    }
}

fn read_all(stream: &mut mio::net::TcpStream, bytes: &mut u64, buffer: &mut [u8]) -> Outcome<()> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Err("a subscriber was cut off".into()),
            Ok(read) => *bytes += read as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
