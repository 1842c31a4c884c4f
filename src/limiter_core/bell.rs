//! A bell for the one who grants leases.
//!
//! ```text
//! word: RUNG, ARMED, or neither
//!
//! the one who rings    changes something ─► swaps in RUNG  ─► was it armed? releases a permit
//! the one who hears    swaps in ARMED ─► had it rung? goes : looks at what it waits for ─► waits for a permit
//! ```
//!
//! Both swap one word, so one comes first. If it is the one who rings, the other finds that it has rung, and sees the change. If it is
//! the one who hears, the ring finds it armed. So no ring is lost, and one that nobody waits for is one exchange.
//!
//! A ring runs the user's waker. So whoever changes something within a step notes it (`note`), and rings after the step
//! (`ring_if_noted`). Another may ring for it before that.

use crate::semaphore::{Semaphore, Waiting};
use crate::sync::atomic::{AtomicU64, Ordering};

const ARMED: u64 = 1;
const RUNG: u64 = 2;

#[derive(Debug)]
pub(crate) struct Bell {
    word: AtomicU64,
    noted: AtomicU64,
    rope: Semaphore,
}

impl Bell {
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(0), noted: AtomicU64::new(0), rope: Semaphore::new(0) }
    }

    /// Something has changed. The caller rings once its step is done.
    pub(crate) fn note(&self) {
        // ORDERING: Release publishes the change to the Acquire in `ring_if_noted` of another.
        self.noted.store(1, Ordering::Release);
    }

    /// Rings if something has changed. No step is open.
    #[inline]
    pub(crate) fn ring_if_noted(&self) {
        // ORDERING: Relaxed: whoever has noted something sees it here; others that see it decide by the swap.
        if self.noted.load(Ordering::Relaxed) != 0 {
            self.ring_once();
        }
    }

    #[cold]
    fn ring_once(&self) {
        // ORDERING: Acquire pairs with the Release in `note`: the change goes on with this ring. (AcqRel: so does a later one's that
        // finds what this has written.)
        if self.noted.swap(0, Ordering::AcqRel) != 0 {
            self.ring();
        }
    }

    /// Rings. No step is open.
    pub(crate) fn ring(&self) {
        // ORDERING: AcqRel: Release publishes the change to the swap in `arm`, Acquire pairs with that one's Release.
        if self.word.swap(RUNG, Ordering::AcqRel) & ARMED != 0 {
            self.rope.release(1);
        }
    }

    /// From now on a ring is heard. Returns whether it has rung since the last time. One thread only.
    pub(crate) fn arm(&self) -> bool {
        // Of a ring that was heard otherwise.
        self.rope.forget_permits(usize::MAX);
        // ORDERING: AcqRel, as in `ring`. What is looked at afterwards is as new as the last ring.
        self.word.swap(ARMED, Ordering::AcqRel) & RUNG != 0
    }

    /// Waits for a ring.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.rope.wait()
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
