//! Clients reach all servers through one port; servers die and come back.

use crate::set::{Set, client_of, serve_who};
use crate::support::{PATIENCE, until};
use answerback::{Client, Code, Error, Key, KeyId, Ran, Secret};
use answerback_server::key_ring::file::create_key_file;
use rustix::process::Signal;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

async fn who(client: &Client) -> Result<usize, Error> {
    client.call::<usize>("who", ()).timeout(PATIENCE).await
}

/// Seed 43: a balancer in front of several servers on one port, connections spread evenly.
#[tokio::test]
async fn clients_reach_all_servers_through_one_port() {
    let set = Set::start(3, &[], "", &[]);
    let mut services = Vec::new();
    for (number, server) in set.servers.iter().enumerate() {
        services.push(serve_who(client_of(server.address), number).await);
    }
    let mut counts = [0; 3];
    for _ in 0..9 {
        let client = set.client().connect().await.unwrap();
        counts[who(&client).await.unwrap()] += 1;
        client.close().await;
    }
    assert_eq!(counts, [3; 3]);
}

fn key() -> Key {
    Key { id: KeyId::new("billing").unwrap(), secret: Secret::new([7; 32]) }
}

/// Seed 46: encrypted traffic goes through a balancer that has no key; nobody without one comes in by that.
#[tokio::test]
async fn a_sealed_connection_stays_sealed_end_to_end() {
    let place = crate::place::Place::new();
    std::fs::create_dir_all(&place.0).unwrap();
    let file = place.0.join("key");
    create_key_file(&file, &[], &key()).unwrap();
    let set = Set::start(2, &["--key-file", file.to_str().unwrap()], "", &[]);
    let mut services = Vec::new();
    for (number, server) in set.servers.iter().enumerate() {
        services.push(serve_who(client_of(server.address).key(key()), number).await);
    }
    for _ in 0..4 {
        let client = set.client().key(key()).connect().await.unwrap();
        who(&client).await.unwrap();
        let long = "x".repeat(3_000_000);
        let back: serde_json::Value = client.call("$echo", &long).await.unwrap();
        assert!(back.to_string().contains(&long));
    }
    assert_eq!(set.client().connect().await.unwrap_err().code(), Code::Denied);
}

/// What handlers did and callers heard.
#[derive(Default)]
struct Ledger {
    runs: Mutex<HashMap<u64, u32>>,
    ends: Mutex<Vec<(u64, Result<u64, Ran>)>>,
    next: AtomicU64,
    over: AtomicBool,
}

/// Seeds 45 and S18: a server is killed with -9 under load, and comes back. Every call has one answer; what is said not to have run has not, and
/// nothing runs twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_killed_under_load_leave_every_call_with_one_answer() {
    // Removed after the servers that use them.
    let mut places = Vec::new();
    let (mut set, ledger) = (Set::start(3, &[], "", &[]), Arc::new(Ledger::default()));
    let mut services = Vec::new();
    for server in &set.servers {
        services.push(serve_run(server.address, &ledger).await);
    }
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let (builder, ledger) = (set.client().retry_first_connection(), Arc::clone(&ledger));
            tokio::spawn(async move {
                let client = builder.connect().await.unwrap();
                while !ledger.over.load(Ordering::Relaxed) {
                    let number = ledger.next.fetch_add(1, Ordering::Relaxed);
                    let end = client.call::<u64>("run", number).timeout(Duration::from_secs(2)).await;
                    ledger.ends.lock().unwrap().push((number, end.map_err(|error| error.ran())));
                }
                client.close().await;
            })
        })
        .collect();
    let heard = |ledger: &Ledger| ledger.ends.lock().unwrap().iter().filter(|(_, end)| end.is_ok()).count();
    for victim in [0, 1, 2, 0] {
        let before = heard(&ledger);
        tokio::task::block_in_place(|| until("calls that are answered", || heard(&ledger) > before + 200));
        set.servers[victim].signal(Signal::KILL);
        set.servers[victim].end();
        let before = heard(&ledger);
        tokio::task::block_in_place(|| until("calls that go on without it", || heard(&ledger) > before + 200));
        let place = crate::place::Place::new();
        set.servers[victim] = tokio::task::block_in_place(|| again(&set, victim, &place));
        places.push(place);
        set.balancer.until_up(&[set.servers[victim].address]);
    }
    ledger.over.store(true, Ordering::Relaxed);
    for caller in callers {
        tokio::time::timeout(PATIENCE, caller).await.unwrap().unwrap();
    }
    drop(services);
    let (runs, ends) = (ledger.runs.lock().unwrap(), ledger.ends.lock().unwrap());
    assert_eq!(ends.len() as u64, ledger.next.load(Ordering::Relaxed), "every call has one end");
    for (number, end) in &*ends {
        let ran = runs.get(number).copied().unwrap_or(0);
        match end {
            Ok(back) => assert_eq!((back, ran), (number, 1)),
            Err(Ran::No) => assert_eq!(ran, 0, "{number} is said not to have run"),
            Err(_) => assert!(ran <= 1, "{number} ran {ran} times"),
        }
    }
    let lost = ends.iter().filter(|(_, end)| end.is_err()).count();
    assert!(lost * 10 < ends.len(), "{lost} of {} calls were lost", ends.len());
}

async fn serve_run(server: std::net::SocketAddr, ledger: &Arc<Ledger>) -> Client {
    let service = client_of(server).name("service").connect().await.unwrap();
    let ledger = Arc::clone(ledger);
    let run = move |number: u64| {
        *ledger.runs.lock().unwrap().entry(number).or_insert(0) += 1;
        async move { answerback::Ok(number) }
    };
    service.serve("run", run).await.unwrap();
    service
}

/// A server at the addresses of one that was killed; its service comes back by itself.
fn again(set: &Set, victim: usize, place: &crate::place::Place) -> crate::process::Process {
    let (listen, admin) = (set.servers[victim].address.to_string(), set.servers[victim].admin.unwrap().to_string());
    let mut command = crate::process::command();
    command.args(["--listen", &listen, "--admin", &admin, "--data-dir"]).arg(&place.0);
    crate::process::Process::spawn(command)
}

/// Sessions resume, or begin anew where they have moved to: callers see nothing.
#[tokio::test]
async fn clients_that_are_moved_notice_nothing() {
    let set = Set::start(2, &[], "", &["--rebalance-share", "100", "--rebalance-idle", "20ms"]);
    let [a, b] = [set.servers[0].address, set.servers[1].address];
    let _services = [serve_who(client_of(a), 0).await, serve_who(client_of(b), 1).await];
    assert_eq!(set.balancer.post(&format!("/drain?backend={b}&deadline=1h")).0, 202);
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(set.client().connect().await.unwrap());
    }
    for client in &clients {
        assert_eq!(who(client).await.unwrap(), 0);
    }
    assert_eq!(set.balancer.post(&format!("/undrain?backend={b}")).0, 200);
    assert_eq!(set.balancer.post("/rebalance"), (200, "{\"to_move\":4}\n".to_owned()));
    let _set = tokio::task::spawn_blocking(move || {
        until("four at each", || [a, b].iter().all(|server| set.balancer.backend(*server)["connections"] == 4));
        set
    })
    .await
    .unwrap();
    let mut counts = [0; 2];
    for client in &clients {
        counts[who(client).await.unwrap()] += 1;
    }
    assert_eq!(counts, [4, 4]);
}
