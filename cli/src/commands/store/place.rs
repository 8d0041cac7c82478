//! Which directory is meant, and that no server uses it meanwhile.
//!
//! The lock is the operating system's, on `server.lock` in the data directory. Who only looks shares it with others who do, and makes
//! nothing; who fills a store has it alone and signs it, as a server does.

use crate::exit::{Exit, Failure};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const LOCK: &str = "server.lock";
const STORE: &str = "store";

/// The file that every store has.
const FORMAT: &str = "format";

/// The most that is read of the lock file: it holds one line.
const LINE_BYTES_MAX: u64 = 1024;

/// A server that leaves gives the lock back a moment after its last port is closed, which is what `answerback drain` waits for.
const PATIENCE: Duration = Duration::from_millis(300);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// A store that no server uses as long as this is held.
#[derive(Debug)]
pub(crate) struct Place {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The store in it.
    pub(crate) store: PathBuf,
    _lock: Option<File>,
}

impl Place {
    /// A place to look at. Nothing is made or changed.
    pub(crate) fn to_read(dir: &Path) -> Result<Self, Failure> {
        let (data, store) = resolve(dir);
        if !store.is_dir() {
            let next = "the banner of a server shows its data directory; --data-dir says it";
            return Err(Failure::new(Exit::Other, format!("there is no store in {}", dir.display()), next));
        }
        let path = data.join(LOCK);
        let lock = match File::open(&path) {
            Ok(file) => Some(file),
            // No server has ever been here: it is a copy.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(system("open", &path)(error)),
        };
        if let Some(file) = &lock {
            patiently(|| file.try_lock_shared()).map_err(|error| held(&path, file, &data, error))?;
        }
        Ok(Self { data, store, _lock: lock })
    }

    /// A place to fill. The data directory is made if it is not there.
    pub(crate) fn to_fill(dir: &Path) -> Result<Self, Failure> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(system("make", dir))?;
        let (data, store) = resolve(dir);
        let path = data.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut lock = lock.map_err(system("open", &path))?;
        patiently(|| lock.try_lock()).map_err(|error| held(&path, &lock, &data, error))?;
        sign(&mut lock).map_err(system("write", &path))?;
        Ok(Self { data, store, _lock: Some(lock) })
    }
}

/// Says who holds the lock. The epoch of the servers that held it goes on from where it is.
fn sign(lock: &mut File) -> io::Result<()> {
    let mut before = Vec::new();
    lock.take(LINE_BYTES_MAX).read_to_end(&mut before)?;
    let before = String::from_utf8_lossy(&before);
    let epoch = before.split_inclusive(", ").next().filter(|word| word.starts_with("epoch ")).unwrap_or_default();
    let line = format!("{epoch}pid {}, answerback store import\n", std::process::id());
    lock.rewind()?;
    lock.write_all(line.as_bytes())?;
    lock.set_len(line.len() as u64)
}

fn patiently(lock: impl Fn() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::park_timeout(PAUSE),
            done => return done,
        }
    }
}

/// The data directory and the store in it, whichever of both was said.
fn resolve(dir: &Path) -> (PathBuf, PathBuf) {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let above = whole.parent().map(Path::to_owned).unwrap_or_default();
    let is_store = whole.join(FORMAT).exists() || whole.ends_with(STORE) && above.join(LOCK).exists();
    if is_store { (above, whole) } else { (whole.clone(), whole.join(STORE)) }
}

fn held(path: &Path, file: &File, data: &Path, error: TryLockError) -> Failure {
    let TryLockError::WouldBlock = error else { return system("lock", path)(error.into()) };
    let mut line = Vec::new();
    // Who holds it may be writing there just now: what it says is for people.
    let _ = file.take(LINE_BYTES_MAX).read_to_end(&mut line);
    let line = String::from_utf8_lossy(&line);
    let holder = if line.trim().is_empty() { "its lock file does not say who it is" } else { line.trim() };
    let what = format!("{} is in use ({holder})", data.display());
    let next = "stop that first (`answerback drain`); `answerback top` and `answerback explain ACTION` show what runs";
    Failure::new(Exit::NoServer, what, next)
}

fn system(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let doing = format!("{doing} {}", path.display());
    move |error| Failure::system(&doing, &error)
}
