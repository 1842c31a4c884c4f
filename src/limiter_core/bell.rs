//! A bell for the one who grants leases.
//!
//! ```text
//! word: RUNG and ARMED, each or not
//!
//! the one who rings    changes something ─► adds RUNG ─► was it armed? releases a permit
//! the one who hears    swaps in ARMED alone ─► had it rung? goes : looks at what it waits for ─► waits for a permit
//! ```
//!
//! Both write one word, so one comes first. If it is the one who rings, the other finds that it has rung, and sees the change. If it is
//! the one who hears, the ring finds it armed. So no ring is lost, and one that nobody waits for is one exchange. Each ring while it is
//! armed releases a permit, also if it has rung already: the one that has rung before may have stopped before it released its own.
//! Those that are too many are forgotten when it is armed again.
//!
//! A ring runs the user's waker. So whoever changes something within a step notes it (`note`), and rings after the step
//! (`ring_if_noted`), unless another has rung for it by then. Changes are told by their number, and only after the ring: one that has
//! stopped before it rang for others has not taken their ring away.
//!
//! A thread that stops in the middle of the waker itself, or before it calls it, keeps that one wake. The next call of
//! `Lessee::changed` finds that it has rung.

use crate::semaphore::{Semaphore, Waiting};
use crate::sync::atomic::{AtomicU64, Ordering};

const ARMED: u64 = 1;
const RUNG: u64 = 2;

#[derive(Debug)]
pub(crate) struct Bell {
    word: AtomicU64,
    /// How many changes were noted.
    noted: AtomicU64,
    /// For so many of them it has rung.
    told: AtomicU64,
    rope: Semaphore,
}

impl Bell {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { word: zero(), noted: zero(), told: zero(), rope: Semaphore::new(0) }
    }

    /// Something has changed. The caller rings once its step is done.
    pub(crate) fn note(&self) {
        // ORDERING: Release publishes the change to the Acquire in `ring_if_noted` of another.
        self.noted.fetch_add(1, Ordering::Release);
    }

    /// How many changes were noted, if it has yet to ring for some of them.
    #[inline]
    pub(crate) fn untold(&self) -> Option<u64> {
        // ORDERING: Acquire pairs with the Release in `note`: these changes go on with the ring.
        let noted = self.noted.load(Ordering::Acquire);
        // ORDERING: Relaxed: a stale number rings once too often. Whoever has noted something sees its own number in `noted`.
        (noted > self.told.load(Ordering::Relaxed)).then_some(noted)
    }

    /// Rings if something has changed. No step is open.
    #[inline]
    pub(crate) fn ring_if_noted(&self) {
        if let Some(noted) = self.untold() {
            self.ring_for(noted);
        }
    }

    #[cold]
    pub(crate) fn ring_for(&self, noted: u64) {
        // MUTANTS: bell ring_for
        self.ring();
        // ORDERING: Relaxed: after the ring. A thread that sees the number rings no more; it reads nothing by it.
        self.told.fetch_max(noted, Ordering::Relaxed);
    }

    /// Rings. No step is open.
    pub(crate) fn ring(&self) {
        // ORDERING: Release publishes the change to the swap in `arm`. A later ring's does not hide it: that adds to the same word.
        // MUTANTS: bell ring
        if self.word.fetch_or(RUNG, Ordering::Release) & ARMED != 0 {
            self.rope.release(1);
        }
    }

    /// From now on a ring is heard. Returns whether it has rung since the last time. One thread only.
    pub(crate) fn arm(&self) -> bool {
        // Of rings that were heard otherwise, or twice.
        self.rope.forget_permits(usize::MAX);
        // ORDERING: Acquire pairs with the Release in `ring`: what is looked at afterwards is as new as the last ring. A ring that comes
        // later finds the word armed, and reads nothing else.
        // MUTANTS: bell arm
        self.word.swap(ARMED, Ordering::Acquire) & RUNG != 0
    }

    /// It is not waited for: a ring only says that it has rung. One thread only.
    pub(crate) fn disarm(&self) {
        // ORDERING: Relaxed: a ring that comes before it releases a permit for nobody; `arm` orders the rest.
        self.word.fetch_and(!ARMED, Ordering::Relaxed);
    }

    /// [`arm`](Self::arm), and what must not panic after it: if it does, it has rung again.
    pub(crate) fn arm_and<R>(&self, look: impl FnOnce() -> R) -> (bool, R) {
        let has_rung = self.arm();
        let kept = has_rung.then(|| KeptRing(self));
        let found = look();
        core::mem::forget(kept);
        (has_rung, found)
    }

    /// Waits for a ring.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.rope.wait()
    }
}

/// A ring that was heard. If this is dropped, it has rung again.
struct KeptRing<'a>(&'a Bell);

impl Drop for KeptRing<'_> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: it was acquired by the one who puts it back, and that one hears it. Rings of others add to the same word.
        self.0.word.fetch_or(RUNG, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(any(ringgate_loom, ringgate_shuttle))))]
mod tests {
    use super::Bell;

    /// Otherwise whoever waits later would look as often in vain. Broken by: `arm` that leaves the rope as it is.
    #[test]
    fn rings_that_were_heard_otherwise_do_not_add_up() {
        let bell = Bell::new();
        assert!(!bell.arm());
        for _ in 0..10 {
            bell.ring();
            assert_eq!(bell.rope.available_permits(), 1);
            assert!(bell.arm());
            assert_eq!(bell.rope.available_permits(), 0);
        }
        assert!(!bell.arm());
    }
}
