//! `call`: one question, and its answer on standard output.

use super::broadcast;
use super::timeline::{self, Timeline};
use crate::args::{Call as Args, Common};
use crate::connection::with_client;
use crate::exit::{Exit, Failure, Outcome};
use crate::json;
use crate::print::{self, is_terminal, line, note};
use answerback::{Call, Client, Raw};
use bytes::Bytes;
use std::time::{Duration, Instant};

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    let data = json::data(args.said.data.as_deref())?;
    with_client(common, async |client, took| call(common, args, client, took, data).await).await
}

async fn call(common: &Common, args: &Args, client: &Client, connect: Duration, data: Bytes) -> Outcome {
    let failed = |error| Failure::of(error, &args.said.action);
    if args.broadcast {
        return broadcast::run(common, args, client, data).await;
    }
    let call = with_options(client.call_raw(&args.said.action, data), args);
    if args.stream {
        let mut parts = call.stream();
        while let Some(part) = parts.next().await {
            line(&json::one_line(part.map_err(failed)?.as_bytes()))?;
        }
        return Ok(Exit::Ok);
    }
    if args.verbose {
        let asked = Instant::now();
        let answer = call.with_info().await.map_err(|error| {
            note(&timeline::failed(connect, asked.elapsed(), common.json));
            failed(error)
        })?;
        let timeline = Timeline::of(connect, asked.elapsed(), answer.info);
        note(&if common.json { json::told(&timeline.json()) } else { timeline.draw(print::paint_error) });
        answered(&answer.value, common)?;
    } else {
        answered(&call.await.map_err(failed)?, common)?;
    }
    Ok(Exit::Ok)
}

fn with_options(call: Call<Raw>, args: &Args) -> Call<Raw> {
    let mut call = call.timeout(args.timeout);
    if let Some(ttl) = args.said.ttl {
        call = call.ttl(ttl);
    }
    if let Some(attempts) = args.attempts {
        call = call.attempts(attempts);
    }
    if let Some(key) = &args.said.key {
        call = call.key(key);
    }
    if let Some(trace) = &args.said.trace {
        call = call.trace(trace);
    }
    if args.said.durable { call.durable() } else { call }
}

/// For people over several lines; in a pipe as it came.
fn answered(answer: &Raw, common: &Common) -> Result<(), Failure> {
    match (is_terminal(), common.json) {
        (true, false) => line(&json::pretty(answer.as_bytes())),
        (true, true) => line(&json::one_line(answer.as_bytes())),
        (false, _) => print::bytes(&[answer.as_bytes(), b"\n"].concat()),
    }
}
