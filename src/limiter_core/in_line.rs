//! A call in line of a limiter with leases: what it needs is counted, and the first of all tells since when it waits.

use super::leasing::{Leased, Leasing};
use crate::time::Timestamp;
use crate::tokens::Usage;

impl Leasing {
    /// Since when the first in line waits; `None` if none has shown itself.
    pub(crate) fn first_since(&self) -> Option<Timestamp> {
        self.first.is_any().then(|| self.first.since())
    }

    /// What the first in line needs of the `n`-th limit. If none has shown itself, as much as any in line needs.
    pub(crate) fn first_needs(&self, n: usize) -> u64 {
        let needs = |leased: &Leased| {
            if self.first.is_any() { leased.demand().first() } else { leased.demand().any() }
        };
        self.limits().get(n).map_or(0, needs)
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
    /// It is the first, unless an older one has shown itself and has not left.
    pub(super) fn show(&self) {
        let first = &self.leasing.first;
        if first.is_before(self.nth) {
            return;
        }
        // Two that show themselves at the same time may have mixed theirs: the first shows itself again.
        for leased in self.leasing.limits() {
            leased.demand().set_first(leased.reserves(self.expected));
        }
        if first.show(self.nth, self.since) {
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
