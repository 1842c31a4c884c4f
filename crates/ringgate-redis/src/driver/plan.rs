//! When the next trip is due.

use super::{Driver, GAP};
use crate::link::{Link, News};

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Trip,
    /// Nothing until then, if nothing changes.
    At(u64),
    /// Nothing until something changes.
    Idle,
    Over,
}

/// While a limiter that is closed has calls in flight, or while others wait for slots that are in use, it looks so often whether they
/// have ended. That makes no trips.
const LOOKS: u64 = 10_000;

/// What calls wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hunger {
    pub(super) windows: bool,
    pub(super) slots: bool,
}

impl Hunger {
    pub(super) fn any(self) -> bool {
        self.windows || self.slots
    }
}

impl<L: Link> Driver<L> {
    pub(super) fn plan(&mut self) -> Plan {
        let is_closed = self.lessee.limiter().is_closed();
        if is_closed && self.in_flight == 0 && (!self.joined || self.gives_up()) {
            return Plan::Over;
        }
        let mut next = Earliest(None);
        if let Some(due) = self.due(is_closed) {
            let due = due.max(self.retry_at).max(self.began.map_or(0, |began| began + GAP));
            if due <= self.now {
                return Plan::Trip;
            }
            next.at(due);
        }
        self.wakes(&mut next, is_closed);
        next.0.map_or(Plan::Idle, |at| Plan::At(at.max(self.now + 1)))
    }

    /// A store that does not answer will find out by itself that the process has gone.
    fn gives_up(&self) -> bool {
        self.failures >= 3
    }

    /// The earliest reason for a trip.
    fn due(&mut self, is_closed: bool) -> Option<u64> {
        let mut due = Earliest(None);
        let hunger = self.hunger();
        match self.pushed {
            Some(News::Pause) if self.joined && !is_closed => due.at(self.now),
            Some(News::Room) if hunger.any() && !is_closed => due.at(self.now),
            _ => self.pushed = None,
        }
        if self.has_pause_to_tell() {
            due.at(self.now);
        }
        if is_closed {
            if self.in_flight == 0 {
                due.at(self.now);
            }
        } else {
            if hunger.windows || self.is_low() {
                due.at(self.asks_again_at());
            }
            if hunger.slots {
                due.at(self.asks_for_slots_at());
            }
        }
        if let Some(renews) = self.renews_at().filter(|_| !is_closed) {
            due.at(renews.max(self.asks_again_at()));
        }
        if self.drained_slots() > 0 {
            due.at(self.now);
        }
        self.due_by_time(&mut due);
        due.0
    }

    fn due_by_time(&mut self, due: &mut Earliest) {
        let heartbeat = self.heartbeat();
        let began = self.began.unwrap_or(0);
        if self.refuses {
            due.at(began.saturating_add(heartbeat));
        }
        if !self.joined {
            return;
        }
        if self.is_busy() {
            due.at(began.saturating_add(heartbeat));
        } else if self.failures == 0 {
            due.at(self.leaves_at());
        }
        if self.limits.iter().all(|window| window.ends.is_empty()) {
            self.collect_unused();
            if !self.unused.is_empty() && self.failures == 0 {
                due.at(self.now);
            }
        }
    }

    /// When it gives back all it has if it stays idle.
    pub(super) fn leaves_at(&self) -> u64 {
        self.busy_at.saturating_add(self.heartbeat().max(2 * self.settings.lease))
    }

    pub(super) fn heartbeat(&self) -> u64 {
        self.session.terms().time_to_live / 3
    }

    /// Whether calls are in line or in flight, or hold what they may use.
    pub(super) fn is_busy(&self) -> bool {
        self.waiters > 0 || self.in_flight > 0 || self.limits.iter().any(|window| window.is_held)
    }

    /// What calls in line wait for that a trip may bring.
    pub(super) fn hunger(&self) -> Hunger {
        if self.waiters == 0 || self.is_paused() || self.refuses {
            return Hunger::default();
        }
        let misses = self.limits.iter().any(|window| window.need().need > 0);
        let windows = misses && !self.waits_for_slots();
        Hunger {
            windows,
            slots: self.session.terms().slots.is_some() && self.slots_needed() > self.slots,
        }
    }

