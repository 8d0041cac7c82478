//! Opening a store, looking at one, filling one.

use crate::journal::{self, Items, Journal, Manner, Repaired, Replay, ReplayError, SEGMENT_BYTES};
use crate::layout::{FORMAT, Format, Layout, fresh_salt};
use crate::snapshots::{MemoryShelf, Snapshots};
use crate::{Calendar, Disk, Filling, Finding, FindingKind, RealDisk};
use answerback_broker::{Item, ItemId};
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to do when something that had been saved cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// Set it aside, keep what can be kept, say what was lost.
    #[default]
    Forgiving,
    /// Do not open, change nothing.
    Strict,
}

/// Where snapshots go.
#[derive(Debug, Clone, Default)]
pub enum SnapshotsIn {
    /// Into files, by sled.
    #[default]
    Sled,
    /// Into memory that outlives the store, for tests.
    Memory(MemoryShelf),
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// The disk for everything but sled's files.
    pub disk: Arc<dyn Disk>,
    /// Where snapshots go.
    pub snapshots: SnapshotsIn,
    /// What to do about damage.
    pub strictness: Strictness,
    /// Bytes after which the journal begins a new segment.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            disk: Arc::new(RealDisk),
            snapshots: SnapshotsIn::Sled,
            strictness: Strictness::Forgiving,
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

/// A store that is open.
#[derive(Debug)]
pub struct Opened {
    /// For the end: [`Store::mark_clean`].
    pub store: Store,
    /// For durable requests. Belongs to one thread.
    pub journal: Journal,
    /// For everything else. Belongs to one thread.
    pub snapshots: Box<dyn Snapshots>,
    /// What the journal holds, in the order of the ids. To be taken before the journal is written.
    pub items: Items,
    /// What was wrong.
    pub findings: Vec<Finding>,
    /// Whether there was no store before.
    pub is_new: bool,
    /// Whether the last server ended in order and everything that it saved is there.
    pub clean: bool,
    /// Greater than every id that was ever written.
    pub next_item: ItemId,
}

/// Why a store was not opened.
#[derive(Debug)]
pub enum OpenError {
    /// The disk refused something.
    Io {
        /// What was to be done.
        doing: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// It was written by a newer version.
    Newer {
        /// The file that says so.
        path: PathBuf,
        /// The format it names.
        format: u64,
    },
    /// There are files, but they are not a store's.
    NotAStore {
        /// Which directory.
        path: PathBuf,
    },
    /// Something is lost, and that was not to be put up with. Nothing was changed.
    Loss {
        /// Everything that was found.
        findings: Vec<Finding>,
    },
    /// There is a store already where one was to be filled.
    NotEmpty {
        /// Which directory.
        path: PathBuf,
    },
    /// Whoever watched said stop.
    Stopped,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, error } => write!(f, "cannot {doing} {}: {error}", path.display()),
            Self::Newer { path, format } => write!(
                f,
                "{} says that this store has format {format}, written by a newer version; this one reads up to format 1: use the \
                 newer version, or export there and import here",
                path.display()
            ),
            Self::NotAStore { path } => write!(
                f,
                "{} holds files but not the file `format` of a store; give the server a data directory of its own",
                path.display()
            ),
            Self::Loss { findings } => {
                f.write_str("the store is damaged, and --strict-store says not to go on")?;
                for finding in findings {
                    write!(f, "; {finding}")?;
                }
                f.write_str("; nothing was changed: restore it from a backup, or start without --strict-store")
            }
            Self::NotEmpty { path } => {
                write!(f, "{} is a store already; import into an empty directory", path.display())
            }
            Self::Stopped => f.write_str("stopped before the store was read to its end"),
        }
    }
}

impl std::error::Error for OpenError {}

/// A store on disk.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
}

/// What a look at a store found.
#[derive(Debug, Default)]
pub struct Inspected {
    /// Items that were shown.
    pub items: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether the last server ended in order.
    pub clean: bool,
    /// Greater than every id that was ever written.
    pub next_item: u64,
}

/// What can be said before anything is changed.
struct Look {
    is_new: bool,
    clean: bool,
    format: Format,
    findings: Vec<Finding>,
    replay: Replay,
}

