//! What each command does.

mod bench;
mod broadcast;
mod call;
mod check;
mod completions;
mod drain;
mod explain;
mod http;
mod keygen;
mod keys;
mod ls;
mod man;
mod peers;
mod publish;
mod reload;
mod send;
mod serve;
mod store;
mod subscribe;
mod timeline;
mod top;

use crate::args::{Cli, Command};
use crate::exit::{Failure, Outcome};
use std::future::Future;
use tokio::runtime::Builder;

/// Does what was typed.
pub(crate) fn run(cli: &Cli) -> Outcome {
    let common = &cli.common;
    match &cli.command {
        Command::Call(args) => alone(call::run(common, args)),
        Command::Send(args) => alone(send::run(common, args)),
        Command::Serve(args) => alone(serve::run(common, args)),
        Command::Publish(args) => alone(publish::run(common, args)),
        Command::Subscribe(args) => alone(subscribe::run(common, args)),
        Command::Ls(args) => alone(ls::run(common, args)),
        Command::Peers(args) => alone(peers::run(common, args)),
        Command::Top(args) => alone(top::run(common, args)),
        Command::Explain(args) => alone(explain::run(common, args)),
        // One connection has one task that owns it: passing calls to it from other threads halves what it can do.
        Command::Bench(args) if args.connections == 1 => alone(bench::run(common, args)),
        Command::Bench(args) => together(bench::run(common, args)),
        Command::Check(args) => alone(check::run(common, args)),
        Command::Drain(args) => alone(drain::run(common, args)),
        Command::Keygen(args) => keygen::run(common, args),
        Command::Keys(args) => keys::run(common, args),
        Command::Reload(args) => alone(reload::run(common, args)),
        Command::Store(args) => store::run(common, args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

/// On one thread: nearly everything here waits for a network.
fn alone(work: impl Future<Output = Outcome>) -> Outcome {
    on(&mut Builder::new_current_thread(), work)
}

/// On a thread for each processor, for the load of several connections.
fn together(work: impl Future<Output = Outcome>) -> Outcome {
    on(&mut Builder::new_multi_thread(), work)
}

fn on(builder: &mut Builder, work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = builder.enable_all().build();
    runtime.map_err(|error| Failure::system("start the runtime", &error))?.block_on(work)
}
