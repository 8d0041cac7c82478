//! A gate that holds others up until it is dropped: how tests make a disk slow without sleeping.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

/// Holds up whoever comes to it until it is dropped. Who comes later passes.
#[derive(Debug, Default)]
pub struct Gate(Arc<Shut>);

/// The place where a gate may stand.
#[derive(Debug, Default)]
pub(crate) struct GateWay(Mutex<Weak<Shut>>);

#[derive(Debug, Default)]
struct Shut {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    waiting: usize,
}

impl Gate {
    /// Waits until somebody is held up here. For tests that want to be sure that the disk hangs.
    pub fn wait_for_somebody(&self) {
        let mut state = self.0.lock();
        while state.waiting == 0 {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many are held up now.
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.lock().open = true;
        self.0.changed.notify_all();
    }
}

impl GateWay {
    /// Puts a gate here.
    pub(crate) fn shut(&self) -> Gate {
        let gate = Gate::default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&gate.0);
        gate
    }

    /// Passes, once no gate stands here.
    pub(crate) fn pass(&self) {
        let shut = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let Some(shut) = shut else { return };
        let mut state = shut.lock();
        state.waiting += 1;
        shut.changed.notify_all();
        while !state.open {
            state = shut.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
    }
}

impl Shut {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
