//! What a seed decides before anything happens: how many servers, how they are linked, and what will befall them.

use crate::random::Random;
use answerback_broker::{Limits, Secrets, Settings};
use answerback_protocol::NodeId;
use std::time::Duration;

/// What befalls the servers of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Nothing. Every call is answered by a handler.
    Peace,
    /// They leave in good order, one after the other. Nobody sees an error but `draining`.
    Drains,
    /// Connections break.
    Storm,
    /// Connections break, servers are killed or leave, clients die and move.
    War,
}

/// The frame of a run.
pub(super) struct Plan {
    pub(super) mood: Mood,
    pub(super) servers: usize,
    /// Who dials whom. The same pair may be there twice, each under an address of its own.
    pub(super) edges: Vec<(usize, usize)>,
    pub(super) max_hops: usize,
    pub(super) heartbeat: Duration,
    pub(super) grace: Duration,
    pub(super) clients: usize,
    pub(super) actions: Vec<&'static str>,
    /// The largest credit that a handler gives.
    pub(super) credit: u64,
    /// The longest that work takes, in milliseconds.
    pub(super) work_ms: u64,
    /// The mean pause between two acts of a client, in milliseconds.
    pub(super) pause_ms: u64,
    /// The least delay on a connection, and what may come on top of it, in microseconds.
    pub(super) delay_us: (u64, u64),
    /// The mean pause between two breaks, and between two ends of servers, in milliseconds.
    pub(super) break_ms: u64,
    pub(super) end_ms: u64,
    /// When everything comes to rest.
    pub(super) calm_ms: u64,
}

const ACTIONS: [&str; 3] = ["a.one", "a.two", "b.three"];

impl Plan {
    pub(super) fn new(random: &mut Random) -> Self {
        let mood = random.pick(&[Mood::Peace, Mood::Drains, Mood::Storm, Mood::War, Mood::War]);
        let servers = random.between(if mood == Mood::Drains { 2 } else { 1 }, 4) as usize;
        let is_gentle = matches!(mood, Mood::Peace | Mood::Drains);
        let max_hops = if is_gentle || random.chance(750) { 3 } else { random.between(1, 2) as usize };
        let actions = ACTIONS[..random.between(1, 3) as usize].to_vec();
        Self {
            mood,
            servers,
            edges: edges(servers, random),
            max_hops,
            heartbeat: Duration::from_millis(random.between(700, 1_500)),
            grace: Duration::from_millis(random.between(700, 3_000)),
            clients: random.between(3, 9) as usize,
            actions,
            credit: random.between(1, 5),
            work_ms: random.pick(&[2, 20, 200]),
            pause_ms: random.pick(&[20, 60, 150]),
            delay_us: (random.between(20, 2_000), random.pick(&[0, 1_000, 20_000])),
            break_ms: random.between(100, 1_500),
            end_ms: random.between(500, 3_000),
            calm_ms: random.between(2_000, 6_000),
        }
    }

    /// The settings of a server in one of its lives.
    pub(super) fn settings(&self, server: usize, life: u32) -> Settings {
        let number = (server as u64 + 1) * 1_000 + u64::from(life);
        Settings {
            server: format!("server{server}"),
            secrets: Secrets { delivery: u128::from(number).to_le_bytes(), tables: number },
            node: NodeId::truncated(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            max_hops: self.max_hops,
            heartbeat: self.heartbeat,
            session_grace: self.grace,
            limits: Limits { stored_reply_age: Duration::from_secs(60), ..Limits::default() },
            ..Settings::default()
        }
    }

    /// How many links are between two servers, if there is a way.
    pub(super) fn distance(&self, from: usize, to: usize) -> Option<usize> {
        let mut near = vec![from];
        for steps in 0..=self.servers {
            if near.contains(&to) {
                return Some(steps);
            }
            let next = self.edges.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).filter(|(a, _)| near.contains(a));
            let next: Vec<_> = next.map(|(_, b)| b).collect();
            near.extend(next);
        }
        None
    }

    /// Whether the other servers are linked to each other also without this one.
    pub(super) fn can_spare(&self, server: usize) -> bool {
        let edges: Vec<_> = self.edges.iter().filter(|(a, b)| *a != server && *b != server).copied().collect();
        let mut near: Vec<_> = (0..self.servers).filter(|other| *other != server).take(1).collect();
        for _ in 0..self.servers {
            let next = edges.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).filter(|(a, _)| near.contains(a));
            let next: Vec<_> = next.map(|(_, b)| b).collect();
            near.extend(next);
        }
        (0..self.servers).all(|other| other == server || near.contains(&other))
    }

    /// Whether every server can send a request to every other one.
    pub(super) fn all_in_reach(&self) -> bool {
        let pairs = (0..self.servers).flat_map(|a| (0..self.servers).map(move |b| (a, b)));
        pairs.into_iter().all(|(a, b)| self.distance(a, b).is_some_and(|steps| steps <= self.max_hops))
    }
}

/// A pair, chain, star, ring or full mesh, at times with a link too many.
fn edges(servers: usize, random: &mut Random) -> Vec<(usize, usize)> {
    let mut edges: Vec<_> = match random.below(4) {
        0 => (1..servers).map(|n| (n - 1, n)).collect(),
        1 => (1..servers).map(|n| (0, n)).collect(),
        2 if servers > 2 => (0..servers).map(|n| (n, (n + 1) % servers)).collect(),
        _ => (0..servers).flat_map(|a| (0..a).map(move |b| (b, a))).collect(),
    };
    for edge in &mut edges {
        if random.chance(500) {
            *edge = (edge.1, edge.0);
        }
    }
    if !edges.is_empty() && random.chance(350) {
        let (from, to) = random.pick(&edges);
        // Linked twice: by one side over two addresses, or by each of them.
        edges.push(if random.chance(500) { (from, to) } else { (to, from) });
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_servers_of_a_plan_are_linked() {
        for seed in 0..500 {
            let plan = Plan::new(&mut Random::new(seed));
            for server in 0..plan.servers {
                assert!(plan.distance(0, server).is_some(), "seed {seed}: {:?}", plan.edges);
            }
        }
    }
}
