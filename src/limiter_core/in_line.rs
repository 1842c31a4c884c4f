//! A call in line of a limiter with leases: what it needs is counted, and the first of all tells since when it waits.

use super::demand::Shown;
use super::leasing::{Leased, Leasing};
use crate::time::Timestamp;
use crate::tokens::Usage;
use core::time::Duration;

/// Where a call is that shows itself, behind so many others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rank {
    /// It is the first, and looks at the time.
    First,
    /// It stands for a shared permit.
    Stands(u64),
    Behind(u64),
}

impl Leasing {
    /// Since when the first in line waits; `None` if none has shown itself lately.
    pub(crate) fn first_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.first.is_any(now).then(|| self.first.since())
    }

    /// What the first in line needs of the `n`-th limit. If none has shown itself lately, as much as any in line needs.
    pub(crate) fn first_needs(&self, n: usize, now: Timestamp) -> u64 {
        let needs = |leased: &Leased| {
            if self.first.is_any(now) { leased.demand().first() } else { leased.demand().any() }
        };
        self.limits().get(n).map_or(0, needs)
    }

    /// The clock has jumped back: who has shown itself before does not count.
    pub(crate) fn forget_first(&self) {
        self.first.forget();
    }

    /// Counts a call in line.
    pub(super) fn join(&self, expected: Usage, nth: u64) -> InLine<'_> {
        let since = self.time.now();
        for leased in self.limits() {
            leased.demand().join(leased.reserves(expected));
        }
        self.bell().note();
        InLine { leasing: self, expected, nth, since }
    }
}

/// A call in line, counted until it is dropped.
pub(super) struct InLine<'a> {
    leasing: &'a Leasing,
    expected: Usage,
    /// Its number.
    nth: u64,
    since: Timestamp,
}

impl InLine<'_> {
    /// It is the first, or stands in for that one, unless another has shown itself that goes before it, and has neither left nor
    /// become silent.
    pub(super) fn show(&self, lasts: Duration, stands_in: bool) {
        let (first, now) = (&self.leasing.first, self.leasing.time.now());
        let call = Shown { nth: self.nth, since: self.since, now, lasts, stands_in };
        if first.is_before(&call) {
            return;
        }
        for leased in self.leasing.limits() {
            leased.demand().set_first(leased.reserves(self.expected));
        }
        if first.show(call) {
            self.leasing.bell().note();
        }
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        for leased in self.leasing.limits() {
            leased.demand().leave(leased.reserves(self.expected));
        }
        self.leasing.first.end_by(self.nth);
    }
}
