//! Connections that break while the server lives: the session goes on, and nobody sees more than a delay.

use crate::support::{
    Gate, PATIENCE, begin, broker_with, hasty_broker, ms, pause, serve_gated, soon, told, until, until_told,
};
use answerback::{Client, Code, Context, Error, Fault, Ran, Reconnect, State};
use answerback_testing::{Proxy, TestBroker};
use std::collections::BTreeSet;
use tokio::task::JoinHandle;

/// A client behind a bad line.
async fn behind(proxy: &Proxy, name: &str) -> Client {
    let reconnect = Reconnect::default().first_delay(ms(5)).longest_delay(ms(20));
    Client::builder(proxy.address()).name(name).reconnect(reconnect).connect().await.unwrap()
}

/// A broker, a line to it, a client on the line and one that is not.
async fn line() -> (TestBroker, Proxy, Client, Client) {
    let broker = TestBroker::start().await;
    let proxy = Proxy::start(broker.address()).await;
    let (far, near) = (behind(&proxy, "far").await, broker.client("near").await);
    (broker, proxy, far, near)
}

/// Cuts the line and waits until the client is back on it.
async fn cut(proxy: &Proxy, client: &Client) {
    let before = proxy.connections();
    proxy.cut_all();
    until("the client to come back", || proxy.connections() > before && client.state().is_connected()).await;
    assert!(matches!(client.state(), State::Connected { resumed: true, .. }), "{:?}", client.state());
}

/// One call that the handler has begun and that ends when the gate lets it.
async fn under_way(service: &Client, caller: &Client) -> (Gate, JoinHandle<Result<u32, Error>>) {
    let gate = Gate::new();
    serve_gated(service, "job", 64, &gate).await;
    let call = begin(caller.call::<u32>("job", 7));
    gate.until_begun(1).await;
    (gate, call)
}

/// Breaks the line and lets nobody back until it accepts again.
async fn goes_away(proxy: &Proxy, client: &Client) {
    proxy.refuse(true);
    proxy.cut_all();
    until("the loss of the line", || !client.state().is_connected()).await;
}

#[tokio::test]
async fn a_call_in_flight_survives_a_cut_of_its_caller() {
    let (_broker, proxy, caller, service) = line().await;
    let (gate, call) = under_way(&service, &caller).await;
    cut(&proxy, &caller).await;
    cut(&proxy, &caller).await;
    gate.let_go(1);
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
    assert_eq!(gate.begun(), 1);
}

#[tokio::test]
async fn work_goes_on_through_a_cut_of_its_handler() {
    let (_broker, proxy, service, caller) = line().await;
    let gate = Gate::new();
    serve_gated(&service, "job", 64, &gate).await;
    let calls: Vec<_> = (0..5).map(|n| (n, begin(caller.call::<u32>("job", n)))).collect();
    gate.until_begun(5).await;
    cut(&proxy, &service).await;
    gate.let_go(5);
    for (n, call) in calls {
        assert_eq!(soon("the answer", call).await.unwrap().unwrap(), n);
    }
    assert_eq!((gate.begun(), gate.done()), (5, 5));
}

/// Answered while the line was dead: the answer is kept and said again.
#[tokio::test]
async fn an_answer_that_did_not_arrive_is_said_again() {
    let (_broker, proxy, service, caller) = line().await;
    let (gate, call) = under_way(&service, &caller).await;
    proxy.pause();
    gate.let_go(1);
    until("the end of the work", || service.work_under_way() == 0).await;
    proxy.resume_cut(&service).await;
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
    assert_eq!(gate.begun(), 1);
}

/// Seed 28: the reply is held for a caller that is briefly away.
#[tokio::test]
async fn an_answer_is_kept_for_a_caller_that_is_away() {
    let (_broker, proxy, caller, service) = line().await;
    let (gate, call) = under_way(&service, &caller).await;
    goes_away(&proxy, &caller).await;
    gate.let_go(1);
    until("the end of the work", || service.work_under_way() == 0).await;
    until_told("the answer at the broker", &service, "$stats", |told| told["kept_replies"].as_u64() >= Some(1)).await;
    proxy.refuse(false);
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
    assert_eq!(gate.begun(), 1);
}

#[tokio::test]
async fn a_request_that_did_not_arrive_is_said_again_and_runs_once() {
    let (_broker, proxy, caller, service) = line().await;
    let gate = Gate::new();
    gate.let_go(9);
    serve_gated(&service, "job", 64, &gate).await;
    caller.call::<u32>("job", 1).await.unwrap();
    proxy.pause();
    let call = begin(caller.call::<u32>("job", 2));
    let send = tokio::spawn(caller.send("job", 3).into_future());
    until("both to be asked", || caller.calls_waiting() == 2).await;
    proxy.resume_cut(&caller).await;
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 2);
    soon("the send", send).await.unwrap().unwrap();
    until("all runs", || gate.done() == 3).await;
    assert_eq!(gate.begun(), 3);
}

