//! How many calls a provider has refused lately. They count in our window, and not in its own.

use crate::sync::atomic::{AtomicU64, Ordering};
use core::ops::{Range, RangeInclusive};

/// Parts of a window, and some more for what is not over.
const BUCKETS: usize = 16;
const PARTS: u64 = 12;
/// More often only if others count at the same time.
const TRIES: u32 = 8;

/// The refused calls of a window, by the part of it in which they were admitted.
#[derive(Debug, Default)]
pub(super) struct RefusedCalls([AtomicU64; BUCKETS]);

/// `[part of all time | how many]`
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bucket(u64);

impl Bucket {
    fn new(part: u32, count: u32) -> Self {
        Self(u64::from(part) << 32 | u64::from(count))
    }

    fn part(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    fn count(self) -> u32 {
        self.0 as u32
    }
}

impl RefusedCalls {
    /// Counts one that was admitted at this time (ns). Of several that come at once some may be left out.
    pub(super) fn count(&self, sent: u64, window: u64) {
        let part = part(sent, window);
        let bucket = self.bucket(part);
        for _ in 0..TRIES {
            // ORDERING: Relaxed: the number alone, in both.
            let seen = Bucket(bucket.load(Ordering::Relaxed));
            if seen.part() > part {
                // It was admitted longer ago than is remembered.
                break;
            }
            let count = if seen.part() == part { seen.count().saturating_add(1) } else { 1 };
            let next = Bucket::new(part, count).0;
            // ORDERING: as above.
            let counted =
                bucket.compare_exchange(seen.0, next, Ordering::Relaxed, Ordering::Relaxed);
            if counted.is_ok() {
                break;
            }
        }
    }

    pub(super) fn forget(&self) {
        for bucket in &self.0 {
            // ORDERING: Relaxed: the number alone.
            bucket.store(0, Ordering::Relaxed);
        }
    }

    /// Those that were admitted in this time, and perhaps some that were shortly before or after.
    pub(super) fn around(&self, time: Range<u64>, window: u64) -> u64 {
        self.sum(part(time.start, window)..=part(time.end, window))
    }

    /// Those that were certainly admitted in this time.
    pub(super) fn within(&self, time: Range<u64>, window: u64) -> u64 {
        self.sum(part(time.start, window).saturating_add(1)..=part(time.end, window))
    }

    fn sum(&self, parts: RangeInclusive<u32>) -> u64 {
        // ORDERING: Relaxed: numbers alone.
        let all = self.0.iter().map(|bucket| Bucket(bucket.load(Ordering::Relaxed)));
        let counted = all.filter(|bucket| parts.contains(&bucket.part()));
        counted.map(|bucket| u64::from(bucket.count())).sum()
    }

    fn bucket(&self, part: u32) -> &AtomicU64 {
        &self.0[part as usize % BUCKETS]
    }
}

/// Which part of all time a time is in. They begin anew after as many as fit in 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
fn part(time: u64, window: u64) -> u32 {
    (time / (window / PARTS).max(1)) as u32
}
