//! Starts a server: everything that can fail is done here, before anybody is served.
//!
//! The order matters. The address is taken first, so that a mistake there is told before a long recovery, but nobody can connect yet: a client
//! that is refused tries again, and one that waits for a welcome does not. Probes are answered during the recovery. Listening comes last.

use crate::admin;
use crate::data_dir::{DataDir, DataDirError};
use crate::data_plane::{Clock, DataPlane, Parts, TURNED_AWAY_MAX};
use crate::keys::{KeyControl, Ring};
use crate::running::Running;
use crate::settings::{Mistake, Settings};
use crate::stage::{Interrupt, Stage};
use crate::store::{Keepers, Progress, Recovered, StoreError, recover};
use answerback_process::open_files::Files;
use rustix::net::{AddressFamily, SocketType};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use tokio::sync::oneshot;

/// One for each client, and beside them the listeners, the log, the data directory, admin pages, libraries, and those who are told that there is no room.
const FILES: Files = Files { each: 1, others: 64 + TURNED_AWAY_MAX };

/// A server that can be started.
#[derive(Debug)]
pub struct Server;

/// Why a server could not be started.
#[derive(Debug)]
pub enum StartError {
    /// Its settings cannot work.
    Settings(Vec<Mistake>),
    /// Its data directory cannot be used.
    DataDir(DataDirError),
    /// Its store cannot be used.
    Store(StoreError),
    /// An address cannot be listened on.
    Listen {
        /// The flag that chooses it.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        error: io::Error,
    },
    /// The operating system refused something else.
    Io {
        /// What was to be done.
        doing: &'static str,
        /// What it said.
        error: io::Error,
    },
}

impl Server {
    /// Starts a server on threads of its own. It has a place to listen, its directory and its key when this returns.
    ///
    /// Raises this process's soft limit of open files, if the connections that are wanted need it.
    pub fn start(settings: Settings) -> Result<Running, StartError> {
        Self::start_unless(settings, Interrupt::default())
    }

    /// The same, unless it is interrupted before: with much to recover a start takes seconds.
    pub fn start_unless(settings: Settings, interrupt: Interrupt) -> Result<Running, StartError> {
        let mistakes = settings.mistakes();
        if !mistakes.is_empty() {
            return Err(StartError::Settings(mistakes));
        }
        let data_dir = DataDir::open(&settings.data_dir, &settings.broker.server).map_err(StartError::DataDir)?;
        Self::start_in(settings, data_dir, interrupt, Place { is_kept: false, waited: || false })
    }

    /// The same in a directory that is held already, with settings that have no mistakes.
    pub(crate) fn start_in(
        mut settings: Settings,
        mut data_dir: DataDir,
        interrupt: Interrupt,
        address: Place<impl FnMut() -> bool>,
    ) -> Result<Running, StartError> {
        let id = settings.broker.server.clone();
        settings.broker.secrets.delivery = data_dir.delivery_key().map_err(StartError::DataDir)?;
        settings.broker.secrets.tables = random_seed()?;
        let peers = settings.peers.len();
        settings.max_connections = FILES.make_room_for(settings.max_connections + peers).saturating_sub(peers).max(1);

        let place = Bound::with_patience("--listen", settings.listen, address.waited)?;
        let stage = Arc::new(Stage::new(interrupt));
        let admin = settings.admin.map(|address| Bound::new("--admin", address)?.listen()).transpose()?;
        let admin_address = admin.as_ref().map(TcpListener::local_addr).transpose();
        let admin_address = admin_address.map_err(cannot("read the address of the admin port"))?;
        let admin = admin.map(|listener| Admin::spawn(listener, Arc::clone(&stage), &settings)).transpose()?;

        let clock = Clock::start();
        let mut progress = Progress::new(Arc::clone(&stage));
        let recovered = recover(&data_dir, &settings, &clock, &mut progress).map_err(StartError::Store)?;
        let listener = match place.listen() {
            Ok(listener) => listener,
            Err(error) => {
                recovered.abandon();
                return Err(error);
            }
        };
        let kept = address.is_kept.then(|| listener.try_clone()).transpose().map_err(cannot("keep the address"))?;
        let address = listener.local_addr().map_err(cannot("read the address listened on"))?;
        data_dir.sign(&id, &format!("listening on {address}")).map_err(StartError::DataDir)?;

        let Recovered { store, journal, snapshots, broker, was_clean } = recovered;
        let (keepers, links) = Keepers::new(was_clean);
        let ring = settings.keys.as_ref().map(|keys| Arc::new(Ring::new(keys.ring().clone())));
        let listener = mio::net::TcpListener::from_std(listener);
        let parts = Parts { listener, broker, clock, links, ring: ring.clone() };
        let (plane, control) = DataPlane::new(&settings, parts).map_err(cannot("watch sockets"))?;
        let keeping =
            keepers.spawn(store, journal, snapshots, &control).map_err(cannot("start the store's threads"))?;
        let keys = KeyControl::new(settings.keys.as_ref(), settings.tls.clone(), ring, control.clone());
        stage.serves(control.clone(), keys.clone());
        let mut running = Running::new(address, admin_address, control, keys, data_dir);
        running.own_admin(admin);
        running.own_address(kept);
        running.spawn_data_plane(plane, keeping).map_err(cannot("start the data plane"))?;
        Ok(running)
    }
}

