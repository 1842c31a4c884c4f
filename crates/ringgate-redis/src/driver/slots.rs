//! Slots: how many to ask for, which ones to keep while others want some, and when the others get theirs.
//!
//! A process keeps its part for as long as it has calls: what the slots come to for each process, rounded down. If they do not come
//! out even, or there are fewer than processes, the rest goes round: each process asks for one beyond its part, and has it for a *turn*. The turn is
//! over once all its slots have been in use and the next call would need a trip anyway, when no call comes, or after a heartbeat. Then one trip gives the slot back and
//! lines up for the next one, behind calls that have waited longer. The store tells the first in line, whose trip takes the slot, and leases with
//! it. So a call in such a slot costs two trips. Where each process has a part of its own, a turn lasts for a heartbeat at least:
//! nobody is without a slot meanwhile.
//!
//! News may be lost. Who waits asks again all the same, and the less often the longer it waits.

use super::Driver;
use super::take::has_its_leases;
use crate::link::{Link, News};
use crate::script::{Reply, SlotAsk, Trip};
use core::mem;

impl<L: Link> Driver<L> {
    // ---- what to ask for -----------------------------------------------------------------------

    /// What is given up is not used from here on: so it is taken out of use first.
    pub(super) fn slot_ask(&mut self, leave: bool) -> SlotAsk {
        if leave || self.session.terms().slots.is_none() {
            return SlotAsk::default();
        }
        if self.share.is_some() {
            // It is apart: none of the store's are in use, but calls that were admitted go on.
            let need = self.in_flight;
            return SlotAsk { have: 0, need, want: need };
        }
        if self.slots < self.had_slots {
            // Others need them. Its calls line up for the next one at once.
            let out = self.slots_out();
            let lines_up = self.hunger().slots && out < self.slots_part();
            let need = if lines_up { self.slots_to_ask().max(out) } else { out };
            return SlotAsk { have: out.min(self.had_slots), need, want: need };
        }
        let need = self.slots_to_ask();
        // What nobody waits for is theirs who come at the moment when there is some.
        let need = if self.lacks_a_slot() { need.max(self.in_flight + 1) } else { need };
        let keeps = if self.now < self.leaves_at() { self.slots } else { 0 };
        let want = need.max(if self.slots_wanted > 0 { 0 } else { keeps });
        if want < self.slots {
            self.set_slots(want);
        }
        let want = want.max(self.slots_out());
        SlotAsk { have: self.had_slots.min(want), need: need.min(want), want }
    }

    /// What its calls need, and no more than its part while others want some: what it does not ask for they need not wait for.
    pub(super) fn slots_to_ask(&self) -> u64 {
        let needed = self.slots_needed();
        if self.slots_wanted == 0 {
            return needed;
        }
        let told = u64::from(!self.others_want_slots());
        needed.min(self.slots_part().max(self.slots_out().saturating_add(told)))
    }

    pub(super) fn slots_needed(&self) -> u64 {
        let limit = self.session.terms().slots.unwrap_or(0);
        let calls = self.in_flight.saturating_add(self.waiters.min(self.may_go()));
        calls.min(self.level()).min(limit).max(self.in_flight.min(limit))
    }

    /// Whether calls in line wait for slots that it could get, and keep.
    pub(super) fn lacks_slots(&self) -> bool {
        let is_limited = self.session.terms().slots.is_some();
        is_limited && !self.has_its_slots() && self.slots_needed() > self.slots
    }

    /// Whether a call that does not wait was refused for lack of a slot, and another one would be.
    pub(super) fn lacks_a_slot(&self) -> bool {
        self.slot_tried && self.waiters == 0 && self.in_flight >= self.slots && !self.refuses
    }

    /// Whether it would have to give up what it got beyond what it has.
    fn has_its_slots(&self) -> bool {
        self.others_want_slots() && self.slots_out() >= self.slots_part()
    }

    /// Not if the store has just told that this process is the first that can use one.
    fn others_want_slots(&self) -> bool {
        self.slots_wanted > 0 && self.pushed != Some(News::Room)
    }

    /// Whether it would not help a call in line to have leases: the slots are in use, and no more are to be had.
    pub(super) fn waits_for_slots(&self) -> bool {
        let Some(limit) = self.session.terms().slots else { return false };
        let level = self.level();
        if self.in_flight >= level || self.in_flight >= limit {
            return true;
        }
        let gives_up = self.had_slots > self.slots;
        self.in_flight >= self.slots && (gives_up || self.has_its_slots() || self.slots_refused())
    }

