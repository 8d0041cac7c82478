//! `goals`: every goal of speed, cost and scale in one run, each with its figure and whether it is reached.
//!
//! ```text
//!  mod      what is measured, in which order
//!  ratios   ours against the relay and the best of the peers, round by round
//!  row      one goal
//! ```
//!
//! Goals are ratios of what was measured within the same seconds, medians over rounds; a part that fails leaves its rows without a figure.

mod ratios;
mod row;

use crate::durable::What;
use crate::table::Table;
use crate::wire::kind::{self, Kind, Programs};
use crate::wire::report::Report;
use crate::wire::shape::Shape;
use crate::wire::system::System;
use crate::wire::visit::Plan;
use crate::wire::{self, ServerArguments, seconds};
use crate::{Outcome, core_alone, durable, idle, machine, output, process, store};
use ratios::Ratios;
use row::Row;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    programs: Programs,
    /// Visits to each system with each load; figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Seconds of each visit that count
    #[arg(long, default_value_t = 1.5, value_parser = seconds)]
    seconds: f64,
    /// Also write goals and every sample of every round to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Seconds of each visit before those that count.
const WARMUP: Duration = Duration::from_millis(300);

/// Connections that do nothing.
const IDLE: usize = 10_000;

/// Bytes of data in the loads.
pub(crate) const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];

const IDLE_CALL: Shape = shape(1, 1, 1);
const DEEP: Shape = shape(1, 256, 1);
const MANY: Shape = shape(64, 4, 8);

/// The loads, from one call at a time to many connections.
pub(crate) const SHAPES: [Shape; 4] = [IDLE_CALL, shape(1, 16, 1), DEEP, MANY];

const fn shape(requesters: usize, in_flight: usize, responders: usize) -> Shape {
    Shape { requesters, in_flight, responders }
}

/// Measures all of it, prints the tables, and writes them down if asked to.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    process::allow_sockets(2 * IDLE as u64)?;
    let load = machine::load();
    let mut rows = Vec::new();
    // The core's memory comes first, while this process has held nothing else.
    told("the core alone");
    rows.extend(or_without("the core alone", scale()));
    let (report, wire_rows) = arguments.wire()?;
    rows.splice(0..0, wire_rows);
    told("sealed against plain");
    rows.extend(or_without("sealed against plain", arguments.sealed()));
    told("durable requests");
    rows.extend(or_without("durable requests", arguments.durable()));
    told("snapshots");
    rows.extend(or_without("snapshots", arguments.snapshots()));
    told("idle connections");
    rows.extend(or_without("idle connections", arguments.idle()));
    println!("{}\n{report}\n{}", machine::headline(), table(&rows));
    if let Some(file) = &arguments.json {
        let mut all = report.json();
        all["goals"] = rows.iter().map(Row::json).collect::<Vec<Value>>().into();
        all["load"] = json!(load);
        all["rounds"] = json!(arguments.rounds);
        all["seconds"] = json!(arguments.seconds);
        output::write_json(file, &all)?;
    }
    Ok(())
}

fn told(what: &str) {
    eprintln!("measuring {what}");
}

/// A part that failed is a row that says so, and the others go on.
fn or_without(part: &str, rows: Outcome<Vec<Row>>) -> Vec<Row> {
    rows.unwrap_or_else(|error| {
        eprintln!("{part}: {error}");
        vec![Row::failed(format!("{part}: not measured"))]
    })
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new("goals", 1, &["what", "figure", "goal", "reached"]);
    for row in rows {
        table.row(row.cells());
    }
    table
}

fn scale() -> Outcome<Vec<Row>> {
    let scale = core_alone::scale()?;
    Ok(vec![
        Row::at_most("bytes for a queued request of 200 B, 1,000,000 queued", scale.bytes_waiting, 450.0),
        Row::at_most("time of a call, 1,000,000 queued against 100", scale.long_queue, 1.3),
        Row::at_most("time of a call, 10,000 actions and handlers against 1 and 8", scale.crowd, 1.5),
    ])
}

impl Arguments {
    fn plan(&self, shape: Shape, data_bytes: usize) -> Plan {
        let counted = Duration::from_secs_f64(self.seconds);
        Plan { shape, data_bytes, warmup: WARMUP, counted, traced: false }
    }

    fn systems(&self, kinds: &[Kind], connections: usize) -> Outcome<Vec<Box<dyn System>>> {
        kinds.iter().map(|kind| kind.system(&self.server, &self.programs, connections)).collect()
    }

    fn wire(&self) -> Outcome<(Report, Vec<Row>)> {
        let (kinds, versions) = kind::installed(&Kind::COMPARED, &self.programs);
        let systems = self.systems(&kinds, 200)?;
        let mut report = Report::new(versions);
        for size in SIZES {
            for shape in SHAPES {
                told(&format!("calls, {size} B, {shape}"));
                wire::take_turns(&systems, &self.plan(shape, size), self.rounds, &mut report)?;
            }
        }
        told("system calls");
        for shape in SHAPES {
            wire::count_system_calls(&systems, &self.plan(shape, SIZES[0]), &mut report)
                .unwrap_or_else(|error| eprintln!("system calls are not counted: {error}"));
        }
        let rows = Ratios(&report).rows();
        Ok((report, rows))
    }

    fn sealed(&self) -> Outcome<Vec<Row>> {
        let systems = self.systems(&[Kind::Answerback, Kind::AnswerbackSealed], 10)?;
        let mut report = Report::new(Vec::new());
        wire::take_turns(&systems, &self.plan(DEEP, 1 << 10), self.rounds, &mut report)?;
        let share = Ratios(&report).against("answerback, sealed", "answerback", DEEP, 1 << 10);
        Ok(vec![Row::at_least("sealed against plain, 256 in flight, 1 KiB", share, 0.6)])
    }

    fn durable(&self) -> Outcome<Vec<Row>> {
        let mut rows = Vec::new();
        for what in [What::Send, What::Call] {
            let patience = (self.rounds, self.seconds);
            let [jetstream, redis] = durable::against_peers(what, self.server.clone(), &self.programs, patience)?;
            let name = |peer| format!("durable {what}s, 256 in flight, against {peer}");
            rows.push(Row::at_least(name("JetStream, file"), jetstream, 3.0));
            rows.push(Row::at_least(name("Redis, fsync always"), redis, 1.2));
        }
        Ok(rows)
    }

    fn snapshots(&self) -> Outcome<Vec<Row>> {
        let patience = (self.rounds, self.seconds.max(2.0));
        let kept = store::kept_with_snapshots(self.server.server_binary.clone(), patience)?;
        Ok(vec![Row::at_least("snapshots every second against none, 64x4:8", kept, 0.97)])
    }

    fn idle(&self) -> Outcome<Vec<Row>> {
        let each = |kind: Kind| -> Outcome<f64> {
            idle::resident_each(&*kind.system(&self.server, &self.programs, IDLE + 200)?, IDLE)
        };
        let ours = each(Kind::Answerback)?;
        let peers = if Kind::Nats.version(&self.programs).is_ok() { Some(each(Kind::Nats)?) } else { None };
        Ok(vec![
            Row::at_most("KiB for an idle connection, 10,000 open", ours / 1_024.0, 6.0),
            Row::at_most("the same against nats-server", peers.map(|peers| ours / peers), 0.5),
        ])
    }
}
