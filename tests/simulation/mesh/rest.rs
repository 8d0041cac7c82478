//! The end of a run: when nothing is in its way every call is answered, and nothing stays behind.

use super::world::{Event, World};
use crate::ledger::hold;
use std::time::Duration;

/// The longest that a call waits which says nothing of it.
const LONGEST: Duration = Duration::from_secs(31);

/// Calls at once to each action from each client.
const PROBES: u64 = 4;

impl World {
    /// All links are up and all handlers free: every call that can reach a handler is answered.
    pub(super) fn probe(&mut self) {
        let waiting: Vec<_> = self.clients.iter().flat_map(|client| client.waiting.values()).collect();
        self.trace.line(self.now, || format!("still waited for: {waiting:?}"));
        for server in 0..self.servers.len() {
            let links = self.plan.edges.iter().filter(|(from, to)| *from == server || *to == server).count();
            let held = self.servers[server].broker.held();
            hold!(!self.servers[server].is_leaving, "server {server} does not come to its end: {held:?}");
            let up = self.servers[server].broker.peers_up();
            hold!(up == links, "server {server} has {up} of {links} links up");
        }
        for client in 0..self.clients.len() {
            if self.clients[client].is_dead {
                continue;
            }
            hold!(self.clients[client].is_ready, "client {client} has found no server");
            for action in self.plan.actions.clone() {
                self.probe_action(client, action);
            }
        }
        self.after(LONGEST, Event::Leave);
    }

    fn probe_action(&mut self, client: usize, action: &'static str) {
        let servers = self.clients.iter().filter(|c| !c.is_dead && c.serving.contains_key(action)).map(|c| c.server);
        let here = self.clients[client].server;
        let reached = |server: usize| self.plan.distance(here, server).is_some_and(|steps| steps <= self.plan.max_hops);
        let can_be_reached = servers.into_iter().any(reached);
        for _ in 0..PROBES {
            let mut asked = self.plain(client, action);
            asked.must_be_answered = can_be_reached;
            asked.timeout = Some(if can_be_reached { 20_000 } else { 100 });
            if self.random.chance(250) && self.plan.all_in_reach() {
                asked.key = Some(100 + self.random.below(3));
            }
            self.ask(client, asked);
            self.trace.count("mesh", if can_be_reached { "probe" } else { "probe out of reach" });
        }
    }

    /// By now everybody has an answer. All clients go.
    pub(super) fn leave(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].is_dead {
                continue;
            }
            let waiting: Vec<_> = self.clients[client].waiting.values().collect();
            hold!(waiting.is_empty(), "client {client} has no answer to {waiting:?}");
            hold!(self.clients[client].holding.is_empty(), "client {client} still works");
            let says_bye = self.random.chance(500);
            self.vanish(client, says_bye);
        }
        let quiet = self.plan.grace * 3 + self.plan.heartbeat * 3 + Duration::from_secs(1);
        self.after(quiet, Event::Quiet);
        // Replies stored under keys are dropped by then.
        self.after(quiet + Duration::from_secs(60), Event::End);
    }

    /// Nothing is left.
    pub(super) fn end(&mut self) {
        for server in 0..self.servers.len() {
            let held = self.servers[server].broker.held();
            let links = self.plan.edges.iter().filter(|(from, to)| *from == server || *to == server).count();
            let nothing = [held.requests, held.queued, held.delivered, held.bytes, held.kept_replies];
            hold!(nothing == [0; 5] && held.stored_replies == 0, "server {server} still holds {held:?}");
            hold!(held.passed_on_here == 0, "server {server} counts what others passed on: {held:?}");
            hold!(held.sessions == links, "server {server} has {links} links and {} sessions", held.sessions);
            hold!(held.connections == links, "server {server} has {links} links and {held:?}");
            hold!(held.actions < self.servers.len(), "server {server} knows actions: {held:?}");
        }
        self.finish();
    }
}
