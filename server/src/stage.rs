//! What a server can say of itself before it can be asked: how far its start has come, and whether it is wanted at all.

use crate::control::Control;
use crate::keys::KeyControl;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Ends a start that takes long, such as the recovery of millions of requests. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Whoever starts stops as soon as it can, and leaves everything as it was.
    pub fn interrupt(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was said.
    pub fn is_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A start, seen from the admin port.
#[derive(Debug)]
pub(crate) struct Stage {
    interrupt: Interrupt,
    restored: AtomicU64,
    /// Once the data plane turns.
    control: OnceLock<(Control, KeyControl)>,
}

impl Stage {
    pub(crate) fn new(interrupt: Interrupt) -> Self {
        Self { interrupt, restored: AtomicU64::new(0), control: OnceLock::new() }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupt.is_said()
    }

    /// So much was read or restored.
    pub(crate) fn restored(&self, count: u64) {
        self.restored.store(count, Ordering::Relaxed);
    }

    pub(crate) fn restored_so_far(&self) -> u64 {
        self.restored.load(Ordering::Relaxed)
    }

    /// From now on the data plane can be asked.
    pub(crate) fn serves(&self, control: Control, keys: KeyControl) {
        // It is said once.
        let _ = self.control.set((control, keys));
    }

    /// The way to the data plane, if it turns already.
    pub(crate) fn control(&self) -> Option<&Control> {
        self.control.get().map(|(control, _)| control)
    }

    /// The way to exchange its keys, if it turns already.
    pub(crate) fn keys(&self) -> Option<&KeyControl> {
        self.control.get().map(|(_, keys)| keys)
    }
}
