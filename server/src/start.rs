//! Starts a server: everything that can fail is done here, before the first thread runs.

use crate::data_dir::{DataDir, DataDirError};
use crate::data_plane::DataPlane;
use crate::running::Running;
use crate::settings::{Mistake, Settings};
use crate::{admin, open_files};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use tokio::sync::oneshot;

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
    pub fn start(mut settings: Settings) -> Result<Running, StartError> {
        let mistakes = settings.mistakes();
        if !mistakes.is_empty() {
            return Err(StartError::Settings(mistakes));
        }
        let id = settings.broker.server.clone();
        let mut data_dir = DataDir::open(&settings.data_dir, &id).map_err(StartError::DataDir)?;
        settings.broker.secrets.delivery = data_dir.delivery_key().map_err(StartError::DataDir)?;
        settings.broker.secrets.tables = random_seed()?;
        settings.max_connections = open_files::make_room_for(settings.max_connections);

        let listener = listen("--listen", settings.listen)?;
        let address = listener.local_addr().map_err(cannot("read the address listened on"))?;
        let admin = settings.admin.map(|address| listen("--admin", address)).transpose()?;
        let admin_address = admin.as_ref().map(TcpListener::local_addr).transpose();
        let admin_address = admin_address.map_err(cannot("read the address of the admin port"))?;
        data_dir.sign(&id, &format!("listening on {address}")).map_err(StartError::DataDir)?;

        let (plane, control) =
            DataPlane::new(settings, mio::net::TcpListener::from_std(listener)).map_err(cannot("watch sockets"))?;
        let admin = admin.map(|listener| spawn_admin(listener, control.clone())).transpose()?;
        let mut running = Running::new(address, admin_address, control, data_dir);
        running.own_admin(admin);
        running.spawn_data_plane(plane).map_err(cannot("start the data plane"))?;
        Ok(running)
    }
}

fn random_seed() -> Result<u64, StartError> {
    getrandom::u64().map_err(|error| cannot("draw random bytes")(error.into()))
}

/// Connections that may wait to be accepted. The usual 128 are there within milliseconds when many clients come back at
/// once; who then finds no room tries again only a second later.
const BACKLOG: i32 = 4096;

fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        // It listens already; once more changes how many may wait.
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(listener)
    });
    listener.map_err(|error| StartError::Listen { flag, address, error })
}

/// The admin port's thread, which ends when the sender is dropped.
pub(crate) type Admin = (oneshot::Sender<Infallible>, thread::JoinHandle<()>);

fn spawn_admin(listener: TcpListener, control: crate::control::Control) -> Result<Admin, StartError> {
    let doing = "start the admin port";
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(cannot(doing))?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(cannot(doing))?
    };
    let (keep, end) = oneshot::channel();
    let run = move || runtime.block_on(admin::serve(listener, control, end));
    let thread = thread::Builder::new().name("admin".to_owned()).spawn(run).map_err(cannot(doing))?;
    Ok((keep, thread))
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

    /// Clients that all came back at once waited a second each time 128 of them were at the door. Nobody accepts here, and
    /// still all of them find room; one that does not would be told by the time.
    #[test]
    fn many_find_room_at_the_door_at_once() {
        let listener = listen("--listen", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let within = Duration::from_millis(900);
        let waiting: Vec<_> = (0..300).map(|_| TcpStream::connect_timeout(&address, within).unwrap()).collect();
        assert_eq!(waiting.len(), 300);
    }
}
