//! Frees logs that have been replaced, once no thread can be reading them.
//!
//! A reader pins: it adds one to a count, then loads which log is current. The thread that replaces a log retires the
//! old one: it pushes it onto a list. A reader that unpins and seems to be the only one takes the list, then subtracts
//! one from the count:
//!
//! * If it was the last, no thread holds a log of that list. Readers that pinned before have unpinned; a reader that pins
//!   later sees what has replaced those logs. It frees them.
//! * If it was not, it puts the list back.
//!
//! A thread that stalls while pinned keeps retired logs from being freed, and blocks no other. The owner bounds their
//! number: it checks [`Reclaimer::retired_count`] before it replaces a log that could stay.
//!
//! This is the scheme of a single epoch. It is simpler than crossbeam-epoch or hazard pointers; the price is that nothing
//! is freed while readers overlap without a break. Logs are replaced rarely enough for that.

use super::shards::Shards;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use core::ptr;

pub(super) struct Reclaimer {
    /// The readers that are pinned.
    pins: AtomicU64,
    /// The list of retired logs, linked by `Shards::next_retired`.
    retired: AtomicPtr<Shards>,
    /// About how many logs are on that list.
    retired_count: AtomicU32,
}

/// A reader's pin; unpins when dropped.
pub(super) struct Pinned<'a>(&'a Reclaimer);

impl Reclaimer {
    pub(super) fn new() -> Self {
        Self {
            pins: AtomicU64::new(0),
            retired: AtomicPtr::new(ptr::null_mut()),
            retired_count: AtomicU32::new(0),
        }
    }

    /// A log that is loaded as the current one after this is not freed before the pin is dropped.
    pub(super) fn pin(&self) -> Pinned<'_> {
        // ORDERING: Acquire pairs with the Release in `unpin` of the last reader before: the logs that it freed had been
        // replaced, and loads after this see by which.
        self.pins.fetch_add(1, Ordering::Acquire);
        Pinned(self)
    }

    /// About how many logs wait to be freed.
    pub(super) fn retired_count(&self) -> u32 {
        // ORDERING: Relaxed: a count that says nothing about other memory.
        self.retired_count.load(Ordering::Relaxed)
    }

    fn unpin(&self) {
        // ORDERING: Relaxed, both: they only tell whether it is worth trying; `fetch_sub` below decides.
        let seems_alone = self.pins.load(Ordering::Relaxed) == 1;
        let worth_it = seems_alone && !self.retired.load(Ordering::Relaxed).is_null();
        let list = if worth_it {
            // ORDERING: Acquire pairs with the Release in `push`: the links are seen, and the logs'
            // replacement happened before this.
            self.retired.swap(ptr::null_mut(), Ordering::Acquire)
        } else {
            ptr::null_mut()
        };
        // ORDERING: AcqRel. Release: this reader's loads, and the replacement of the list's logs, come
        // before; pairs with the Acquire in `pin`, and with the Acquire here of the last reader.
        let is_last = self.pins.fetch_sub(1, Ordering::AcqRel) == 1;
        // MUTANTS: unpin 1
        if is_last {
            // SAFETY: the list was taken as a whole, so no other thread has it. Its logs had been replaced before the
            // count fell to zero: readers that pinned earlier have unpinned, later ones see the replacement.
            unsafe { self.free(list) };
        // MUTANTS: unpin 2
        } else if !list.is_null() {
            self.push(list);
        }
    }

    /// Puts a list of logs back, in front of those retired meanwhile.
    fn push(&self, list: *mut Shards) {
        let mut last = list;
        loop {
            // SAFETY: only the thread that took or made the list has it, until it frees or pushes it.
            let mut next = unsafe { &*last }.next_retired();
            while !next.is_null() {
                last = next;
                // SAFETY: as above.
                next = unsafe { &*last }.next_retired();
            }
            // ORDERING: Release publishes the links, and that the logs have been replaced. It pairs with the Acquire in
            // `unpin` and below. Relaxed on failure: nothing is read.
            let pushed = self.retired.compare_exchange(
                ptr::null_mut(),
                list,
                Ordering::Release,
                Ordering::Relaxed,
            );
            if pushed.is_ok() {
                return;
            }
            // This takes the others instead of linking to them: the log at that address may have been freed and another
            // allocated there.
            // ORDERING: Acquire pairs with the Release above.
            let others = self.retired.swap(ptr::null_mut(), Ordering::Acquire);
            // MUTANTS: push
            // SAFETY: as above.
            unsafe { &*last }.set_next_retired(others);
        }
    }

    /// Frees a list of logs.
    ///
    /// # Safety
    ///
    /// No other thread has any of them.
    unsafe fn free(&self, mut list: *mut Shards) {
        while !list.is_null() {
            // SAFETY: it came from `Box::into_raw` in `Shards::link`. No other thread has it.
            let shards = unsafe { Box::from_raw(list) };
            list = shards.next_retired();
            // ORDERING: Relaxed, as in `retired_count`.
            self.retired_count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Pinned<'_> {
    /// Retires a log that this reader has replaced.
    pub(super) fn retire(&self, shards: *mut Shards) {
        // ORDERING: Relaxed, as in `retired_count`.
        self.0.retired_count.fetch_add(1, Ordering::Relaxed);
        self.0.push(shards);
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.0.unpin();
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        // ORDERING: Relaxed: exclusive access.
        let list = self.retired.load(Ordering::Relaxed);
        // SAFETY: no reader is left.
        unsafe { self.free(list) };
    }
}
