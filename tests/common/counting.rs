//! An allocator that keeps each thread's tally, so that other threads do not disturb a count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a thread has allocated so far.
#[derive(Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) allocations: u64,
    /// Bytes allocated less bytes freed; negative for a thread that frees what others allocated.
    pub(crate) live: i128,
}

thread_local! {
    static TALLY: Cell<Tally> = const { Cell::new(Tally { allocations: 0, live: 0 }) };
}

pub(crate) fn tally() -> Tally {
    TALLY.get()
}

/// How many allocations `work` makes on this thread.
pub(crate) fn allocations<R>(work: impl FnOnce() -> R) -> u64 {
    let before = tally().allocations;
    drop(work());
    tally().allocations - before
}

/// How many bytes more are allocated on this thread after `work` than before it.
pub(crate) fn growth(work: impl FnOnce()) -> i128 {
    let before = tally().live;
    work();
    tally().live - before
}

pub(crate) struct Counting;

fn note(allocations: u64, bytes: i128) {
    // A thread that is ending does not count its allocations.
    let _ = TALLY.try_with(|tally| {
        let Tally { allocations: count, live } = tally.get();
        tally.set(Tally { allocations: count + allocations, live: live + bytes });
    });
}

fn size(bytes: usize) -> i128 {
    i128::try_from(bytes).unwrap_or(i128::MAX)
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, size(layout.size()));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, size(layout.size()));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -size(layout.size()));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(1, size(new_size) - size(layout.size()));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
