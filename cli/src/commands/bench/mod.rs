//! `bench`: load on an action, and how long its calls take.

mod load;
mod progress;
mod report;

use crate::args::{Bench as Args, Common};
use crate::connection::{connect, connect_with, look};
use crate::exit::{Exit, Failure, Outcome};
use crate::json;
use crate::print::{Style, escaped, line, note, paint_error};
use crate::signals::Signals;
use answerback::{Builder, Client, Raw};
use bytes::Bytes;
use load::{Length, Load, Run};
use report::Report;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The most that a handler takes at once.
const CREDIT_MAX: u32 = 65_535;

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    // Before signals are listened for: while this reads standard input, Ctrl-C ends the program.
    let data = data(args)?;
    let mut signals = Signals::listen()?;
    let mut clients = Vec::new();
    for _ in 0..args.connections.min(args.in_flight) {
        // All of them may come to be on one connection. Nobody minds a call of a bench that runs twice.
        let settle = |builder: Builder| builder.max_calls(args.in_flight as usize).max_bytes(usize::MAX);
        clients.push(signals.or_interrupted(connect_with(common, settle)).await??.client);
    }
    let action = match &args.action {
        Some(action) => action.clone(),
        None => random_name()?,
    };
    let server = if args.serve || args.action.is_none() { Some(serve(common, args, &action).await?) } else { None };
    if server.is_none() {
        must_be_served(&clients[0], &action).await?;
    }
    let load = Load {
        action,
        data,
        in_flight: args.in_flight,
        timeout: args.timeout,
        rate: args.rate,
        length: args.calls.map_or(Length::Time(Duration::from_secs(args.seconds)), Length::Calls),
    };
    let report = measure(load, &clients, &mut signals).await;
    for client in clients.iter().chain(&server) {
        client.close().await;
    }
    let report = report?;
    line(&if common.json { json::told(&report.json()) } else { report.text() })?;
    Ok(report.exit())
}

async fn measure(load: Load, clients: &[Client], signals: &mut Signals) -> Result<Report, Failure> {
    let run = Arc::new(Run::new(load, clients.len())?);
    let work = Run::start(&run, clients);
    tokio::select! {
        () = work.finished() => {}
        () = progress::show(&run) => {}
        () = signals.next() => note(&paint_error(Style::Faint, "ended early")),
    }
    run.stop();
    Ok(Report::of(&run, clients.len()))
}

/// What each call carries.
fn data(args: &Args) -> Result<Bytes, Failure> {
    match &args.data {
        Some(typed) => json::data(Some(typed)),
        // A text: its quotes count.
        None => Ok(Bytes::from(format!("\"{}\"", "x".repeat(args.size.saturating_sub(2) as usize)))),
    }
}

fn random_name() -> Result<String, Failure> {
    let random = getrandom::u32().map_err(|error| Failure::system("draw random bytes", &error.into()))?;
    Ok(format!("bench.{random:08x}"))
}

/// Serves it here, on a connection of its own.
async fn serve(common: &Common, args: &Args, action: &str) -> Result<Client, Failure> {
    let client = connect(common).await?.client;
    let echo = client.serve(action, |data: Raw| async move { answerback::Ok(data) });
    let service = echo.concurrency(args.in_flight.min(CREDIT_MAX)).await;
    service.map_err(|error| Failure::of(error, action))?;
    Ok(client)
}

/// Half a minute of calls that nobody answers tells nothing.
async fn must_be_served(client: &Client, action: &str) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Served {
        handlers: u64,
    }
    let served: Served = look(client, "$explain", json!({ "action": action }).to_string()).await?;
    if served.handlers > 0 || action.starts_with('$') {
        return Ok(());
    }
    let what = format!("nobody serves `{}`", escaped(action));
    Err(Failure::new(Exit::NoHandler, what, "--serve serves it here too; `answerback ls` shows what is served"))
}