/// How the address is taken, and given up.
pub(crate) struct Place<W> {
    /// Whether nobody else can listen there before all threads of this server have ended, instead of as soon as it takes nobody any more.
    pub(crate) is_kept: bool,
    /// While somebody else has the address: says, after a pause, whether to try again.
    pub(crate) waited: W,
}

fn random_seed() -> Result<u64, StartError> {
    getrandom::u64().map_err(|error| cannot("draw random bytes")(error.into()))
}

/// Connections that may wait to be accepted. The usual 128 are there within milliseconds when many clients come back at
/// once; who then finds no room tries again only a second later.
const BACKLOG: i32 = 4096;

/// An address that was taken, where nobody can connect yet.
struct Bound {
    flag: &'static str,
    address: SocketAddr,
    socket: OwnedFd,
}

impl Bound {
    fn new(flag: &'static str, address: SocketAddr) -> Result<Self, StartError> {
        let socket = Self::bind(address).map_err(|error| StartError::Listen { flag, address, error })?;
        Ok(Self { flag, address, socket })
    }

    fn with_patience(
        flag: &'static str,
        address: SocketAddr,
        mut waited: impl FnMut() -> bool,
    ) -> Result<Self, StartError> {
        loop {
            match Self::new(flag, address) {
                Err(StartError::Listen { error, .. }) if error.kind() == io::ErrorKind::AddrInUse && waited() => {}
                other => return other,
            }
        }
    }

    fn bind(address: SocketAddr) -> io::Result<OwnedFd> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        // Otherwise a server could not come back where connections of the last one are still being closed.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &address)?;
        Ok(socket)
    }

    /// From now on clients can connect.
    fn listen(self) -> Result<TcpListener, StartError> {
        let Self { flag, address, socket } = self;
        let listener = rustix::net::listen(&socket, BACKLOG).map_err(io::Error::from).and_then(|()| {
            let listener = TcpListener::from(socket);
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        listener.map_err(|error| StartError::Listen { flag, address, error })
    }
}

/// The admin port's thread. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Admin {
    /// The thread ends when this is dropped.
    keep: Option<oneshot::Sender<Infallible>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Admin {
    fn spawn(listener: TcpListener, stage: Arc<Stage>, settings: &Settings) -> Result<Self, StartError> {
        let doing = "start the admin port";
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(cannot(doing))?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(cannot(doing))?
        };
        let (keep, end) = oneshot::channel();
        let pages = admin::Pages::new(stage, settings.drain_deadline);
        let run = move || {
            runtime.block_on(answerback_process::pages::serve(listener, pages, end));
            // A disk that does not answer may keep a reload waiting. It must not keep the server from ending.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(run).map_err(cannot(doing))?;
        Ok(Self { keep: Some(keep), thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.keep.take());
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn cannot(doing: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::Io { doing, error }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(mistakes) => {
                let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
                write!(f, "settings that cannot work: {}", mistakes.join("; "))
            }
            Self::DataDir(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Listen { flag, address, error } => {
                let any = SocketAddr::new(address.ip(), 0);
                write!(
                    f,
                    "cannot listen on {address}: {error}; choose another address with {flag} ({any} takes a free port)"
                )
            }
            Self::Io { doing, error } => write!(f, "cannot {doing}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::time::Duration;

    fn bound() -> Bound {
        Bound::new("--listen", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
    }

    /// While a server recovers, its address is its own, and clients are refused so that they try elsewhere or again.
    #[test]
    fn an_address_that_is_taken_refuses_until_it_is_listened_on() {
        let bound = bound();
        let address = TcpListener::from(bound.socket.try_clone().unwrap()).local_addr().unwrap();
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let _listener = bound.listen().unwrap();
        TcpStream::connect(address).unwrap();
        assert!(matches!(Bound::new("--listen", address), Err(StartError::Listen { .. })));
    }

    /// Clients that all came back at once waited a second each time 128 of them were at the door. Nobody accepts here, and
    /// still all of them find room; one that does not would be told by the time.
    #[test]
    fn many_find_room_at_the_door_at_once() {
        let listener = bound().listen().unwrap();
        let address = listener.local_addr().unwrap();
        let within = Duration::from_millis(900);
        let waiting: Vec<_> = (0..300).map(|_| TcpStream::connect_timeout(&address, within).unwrap()).collect();
        assert_eq!(waiting.len(), 300);
    }
}
