//! The directory that belongs to one server: a lock that says who holds it, and the key for delivery ids.
//!
//! ```text
//!  answerback-data/        mode 700
//!    server.lock           held while the server runs; its text says by whom, and how many held it before: the epoch
//!    server.key            mode 600; made at the first start, and when the store was lost
//!    store/                what outlives the server, see the crate `store`
//! ```
//!
//! The lock is the operating system's: it is free as soon as the process is gone, however it went. Whoever takes it writes an epoch into it that is larger by
//! one than the one before, and has it on disk before anything else is done: of two lines in logs, the one with the larger epoch is the later server's.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const LOCK: &str = "server.lock";
const KEY: &str = "server.key";
const NEW_KEY: &str = "server.key.new";

/// What the one line of `server.key` starts with; a later form of the file will start otherwise.
const KEY_FORM: &str = "answerback-delivery-key-1";

/// Bytes of the key for delivery ids.
const KEY_BYTES: usize = 16;

/// What the line of `server.lock` starts with.
const EPOCH: &str = "epoch ";

/// The most that is read of either file: both hold one line.
const LINE_BYTES_MAX: u64 = 1024;

/// A data directory that is ours. Dropping it gives the lock back.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    lock: File,
    epoch: u64,
}

/// Why a data directory cannot be used.
#[derive(Debug)]
pub enum DataDirError {
    /// Another server is using it.
    Held {
        /// Which directory.
        path: PathBuf,
        /// What the lock file says of its holder.
        holder: String,
    },
    /// The operating system refused something.
    Io {
        /// With which file or directory.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// `server.key` is not what was written there.
    BadKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl DataDir {
    /// Makes the directory if it is not there, and takes it for the server that is called `id`.
    pub(crate) fn open(path: &Path, id: &str) -> Result<Self, DataDirError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed(path, "create the data directory"))?;
        let lock_path = path.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let mut lock = lock.map_err(failed(&lock_path, "open"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::Held { path: path.to_owned(), holder: holder(&mut lock) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&lock_path, "lock")(error)),
        }
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let before = read_line(&mut lock).map_err(failed(&lock_path, "read"))?;
        let mut dir = Self { path, lock, epoch: epoch_in(&before).saturating_add(1) };
        dir.sign(id, "starting")?;
        dir.lock.sync_all().map_err(failed(&lock_path, "sync"))?;
        Ok(dir)
    }

    /// Counts who held the directory; ours is the largest.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the lock is still the one that others find. If somebody removed or replaced the file, others can take what looks like the same directory.
    #[cfg_attr(
        not(feature = "embedded"),
        allow(dead_code, reason = "a server of its own has an operator who looks after its directory")
    )]
    pub(crate) fn is_still_ours(&self) -> bool {
        let (Ok(ours), Ok(found)) = (self.lock.metadata(), fs::metadata(self.path.join(LOCK))) else { return false };
        (ours.dev(), ours.ino()) == (found.dev(), found.ino())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Says in the lock file who holds it, for whoever finds it held.
    pub(crate) fn sign(&mut self, id: &str, doing: &str) -> Result<(), DataDirError> {
        let line = format!("{EPOCH}{}, pid {}, id {}, {doing}\n", self.epoch, std::process::id(), id.escape_debug());
        // The old line is written over, and cut afterwards: at no moment the file is without its epoch.
        let written = self.lock.rewind().and_then(|()| self.lock.write_all(line.as_bytes()));
        written.and_then(|()| self.lock.set_len(line.len() as u64)).map_err(failed(&self.path.join(LOCK), "write"))
    }

    /// The key for delivery ids: made at the first start, the same as long as the store is.
    pub(crate) fn delivery_key(&self) -> Result<[u8; KEY_BYTES], DataDirError> {
        let path = self.path.join(KEY);
        match File::open(&path) {
            Ok(file) => {
                let line = read_line(file).map_err(failed(&path, "read"))?;
                parse_key(&line).map_err(|what| DataDirError::BadKey { path, what })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.new_delivery_key(),
            Err(error) => Err(failed(&path, "open")(error)),
        }
    }

    /// Another key, for a server that knows nothing of the one before: what handlers still hold of that one's deliveries must not be taken for
    /// this one's, and with the same key a request that is asked again would get the same id.
    pub(crate) fn new_delivery_key(&self) -> Result<[u8; KEY_BYTES], DataDirError> {
        self.make_key(&self.path.join(KEY))
    }

    /// Writes a new key beside the place where it belongs, makes sure that it is on disk, and moves it there: the file is
    /// whole or not there at all, whenever the power goes.
    fn make_key(&self, path: &Path) -> Result<[u8; KEY_BYTES], DataDirError> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|error| failed(path, "draw random bytes for")(error.into()))?;
        let new = self.path.join(NEW_KEY);
        // What a crash has left there may have another mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&new, "remove")(error)),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        let written = file.and_then(|mut file| {
            file.write_all(print_key(&key).as_bytes())?;
            file.sync_all()
        });
        written.map_err(failed(&new, "write"))?;
        fs::rename(&new, path).map_err(failed(path, "move into place"))?;
        File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(failed(&self.path, "sync"))?;
        Ok(key)
    }
}

