//! Counts what this program allocates, by standing in front of the system's allocator.
//!
//! The counters are exact while one thread runs, which is how `core` uses them. They are written without read-modify-write
//! instructions on purpose: a locked addition for each allocation would show in the nanoseconds measured beside it.
//! With more threads they are only lower bounds, and nobody asks them then.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static FREED: AtomicU64 = AtomicU64::new(0);

/// What was allocated since the program began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocated {
    /// Allocations, a growth in place counted as one.
    pub(crate) count: u64,
    /// Bytes asked for.
    pub(crate) bytes: u64,
    /// Bytes given back.
    freed: u64,
}

/// What was allocated up to now.
pub(crate) fn so_far() -> Allocated {
    Allocated { count: COUNT.load(Relaxed), bytes: BYTES.load(Relaxed), freed: FREED.load(Relaxed) }
}

impl Allocated {
    /// Bytes in use that were not in use at `earlier`.
    pub(crate) fn live_since(self, earlier: Self) -> i64 {
        let live = |at: Self| at.bytes.wrapping_sub(at.freed) as i64;
        live(self) - live(earlier)
    }
}

fn add(counter: &AtomicU64, amount: usize) {
    counter.store(counter.load(Relaxed).wrapping_add(amount as u64), Relaxed);
}

fn note(bytes: usize) {
    add(&COUNT, 1);
    add(&BYTES, bytes);
}

// SAFETY: every method hands its arguments to the system's allocator unchanged and returns what that returns, so what
// the system's allocator promises holds here too. The counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is that of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        add(&FREED, layout.size());
        // SAFETY: `block` came from here with this layout, and all that comes from here comes from the system's allocator.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        add(&FREED, layout.size());
        // SAFETY: as for `realloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests of this program may allocate meanwhile, so this one asks for lower bounds of something large.
    #[test]
    fn what_is_allocated_is_counted() {
        let before = so_far();
        let block = vec![0_u8; 64 << 20];
        let during = so_far();
        drop(block);
        assert!(during.count > before.count);
        assert!(during.live_since(before) >= 63 << 20);
        assert!(so_far().live_since(before) < 63 << 20);
    }
}
