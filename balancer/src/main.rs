//! The process `answerback-balancer`: it stands in front of several servers and puts connections of clients through to them. It holds no key and
//! opens no frame; bytes go as they come.
//!
//! | file | what it does |
//! |---|---|
//! | `cli.rs`, `given.rs`, `settings.rs` | from what was typed to settings |
//! | `pool/` | the backends, pure: who takes the next connection, who rests, what is to be probed when |
//! | `plane/` | one thread with all sockets: `mod.rs` draws its turn, `copier.rs` moves bytes |
//! | `prober.rs` | looks at backends, on the control thread |
//! | `asker.rs` | has servers ask clients to move |
//! | `proxy.rs` | the PROXY header, for backends that want it |
//! | `door.rs` | where clients connect, also when one balancer replaces another |
//! | `control.rs`, `reload.rs`, `signals.rs`, `admin.rs` | how operators and pages reach the data plane |
//! | `metrics.rs`, `banner.rs` | what it says of itself |

mod admin;
mod asker;
mod banner;
mod cli;
mod control;
mod door;
mod given;
mod metrics;
mod plane;
mod pool;
mod prober;
mod proxy;
mod reload;
mod settings;
mod signals;

use answerback_process::exit::Exit;
use answerback_process::logging::{self, Format};
use answerback_process::mistakes::complaint;
use answerback_process::pages;
use clap::Parser;
use cli::Cli;
use control::{Command, Control};
use given::Given;
use plane::{End, Errands, Plane};
use pool::{BACKENDS_MAX, Pool, Spec};
use reload::Source;
use settings::Settings;
use signals::{Asked, Signals};
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Gives memory of a burst back to the system; see the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version come this way too.
        Err(other) => {
            let _ = other.print();
            return if other.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let Given { settings, log, log_format } = match given::read(&cli) {
        Ok(given) => given,
        Err(mistakes) => {
            say(io::stderr(), &complaint("answerback-balancer", "ANSWERBACK_BALANCER", &mistakes));
            return Exit::Configuration.into();
        }
    };
    let lines = match logging::start(log, log_format) {
        Ok(lines) => lines,
        Err(error) => {
            say(io::stderr(), &format!("answerback-balancer: cannot start the log: {error}\n"));
            return Exit::Runtime.into();
        }
    };
    let exit = serve(settings, log_format).unwrap_or_else(|text| {
        tracing::error!("{text}");
        Exit::Runtime
    });
    lines.flush();
    exit.into()
}

/// A balancer that runs.
struct Running {
    control: Control,
    source: Arc<Source>,
    end: oneshot::Receiver<End>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    /// The admin port closes when this is dropped.
    _admin: Option<oneshot::Sender<Infallible>>,
}

/// Runs the balancer until its end. This thread is the control thread: signals, probes and pages are its tasks.
fn serve(mut settings: Settings, log_format: Format) -> Result<Exit, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot wait for signals: {error}"))?;
    let exit = runtime.block_on(async {
        // Before anything is started, so that a signal never finds the process without an answer.
        let signals = Signals::listen().map_err(|error| format!("cannot wait for signals: {error}"))?;
        let backends = given::all_backends(&settings.backends, settings.file.as_deref())?;
        settings.max_connections = door::FILES.make_room_for(settings.max_connections);
        let running = start(&settings, backends.clone()).await?;
        announce(&settings, &backends, &running, log_format);
        Ok(until_the_end(running, signals, &settings).await)
    });
    // A name server that does not answer may keep a lookup waiting. It must not keep the process from ending.
    runtime.shutdown_background();
    exit
}

