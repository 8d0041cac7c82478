//! `client`: what the client library costs, beside clients written by hand as lean as they can be, on the same server.
//!
//! ```text
//!  by hand         requesters by hand ──► server ──► responders by hand
//!  library calls   the library        ──► server ──► responders by hand
//!  library both    the library        ──► server ──► the library
//! ```
//!
//! They take turns within a round. Each side has a thread of its own, the library's with tokio's current-thread runtime unless told
//! otherwise; its calls and handlers are typed, as a user's are.

use crate::table::{Table, figures, grouped, size};
use crate::timing::{Stopwatch, median};
use crate::wire::ServerArguments;
use crate::wire::answerback::{Answerback, CREDIT, Started};
use crate::wire::frames::ACTION;
use crate::wire::requesters::{LATENCY_NS_MAX, Requesters};
use crate::wire::responders::{self, Responders};
use crate::wire::shape::{self, Shape};
use crate::wire::system::{Role, Running};
use crate::wire::visit::{Counted, Plan, Sample};
use crate::{Outcome, machine, process};
use answerback::Client;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    /// Seconds of each visit that count
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rounds; figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Requester connections x in flight on each : responder connections; may be said more than once
    #[arg(long = "shape", default_values = ["1x1:1", "1x16:1", "1x256:1", "64x4:8"])]
    shapes: Vec<Shape>,
    /// Bytes of data in calls and replies
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Worker threads of the library's runtime on each side; 1 is tokio's current-thread runtime
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
}

/// Time of a visit before the part that counts.
const WARMUP: Duration = Duration::from_millis(500);

/// Who calls and who answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sides {
    ByHand,
    LibraryCalls,
    LibraryBoth,
}

const ALL: [(Sides, &str); 3] =
    [(Sides::ByHand, "by hand"), (Sides::LibraryCalls, "library calls"), (Sides::LibraryBoth, "library both")];

/// Compares the three in turns and prints what was seen.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let connections = arguments.shapes.iter().map(|shape| shape.requesters + shape.responders).max().unwrap_or(0);
    process::allow_sockets(2 * connections as u64 + 100)?;
    let server = Answerback::new(&arguments.server, connections)?;
    let title = format!("{} of data, medians of {}", size(arguments.size), arguments.rounds);
    let columns = ["shape", "clients", "calls/s", "p50 us", "p99 us", "caller's CPU us/call", "of by hand"];
    let mut table = Table::new(title, 2, &columns);
    for &shape in &arguments.shapes {
        let counted = Duration::from_secs_f64(arguments.seconds);
        let plan = Plan { shape, data_bytes: arguments.size, warmup: WARMUP, counted, traced: false };
        let mut samples: [Vec<Seen>; 3] = Default::default();
        for _ in 0..arguments.rounds {
            for ((sides, name), samples) in ALL.iter().zip(&mut samples) {
                let running = server.launch()?;
                let seen = visit(&running, &plan, *sides, arguments.threads);
                samples.push(seen.map_err(|error| format!("{name}, {shape}: {error}"))?);
            }
        }
        for ((_, name), samples_of) in ALL.iter().zip(&samples) {
            table.row(row(shape, name, samples_of, &samples[0]));
        }
    }
    println!("{}\n{table}", machine::headline());
    Ok(())
}

fn row(shape: Shape, name: &str, samples: &[Seen], by_hand: &[Seen]) -> [String; 7] {
    let of = |value: fn(&Seen) -> f64| median(&mut samples.iter().map(value).collect::<Vec<_>>());
    let pairs =
        samples.iter().zip(by_hand).map(|(one, other)| one.sample.calls_per_second / other.sample.calls_per_second);
    let share = median(&mut pairs.collect::<Vec<_>>());
    [
        shape.to_string(),
        name.to_owned(),
        grouped(of(|seen| seen.sample.calls_per_second)),
        figures(of(|seen| seen.sample.p50_us)),
        figures(of(|seen| seen.sample.p99_us)),
        figures(of(|seen| seen.cpu_us_per_call)),
        format!("{:.0} %", 100.0 * share),
    ]
}

/// What a visit saw, and what it cost the thread of who called.
struct Seen {
    sample: Sample,
    cpu_us_per_call: f64,
}

