//! The log of admissions: cells of one size, and what has grown out of them.
//!
//! **Changing a rule.** Every admission from then on obeys the new one, counting those from before;
//! one that had read the old rule obeys that. What a log remembers is counted: as many stamps as it
//! has cells, and at the least all that were in the window by the old rule. Where a window is
//! lengthened, older ones may have been forgotten.
//!
//! **Growing** beyond the cells there are: a larger log is linked behind the old one, whose rings
//! are then closed, one compare-and-swap each, and copied. Whoever meets a closed ring takes part in
//! that: cells are copied in chunks, which are dealt out (`chunks.rs`); where a chunk begins in each
//! ring is found without sorting (`select.rs`). All of it can be done twice, so nobody waits for a
//! thread that has stopped in it, and nobody who copies allocates.
//!
//! **Leaving coarse cells.** Shared cells are too coarse for a limit that was lowered far. As soon as the
//! admissions in the window, by their stamps alone, fit into finer cells, the ring is closed. Closing first
//! fixes what has to be kept; any thread that finds the ring closed links a successor of that size.
//!
//! **Old logs.** A stalled thread may be reading them. Up to 2^20 capacities double, so old logs take
//! little more memory together than the newest one; they stay until the whole is dropped, and readers need
//! not announce themselves. From the first log on that had shared cells, came out of one, or was made by a
//! reset, they are freed, and readers pin them (`reclaim.rs`).
//!
//! **Time.** After the clock has jumped back, a log takes the place of the old one whose time goes on from the
//! newest stamp. First the old one is closed, so that no claim by the old time comes later; then the first who
//! asks the new one reads the clock, and fixes how far its time is ahead. Each reading belongs to one such base,
//! which is read before the clock: who comes to a log of another base reads both again. Where there are several
//! rings, some may have been stamped by the clock after it had jumped: so all stamps become the newest.

use super::cell::{epoched, shown};
use super::reclaim::{Pinned, Reclaimer};
use super::ring::{Full, NEVER, Quick, Ring, Spot, Stop};
use super::shards::{Layout, Shards, UNSET, is_counted, is_fresh, unmarked};
use crate::error::NoSuchRateError;
use crate::rate::Margin;
use crate::sync::atomic::{AtomicPtr, Ordering};
use core::fmt;
use core::ptr;
use core::time::Duration;

/// No admission now. Times are in ns of the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Busy {
    /// When one is free; `None` if time ends before.
    pub(crate) free_at: Option<u64>,
    /// The newest stamp; if it is later than the reading, that was stale.
    pub(crate) newest: u64,
    /// What it goes by.
    pub(crate) reading: Reading,
}

/// A reading of the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reading {
    /// In ns.
    pub(crate) clock: u64,
    /// As it was before the clock was read.
    pub(crate) base: Base,
}

/// How a log's time goes by the clock's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Base {
    /// How many resets and jumps came before.
    pub(crate) epoch: u32,
    /// How far the log's time is ahead, in ns.
    pub(crate) ahead: u64,
}

/// Reads the clock, in ns.
type Read<'a> = &'a dyn Fn() -> u64;

/// Room for one admission, seen but not claimed.
pub(crate) struct Opening<'a> {
    /// `None` where nothing limits.
    at: Option<(&'a Ring, Spot)>,
    /// Keeps the ring from being freed.
    pinned: Option<Pinned<'a>>,
}

/// Admissions in time, at most so many in any window.
pub(crate) struct Log {
    /// What all began with: inside, so that most logs have one pointer less to follow.
    first: Shards,
    /// What has grown out of `first`; null if nothing has. Marked if readers have to pin it.
    grown: AtomicPtr<Shards>,
    reclaimer: Reclaimer,
    /// Added to every window.
    margin: Margin,
}

/// The shards that are in place.
struct Visit<'a> {
    shards: &'a Shards,
    /// As `grown` has them.
    place: *mut Shards,
    /// Keeps them from being freed, where that can happen.
    pinned: Option<Pinned<'a>>,
}

/// While so many retired logs wait to be freed, coarse cells are kept.
const MOST_RETIRED: u32 = 16;

// ---- the log ---------------------------------------------------------------------------------------

