//! Every setting of a client: its unit, its default, and why.

use crate::client::Client;
use crate::error::Error;
use crate::link::{Connector, Reconnect, Tcp};
use crate::shared::Shared;
use answerback_protocol::limits::CLIENT_NAME_BYTES_MAX;
use answerback_protocol::names::is_sound;
use answerback_protocol::sealed::Key;
use answerback_protocol::{Code, Ran};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a client is told before it connects.
///
/// ```no_run
/// # async fn example() -> Result<(), answerback::Error> {
/// use answerback::Client;
/// use std::time::Duration;
///
/// let client = Client::builder("10.0.0.1:7040")
///     .address("10.0.0.2:7040")
///     .name("shop-1")
///     .default_timeout(Duration::from_secs(5))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
pub struct Builder {
    pub(crate) settings: Settings,
    retry_first_connection: bool,
    /// What was wrong with the key that was given last.
    key_mistake: Option<String>,
    #[cfg(feature = "tls")]
    tls: Option<crate::link::TlsOptions>,
}

/// The settings, once they are settled.
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) addresses: Vec<Arc<str>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) reconnect: Reconnect,
    pub(crate) default_timeout: Duration,
    pub(crate) max_calls: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_publish_bytes: usize,
    pub(crate) connector: Arc<dyn Connector>,
    /// Seals every connection.
    pub(crate) key: Option<Key>,
    pub(crate) seed: Option<u64>,
}

/// 10 s: a server that needs longer to say welcome is not one to wait for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// 30 s, as the server's own default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// 4,096 calls: as many answers as a server keeps for a client that is away. With more of them under way when a connection breaks, the oldest answers could be
/// lost, and those calls run again.
const MAX_CALLS: usize = 4_096;

/// 64 MiB of data of calls that wait.
const MAX_BYTES: usize = 64 << 20;

/// 1 MiB of events that wait to be written: enough for the largest writes, and little to lose.
const MAX_PUBLISH_BYTES: usize = 1 << 20;

impl Builder {
    pub(crate) fn new(address: impl Into<String>) -> Self {
        Self {
            settings: Settings {
                name: default_name().into(),
                addresses: vec![Arc::from(address.into())],
                connect_timeout: CONNECT_TIMEOUT,
                reconnect: Reconnect::default(),
                default_timeout: DEFAULT_TIMEOUT,
                max_calls: MAX_CALLS,
                max_bytes: MAX_BYTES,
                max_publish_bytes: MAX_PUBLISH_BYTES,
                connector: Arc::new(Tcp),
                key: None,
                seed: None,
            },
            retry_first_connection: false,
            key_mistake: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The client's name, which people see in lists and handlers see as the caller: 1 to 255 bytes. Several clients may have the
    /// same. Default: the program's name and process id.
    ///
    /// ```
    /// let builder = answerback::Client::builder("127.0.0.1:7040").name("billing-2");
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into().into();
        self
    }

    /// A further server, to go to when the ones before cannot be reached. A client is connected to one server at a time; to serve on two of them takes two clients.
    ///
    /// ```
    /// let builder = answerback::Client::builder("10.0.0.1:7040").address("10.0.0.2:7040");
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.settings.addresses.push(Arc::from(address.into()));
        self
    }

