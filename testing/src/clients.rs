//! Clients of brokers in tests.

use crate::random::Random;
use crate::simulation::{Simulation, World, connect};
use crate::test_broker::TestBroker;
use answerback::{Builder, Client, Connecting, Connector, Io};
use std::fmt;
use std::sync::Arc;

impl TestBroker {
    /// A client of this broker, to be set up further.
    ///
    /// ```
    /// # use answerback_testing::TestBroker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), answerback::Error> {
    /// let broker = TestBroker::start().await;
    /// let client = broker.builder("shop").max_calls(10).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(&self, name: &str) -> Builder {
        Client::builder(self.address()).name(name)
    }

    /// A client of this broker, connected.
    ///
    /// ```
    /// # use answerback_testing::TestBroker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), answerback::Error> {
    /// let broker = TestBroker::start().await;
    /// let (service, caller) = (broker.client("service").await, broker.client("caller").await);
    /// service.serve("math.sum", |(a, b): (i64, i64)| async move { answerback::Ok(a + b) }).await?;
    /// let sum: i64 = caller.call("math.sum", (2, 3)).await?;
    /// assert_eq!(sum, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If it cannot connect, such as to a broker that is stopped.
    pub async fn client(&self, name: &str) -> Client {
        connected(self.builder(name)).await
    }
}

impl Simulation {
    /// A client of the simulated broker, to be set up further. Its seed comes from the simulation's and from how many
    /// were made before it.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// let client = simulation.builder("shop").retry_first_connection().connect().await?;
    /// # Ok::<(), answerback::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn builder(&self, name: &str) -> Builder {
        let seed = Random::nth(self.world.seed(), self.world.next_client()).bits();
        Client::builder("simulated:7040").name(name).connector(self.connector()).seed(seed)
    }

    /// A client of the simulated broker, connected, however long that takes.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, in_virtual_time};
    /// use std::time::Duration;
    ///
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// let (service, caller) = (simulation.client("service").await, simulation.client("caller").await);
    /// service.serve("echo", |text: String| async move { answerback::Ok(text) }).await?;
    /// let echo: String = caller.call("echo", "hello").await?;
    /// assert_eq!(echo, "hello");
    /// # Ok::<(), answerback::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// If the name is not one that a client may have.
    pub async fn client(&self, name: &str) -> Client {
        connected(self.builder(name).retry_first_connection()).await
    }

    /// How clients reach the simulated broker, whatever the address. Once the simulation is gone, they are refused.
    ///
    /// ```
    /// # use answerback_testing::{Simulation, in_virtual_time};
    /// # in_virtual_time(async {
    /// let simulation = Simulation::new(7);
    /// let client = answerback::Client::builder("any").connector(simulation.connector()).seed(1).connect().await?;
    /// # Ok::<(), answerback::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn connector(&self) -> impl Connector + use<> {
        Wire(Arc::clone(&self.world))
    }
}

async fn connected(builder: Builder) -> Client {
    builder.connect().await.unwrap_or_else(|error| panic!("a client could not connect: {error}"))
}

/// Opens connections in memory.
struct Wire(Arc<World>);

impl Connector for Wire {
    fn connect(&self, _address: &str) -> Connecting {
        let world = Arc::clone(&self.0);
        Box::pin(async move { Ok(Box::new(connect(&world).await?) as Box<dyn Io>) })
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}
