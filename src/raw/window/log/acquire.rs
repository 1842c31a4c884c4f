//! One admission, and what the log says about later ones.

use super::current::Log;
use crate::raw::window::cell::{NEVER, from_epoch, to_epoch};
use crate::raw::window::reading::{LogFull, ReadClock, Reading};
use crate::raw::window::reclaim::Pinned;
use crate::raw::window::ring::{Claim, Fast, Ring, RingError};
use crate::raw::window::shards::Shards;

/// Room for one admission, found but not claimed yet.
pub(crate) struct Reservation<'a> {
    /// `None` if no rule limits.
    at: Option<(&'a Ring, Claim)>,
    /// Keeps the ring from being freed.
    pinned: Option<Pinned<'a>>,
}

/// While this many retired shards wait to be freed, coarse cells are kept.
const MAX_RETIRED: u32 = 16;

impl Log {
    /// Claims one admission at `now` (ns); returns its stamp.
    #[inline]
    pub(crate) fn try_acquire(&self, now: u64) -> Result<u64, LogFull> {
        self.try_acquire_by(|| now, &|| now)
    }

    /// The same at a reading of the clock, which it makes. `read_again` reads the same clock. (There are two, so that
    /// the first one is compiled in place.)
    #[inline]
    pub(crate) fn try_acquire_by(
        &self,
        read: impl FnOnce() -> u64,
        read_again: ReadClock<'_>,
    ) -> Result<u64, LogFull> {
        match self.current_unpinned() {
            Some((shards, _)) => self.try_acquire_in(shards, read, read_again),
            None => self.try_acquire_pinned(read_again),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_pinned(&self, read: ReadClock<'_>) -> Result<u64, LogFull> {
        self.try_acquire_in(self.current().shards, read, read)
    }

    #[inline]
    fn try_acquire_in(
        &self,
        shards: &Shards,
        read: impl FnOnce() -> u64,
        read_again: ReadClock<'_>,
    ) -> Result<u64, LogFull> {
        let reading = shards.read_clock(read, read_again);
        match shards.check_fast(reading.time()) {
            Fast::Done((ring, claim)) => match ring.claim(claim) {
                Some(stamp) => Ok(from_epoch_or_never(stamp)),
                None => self.try_acquire_slow(reading, read_again),
            },
            Fast::Full(full) => Err(reading.full(full)),
            Fast::Fallback => self.try_acquire_slow(reading, read_again),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_slow(
        &self,
        reading: Reading,
        read_again: ReadClock<'_>,
    ) -> Result<u64, LogFull> {
        loop {
            if let Some(stamp) = self.peek_slow(reading, read_again)?.take() {
                return Ok(stamp);
            }
        }
    }

    /// Whether one admission can be claimed at a reading of the clock, and where.
    #[inline]
    pub(crate) fn peek(
        &self,
        read: impl FnOnce() -> u64,
        read_again: ReadClock<'_>,
    ) -> Result<Reservation<'_>, LogFull> {
        let current = self.current();
        let reading = current.shards.read_clock(read, read_again);
        match current.shards.check_fast(reading.time()) {
            Fast::Done(at) => Ok(Reservation { at: Some(at), pinned: current.pinned }),
            Fast::Full(full) => Err(reading.full(full)),
            Fast::Fallback => self.peek_slow(reading, read_again),
        }
    }

    #[cold]
    #[inline(never)]
    fn peek_slow(
        &self,
        reading: Reading,
        read_again: ReadClock<'_>,
    ) -> Result<Reservation<'_>, LogFull> {
        let (at, _, pinned) = self.ask(Some(reading), read_again, |shards, now| {
            let may_close = self.reclaimer.retired_count() < MAX_RETIRED;
            if may_close && shards.close_coarse(now) {
                Err(RingError::Closed)
            } else {
                shards.check(now)
            }
        })?;
        // MUTANTS: peek_slow
        Ok(Reservation { at, pinned })
    }

    /// [`free_at_after`](Self::free_at_after) a given time.
    #[cfg(all(test, not(any(ringgate_shuttle, ringgate_freeze))))]
    pub(crate) fn free_at(&self, ahead: u64, now: u64) -> Option<u64> {
        self.free_at_after(0, ahead, &|| now).0
    }

    /// When the admission after `ahead` others is free, if each of those is claimed as soon as it is free, from so long
    /// after a reading of the clock on; `None` if time ends before. Returns the reading as well. (In ns.) It makes the reading
    /// itself: one from before the log's time restarted would be wrong.
    ///
    /// With several rules or more than two rings it is that moment or an earlier one. It is exact if none is ahead, and
    /// it is the first moment only if the admission is free then.
    pub(crate) fn free_at_after(
        &self,
        delay: u64,
        ahead: u64,
        read: ReadClock<'_>,
    ) -> (Option<u64>, u64) {
        let asked = self.ask(None, read, |shards, at| {
            // Not at the end of time, which means never.
            let from = at.saturating_add(delay).min(to_epoch(u64::MAX));
            Ok((from, shards.free_at(ahead, from)?))
        });
        let ((from, free_at), reading, _) = match asked {
            Ok(asked) => asked,
            Err(full) => return (Some(full.reading.clock), full.reading.clock),
        };
        let first = reading.clock.saturating_add(delay);
        let free_at = if free_at == from { Some(first) } else { reading.clock_at(free_at) };
        (free_at, reading.clock)
    }

    /// [`remaining_by`](Self::remaining_by) a given time.
    #[cfg(test)]
    pub(crate) fn remaining(&self, now: u64) -> u32 {
        self.remaining_by(&|| now)
    }

    /// How many admissions could be claimed at a reading of the clock (ns), which it makes itself. The count may be
    /// stale when it is read.
    pub(crate) fn remaining_by(&self, read: ReadClock<'_>) -> u32 {
        let remaining = self.ask(None, read, Shards::remaining).map_or(0, |(many, ..)| many);
        u32::try_from(remaining).unwrap_or(u32::MAX)
    }

    /// Asks the current shards, and helps to replace closed ones. Keeps the given reading only if it belongs to their
    /// time base. The answer is valid as long as the pin is held.
    #[inline]
    pub(super) fn ask<'a, R>(
        &'a self,
        mut reading: Option<Reading>,
        read: ReadClock<'_>,
        question: impl Fn(&'a Shards, u64) -> Result<R, RingError>,
    ) -> Result<(R, Reading, Option<Pinned<'a>>), LogFull> {
        loop {
            let current = self.current();
            let base = current.shards.time_base();
            // MUTANTS: ask
            let by = reading.filter(|reading| reading.base == base);
            let by = by.unwrap_or_else(|| current.shards.read_clock(read, read));
            reading = Some(by);
            match question(current.shards, by.time()) {
                Ok(answer) => return Ok((answer, by, current.pinned)),
                Err(RingError::Full(full)) => return Err(by.full(full)),
                Err(RingError::Closed) => self.promote_successor(&current),
            }
        }
    }
}

impl Reservation<'_> {
    /// Claims it, unless another thread has. Returns the stamp (0 if no rule limits).
    #[inline]
    pub(crate) fn take(self) -> Option<u64> {
        let claimed =
            self.at.map_or(Some(0), |(ring, claim)| ring.claim(claim).map(from_epoch_or_never));
        // The ring may be freed only from here on.
        drop(self.pinned);
        claimed
    }
}

#[inline]
fn from_epoch_or_never(stamp: u64) -> u64 {
    from_epoch(stamp).unwrap_or(NEVER)
}
