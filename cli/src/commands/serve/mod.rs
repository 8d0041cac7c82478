//! `serve`: answers calls until it is asked to leave.

mod exec;
mod journal;

use crate::args::{Common, How as HowArgs, Serve as Args};
use crate::connection::{Connected, address, connect, tell_changes};
use crate::exit::{Exit, Failure, Outcome};
use crate::json;
use crate::print::{escaped, note};
use crate::signals::Signals;
use crate::units::show_duration;
use answerback::{Client, Context, Drained, Fault, Raw};
use bytes::Bytes;
use exec::Exec;
use journal::Journal;
use std::sync::Arc;

/// How calls are answered.
enum How {
    Echo,
    Reply(Bytes),
    Exec(Exec),
}

/// Answers one call after the other, and keeps the journal.
struct Answerer {
    how: How,
    journal: Journal,
}

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    let how = how(&args.how, args.max_output, !args.quiet && !common.json)?;
    let mut signals = Signals::listen()?;
    let Connected { client, .. } = signals.or_interrupted(connect(common)).await??;
    let answerer = Arc::new(Answerer { how, journal: Journal::new(common.json, args.quiet) });
    let handler = move |context: Context, data: Raw| {
        let answerer = Arc::clone(&answerer);
        async move { answerer.answer(context, data).await }
    };
    let serve = client.serve(&args.action, handler).concurrency(args.concurrency);
    let service =
        signals.or_interrupted(serve.into_future()).await?.map_err(|error| Failure::of(error, &args.action))?;
    if !args.quiet {
        let (action, name) = (escaped(service.action()), escaped(client.name()));
        note(&format!("serving `{action}` at {} as {name}; Ctrl-C ends", escaped(&address(&client))));
    }
    tokio::select! {
        () = signals.next() => leave(&client, args, &mut signals).await,
        why = tell_changes(&client) => Err(Failure::no_server(why, &common.servers)),
    }
}

fn how(args: &HowArgs, max_output: u64, shows: bool) -> Result<How, Failure> {
    if let Some(reply) = &args.reply {
        json::checked(reply.as_bytes(), "--reply")?;
        return Ok(How::Reply(Bytes::copy_from_slice(reply.trim().as_bytes())));
    }
    Ok(match &args.exec {
        Some(command) => How::Exec(Exec::new(command, max_output, shows)),
        None => How::Echo,
    })
}

impl Answerer {
    /// If the caller cancels, this is dropped where it stands; the journal sees that too.
    async fn answer(&self, context: Context, data: Raw) -> Result<Raw, Fault> {
        let entry = self.journal.begins(&context);
        let answer = match &self.how {
            How::Echo => Ok(data),
            How::Reply(reply) => Ok(Raw::new(reply.clone())),
            How::Exec(exec) => exec.run(&context, data.as_bytes()).await,
        };
        entry.ended(&answer);
        answer
    }
}

/// No new calls; those that run may finish, unless there is a second Ctrl-C.
async fn leave(client: &Client, args: &Args, signals: &mut Signals) -> Outcome {
    let running = client.work_under_way();
    if running > 0 {
        let (calls, most) = (calls(running as u64), show_duration(args.drain_deadline));
        note(&format!("{calls} may finish within {most}; Ctrl-C again ends at once"));
    }
    let cut_off = tokio::select! {
        Drained { cut_off, .. } = client.drain(args.drain_deadline) => cut_off,
        () = signals.next() => {
            let cut_off = client.work_under_way() as u64;
            client.close().await;
            cut_off
        }
    };
    if cut_off == 0 {
        return Ok(Exit::Ok);
    }
    let what = format!("{} did not finish in time", calls(cut_off));
    Err(Failure::new(Exit::Time, what, "their callers are told `handler_lost`; a longer --drain-deadline waits longer"))
}

fn calls(number: u64) -> String {
    if number == 1 { "1 call".to_owned() } else { format!("{number} calls") }
}
