//! How long a silent call may hold up the others.

use crate::time::Timestamp;
use core::time::Duration;

/// The grace, and the times that follow from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grace {
    /// In ns.
    nanos: u64,
}

impl Grace {
    /// Long enough that a busy runtime answers in time, and short enough that nobody minds a call that never does.
    pub(crate) const DEFAULT: Duration = Duration::from_secs(1);
    const MIN: Duration = Duration::from_millis(1);
    const MAX: Duration = Duration::from_secs(3600);

    /// Within a millisecond and an hour.
    pub(crate) fn new(grace: Duration) -> Self {
        let nanos = grace.clamp(Self::MIN, Self::MAX).as_nanos();
        Self { nanos: u64::try_from(nanos).unwrap_or(u64::MAX) }
    }

    /// The number of the period in which turns that are handed out at `now` are counted. They count for one to two
    /// periods, a quarter of the grace at most.
    pub(super) fn period(self, now: Timestamp) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "periods are compared modulo 2^32")]
        let period = (now.as_nanos() / (self.nanos / 8)) as u32;
        period
    }

    /// The one that holds for a semaphore that several share: the longest of theirs, and long enough for coarse timers.
    pub(super) fn with_sharers(self, longest: Duration) -> Self {
        Self { nanos: self.nanos.max(Self::new(longest).nanos).max(100_000_000) }
    }

    pub(super) fn duration(self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    pub(super) fn ticks(self, now: Timestamp) -> Ticks {
        Ticks(now.as_nanos() / (self.nanos / 16))
    }

    /// How long until a call that stands for a shared permit behind `ahead` others shows itself again, and looks for a
    /// permit that a silent call was granted. Few are not so far behind.
    pub(super) fn between_looks(self, ahead: u64) -> Duration {
        let ticks = u64::from(Ticks::BETWEEN_LOOKS.unsigned_abs());
        let factor = 1 << Ticks::distance(ahead);
        Duration::from_nanos(self.nanos / 16 * ticks * factor)
    }

    /// In ns: how long a turn counts at most.
    pub(super) fn turn_ends_in(self) -> u64 {
        self.nanos / 4
    }

    /// How long after it could have gone a call with `ahead` others before it looks whether room is unused, and how
    /// long after that it looks again: then those ahead must be silent.
    ///
    /// A quarter of the grace, in which turns out have been answered or count no more. Those further behind wait longer,
    /// so that few look in vain, and those ahead look first.
    pub(super) fn patience(self, ahead: u64) -> Duration {
        let quarter = u128::from(self.nanos / 4);
        let nanos = quarter * (64 + u128::from(ahead)) / 64;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A time in sixteenths of the grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks(u64);

impl Ticks {
    /// From one look to the next more than a quarter of the grace passes. With three of them in a row a call goes within
    /// the grace.
    pub(super) const BETWEEN_LOOKS: i32 = 5;

    pub(super) fn count(self) -> u64 {
        self.0
    }

    #[cfg(all(test, not(any(ringgate_loom, ringgate_shuttle))))]
    pub(super) fn from_count(count: u64) -> Self {
        Self(count)
    }

    /// A call that stands behind so many shows itself so many times, as a power of two, less often than the first ones.
    pub(super) fn distance(ahead: u64) -> u32 {
        (ahead / 64).clamp(1, 16).ilog2()
    }
}