    /// How long the network may take to open a connection, and then the server to say welcome. Default 10 s.
    ///
    /// ```
    /// let builder = answerback::Client::builder("127.0.0.1:7040").connect_timeout(std::time::Duration::from_secs(2));
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// How the client comes back when its connection breaks. By default it does, for ever, after pauses of 50 ms to 5 s.
    ///
    /// ```
    /// use answerback::{Client, Reconnect};
    /// let builder = Client::builder("127.0.0.1:7040").reconnect(Reconnect::default().tries(20));
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.settings.reconnect = reconnect;
        self
    }

    /// Lets [`connect`](Self::connect) try the first connection as often as later ones, instead of failing at once. For services that
    /// may start before their server.
    ///
    /// ```
    /// let builder = answerback::Client::builder("127.0.0.1:7040").retry_first_connection();
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn retry_first_connection(mut self) -> Self {
        self.retry_first_connection = true;
        self
    }

    /// The timeout of calls that say none. Default 30 s.
    ///
    /// ```
    /// let builder = answerback::Client::builder("127.0.0.1:7040").default_timeout(std::time::Duration::from_secs(3));
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn default_timeout(mut self, timeout: Duration) -> Self {
        self.settings.default_timeout = timeout;
        self
    }

    /// How many calls may wait for their answers at once; one more fails as `overloaded`. Default 4,096: as many answers as a server keeps for a client
    /// whose connection broke (its `--kept-replies`). Raise both or none, or a broken connection may make a call run twice.
    ///
    /// ```
    /// let builder = answerback::Client::builder("127.0.0.1:7040").max_calls(1_000);
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn max_calls(mut self, calls: usize) -> Self {
        self.settings.max_calls = calls;
        self
    }

    /// How many bytes of data the calls that wait may have in all; one more fails as `overloaded`. Default 64 MiB.
    ///
    /// ```
    /// let builder = answerback::Client::builder("127.0.0.1:7040").max_bytes(8 << 20);
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_bytes = bytes;
        self
    }

    /// How many bytes of published events may wait to be written; a publish beyond that waits for room. Default 1 MiB.
    ///
    /// ```
    /// let builder = answerback::Client::builder("127.0.0.1:7040").max_publish_bytes(64 << 10);
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn max_publish_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_publish_bytes = bytes;
        self
    }

    /// Seals every connection with this key, which the server has too. Without a key connections are plain. The key given last holds.
    ///
    /// ```
    /// use answerback::{Client, Key, KeyId, Secret};
    ///
    /// # fn example(secret: [u8; 32]) -> Result<(), answerback::NotAKeyId> {
    /// let key = Key { id: KeyId::new("billing")?, secret: Secret::new(secret) };
    /// let builder = Client::builder("127.0.0.1:7040").key(key);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        (self.settings.key, self.key_mistake) = (Some(key), None);
        self
    }

    /// Seals every connection with the key in this file, as `answerback keygen -o FILE` makes it. The file is read now, once; what is wrong with it is told when
    /// the client is started. A file that others can read is refused.
    ///
    /// ```
    /// let builder = answerback::Client::builder("127.0.0.1:7040").key_file("/etc/answerback/billing.key");
    /// # drop(builder);
    /// ```
    #[cfg(unix)]
    #[must_use]
    pub fn key_file(self, path: impl AsRef<std::path::Path>) -> Self {
        let read = answerback_keys::read_key_file(path.as_ref());
        self.key_or_mistake(read.map(Some).map_err(|error| format!("key_file: {error}")))
    }

    /// Seals every connection with the key of this text, `abk1:billing:…`, for programs that have it from a vault. Never write it into a program.
    ///
    /// ```
    /// # fn example(of_a_vault: &str) {
    /// let builder = answerback::Client::builder("127.0.0.1:7040").key_text(of_a_vault);
    /// # }
    /// ```
    #[cfg(unix)]
    #[must_use]
    pub fn key_text(self, text: &str) -> Self {
        let read = answerback_keys::text::parse(text);
        self.key_or_mistake(read.map(Some).map_err(|error| format!("key_text: it is not a key: {error}")))
    }

    /// Seals every connection with the key that the environment gives: the path of a key file in `ANSWERBACK_KEY_FILE`, the text of a key in `ANSWERBACK_KEY`, or the
    /// systemd credential `answerback.key`. If it gives none, connections are plain, or sealed with the key that was given before.
    ///
    /// A client does this only where it is told to, so that a program is not changed by a variable that it does not know of. The tool `answerback` always does.
    ///
    /// ```
    /// let builder = answerback::Client::builder("127.0.0.1:7040").key_from_environment();
    /// # drop(builder);
    /// ```
    #[cfg(unix)]
    #[must_use]
    pub fn key_from_environment(self) -> Self {
        use answerback_keys::{Given, KeySource};
        let source = KeySource::of(&Given::by_environment(|name| std::env::var_os(name)));
        let read = source.and_then(|source| source.map(|source| source.read()).transpose());
        self.key_or_mistake(read.map_err(|error| error.to_string()))
    }

    #[cfg(unix)]
    fn key_or_mistake(mut self, read: Result<Option<Key>, String>) -> Self {
        match read {
            Ok(Some(key)) => self.key(key),
            Ok(None) => self,
            Err(mistake) => {
                self.key_mistake = Some(mistake);
                self
            }
        }
    }

    /// Opens connections over TLS. Files are read when the client is started.
    ///
    /// ```
    /// let builder = answerback::Client::builder("broker.internal:7040").tls(answerback::TlsOptions::default());
    /// # drop(builder);
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, options: crate::link::TlsOptions) -> Self {
        self.tls = Some(options);
        self
    }

    /// Another way to open connections than plain TCP.
    ///
    /// ```
    /// let builder = answerback::Client::builder("127.0.0.1:7040").connector(answerback::Tcp);
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.settings.connector = Arc::new(connector);
        self
    }

    /// Makes sessions and pauses predictable, for simulations. Never in production: who can guess a session can take it over.
    ///
    /// ```
    /// let builder = answerback::Client::builder("simulated").seed(7);
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// Connects, and waits until a server has let the client in. Fails if no address works, unless the first connection is
    /// [retried](Self::retry_first_connection).
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), answerback::Error> {
    /// let client = answerback::Client::builder("127.0.0.1:7040").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(self) -> Result<Client, Error> {
        let fail_first = !self.retry_first_connection;
        let client = self.launch(fail_first)?;
        client.shared().connected().await?;
        Ok(client)
    }

    /// Returns at once and connects in the background; calls made meanwhile wait. Must be called within a tokio runtime.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), answerback::Error> {
    /// let client = answerback::Client::builder("127.0.0.1:7040").start()?;
    /// let sum: i64 = client.call("math.sum", (2, 3)).await?; // waits for the connection
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(self) -> Result<Client, Error> {
        self.launch(false)
    }

    fn launch(mut self, fail_first: bool) -> Result<Client, Error> {
        check(&self.settings)?;
        self.settle().map_err(|mistake| Error::new(Code::BadRequest, Ran::No, mistake))?;
        Shared::launch(self.settings, fail_first)
    }

    /// What was given as a file must have been sound.
    fn settle(&mut self) -> Result<(), String> {
        #[cfg(feature = "tls")]
        if let Some(options) = &self.tls {
            self.settings.connector = Arc::new(options.connector()?);
        }
        self.key_mistake.take().map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { name, addresses, .. } = &self.settings;
        f.debug_struct("Builder").field("name", name).field("addresses", addresses).finish_non_exhaustive()
    }
}

