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

use super::cell::{epoched, shown};
use super::reclaim::{Pinned, Reclaimer};
use super::ring::{Full, NEVER, Quick, Ring, Spot, Stop};
use super::shards::{Layout, Shards, is_counted, is_fresh, unmarked};
use crate::error::NoSuchRate;
use crate::sync::atomic::{AtomicPtr, Ordering};
use core::fmt;
use core::ptr;
use core::time::Duration;

/// No admission now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Busy {
    /// When one is free, in ns of the clock; `None` if time ends before.
    pub(crate) free_at: Option<u64>,
    /// The newest stamp; if it is later than the caller's `now`, that reading was stale.
    pub(crate) newest: u64,
}

/// Room for one admission, seen but not claimed.
pub(crate) struct Opening<'a> {
    /// `None` where nothing limits.
    at: Option<(&'a Ring, Spot)>,
    now: u64,
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
    guard: Duration,
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
    /// A log that keeps all these rules together: limit and window, each window longer by `guard`.
    pub(crate) fn new(rules: &[(u32, Duration)], guard: Duration) -> Self {
        let capacity = rules.iter().map(|(limit, _)| *limit).max().unwrap_or(0);
        Self::with_layout(rules, guard, Layout::new(rules.len()).with_capacity(capacity))
    }

    pub(crate) fn with_layout(rules: &[(u32, Duration)], guard: Duration, layout: Layout) -> Self {
        let first = Shards::new(layout);
        for (index, (limit, window)) in rules.iter().enumerate() {
            first.begin_rule(index, (*limit).min(layout.capacity), guarded(*window, guard));
        }
        Self { first, grown: AtomicPtr::new(ptr::null_mut()), reclaimer: Reclaimer::new(), guard }
    }

    /// Claims one admission at `now` (ns); returns its stamp.
    #[inline]
    pub(crate) fn try_acquire(&self, now: u64) -> Result<u64, Busy> {
        match self.lasting() {
            Some((shards, _)) => self.try_acquire_in(shards, now),
            None => self.try_acquire_counted(now),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_counted(&self, now: u64) -> Result<u64, Busy> {
        self.try_acquire_in(self.visit().shards, now)
    }

    #[inline]
    fn try_acquire_in(&self, shards: &Shards, now: u64) -> Result<u64, Busy> {
        match shards.quick(epoched(now)) {
            Quick::Done((ring, spot)) => match ring.claim(spot) {
                Some(stamp) => Ok(shown(stamp).unwrap_or(NEVER)),
                None => self.try_acquire_well(now),
            },
            Quick::Full(full) => Err(full.into()),
            Quick::Unclear => self.try_acquire_well(now),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_well(&self, now: u64) -> Result<u64, Busy> {
        self.take(self.peek_well(epoched(now))?)
    }

    /// Whether one admission could be claimed at `now` (ns), and where.
    #[inline]
    pub(crate) fn peek(&self, now: u64) -> Result<Opening<'_>, Busy> {
        let now = epoched(now);
        let visit = self.visit();
        match visit.shards.quick(now) {
            Quick::Done(at) => Ok(Opening { at: Some(at), now, pinned: visit.pinned }),
            Quick::Full(full) => Err(full.into()),
            Quick::Unclear => self.peek_well(now),
        }
    }

    #[cold]
    #[inline(never)]
    fn peek_well(&self, now: u64) -> Result<Opening<'_>, Busy> {
        let (at, pinned) = self.ask(|shards| {
            let may_close = self.reclaimer.retired_count() < MOST_RETIRED;
            if may_close && shards.close_coarse(now) { Err(Stop::Closed) } else { shards.look(now) }
        })?;
        Ok(Opening { at, now, pinned })
    }

    /// Claims what `peek` found, or if others did, what is there now; returns the stamp.
    #[inline]
    pub(crate) fn take(&self, opening: Opening<'_>) -> Result<u64, Busy> {
        let Opening { mut at, now, mut pinned } = opening;
        while let Some((ring, spot)) = at {
            if let Some(stamp) = ring.claim(spot) {
                return Ok(shown(stamp).unwrap_or(NEVER));
            }
            Opening { at, pinned, .. } = self.peek_well(now)?;
        }
        drop(pinned);
        Ok(shown(now).unwrap_or(NEVER))
    }

    /// When the admission after `ahead` others can be had, if each takes its own as soon as it can
    /// from `now` (ns) on; `None` if time ends before. With several rules and more than 4096 ahead,
    /// that or earlier.
    pub(crate) fn free_at(&self, ahead: u64, now: u64) -> Option<u64> {
        let at = epoched(now);
        let turn = self.ask(|shards| shards.turn(ahead, at)).map_or(at, |(turn, _)| turn);
        if turn == at { Some(now) } else { shown(turn) }
    }

    /// How many admissions could be claimed at `now` (ns): a count that may be stale when read.
    pub(crate) fn remaining(&self, now: u64) -> u32 {
        let now = epoched(now);
        let remaining = self.ask(|shards| shards.remaining(now)).map_or(0, |(many, _)| many);
        u32::try_from(remaining).unwrap_or(u32::MAX)
    }

    /// Limit and window of a rule, without the guard.
    pub(crate) fn rule(&self, index: usize) -> Option<(u32, Duration)> {
        let rule = self.visit().shards.rule(index)?;
        let limit = u32::try_from(rule.limit).unwrap_or(u32::MAX);
        Some((limit, Duration::from_nanos(rule.window).saturating_sub(self.guard)))
    }

    pub(crate) fn guard(&self) -> Duration {
        self.guard
    }

    pub(crate) fn rules(&self) -> usize {
        1 + self.first.more.len()
    }

    /// Admissions that share a cell.
    pub(crate) fn per_cell(&self) -> u32 {
        u32::try_from(self.visit().shards.format.per_cell).unwrap_or(u32::MAX)
    }

    /// Changes a rule for all admissions from now on.
    pub(crate) fn set(&self, index: usize, limit: u32, window: Duration) -> Result<(), NoSuchRate> {
        if index >= self.rules() {
            return Err(NoSuchRate);
        }
        let limit = if self.rules() > 1 { limit.min(self.first.layout.most_cells) } else { limit };
        let window = guarded(window, self.guard);
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

    /// Asks the newest shards; helps whoever is closing them. The answer is valid as
    /// long as the pin is held.
    #[inline]
    fn ask<'a, R>(
        &'a self,
        question: impl Fn(&'a Shards) -> Result<R, Stop>,
    ) -> Result<(R, Option<Pinned<'a>>), Busy> {
        loop {
            let visit = self.visit();
            match question(visit.shards) {
                Ok(answer) => return Ok((answer, visit.pinned)),
                Err(Stop::Full(full)) => return Err(full.into()),
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
        shards.hand_over_to(next, is_fresh(to));
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

impl From<Full> for Busy {
    #[inline]
    fn from(full: Full) -> Self {
        Self { free_at: shown(full.free_at), newest: shown(full.newest).unwrap_or(0) }
    }
}

/// A window with its guard, in ns. Where there is no window there is no limit, and no guard.
fn guarded(window: Duration, guard: Duration) -> u64 {
    if window.is_zero() {
        return 0;
    }
    u64::try_from(window.saturating_add(guard).as_nanos()).unwrap_or(u64::MAX)
}