async fn start(settings: &Settings, backends: Vec<Spec>) -> Result<Running, String> {
    let listener = door::open(settings)?;
    let address = listener.local_addr().map_err(|error| format!("cannot read the address listened on: {error}"))?;
    let admin = match settings.admin {
        Some(at) => {
            let bound = TcpListener::bind(at).await;
            Some(
                bound
                    .map_err(|error| format!("cannot listen on {at}: {error}; choose another address with --admin"))?,
            )
        }
        None => None,
    };
    let admin_address = admin.as_ref().and_then(|listener| listener.local_addr().ok());
    let source = Arc::new(Source { said: settings.backends.clone(), file: settings.file.clone() });
    let pool = Pool::new(settings.rules.clone(), backends, RandomState::new().hash_one(address), Instant::now());
    // One probe of each backend at a time: there is always room.
    let (to_prober, probes) = tokio::sync::mpsc::channel(BACKENDS_MAX);
    let listener = mio::net::TcpListener::from_std(listener);
    let (to_asker, asks) = tokio::sync::mpsc::channel(asker::WAITING_MAX);
    tokio::spawn(asker::run(asks, settings.connect_timeout));
    let plane = Plane::new(settings, listener, pool, Errands { prober: to_prober, asker: to_asker });
    let (plane, control) = plane.map_err(|error| format!("cannot watch sockets: {error}"))?;
    tokio::spawn(prober::run(probes, control.clone(), settings.probe_timeout));
    let keep = admin.map(|listener| {
        let (keep, end) = oneshot::channel();
        let pages = admin::Pages {
            control: control.clone(),
            drain_deadline: settings.drain_deadline,
            source: Arc::clone(&source),
        };
        tokio::spawn(pages::serve(listener, pages, end));
        keep
    });
    let (tell, end) = oneshot::channel();
    let run = move || {
        // A panic is seen as a channel that closes. Nobody may be listening any more.
        let _ = tell.send(plane.run());
    };
    let thread = std::thread::Builder::new().name("data-plane".to_owned()).spawn(run);
    thread.map_err(|error| format!("cannot start the data plane: {error}"))?;
    Ok(Running { control, source, end, address, admin_address, _admin: keep })
}

fn announce(settings: &Settings, backends: &[Spec], running: &Running, log_format: Format) {
    if log_format == Format::Text {
        say(io::stdout(), &banner::banner(settings, backends, running.address, running.admin_address));
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %running.address,
        admin = running.admin_address.map(tracing::field::display),
        backends = backends.len(),
        "listening"
    );
}

/// The first signal drains. The second one ends the process whatever the balancer is doing.
async fn until_the_end(mut running: Running, mut signals: Signals, settings: &Settings) -> Exit {
    let mut draining = false;
    loop {
        let asked = tokio::select! {
            end = &mut running.end => return farewell(end.unwrap_or(End::Failed)),
            asked = signals.next() => asked,
        };
        match asked {
            Asked::Reload => {
                let (source, control) = (Arc::clone(&running.source), running.control.clone());
                tokio::spawn(async move { source.reload(&control).await });
            }
            Asked::Rebalance => {
                let asked = running.control.ask(Command::Rebalance);
                tokio::spawn(async move {
                    if let Ok(count) = asked.await {
                        tracing::info!(count, "connections are to move, asked by SIGUSR1");
                    }
                });
            }
            Asked::Leave(signal) if draining => {
                tracing::warn!(signal, "ending at once");
                return Exit::Runtime;
            }
            Asked::Leave(signal) => {
                draining = true;
                let deadline_ms = settings.drain_deadline.as_millis() as u64;
                tracing::info!(signal, deadline_ms, "asked to leave; the next signal ends at once");
                running.control.send(Command::Drain(settings.drain_deadline));
            }
        }
    }
}

fn farewell(end: End) -> Exit {
    match end {
        End::Drained { complete: true } => {
            tracing::info!("drained");
            Exit::Ok
        }
        End::Drained { complete: false } => {
            tracing::warn!("the drain deadline passed before every connection had ended");
            Exit::DrainDeadline
        }
        End::Failed => {
            tracing::error!("the data plane has failed");
            Exit::Runtime
        }
    }
}

/// Nobody may be listening; that is no reason to stop.
fn say(mut to: impl Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}
