//! Settings of a broker that is just there. All processes of one address should give the same.

use super::error::Error;
use super::handle::Embedded;
use super::keeper::{Keeper, Plan, SERVER_ID, Standing};
use super::place;
use crate::keys::Keys;
use crate::settings::Settings;
use answerback::{Client, Reconnect};
use answerback_keys::{Given, RingSource};
use std::path::PathBuf;
use std::time::Duration;

/// 10 ms: on one machine a try costs little, and each one that fails is a look at the lock.
const FIRST_DELAY: Duration = Duration::from_millis(10);

/// 100 ms: the next holder is found within that time.
const LONGEST_DELAY: Duration = Duration::from_millis(100);

/// 500 ms instead of a server's 10 s: on one machine who is alive is back within a few of the pauses above, and work that died with the last holder is given to others after
/// this time.
const SESSION_GRACE: Duration = Duration::from_millis(500);

/// 30 s: time for a holder to restore a large store.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// What is told before [`connect`](Self::connect) or [`start`](Self::start).
///
/// ```no_run
/// # async fn example() -> Result<(), answerback_server::embedded::Error> {
/// use answerback_server::embedded::Builder;
///
/// let broker = Builder::new("127.0.0.1:7040").name("shop-1").data_dir("/var/lib/shop/broker").connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Builder {
    address: String,
    name: Option<String>,
    data_dir: Option<PathBuf>,
    key_file: Option<PathBuf>,
    connect_within: Duration,
    server: Settings,
}

impl Builder {
    /// For this address, `host:port`.
    pub fn new(address: impl Into<String>) -> Self {
        // An admin port of its own would be one more address to agree on. Whoever wants it has `server`.
        let mut server = Settings { admin: None, ..Settings::default() };
        server.broker.session_grace = SESSION_GRACE;
        let (address, connect_within) = (address.into(), CONNECT_WITHIN);
        Self { address, name: None, data_dir: None, key_file: None, connect_within, server }
    }

    /// The client's name. Default: the program's name and process id.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The directory of the broker's data and of the lock, the same for all processes. Default: a folder named after the address in `answerback/just-there`, below
    /// `$XDG_STATE_HOME` or `~/.local/state`.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// How often the broker and its clients show each other that they live, if it is started here. Default 15 s; the system tells the end of a process at once.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.server.broker.heartbeat = heartbeat;
        self
    }

    /// A key file, as `answerback keygen` makes it: for the client here, and for the broker if it is started here.
    #[must_use]
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key_file = Some(path.into());
        self
    }

    /// How long [`connect`](Self::connect) may take. Default 30 s.
    #[must_use]
    pub fn connect_within(mut self, time: Duration) -> Self {
        self.connect_within = time;
        self
    }

    /// Changes other settings of a broker that is started here. Its address, directory and keys are said to this builder.
    ///
    /// ```
    /// use answerback_server::embedded::Builder;
    /// let builder = Builder::new("127.0.0.1:7040").server(|settings| settings.broker.durable_actions.push("billing.>".into()));
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn server(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.server);
        self
    }

    /// Waits until there is a connection, to a broker that was there or to one that was started here.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), answerback_server::embedded::Error> {
    /// let broker = answerback_server::embedded::Builder::new("127.0.0.1:7040").connect().await?;
    /// println!("epoch {:?}", broker.epoch());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(self) -> Result<Embedded, Error> {
        let (within, address) = (self.connect_within, self.address.clone());
        let embedded = self.start().await?;
        match tokio::time::timeout(within, embedded.connected()).await {
            Ok(connected) => connected.map(|()| embedded),
            Err(_elapsed) => Err(Error::Late(format!(
                "no connection to {} within {within:?}: the client is {:?}; connect_within gives it longer",
                address.escape_debug(),
                embedded.state()
            ))),
        }
    }

    /// Returns at once, and connects or starts in the background; what is sent meanwhile waits, and goes out when there is a connection.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = answerback_server::embedded::Builder::new("127.0.0.1:7040").start().await?;
    /// broker.publish("shop.open", "at nine").await?; // arrives once there is a broker
    /// # Ok(())
    /// # }
    /// ```
    pub async fn start(self) -> Result<Embedded, Error> {
        let listen = place::listen_at(&self.address).await;
        let mut client = Client::builder(self.address.clone());
        if let Some(name) = self.name {
            client = client.name(name);
        }
        if let Some(path) = &self.key_file {
            client = client.key_file(path);
        }
        if listen.is_ok() {
            client = client.reconnect(Reconnect::default().first_delay(FIRST_DELAY).longest_delay(LONGEST_DELAY));
        }
        let settings = match listen {
            Ok(listen) => {
                let given = self.data_dir.map_or_else(|| place::data_dir(listen, |name| std::env::var_os(name)), Ok);
                let keys = self.key_file.map(keys_of).transpose()?.flatten();
                let mut settings = Settings { listen, data_dir: given?, keys, ..self.server };
                settings.broker.server = SERVER_ID.to_owned();
                Ok(settings)
            }
            Err(why) => {
                tracing::info!(address = %self.address.escape_debug(), "only a client, and no broker is started here: {why}");
                Err(why)
            }
        };
        let client = client.start().map_err(Error::Client)?;
        let (keeper, keep, standing) = Keeper::new(Plan { address: self.address, settings }, client.watch());
        Ok(Embedded::new(client, keep, standing, tokio::spawn(keeper.run())))
    }
}

/// The broker has the one key, and whoever has it may do everything.
fn keys_of(path: PathBuf) -> Result<Option<Keys>, Error> {
    let given = Given { key_file_flag: Some(path), ..Given::default() };
    let source = RingSource::of(&given).map_err(|error| Error::of_key(&error))?;
    source.map(Keys::read).transpose().map_err(|error| Error::of_key(&error))
}

impl Embedded {
    async fn connected(&self) -> Result<(), Error> {
        match self.settled().await {
            Standing::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }
}
