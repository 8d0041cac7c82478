//! What a broker is told when it is made: its name, its secrets, its limits. Each limit has a unit, a default and a
//! reason; the flag of the same name is in the server's `settings`.

use answerback_protocol::NodeId;
use siphasher::sip::SipHasher13;
use std::time::Duration;

/// Settings of a broker. `Settings::default()` is what a server runs with when nothing is said.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's name, told in `welcome`.
    pub server: String,
    /// Keys for hashes. The core is never random by itself.
    pub secrets: Secrets,
    /// Whether a store keeps what this broker holds. Without one durable requests are refused as `unavailable`.
    pub has_store: bool,
    /// Requests for actions that match one of these patterns (like those of topics) are durable, whether or not they say so.
    pub durable_actions: Vec<String>,
    /// The number of the first item given to the store: greater than all that it holds.
    pub first_item: u64,
    /// The longest that a call may take when it does not say `timeout`. 30 s: longer than people wait.
    pub default_timeout: Duration,
    /// The same for a send, for which nobody waits. 24 h: a handler may be away for a night.
    pub send_timeout: Duration,
    /// How long a session is kept after its connection broke. 10 s: longer than a reconnect, and short enough that work
    /// lost with a handler is soon given to another.
    pub session_grace: Duration,
    /// Silence after which a connection is asked whether it is there; after twice that it is closed. 15 s.
    pub heartbeat: Duration,
    /// How long a connection may take to say hello. 5 s.
    pub handshake: Duration,
    /// A pause between two deliveries of one action. None by default.
    pub dispatch_interval: Duration,
    /// The most that the first length of a frame may say, in bytes.
    pub max_frame: u32,
    /// The numbers that keep memory bounded.
    pub limits: Limits,
    /// Which server this is among those that are linked. The shell makes it of the key of delivery ids, so that it stays over restarts.
    pub node: NodeId,
    /// Servers that a request may come through on its way to a handler: 3 is what a chain of small meshes needs, and each one more makes rumours of
    /// handlers that have gone live longer. At most [`HOPS_MAX`](answerback_protocol::limits::HOPS_MAX).
    pub max_hops: usize,
    /// Addresses of other servers, told when this one leaves.
    pub elsewhere: Vec<String>,
}

/// Keys for hashes, made by the shell. `Debug` does not show them.
#[derive(Clone)]
pub struct Secrets {
    /// Key of the hash that makes delivery ids. Kept in the data directory, so that a restarted server knows them again.
    pub delivery: [u8; 16],
    /// Seed of the tables whose keys are chosen by clients, so that nobody can aim for collisions.
    pub tables: u64,
}

/// How much a broker holds at most.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests waiting in the queue of one action.
    pub requests_per_action: usize,
    /// Bytes held for one action, waiting or delivered. Each request counts its data and [`REQUEST_OVERHEAD_BYTES`].
    pub bytes_per_action: usize,
    /// Bytes held for all actions.
    pub bytes_in_all: usize,
    /// Names of actions that exist at once, because somebody serves them or a request waits.
    pub actions: usize,
    /// Actions that one session serves.
    pub actions_per_session: usize,
    /// Subscriptions of one session.
    pub subscriptions_per_session: usize,
    /// The sum of what all sessions serve: an action counts once for each session that serves it.
    pub handlers: usize,
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Sessions, connected or away.
    pub sessions: usize,
    /// Replies stored under an idempotency key.
    pub stored_replies: usize,
    /// Bytes of those replies.
    pub stored_reply_bytes: usize,
    /// How long such a reply is stored.
    pub stored_reply_age: Duration,
    /// Replies kept for one session until the client acknowledges them.
    pub kept_replies_per_session: usize,
    /// Bytes of those replies.
    pub kept_reply_bytes_per_session: usize,
    /// Bytes of those replies for all sessions.
    pub kept_reply_bytes_in_all: usize,
}

/// What a request costs against the byte limits besides its data: about what its record, its timer and its places in the
/// tables take.
pub const REQUEST_OVERHEAD_BYTES: usize = 256;

impl Secrets {
    /// The server that has these keys, among those that are linked. It tells nothing of them.
    pub fn node(&self) -> NodeId {
        NodeId::truncated(SipHasher13::new_with_key(&self.delivery).hash(b"node"))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: "server1".to_owned(),
            secrets: Secrets { delivery: [0; 16], tables: 0 },
            has_store: false,
            durable_actions: Vec::new(),
            first_item: 1,
            default_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(24 * 3_600),
            session_grace: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            handshake: Duration::from_millis(answerback_protocol::limits::HANDSHAKE_MS),
            dispatch_interval: Duration::ZERO,
            max_frame: answerback_protocol::limits::FRAME_BYTES_DEFAULT,
            limits: Limits::default(),
            node: NodeId::truncated(0),
            max_hops: 3,
            elsewhere: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_action: 100_000,
            bytes_per_action: 256 << 20,
            bytes_in_all: 1 << 30,
            actions: 100_000,
            actions_per_session: 10_000,
            subscriptions_per_session: 10_000,
            handlers: 1_000_000,
            subscriptions: 1_000_000,
            sessions: 40_000,
            stored_replies: 100_000,
            stored_reply_bytes: 64 << 20,
            stored_reply_age: Duration::from_secs(3_600),
            kept_replies_per_session: answerback_protocol::limits::KEPT_REPLIES_MAX,
            kept_reply_bytes_per_session: answerback_protocol::limits::KEPT_REPLY_BYTES_MAX,
            kept_reply_bytes_in_all: 256 << 20,
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}
