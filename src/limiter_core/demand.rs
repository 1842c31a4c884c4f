//! What calls need of leased limits, for the one who grants them. All of it is hints.

use crate::raw::leases::MOST;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{JUMP, Timestamp, in_nanos};
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
    /// Its number in line.
    by: AtomicU64,
    /// Since when it waits, in ns.
    since: AtomicU64,
    /// When it has shown itself, in ns, and for how long that holds.
    shown: AtomicU64,
    lasts: AtomicU64,
    /// Whether it only stands in for the first.
    stands_in: AtomicU64,
}

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

impl First {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            by: AtomicU64::new(NONE),
            since: zero(),
            shown: zero(),
            lasts: zero(),
            stands_in: zero(),
        }
    }

    /// A call shows itself; returns whether another had before, or none.
    pub(super) fn show(&self, call: Shown) -> bool {
        set(&self.since, call.since.as_nanos());
        set(&self.shown, call.now.as_nanos());
        set(&self.lasts, in_nanos(call.lasts));
        set(&self.stands_in, u64::from(call.stands_in));
        let is_new = get(&self.by) != call.nth;
        if is_new {
            set(&self.by, call.nth);
        }
        is_new
    }

    /// Whether the one that has shown itself goes before this one.
    pub(super) fn is_before(&self, call: &Shown) -> bool {
        let by = get(&self.by);
        if by == call.nth || !self.is_any(call.now) {
            return false;
        }
        let stands_in = get(&self.stands_in) != 0;
        // Among their like the older one goes before the younger.
        if stands_in == call.stands_in { by < call.nth } else { call.stands_in }
    }

    /// The `nth` call has left the line.
    pub(super) fn end_by(&self, nth: u64) {
        // ORDERING: Relaxed, as in `get`.
        let _ = self.by.compare_exchange(nth, NONE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether any has shown itself lately. If that was long after `now`, the clock has jumped back since.
    pub(super) fn is_any(&self, now: Timestamp) -> bool {
        let (now, shown) = (now.as_nanos(), get(&self.shown));
        let is_late = now.saturating_sub(shown) >= get(&self.lasts).max(1);
        get(&self.by) != NONE && !is_late && shown.saturating_sub(now) <= in_nanos(JUMP)
    }

    /// Since when it waits.
    pub(super) fn since(&self) -> Timestamp {
        Timestamp::from_nanos(get(&self.since))
    }
}