/// The broker has taken the send, but its word on it was lost.
#[tokio::test]
async fn a_send_whose_acceptance_was_lost_is_not_run_twice() {
    let (_broker, proxy, sender, service) = line().await;
    let gate = Gate::new();
    gate.let_go(100);
    serve_gated(&service, "job", 64, &gate).await;
    for round in 1..=10 {
        let send = tokio::spawn(sender.send("job", round).into_future());
        until("the run", || gate.done() >= round).await;
        cut(&proxy, &sender).await;
        soon("the send", send).await.unwrap().unwrap();
        assert_eq!(gate.begun(), round);
    }
}

/// Who leaves while away has left when it is back.
#[tokio::test]
async fn a_call_that_is_dropped_without_a_connection_is_cancelled_on_the_next() {
    let (_broker, proxy, caller, service) = line().await;
    let (gate, call) = under_way(&service, &caller).await;
    goes_away(&proxy, &caller).await;
    call.abort();
    pause(20).await;
    assert_eq!(gate.inside(), 1, "nobody knows of it yet");
    proxy.refuse(false);
    gate.until_left().await;
    until("nothing is left", || caller.calls_waiting() + service.work_under_way() == 0).await;
    assert_eq!(gate.done(), 0);
}

/// A caller whose handler is cut off learns nothing of it, and a cancel finds the handler when it is back.
#[tokio::test]
async fn a_cancel_for_a_handler_that_is_away_reaches_it_on_its_next_connection() {
    let (_broker, proxy, service, caller) = line().await;
    let (gate, call) = under_way(&service, &caller).await;
    goes_away(&proxy, &service).await;
    call.abort();
    until("the cancel", || caller.calls_waiting() == 0).await;
    proxy.refuse(false);
    gate.until_left().await;
    until("nothing is left", || service.work_under_way() == 0).await;
}

#[tokio::test]
async fn parts_come_once_and_in_order_through_cuts_of_both_ends() {
    let broker = TestBroker::start().await;
    let (up, down) = (Proxy::start(broker.address()).await, Proxy::start(broker.address()).await);
    let (service, caller) = (behind(&up, "service").await, behind(&down, "caller").await);
    let count = |ctx: Context, n: u32| async move {
        for number in 1..n {
            ctx.part(number).await?;
            if number % 50 == 0 {
                pause(2).await;
            }
        }
        Ok::<_, Fault>(n)
    };
    service.serve("count", count).await.unwrap();
    let mut parts = caller.call::<u32>("count", 1_000).stream();
    for number in 1..=1_000 {
        assert_eq!(soon("a part", parts.next()).await.unwrap().unwrap(), number);
        match number % 200 {
            0 => up.cut_all(),
            100 => down.cut_all(),
            _ => {}
        }
    }
    assert!(parts.next().await.is_none());
    assert!(up.connections() > 3 && down.connections() > 3);
}

#[tokio::test]
async fn a_broadcast_gathers_each_answer_once_through_a_cut() {
    let (broker, proxy, caller, near) = line().await;
    let gate = Gate::new();
    let handlers = [broker.client("one").await, broker.client("two").await, near];
    for handler in &handlers {
        serve_gated(handler, "size", 1, &gate).await;
    }
    let asking = tokio::spawn(caller.broadcast::<u32>("size", 7).into_future());
    gate.until_begun(3).await;
    gate.let_go(1);
    until("the first answer", || gate.done() == 1).await;
    cut(&proxy, &caller).await;
    gate.let_go(2);
    let gathered = soon("all answers", asking).await.unwrap().unwrap();
    let names: BTreeSet<_> = gathered.replies.iter().map(|reply| &*reply.from).collect();
    assert_eq!((names, gathered.replies.len()), (BTreeSet::from(["near", "one", "two"]), 3));
    assert_eq!(gathered.counts.answered, 3);
}

/// Away for longer than the server waits: the session has ended, and what may have run is said so.
#[tokio::test]
async fn a_caller_that_is_away_for_too_long_is_told_what_may_have_run() {
    let broker = hasty_broker().await;
    let proxy = Proxy::start(broker.address()).await;
    let (caller, service, gate) = (behind(&proxy, "caller").await, broker.client("service").await, Gate::new());
    serve_gated(&service, "job", 64, &gate).await;
    let once = begin(caller.call::<u32>("job", 1));
    let twice = begin(caller.call::<u32>("job", 2).attempts(2));
    gate.until_begun(2).await;
    proxy.refuse(true);
    proxy.cut_all();
    // The server gives its session up and stops the work.
    gate.until_left().await;
    proxy.refuse(false);
    let error = soon("the word on it", once).await.unwrap().unwrap_err();
    assert_eq!(told(&error), (Code::Disconnected, Ran::Maybe, false));
    gate.let_go(9);
    assert_eq!(soon("the second attempt", twice).await.unwrap().unwrap(), 2);
    assert_eq!(gate.begun(), 3);
}

