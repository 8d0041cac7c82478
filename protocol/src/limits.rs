//! Every number of the wire that two ends must agree on, each with its unit and its reason.

/// Bytes of a frame's first field, the length of what follows.
pub const LENGTH_BYTES: usize = 4;

/// Bytes of a frame's second field, the length of the head.
pub const HEAD_LENGTH_BYTES: usize = 2;

/// Bytes in front of every head: both lengths.
pub const PREFIX_BYTES: usize = LENGTH_BYTES + HEAD_LENGTH_BYTES;

/// A head is at most this many bytes. A head holds names and numbers only; the longest one a client needs is a request
/// with the longest action, key and trace, escaped, and that is below 4 KiB.
pub const HEAD_BYTES_MAX: usize = 4096;

/// The default limit of the first length, in bytes. Told to the client in `welcome`.
pub const FRAME_BYTES_DEFAULT: u32 = 8 << 20;

/// The smallest limit that can be set: below it not even every head would fit beside a little data.
pub const FRAME_BYTES_LEAST: u32 = 1 << 10;

/// The largest limit that can be set.
pub const FRAME_BYTES_MOST: u32 = 1 << 30;

/// A frame from the server may be longer than the limit by this many bytes, because the broker replaces the sender's
/// head by its own: whoever may send a payload can be sure that it also fits on the way out.
pub const SERVER_EXTRA_BYTES: u32 = HEAD_BYTES_MAX as u32 + HEAD_LENGTH_BYTES as u32;

/// Objects and arrays may be nested this deep in a head, the head itself counted as the first.
pub const DEPTH_MAX: usize = 4;

/// Members one object in a head may have. Twins are looked for among all of them, so their number must be small.
pub const MEMBERS_MAX: usize = 32;

/// Ids are integers below 2^53, so that every language with JSON numbers can hold them.
pub const ID_END: u64 = 1 << 53;

/// Bytes of the name of an action or topic.
pub const NAME_BYTES_MAX: usize = 255;

/// Tokens of a topic or pattern. Each costs a step of every look-up, and a node of the tree of subscriptions.
pub const TOKENS_MAX: usize = 16;

/// Bytes of a client's name and of its `agent`.
pub const CLIENT_NAME_BYTES_MAX: usize = 255;

/// Bytes of an idempotency key.
pub const KEY_BYTES_MAX: usize = 255;

/// Bytes of `trace`. A W3C `traceparent` has 55; later versions of it may be longer.
pub const TRACE_BYTES_MAX: usize = 255;

/// Bytes of a fault's code.
pub const FAULT_CODE_BYTES_MAX: usize = 255;

/// Bytes of the text of an error or fault. A longer one is cut at a character when the broker passes it on.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// The most deliveries one handler may be working on for one action.
pub const CREDIT_MAX: u32 = 65_535;

/// The most handlers that may be given one request, one after another.
pub const ATTEMPTS_MAX: u32 = 1_000;

/// Servers that a request may come through, and that may lie on the way to a handler.
pub const HOPS_MAX: usize = 8;

/// Servers that an event can say to have it. With more servers around one, some hear of it twice and pass over the second.
pub const BEEN_MAX: usize = 32;

/// The longest duration that is told apart, in milliseconds: a longer one is taken as this. 365 days.
pub const WAIT_MS_MAX: u64 = 365 * 24 * 3_600_000;

/// Delivery ids one `resume` can name; who holds more sends several, all but the last with `more:true`.
pub const HOLDING_MAX: usize = 200;

/// Addresses one `goaway` can name.
pub const ELSEWHERE_MAX: usize = 8;

/// Acknowledge after this many `reply` frames taken in …
pub const ACK_AFTER_REPLIES: u64 = 128;

/// … or after this many bytes of them …
pub const ACK_AFTER_BYTES: u64 = 256 << 10;

/// … and at the latest this many milliseconds after the first that was not yet acknowledged.
pub const ACK_WITHIN_MS: u64 = 250;

/// Replies one side keeps for one session until they are acknowledged; the oldest go first.
pub const KEPT_REPLIES_MAX: usize = 4_096;

/// Bytes of data of those replies; the oldest go first.
pub const KEPT_REPLY_BYTES_MAX: usize = 4 << 20;

/// The protocol versions that this crate speaks, least and greatest.
pub const VERSIONS: (u32, u32) = (1, 1);

/// A connection must have said `hello` within this many milliseconds.
pub const HANDSHAKE_MS: u64 = 5_000;
