//! Opening snapshots where they are, or looking at them.

use super::sled::{self, SledSnapshots};
use super::{MemorySnapshots, Part, Snapshots};
use crate::layout::Layout;
use crate::open::{OpenError, SnapshotsIn};
use crate::{Calendar, Finding};
use answerback_broker::{Item, ItemId};
use std::ops::ControlFlow;

/// What a look at snapshots found.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    pub(crate) findings: Vec<Finding>,
    pub(crate) next_item: u64,
}

impl SnapshotsIn {
    /// What is wrong with them. Changes nothing.
    pub(crate) fn check(&self, layout: &Layout, calendar: Calendar) -> Result<Vec<Finding>, OpenError> {
        Ok(self.look(layout, calendar, &mut |_, _| ControlFlow::Continue(()))?.findings)
    }

    /// Shows all items and changes nothing.
    pub(crate) fn look(
        &self,
        layout: &Layout,
        calendar: Calendar,
        each: &mut dyn FnMut(ItemId, Item) -> ControlFlow<()>,
    ) -> Result<Looked, OpenError> {
        match self {
            Self::Sled => sled::look(layout, calendar, each),
            Self::Memory(shelf) => {
                let mut snapshots = MemorySnapshots::new(shelf.clone(), calendar);
                let next_item = snapshots.next_item();
                let mut findings = Vec::new();
                for part in [Part::First, Part::Sends] {
                    let found = snapshots.load(part, each);
                    findings.extend(found.map_err(crate::open::failed("read", &layout.path))?);
                }
                Ok(Looked { findings, next_item })
            }
        }
    }

    /// Opens them for use.
    pub(crate) fn open(
        &self,
        layout: &Layout,
        calendar: Calendar,
    ) -> Result<(Box<dyn Snapshots>, Vec<Finding>), OpenError> {
        match self {
            Self::Sled => {
                let (snapshots, findings) = SledSnapshots::open(layout.clone(), calendar)?;
                Ok((Box::new(snapshots), findings))
            }
            Self::Memory(shelf) => Ok((Box::new(MemorySnapshots::new(shelf.clone(), calendar)), Vec::new())),
        }
    }
}
