//! `subscribe`: a line for each event, until there were enough or somebody presses Ctrl-C.

use crate::args::{Common, Subscribe as Args};
use crate::connection::{connect, interrupted, tell_changes};
use crate::exit::{Exit, Failure, Outcome};
use crate::json;
use crate::print::{Style, escaped, line, note, paint, paint_error};
use crate::signals::Signals;
use answerback::{Client, Event, Raw};
use serde_json::json;

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    let mut signals = Signals::listen()?;
    let connected = tokio::select! {
        connected = connect(common) => connected?,
        () = signals.next() => return Err(interrupted()),
    };
    let client = connected.client;
    let outcome = tokio::select! {
        outcome = print(common, args, &client) => outcome,
        error = tell_changes(&client) => Err(Failure::of_topic(error, &args.topic)),
        // It is how this command ends.
        () = signals.next() => Ok(Exit::Ok),
    };
    client.close().await;
    outcome
}

async fn print(common: &Common, args: &Args, client: &Client) -> Outcome {
    let failed = |error| Failure::of_topic(error, &args.topic);
    let mut subscribe = client.subscribe::<Raw>(&args.topic);
    if let Some(group) = &args.group {
        subscribe = subscribe.group(group);
    }
    let mut events = subscribe.await.map_err(failed)?;
    if !common.json {
        note(&paint_error(Style::Faint, &format!("hearing of {}; Ctrl-C leaves", escaped(&args.topic))));
    }
    let mut left = args.count;
    while left != Some(0) {
        let Some(event) = events.next().await else { break };
        let event = event.map_err(failed)?;
        if event.missed > 0 && !common.json {
            note(&paint_error(Style::Warn, &format!("{} events were missed", event.missed)));
        }
        line(&if common.json { event_json(&event) } else { event_line(&event) })?;
        left = left.map(|left| left - 1);
    }
    Ok(Exit::Ok)
}

fn event_line(event: &Event<Raw>) -> String {
    let (topic, from) = (escaped(&event.topic), format!("({})", escaped(&event.from)));
    let data = json::one_line(event.data.as_bytes());
    format!("{}  {data}  {}", paint(Style::Strong, &topic), paint(Style::Faint, &from))
}

/// The data goes in as the bytes that it is: numbers keep their digits.
fn event_json(event: &Event<Raw>) -> String {
    let (topic, from) = (json::told(&json!(*event.topic)), json::told(&json!(*event.from)));
    let missed = if event.missed > 0 { format!(",\"missed\":{}", event.missed) } else { String::new() };
    format!("{{\"topic\":{topic},\"from\":{from},\"data\":{}{missed}}}", json::one_line(event.data.as_bytes()))
}
