//! An address and a folder for one test.

use answerback_server::embedded::Builder;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Waiting for longer than this means that something has gone wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Where the processes of one test meet. The folder is removed at the end.
pub(crate) struct Spot {
    pub(crate) address: SocketAddr,
    pub(crate) folder: PathBuf,
}

impl Spot {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("answerback-just-there-{}-{number}", std::process::id()));
        Self { address: free_address(number), folder }
    }

    /// A process at this spot, as far as one test process can be many: each builder opens the lock for itself.
    pub(crate) fn builder(&self, name: &str) -> Builder {
        Builder::new(self.address.to_string()).name(name).data_dir(&self.folder).connect_within(PATIENCE)
    }

    /// The epoch in the lock's file; nothing if nobody ever held it.
    pub(crate) fn epoch(&self) -> Option<u64> {
        let line = std::fs::read_to_string(self.folder.join("server.lock")).ok()?;
        line.strip_prefix("epoch ")?.split(',').next()?.parse().ok()
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An address that nobody has. On Linux all of 127.0.0.0/8 is this machine, so that each test has an IP address of its own, and nobody else takes the port
/// between this moment and a server's start.
fn free_address(number: u32) -> SocketAddr {
    let process = std::process::id();
    let [.., high, low] = process.to_be_bytes();
    let own = Ipv4Addr::new(127, 128 | high >> 1, low, 1 + (number % 250) as u8);
    let ip = if cfg!(target_os = "linux") { own } else { Ipv4Addr::LOCALHOST };
    TcpListener::bind((IpAddr::from(ip), 0)).unwrap().local_addr().unwrap()
}

/// Waits for something that has to come.
pub(crate) async fn soon<F: Future>(what: &str, coming: F) -> F::Output {
    let waited = tokio::time::timeout(PATIENCE, coming).await;
    waited.unwrap_or_else(|_| panic!("waited too long for: {what}"))
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    soon(what, async {
        while !is_so() {
            looks.tick().await;
        }
    })
    .await;
}
