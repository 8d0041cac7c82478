//! A disk in memory that fails, fills up, hangs and loses power on demand.
//!
//! It remembers what was synced and what was not, so that it can say what may be left when the power goes: of a file, the synced
//! part and any piece of the rest; of names, those whose directory was synced and any of the changes since.

use super::gate::GateWay;
use super::{Disk, DiskFile, Gate};
use crate::chance::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that a disk writes in one piece.
const SECTOR_BYTES: usize = 512;

/// What goes wrong from now on. Counts begin with 1 for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The n-th change of the disk (write, sync, cut, name) fails, once.
    FailOperation(u64),
    /// The n-th sync of a file fails, once; what it should have kept is not on disk and no later sync puts it there.
    FailSync(u64),
    /// All syncs of files fail.
    FailSyncs,
    /// All changes fail, as on a disk that was mounted read-only.
    ReadOnly,
    /// There is room for so many more bytes.
    Room(u64),
    /// From the n-th change on nothing succeeds any more.
    CrashAtOperation(u64),
    /// From the n-th sync of a file on nothing succeeds any more.
    CrashAtSync(u64),
}

/// A disk in memory that does what it is told to do wrong. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    syncs: GateWay,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Contents>,
    dirs: BTreeSet<PathBuf>,
    /// What a running system sees.
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since their directory was synced, in order.
    renamings: Vec<Naming>,
    faults: Faults,
    synced: u64,
}

#[derive(Debug, Clone)]
enum Naming {
    Made(PathBuf, usize),
    Removed(PathBuf),
    Moved(PathBuf, PathBuf),
}

/// A file: `bytes`, of which the part before `safe` is on disk. What is on disk behind that was cut off without a sync.
#[derive(Debug, Clone, Default)]
struct Contents {
    bytes: Vec<u8>,
    safe: usize,
    cut: Vec<u8>,
    /// Pieces that a failed sync has lost for good.
    lost: Vec<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Faults {
    fail_operation: Option<u64>,
    fail_sync: Option<u64>,
    crash_operation: Option<u64>,
    crash_sync: Option<u64>,
    fail_syncs: bool,
    read_only: bool,
    room: Option<u64>,
    crashed: bool,
}

#[derive(Debug)]
struct OpenFile {
    disk: Arc<Shared>,
    file: usize,
}

impl FaultyDisk {
    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        let faults = &mut self.0.lock().faults;
        match fault {
            Fault::FailOperation(nth) => faults.fail_operation = Some(nth),
            Fault::FailSync(nth) => faults.fail_sync = Some(nth),
            Fault::FailSyncs => faults.fail_syncs = true,
            Fault::ReadOnly => faults.read_only = true,
            Fault::Room(bytes) => faults.room = Some(bytes),
            Fault::CrashAtOperation(nth) => faults.crash_operation = Some(nth),
            Fault::CrashAtSync(nth) => faults.crash_sync = Some(nth),
        }
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.0.lock().faults = Faults::default();
    }

    /// Takes all faults back but a crash that is still to come.
    pub fn heal_but_crash(&self) {
        let faults = &mut self.0.lock().faults;
        let Faults { crash_operation, crash_sync, crashed, .. } = *faults;
        *faults = Faults { crash_operation, crash_sync, crashed, ..Faults::default() };
    }

    /// Whether a crash that was injected has come.
    pub fn has_crashed(&self) -> bool {
        self.0.lock().faults.crashed
    }

    /// From now on syncs wait until the gate is dropped.
    pub fn hold_syncs(&self) -> Gate {
        self.0.syncs.shut()
    }

    /// How many syncs of files succeeded.
    pub fn syncs(&self) -> u64 {
        self.0.lock().synced
    }