fn visit(running: &Started, plan: &Plan, sides: Sides, threads: u32) -> Outcome<Seen> {
    std::thread::scope(|scope| {
        let (stop, answering) = if sides == Sides::LibraryBoth {
            let (stop, ready, stopped) = LibraryHandlers::prepare();
            let answering =
                scope.spawn(move || serve_with_library(running, plan.shape.responders, threads, ready, stopped));
            (Stop::Library(stop.wait()?), answering)
        } else {
            let lean = Responders::open(running, Role::Responder, plan.shape.responders, plan.data_bytes)?;
            (Stop::ByHand(lean.stop()), scope.spawn(move || lean.run()))
        };
        let mut requesters = None;
        let watch = Stopwatch::start();
        let seen = if sides == Sides::ByHand {
            // Who answers is not asked how much it was; a call that is answered was handled.
            let handled = AtomicU64::new(0);
            Requesters::open(running, plan)
                .and_then(|opened| requesters.insert(opened).run(plan, running.process(), &handled))
        } else {
            runtime(threads)?.block_on(call_with_library(running, plan))
        };
        let spent = watch.elapsed();
        stop.ask()?;
        let answered = answering.join().map_err(|_| "the responders panicked")?;
        answered.map_err(|error| format!("responders: {error}"))?;
        let sample = seen?;
        let calls = sample.calls_per_second * (plan.warmup + plan.counted).as_secs_f64();
        Ok(Seen { sample, cpu_us_per_call: spent.as_secs_f64() * 1e6 / calls })
    })
}

/// Ends whoever answers.
enum Stop {
    ByHand(responders::Stop),
    Library(oneshot::Sender<()>),
}

impl Stop {
    fn ask(self) -> Outcome<()> {
        match self {
            Self::ByHand(stop) => stop.ask(),
            Self::Library(stop) => stop.send(()).map_err(|()| "the library's handlers have ended already".into()),
        }
    }
}

/// How handlers of the library say that they serve, and are told to stop.
struct LibraryHandlers {
    stop: oneshot::Sender<()>,
    is_ready: oneshot::Receiver<()>,
}

impl LibraryHandlers {
    fn prepare() -> (Self, oneshot::Sender<()>, oneshot::Receiver<()>) {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        (Self { stop, is_ready }, ready, stopped)
    }

    /// Waits until all of them serve.
    fn wait(self) -> Outcome<oneshot::Sender<()>> {
        self.is_ready.blocking_recv().map_err(|_| "the library's handlers did not begin")?;
        Ok(self.stop)
    }
}

fn runtime(threads: u32) -> Outcome<Runtime> {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads as usize);
    }
    Ok(builder.enable_all().build()?)
}

fn serve_with_library(
    running: &Started,
    clients: usize,
    threads: u32,
    ready: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
) -> Outcome<()> {
    runtime(threads)?.block_on(async {
        let mut handlers = Vec::new();
        for _ in 0..clients {
            let client = answerback::connect(running.address().to_string()).await?;
            client.serve(ACTION, |text: String| async move { answerback::Ok(text) }).concurrency(CREDIT).await?;
            handlers.push(client);
        }
        ready.send(()).map_err(|()| "nobody waits for the handlers")?;
        stopped.await?;
        Ok(())
    })
}

/// What the tasks that call share.
struct Load {
    text: String,
    counts: AtomicBool,
    stop: AtomicBool,
}

// The pauses are the time that is measured.
#[allow(clippy::disallowed_methods)]
async fn call_with_library(running: &Started, plan: &Plan) -> Outcome<Sample> {
    let text: String = serde_json::from_slice(&shape::data(plan.data_bytes))?;
    let load = Arc::new(Load { text, counts: AtomicBool::new(false), stop: AtomicBool::new(false) });
    let mut tasks = JoinSet::new();
    for _ in 0..plan.shape.requesters {
        let client = answerback::connect(running.address().to_string()).await?;
        for _ in 0..plan.shape.in_flight {
            tasks.spawn(call_until_stopped(client.clone(), Arc::clone(&load)));
        }
    }
    tokio::time::sleep(plan.warmup).await;
    let before = running.process().map(process::usage).transpose()?;
    load.counts.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    tokio::time::sleep(plan.counted).await;
    load.stop.store(true, Ordering::Relaxed);
    let elapsed = begin.elapsed();
    let after = running.process().map(process::usage).transpose()?;
    let mut latencies = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)?;
    for seen in tasks.join_all().await {
        latencies.add(seen?)?;
    }
    let counted = Counted { answered: latencies.len(), handled: latencies.len(), elapsed };
    Ok(Sample::new(&latencies, counted, before.zip(after)))
}

/// One call after another; their latencies once they count.
async fn call_until_stopped(client: Client, load: Arc<Load>) -> Outcome<Histogram<u64>> {
    let mut latencies = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)?;
    while !load.stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let answer: String = client.call(ACTION, &load.text).await?;
        if answer.len() != load.text.len() {
            return Err("an answer is not what was asked".into());
        }
        if load.counts.load(Ordering::Relaxed) {
            latencies.saturating_record(begin.elapsed().as_nanos() as u64);
        }
    }
    Ok(latencies)
}
