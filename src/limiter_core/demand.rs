//! What calls need of leased limits, for the one who grants them. All of it is hints.

use crate::raw::leases::MOST;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::Timestamp;
use core::array;
use core::time::Duration;

/// A call that needs at most one has size 0, at most two 1, at most four 2, and so on.
#[cfg(not(ringgate_loom))]
const SIZES: usize = 41;
/// Few, so that a model can begin each execution with new ones.
#[cfg(ringgate_loom)]
const SIZES: usize = 4;

/// No call is the first.
const NONE: u64 = u64::MAX;

/// What calls need of one limit.
#[derive(Debug)]
pub(crate) struct Demanded {
    /// All in line together.
    in_line: AtomicU64,
    /// How many in line are of each size.
    sizes: [AtomicU64; SIZES],
    /// The first in line.
    first: AtomicU64,
    /// The most that was refused to one that does not wait.
    tried: AtomicU64,
}

fn get(number: &AtomicU64) -> u64 {
    // ORDERING: Relaxed: a hint.
    number.load(Ordering::Relaxed)
}

fn set(number: &AtomicU64, value: u64) {
    // ORDERING: Relaxed, as in `get`.
    number.store(value, Ordering::Relaxed);
}

fn size(weight: u64) -> usize {
    let bits = u64::BITS - weight.saturating_sub(1).leading_zeros();
    usize::try_from(bits).unwrap_or(SIZES).min(SIZES - 1)
}

impl Demanded {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { in_line: zero(), sizes: array::from_fn(|_| zero()), first: zero(), tried: zero() }
    }

    pub(super) fn join(&self, weight: u64) {
        if weight > 0 {
            // ORDERING: Relaxed, as in `get`.
            self.in_line.fetch_add(weight.min(MOST), Ordering::Relaxed);
            // ORDERING: Relaxed, as in `get`.
            self.sizes[size(weight)].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn leave(&self, weight: u64) {
        if weight > 0 {
            // ORDERING: Relaxed, as in `get`.
            self.in_line.fetch_sub(weight.min(MOST), Ordering::Relaxed);
            // ORDERING: Relaxed, as in `get`.
            self.sizes[size(weight)].fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many of the largest fit in what is left, `newcomer` included. The most if all of them do.
    pub(super) fn fit(&self, left: u64, newcomer: u64) -> u64 {
        if get(&self.in_line).saturating_add(newcomer) <= left {
            return u64::MAX;
        }
        let newcomer = (newcomer > 0).then(|| size(newcomer));
        self.largest().max(newcomer).map_or(u64::MAX, |largest| left >> largest)
    }

    /// The size of the largest in line.
    fn largest(&self) -> Option<usize> {
        self.sizes.iter().rposition(|size| get(size) > 0)
    }

    /// At least what any in line needs.
    pub(super) fn any(&self) -> u64 {
        self.largest().map_or(0, |size| get(&self.in_line).min(1 << size))
    }

    pub(super) fn try_for(&self, weight: u64) {
        // ORDERING: Relaxed, as in `get`.
        self.tried.fetch_max(weight, Ordering::Relaxed);
    }

    pub(super) fn set_first(&self, weight: u64) {
        set(&self.first, weight);
    }

    pub(super) fn first(&self) -> u64 {
        get(&self.first)
    }

    /// All in line, and what was tried since the last time.
    pub(crate) fn in_line_and_tried(&self) -> (u64, u64) {
        // ORDERING: Relaxed, as in `get`.
        (get(&self.in_line), self.tried.swap(0, Ordering::Relaxed))
    }
}

/// The call that has shown itself as the first in line.
///
/// It shows itself again and again. If it does not, it is silent, and counts no more: then others stand in for it, of those that are
/// polled. What each of them writes may be mixed with what another writes at the same time; the first shows itself again.
#[derive(Debug)]
pub(super) struct First {
    /// Its number in line, and whether it only stands in for the first.
    by: AtomicU64,
    /// Since when it waits, in ns.
    since: AtomicU64,
    /// Until when that it has shown itself holds, in ns.
    until: AtomicU64,
}

/// No number has this bit.
const STANDS_IN: u64 = 1 << 62;

/// A call that shows itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// Its number in line.
    pub(super) nth: u64,
    pub(super) since: Timestamp,
    pub(super) now: Timestamp,
    /// It shows itself again before so much time has passed.
    pub(super) lasts: Duration,
    /// Whether others are before it.
    pub(super) stands_in: bool,
}

impl Shown {
    fn by(&self) -> u64 {
        if self.stands_in { self.nth | STANDS_IN } else { self.nth }
    }
}

impl First {
    pub(super) fn new() -> Self {
        Self { by: AtomicU64::new(NONE), since: AtomicU64::new(0), until: AtomicU64::new(0) }
    }

    /// A call shows itself; returns whether another had before, or none.
    pub(super) fn show(&self, call: Shown) -> bool {
        set(&self.since, call.since.as_nanos());
        set(&self.until, call.now.saturating_add(call.lasts).as_nanos());
        let (found, by) = (get(&self.by), call.by());
        if found != by {
            set(&self.by, by);
        }
        found & !STANDS_IN != call.nth
    }

    /// Whether the one that has shown itself goes before this one.
    pub(super) fn is_before(&self, call: &Shown) -> bool {
        let by = get(&self.by);
        let (nth, stands_in) = (by & !STANDS_IN, by & STANDS_IN != 0);
        // Among their like the older one goes before the younger.
        let is_before = if stands_in == call.stands_in { nth < call.nth } else { call.stands_in };
        by != NONE && nth != call.nth && is_before && self.lasts(call.now)
    }

    /// The `nth` call has left the line.
    pub(super) fn end_by(&self, nth: u64) {
        let by = get(&self.by);
        if by != NONE && by & !STANDS_IN == nth {
            // ORDERING: Relaxed, as in `get`.
            let _ = self.by.compare_exchange(by, NONE, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The clock has jumped back: it would last too long. The first shows itself again.
    pub(super) fn forget(&self) {
        set(&self.by, NONE);
    }

    /// Whether any has shown itself lately.
    pub(super) fn is_any(&self, now: Timestamp) -> bool {
        get(&self.by) != NONE && self.lasts(now)
    }

    fn lasts(&self, now: Timestamp) -> bool {
        now.as_nanos() < get(&self.until)
    }

    /// Since when it waits.
    pub(super) fn since(&self) -> Timestamp {
        Timestamp::from_nanos(get(&self.since))
    }
}
