//! What a trip asks for, and what goes back with it.

use super::{Driver, count, micros};
use crate::link::Link;
use crate::script::{Ask, MOST_RETURNS};
use crate::session::Demand;
use core::time::Duration;

impl<L: Link> Driver<L> {
    pub(super) fn gather(&mut self) -> Demand {
        let is_closed = self.lessee.limiter().is_closed();
        let is_idle = self.now >= self.leaves_at() && self.tried_none();
        // Who has left has no share: not while calls may still go by it.
        let may_leave = (is_closed || is_idle) && self.share.is_none() && !self.is_busy();
        let leave = may_leave && self.gives_back_all();
        let others_wait = self.limits.iter().any(|window| window.wanted > 0);
        if self.first_misses() && (self.in_vain || others_wait) {
            // What is left is of no use without the rest: all of it together, then. Others may use it first.
            self.reclaim_all();
        }
        if !leave {
            self.give_back_what_others_need();
        }
        self.collect_unused();
        let asks: Vec<_> = (0..self.limits.len()).map(|n| self.ask_of(n, leave)).collect();
        let slots = self.slot_ask(leave);
        for (window, ask) in self.limits.iter_mut().zip(&asks) {
            window.flow.begin_trip();
            window.tried = 0;
            window.first_told = window.first.min(window.left.saturating_add(ask.least));
        }
        self.slot_tried = false;
        // Held first: what is settled meanwhile is then told twice, and not left out.
        let held: Vec<u64> = (0..self.limits.len()).map(|n| self.lessee.held(n)).collect();
        let used = (0..self.limits.len()).map(|n| self.lessee.used(n));
        let tallies = used.zip(held).collect();
        let (waited, pause) = (self.waited(), self.pause_to_tell());
        Demand { asks, tallies, slots, in_flight: self.in_flight, waited, pause, leave }
    }

    fn tried_none(&self) -> bool {
        !self.slot_tried && self.limits.iter().all(|window| window.tried == 0)
    }

    /// Takes everything out of use. False if a call has come before that, or if not all of it goes with one trip.
    fn gives_back_all(&mut self) -> bool {
        self.set_slots(0);
        self.reclaim_all();
        self.waiters = count(self.lessee.waiters());
        self.in_flight = count(self.lessee.in_flight());
        self.collect_unused();
        !self.is_busy() && self.slots_out() == 0 && self.unused.len() < MOST_RETURNS
    }

    /// Where no call of this process is in line, and others are.
    fn give_back_what_others_need(&mut self) {
        if self.waiters > 0 {
            return;
        }
        for (n, window) in self.limits.iter_mut().enumerate() {
            let back = window.wanted.min(window.left);
            if back > 0 {
                self.lessee.reclaim(n, back);
                window.left = self.lessee.left(n);
                window.flow.now_left(window.left);
                window.wanted -= back;
            }
        }
    }

    fn ask_of(&self, n: usize, leave: bool) -> Ask {
        let Some(window) = self
            .limits
            .get(n)
            .filter(|_| !leave && !self.refuses && !self.has_strays(self.in_flight))
        else {
            return Ask::default();
        };
        // What is about to end will not be used.
        let soon = self.now.saturating_add(self.lead());
        let left = if window.until().is_some_and(|until| until > soon) { window.left } else { 0 };
        let waits_for_slots = self.waits_for_slots();
        let (least, need) = if self.hunger().any() && !waits_for_slots {
            let need = self.need_of(window).saturating_sub(left);
            (window.first.saturating_sub(left).min(need), need)
        } else {
            (0, 0)
        };
        if self.is_paused() || waits_for_slots && self.in_flight == 0 {
            return Ask { least, need, want: need };
        }
        let ahead = window.flow.ahead().max(window.tried);
        let target =
            if waits_for_slots { ahead } else { self.need_of(window).saturating_add(ahead) };
        Ask { least, need, want: target.min(window.limit).saturating_sub(left).max(need) }
    }

    /// What calls in line need of it: of those that could go together, about.
    pub(super) fn need_of(&self, window: &super::Window) -> u64 {
        let slots = if self.lacks_slots() { self.slots_to_ask() } else { 0 };
        let by_slots = slots.max(self.slots).saturating_sub(self.in_flight).max(1);
        let has_slots = self.session.terms().slots.is_some();
        let calls = if has_slots { by_slots.min(self.may_go()) } else { self.may_go() };
        let part = if calls < self.waiters {
            let part = u128::from(window.in_line) * u128::from(calls) / u128::from(self.waiters);
            u64::try_from(part).unwrap_or(u64::MAX)
        } else {
            window.in_line
        };
        part.max(window.first).min(window.limit)
    }

    /// Of calls for which there is no room here.
    fn waited(&self) -> u64 {
        if !self.hunger().any() {
            return 0;
        }
        let waited = self.lessee.waited().unwrap_or(Duration::ZERO);
        u64::try_from(waited.as_micros()).unwrap_or(u64::MAX).max(1)
    }

    /// Reads the clock, for what has just happened.
    pub(super) fn read_clock(&mut self) -> u64 {
        self.now = self.now.max(micros(self.lessee.now()));
        self.now
    }
}
