//! The page: what was run, on what, and tables of everything.

use super::results::{Line, Results};
use crate::table::{figures, grouped, size};
use serde_json::Value;

/// A machine with more to do than this had other work beside the bench.
const QUIET_LOAD: f64 = 0.5;

/// The page in Markdown.
pub(super) fn markdown(results: &Results) -> String {
    let mut parts = vec![head(results), speed(results), latencies(results), cost(results), goals(results)];
    parts.push(LAST.to_owned());
    parts.join("\n")
}

const LAST: &str = "\
## What else there is

- With client libraries instead of lean clients: `answerback-benches client` compares ours with clients by hand on the same server. Libraries of
  the peers are not measured here: what they cost is theirs, not their broker's.
- Instructions for each call in the core and the codec: [`benches/instructions.txt`](../../benches/instructions.txt), counted by `cargo xtask instructions`.
- Against a server of yours, without the sources: `answerback bench`.
- Everything else is in [`benches/README.md`](../../benches/README.md).
";

fn head(results: &Results) -> String {
    let versions: Vec<&str> = results.list("versions").iter().filter_map(Value::as_str).collect();
    let load = results.number("load");
    let busy = if load > QUIET_LOAD {
        format!(
            "\n**Others used the machine: its load was {load:.1} at the start. Take these figures for no more than an example of the page.**\n"
        )
    } else {
        String::new()
    };
    format!(
        "<!-- Made by `answerback-benches report docs/benchmarks` from results.json; do not edit. -->\n\
         # What it reaches, beside others\n\n\
         ![Calls per second of Answerback, a plain relay, nats-server, Redis and gearmand](plot.svg)\n\n\
         Calls over loopback with lean clients, the same for every system: one read buffer, one write buffer. The systems take turns\n\
         within each round; figures are medians of {} of {} s. *relay* forwards bytes and reads none: the limit.\n\
         A shape is requester connections x calls in flight on each : responder connections.\n{busy}\n\
         - machine: {}\n- beside: {}\n- command: `{}`\n\n\
         To repeat it on a quiet machine (16 minutes; peers that are not installed are left out):\n\n\
         ```sh\n\
         apt-get install nats-server redis-server gearman-job-server strace\n\
         cargo build --release -p answerback-server -p answerback-benches\n\
         target/release/answerback-benches goals --json docs/benchmarks/results.json\n\
         target/release/answerback-benches report docs/benchmarks\n\
         ```\n",
        match results.number("rounds") {
            1.0 => "1 round".to_owned(),
            rounds => format!("{rounds:.0} rounds"),
        },
        results.number("seconds"),
        results.text("machine"),
        if versions.is_empty() { "nothing".to_owned() } else { versions.join("; ") },
        results.text("command"),
    )
}

fn speed(results: &Results) -> String {
    let mut text = "## Calls per second\n".to_owned();
    for bytes in results.sizes() {
        text += &format!("\n{} of data:\n\n", size(bytes as usize));
        text += &by_shape(results, bytes, |line| line.median("calls_per_second").map(grouped));
    }
    text
}

fn latencies(results: &Results) -> String {
    let mut text = "## Latencies\n\np50 / p99 / p99.9 in microseconds.\n".to_owned();
    for bytes in results.sizes() {
        text += &format!("\n{} of data:\n\n", size(bytes as usize));
        text += &by_shape(results, bytes, |line| {
            let at = |name| line.median(name).map(figures);
            Some(format!("{} / {} / {}", at("p50_us")?, at("p99_us")?, at("p999_us")?))
        });
    }
    text
}

fn cost(results: &Results) -> String {
    let Some(&bytes) = results.sizes().first() else { return String::new() };
    let mut text = format!(
        "## What the broker's process uses\n\n{} of data. System calls are counted by `strace` in a visit of its own.\n",
        size(bytes as usize)
    );
    text += "\nSeconds on a processor for 100,000 calls:\n\n";
    text += &by_shape(results, bytes, |line| line.median("cpu_seconds_per_100k").map(figures));
    text += "\nSystem calls / context switches for each call:\n\n";
    text += &by_shape(results, bytes, |line| {
        let switches = figures(line.median("switches_per_call")?);
        Some(format!("{} / {switches}", line.system_calls.map_or("-".to_owned(), figures)))
    });
    text += "\nThe most MiB that were resident:\n\n";
    text += &by_shape(results, bytes, |line| line.median("peak_mib").map(figures));
    text
}

/// A table with a row for each system and a column for each shape.
fn by_shape(results: &Results, bytes: u64, cell: impl Fn(&Line) -> Option<String>) -> String {
    let shapes = results.shapes();
    let mut text = format!("| | {} |\n|---|{}\n", shapes.join(" | "), "--:|".repeat(shapes.len()));
    for system in results.systems() {
        let cells = shapes.iter().map(|shape| results.line(system, shape, bytes).and_then(&cell));
        let cells: Vec<_> = cells.map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect();
        let name = if system == "answerback" { "**answerback**" } else { system };
        text += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    text
}

fn goals(results: &Results) -> String {
    let mut text = "## Goals\n\n| | figure | goal | reached |\n|---|--:|---|---|\n".to_owned();
    for goal in results.list("goals") {
        let figure = goal["figure"].as_f64().map_or("-".to_owned(), figures);
        let reached = goal["reached"].as_bool().map_or("-", |reached| if reached { "yes" } else { "**no**" });
        let word = |name: &str| goal[name].as_str().unwrap_or("").to_owned();
        text += &format!("| {} | {figure} | {} | {reached} |\n", word("what"), word("goal"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_has_a_cell_for_each_system_and_shape() {
        let rounds =
            json!([{ "calls_per_second": 1_000.0 }, { "calls_per_second": 3_000.0 }, { "calls_per_second": 2_000.0 }]);
        let line = |system, shape| json!({ "system": system, "shape": shape, "data_bytes": 64, "rounds": rounds });
        let measured = json!([line("answerback", "1x1:1"), line("relay", "1x1:1"), line("answerback", "1x16:1")]);
        let goals = json!([{ "what": "speed", "figure": 1.5, "goal": "at least 2", "reached": false }]);
        let results = Results::new(json!({ "measured": measured, "goals": goals })).unwrap();
        let page = markdown(&results);
        for expected in [
            "| | 1x1:1 | 1x16:1 |",
            "| **answerback** | 2,000 | 2,000 |",
            "| relay | 2,000 | - |",
            "| speed | 1.50 | at least 2 | **no** |",
        ] {
            assert!(page.contains(expected), "{expected}\n{page}");
        }
        assert!(Results::new(json!({})).is_err());
    }
}
