//! Whole worlds in virtual time: services, callers, a network that drops connections, a broker that is killed. Each seed is
//! another world, and the same one again.

use crate::dice::Dice;
use crate::ledger::{Ledger, Memory, Tally};
use crate::load::{Callers, pass, serve};
use crate::quiet::all_quiet;
use answerback::{Client, Service};
use answerback_testing::{BrokerSettings, History, Simulation, Weather, in_virtual_time};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the weather is bad, in virtual time.
const STORM: Duration = Duration::from_secs(20);

fn weather(seed: u64) -> Weather {
    let weather = Weather::fair().delay(Duration::from_millis(1 + seed % 20));
    let away = Duration::from_millis(seed % 7 * 100);
    match seed % 3 {
        0 => weather.drops(Duration::from_secs(1)),
        1 => weather.restarts(Duration::from_secs(3), away),
        _ => weather.drops(Duration::from_secs(2)).restarts(Duration::from_secs(4), away),
    }
}

/// Some worlds have brokers that forget soon, hold little or keep little.
fn settings(seed: u64) -> BrokerSettings {
    let mut settings = Simulation::settings();
    match seed % 5 {
        1 => settings.session_grace = Duration::from_millis(20 + seed % 400),
        2 => settings.limits.requests_per_action = 6,
        3 => settings.limits.kept_reply_bytes_per_session = 1_000,
        4 => settings.dispatch_interval = Duration::from_millis(3),
        _ => {}
    }
    settings
}

const SERVICES: [&str; 3] = ["service-1", "service-2", "service-3"];

/// Does by hand what weather does not do.
async fn meddle(
    simulation: &Simulation,
    (clients, mut served): (&[Client], Vec<Vec<Service>>),
    ledger: &Arc<Ledger>,
    seed: u64,
) {
    let mut dice = Dice::new(seed);
    loop {
        pass(Duration::from_millis(200 + dice.below(1_500) as u64)).await;
        match dice.below(7) {
            0 => simulation.cut_all(),
            1 => simulation.restart(),
            2 | 3 => {
                simulation.drain(Duration::from_millis(dice.below(600) as u64)).await;
                pass(Duration::from_millis(dice.below(300) as u64)).await;
                simulation.restart();
            }
            4 => {
                let nth = dice.below(SERVICES.len());
                for service in std::mem::take(&mut served[nth]) {
                    service.stop().await;
                }
                pass(Duration::from_millis(dice.below(300) as u64)).await;
                served[nth] = serve(&clients[nth], SERVICES[nth], ledger).await.into();
            }
            _ => dice.pick(clients).reconnect(),
        }
    }
}

async fn live(seed: u64) -> (Tally, History) {
    let simulation = Simulation::with(seed, weather(seed), settings(seed));
    let ledger = Arc::new(Ledger::default());
    let (mut clients, mut served): (Vec<Client>, Vec<Vec<Service>>) = (Vec::new(), Vec::new());
    for who in SERVICES {
        let service = simulation.client(who).await;
        served.push(serve(&service, who, &ledger).await.into());
        clients.push(service);
    }
    let callers = [simulation.client("caller-1").await, simulation.client("caller-2").await];
    let load = Callers::start(&callers, 4, seed, &ledger);
    clients.extend(callers);
    if seed % 4 < 2 {
        pass(STORM).await;
    } else {
        // It is stopped wherever it is: a broker that was sent away has to be brought back.
        let _ = timeout(STORM, meddle(&simulation, (&clients, served), &ledger, seed)).await;
        simulation.restart();
    }
    load.finish(Duration::from_secs(60)).await;
    simulation.set_weather(Weather::fair());
    let watcher = simulation.client("watcher").await;
    // Some who were cut off do not know it yet: two heartbeats and a grace time pass before everything is seen.
    all_quiet(&watcher, &clients.iter().collect::<Vec<_>>(), Duration::from_secs(120)).await;
    let memory = if settings(seed).session_grace < Duration::from_secs(5) { Memory::Short } else { Memory::Long };
    (ledger.check(memory), simulation.history())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_world_keeps_its_promises() {
    let seeds = number("SEED").map_or(0..number("SEEDS").unwrap_or(30), |seed| seed..seed + 1);
    let (mut answered, mut maybe, mut not_run) = (0, 0, 0);
    for seed in seeds {
        println!("seed {seed}: SEED={seed} cargo test -p answerback-tests --test client simulated -- --nocapture");
        let (tally, _) = in_virtual_time(live(seed));
        println!("{tally:?}");
        (answered, maybe, not_run) = (answered + tally.answered, maybe + tally.maybe, not_run + tally.not_run);
    }
    assert!(answered > 500 && maybe + not_run > 0, "{answered} answered, {maybe} maybe, {not_run} not run");
}

#[test]
fn a_world_is_the_same_again() {
    for seed in [0, 1, 2, 7] {
        let ((_, one), (_, two)) = (in_virtual_time(live(seed)), in_virtual_time(live(seed)));
        assert_eq!(one.difference(&two), None, "seed {seed}");
        assert_eq!(one, two, "seed {seed}");
    }
}