/// Says which setting cannot be, and what it may be.
fn check(settings: &Settings) -> Result<(), Error> {
    let name = &settings.name;
    let mistake = if !is_sound(name, CLIENT_NAME_BYTES_MAX) {
        "name: a client's name is 1 to 255 bytes without control characters"
    } else if settings.addresses.iter().any(|address| address.is_empty()) {
        "address: an address is host:port, such as 127.0.0.1:7040"
    } else if settings.connect_timeout.is_zero() {
        "connect_timeout: nothing can connect in no time"
    } else if settings.default_timeout.is_zero() {
        "default_timeout: nothing is answered in no time"
    } else if settings.max_calls == 0 {
        "max_calls: without room for one call a client is of no use"
    } else {
        return Ok(());
    };
    Err(Error::new(Code::BadRequest, Ran::No, mistake))
}

fn default_name() -> String {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(|path| path.file_stem()).map(|stem| stem.to_string_lossy());
    let printable: String = program.unwrap_or("client".into()).chars().filter(|c| !c.is_control()).take(40).collect();
    format!("{printable}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_the_settings_is_told_by_its_name() {
        let rows: [(Builder, &str); 6] = [
            (Builder::new("a:1").name(""), "name:"),
            (Builder::new("a:1").name("a\nb"), "name:"),
            (Builder::new(""), "address:"),
            (Builder::new("a:1").connect_timeout(Duration::ZERO), "connect_timeout:"),
            (Builder::new("a:1").default_timeout(Duration::ZERO), "default_timeout:"),
            (Builder::new("a:1").max_calls(0), "max_calls:"),
        ];
        for (builder, setting) in rows {
            let error = check(&builder.settings).unwrap_err();
            assert!(error.message().starts_with(setting), "{error}");
        }
        check(&Builder::new("a:1").settings).unwrap();
    }
}
