//! Taking from leases, and giving back.

use super::MOST;
use super::unused::Unused;
use super::view::{Line, Rest, View};
use crate::raw::mark::Mark;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::Timestamp;

/// The leases of one limit.
#[derive(Debug)]
pub(crate) struct RawLeases {
    pub(super) line: Line,
    pub(super) back: Back,
    /// Whoever leaves less than this tells.
    mark: AtomicU64,
    /// What was used: of what is settled all, else what was beyond what was taken.
    used: AtomicU64,
}

/// What becomes of amounts that are not used.
#[derive(Debug)]
pub(super) enum Back {
    /// They are told by lease.
    Told(Unused),
    /// They are no longer held. For amounts that count once they are settled.
    Held {
        /// What has run out, or was taken back. Only grows.
        lapsed: AtomicU64,
        /// What was taken and is settled. Only grows.
        released: AtomicU64,
    },
}

/// An amount that was taken.
#[derive(Debug)]
#[must_use = "whoever has taken it settles it"]
pub(crate) struct Taken {
    pub(crate) mark: Mark,
    /// Less is left than the mark.
    pub(crate) is_low: bool,
}

/// There is not so much left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lack;

/// The bits of a mark's second word for what lies in the newest lease, and the most in the rest of it.
const NEWEST_BITS: u32 = 40;
const MOST_BEFORE: u64 = (1 << (64 - NEWEST_BITS)) - 1;

impl RawLeases {
    /// Without a lease.
    pub(super) fn new(is_held: bool) -> Self {
        let zero = || AtomicU64::new(0);
        let back = if is_held {
            Back::Held { lapsed: zero(), released: zero() }
        } else {
            Back::Told(Unused::new())
        };
        Self { line: Line::new(), back, mark: zero(), used: zero() }
    }

    /// Takes the amount at this time. Whoever gets it settles it.
    #[inline]
    pub(crate) fn take(&self, now: Timestamp, amount: u64) -> Result<Taken, Lack> {
        match self.look_at_newest(now, amount) {
            Some(rest) => self.take_in(&rest, now, amount),
            None => self.take_of_any(now, amount),
        }
    }

    /// What comes next at this time, if it is of one of the newest two leases and the amount could be taken of that.
    #[inline]
    pub(crate) fn look_at_newest(&self, now: Timestamp, amount: u64) -> Option<Rest> {
        self.line.look_at_newest(now, amount)
    }

    /// Whether the amount could be taken at this time. Writes nothing. If it is of one lease of the newest two that is told, for
    /// [`take_in`](Self::take_in).
    #[inline]
    pub(crate) fn look_for(&self, now: Timestamp, amount: u64) -> Result<Option<Rest>, Lack> {
        match self.look_at_newest(now, amount) {
            Some(rest) => Ok(Some(rest)),
            None => self.peek(now, amount).map(|()| None),
        }
    }

    /// Takes the amount by what [`look_for`](Self::look_for) has found. If others were faster it looks again, at the same time.
    #[inline]
    pub(crate) fn take_in(&self, rest: &Rest, now: Timestamp, amount: u64) -> Result<Taken, Lack> {
        if amount == 0 {
            return Ok(Taken { mark: Mark::none(), is_low: false });
        }
        let mut rest = *rest;
        loop {
            let end = rest.spent + amount;
            if self.line.pass(rest.spent, end) {
                let mark = Mark::of_lease(rest.number, amount);
                return Ok(Taken { mark, is_low: self.is_low(rest.end - end) });
            }
            match self.look_at_newest(now, amount) {
                Some(found) => rest = found,
                None => return self.take_of_any(now, amount),
            }
        }
    }

    /// The same, whatever leases it is of.
    fn take_of_any(&self, now: Timestamp, amount: u64) -> Result<Taken, Lack> {
        if amount == 0 {
            return Ok(Taken { mark: Mark::none(), is_low: false });
        }
        loop {
            let view = self.line.look(now);
            if amount > view.left() {
                return Err(Lack);
            }
            let end = view.begins + amount;
            if self.line.pass(view.spent, end) {
                // MUTANTS: leases take
                self.skip(&view, view.begins);
                return Ok(Taken {
                    mark: mark_of(&view, end),
                    is_low: self.is_low(view.end() - end),
                });
            }
        }
    }

    fn is_low(&self, left: u64) -> bool {
        // ORDERING: Relaxed: `pass` orders it after a mark that was set before.
        left < self.mark.load(Ordering::Relaxed)
    }

