//! Call and serve named actions through an Answerback broker.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), answerback::Error> {
//! let client = answerback::connect("127.0.0.1:7040").await?;
//!
//! // A service.
//! client.serve("math.sum", |(a, b): (i64, i64)| async move { answerback::Ok(a + b) }).await?;
//!
//! // A call.
//! let sum: i64 = client.call("math.sum", (2, 3)).timeout(Duration::from_secs(1)).await?;
//! assert_eq!(sum, 5);
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Every call ends in exactly one answer: what its handler returned, or an [`Error`] that says whether the work ran. The broker queues a call until a
//! handler is free, and bounds it by its timeout. Whoever drops the future of a call cancels it, at the broker and at the handler.
//!
//! * [`Client`] is the handle; [`Builder`] has the settings.
//! * [`Call`], [`Send`] and [`Broadcast`] are what can be asked; each has a method for everything that may be said about it.
//! * [`Handler`]s are async functions; [`Context`] tells them about the call, [`Fault`] is their error.
//! * [`State`] says how the connection is. A broken connection, or a server that is started again, is a delay and nothing else, for as long as the client
//!   comes back within the server's grace time.
//!
//! # How to
//!
//! | | |
//! |---|---|
//! | say how long a call may take | [`Call::timeout`], [`Call::ttl`] |
//! | run it once only, whatever happens | [`Call::key`]; it runs at most once anyway, unless [`Call::attempts`] allow more |
//! | cancel a call | drop its future |
//! | serve with several arguments, or none | `\|(a, b): (i64, i64)\|`, `\|(): ()\|` |
//! | know who calls, and how much time is left | take a [`Context`] first |
//! | answer with an error of one's own | `impl From<MyError> for` [`Fault`] |
//! | make calls within a handler | [`Context::call`] |
//! | answer in parts | [`Context::part`], [`Call::stream`] |
//! | limit how much is done at once, or how often | [`Serve::concurrency`], [`Serve::pace`] |
//! | ask all handlers | [`Client::broadcast`] |
//! | publish events, and hear of them | [`Client::publish`], [`Client::subscribe`], or an [`Emitter`] with listeners |
//! | publish to one client | [`Client::to`] |
//! | start before the server does | [`Builder::retry_first_connection`], [`Builder::start`] |
//! | connect with a key, so that nobody on the way reads or changes anything | [`Builder::key_file`], [`Builder::key_from_environment`], [`Builder::key`] |
//! | connect over TLS | [`Builder::tls`], with the feature `tls` |
//! | know why there is no connection | [`Error::obstacle`] |
//! | know several servers | [`Builder::address`]: one connection at a time |
//! | end a service on SIGTERM | `client.run_until_signal(deadline)`, with the feature `signals` |
//! | leave in order | [`Client::drain`]; at once: [`Client::close`]. At the end of `main` one of them, or the server waits for the client for its grace time |
//! | test a service | the crate `answerback-testing`: a broker in the test, a bad network, virtual time |
//!
//! # Keys
//!
//! A server that others than its own machine can reach wants a key of each client; `answerback keygen billing -o billing.key` makes one. With it a connection is sealed: both ends
//! show that they have the key before anything is said, and what is said nobody else reads, changes or repeats. The server knows the holder of the key, and what it may do.
//!
//! ```
//! use answerback::{Client, Obstacle};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let builder = Client::builder("127.0.0.1:7040").key_file("/etc/answerback/billing.key");
//! match builder.connect().await {
//!     Ok(client) => client.close().await,
//!     Err(error) if error.obstacle() == Some(Obstacle::KeyRefused) => eprintln!("not the key of this server: {error}"),
//!     Err(error) => eprintln!("{error}"), // no such file, say, and what to do about it
//! }
//! # }
//! ```
//!
//! Key files have a mode that keeps others away, so they are known on Unix only; [`Builder::key`] is there everywhere. A key that the server refuses is tried again after
//! pauses that grow: it may be on its way to the server.
//!
//! # Features
//!
//! None is on by default. `tls`: `Builder::tls`. `signals`: `Client::run_until_signal` (Unix). `anyhow`: `?` on an `anyhow::Error` in handlers.
//!
//! # How it is built
//!
//! ```text
//!  Client, Call, Context        handles; they lock, ask the session, and wake the link
//!        │
//!     Session                   pure: what is said and heard, kept, announced again (`session`)
//!        │
//!      link                     one task that owns the socket: reads, lets the session decide, writes once (`link`)
//! ```

mod ask;
mod bell;
mod builder;
mod client;
mod dice;
mod error;
mod events;
mod fault;
mod leave;
mod link;
mod obstacle;
mod raw;
mod serve;
mod session;
mod shared;
#[cfg(all(feature = "signals", unix))]
mod signals;
mod state;

pub use answerback_protocol::sealed::{Key, KeyId, NotAKeyId, Secret};
pub use answerback_protocol::{Code, Ran};
pub use ask::{
    Answer, Broadcast, Call, CallFuture, CallWithInfo, Gathered, InfoFuture, Parts, Replies, Send, SendFuture, Tagged,
};
pub use builder::Builder;
pub use client::{Client, connect};
pub use error::Error;
pub use events::{Emitter, Event, Listener, Publish, PublishFuture, Subscribe, Subscription, To};
pub use fault::Fault;
pub use leave::Drained;
#[cfg(feature = "tls")]
pub use link::TlsOptions;
pub use link::{Connecting, Connector, Io, Reconnect, Tcp};
pub use obstacle::Obstacle;
pub use raw::Raw;
pub use serve::{Context, Handler, Serve, Service};
pub use session::words::{Counts, Info};
pub use state::{State, StateWatch};

/// `Ok` whose error is a [`Fault`]: for closures in which nothing else decides the type of the error.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// client.serve("echo", |text: String| async move { answerback::Ok(text) }).await?;
/// # Ok(())
/// # }
/// ```
#[allow(non_snake_case, reason = "it stands where `Ok` would stand")]
pub fn Ok<T>(value: T) -> Result<T, Fault> {
    Result::Ok(value)
}
