//! A server that runs: where it is, how it is asked to leave, and how its end is learnt.

use crate::control::{Command, Control, Report};
use crate::data_dir::DataDir;
use crate::data_plane::{DataPlane, End};
use crate::keys::KeyControl;
use crate::start::Admin;
use crate::store::Keeping;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;

/// A server that was started. Dropping it ends it at once.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    control: Control,
    keys: KeyControl,
    data_plane: Option<JoinHandle<()>>,
    end: Option<oneshot::Receiver<End>>,
    admin: Option<Admin>,
    /// For a server whose address nobody may have before it has ended.
    listener: Option<TcpListener>,
    /// Held until the data plane has ended.
    data_dir: DataDir,
}

impl Running {
    pub(crate) fn new(
        address: SocketAddr,
        admin_address: Option<SocketAddr>,
        control: Control,
        keys: KeyControl,
        data_dir: DataDir,
    ) -> Self {
        Self {
            address,
            admin_address,
            control,
            keys,
            data_plane: None,
            end: None,
            admin: None,
            listener: None,
            data_dir,
        }
    }

    pub(crate) fn own_admin(&mut self, admin: Option<Admin>) {
        self.admin = admin;
    }

    pub(crate) fn own_address(&mut self, listener: Option<TcpListener>) {
        self.listener = listener;
    }

    /// The store is closed when the data plane has ended, and only then the end is told.
    pub(crate) fn spawn_data_plane(&mut self, plane: DataPlane, keeping: Keeping) -> io::Result<()> {
        let all = Turning { plane, keeping };
        let (thread, end) = spawn_watched(|| all.run())?;
        (self.data_plane, self.end) = (Some(thread), Some(end));
        Ok(())
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin port is, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The data directory, as an absolute path.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Counts the servers that had this data directory; the larger one is the later.
    pub fn epoch(&self) -> u64 {
        self.data_dir.epoch()
    }

    /// Whether the data directory's lock is still the file that others find there.
    #[cfg(feature = "embedded")]
    pub(crate) fn has_its_directory(&self) -> bool {
        self.data_dir.is_still_ours()
    }

    /// Asks the server to leave: no new work, and what runs may finish within `deadline`. Learn its end with [`join`].
    ///
    /// [`join`]: Self::join
    pub fn drain(&self, deadline: Duration) {
        self.control.send(Command::Drain(deadline));
    }

    /// Asks the server to close all connections, save everything and end as [`End::Stopped`], for another one in this directory to take its place at once. Work goes on
    /// meanwhile: clients come back to the next server, with their answers.
    pub fn hand_over(&self) {
        self.control.send(Command::HandOver);
    }

    /// The way to exchange the keys of the server, for any thread.
    pub fn keys(&self) -> &KeyControl {
        &self.keys
    }

    /// Tells the server to end at once. Clients see their connections close.
    pub fn stop(&self) {
        self.control.send(Command::Stop);
    }

    /// How things are, or nothing if the data plane has ended. Waits for its answer, so it is not for async code.
    pub fn report(&self) -> Option<Report> {
        self.control.ask().blocking_recv().ok()
    }

    /// The end of the data plane, for async code. Learnt once; later it is [`End::Failed`].
    pub async fn ended(&mut self) -> End {
        let Some(end) = &mut self.end else { return End::Failed };
        let told = end.await;
        self.end = None;
        told.unwrap_or(End::Failed)
    }

    /// Waits for the end of the server and says how it came.
    pub fn join(mut self) -> End {
        let end = self.end.take().and_then(|end| end.blocking_recv().ok());
        self.finish();
        end.unwrap_or(End::Failed)
    }

    /// Waits until no thread is left.
    fn finish(&mut self) {
        // A panic of the data plane has been seen as its end already.
        let _ = self.data_plane.take().map(JoinHandle::join);
        drop(self.admin.take());
        drop(self.listener.take());
    }
}

/// What the data plane's thread runs. Whatever happens, the data plane is dropped first: the keepers end when it has.
struct Turning {
    plane: DataPlane,
    keeping: Keeping,
}

impl Turning {
    fn run(self) -> End {
        let Self { plane, keeping } = self;
        let ended = plane.run();
        keeping.close(ended)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        self.finish();
    }
}

/// Runs `work` on a thread; its end is told even if it panics, as a channel that closes.
fn spawn_watched(work: impl FnOnce() -> End + Send + 'static) -> io::Result<(JoinHandle<()>, oneshot::Receiver<End>)> {
    let (tell, end) = oneshot::channel();
    let run = move || {
        // Nobody may be listening any more.
        let _ = tell.send(work());
    };
    Ok((thread::Builder::new().name("data-plane".to_owned()).spawn(run)?, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_data_plane_is_an_end() {
        let (thread, end) = spawn_watched(|| panic!("on purpose")).unwrap();
        assert!(end.blocking_recv().is_err());
        assert!(thread.join().is_err());
        let (_thread, end) = spawn_watched(|| End::Stopped).unwrap();
        assert_eq!(end.blocking_recv(), Ok(End::Stopped));
    }
}
