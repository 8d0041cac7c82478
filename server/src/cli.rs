//! The command line: every flag with its help, and an environment variable for each. Values are raw text here; what they
//! mean is found out in `given`, so that all mistakes can be told at once. Each help fits into one line of 100 columns.
//! The variables of the flags about keys are read in `given` too, because clients have the same ones.

use clap::Parser;
use clap::builder::FalseyValueParser;
use std::path::PathBuf;

const ABOUT: &str = "Answerback: ask by name, and always get an answer back";

const AFTER: &str = "\
Each flag is also an environment variable: --max-frame is ANSWERBACK_MAX_FRAME. The flag wins.
Sizes are bytes, or KiB, MiB, GiB: 8MiB. Times have a unit, ms, s, m, h or d: 250ms.
Port 0 takes a free port. What is beyond a limit of queues is told `overloaded` at once.

Signals:     SIGTERM and SIGINT drain; a second one ends at once; SIGHUP reads keys and TLS again
Exit codes:  0 drained, 1 runtime, 2 usage, 5 drain deadline passed, 78 bad settings";

/// What was typed, or said by the environment.
#[derive(Debug, Parser)]
#[command(name = "answerback-server", version, about = ABOUT, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    /// For clients; beyond loopback it needs keys
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_LISTEN",
        hide_env = true,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:7040"
    )]
    pub(crate) listen: String,

    /// For probes: /readyz, /metrics; or off
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_ADMIN",
        hide_env = true,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:7041"
    )]
    pub(crate) admin: String,

    /// Directory of this server alone
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

    /// Balancers say by PROXY v2 who their clients are
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_PROXY_PROTOCOL",
        hide_env = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(crate) proxy_protocol: bool,

    /// Balancers whose word is believed: 127.0.0.1 or 10.0.0.0/8
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_PROXY_FROM",
        hide_env = true,
        value_name = "IP",
        value_delimiter = ','
    )]
    pub(crate) proxy_from: Vec<String>,

    /// Another server, told to clients on leaving; may be repeated
    #[arg(
        help_heading = "Where",
        long,
        env = "ANSWERBACK_ELSEWHERE",
        hide_env = true,
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) elsewhere: Vec<String>,

    /// Another server to be linked with; may be repeated
    #[arg(
        help_heading = "Peers",
        long,
        env = "ANSWERBACK_PEER",
        hide_env = true,
        value_name = "HOST:PORT[,key-file=FILE]",
        value_delimiter = ','
    )]
    pub(crate) peer: Vec<String>,

    /// The key for links [default: the one of --key-file]
    #[arg(help_heading = "Peers", long, env = "ANSWERBACK_PEER_KEY_FILE", hide_env = true, value_name = "FILE")]
    pub(crate) peer_key_file: Option<PathBuf>,

    /// Servers that a request may come through; 1 to 8
    #[arg(
        help_heading = "Peers",
        long,
        env = "ANSWERBACK_MAX_HOPS",
        hide_env = true,
        value_name = "N",
        default_value = "3"
    )]
    pub(crate) max_hops: String,

    /// One key for all clients, made by answerback keygen
    #[arg(help_heading = "Keys", long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// Many keys, and what their holders may do
    #[arg(help_heading = "Keys", long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,

    /// Speak TLS 1.3 too, with this certificate (PEM)
    #[cfg(feature = "tls")]
    #[arg(help_heading = "TLS", long, env = "ANSWERBACK_TLS_CERTIFICATE", hide_env = true, value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// Its private key (PEM)
    #[cfg(feature = "tls")]
    #[arg(help_heading = "TLS", long, env = "ANSWERBACK_TLS_KEY", hide_env = true, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Who signs certificates of clients (PEM)
    #[cfg(feature = "tls")]
    #[arg(help_heading = "TLS", long, env = "ANSWERBACK_TLS_CLIENT_CA", hide_env = true, value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// For calls that say none; longer than people wait
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_DEFAULT_TIMEOUT",
        hide_env = true,
        value_name = "TIME",
        default_value = "30s"
    )]
    pub(crate) default_timeout: String,

    /// For sends that say none; nobody waits for them
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_SEND_TIMEOUT",
        hide_env = true,
        value_name = "TIME",
        default_value = "24h"
    )]
    pub(crate) send_timeout: String,

    /// For clients to come back, also after a restart
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_SESSION_GRACE",
        hide_env = true,
        value_name = "TIME",
        default_value = "10s"
    )]
    pub(crate) session_grace: String,

    /// Silence before a client is asked; twice that closes
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_HEARTBEAT",
        hide_env = true,
        value_name = "TIME",
        default_value = "15s"
    )]
    pub(crate) heartbeat: String,

    /// For a client to say hello
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_HANDSHAKE",
        hide_env = true,
        value_name = "TIME",
        default_value = "5s"
    )]
    pub(crate) handshake: String,

    /// Pause between two deliveries of one action
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_DISPATCH_INTERVAL",
        hide_env = true,
        value_name = "TIME",
        default_value = "0ms"
    )]
    pub(crate) dispatch_interval: String,

    /// For running work to finish after SIGTERM
    #[arg(
        help_heading = "Times",
        long,
        env = "ANSWERBACK_DRAIN_DEADLINE",
        hide_env = true,
        value_name = "TIME",
        default_value = "10s"
    )]
    pub(crate) drain_deadline: String,

    /// Open at once; each costs a file and about 1 KiB
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_MAX_CONNECTIONS",
        hide_env = true,
        value_name = "N",
        default_value = "10000"
    )]
    pub(crate) max_connections: String,

    /// Connected or away [default: 4 × --max-connections]
    #[arg(help_heading = "Connections", long, env = "ANSWERBACK_MAX_SESSIONS", hide_env = true, value_name = "N")]
    pub(crate) max_sessions: Option<String>,

    /// Longest frame a client may send; 1KiB to 1GiB
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_MAX_FRAME",
        hide_env = true,
        value_name = "SIZE",
        default_value = "8MiB"
    )]
    pub(crate) max_frame: String,

    /// Unread by one client before it is closed as slow
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_OUTBOX_LIMIT",
        hide_env = true,
        value_name = "SIZE",
        default_value = "64MiB"
    )]
    pub(crate) outbox_limit: String,

    /// Unread by all clients before slow ones are closed
    #[arg(
        help_heading = "Connections",
        long,
        env = "ANSWERBACK_OUTBOX_MEMORY",
        hide_env = true,
        value_name = "SIZE",
        default_value = "512MiB"
    )]
    pub(crate) outbox_memory: String,

    /// Requests that wait for one action
    #[arg(
        help_heading = "Queues",
        long,
        env = "ANSWERBACK_MAX_QUEUE",
        hide_env = true,
        value_name = "N",
        default_value = "100000"
    )]
    pub(crate) max_queue: String,

    /// Memory of one action's requests
    #[arg(
        help_heading = "Queues",
        long,
        env = "ANSWERBACK_MAX_QUEUE_BYTES",
        hide_env = true,
        value_name = "SIZE",
        default_value = "256MiB"
    )]
    pub(crate) max_queue_bytes: String,

    /// Memory of all requests
    #[arg(
        help_heading = "Queues",
        long,
        env = "ANSWERBACK_MAX_MEMORY",
        hide_env = true,
        value_name = "SIZE",
        default_value = "1GiB"
    )]
    pub(crate) max_memory: String,

    /// Actions that are served or waited for
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

    /// Stored under an idempotency key
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

    /// Kept for one session until it acknowledges them
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

    /// Memory of all sessions' kept replies
    #[arg(
        help_heading = "Replies",
        long,
        env = "ANSWERBACK_KEPT_REPLY_MEMORY",
        hide_env = true,
        value_name = "SIZE",
        default_value = "256MiB"
    )]
    pub(crate) kept_reply_memory: String,

    /// Between two snapshots; 0: only when it leaves
    #[arg(
        help_heading = "Store",
        long,
        env = "ANSWERBACK_SNAPSHOT_INTERVAL",
        hide_env = true,
        value_name = "TIME",
        default_value = "1s"
    )]
    pub(crate) snapshot_interval: String,

    /// Always on disk before accepted: billing.>, or > for all
    #[arg(
        help_heading = "Store",
        long,
        env = "ANSWERBACK_DURABLE_ACTIONS",
        hide_env = true,
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    pub(crate) durable_actions: Vec<String>,

    /// A sync that takes longer is a failing disk
    #[arg(
        help_heading = "Store",
        long,
        env = "ANSWERBACK_SYNC_PATIENCE",
        hide_env = true,
        value_name = "TIME",
        default_value = "5s"
    )]
    pub(crate) sync_patience: String,

    /// One file of it; goes when all in it is done
    #[arg(
        help_heading = "Store",
        long,
        env = "ANSWERBACK_JOURNAL_SEGMENT",
        hide_env = true,
        value_name = "SIZE",
        default_value = "64MiB"
    )]
    pub(crate) journal_segment: String,

    /// Do not start if anything in the store is damaged
    #[arg(
        help_heading = "Store",
        long,
        env = "ANSWERBACK_STRICT_STORE",
        hide_env = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(crate) strict_store: bool,

    /// Open at once from one address or IPv6 /64; 0: any
    #[arg(
        help_heading = "Limits",
        long,
        env = "ANSWERBACK_MAX_CONNECTIONS_PER_ADDRESS",
        hide_env = true,
        value_name = "N",
        default_value = "0"
    )]
    pub(crate) max_connections_per_address: String,

    /// New ones in all; twice that in a burst; 0: any
    #[arg(
        help_heading = "Limits",
        long,
        env = "ANSWERBACK_HANDSHAKES_PER_SECOND",
        hide_env = true,
        value_name = "N",
        default_value = "5000"
    )]
    pub(crate) handshakes_per_second: String,

    /// The same from one address or IPv6 /64; 0: any
    #[arg(
        help_heading = "Limits",
        long,
        env = "ANSWERBACK_HANDSHAKES_PER_ADDRESS",
        hide_env = true,
        value_name = "N",
        default_value = "0"
    )]
    pub(crate) handshakes_per_address: String,

    /// Longest pause for who keeps failing to say hello
    #[arg(
        help_heading = "Limits",
        long,
        env = "ANSWERBACK_STRANGER_REST",
        hide_env = true,
        value_name = "TIME",
        default_value = "5s"
    )]
    pub(crate) stranger_rest: String,

    /// From one client before it has to wait; 0: any
    #[arg(
        help_heading = "Limits",
        long,
        env = "ANSWERBACK_FRAMES_PER_SECOND",
        hide_env = true,
        value_name = "N",
        default_value = "0"
    )]
    pub(crate) frames_per_second: String,

    /// The same in bytes; 0: any
    #[arg(
        help_heading = "Limits",
        long,
        env = "ANSWERBACK_BYTES_PER_SECOND",
        hide_env = true,
        value_name = "SIZE",
        default_value = "0"
    )]
    pub(crate) bytes_per_second: String,

    /// Frames half received, of all clients
    #[arg(
        help_heading = "Limits",
        long,
        env = "ANSWERBACK_INBOX_MEMORY",
        hide_env = true,
        value_name = "SIZE",
        default_value = "256MiB"
    )]
    pub(crate) inbox_memory: String,

    /// Actions that all sessions serve, counted for each
    #[arg(
        help_heading = "Limits",
        long,
        env = "ANSWERBACK_MAX_HANDLERS",
        hide_env = true,
        value_name = "N",
        default_value = "1000000"
    )]
    pub(crate) max_handlers: String,

    /// Subscriptions of all sessions
    #[arg(
        help_heading = "Limits",
        long,
        env = "ANSWERBACK_MAX_SUBSCRIPTIONS_IN_ALL",
        hide_env = true,
        value_name = "N",
        default_value = "1000000"
    )]
    pub(crate) max_subscriptions_in_all: String,

    /// From error to trace, or a list: info,mio=warn
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
