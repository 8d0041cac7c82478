//! For tests of services that use Answerback.
//!
//! | what | for |
//! |---|---|
//! | [`TestBroker`] | a real broker in the test's own process, on a free port, gone at the end |
//! | [`Proxy`] | a bad network between clients and a broker: cuts, delays, half-closes, chosen by a seed or by hand |
//! | [`Simulation`] | a broker and a network without sockets, in virtual time: hours in a moment, the same again by its seed |
//!
//! A service in a test of its own:
//!
//! ```
//! use answerback_testing::TestBroker;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), answerback::Error> {
//! let broker = TestBroker::start().await;
//! let service = broker.client("greeter").await;
//! service.serve("greet", |name: String| async move { answerback::Ok(format!("hello {name}")) }).await?;
//!
//! let greeting: String = broker.client("test").await.call("greet", "Ada").await?;
//! assert_eq!(greeting, "hello Ada");
//! # Ok(())
//! # }
//! ```
//!
//! Things here panic when the machine refuses them a port or a thread: a test could not go on anyway.

mod clients;
mod place;
mod proxy;
mod random;
mod simulation;
mod test_broker;

pub use answerback_broker::Settings as BrokerSettings;
pub use answerback_server::{Keys, Reloaded, Settings, key_ring};
pub use proxy::{Ending, Fault, Faults, Proxy, Way};
pub use simulation::{History, Simulation, Weather, in_virtual_time};
pub use test_broker::TestBroker;
