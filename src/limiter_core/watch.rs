//! Until when the first in line watches: it waits for its tokens, and is not silent.
//!
//! A small call that fits must not pass a large one that does not, however long that takes. So the first in line says that it
//! is there, and again before that is over; while it does, nobody behind it takes it for silent.

use super::grace::Grace;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{JUMP, Timestamp};
use core::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Watch {
    /// In ns.
    until: AtomicU64,
    /// The number of the call that watches.
    by: AtomicU64,
}

impl Watch {
    /// The first in line waits until `free_at`, and looks again by the time that is returned.
    pub(super) fn show(
        &self,
        by: u64,
        free_at: Timestamp,
        now: Timestamp,
        grace: Grace,
    ) -> Timestamp {
        let eighth = grace.duration() / 8;
        let lasts = free_at.min(now.saturating_add(3 * eighth));
        // ORDERING: Relaxed: a hint. By a stale one others look past a call too early, or within the grace all the same.
        self.by.store(by, Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        self.until.store(lasts.as_nanos(), Ordering::Relaxed);
        free_at.min(now.saturating_add(2 * eighth))
    }

    /// How long it lasts after `now`. If that is longer than it ever does, the clock has jumped back since.
    pub(super) fn lasts(&self, now: Timestamp, grace: Grace) -> Duration {
        // ORDERING: Relaxed, as in `show`.
        let until = Timestamp::from_nanos(self.until.load(Ordering::Relaxed));
        let lasts = until.saturating_duration_since(now);
        if lasts > grace.duration().saturating_add(JUMP) { Duration::ZERO } else { lasts }
    }

    /// Whether it is an older call than the `nth` that watches.
    pub(super) fn is_before(&self, nth: u64) -> bool {
        // ORDERING: Relaxed, as in `show`.
        self.by.load(Ordering::Relaxed) < nth
    }

    /// The `nth` call has left its place. Another one may watch.
    pub(super) fn end_by(&self, nth: u64) {
        // ORDERING: Relaxed, as in `show`.
        if self.by.load(Ordering::Relaxed) == nth {
            self.end();
        }
    }

    /// The first in line may fit now.
    pub(super) fn end(&self) {
        // ORDERING: Relaxed, as in `show`.
        self.until.store(0, Ordering::Relaxed);
    }
}