    /// Whether it would not help a call in line to have leases: the slots are in use, and no more are to be had.
    pub(super) fn waits_for_slots(&self) -> bool {
        let Some(limit) = self.session.terms().slots else { return false };
        let level = self.level();
        if self.in_flight >= level || self.in_flight >= limit {
            return true;
        }
        self.in_flight >= self.slots && self.slots_refused()
    }

    /// Whether the last answer left slots to wish for.
    fn slots_refused(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.slots_at > 0)
            && self.slots_needed() > self.slots
    }

    /// How many calls the limiter lets be in flight by itself.
    pub(super) fn level(&self) -> u64 {
        super::count(self.lessee.limiter().concurrency_limit())
    }

    pub(super) fn slots_needed(&self) -> u64 {
        let limit = self.session.terms().slots.unwrap_or(0);
        let calls = self.in_flight.saturating_add(self.waiters);
        calls.min(self.level()).min(limit).max(self.in_flight.min(limit))
    }

    /// Whether less is left than calls will take soon.
    fn is_low(&self) -> bool {
        if self.is_paused() || self.refuses {
            return false;
        }
        self.limits.iter().any(|window| {
            let mark = mark_of(window.flow.ahead()).min(window.limit);
            window.left < window.tried || window.flow.flows() && window.left < mark
        })
    }

    /// When leases end that are being used.
    fn renews_at(&self) -> Option<u64> {
        if self.is_paused() || self.refuses {
            return None;
        }
        let lead = self.lead();
        let used =
            self.limits.iter().filter(|window| window.flow.flows() && window.flow.ahead() > 0);
        used.filter_map(super::Window::until).map(|until| until.saturating_sub(lead)).min()
    }

    /// How long before the end of a lease the next one is asked for.
    pub(super) fn lead(&self) -> u64 {
        (self.settings.lease / 8).min(2 * self.took + GAP)
    }

    /// Not before what the last answer told, unless something else is needed now.
    fn asks_again_at(&self) -> u64 {
        let Some(asked) = &self.asked else { return self.now };
        let firsts = self.limits.iter().map(|window| window.first);
        let is_new =
            self.waiters > 0 && (!asked.had_line || !asked.first.iter().copied().eq(firsts));
        if is_new { self.now } else { asked.again_at.max(self.now) }
    }

    fn asks_for_slots_at(&self) -> u64 {
        self.asked.as_ref().map_or(self.now, |asked| asked.slots_at.max(self.now))
    }

    /// Slots that have been given up for others, and are free now.
    pub(super) fn drained_slots(&self) -> u64 {
        if self.share.is_some() || self.had_slots <= self.slots {
            return 0;
        }
        self.had_slots.saturating_sub(self.slots_out())
    }

    /// The same while a trip is under way.
    pub(super) fn wakes_in_trip(&self, next: &mut Earliest) {
        if self.slots > 0 && self.share.is_none() {
            next.at(self.slots_until);
        }
        self.share_wakes(next);
    }

    /// When something is to be looked at again, without a trip.
    fn wakes(&self, next: &mut Earliest, is_closed: bool) {
        if self.slots > 0 && self.share.is_none() {
            next.at(self.slots_until);
        }
        if self.waiters > 0 {
            let ends = self.limits.iter().filter_map(|window| window.ends.front());
            ends.for_each(|&ends| next.at(ends));
            if let Some(over) = self.pause_ends() {
                next.at(over);
            }
        }
        if self.limits.iter().any(|window| window.left > 0) {
            self.limits.iter().filter_map(super::Window::until).for_each(|until| next.at(until));
        }
        if is_closed && self.in_flight > 0 || self.had_slots > self.slots {
            next.at(self.now + LOOKS);
        }
        self.share_wakes(next);
    }
}

/// Less than this left is a reason to ask.
pub(super) fn mark_of(ahead: u64) -> u64 {
    ahead / 2
}

/// The earliest of times.
#[derive(Debug)]
pub(super) struct Earliest(pub(super) Option<u64>);

impl Earliest {
    pub(super) fn at(&mut self, at: u64) {
        self.0 = Some(self.0.map_or(at, |before| before.min(at)));
    }
}
