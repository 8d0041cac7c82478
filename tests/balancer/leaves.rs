//! A balancer ends. What is under way on its connections may finish, and their clients are elsewhere by then.
//!
//! The story: at its drain deadline a balancer closed what was left, which is every client that stays connected. Calls that were under way ended as lost, for
//! no client could know that it should go.

use crate::set::client_of;
use crate::support::{Balancer, PATIENCE, until};
use answerback::{Builder, Client};
use rustix::process::Signal;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Two balancers before one server; a service at the second one that stays at work until it is let go, and a caller at the first one that knows both.
async fn leaves(server_args: &[&str], more: impl Fn(SocketAddr) -> String) {
    let server = crate::process::Process::start(server_args);
    let backend = format!("{}{}", server.address, more(server.admin.unwrap()));
    let start = || Balancer::start(&["--backend", &backend, "--drain-deadline", "20s"]);
    let (mut first, second) = (start(), start());
    [&first, &second].iter().for_each(|balancer| balancer.until_up(&[server.address]));
    let service = client_of(second.address).connect().await.unwrap();
    let (begun, let_go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (begins, may_end) = (Arc::clone(&begun), Arc::clone(&let_go));
    let stay = move |(): ()| {
        let (begins, may_end) = (Arc::clone(&begins), Arc::clone(&may_end));
        async move {
            begins.store(true, Ordering::Relaxed);
            while !may_end.load(Ordering::Relaxed) {
                pause().await;
            }
            answerback::Ok("stayed".to_owned())
        }
    };
    service.serve("stay", stay).await.unwrap();
    let caller = with(client_of(first.address), second.address).await;
    let call = tokio::spawn(caller.call::<String>("stay", ()).timeout(PATIENCE).into_future());
    until_so(|| begun.load(Ordering::Relaxed)).await;
    first.signal(Signal::TERM);
    let moved = || matches!(caller.state(), answerback::State::Connected { address, .. } if address == second.address.to_string());
    until_so(moved).await;
    caller.call::<serde_json::Value>("$stats", ()).await.unwrap();
    assert!(!call.is_finished(), "what is under way stays where it is");
    let_go.store(true, Ordering::Relaxed);
    assert_eq!(call.await.unwrap().unwrap(), "stayed");
    // Nobody is left, so that it need not wait for its deadline.
    assert_eq!(tokio::task::block_in_place(|| first.exit_code()), Some(0), "{}", first.log());
}

async fn with(builder: Builder, other: SocketAddr) -> Client {
    builder.address(other.to_string()).connect().await.unwrap()
}

async fn until_so(is_so: impl Fn() -> bool) {
    let waited = async {
        while !is_so() {
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap();
}

#[allow(clippy::disallowed_methods, reason = "between two looks at a condition")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

/// Its server is told at the admin port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_balancer_that_ends_move_and_finish_what_is_under_way() {
    leaves(&[], |admin| format!(",admin={admin}")).await;
}

/// Its server is told by the PROXY protocol, as it is told who its clients are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_where_the_server_is_told_by_the_proxy_protocol() {
    let believes = ["--proxy-protocol", "--proxy-from", "127.0.0.1"];
    leaves(&believes, |_| ",proxy=v2".to_owned()).await;
}

/// Whoever is asked to move, only an operator asks.
#[test]
fn only_who_means_the_server_has_clients_move() {
    let server = crate::process::Process::start(&[]);
    let (status, _) = server.ask("POST", "/move?client=127.0.0.1:9");
    assert_eq!(status, 202);
    assert_eq!(server.ask("POST", "/move?client=localhost").0, 400);
    assert_eq!(server.ask("POST", "/move").0, 400);
    assert_eq!(server.ask("GET", "/move?client=127.0.0.1:9").0, 405);
    let bare = format!(
        "POST /move?client=127.0.0.1:9 HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        server.admin.unwrap()
    );
    assert!(crate::process::http(server.admin.unwrap(), &bare).starts_with("HTTP/1.1 403"));
    until("a server that goes on", || server.ask("GET", "/livez").0 == 200);
}
