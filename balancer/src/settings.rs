//! What a balancer is told when it is started, and whether that can work.

use crate::plane::Way;
use crate::pool::{Rules, Spec, Strategy};
use answerback_process::mistakes::Mistake;
use answerback_process::units::print_duration;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a balancer.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) reuse_port: bool,
    pub(crate) admin: Option<SocketAddr>,
    /// Said by flags.
    pub(crate) backends: Vec<Spec>,
    /// More of them are there.
    pub(crate) file: Option<PathBuf>,
    pub(crate) rules: Rules,
    pub(crate) probe_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) connect_timeout: Duration,
    /// Zero is for ever.
    pub(crate) idle_timeout: Duration,
    /// Zero is never.
    pub(crate) keepalive: Duration,
    pub(crate) drain_deadline: Duration,
    /// Zero is only when asked.
    pub(crate) rebalance_every: Duration,
    /// In percent of what a backend has too many of.
    pub(crate) rebalance_share: usize,
    pub(crate) rebalance_idle: Duration,
    pub(crate) copy: Way,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7050)),
            reuse_port: false,
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 7051))),
            backends: Vec::new(),
            file: None,
            rules: Rules {
                strategy: Strategy::RoundRobin,
                fall: 3,
                rise: 2,
                interval: Duration::from_secs(2),
                rest: Duration::from_secs(1),
                rest_max: Duration::from_secs(30),
                slow_start: Duration::from_secs(10),
                resolve_every: Duration::from_secs(30),
            },
            probe_timeout: Duration::from_secs(1),
            max_connections: 10_000,
            connect_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(600),
            keepalive: Duration::from_secs(60),
            drain_deadline: Duration::from_secs(30),
            rebalance_every: Duration::ZERO,
            rebalance_share: 20,
            rebalance_idle: Duration::from_secs(1),
            copy: Way::Auto,
        }
    }
}

/// The shortest time between two probes, and the shortest that one may take: below it a busy machine would look dead.
const PROBE_LEAST: Duration = Duration::from_millis(10);

/// The longest that any time may be.
const DURATION_MAX: Duration = Duration::from_secs(30 * 86_400);

impl Settings {
    pub(crate) fn rebalance_every(&self) -> Option<Duration> {
        Some(self.rebalance_every).filter(|every| !every.is_zero())
    }

    /// Everything that cannot work.
    pub(crate) fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut wrong = |flag, what: &str| found.push(Mistake { flag, what: what.to_owned() });
        if self.backends.is_empty() && self.file.is_none() {
            wrong("--backend", "is missing: say at least one, as host:port, or a --backends file");
        }
        if self.admin.is_some_and(|admin| !admin.ip().is_loopback()) {
            wrong(
                "--admin",
                "must be on loopback, such as 127.0.0.1:7051, because whoever reaches it may drain backends",
            );
        }
        if self.admin.is_some_and(|admin| admin == self.listen && admin.port() != 0) {
            wrong("--admin", "must be another address than --listen");
        }
        for (flag, count) in
            [("--fall", self.rules.fall), ("--rise", self.rules.rise), ("--max-connections", self.max_connections)]
        {
            if count == 0 {
                wrong(flag, "must be 1 or more");
            }
        }
        if !(1..=100).contains(&self.rebalance_share) {
            wrong("--rebalance-share", "must be from 1 to 100: it is a percentage");
        }
        let rules = &self.rules;
        let least = print_duration(PROBE_LEAST);
        let most = print_duration(DURATION_MAX);
        for (flag, time, may_be_zero) in [
            ("--probe-interval", rules.interval, false),
            ("--probe-timeout", self.probe_timeout, false),
            ("--rest", rules.rest, false),
            ("--rest-max", rules.rest_max, false),
            ("--connect-timeout", self.connect_timeout, false),
            ("--resolve-every", rules.resolve_every, false),
            ("--slow-start", rules.slow_start, true),
            ("--idle-timeout", self.idle_timeout, true),
            ("--keepalive", self.keepalive, true),
            ("--drain-deadline", self.drain_deadline, true),
            ("--rebalance-every", self.rebalance_every, true),
            ("--rebalance-idle", self.rebalance_idle, true),
        ] {
            if time > DURATION_MAX || time < PROBE_LEAST && !(may_be_zero && time.is_zero()) {
                wrong(flag, &format!("must be from {least} to {most}"));
            }
        }
        if rules.rest_max < rules.rest {
            wrong("--rest-max", "must not be shorter than --rest");
        }
        if !self.keepalive.is_zero() && self.keepalive < Duration::from_secs(1) {
            wrong("--keepalive", "must be 1s or more, or 0 for none: the system counts whole seconds");
        }
        found
    }
}
