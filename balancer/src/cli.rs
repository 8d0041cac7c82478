//! The command line: every flag with its help, and an environment variable for each. Values are raw text here; what they
//! mean is found out in `given`, so that all mistakes can be told at once. Each help fits into one line of 100 columns.

use clap::Parser;
use clap::builder::FalseyValueParser;
use std::path::PathBuf;

const ABOUT: &str = "Answerback's balancer: connections of clients, put through to many servers";

const AFTER: &str = "\
A backend is HOST:PORT, and behind commas what else it has:
  admin=HOST:PORT  its admin address: /readyz is asked instead of a mere connect
  proxy=v2         it is told the client's address by the PROXY protocol (its --proxy-protocol)
  max=N            connections that it may have
A file has one a line; # begins a comment.

Each flag is also an environment variable: --rest-max is ANSWERBACK_BALANCER_REST_MAX. The flag wins.
Times have a unit, ms, s, m, h or d: 250ms. Port 0 takes a free port. A listening socket that
comes with LISTEN_FDS, as from systemd, is used instead of --listen.

Signals:     SIGTERM and SIGINT drain; a second one ends at once; SIGHUP reads --backends again;
             SIGUSR1 has connections move to less crowded backends
Exit codes:  0 drained, 1 runtime, 2 usage, 5 drain deadline passed, 78 bad settings";

