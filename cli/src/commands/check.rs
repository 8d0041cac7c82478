//! `check`: is this server healthy, in one line and an exit code.

use crate::args::{Check as Args, Common};
use crate::connection::{address, ask, look, with_client};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::told;
use crate::print::{Style, escaped, line, paint};
use crate::units::{grouped, ms, show_duration, show_ms};
use answerback::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What `check` reads of `$stats`.
#[derive(Debug, Deserialize)]
struct Stats {
    server: String,
    uptime_ms: u64,
    draining: bool,
    connections: u64,
    queued: u64,
    in_flight: u64,
}

/// What `check` reads of `$explain`.
#[derive(Debug, Deserialize)]
struct Served {
    handlers: u64,
}

/// What was found out.
struct Health {
    address: String,
    connect: Duration,
    echo: Duration,
    stats: Stats,
    problems: Vec<String>,
    /// The problem that has an exit code of its own.
    /// How many of them are about actions without a handler.
    no_handler: usize,
}

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    let examined = async |client: &Client, took| {
        let health = examine(client, took, args).await?;
        line(&if common.json { told(&health.json()) } else { health.line() })?;
        Ok(health.exit())
    };
    with_client(common, examined).await
}

async fn examine(client: &Client, connect: Duration, args: &Args) -> Result<Health, Failure> {
    let asked = Instant::now();
    ask(client, "$echo", "\"answerback check\"").await?;
    let echo = asked.elapsed();
    let stats: Stats = look(client, "$stats", "").await?;
    let mut health = Health { address: address(client), connect, echo, stats, problems: Vec::new(), no_handler: 0 };
    health.judge(args);
    health.look_for(&args.actions, client).await?;
    Ok(health)
}

impl Health {
    fn judge(&mut self, args: &Args) {
        if self.stats.draining {
            self.problems.push("it drains: it takes no new work".to_owned());
        }
        if let Some(most) = args.max_queued.filter(|most| self.stats.queued > *most) {
            let queued = grouped(self.stats.queued);
            self.problems.push(format!("{queued} requests wait, more than {}", grouped(most)));
        }
        if let Some(most) = args.max_latency.filter(|most| self.echo > *most) {
            let (took, most) = (show_duration(self.echo), show_duration(most));
            self.problems.push(format!("an echo took {took}, more than {most}"));
        }
    }

    /// Asks about each action by itself: the list of all is cut at 1,000.
    async fn look_for(&mut self, wanted: &[String], client: &Client) -> Result<(), Failure> {
        // What belongs to the broker needs no handler.
        for name in wanted.iter().filter(|name| !name.starts_with('$')) {
            let served: Served = look(client, "$explain", json!({ "action": name }).to_string()).await?;
            if served.handlers == 0 {
                self.no_handler += 1;
                self.problems.push(format!("nobody serves `{name}`"));
            }
        }
        Ok(())
    }

    fn exit(&self) -> Exit {
        match self.problems.len() {
            0 => Exit::Ok,
            all if all == self.no_handler => Exit::NoHandler,
            _ => Exit::Other,
        }
    }

    fn line(&self) -> String {
        let Stats { server, queued, in_flight, uptime_ms, .. } = &self.stats;
        let who = format!("{} at {}", escaped(server), escaped(&self.address));
        if !self.problems.is_empty() {
            return format!("{}: {who}: {}", paint(Style::Bad, "not healthy"), escaped(&self.problems.join("; ")));
        }
        format!(
            "{}: {who}, echo in {}, {} waiting, {} in flight, up {}",
            paint(Style::Good, "healthy"),
            show_duration(self.echo),
            grouped(*queued),
            grouped(*in_flight),
            show_ms(*uptime_ms),
        )
    }

    fn json(&self) -> Value {
        json!({
            "healthy": self.problems.is_empty(),
            "server": self.stats.server,
            "address": self.address,
            "connect_ms": ms(self.connect),
            "echo_ms": ms(self.echo),
            "uptime_ms": self.stats.uptime_ms,
            "draining": self.stats.draining,
            "queued": self.stats.queued,
            "in_flight": self.stats.in_flight,
            "connections": self.stats.connections,
            "problems": self.problems,
        })
    }
}
