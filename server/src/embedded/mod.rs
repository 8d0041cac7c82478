//! A broker that is just there: one of the processes on a machine has it, all are its clients, and when that one ends another takes over.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = answerback_server::embedded::connect_or_start("127.0.0.1:7040").await?;
//! let sum: i64 = broker.call("math.sum", (2, 3)).await?; // it is a `Client`
//! broker.leave().await;
//! # Ok(())
//! # }
//! ```
//!
//! It is for development, and for small deployments on one machine. To grow out of it, end these processes, start `answerback-server` at the same address, and start them
//! again as they are: what answers at the address is used, and nothing is started.
//!
//! ```text
//!                      somebody answers: a client of theirs
//!            ┌────────────────────────────────────────────────────────────┐
//!            ▼                                                            │
//!        WATCHING ── nobody takes connections, and the lock is free ──► HOLDING: epoch + 1, bind, restore, listen
//!            ▲                                                            │
//!            └──── its server has failed, or its lock file is not the one that others find ◄┘
//! ```
//!
//! * **Who holds it** is decided by the operating system's lock on the data directory and by nothing else: no vote, and no timer alone. It is free the moment its holder is
//!   gone, however that went; it stays taken while the holder lives, also when it hangs. So a running broker is never fenced out, and there are never two.
//! * **The epoch** in the lock's file grows with each holder, and is on disk before anybody is served. `holding the broker, epoch N` is in the log.
//! * **What is kept** is kept as by every server: durable requests are there after a take-over, sessions are resumed, and calls that are under way are answered. A session waits
//!   half a second for its process, instead of ten: on one machine who is alive is back by then, and the work of one that died goes to others where `attempts` allow.
//! * **What is sent before there is a connection waits in the client**: calls, sends, subscriptions and events alike. An event goes to those who subscribe when it arrives.
//! * **Only loopback.** At an address that others can reach nothing is started; the process is a client there.
//! * **Something else at the address** (HTTP, a server that wants another key, one of a version that we do not speak) is an error that says so. Nothing is started beside it.
//! * **A server of its own** (`answerback-server`) that has answered once is waited for when it goes away: it is being restarted, and its place is not taken.
//! * **A lock file that was removed or replaced** can be taken by others. Its holder looks each second; it then hands over, says so in the log, and goes on as a client. Until it has
//!   saved everything it keeps the address, so nobody who has the new file starts before. The count of epochs begins again with a new file.
//!
//! `builder.rs` has the settings, `keeper.rs` is the task that watches, `holding.rs` what it does with the lock, `place.rs` says where.

mod builder;
mod error;
mod handle;
mod holding;
mod keeper;
mod place;

pub use builder::Builder;
pub use error::Error;
pub use handle::{Embedded, EpochWatch};

/// Connects to the broker at this address, or starts one in this process if there is none, and is a client of it either way.
///
/// All processes that give the same address find each other. [`Builder`] says more: where data is kept, the client's name, a key.
///
/// ```no_run
/// # async fn example() -> Result<(), answerback_server::embedded::Error> {
/// let broker = answerback_server::embedded::connect_or_start("127.0.0.1:7040").await?;
/// # Ok(())
/// # }
/// ```
pub async fn connect_or_start(address: impl Into<String>) -> Result<Embedded, Error> {
    Builder::new(address).connect().await
}
