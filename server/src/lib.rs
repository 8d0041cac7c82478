//! The Answerback broker as a process, and as a library for programs that want it inside themselves.
//!
//! Everything that the pure core must not know is here: sockets, the clock, the data directory, the admin port. Everything
//! about a request is decided in `answerback-broker`.
//!
//! ```text
//!  clients ──► data_plane   one thread: sockets, the broker, outboxes
//!                 ▲  │
//!         Command │  │ Report          (control: a bounded channel and a waker)
//!                 │  ▼
//!  probes ───► admin        one thread: HTTP
//!
//!  disk ◄───── keepers      two threads: the journal, snapshots; see `store`
//! ```
//!
//! With the feature `embedded`, `embedded::connect_or_start` is for programs that want no set-up: one of them has the broker, all are its clients.
//!
//! ```no_run
//! use answerback_server::{Server, Settings};
//!
//! let settings = Settings { listen: ([127, 0, 0, 1], 0).into(), admin: None, ..Settings::default() };
//! let running = Server::start(settings)?;
//! println!("listening on {}", running.address());
//! running.drain(std::time::Duration::from_secs(10));
//! running.join();
//! # Ok::<(), answerback_server::StartError>(())
//! ```

mod admin;
mod control;
mod data_dir;
mod data_plane;
#[cfg(feature = "embedded")]
pub mod embedded;
mod keys;
mod metrics;
mod peers;
mod proxy;
#[cfg(test)]
mod proxy_corpus;
mod running;
mod settings;
mod stage;
mod start;
mod store;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
pub mod units;

pub use answerback_keys as key_ring;
pub use control::Report;
pub use data_dir::DataDirError;
pub use data_plane::{Counters, DialCounts, End, RoundCounts, StoreReport};
pub use keys::{KeyControl, Keys, ReloadError, Reloaded};
pub use peers::{PEERS_MAX, Peer};
pub use proxy::Believed;
pub use running::Running;
pub use settings::{Mistake, Settings};
pub use stage::Interrupt;
pub use start::{Server, StartError};
pub use store::{JournalFigures, StoreError};
pub use tls::Tls;
#[cfg(feature = "tls")]
pub use tls::TlsFiles;