    /// Whether the last answer left slots to wish for, and the store has told of none since.
    fn slots_refused(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.slots_at > 0)
            && self.pushed != Some(News::Room)
            && self.slots_needed() > self.slots
    }

    // ---- what to keep --------------------------------------------------------------------------

    /// The most that it asks for while others want some.
    fn slots_part(&self) -> u64 {
        let limit = self.session.terms().slots.unwrap_or(0);
        let is_even = self.slots_fair.saturating_mul(self.processes) >= limit;
        self.slots_fair.saturating_add(u64::from(!is_even))
    }

    /// What it keeps while others want some, once it has had its turn.
    fn slots_to_keep(&self) -> u64 {
        let goes_round = self.slots_fair == 0 || self.now >= self.turn_ends();
        if goes_round { self.slots_fair } else { self.slots_part() }
    }

    /// Whether it has slots that others get after its turn.
    pub(super) fn has_a_turn(&self) -> bool {
        self.slots_wanted > 0 && self.slots > self.slots_to_keep() && self.share.is_none()
    }

    fn turn_ends(&self) -> u64 {
        self.turn_began.saturating_add(self.heartbeat())
    }

    /// Until then it keeps them for calls that may come.
    pub(super) fn idle_until(&self) -> u64 {
        self.turn_began.saturating_add(self.settings.lease)
    }

    /// Gives up what others get now.
    pub(super) fn look_at_turn(&mut self) {
        self.used_turn |= self.in_flight > 0 && self.in_flight >= self.slots;
        let is_over = if self.waiters > 0 {
            self.used_turn && self.first_misses()
        } else {
            self.in_flight < self.slots && self.now >= self.idle_until()
        };
        if is_over && self.has_a_turn() {
            self.set_slots(self.slots_to_keep());
        }
    }

    /// Slots that have been given up for others, and are free now.
    pub(super) fn drained_slots(&self) -> u64 {
        if self.share.is_some() || self.had_slots <= self.slots {
            return 0;
        }
        self.had_slots.saturating_sub(self.slots_out())
    }

    // ---- what an answer brings -----------------------------------------------------------------

    pub(super) fn take_slots(&mut self, trip: &Trip, reply: &Reply, began: u64) {
        let Some(limit) = self.session.terms().slots else { return };
        self.slots_until = began.saturating_add(self.session.terms().time_to_live);
        // No more than it has asked for, whatever is said.
        self.had_slots = reply.slots.min(trip.slots.want.max(trip.slots.have)).min(limit);
        self.slots_fair = reply.slots_fair.min(limit);
        let was_wanted = mem::replace(&mut self.slots_wanted, reply.slots_wanted) > 0;
        let turn = self.turn(trip, reply, was_wanted);
        let slots = if self.slots_wanted > 0 {
            self.had_slots.min(self.slots_to_keep().max(turn))
        } else {
            self.had_slots
        };
        self.set_slots(slots);
    }

    /// How many slots calls in line may use before it gives them up.
    fn turn(&mut self, trip: &Trip, reply: &Reply, was_wanted: bool) -> u64 {
        let new = self.had_slots.saturating_sub(trip.slots.have);
        let turn = match () {
            () if new > 0 => self.slots.saturating_add(new),
            // Others want some only now, and the first call has just got its leases.
            () if !was_wanted && has_its_leases(trip, reply) => trip.in_flight.saturating_add(1),
            // Where a limit in time keeps it from using all of them, its turn ends all the same.
            () if self.used_turn || self.now >= self.turn_ends() => return 0,
            () => return self.slots.min(trip.slots.need),
        };
        (self.used_turn, self.turn_began) = (false, self.now);
        turn
    }

    /// Slots that were refused have come at last: the store has told, or has not.
    pub(super) fn note_whether_news_come(&mut self, trip: &Trip, reply: &Reply) {
        let was_refused = self.asked.as_ref().is_some_and(|asked| asked.slots_at > 0);
        if was_refused && trip.waited > 0 && reply.slots > trip.slots.have {
            self.hears = self.pushed == Some(News::Room);
        }
    }
}