/// The epoch of whoever signed before; 0 if nobody did.
fn epoch_in(line: &str) -> u64 {
    let digits = line.strip_prefix(EPOCH).and_then(|rest| rest.split(',').next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn holder(lock: &mut File) -> String {
    match read_line(lock) {
        Ok(line) if !line.is_empty() => line.escape_debug().to_string(),
        _ => "its lock file does not say who it is".to_owned(),
    }
}

fn read_line(from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(LINE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// Two numbers in hex: the key, and a checksum that finds bytes lost or changed.
fn print_key(key: &[u8; KEY_BYTES]) -> String {
    format!("{KEY_FORM} {:032x} {:016x}\n", u128::from_be_bytes(*key), checksum(key))
}

fn parse_key(line: &str) -> Result<[u8; KEY_BYTES], &'static str> {
    let mut words = line.split(' ');
    if words.next() != Some(KEY_FORM) {
        return Err("it does not start as such a file does");
    }
    let (Some(key), Some(sum), None) = (words.next(), words.next(), words.next()) else {
        return Err("it is cut short or too long");
    };
    let is_hex = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex(key, 2 * KEY_BYTES) || !is_hex(sum, 16) {
        return Err("it is cut short or too long");
    }
    let key = u128::from_str_radix(key, 16).map_err(|_| "it is not hex")?.to_be_bytes();
    let sum = u64::from_str_radix(sum, 16).map_err(|_| "it is not hex")?;
    if sum == checksum(&key) { Ok(key) } else { Err("its checksum does not fit") }
}

/// FNV-1a, 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |error| DataDirError::Io { path, doing, error }
}

impl fmt::Display for DataDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { path, holder } => write!(
                f,
                "the data directory {} is in use by another server ({holder}); stop that one, or give this one a \
                 directory of its own with --data-dir",
                path.display()
            ),
            Self::Io { path, doing, error } => {
                write!(
                    f,
                    "cannot {doing} {}: {error}; check the directory or choose another with --data-dir",
                    path.display()
                )
            }
            Self::BadKey { path, what } => write!(
                f,
                "{} is damaged: {what}; restore it from a backup, or remove it (then work that handlers hold over this \
                 restart is not recognised)",
                path.display()
            ),
        }
    }
}

impl std::error::Error for DataDirError {}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory of its own for each test, removed at its end.
    pub(crate) struct Place(pub(crate) PathBuf);

    impl Place {
        pub(crate) fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("answerback-dir-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_second_server_is_told_who_holds_the_directory() {
        let place = Place::new();
        let mut first = DataDir::open(&place.0, "one").unwrap();
        first.sign("one", "listening on 127.0.0.1:7040").unwrap();
        let text = DataDir::open(&place.0, "two").unwrap_err().to_string();
        let holder = format!("(epoch 1, pid {}, id one, listening on 127.0.0.1:7040)", std::process::id());
        assert!(text.contains(&holder) && text.contains("--data-dir"), "{text}");
        drop(first);
        DataDir::open(&place.0, "two").unwrap();
    }

    #[test]
    fn each_holder_has_a_larger_epoch_than_the_one_before() {
        let place = Place::new();
        for epoch in 1..=12 {
            let mut dir = DataDir::open(&place.0, "one").unwrap();
            assert_eq!(dir.epoch(), epoch);
            dir.sign("one", "listening").unwrap();
            let line = fs::read_to_string(place.0.join(LOCK)).unwrap();
            assert_eq!(line, format!("epoch {epoch}, pid {}, id one, listening\n", std::process::id()));
        }
        // What a server before there were epochs has left, and what nobody can read.
        for line in ["", "pid 7, id one, listening\n", "epoch many, pid 7\n"] {
            fs::write(place.0.join(LOCK), line).unwrap();
            assert_eq!(DataDir::open(&place.0, "one").unwrap().epoch(), 1, "{line}");
        }
    }

    #[test]
    fn a_lock_that_was_removed_or_replaced_is_not_ours_any_more() {
        let place = Place::new();
        let first = DataDir::open(&place.0, "one").unwrap();
        assert!(first.is_still_ours());
        fs::remove_file(place.0.join(LOCK)).unwrap();
        assert!(!first.is_still_ours());
        let second = DataDir::open(&place.0, "two").unwrap();
        assert!(second.is_still_ours() && !first.is_still_ours());
    }

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let place = Place::new();
        let dir = DataDir::open(&place.0.join("a/b"), "one").unwrap();
        fs::write(dir.path().join(NEW_KEY), "half of").unwrap();
        let key = dir.delivery_key().unwrap();
        assert_eq!((dir.delivery_key().unwrap(), key == [0; KEY_BYTES]), (key, false));
        assert_eq!(
            (mode(dir.path()), mode(&dir.path().join(KEY)), mode(&dir.path().join(LOCK))),
            (0o700, 0o600, 0o600)
        );
        assert!(!dir.path().join(NEW_KEY).exists());
        assert_ne!(dir.new_delivery_key().unwrap(), key);
        let other = Place::new();
        assert_ne!(DataDir::open(&other.0, "one").unwrap().delivery_key().unwrap(), key);
    }

    #[test]
    fn a_damaged_key_is_not_used() {
        let place = Place::new();
        let dir = DataDir::open(&place.0, "one").unwrap();
        dir.delivery_key().unwrap();
        let path = dir.path().join(KEY);
        let good = fs::read_to_string(&path).unwrap();
        let digit = if &good[30..31] == "0" { "1" } else { "0" };
        let changed = format!("{}{digit}{}", &good[..30], &good[31..]);
        let wrong = ["", "x", &good[..40], &good[..good.len() - 3], &format!("{good} more"), &changed];
        for text in wrong {
            fs::write(&path, text).unwrap();
            let error = dir.delivery_key().unwrap_err().to_string();
            assert!(error.contains("server.key is damaged") && error.contains("backup"), "{text}: {error}");
        }
        fs::write(&path, &good).unwrap();
        dir.delivery_key().unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_says_which() {
        let place = Place::new();
        fs::write(&place.0, "a file").unwrap();
        let text = DataDir::open(&place.0.join("inside"), "one").unwrap_err().to_string();
        fs::remove_file(&place.0).unwrap();
        assert!(text.contains("cannot create the data directory") && text.contains("inside"), "{text}");
    }
}
