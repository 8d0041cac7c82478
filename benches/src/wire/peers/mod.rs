//! Other brokers beside ours, each started on loopback with its data in a temporary folder, each spoken to by clients as lean as ours.
//!
//! ```text
//!  nats_line  the language of NATS, shared with `durable`
//!  nats       requests and replies, an inbox for each requester
//!  gearman    jobs, with one or more grabs under way at once
//!  (redis)    lists, with a list of answers for each requester: `durable::redis`
//! ```

pub(crate) mod gearman;
pub(crate) mod nats;
pub(crate) mod nats_line;
