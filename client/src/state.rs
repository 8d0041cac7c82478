//! Where a client stands with its server, for programs that want to show it or act on it.

use crate::error::Error;
use std::time::Duration;
use tokio::sync::watch;

/// Where a client stands with its server.
///
/// ```
/// # async fn example(client: answerback::Client) {
/// if let answerback::State::Connected { server, .. } = client.state() {
///     println!("connected to {server}");
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum State {
    /// A connection is being opened.
    #[non_exhaustive]
    Connecting {
        /// The address that is tried.
        address: String,
    },
    /// A server has let the client in.
    #[non_exhaustive]
    Connected {
        /// The name of the server.
        server: String,
        /// Where it is.
        address: String,
        /// Whether it knew the session, so that everything goes on where it was.
        resumed: bool,
    },
    /// No server could be reached; calls wait in the client until there is one.
    #[non_exhaustive]
    Waiting {
        /// The pause before the next try.
        pause: Duration,
        /// Why the last try failed.
        why: Error,
    },
    /// The client finishes what it has and takes nothing new.
    Draining,
    /// The client has ended; it does not come back.
    #[non_exhaustive]
    Closed {
        /// Why, unless the program asked for it.
        why: Option<Error>,
    },
}

impl State {
    /// Whether a server has let the client in.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// assert!(client.state().is_connected());
    /// # }
    /// ```
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Whether the client has ended.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// client.close().await;
    /// assert!(client.state().is_closed());
    /// # }
    /// ```
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

/// Tells each change of a client's [`State`]. Changes that come faster than they are read are told as one.
///
/// ```
/// # async fn example(client: answerback::Client) {
/// let mut watch = client.watch();
/// while !watch.changed().await.is_closed() {
///     println!("now {:?}", watch.now());
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StateWatch(watch::Receiver<State>);

impl StateWatch {
    pub(crate) fn new(receiver: watch::Receiver<State>) -> Self {
        Self(receiver)
    }

    /// The state as it is now.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// assert!(client.watch().now().is_connected());
    /// # }
    /// ```
    pub fn now(&self) -> State {
        self.0.borrow().clone()
    }

    /// Waits until the state is another than when it was last looked at, and says which. A closed client stays so: then this
    /// answers at once.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// let mut watch = client.watch();
    /// client.reconnect();
    /// println!("now {:?}", watch.changed().await);
    /// # }
    /// ```
    pub async fn changed(&mut self) -> State {
        if self.0.borrow().is_closed() {
            return self.now();
        }
        // An error means that the client is gone; its last state stands.
        let _ = self.0.changed().await;
        self.0.borrow_and_update().clone()
    }
}