    /// Whether the amount could be taken at this time, whatever leases it is of. Writes nothing.
    pub(crate) fn peek(&self, now: Timestamp, amount: u64) -> Result<(), Lack> {
        let fits = amount == 0 || amount <= self.left(now);
        fits.then_some(()).ok_or(Lack)
    }

    /// What could be taken at this time.
    pub(crate) fn left(&self, now: Timestamp) -> u64 {
        self.line.look(now).left()
    }

    /// So much was used of an amount that was taken.
    pub(crate) fn settle(&self, mark: &Mark, amount: u64, actual: u64) {
        match &self.back {
            Back::Told(unused) => {
                add(&self.used, actual.saturating_sub(amount));
                let (number, newest, before) = parts_of(mark);
                let rest = amount.saturating_sub(actual);
                let shown = self.line.newest();
                // MUTANTS: leases settle
                unused.add(number, shown, rest.min(newest));
                unused.add(
                    number.saturating_sub(1),
                    shown,
                    rest.saturating_sub(newest).min(before),
                );
            }
            Back::Held { released, .. } => {
                add(&self.used, actual);
                // ORDERING: Release pairs with the Acquire in `held`: whoever finds that it is no longer held finds that it was used.
                released.fetch_add(amount, Ordering::Release);
            }
        }
    }

    /// What was used of amounts that are settled, or beyond what was taken.
    pub(crate) fn used(&self) -> u64 {
        // ORDERING: Relaxed: the number alone; `held` orders it.
        self.used.load(Ordering::Relaxed)
    }

    /// Passes all that comes before `to`, which is what the view says: it comes back. Returns the last view.
    pub(super) fn pass_to(&self, now: Timestamp, to: impl Fn(&View) -> u64) -> View {
        loop {
            let view = self.line.look(now);
            let to = to(&view);
            if to <= view.spent {
                return view;
            }
            if self.line.pass(view.spent, to) {
                // MUTANTS: leases pass_to
                self.skip(&view, to);
                return view;
            }
        }
    }

    /// All from what was spent up to there was not used.
    #[inline]
    fn skip(&self, view: &View, to: u64) {
        if to > view.spent {
            self.come_back(view, to);
        }
    }

    #[cold]
    fn come_back(&self, view: &View, to: u64) {
        match &self.back {
            Back::Told(unused) => {
                for (number, amount) in view.parts(view.spent, to) {
                    unused.add(number, view.newest, amount);
                }
            }
            Back::Held { lapsed, .. } => {
                // ORDERING: Relaxed: by a stale sum more is held than there is, which is safe.
                lapsed.fetch_add(to - view.spent, Ordering::Relaxed);
            }
        }
    }

    /// From now on whoever leaves less than this tells.
    pub(crate) fn set_mark(&self, mark: u64) {
        // ORDERING: Relaxed: `touch` orders it. Either a call passes later, and sees the mark; or it has passed before, and whoever has
        // set the mark sees that.
        self.mark.store(mark, Ordering::Relaxed);
        self.line.touch();
    }

    pub(crate) fn mark(&self) -> u64 {
        // ORDERING: Relaxed: whoever has set it asks.
        self.mark.load(Ordering::Relaxed)
    }
}

/// Of an amount that ends there: the number of the newest lease that it is of, what lies in that one, and in the one before.
#[inline]
fn mark_of(view: &View, end: u64) -> Mark {
    let mut parts = view.parts(view.begins, end);
    let Some((number, newest)) = parts.next() else { return Mark::none() };
    let before = parts.next().map_or(0, |(_, amount)| amount);
    Mark::of_lease(number, before.min(MOST_BEFORE) << NEWEST_BITS | newest.min(MOST))
}

fn parts_of(mark: &Mark) -> (u64, u64, u64) {
    let Some((number, parts)) = mark.as_lease() else { return (0, 0, 0) };
    (number, parts & MOST, parts >> NEWEST_BITS)
}

/// Adds to a sum, which saturates.
fn add(sum: &AtomicU64, more: u64) {
    if more == 0 {
        return;
    }
    // ORDERING: Relaxed: a guess; the exchange decides.
    let mut found = sum.load(Ordering::Relaxed);
    // ORDERING: Relaxed: the number alone. Of what is settled, the Release in `settle` comes after it.
    while let Err(now) = sum.compare_exchange_weak(
        found,
        found.saturating_add(more),
        Ordering::Relaxed,
        Ordering::Relaxed,
    ) {
        found = now;
    }
}