impl Log {
    /// A log that keeps all these rules together: limit and window, each window longer by `margin`.
    pub(crate) fn new(rules: &[(u32, Duration)], margin: impl Into<Margin>) -> Self {
        let capacity = rules.iter().map(|(limit, _)| *limit).max().unwrap_or(0);
        Self::with_layout(rules, margin, Layout::new(rules.len()).with_capacity(capacity))
    }

    pub(crate) fn with_layout(
        rules: &[(u32, Duration)],
        margin: impl Into<Margin>,
        layout: Layout,
    ) -> Self {
        let margin = margin.into();
        let first = Shards::new(layout);
        for (index, (limit, window)) in rules.iter().enumerate() {
            first.begin_rule(
                index,
                (*limit).min(layout.capacity),
                in_nanos(margin.add_to(*window)),
            );
        }
        Self { first, grown: AtomicPtr::new(ptr::null_mut()), reclaimer: Reclaimer::new(), margin }
    }

    /// Claims one admission at `now` (ns); returns its stamp.
    #[inline]
    pub(crate) fn try_acquire(&self, now: u64) -> Result<u64, Busy> {
        self.try_acquire_by(|| now, &|| now)
    }

    /// The same at a reading of the clock, which it makes; `again` reads it, too. (Two, so that the first one
    /// is compiled in place.)
    #[inline]
    pub(crate) fn try_acquire_by(
        &self,
        read: impl FnOnce() -> u64,
        again: Read<'_>,
    ) -> Result<u64, Busy> {
        match self.lasting() {
            Some((shards, _)) => self.try_acquire_in(shards, read, again),
            None => self.try_acquire_counted(again),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_counted(&self, read: Read<'_>) -> Result<u64, Busy> {
        self.try_acquire_in(self.visit().shards, read, read)
    }

    #[inline]
    fn try_acquire_in(
        &self,
        shards: &Shards,
        read: impl FnOnce() -> u64,
        again: Read<'_>,
    ) -> Result<u64, Busy> {
        let reading = Reading::of(shards, read, again);
        match shards.quick(reading.time()) {
            Quick::Done((ring, spot)) => match ring.claim(spot) {
                Some(stamp) => Ok(shown_or_never(stamp)),
                None => self.try_acquire_well(reading, again),
            },
            Quick::Full(full) => Err(reading.busy(full)),
            Quick::Unclear => self.try_acquire_well(reading, again),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_well(&self, reading: Reading, again: Read<'_>) -> Result<u64, Busy> {
        loop {
            if let Some(stamp) = self.peek_well(reading, again)?.take() {
                return Ok(stamp);
            }
        }
    }

    /// Whether one admission could be claimed at a reading of the clock, and where.
    #[inline]
    pub(crate) fn peek(
        &self,
        read: impl FnOnce() -> u64,
        again: Read<'_>,
    ) -> Result<Opening<'_>, Busy> {
        let visit = self.visit();
        let reading = Reading::of(visit.shards, read, again);
        match visit.shards.quick(reading.time()) {
            Quick::Done(at) => Ok(Opening { at: Some(at), pinned: visit.pinned }),
            Quick::Full(full) => Err(reading.busy(full)),
            Quick::Unclear => self.peek_well(reading, again),
        }
    }

    #[cold]
    #[inline(never)]
    fn peek_well(&self, reading: Reading, again: Read<'_>) -> Result<Opening<'_>, Busy> {
        let (at, _, pinned) = self.ask(Some(reading), again, |shards, now| {
            let may_close = self.reclaimer.retired_count() < MOST_RETIRED;
            if may_close && shards.close_coarse(now) { Err(Stop::Closed) } else { shards.look(now) }
        })?;
        Ok(Opening { at, pinned })
    }

    /// When the admission after `ahead` others can be had, if each takes its own as soon as it can
    /// from `now` (ns) on; `None` if time ends before. With several rules and more than 4096 ahead,
    /// that or earlier.
    pub(crate) fn free_at(&self, ahead: u64, now: u64) -> Option<u64> {
        let asked = self.ask(None, &|| now, |shards, at| Ok((at, shards.turn(ahead, at)?)));
        let Ok(((at, turn), reading, _)) = asked else { return Some(now) };
        if turn == at { Some(now) } else { reading.shown(turn) }
    }

    /// How many admissions could be claimed at `now` (ns): a count that may be stale when read.
    pub(crate) fn remaining(&self, now: u64) -> u32 {
        let remaining = self.ask(None, &|| now, Shards::remaining).map_or(0, |(many, ..)| many);
        u32::try_from(remaining).unwrap_or(u32::MAX)
    }

    /// Limit and window of a rule, without the margin.
    pub(crate) fn rule(&self, index: usize) -> Option<(u32, Duration)> {
        let rule = self.visit().shards.rule(index)?;
        let limit = u32::try_from(rule.limit).unwrap_or(u32::MAX);
        Some((limit, self.margin.take_from(Duration::from_nanos(rule.window))))
    }

    pub(crate) fn rules(&self) -> usize {
        1 + self.first.more.len()
    }

    /// Admissions that share a cell.
    pub(crate) fn per_cell(&self) -> u32 {
        u32::try_from(self.visit().shards.format.per_cell).unwrap_or(u32::MAX)
    }

    /// Changes a rule for all admissions from now on.
    pub(crate) fn set(
        &self,
        index: usize,
        limit: u32,
        window: Duration,
    ) -> Result<(), NoSuchRateError> {
        if index >= self.rules() {
            return Err(NoSuchRateError);
        }
        let limit = if self.rules() > 1 { limit.min(self.first.layout.most_cells) } else { limit };
        let window = in_nanos(self.margin.add_to(window));
        while !self.set_in(&self.visit(), index, limit, window) {}
        Ok(())
    }

    /// Forgets all admissions.
    pub(crate) fn reset(&self) {
        loop {
            let visit = self.visit();
            visit.shards.reset();
            self.succeed(&visit);
            // Else others have made another successor, with all there was.
            if is_fresh(visit.shards.next()) {
                return;
            }
        }
    }

    /// The clock has jumped back: time goes on from the newest stamp. Nothing to do if its base is not this one
    /// any more.
    #[cold]
    pub(crate) fn go_on(&self, base: Base) {
        let visit = self.visit();
        if visit.shards.base() == base {
            visit.shards.go_on();
            self.succeed(&visit);
        }
    }

    #[cfg(all(test, not(any(ringgate_shuttle, ringgate_freeze))))]
    pub(crate) fn base(&self) -> Base {
        self.visit().shards.base()
    }

    /// Sets the rule here, unless these shards have been succeeded or are to be.
    fn set_in(&self, visit: &Visit<'_>, index: usize, limit: u32, window: u64) -> bool {
        let shards = visit.shards;
        if limit > shards.layout.capacity && !shards.is_succeeded() {
            shards.grow(index, limit, window);
        }
        let is_set = limit <= shards.layout.capacity && shards.set_rule(index, limit, window);
        if !is_set && !shards.is_succeeded() {
            // No slot for the rule: there are in the next.
            shards.grow(index, limit, window);
        }
        if shards.is_succeeded() {
            self.succeed(visit);
            return false;
        }
        true
    }

    /// Asks the newest shards, and helps to replace closed ones. Keeps the given reading only if their time
    /// has the base it was made by. The answer is valid as long as the pin is held.
    #[inline]
    fn ask<'a, R>(
        &'a self,
        mut reading: Option<Reading>,
        read: Read<'_>,
        question: impl Fn(&'a Shards, u64) -> Result<R, Stop>,
    ) -> Result<(R, Reading, Option<Pinned<'a>>), Busy> {
        loop {
            let visit = self.visit();
            let base = visit.shards.base();
            let by = reading.filter(|reading| reading.base == base);
            let by = by.unwrap_or_else(|| Reading::of(visit.shards, read, read));
            reading = Some(by);
            match question(visit.shards, by.time()) {
                Ok(answer) => return Ok((answer, by, visit.pinned)),
                Err(Stop::Full(full)) => return Err(by.busy(full)),
                Err(Stop::Closed) => self.succeed(&visit),
            }
        }
    }

    #[inline]
    fn visit(&self) -> Visit<'_> {
        match self.lasting() {
            Some((shards, place)) => Visit { shards, place, pinned: None },
            None => self.visit_counted(),
        }
    }

    /// The shards in place, if they are freed with the log and not before; and as `grown` has them.
    #[inline]
    fn lasting(&self) -> Option<(&Shards, *mut Shards)> {
        // ORDERING: Acquire pairs with the Release in `succeed`: the successor is seen filled.
        let place = self.grown.load(Ordering::Acquire);
        if is_counted(place) {
            return None;
        }
        // SAFETY: null, or a successor that is freed with `self` and not before.
        let shards = unsafe { place.as_ref() }.unwrap_or(&self.first);
        shards.canary.look();
        Some((shards, place))
    }

    #[cold]
    #[inline(never)]
    fn visit_counted(&self) -> Visit<'_> {
        let pinned = self.reclaimer.pin();
        // ORDERING: Acquire, as in `visit`.
        let place = self.grown.load(Ordering::Acquire);
        // SAFETY: once marked, `grown` stays marked, so it is not null. It was in place after we pinned, so
        // it is not freed before we unpin.
        let shards = unsafe { &*unmarked(place) };
        shards.canary.look();
        Visit { shards, place, pinned: Some(pinned) }
    }

    /// Puts the successor of these shards in their place. There is one, or they are closed.
    #[cold]
    fn succeed(&self, visit: &Visit<'_>) {
        let (shards, from) = (visit.shards, visit.place);
        if shards.next().is_null() {
            shards.succeed_closed();
        }
        let pinned = self.reclaimer.pin();
        // ORDERING: Acquire pairs with the Release below. If another log has come in place since, the
        // successor may have been replaced, too.
        if self.grown.load(Ordering::Acquire) != from {
            return;
        }
        let to = shards.next();
        // SAFETY: linked by now, and whole. After we pinned it had not been in place yet, so it is not freed
        // before we unpin.
        let next = unsafe { &*unmarked(to) };
        next.canary.look();
        shards.hand_over_to(next, to);
        // ORDERING: Release publishes the cells and rules copied; if it fails, another has done so.
        let exchanged = self.grown.compare_exchange(from, to, Ordering::Release, Ordering::Relaxed);
        if exchanged.is_ok() && is_counted(from) {
            pinned.retire(unmarked(from));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // SAFETY: they came from `Box::into_raw` in `link`; nobody is left.
        let free = |shards: *mut Shards| unsafe { Box::from_raw(unmarked(shards)) }.next();
        let mut next = self.first.next();
        while !next.is_null() && !is_counted(next) {
            next = free(next);
        }
        // ORDERING: Relaxed: exclusive access.
        let place = self.grown.load(Ordering::Relaxed);
        if is_counted(place) {
            // The one that came after those may have been left and freed.
            next = free(place);
        }
        if !next.is_null() {
            // Linked, but not put in place.
            free(next);
        }
    }
}

/// Without the cells: there may be a million.
impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = (0..self.rules()).filter_map(|index| self.rule(index));
        f.debug_list().entries(rules).finish()
    }
}

impl Opening<'_> {
    /// Claims it, unless others have; returns the stamp (0 where nothing limits).
    #[inline]
    pub(crate) fn take(self) -> Option<u64> {
        let claimed = self.at.map_or(Some(0), |(ring, spot)| ring.claim(spot).map(shown_or_never));
        // Only now may the ring be freed.
        drop(self.pinned);
        claimed
    }
}

