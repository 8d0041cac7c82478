//! What a handler knows of its call, and what it may do with it.

use crate::support::{Gate, begin, broker_with, hasty_broker, ms, one_client, pause, serve_gated, soon, told, until};
use answerback::{Code, Context, Error, Fault, Ran};
use answerback_testing::TestBroker;
use std::time::Duration;
use tokio::sync::mpsc;

#[tokio::test]
async fn a_handler_knows_its_caller_its_action_and_its_attempt() {
    let broker = TestBroker::start().await;
    let (service, caller) = (broker.client("service").await, broker.client("Ada's laptop").await);
    let who = |ctx: Context, (): ()| async move {
        answerback::Ok((
            ctx.caller().to_owned(),
            ctx.action().to_owned(),
            ctx.attempt(),
            ctx.client().name().to_owned(),
        ))
    };
    service.serve("who", who).await.unwrap();
    let known: (String, String, u32, String) = caller.call("who", ()).await.unwrap();
    assert_eq!(known, ("Ada's laptop".into(), "who".into(), 1, "service".into()));
}

/// What is left of the time travels: the queue and the work before have used some of it.
#[tokio::test]
async fn what_is_left_of_the_time_shrinks() {
    let (_broker, client) = one_client().await;
    let left = |ctx: Context, (): ()| async move {
        let at_first = ctx.left();
        pause(30).await;
        answerback::Ok((at_first, ctx.left(), ctx.deadline() > tokio::time::Instant::now()))
    };
    client.serve("left", left).await.unwrap();
    let whole = Duration::from_secs(10);
    let (at_first, later, in_time): (Duration, Duration, bool) = client.call("left", ()).timeout(whole).await.unwrap();
    assert!(at_first <= whole && at_first > ms(5_000), "{at_first:?}");
    assert!(later <= at_first - ms(29) && in_time, "{later:?} after {at_first:?}");
    // Without a timeout of its own a call has the default.
    let (at_first, ..): (Duration, Duration, bool) = client.call("left", ()).await.unwrap();
    assert!(at_first > whole && at_first <= Duration::from_secs(30), "{at_first:?}");
}

#[tokio::test]
async fn time_in_the_queue_is_not_left_for_the_work() {
    let (_broker, client) = one_client().await;
    let call = begin(client.call::<Duration>("left", ()).timeout(Duration::from_secs(10)));
    crate::support::until_told("some time in the queue", &client, "$actions", |told| {
        told["actions"][0]["oldest_ms"].as_u64() >= Some(50)
    })
    .await;
    client.serve("left", |ctx: Context, (): ()| async move { answerback::Ok(ctx.left()) }).await.unwrap();
    let left = soon("the answer", call).await.unwrap().unwrap();
    assert!(left <= Duration::from_secs(10) - ms(50), "{left:?}");
}

/// An inner call has no more time than the call for which it is made, whatever it says.
#[tokio::test]
async fn a_call_within_a_handler_cannot_outlive_it() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "inner", 64, &gate).await;
    let (tell, mut told_of) = mpsc::unbounded_channel();
    let outer = move |ctx: Context, timeout: Option<Duration>| {
        let tell = tell.clone();
        async move {
            let mut inner = ctx.call::<()>("inner", ());
            if let Some(timeout) = timeout {
                inner = inner.timeout(timeout);
            }
            tell.send(inner.await.unwrap_err()).unwrap();
            Ok::<_, Fault>(())
        }
    };
    client.serve("outer", outer).cancel_grace(Duration::from_secs(20)).await.unwrap();
    for own in [None, Some(Duration::from_secs(3_600))] {
        let error = client.call::<()>("outer", own).timeout(ms(100)).await.unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        let inner = soon("the end of the inner call", told_of.recv()).await.unwrap();
        assert_eq!(told(&inner), (Code::Timeout, Ran::Maybe, false));
        gate.until_left().await;
    }
    // A shorter time of its own holds.
    client.call::<()>("outer", Some(ms(40))).timeout(Duration::from_secs(20)).await.unwrap();
    assert_eq!(soon("the inner call", told_of.recv()).await.unwrap().code(), Code::Timeout);
    assert_eq!(gate.done(), 0);
}

/// A handler whose time is up is told so before anything is sent.
#[tokio::test]
async fn a_call_after_the_time_is_up_is_not_made() {
    let (broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "inner", 64, &gate).await;
    let (tell, mut told_of) = mpsc::unbounded_channel::<[Error; 2]>();
    let outer = move |ctx: Context, (): ()| {
        let tell = tell.clone();
        async move {
            ctx.cancelled().await;
            pause(5).await;
            let call = ctx.call::<()>("inner", ()).await.unwrap_err();
            let broadcast = ctx.broadcast::<()>("inner", ()).await.unwrap_err();
            tell.send([call, broadcast]).unwrap();
            Ok::<_, Fault>(())
        }
    };
    client.serve("outer", outer).cancel_grace(Duration::from_secs(20)).await.unwrap();
    client.call::<()>("outer", ()).timeout(ms(30)).await.unwrap_err();
    for error in soon("the word on them", told_of.recv()).await.unwrap() {
        assert_eq!(told(&error), (Code::Timeout, Ran::No, true));
        assert!(error.message().contains("the time of the call for which this is asked is up"), "{error}");
    }
    assert_eq!(gate.begun(), 0);
    drop(broker);
}

