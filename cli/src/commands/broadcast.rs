//! `call --broadcast`: a line for each reply, then how many there were.

use crate::args::{Call as Args, Common};
use crate::exit::{Exit, Failure, Outcome, error_json};
use crate::json;
use crate::print::{Style, escaped, line, paint};
use answerback::{Client, Counts, Raw, Tagged};
use bytes::Bytes;
use serde_json::json;

pub(crate) async fn run(common: &Common, args: &Args, client: &Client, data: Bytes) -> Outcome {
    let mut broadcast = client.broadcast::<Raw>(&args.said.action, Raw::new(data)).timeout(args.timeout);
    if let Some(ttl) = args.said.ttl {
        broadcast = broadcast.ttl(ttl);
    }
    if let Some(trace) = &args.said.trace {
        broadcast = broadcast.trace(trace);
    }
    let mut replies = broadcast.stream();
    while let Some(reply) = replies.next().await {
        let reply = reply.map_err(|error| Failure::of(error, &args.said.action))?;
        line(&if common.json { reply_json(&reply) } else { reply_line(&reply) })?;
    }
    let counts = replies.counts().unwrap_or_default();
    line(&if common.json { counts_json(counts) } else { counts_line(counts) })?;
    Ok(exit(counts))
}

/// A script that asks all wants to know whether all have answered.
fn exit(counts: Counts) -> Exit {
    match counts {
        Counts { failed: 1.., .. } => Exit::Fault,
        Counts { lost: 1.., .. } => Exit::Time,
        _ => Exit::Ok,
    }
}

fn reply_line(reply: &Tagged<Raw>) -> String {
    let name = paint(Style::Strong, &escaped(&reply.from));
    match &reply.result {
        Ok(data) => format!("{name}  {}", json::one_line(data.as_bytes())),
        Err(error) => format!("{name}  {}", paint(Style::Bad, &escaped(&error.to_string()))),
    }
}

/// The data goes in as the bytes that it is: numbers keep their digits.
fn reply_json(reply: &Tagged<Raw>) -> String {
    let from = json::told(&json!(reply.from));
    match &reply.result {
        Ok(data) => format!("{{\"from\":{from},\"data\":{}}}", json::one_line(data.as_bytes())),
        Err(error) => format!("{{\"from\":{from},\"error\":{}}}", json::told(&error_json(error))),
    }
}

fn counts_line(counts: Counts) -> String {
    let Counts { expected, answered, failed, lost, .. } = counts;
    let handlers = if expected == 1 { "handler" } else { "handlers" };
    paint(Style::Faint, &format!("{expected} {handlers}: {answered} answered, {failed} failed, {lost} did not answer"))
}

fn counts_json(counts: Counts) -> String {
    let Counts { expected, answered, failed, lost, .. } = counts;
    json::told(&json!({ "gather": { "expected": expected, "answered": answered, "failed": failed, "lost": lost } }))
}