/// What was typed, or said by the environment.
#[derive(Debug, Parser)]
#[command(name = "answerback-balancer", version, about = ABOUT, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    /// For clients
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_BALANCER_LISTEN",
        hide_env = true,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:7050"
    )]
    pub(crate) listen: String,

    /// For probes: /readyz, /metrics, /backends; or off
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_BALANCER_ADMIN",
        hide_env = true,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:7051"
    )]
    pub(crate) admin: String,

    /// Share the address with other balancers, so that one can replace another
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_BALANCER_REUSE_PORT",
        hide_env = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(crate) reuse_port: bool,

    /// A server; may be repeated, in the variable with spaces between
    #[arg(
        help_heading = "Backends",
        long,
        env = "ANSWERBACK_BALANCER_BACKEND",
        hide_env = true,
        value_name = "HOST:PORT[,…]",
        value_delimiter = ' '
    )]
    pub(crate) backend: Vec<String>,

    /// More of them, one a line; read again on SIGHUP
    #[arg(help_heading = "Backends", long, env = "ANSWERBACK_BALANCER_BACKENDS", hide_env = true, value_name = "FILE")]
    pub(crate) backends: Option<PathBuf>,

    /// Or least-connections, or two-choices
    #[arg(
        help_heading = "Backends",
        long,
        env = "ANSWERBACK_BALANCER_STRATEGY",
        hide_env = true,
        value_name = "HOW",
        default_value = "round-robin"
    )]
    pub(crate) strategy: String,

    /// Between two probes of a backend
    #[arg(
        help_heading = "Health",
        long,
        env = "ANSWERBACK_BALANCER_PROBE_INTERVAL",
        hide_env = true,
        value_name = "TIME",
        default_value = "2s"
    )]
    pub(crate) probe_interval: String,

    /// For a probe to be answered
    #[arg(
        help_heading = "Health",
        long,
        env = "ANSWERBACK_BALANCER_PROBE_TIMEOUT",
        hide_env = true,
        value_name = "TIME",
        default_value = "1s"
    )]
    pub(crate) probe_timeout: String,

    /// Failures in a row until a backend rests
    #[arg(
        help_heading = "Health",
        long,
        env = "ANSWERBACK_BALANCER_FALL",
        hide_env = true,
        value_name = "N",
        default_value = "3"
    )]
    pub(crate) fall: String,

    /// Good probes in a row until it is up again
    #[arg(
        help_heading = "Health",
        long,
        env = "ANSWERBACK_BALANCER_RISE",
        hide_env = true,
        value_name = "N",
        default_value = "2"
    )]
    pub(crate) rise: String,

    /// Its first pause; each further one is twice as long
    #[arg(
        help_heading = "Health",
        long,
        env = "ANSWERBACK_BALANCER_REST",
        hide_env = true,
        value_name = "TIME",
        default_value = "1s"
    )]
    pub(crate) rest: String,

    /// Its longest pause
    #[arg(
        help_heading = "Health",
        long,
        env = "ANSWERBACK_BALANCER_REST_MAX",
        hide_env = true,
        value_name = "TIME",
        default_value = "30s"
    )]
    pub(crate) rest_max: String,

    /// Until it gets its full part of connections again
    #[arg(
        help_heading = "Health",
        long,
        env = "ANSWERBACK_BALANCER_SLOW_START",
        hide_env = true,
        value_name = "TIME",
        default_value = "10s"
    )]
    pub(crate) slow_start: String,

    /// Between two looks at what its name means
    #[arg(
        help_heading = "Health",
        long,
        env = "ANSWERBACK_BALANCER_RESOLVE_EVERY",
        hide_env = true,
        value_name = "TIME",
        default_value = "30s"
    )]
    pub(crate) resolve_every: String,

    /// Open at once; each costs two files
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_BALANCER_MAX_CONNECTIONS",
        hide_env = true,
        value_name = "N",
        default_value = "10000"
    )]
    pub(crate) max_connections: String,

    /// For a backend to take one, before the next is tried
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_BALANCER_CONNECT_TIMEOUT",
        hide_env = true,
        value_name = "TIME",
        default_value = "2s"
    )]
    pub(crate) connect_timeout: String,

    /// Silence until one is closed; 0 is never
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_BALANCER_IDLE_TIMEOUT",
        hide_env = true,
        value_name = "TIME",
        default_value = "10m"
    )]
    pub(crate) idle_timeout: String,

    /// Silence until TCP asks whether anybody is there; 0 is never
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_BALANCER_KEEPALIVE",
        hide_env = true,
        value_name = "TIME",
        default_value = "60s"
    )]
    pub(crate) keepalive: String,

    /// For connections to end after SIGTERM, or of a drained backend
    #[arg(
        help_heading = "Leaving and moving",
        long,
        env = "ANSWERBACK_BALANCER_DRAIN_DEADLINE",
        hide_env = true,
        value_name = "TIME",
        default_value = "30s"
    )]
    pub(crate) drain_deadline: String,

    /// Have connections move to less crowded backends; 0 is only when asked
    #[arg(
        help_heading = "Leaving and moving",
        long,
        env = "ANSWERBACK_BALANCER_REBALANCE_EVERY",
        hide_env = true,
        value_name = "TIME",
        default_value = "0s"
    )]
    pub(crate) rebalance_every: String,

    /// Of those that a backend has too many of
    #[arg(
        help_heading = "Leaving and moving",
        long,
        env = "ANSWERBACK_BALANCER_REBALANCE_SHARE",
        hide_env = true,
        value_name = "PERCENT",
        default_value = "20"
    )]
    pub(crate) rebalance_share: String,

    /// Silence after which one may be asked to move
    #[arg(
        help_heading = "Leaving and moving",
        long,
        env = "ANSWERBACK_BALANCER_REBALANCE_IDLE",
        hide_env = true,
        value_name = "TIME",
        default_value = "1s"
    )]
    pub(crate) rebalance_idle: String,

    /// error, warn, info, debug, trace; or by part
    #[arg(
        help_heading = "Log",
        long,
        env = "ANSWERBACK_BALANCER_LOG",
        hide_env = true,
        value_name = "FILTER",
        default_value = "info"
    )]
    pub(crate) log: String,

    /// text or json
    #[arg(
        help_heading = "Log",
        long,
        env = "ANSWERBACK_BALANCER_LOG_FORMAT",
        hide_env = true,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) log_format: String,

    /// How bytes are moved: auto, buffer or splice; there to be measured
    #[arg(long, env = "ANSWERBACK_BALANCER_COPY", hide = true, default_value = "auto")]
    pub(crate) copy: String,
}
