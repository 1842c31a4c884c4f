//! How a log's time follows the clock's.
//!
//! After the clock has jumped back, a log continues from the newest stamp: its time is the clock's plus an offset. The
//! offset and the number of resets and jumps before it are the log's *time base*. A thread reads the base before it reads
//! the clock, so a reading belongs to one base. A thread that meets a log of another base reads both again.

use super::cell::{from_epoch, to_epoch};
use super::ring::RingFull;

/// Reads the clock, in ns.
pub(super) type ReadClock<'a> = &'a dyn Fn() -> u64;

/// How a log's time follows the clock's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimeBase {
    /// How many resets and jumps came before.
    pub(super) epoch: u32,
    /// How far the log's time is ahead of the clock's, in ns.
    pub(super) offset: u64,
}

impl TimeBase {
    /// The offset after a jump, until the clock has been read.
    pub(super) const UNSET: u64 = u64::MAX;
}

/// A reading of the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reading {
    /// In ns.
    pub(crate) clock: u64,
    /// As it was before the clock was read.
    pub(crate) base: TimeBase,
}

/// No admission now. Times are in ns of the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogFull {
    /// When one is free; `None` if time ends before.
    pub(crate) free_at: Option<u64>,
    /// The newest stamp. If it is later than the reading, the reading was stale.
    pub(crate) newest: u64,
    /// The reading that this is valid for.
    pub(crate) reading: Reading,
}

impl Reading {
    /// The reading in the log's time, as cells hold it.
    #[inline]
    pub(super) fn time(self) -> u64 {
        to_epoch(self.clock.saturating_add(self.base.offset))
    }

    /// A cell's time by the clock; `None` if the clock never shows it.
    #[inline]
    pub(super) fn clock_at(self, time: u64) -> Option<u64> {
        from_epoch(time).map(|time| time.saturating_sub(self.base.offset))
    }

    #[inline]
    pub(super) fn full(self, full: RingFull) -> LogFull {
        let newest = self.clock_at(full.newest).unwrap_or(0);
        LogFull { free_at: self.clock_at(full.free_at), newest, reading: self }
    }
}