/// Dropping the outermost call stops the work three services away.
#[tokio::test]
async fn a_cancel_goes_all_the_way_down() {
    let broker = TestBroker::start().await;
    let (gate, caller) = (Gate::new(), broker.client("caller").await);
    let bottom = broker.client("bottom").await;
    serve_gated(&bottom, "step.0", 64, &gate).await;
    let mut services = vec![bottom];
    for step in 1..=3 {
        let service = broker.client(&format!("service-{step}")).await;
        let below = format!("step.{}", step - 1);
        let handler = move |ctx: Context, (): ()| {
            let below = below.clone();
            async move { ctx.call::<()>(&below, ()).await }
        };
        service.serve(&format!("step.{step}"), handler).await.unwrap();
        services.push(service);
    }
    let call = begin(caller.call::<()>("step.3", ()));
    gate.until_begun(1).await;
    call.abort();
    gate.until_left().await;
    let left = || services.iter().map(|service| service.calls_waiting() + service.work_under_way()).sum::<usize>();
    until("nothing is left anywhere", || left() + caller.calls_waiting() == 0).await;
    assert_eq!(gate.done(), 0);
}

/// Seeds 4, 5: a client calls and serves, calls itself, also from inside a handler, and does not block itself.
#[tokio::test]
async fn a_client_may_call_its_own_actions_from_inside_of_them() {
    let (_broker, client) = one_client().await;
    let fac = |ctx: Context, n: u64| async move {
        if n == 0 {
            return Ok::<u64, Error>(1);
        }
        Ok(n * ctx.call::<u64>("factorial", n - 1).await?)
    };
    client.serve("factorial", fac).await.unwrap();
    assert_eq!(soon("20 calls deep", client.call::<u64>("factorial", 20)).await.unwrap(), 2_432_902_008_176_640_000);
}

/// With one at a time a handler that waits for itself waits in vain, but not for longer than its own time.
#[tokio::test]
async fn a_handler_that_waits_for_itself_ends_with_its_time() {
    let (_broker, client) = one_client().await;
    let itself = |ctx: Context, (): ()| async move { ctx.call::<()>("itself", ()).await };
    client.serve("itself", itself).concurrency(1).await.unwrap();
    let error = soon("its end", client.call::<()>("itself", ()).timeout(ms(100))).await.unwrap_err();
    assert!(matches!(error.code(), Code::Timeout | Code::Fault), "{error}");
    until("nothing is left", || client.calls_waiting() + client.work_under_way() == 0).await;
}

/// A send is work for later: it is not bound to the call during which it was said.
#[tokio::test]
async fn a_send_from_a_handler_outlives_its_call() {
    let (_broker, client) = one_client().await;
    let outer = |ctx: Context, (): ()| async move { ctx.send("later", 7).await };
    client.serve("outer", outer).await.unwrap();
    client.call::<()>("outer", ()).timeout(ms(200)).await.unwrap();
    pause(210).await;
    let (tell, mut told_of) = mpsc::unbounded_channel();
    let later = move |ctx: Context, n: u32| {
        let tell = tell.clone();
        async move { tell.send((n, ctx.left())).map_err(|_| "nobody listens") }
    };
    client.serve("later", later).await.unwrap();
    let (n, left) = soon("the send", told_of.recv()).await.unwrap();
    assert!(n == 7 && left > Duration::from_secs(3_600), "{left:?}");
}

#[tokio::test]
async fn a_broadcast_from_a_handler_is_bound_to_its_call() {
    let broker = broker_with(|_| {}).await;
    let (client, gate) = (broker.client("client").await, Gate::new());
    client.serve("node", |(): ()| async move { answerback::Ok(1) }).await.unwrap();
    let stuck = broker.client("stuck").await;
    serve_gated(&stuck, "node", 1, &gate).await;
    let outer = |ctx: Context, (): ()| async move {
        let gathered = ctx.broadcast::<u32>("node", ()).timeout(ctx.left() - ms(250)).await?;
        Ok::<_, Error>((gathered.counts.answered, gathered.counts.lost))
    };
    client.serve("outer", outer).await.unwrap();
    assert_eq!(client.call::<(u64, u64)>("outer", ()).timeout(ms(500)).await.unwrap(), (1, 1));
    gate.until_left().await;
}

/// The context may leave the handler's future; it says of the call what is true then.
#[tokio::test]
async fn tasks_of_a_handler_may_use_its_context() {
    let broker = hasty_broker().await;
    let client = broker.client("client").await;
    client.serve("inner", |n: u32| async move { answerback::Ok(2 * n) }).await.unwrap();
    let outer = |ctx: Context, numbers: Vec<u32>| async move {
        let asked: Vec<_> = numbers
            .into_iter()
            .map(|n| {
                let ctx = ctx.clone();
                tokio::spawn(async move { ctx.call::<u32>("inner", n).await })
            })
            .collect();
        let mut sum = 0;
        for answer in asked {
            sum += answer.await??;
        }
        Ok::<u32, Fault>(sum)
    };
    client.serve("outer", outer).await.unwrap();
    assert_eq!(client.call::<u32>("outer", [1, 2, 3]).await.unwrap(), 12);
}
