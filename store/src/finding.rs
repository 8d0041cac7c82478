//! What was found wrong when a store was opened: what happened, what was lost, what was kept, where it was put.

use std::fmt;
use std::path::PathBuf;

/// Something that was not as it should be. Its text is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is, for programs.
    pub kind: FindingKind,
    /// In which file or directory.
    pub path: PathBuf,
    /// Where a copy of it was put before anything was repaired, if that was necessary and possible.
    pub aside: Option<PathBuf>,
    /// Why no copy was made although there should be one.
    pub not_aside: Option<String>,
}

/// Kinds of findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
    /// The end of the last segment was not whole: its writing was interrupted, so it was never acknowledged. Nothing is lost.
    TornTail {
        /// Where the sound part ends.
        offset: u64,
        /// Bytes that were cut.
        bytes: u64,
    },
    /// Bytes in a segment that had been synced are not what was written.
    DamagedJournal {
        /// Where they begin.
        offset: u64,
        /// How many bytes were passed over.
        bytes: u64,
        /// How many steps were lost, if that can be told.
        steps: Option<u64>,
    },
    /// Steps stand in a segment a second time, or where they do not belong. They were passed over; nothing is lost.
    MisplacedSteps {
        /// Where the first of them stands.
        offset: u64,
        /// How many.
        steps: u64,
    },
    /// A file with the name of a segment holds another one. It was passed over.
    ForeignSegment {
        /// Which one it holds.
        number: u64,
        /// Its bytes.
        bytes: u64,
    },
    /// A segment is not there although a later one says that it should be.
    MissingSegment,
    /// Items that could be read but not understood.
    UnreadableItems {
        /// How many.
        items: u64,
    },
    /// A generation of snapshots could not be opened, or not be read to its end.
    BrokenGeneration {
        /// Items that could be read all the same.
        salvaged: u64,
        /// Items that were lost, if their number is known.
        lost: Option<u64>,
        /// What was wrong, from whoever noticed.
        what: String,
    },
    /// One of the small files (`format`, `current`, `newest`, the sum of a generation) is damaged or missing. It was written anew; nothing is lost.
    SmallFile {
        /// What is wrong with it.
        what: &'static str,
    },
    /// `current` names no generation that is there.
    NoGeneration {
        /// What is wrong.
        what: String,
    },
}

impl Finding {
    pub(crate) fn new(kind: FindingKind, path: impl Into<PathBuf>) -> Self {
        Self { kind, path: path.into(), aside: None, not_aside: None }
    }

    /// Whether something that had been saved is lost, or may be.
    pub fn is_loss(&self) -> bool {
        match self.kind {
            FindingKind::TornTail { .. }
            | FindingKind::MisplacedSteps { .. }
            | FindingKind::SmallFile { .. }
            | FindingKind::DamagedJournal { steps: Some(0), .. } => false,
            FindingKind::DamagedJournal { .. }
            | FindingKind::ForeignSegment { .. }
            | FindingKind::MissingSegment
            | FindingKind::UnreadableItems { .. }
            | FindingKind::BrokenGeneration { .. }
            | FindingKind::NoGeneration { .. } => true,
        }
    }

    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self.kind {
            FindingKind::TornTail { .. } => "torn_tail",
            FindingKind::DamagedJournal { .. } => "damaged_journal",
            FindingKind::MisplacedSteps { .. } => "misplaced_steps",
            FindingKind::ForeignSegment { .. } => "foreign_segment",
            FindingKind::MissingSegment => "missing_segment",
            FindingKind::UnreadableItems { .. } => "unreadable_items",
            FindingKind::BrokenGeneration { .. } => "broken_generation",
            FindingKind::SmallFile { .. } => "small_file",
            FindingKind::NoGeneration { .. } => "no_generation",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.kind)?;
        if let Some(aside) = &self.aside {
            write!(f, "; as it was found it is at {}", aside.display())?;
        }
        if let Some(error) = &self.not_aside {
            write!(f, "; it was left as it is, because no copy could be set aside: {error}")?;
        }
        Ok(())
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail { offset, bytes } => write!(
                f,
                "its last {bytes} bytes, from byte {offset} on, were being written when the last server stopped; they were never \
                 acknowledged and are cut off"
            ),
            Self::DamagedJournal { offset, bytes, steps: Some(0) } => {
                write!(f, "{bytes} bytes at byte {offset} are damaged, but nothing is lost")
            }
            Self::DamagedJournal { offset, bytes, steps: Some(steps) } => {
                write!(
                    f,
                    "{bytes} bytes at byte {offset} are damaged: {steps} steps of durable requests are lost, the rest is kept"
                )
            }
            Self::DamagedJournal { offset, bytes, steps: None } => write!(
                f,
                "{bytes} bytes at byte {offset} are damaged: an unknown number of steps of durable requests is lost, the rest is kept"
            ),
            Self::MisplacedSteps { offset, steps } => {
                write!(
                    f,
                    "{steps} steps from byte {offset} on stand where they do not belong and are passed over; nothing is lost"
                )
            }
            Self::ForeignSegment { number, bytes } => write!(
                f,
                "these {bytes} bytes are segment {number} under another name; they are passed over, and what should be here is lost"
            ),
            Self::MissingSegment => {
                write!(f, "this part of the journal is missing: the durable requests that only it held are lost")
            }
            Self::UnreadableItems { items } => write!(f, "{items} items cannot be read and are lost, the rest is kept"),
            Self::BrokenGeneration { salvaged, lost: Some(lost), what } => {
                write!(f, "the snapshot is damaged ({what}): {salvaged} items were salvaged, {lost} are lost")
            }
            Self::BrokenGeneration { salvaged, lost: None, what } => {
                write!(
                    f,
                    "the snapshot is damaged ({what}): {salvaged} items were salvaged, how many are lost is not known"
                )
            }
            Self::SmallFile { what } => write!(f, "{what}; it is written anew, nothing is lost"),
            Self::NoGeneration { what } => {
                write!(f, "{what}: requests that are not durable and were saved there are lost")
            }
        }
    }
}
