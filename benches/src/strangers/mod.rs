//! `strangers`: what it costs those who work that a crowd of strangers comes to the same port.
//!
//! The clients have a key and call at a steady rate; the crowd has none, or plays greetings again. Both come over loopback, where the server spares
//! everybody its limits for single addresses, so it has to meet every one of them: elsewhere most would be given a rest.

mod crowd;
mod load;

use crate::folder::Folder;
use crate::process::Owned;
use crate::table::{Table, figures, grouped};
use crate::wire::answerback::listening_at;
use crate::{Outcome, machine, process};
use answerback::{Key, KeyId, Secret};
use crowd::{Came, Crowd};
use load::{Load, Times};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::runtime::Builder;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The server to start [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    server_binary: Option<PathBuf>,
    /// Clients with a key, 8 of them handlers
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(9..=10_000))]
    clients: u32,
    /// Calls that each of the others makes in a second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    calls: u32,
    /// Strangers that come in a second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    strangers: u64,
    /// Seconds that they come; before and after it is quiet for half of that
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=3_600))]
    seconds: u64,
}

/// The server closes who says nothing after 5 s; a second later all of the crowd are gone.
const ALL_GONE: Duration = Duration::from_secs(6);

/// How often it is looked how much memory the server has.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Files beside those of the crowd that is there at once.
const FILES_BESIDE: u64 = 2_000;

/// Seconds that a part of the crowd stays.
const STAYS_SECONDS: u64 = 10;

const COLUMNS: [&str; 9] =
    ["", "strangers/s", "calls", "p50 us", "p99 us", "p99.9 us", "p99 of the first", "RSS MiB", "most RSS MiB"];

/// Measures, and prints a table.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    process::allow_sockets(FILES_BESIDE + arguments.strangers * STAYS_SECONDS)?;
    let beside = std::env::current_exe()?.with_file_name("answerback-server");
    let key = Key { id: KeyId::new("bench")?, secret: Secret::new([7; 32]) };
    let server = Server::start(arguments.server_binary.as_deref().unwrap_or(&beside), &key)?;
    println!("{}", machine::headline());
    Builder::new_multi_thread().enable_all().build()?.block_on(measure(arguments, &server, &key))
}

/// A server process with one key.
struct Server {
    process: Owned,
    address: SocketAddr,
    _data: Folder,
}

impl Server {
    fn start(program: &Path, key: &Key) -> Outcome<Self> {
        let data = Folder::new()?;
        let key_file = data.path().join("key");
        answerback_keys::file::create_key_file(&key_file, &[], key)?;
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--admin", "off", "--log", "error", "--data-dir"]);
        command.arg(data.path().join("data")).arg("--key-file").arg(&key_file);
        let (process, address) = Owned::start(&mut command, listening_at)?;
        Ok(Self { process, address, _data: data })
    }

    fn resident_mib(&self) -> Outcome<f64> {
        Ok(process::usage(self.process.id())?.resident_bytes as f64 / f64::from(1 << 20))
    }
}

/// Memory at the end, and the most.
#[derive(Clone, Copy)]
struct Memory {
    last: f64,
    most: f64,
}

async fn measure(arguments: &Arguments, server: &Server, key: &Key) -> Outcome<()> {
    let load = Load::connect(server.address, key, arguments.clients as usize).await?;
    let (busy, quiet) = (Duration::from_secs(arguments.seconds), Duration::from_secs(arguments.seconds) / 2);
    load.work(arguments.calls, Duration::from_secs(1)).await?;
    let title =
        format!("{} sealed clients, {} calls a second each, while strangers come", arguments.clients, arguments.calls);
    let mut table = Table::new(title, 1, &COLUMNS);
    let (first, memory) = watched(server, load.work(arguments.calls, quiet)).await?;
    let first = first?;
    row(&mut table, "quiet before", Came::default(), (&first, &first), memory);
    let crowd = Crowd::start(server.address, arguments.strangers, key);
    let (among, memory) = watched(server, load.work(arguments.calls, busy)).await?;
    row(&mut table, "a crowd", crowd.end(), (&among?, &first), memory);
    let (gone, _) = watched(server, load.work(arguments.calls, ALL_GONE)).await?;
    gone?;
    let (after, memory) = watched(server, load.work(arguments.calls, quiet)).await?;
    row(&mut table, "quiet after", Came::default(), (&after?, &first), memory);
    println!("{table}");
    Ok(())
}

/// Does something and looks at the server's memory meanwhile.
async fn watched<T>(server: &Server, work: impl Future<Output = T>) -> Outcome<(T, Memory)> {
    let mut work = std::pin::pin!(work);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut most = 0.0_f64;
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = looks.tick() => most = most.max(server.resident_mib()?),
        }
    };
    let last = server.resident_mib()?;
    Ok((done, Memory { last, most: most.max(last) }))
}

fn row(table: &mut Table, name: &str, came: Came, (times, first): (&Times, &Times), memory: Memory) {
    let us = |times: &Times, part| times.per_mille(part).as_secs_f64() * 1e6;
    table.row([
        name.to_owned(),
        grouped(came.per_second()),
        grouped(times.len() as f64),
        figures(us(times, 500)),
        figures(us(times, 990)),
        figures(us(times, 999)),
        figures(us(times, 990) / us(first, 990)),
        figures(memory.last),
        figures(memory.most),
    ]);
}
