//! The process `answerback-server`, as a story: read the settings, start the log, start the server, say where it is, wait
//! for a signal, drain, and end with a number that says how it went.

mod banner;
mod cli;
mod given;
mod given_peers;
mod signals;

use answerback_process::exit::Exit;
use answerback_process::logging::{self, Format};
use answerback_process::mistakes::complaint;
use answerback_server::{End, Interrupt, KeyControl, ReloadError, Running, Server, Settings, StartError, StoreError};
use clap::Parser;
use cli::Cli;
use given::Given;
use signals::{Asked, Signals};
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::process::ExitCode;
use tokio::sync::oneshot;

/// The blocks of a million requests are small and go in any order: the system's allocator keeps hundreds of megabytes of them resident after the queue has
/// drained, this one gives them back within a second. Only the program chooses: who embeds the server keeps their own.
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
    let given = match given::read(&cli, |name| std::env::var_os(name)) {
        Ok(given) => given,
        Err(mistakes) => {
            say(io::stderr(), &complaint("answerback-server", "ANSWERBACK", &mistakes));
            return Exit::Configuration.into();
        }
    };
    let Given { settings, log, log_format } = given;
    let lines = match logging::start(log, log_format) {
        Ok(lines) => lines,
        Err(error) => {
            say(io::stderr(), &format!("answerback-server: cannot start the log: {error}\n"));
            return Exit::Runtime.into();
        }
    };
    let exit = serve(&settings, log_format).unwrap_or_else(|text| {
        tracing::error!("{text}");
        Exit::Runtime
    });
    lines.flush();
    exit.into()
}

/// Runs the server until its end.
fn serve(settings: &Settings, log_format: Format) -> Result<Exit, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(|error| format!("cannot wait for signals: {error}"))?;
    runtime.block_on(async {
        // Before anything is started, so that a signal never finds the process without an answer.
        let signals = Signals::listen().map_err(|error| format!("cannot wait for signals: {error}"))?;
        let Started { running, signals, leaving } = match started(settings, signals).await {
            Ok(started) => started,
            Err(NotStarted::Left(exit)) => return Ok(exit),
            Err(NotStarted::Failed(why)) => return Err(why),
        };
        announce(settings, &running, log_format);
        if leaving {
            running.drain(settings.drain_deadline);
        }
        Ok(until_the_end(running, signals, leaving, settings).await)
    })
}

/// A server that has started.
struct Started {
    running: Running,
    signals: Signals,
    /// Whether a signal came before it had.
    leaving: bool,
}

/// Why there is no server.
enum NotStarted {
    /// A signal came before there was one.
    Left(Exit),
    Failed(String),
}

/// Starts the server on a thread of its own, because a start may take long and signals count already. The first one ends the
/// start, the second one the process.
async fn started(settings: &Settings, mut signals: Signals) -> Result<Started, NotStarted> {
    let (interrupt, settings) = (Interrupt::default(), settings.clone());
    let (tell, mut outcome) = oneshot::channel();
    let start = {
        let interrupt = interrupt.clone();
        move || drop(tell.send(Server::start_unless(settings, interrupt)))
    };
    let thread = std::thread::Builder::new().name("start".to_owned()).spawn(start);
    thread.map_err(|error| NotStarted::Failed(format!("cannot start: {error}")))?;
    let outcome = loop {
        tokio::select! {
            outcome = &mut outcome => break outcome,
            asked = signals.next() => {
                let Asked::Leave(signal) = asked else {
                    tracing::info!("SIGHUP while starting: the keys are being put to use as they are now");
                    continue;
                };
                if interrupt.is_said() {
                    tracing::warn!(signal, "ending at once");
                    return Err(NotStarted::Left(Exit::Runtime));
                }
                tracing::info!(signal, "asked to leave while starting; the next signal ends at once");
                interrupt.interrupt();
            }
        }
    };
    match outcome {
        Ok(Ok(running)) => Ok(Started { running, signals, leaving: interrupt.is_said() }),
        Ok(Err(StartError::Store(StoreError::Interrupted))) => {
            tracing::info!("left before the store was read; everything is still in it");
            Err(NotStarted::Left(Exit::Ok))
        }
        Ok(Err(error)) => Err(NotStarted::Failed(error.to_string())),
        // The panic was logged.
        Err(_) => Err(NotStarted::Failed("cannot start, because of a bug".to_owned())),
    }
}

fn announce(settings: &Settings, running: &Running, log_format: Format) {
    if log_format == Format::Text {
        say(io::stdout(), &banner::banner(settings, running));
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        id = settings.broker.server,
        listen = %running.address(),
        admin = running.admin_address().map(tracing::field::display),
        data_dir = %running.data_dir().display(),
        epoch = running.epoch(),
        "listening"
    );
}

/// The first signal drains. The second one ends the process whatever the server is doing.
async fn until_the_end(mut running: Running, mut signals: Signals, mut draining: bool, settings: &Settings) -> Exit {
    loop {
        tokio::select! {
            end = running.ended() => return farewell(end),
            asked = signals.next() => {
                let Asked::Leave(signal) = asked else {
                    reload(running.keys().clone());
                    continue;
                };
                if std::mem::replace(&mut draining, true) {
                    tracing::warn!(signal, "ending at once");
                    // Not dropped: that would wait for a data plane that may be why somebody is impatient.
                    let _ = ManuallyDrop::new(running);
                    return Exit::Runtime;
                }
                let deadline_ms = settings.drain_deadline.as_millis() as u64;
                tracing::info!(signal, deadline_ms, "asked to leave; the next signal ends at once");
                running.drain(settings.drain_deadline);
            }
        }
    }
}

/// Reads the keys again on a thread of its own: signals count meanwhile.
fn reload(keys: KeyControl) {
    let read = move || match keys.reload() {
        Ok(reloaded) => tracing::info!("keys read again, asked by SIGHUP: {reloaded}"),
        Err(error @ (ReloadError::NoKeys | ReloadError::NoSource)) => tracing::info!("SIGHUP: {error}"),
        Err(error) => tracing::error!(%error, "the keys cannot be read again; those before go on"),
    };
    if let Err(error) = std::thread::Builder::new().name("reload".to_owned()).spawn(read) {
        tracing::error!(%error, "the keys cannot be read again; those before go on");
    }
}

fn farewell(end: End) -> Exit {
    match end {
        End::Drained { complete: true } => {
            tracing::info!("drained");
            Exit::Ok
        }
        End::Drained { complete: false } => {
            tracing::warn!("the drain deadline passed before everything had finished");
            Exit::DrainDeadline
        }
        End::NotSaved => {
            tracing::error!("not everything could be saved; the lines above say what is lost");
            Exit::Runtime
        }
        End::Stopped => {
            tracing::warn!("stopped");
            Exit::Runtime
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
