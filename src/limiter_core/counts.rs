//! Numbers of calls.

use crate::sync::atomic::{AtomicU64, Ordering};

/// Counts one more, for those who watch.
#[inline]
pub(super) fn count(count: &AtomicU64) {
    // ORDERING: Relaxed: a count for information. No other memory goes with it. At one in a nanosecond it lasts for 584 years.
    count.fetch_add(1, Ordering::Relaxed);
}

/// How many calls have been admitted from the line.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU64);

impl Progress {
    pub(super) fn made(&self) {
        // ORDERING: Relaxed: it only tells whether to look once more before others are taken for silent.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn so_far(&self) -> u64 {
        // ORDERING: Relaxed, as above.
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of calls.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn get(&self) -> u64 {
        // ORDERING: Relaxed: a count for estimates.
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) -> Counted<'_> {
        // ORDERING: Relaxed, as in `get`.
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(&self.0)
    }
}

/// One call in a count, until it is dropped.
pub(super) struct Counted<'a>(pub(super) &'a AtomicU64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: the count guards nothing but itself.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is to be told once.
#[cfg(feature = "tracing")]
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicU64);

#[cfg(feature = "tracing")]
impl Flag {
    pub(super) fn is_set(&self) -> bool {
        // ORDERING: Relaxed: of those that see it set, `take` chooses one.
        self.0.load(Ordering::Relaxed) != 0
    }

    pub(super) fn set(&self) {
        // ORDERING: Relaxed: it only decides who tells. No other memory goes with it.
        self.0.store(1, Ordering::Relaxed);
    }

    /// Whether it was set. True for one.
    pub(super) fn take(&self) -> bool {
        // ORDERING: Relaxed, as in `set`.
        self.0.swap(0, Ordering::Relaxed) != 0
    }
}
