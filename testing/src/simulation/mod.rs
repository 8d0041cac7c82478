//! A broker in virtual time, without sockets.
//!
//! ```text
//!  client ◄── duplex ──► line (a task) ──bytes──► World ──Input──► answerback_broker::Broker
//!             in memory    │  ▲                     │
//!                          │  └── outbox ◄── Output ┘        clock (a task): wakes the broker when something is due
//!                          └ delays, breaks                  weather (a task): restarts the broker
//! ```
//!
//! `world.rs` holds the broker and feeds it, `line.rs` is one connection, `weather.rs` says how bad the network is,
//! `history.rs` writes down what happened.
//!
//! Why the same seed gives the same history: one thread; tokio's clock stands still while anything can run and then jumps;
//! each connection draws from a generator of its own; nothing iterates a hash table.

mod history;
mod line;
mod weather;
mod world;

pub use history::History;
pub use weather::Weather;

use answerback_broker::Settings;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use world::{World, connect};

/// A broker in virtual time, and the network between it and its clients.
///
/// Use it where time is virtual: inside [`in_virtual_time`], or in a test with `#[tokio::test(start_paused = true)]`. In
/// real time it works too, but no two runs are the same. Dropping it ends everything.
///
/// ```
/// use answerback_testing::{Simulation, in_virtual_time};
///
/// let history = |seed| in_virtual_time(async move {
///     let simulation = Simulation::new(seed);
///     let _connection = simulation.connect().await;
///     simulation.restart();
///     simulation.history()
/// });
/// assert_eq!(history(7), history(7));
/// ```
#[derive(Debug)]
pub struct Simulation {
    pub(crate) world: Arc<World>,
}

/// Runs a program on one thread in virtual time: whenever nothing can run, the clock jumps to the next timer.
///
/// What the program does has to depend on nothing but its seed, if two runs shall be the same: `select!` should be
/// `biased`, hash tables should not be iterated, and names should not be random.
///
/// ```
/// use answerback_testing::in_virtual_time;
/// use std::time::Duration;
///
/// let begun = std::time::Instant::now();
/// in_virtual_time(async { tokio::time::sleep(Duration::from_secs(3_600)).await });
/// assert!(begun.elapsed() < Duration::from_secs(60), "an hour takes a moment");
/// ```
///
/// # Panics
///
/// If it is used inside an async program, or the machine has no room for a runtime.
pub fn in_virtual_time<T>(program: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap_or_else(|error| panic!("no runtime could be made: {error}")).block_on(program)
}

impl Simulation {
    /// A broker with the usual settings, and a network that is fast and sound: see [`Weather::fair`].
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// let client = simulation.client("shop").await;
    /// assert!(client.state().is_connected());
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Weather::fair(), Settings::default())
    }

    /// A broker with these settings in this weather. The secrets in the settings are made from the seed.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let settings = Simulation::settings();
    /// let simulation = Simulation::with(7, Weather::rough(), settings);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn with(seed: u64, weather: Weather, settings: Settings) -> Self {
        Self { world: World::start(seed, weather, settings) }
    }

    /// The settings of a broker that [`new`](Self::new) has, to be changed and handed to [`with`](Self::with).
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let mut settings = Simulation::settings();
    /// settings.session_grace = std::time::Duration::from_secs(1);
    /// let simulation = Simulation::with(7, Weather::fair(), settings);
    /// # });
    /// ```
    pub fn settings() -> Settings {
        Settings::default()
    }

    /// Opens a connection as a client would: bytes in memory. For clients that are not the client library.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// let stream: tokio::io::DuplexStream = simulation.connect().await?;
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` while the broker is down.
    pub async fn connect(&self) -> std::io::Result<tokio::io::DuplexStream> {
        connect(&self.world).await
    }

    /// The broker is killed and started again: everything that it held is gone, all connections end.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// let client = simulation.client("shop").await;
    /// simulation.restart();
    /// assert!(client.call::<bool>("$echo", true).attempts(2).await?, "it came back by itself");
    /// # Ok::<(), answerback::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn restart(&self) {
        self.world.stop("is killed");
        self.world.stays_away(false);
        self.world.start_broker();
    }

    /// The broker is killed. It stays away until [`restart`](Self::restart).
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// simulation.stop();
    /// assert!(simulation.connect().await.is_err());
    /// simulation.restart();
    /// assert!(simulation.connect().await.is_ok());
    /// # });
    /// ```
    pub fn stop(&self) {
        self.world.stays_away(true);
        self.world.stop("is killed");
    }

    /// Breaks all connections. Clients may come back at once.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// let client = simulation.client("shop").await;
    /// simulation.cut_all();
    /// assert!(client.call::<bool>("$echo", true).attempts(2).await?, "it came back by itself");
    /// # Ok::<(), answerback::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn cut_all(&self) {
        self.world.cut_all();
    }

    /// The broker is asked to leave, and what runs may finish within `deadline`. Returns when it has left, and says
    /// whether all work could finish. It stays away until [`restart`](Self::restart).
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// assert!(simulation.drain(std::time::Duration::from_secs(5)).await, "there was nothing to finish");
    /// # });
    /// ```
    pub async fn drain(&self, deadline: Duration) -> bool {
        world::drain(&self.world, deadline).await
    }

    /// The weather changes. Connections that are open live on under the new one.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::with(7, Weather::rough(), Simulation::settings());
    /// // … much happens, and then the test wants to see how it ends:
    /// simulation.set_weather(Weather::fair());
    /// # });
    /// ```
    pub fn set_weather(&self, weather: Weather) {
        self.world.set_weather(weather);
    }

    /// What has happened so far.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// let _client = simulation.client("shop").await;
    /// println!("{}", simulation.history());
    /// # });
    /// ```
    pub fn history(&self) -> History {
        self.world.inside().history.clone()
    }

    /// What the broker holds at the moment; nothing if it is down.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, Weather, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// let client = simulation.client("shop").await;
    /// assert_eq!(simulation.held().map(|held| (held.sessions, held.requests)), Some((1, 0)));
    /// # });
    /// ```
    pub fn held(&self) -> Option<answerback_broker::Held> {
        self.world.inside().broker.as_ref().map(answerback_broker::Broker::held)
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.world.end();
    }
}
