//! What calls need and have used, and what has ended.

use super::{Driver, count, micros};
use crate::batch::Look;
use crate::link::Link;
use crate::script::MOST_RETURNS;
use crate::session::Unused;
use core::time::Duration;

/// Less than that is two readings of clocks that were some time apart, or a clock that was set.
const SHORTEST_SUSPENSION: Duration = Duration::from_millis(250);

impl<L: Link> Driver<L> {
    pub(super) fn look(&mut self) {
        let now = self.look_at_clocks();
        self.waiters = count(self.lessee.waiters());
        self.in_flight = count(self.lessee.in_flight());
        let mut was_used = false;
        for n in 0..self.limits.len() {
            was_used |= self.look_at(n);
        }
        self.in_vain &= !was_used;
        self.slot_tried |= self.lessee.slots_tried() > 0;
        // One that lacks a lease is refused before anybody looks for a slot.
        let has_tries = self.slot_tried || self.limits.iter().any(|window| window.tried > 0);
        self.slot_tried = has_tries;
        if was_used || has_tries || self.is_busy() {
            self.busy_at = now;
        }
        if now >= self.slots_until && self.share.is_none() {
            self.had_slots = 0;
            if self.slots > 0 {
                self.set_slots(0);
            }
        }
        self.look_at_share();
        self.look_at_turn();
    }

    /// Reads them. If one tells that leases would last too long, all of them end, and an answer that was waited for is not taken.
    pub(super) fn look_at_clocks(&mut self) -> u64 {
        let now = micros(self.lessee.now());
        let lease = Duration::from_micros(self.settings.lease);
        let was_suspended = self.suspension.look() >= lease.max(SHORTEST_SUSPENSION);
        if now < self.now || was_suspended {
            self.forget_times();
        }
        self.now = now;
        now
    }

    /// Whether calls have taken any of it since the last look.
    fn look_at(&mut self, n: usize) -> bool {
        let now = self.now;
        // Held first: what is settled meanwhile is then told twice, and not left out.
        let held = self.lessee.held(n);
        let used = self.lessee.used(n);
        let left = self.lessee.left(n);
        let demand = self.lessee.demand(n);
        let Some(window) = self.limits.get_mut(n) else { return false };
        let before = window.ends.len();
        while window.ends.front().is_some_and(|&ends| ends <= now) {
            window.ends.pop_front();
        }
        if window.ends.len() < before {
            // What of it has run out and what was taken cannot be told apart.
            window.flow.now_left(left);
        }
        let is_produced = window.produced;
        let took =
            window.flow.look(now, self.settings.lease, Look { left, held, used, is_produced });
        window.left = left;
        (window.first, window.in_line) = (demand.first, demand.in_line);
        window.tried = window.tried.max(demand.tried);
        window.is_held = is_produced && held > left;
        took
    }

    /// What has come back, as much as one trip takes.
    pub(super) fn collect_unused(&mut self) {
        for n in 0..self.limits.len() {
            let most = MOST_RETURNS.saturating_sub(self.unused.len());
            if most == 0 {
                return;
            }
            let unused = self.lessee.take_unused(n, most);
            let unused = unused.into_iter();
            self.unused.extend(unused.map(|(lease, amount)| Unused { window: n, lease, amount }));
        }
    }

    /// Takes all that is left out of use.
    pub(super) fn reclaim_all(&mut self) {
        for (n, window) in self.limits.iter_mut().enumerate() {
            self.lessee.reclaim(n, u64::MAX);
            window.ends.clear();
            window.left = self.lessee.left(n);
            window.flow.now_left(window.left);
        }
    }

    /// The most slots that may be in use: those that were set, and those of calls that went before or are about to go.
    pub(super) fn slots_out(&self) -> u64 {
        self.slots.saturating_add(count(self.lessee.slots_owed()))
    }

    /// Calls are about to go with slots that the store may have given to others: it was told that so many are in flight. Without leases they
    /// give them up.
    pub(super) fn has_strays(&self, told: u64) -> bool {
        let most = self.had_slots.max(told);
        self.session.terms().slots.is_some() && self.share.is_none() && self.slots_out() > most
    }

    /// The clock has gone back, or has stood still: leases would last too long.
    fn forget_times(&mut self) {
        self.share = None;
        self.set_slots(0);
        self.reclaim_all();
        self.session.forget_times();
        for window in &mut self.limits {
            window.flow.restart();
        }
        (self.asked, self.told_pause, self.began) = (None, None, None);
        (self.retry_at, self.busy_at, self.slots_until, self.settled_at) = (0, 0, 0, 0);
        self.turn_began = 0;
    }
}