impl Reading {
    #[inline]
    fn of(shards: &Shards, read: impl FnOnce() -> u64, again: Read<'_>) -> Self {
        let base = shards.base();
        if base.ahead == UNSET {
            return Self::first(shards, again);
        }
        Self { clock: read(), base }
    }

    /// The first one after a jump.
    #[cold]
    #[inline(never)]
    fn first(shards: &Shards, read: Read<'_>) -> Self {
        shards.set_ahead(read());
        let base = shards.base();
        Self { clock: read(), base }
    }

    /// As the log's time.
    #[inline]
    fn time(self) -> u64 {
        epoched(self.clock.saturating_add(self.base.ahead))
    }

    /// A moment of the log's time by the clock; `None` if it never shows that.
    #[inline]
    fn shown(self, moment: u64) -> Option<u64> {
        shown(moment).map(|moment| moment.saturating_sub(self.base.ahead))
    }

    #[inline]
    fn busy(self, full: Full) -> Busy {
        let newest = self.shown(full.newest).unwrap_or(0);
        Busy { free_at: self.shown(full.free_at), newest, reading: self }
    }
}

#[inline]
fn shown_or_never(stamp: u64) -> u64 {
    shown(stamp).unwrap_or(NEVER)
}

fn in_nanos(window: Duration) -> u64 {
    u64::try_from(window.as_nanos()).unwrap_or(u64::MAX)
}