impl Store {
    /// Opens the store at `path`, or makes one. `watch` is told now and then how many steps of the journal were read, and may say stop.
    /// The caller has made sure that nobody else uses it.
    pub fn open(
        path: &Path,
        calendar: Calendar,
        options: &Options,
        watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Opened, OpenError> {
        let layout = Layout { disk: Arc::clone(&options.disk), path: path.to_owned() };
        let is_strict = options.strictness == Strictness::Strict;
        let look = look(&layout, calendar, watch)?;
        let mut findings = look.findings;
        if is_strict {
            let mut all = findings.clone();
            all.extend(look.replay.findings.iter().cloned());
            all.extend(options.snapshots.check(&layout, calendar)?);
            if all.iter().any(Finding::is_loss) {
                return Err(OpenError::Loss { findings: all });
            }
        }
        let salt = prepare(&layout, look.format, look.is_new)?;
        let manner = Manner {
            disk: Arc::clone(&layout.disk),
            dir: layout.journal(),
            calendar,
            segment_bytes: options.segment_bytes,
            salt,
        };
        let repaired = journal::repair(look.replay, manner, &mut |path| layout.copy_aside(path, &calendar));
        let Repaired { journal, items, findings: found } =
            repaired.map_err(failed("repair the journal in", &layout.journal()))?;
        findings.extend(found);
        let (snapshots, found) = options.snapshots.open(&layout, calendar)?;
        findings.extend(found);
        let clean = look.clean && !findings.iter().any(Finding::is_loss);
        let next_item = ItemId(journal.next_item().max(snapshots.next_item()).max(1));
        let store = Self { layout };
        Ok(Opened { store, journal, snapshots, items, findings, is_new: look.is_new, clean, next_item })
    }

    /// Shows every item, those of the journal first, and changes nothing.
    pub fn inspect(
        path: &Path,
        calendar: Calendar,
        options: &Options,
        each: &mut dyn FnMut(ItemId, Item) -> ControlFlow<()>,
    ) -> Result<Inspected, OpenError> {
        let layout = Layout { disk: Arc::clone(&options.disk), path: path.to_owned() };
        let Look { clean, mut findings, replay, is_new, .. } =
            look(&layout, calendar, &mut |_| ControlFlow::Continue(()))?;
        if is_new {
            return Err(OpenError::NotAStore { path: path.to_owned() });
        }
        let mut items = replay.items(&layout.disk, layout.journal(), calendar);
        findings.extend(replay.findings);
        let mut seen = Inspected { clean, findings, next_item: replay.next_item.max(1), ..Inspected::default() };
        for (id, item) in items.by_ref() {
            seen.items += 1;
            if each(id, item).is_break() {
                return Ok(seen);
            }
        }
        seen.findings.extend(items.take_findings());
        let mut shown = 0;
        let looked = options.snapshots.look(&layout, calendar, &mut |id, item| {
            shown += 1;
            each(id, item)
        })?;
        seen.items += shown;
        seen.next_item = seen.next_item.max(looked.next_item);
        seen.findings.extend(looked.findings);
        Ok(seen)
    }

    /// Makes a store at `path`, where there must be none, and fills it. Durable requests go into the journal, everything else into a
    /// snapshot; afterwards it is marked clean. Says how many items it took.
    pub fn import(
        path: &Path,
        calendar: Calendar,
        options: &Options,
        items: &mut dyn Iterator<Item = (ItemId, Item)>,
    ) -> Result<u64, OpenError> {
        let mut filling = Filling::begin(path, calendar, options)?;
        for (id, item) in items {
            filling.put(id, item)?;
        }
        filling.finish(true)
    }

    /// Says on disk that everything was saved and nothing is lost by stopping now. The last thing that a server does here: journal and
    /// snapshots have been dropped or are not used any more.
    pub fn mark_clean(&self) -> io::Result<()> {
        self.layout.mark_clean()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.layout.path
    }
}

/// Reads everything but the snapshots, and changes nothing.
fn look(layout: &Layout, calendar: Calendar, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<Look, OpenError> {
    let at = &layout.path;
    let is_new = layout.is_empty().map_err(failed("list", at))?;
    let format = layout.format().map_err(failed("read", &layout.format_path()))?;
    let mut findings = Vec::new();
    match format {
        Format::Newer(format) => return Err(OpenError::Newer { path: layout.format_path(), format }),
        Format::Missing if is_new => {}
        Format::Missing | Format::Damaged => {
            if !layout.looks_like_a_store().map_err(failed("list", at))? {
                return Err(OpenError::NotAStore { path: at.clone() });
            }
            let what = if format == Format::Missing { "it is missing" } else { "it is damaged" };
            findings.push(Finding::new(FindingKind::SmallFile { what }, layout.format_path()));
        }
        Format::Ours { .. } => {}
    }
    let clean = layout.is_clean().map_err(failed("read the mark `clean` in", at))?;
    let salt = if let Format::Ours { salt } = format { Some(salt) } else { None };
    let replay = journal::replay(&*layout.disk, &layout.journal(), calendar, clean, salt, watch);
    let replay = replay.map_err(|error| match error {
        ReplayError::Io { path, error } => failed("read", &path)(error),
        ReplayError::Newer { path } => OpenError::Newer { path, format: FORMAT + 1 },
        ReplayError::Stopped => OpenError::Stopped,
    })?;
    Ok(Look { is_new, clean, format, findings, replay })
}

/// Makes what must be there before anything else is written: from here on the store is in use.
fn prepare(layout: &Layout, format: Format, is_new: bool) -> Result<u32, OpenError> {
    let at = &layout.path;
    if is_new {
        layout.disk.make_dir(at).map_err(failed("make", at))?;
        if let Some(above) = at.parent().filter(|above| !above.as_os_str().is_empty()) {
            layout.disk.sync_dir(above).map_err(failed("sync", above))?;
        }
    }
    layout.unmark_clean().map_err(failed("remove the mark `clean` in", at))?;
    if let Format::Ours { salt } = format {
        return Ok(salt);
    }
    let salt = fresh_salt();
    layout.write_format(salt).map_err(failed("write", &layout.format_path()))?;
    Ok(salt)
}

pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Io { doing, path, error }
}