/// Work that cleans up for a caller that is gone does not answer for the same call made again.
#[tokio::test]
async fn a_call_made_again_is_not_answered_by_work_that_was_stopped() {
    let broker = hasty_broker().await;
    let proxy = Proxy::start(broker.address()).await;
    let (caller, service, gate) = (behind(&proxy, "caller").await, broker.client("service").await, Gate::new());
    let cleaning = Gate::new();
    let (work, clean) = (gate.clone(), cleaning.clone());
    let job = move |ctx: Context, n: u32| {
        let (work, clean) = (work.clone(), clean.clone());
        async move {
            tokio::select! {
                () = work.work() => Ok(n),
                () = ctx.cancelled() => {
                    clean.work().await;
                    Err(Fault::new("stopped", "its caller had gone"))
                }
            }
        }
    };
    service.serve("job", job).cancel_grace(PATIENCE).await.unwrap();
    let call = begin(caller.call::<u32>("job", 7).attempts(2));
    gate.until_begun(1).await;
    proxy.refuse(true);
    proxy.cut_all();
    cleaning.until_begun(1).await;
    proxy.refuse(false);
    until("the work made again", || gate.begun() == 2 || call.is_finished()).await;
    cleaning.let_go(1);
    until("the end of cleaning", || cleaning.done() == 1).await;
    gate.let_go(1);
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
}

/// The same for a handler: others have its work, its late answer is nobody's, and it serves on.
#[tokio::test]
async fn a_handler_that_is_away_for_too_long_serves_on_when_it_is_back() {
    let broker = hasty_broker().await;
    let proxy = Proxy::start(broker.address()).await;
    let (service, caller, gate) = (behind(&proxy, "service").await, broker.client("caller").await, Gate::new());
    serve_gated(&service, "job", 64, &gate).await;
    let call = begin(caller.call::<u32>("job", 1));
    gate.until_begun(1).await;
    proxy.refuse(true);
    proxy.cut_all();
    let error = soon("the word on it", call).await.unwrap().unwrap_err();
    assert_eq!(told(&error), (Code::HandlerLost, Ran::Maybe, false));
    gate.let_go(9);
    until("the late answer", || service.work_under_way() == 0).await;
    proxy.refuse(false);
    assert_eq!(soon("a new call", caller.call::<u32>("job", 2)).await.unwrap(), 2);
    assert_eq!(gate.begun(), 2);
}

/// A cable that is pulled closes nothing: silence is noticed by both ends.
#[tokio::test]
async fn a_line_that_falls_silent_is_noticed_and_survived() {
    let broker = broker_with(|settings| settings.broker.heartbeat = ms(100)).await;
    let proxy = Proxy::start(broker.address()).await;
    let (caller, service, gate) = (behind(&proxy, "caller").await, broker.client("service").await, Gate::new());
    serve_gated(&service, "job", 64, &gate).await;
    let call = begin(caller.call::<u32>("job", 7).timeout(PATIENCE));
    gate.until_begun(1).await;
    proxy.pause();
    gate.let_go(1);
    until("the client to notice", || !caller.state().is_connected()).await;
    proxy.resume();
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
    assert_eq!(gate.begun(), 1);
    // An idle line is not a silent one: heartbeats keep it.
    let connections = proxy.connections();
    pause(350).await;
    assert!(caller.state().is_connected() && proxy.connections() == connections);
}

/// What begins and ends while the connection is away is so when it is back.
#[tokio::test]
async fn services_begin_and_end_through_a_cut() {
    let (_broker, proxy, service, caller) = line().await;
    let old = service.serve("old", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    goes_away(&proxy, &service).await;
    let ending = tokio::spawn(old.stop());
    let server = service.clone();
    let beginning = tokio::spawn(async move { server.serve("new", |(): ()| async move { answerback::Ok(()) }).await });
    pause(20).await;
    proxy.refuse(false);
    soon("the end of one", ending).await.unwrap();
    soon("the beginning of the other", beginning).await.unwrap().unwrap();
    soon("an answer", caller.call::<()>("new", ())).await.unwrap();
    let error = caller.call::<()>("old", ()).ttl(ms(0)).await.unwrap_err();
    assert_eq!(error.code(), Code::NoHandler);
}

trait Line {
    async fn resume_cut(&self, client: &Client);
}

impl Line for Proxy {
    /// Drops all that has waited in the line, and waits until the client is back on it.
    async fn resume_cut(&self, client: &Client) {
        let before = self.connections();
        self.cut_all();
        self.resume();
        until("the client to come back", || self.connections() > before && client.state().is_connected()).await;
    }
}
