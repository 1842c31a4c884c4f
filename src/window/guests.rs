//! Who is looking at logs that may be left for others: when nobody is, those that were left are freed.
//!
//! Who comes counts himself in, then reads which log is in place. Who puts another in its place puts
//! the old one on a list. Who goes takes the list if he seems to be alone, then counts himself out: if
//! he was the last, nobody has what is on the list, since those who came before have gone and those
//! who come later see what has taken its place. If he was not, he puts the list back.
//!
//! A thread that stops while it looks keeps old logs from being freed, and holds up nobody; how many
//! there can be is bounded by their owner, who asks [`Guests::left_behind`] first.

use super::shards::Shards;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use core::ptr;

pub(super) struct Guests {
    inside: AtomicU64,
    /// Logs that were left: the last of them, linked by `Shards::left_before`.
    left: AtomicPtr<Shards>,
    /// About how many those are.
    count: AtomicU32,
}

/// One that is inside, until it is dropped.
pub(super) struct Stay<'a>(&'a Guests);

impl Guests {
    pub(super) fn new() -> Self {
        Self {
            inside: AtomicU64::new(0),
            left: AtomicPtr::new(ptr::null_mut()),
            count: AtomicU32::new(0),
        }
    }

    /// What is read after this in place of a log cannot be freed before the stay is over.
    pub(super) fn come(&self) -> Stay<'_> {
        // ORDERING: Acquire pairs with the Release of whoever was the last to go before: what he
        // freed had been replaced, and the reads after this see by what.
        self.inside.fetch_add(1, Ordering::Acquire);
        Stay(self)
    }

    /// How many old logs there are, about.
    pub(super) fn left_behind(&self) -> u32 {
        // ORDERING: Relaxed: a count that says nothing about other memory.
        self.count.load(Ordering::Relaxed)
    }

    fn go(&self) {
        // ORDERING: Relaxed, both: whether it is worth while; decided below.
        let seems_alone = self.inside.load(Ordering::Relaxed) == 1;
        let some = seems_alone && !self.left.load(Ordering::Relaxed).is_null();
        // ORDERING: Acquire pairs with the Release in `put`: the links are seen, and what has come in
        // place of the logs happened before this.
        let list =
            if some { self.left.swap(ptr::null_mut(), Ordering::Acquire) } else { ptr::null_mut() };
        // ORDERING: Release: looks, and the replacements of what is on the list, come before; to the
        // Acquire here of the last to go, and in `come`.
        let is_last = self.inside.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last {
            // SAFETY: the list was taken out whole, so nobody else has it as a list. Its logs had been
            // replaced by then: who counted himself in before has gone, who does so after sees that.
            unsafe { self.free(list) };
        } else if !list.is_null() {
            self.put(list);
        }
    }

    /// Puts a list of logs in place of the list, with what that was behind it.
    fn put(&self, list: *mut Shards) {
        let mut last = list;
        loop {
            // SAFETY: only whoever has taken or made the list has it, and frees it or puts it here.
            let mut before = unsafe { &*last }.left_before();
            while !before.is_null() {
                last = before;
                // SAFETY: as above.
                before = unsafe { &*last }.left_before();
            }
            // ORDERING: Release publishes the links, and that the logs have been replaced, to the
            // Acquire in `go` and below. Nothing is read on failure.
            let put = self.left.compare_exchange(
                ptr::null_mut(),
                list,
                Ordering::Release,
                Ordering::Relaxed,
            );
            if put.is_ok() {
                return;
            }
            // Taken, not linked to: what is at that address may have been freed and made anew.
            // ORDERING: Acquire pairs with the Release above.
            let others = self.left.swap(ptr::null_mut(), Ordering::Acquire);
            // SAFETY: as above.
            unsafe { &*last }.set_left_before(others);
        }
    }

    /// Frees a list of logs.
    ///
    /// # Safety
    ///
    /// Nobody else has any of them.
    unsafe fn free(&self, mut list: *mut Shards) {
        while !list.is_null() {
            // SAFETY: it came from `Box::into_raw` in `Shards::link`; the caller has it alone.
            let shards = unsafe { Box::from_raw(list) };
            list = shards.left_before();
            // ORDERING: Relaxed, as in `left_behind`.
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Stay<'_> {
    /// Hands over a log that this guest has taken out of its place.
    pub(super) fn leave_behind(&self, shards: *mut Shards) {
        // ORDERING: Relaxed, as in `left_behind`.
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.put(shards);
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.0.go();
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        // ORDERING: Relaxed: exclusive access.
        let list = self.left.load(Ordering::Relaxed);
        // SAFETY: nobody is left.
        unsafe { self.free(list) };
    }
}
