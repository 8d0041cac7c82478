//! `send`: work handed in; nobody waits for its end.

use crate::args::{Common, Send as Args};
use crate::connection::with_client;
use crate::exit::{Exit, Failure, Outcome};
use crate::json;
use crate::print::line;
use answerback::{Client, Raw};
use bytes::Bytes;
use serde_json::json;

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    let data = json::data(args.said.data.as_deref())?;
    with_client(common, async |client, _| send(common, args, client, data).await).await
}

async fn send(common: &Common, args: &Args, client: &Client, data: Bytes) -> Outcome {
    let mut send = client.send(&args.said.action, Raw::new(data));
    if let Some(ttl) = args.said.ttl {
        send = send.ttl(ttl);
    }
    if let Some(timeout) = args.timeout {
        send = send.timeout(timeout);
    }
    if let Some(attempts) = args.attempts {
        send = send.attempts(attempts);
    }
    if let Some(key) = &args.said.key {
        send = send.key(key);
    }
    if let Some(trace) = &args.said.trace {
        send = send.trace(trace);
    }
    if args.said.durable {
        send = send.durable();
    }
    send.await.map_err(|error| Failure::of(error, &args.said.action))?;
    line(&if common.json { json::told(&json!({ "accepted": true })) } else { "accepted".to_owned() })?;
    Ok(Exit::Ok)
}
