//! The command line: every flag with its help, and an environment variable for each. Values are raw text here; what they
//! mean is found out in `given`, so that all mistakes can be told at once.

use clap::Parser;

const ABOUT: &str = "Answerback: ask by name, and always get an answer back";

const AFTER: &str = "\
Sizes are bytes, or KiB, MiB, GiB (8MiB). Durations need a unit: ms, s, m, h, d (250ms).

Signals:     SIGTERM or SIGINT drains: running work may finish. A second one ends at once.
Exit codes:  0 drained · 1 runtime error · 2 usage · 5 drain deadline passed · 78 settings that cannot work";

/// What was typed, or said by the environment.
#[derive(Debug, Parser)]
#[command(name = "answerback-server", version, about = ABOUT, after_help = AFTER, max_term_width = 110)]
pub(crate) struct Cli {
    /// Where clients connect; port 0 takes a free one. Loopback only
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_LISTEN",
        hide_env = true,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:7040"
    )]
    pub(crate) listen: String,

    /// Pages for probes: /livez, /readyz. Port 0 takes a free one; `off` opens none
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_ADMIN",
        hide_env = true,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:7041"
    )]
    pub(crate) admin: String,

    /// Directory of this server alone; made if it is not there
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_DATA_DIR",
        hide_env = true,
        value_name = "DIR",
        default_value = "answerback-data"
    )]
    pub(crate) data_dir: String,

    /// Name of this server, told to clients
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_ID",
        hide_env = true,
        value_name = "NAME",
        default_value = "server1"
    )]
    pub(crate) id: String,

    /// Another server, told to clients when this one leaves. May be repeated
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_ELSEWHERE",
        hide_env = true,
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) elsewhere: Vec<String>,

    /// Longest call that does not say `timeout`: longer than people wait
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_DEFAULT_TIMEOUT",
        hide_env = true,
        value_name = "TIME",
        default_value = "30s"
    )]
    pub(crate) default_timeout: String,

    /// The same for a send, for which nobody waits
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_SEND_TIMEOUT",
        hide_env = true,
        value_name = "TIME",
        default_value = "24h"
    )]
    pub(crate) send_timeout: String,

    /// How long a session may be without connection before its work is given to others
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_SESSION_GRACE",
        hide_env = true,
        value_name = "TIME",
        default_value = "10s"
    )]
    pub(crate) session_grace: String,

    /// Silence after which a client is asked whether it is there; twice that closes
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_HEARTBEAT",
        hide_env = true,
        value_name = "TIME",
        default_value = "15s"
    )]
    pub(crate) heartbeat: String,

    /// Time to say hello
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_HANDSHAKE",
        hide_env = true,
        value_name = "TIME",
        default_value = "5s"
    )]
    pub(crate) handshake: String,

    /// Pause between two deliveries of one action; 0 is none
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_DISPATCH_INTERVAL",
        hide_env = true,
        value_name = "TIME",
        default_value = "0ms"
    )]
    pub(crate) dispatch_interval: String,

    /// How long running work may take to finish when the server is asked to leave
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_DRAIN_DEADLINE",
        hide_env = true,
        value_name = "TIME",
        default_value = "10s"
    )]
    pub(crate) drain_deadline: String,

    /// Connections at once; each costs a file and about 1 KiB
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_MAX_CONNECTIONS",
        hide_env = true,
        value_name = "N",
        default_value = "10000"
    )]
    pub(crate) max_connections: String,

    /// Sessions, connected or away [default: 4 × --max-connections]
    #[arg(help_heading = "Connections", long, env = "ANSWERBACK_MAX_SESSIONS", hide_env = true, value_name = "N")]
    pub(crate) max_sessions: Option<String>,

    /// Longest frame, told to clients; 1KiB to 1GiB
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_MAX_FRAME",
        hide_env = true,
        value_name = "SIZE",
        default_value = "8MiB"
    )]
    pub(crate) max_frame: String,

    /// Waiting for one client to read; beyond it the client is closed as slow
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_OUTBOX_LIMIT",
        hide_env = true,
        value_name = "SIZE",
        default_value = "64MiB"
    )]
    pub(crate) outbox_limit: String,

    /// The same for all clients together; beyond it the slow ones are closed
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_OUTBOX_MEMORY",
        hide_env = true,
        value_name = "SIZE",
        default_value = "512MiB"
    )]
    pub(crate) outbox_memory: String,

    /// Requests waiting for one action; beyond it: overloaded
    #[arg(
        help_heading = "Queues",
        long,
        env = "ANSWERBACK_MAX_QUEUE",
        hide_env = true,
        value_name = "N",
        default_value = "100000"
    )]
    pub(crate) max_queue: String,

    /// Memory of one action's requests, waiting or delivered
    #[arg(
        help_heading = "Queues",
        long,
        env = "ANSWERBACK_MAX_QUEUE_BYTES",
        hide_env = true,
        value_name = "SIZE",
        default_value = "256MiB"
    )]
    pub(crate) max_queue_bytes: String,

    /// Memory of all requests together
    #[arg(
        help_heading = "Queues",
        long,
        env = "ANSWERBACK_MAX_MEMORY",
        hide_env = true,
        value_name = "SIZE",
        default_value = "1GiB"
    )]
    pub(crate) max_memory: String,

    /// Names of actions that are served or waited for
    #[arg(
        help_heading = "Queues",
        long,
        env = "ANSWERBACK_MAX_ACTIONS",
        hide_env = true,
        value_name = "N",
        default_value = "100000"
    )]
    pub(crate) max_actions: String,

    /// Actions that one session serves
    #[arg(
        help_heading = "Queues",
        long,
        env = "ANSWERBACK_MAX_ACTIONS_PER_SESSION",
        hide_env = true,
        value_name = "N",
        default_value = "10000"
    )]
    pub(crate) max_actions_per_session: String,

    /// Subscriptions of one session
    #[arg(
        help_heading = "Queues",
        long,
        env = "ANSWERBACK_MAX_SUBSCRIPTIONS",
        hide_env = true,
        value_name = "N",
        default_value = "10000"
    )]
    pub(crate) max_subscriptions: String,

    /// Replies stored under an idempotency key
    #[arg(
        help_heading = "Replies",
        long,
        env = "ANSWERBACK_STORED_REPLIES",
        hide_env = true,
        value_name = "N",
        default_value = "100000"
    )]
    pub(crate) stored_replies: String,

    /// Memory of stored replies
    #[arg(
        help_heading = "Replies",
        long,
        env = "ANSWERBACK_STORED_REPLY_BYTES",
        hide_env = true,
        value_name = "SIZE",
        default_value = "64MiB"
    )]
    pub(crate) stored_reply_bytes: String,

    /// How long a reply is stored
    #[arg(
        help_heading = "Replies",
        long,
        env = "ANSWERBACK_STORED_REPLY_AGE",
        hide_env = true,
        value_name = "TIME",
        default_value = "1h"
    )]
    pub(crate) stored_reply_age: String,

    /// Replies kept for one session until it acknowledges them
    #[arg(
        help_heading = "Replies",
        long,
        env = "ANSWERBACK_KEPT_REPLIES",
        hide_env = true,
        value_name = "N",
        default_value = "4096"
    )]
    pub(crate) kept_replies: String,

    /// Memory of one session's kept replies
    #[arg(
        help_heading = "Replies",
        long,
        env = "ANSWERBACK_KEPT_REPLY_BYTES",
        hide_env = true,
        value_name = "SIZE",
        default_value = "4MiB"
    )]
    pub(crate) kept_reply_bytes: String,

    /// The same for all sessions
    #[arg(
        help_heading = "Replies",
        long,
        env = "ANSWERBACK_KEPT_REPLY_MEMORY",
        hide_env = true,
        value_name = "SIZE",
        default_value = "256MiB"
    )]
    pub(crate) kept_reply_memory: String,

    /// error, warn, info, debug or trace; also by part: info,answerback_server=debug
    #[arg(
        help_heading = "Log",
        long,
        env = "ANSWERBACK_LOG",
        hide_env = true,
        value_name = "FILTER",
        default_value = "info"
    )]
    pub(crate) log: String,

    /// text or json, on standard error
    #[arg(
        help_heading = "Log",
        long,
        env = "ANSWERBACK_LOG_FORMAT",
        hide_env = true,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) log_format: String,
}