    /// Another disk, as this one is found after the power was cut: what was not synced is there, gone or torn, by the seed.
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let state = self.0.lock();
        let mut dice = Dice::new(seed);
        // Often all or nothing: these are the most likely ends, and mixtures of everything would hide them.
        let mood = dice.below(4);
        let keeps = |dice: &mut Dice| match mood {
            0 => false,
            1 => true,
            _ => dice.one_in(2),
        };
        let mut names = state.synced_names.clone();
        for naming in &state.renamings {
            if keeps(&mut dice) {
                naming.apply(&mut names);
            }
        }
        let files = state.files.iter().map(|file| file.after_power_cut(mood, &mut dice)).collect();
        Self::found(files, names, state.dirs.clone())
    }

    /// Another disk, as this one is found after the process was killed: everything that was written is there.
    pub fn after_kill(&self) -> Self {
        let state = self.0.lock();
        Self::found(state.files.clone(), state.names.clone(), state.dirs.clone())
    }

    fn found(files: Vec<Contents>, names: BTreeMap<PathBuf, usize>, dirs: BTreeSet<PathBuf>) -> Self {
        let state = State { files, dirs, synced_names: names.clone(), names, ..State::default() };
        Self(Arc::new(Shared { state: Mutex::new(state), syncs: GateWay::default() }))
    }

    /// Changes the bytes of a file behind everybody's back; false if it is not there.
    pub fn tamper(&self, path: &Path, with: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.0.lock();
        let Some(file) = state.names.get(path).copied() else { return false };
        let Some(file) = state.files.get_mut(file) else { return false };
        with(&mut file.bytes);
        file.safe = file.bytes.len();
        true
    }

    /// All files and their sizes, in the order of their names.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = self.0.lock();
        let size = |file: usize| state.files.get(file).map_or(0, |file| file.bytes.len() as u64);
        state.names.iter().map(|(path, file)| (path.clone(), size(*file))).collect()
    }

    fn change_names(&self, naming: Naming) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operation()?;
        if let Naming::Removed(path) | Naming::Moved(path, _) = &naming
            && !state.names.contains_key(path)
        {
            return Err(ErrorKind::NotFound.into());
        }
        naming.apply(&mut state.names);
        if let Naming::Removed(_) = naming
            && let Some(room) = &mut state.faults.room
        {
            // Enough for a test that wants space again; which file it was does not matter.
            *room += 4096;
        }
        state.renamings.push(naming);
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.operation()?;
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
            return Err(ErrorKind::NotFound.into());
        }
        let file = state.files.len();
        state.files.push(Contents::default());
        state.names.insert(path.to_owned(), file);
        state.renamings.push(Naming::Made(path.to_owned(), file));
        Ok(Box::new(OpenFile { disk: Arc::clone(&self.0), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = self.0.lock();
        let file = *state.reading()?.names.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(OpenFile { disk: Arc::clone(&self.0), file }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        if !state.reading()?.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let all = state.names.keys().chain(&state.dirs);
        let inside = all.filter(|path| path.parent() == Some(dir)).filter_map(|path| path.file_name());
        Ok(inside.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.dirs.contains(dir) {
            return Ok(());
        }
        state.operation()?;
        state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut guard = self.0.lock();
        guard.operation()?;
        let state = &mut *guard;
        let (here, elsewhere) = state.renamings.drain(..).partition(|naming| naming.is_in(dir));
        state.renamings = elsewhere;
        let here: Vec<Naming> = here;
        here.iter().for_each(|naming| naming.apply(&mut state.synced_names));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_names(Naming::Moved(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change_names(Naming::Removed(path.to_owned()))
    }
}

impl DiskFile for OpenFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let failed = state.operation();
        let fits = state.faults.room.map_or(bytes.len(), |room| bytes.len().min(room as usize));
        // Also a write that fails may have been done in part.
        let written = if failed.is_err() { fits / 2 } else { fits };
        if state.faults.read_only {
            return failed;
        }
        if let Some(room) = &mut state.faults.room {
            *room -= written as u64;
        }
        state.file(self.file)?.bytes.extend_from_slice(&bytes[..written]);
        failed?;
        if written < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.lock();
        state.reading()?;
        let rest = &state.file(self.file)?.bytes;
        let rest = rest.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.syncs.pass();
        let mut state = self.disk.lock();
        let outcome = state.operation().and_then(|()| state.faults.sync());
        if state.faults.crashed {
            return outcome;
        }
        let file = state.file(self.file)?;
        if outcome.is_err() {
            file.lost.push((file.safe, file.bytes.len()));
        }
        (file.safe, file.cut) = (file.bytes.len(), Vec::new());
        outcome?;
        state.synced += 1;
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.operation()?;
        let length = length as usize;
        let file = state.file(self.file)?;
        let freed = file.bytes.len().saturating_sub(length);
        if length < file.safe {
            let mut cut = file.bytes[length..file.safe].to_vec();
            cut.append(&mut file.cut);
            (file.cut, file.safe) = (cut, length);
        }
        file.bytes.truncate(length);
        file.lost.retain_mut(|(from, to)| {
            *to = (*to).min(length);
            from < to
        });
        if let Some(room) = &mut state.faults.room {
            *room += freed as u64;
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let mut state = self.disk.lock();
        state.reading()?;
        Ok(state.file(self.file)?.bytes.len() as u64)
    }
}

impl Contents {
    fn after_power_cut(&self, mood: usize, dice: &mut Dice) -> Self {
        let mut on_disk = self.bytes.clone();
        for (from, to) in &self.lost {
            on_disk[*from..*to].fill(0);
        }
        let fresh = on_disk.split_off(self.safe);
        match if mood < 2 { mood } else { 2 + dice.below(2) } {
            // Neither what was cut nor what was appended has reached the disk.
            0 => on_disk.extend_from_slice(&self.cut),
            1 => on_disk.extend_from_slice(&fresh),
            // The length has, but not all sectors.
            2 => {
                on_disk.extend_from_slice(&fresh);
                for sector in on_disk[self.safe..].chunks_mut(SECTOR_BYTES).filter(|_| dice.one_in(3)) {
                    sector.fill(0);
                }
            }
            _ => on_disk.extend_from_slice(&fresh[..dice.below(fresh.len() + 1)]),
        }
        Self { safe: on_disk.len(), bytes: on_disk, ..Self::default() }
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Made(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Removed(path) => {
                names.remove(path);
            }
            Self::Moved(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let (Self::Made(path, _) | Self::Removed(path) | Self::Moved(_, path)) = self;
        path.parent() == Some(dir)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn file(&mut self, file: usize) -> io::Result<&mut Contents> {
        self.files.get_mut(file).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn reading(&self) -> io::Result<&Self> {
        if self.faults.crashed { Err(crashed()) } else { Ok(self) }
    }

    /// Counts a change, and lets it fail if it is its turn.
    fn operation(&mut self) -> io::Result<()> {
        let faults = &mut self.faults;
        if faults.crashed || count_down(&mut faults.crash_operation) {
            faults.crashed = true;
            return Err(crashed());
        }
        if faults.read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        if count_down(&mut faults.fail_operation) { Err(Error::other("input/output error")) } else { Ok(()) }
    }
}

impl Faults {
    fn sync(&mut self) -> io::Result<()> {
        if count_down(&mut self.crash_sync) {
            self.crashed = true;
            return Err(crashed());
        }
        let fails = count_down(&mut self.fail_sync) || self.fail_syncs;
        if fails { Err(Error::other("input/output error")) } else { Ok(()) }
    }
}

/// Whether this was the last one of a count.
fn count_down(count: &mut Option<u64>) -> bool {
    let Some(left) = count else { return false };
    *left = left.saturating_sub(1);
    if *left == 0 {
        *count = None;
        return true;
    }
    false
}

fn crashed() -> Error {
    Error::other("the power is gone")
}
