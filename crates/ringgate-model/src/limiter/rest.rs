//! Whether a call waits although there is room for it.

use super::{Claim, Id, Model, Refusal, Verdict, demand};

/// The grace, and one step for each of two looks, which come late by up to that.
const STEPS: u32 = 10;

/// With two more looks, for slots that were granted to silent calls.
const STEPS_TO_UNCLAIMED: u32 = STEPS + 2;

/// From one look to the next, late by up to a step.
const STEPS_TO_LOOK: u32 = 3;

impl Model {
    /// All woken calls have been polled, except silent ones. No call waits for what never comes. In a line without silent
    /// calls none waits while there is room for it.
    ///
    /// Exempt are lines with silent calls: one of those may be the only one that was told of the room, and others look by
    /// themselves within the grace only.
    ///
    /// # Errors
    ///
    /// If a call is forgotten.
    pub fn check_rest(&self) -> Verdict {
        (0..self.limiters.len()).try_for_each(|limiter| {
            let line = &self.limiters[limiter].line;
            let is_silent = |id: &Id| self.calls[*id].is_silent || self.is_unanswered(*id);
            self.check_none_waits_for_ever(limiter, |id| !is_silent(&id))?;
            if line.iter().any(is_silent) {
                return Ok(());
            }
            self.check_none_waits_in_vain(limiter, self.room(limiter), |id| {
                !self.calls[id].stands()
            })
        })
    }

    /// Turns were given, by one step. While an urgent call waits, at most two in a row are for other classes: of 21
    /// in a row it gets 16, the others 4 and 1. Exempt are calls that came first, or have had a turn in vain: those go
    /// before all.
    ///
    /// # Errors
    ///
    /// If others have had more.
    pub fn check_shares(&mut self) -> Verdict {
        let turns = std::mem::take(&mut self.new_turns);
        for limiter in 0..self.limiters.len() {
            let is_urgent = |id: Id| self.calls[id].class == 1;
            let is_here = |id: &&Id| self.calls[**id].limiter == Some(limiter);
            let counts = |id: &&Id| {
                let call = &self.calls[**id];
                !call.stands() && !call.came_first && !call.went_in_vain
            };
            let line = &self.limiters[limiter].line;
            let waits = line.iter().any(|id| is_urgent(*id) && self.waits_for_turn(*id));
            let one_got = turns.iter().filter(is_here).any(|id| is_urgent(*id));
            let others = turns.iter().filter(is_here).filter(counts).count();
            // One that has just come may have handed out turns before it joined.
            let so_far = self.limiters[limiter].not_urgent.filter(|_| waits && !one_got);
            let in_a_row = so_far.map_or(0, |so_far| so_far + others);
            self.limiters[limiter].not_urgent = waits.then_some(in_a_row);
            demand(in_a_row <= 2, || format!("{in_a_row} turns while an urgent call waits"))?;
        }
        Ok(())
    }

    /// Forgets turns that are not certain to be any: a call has woken itself.
    pub fn forget_turns(&mut self) {
        for id in std::mem::take(&mut self.new_turns) {
            if self.calls[id].claim == Claim::Queued {
                self.calls[id].given = None;
            }
        }
    }

    /// Before a program moves the time in steps of an eighth of the grace.
    pub fn begin_grace(&mut self) {
        for limiter in &mut self.limiters {
            limiter.unused = (0, limiter.admissions);
            limiter.unclaimed = (0, limiter.admissions);
        }
    }

    /// An eighth of the grace has passed, and all woken calls were polled, except silent ones. There are 64 of those at
    /// most. They must not keep others from room for longer than the grace. Returns true once that has been seen, or
    /// there is no room.
    ///
    /// A shared slot that was granted to a silent call is room for others.
    ///
    /// The grace starts when a clock that has stepped or jumped back shows the time before that again: what the limiter
    /// counted then may count again.
    ///
    /// Exempt, as documented or known: a call not polled since a rate has changed, if there was not room for all. If the one
    /// that watches is silent, the others learn of it at the time when they would have gone by the former rate.
    ///
    /// # Errors
    ///
    /// If a call is forgotten.
    pub fn check_step_of_grace(&mut self) -> Result<bool, String> {
        let mut is_seen = true;
        let counts_late = self.now < self.latest;
        let (steps, to_unclaimed) = (STEPS + self.one_look(), STEPS_TO_UNCLAIMED + self.one_look());
        for limiter in 0..self.limiters.len() {
            let count = |(steps, before): (u32, u64), room: usize, admissions: u64| {
                let is_unused = room > 0 && before == admissions && !counts_late;
                (if is_unused { steps + 1 } else { 0 }, admissions)
            };
            let (room, admissions) = (self.room(limiter), self.limiters[limiter].admissions);
            let unused = count(self.limiters[limiter].unused, room, admissions);
            self.limiters[limiter].unused = unused;
            is_seen &= room == 0 || unused.0 > steps;
            if unused.0 > steps {
                let must_have_gone = |id: Id| !self.calls[id].stands() && self.must_have_gone(id);
                self.check_none_waits_in_vain(limiter, room, must_have_gone)?;
            }
            let room = self.room_by_unclaimed(limiter, 0);
            let unclaimed = count(self.limiters[limiter].unclaimed, room, admissions);
            self.limiters[limiter].unclaimed = unclaimed;
            is_seen &= room == 0 || unclaimed.0 > to_unclaimed;
            if unclaimed.0 > to_unclaimed {
                let long = u64::from(to_unclaimed) * (self.grace / 8);
                let room = self.room_by_unclaimed(limiter, long);
                self.check_none_waits_in_vain(limiter, room, |id| self.must_have_gone(id))?;
            }
        }
        Ok(is_seen)
    }

    /// For how many calls there is room with slots that have been unclaimed for so long.
    fn room_by_unclaimed(&self, limiter: Id, long: u64) -> usize {
        let slots = self.limiters[limiter].shared.filter(|slots| !self.slots[*slots].is_closed);
        let unclaimed = slots.map_or(0, |slots| self.unclaimed_for(slots, long));
        unclaimed.min(self.own_free(limiter)).min(self.room_by_time(limiter))
    }

    /// How many steps more after the clock has stepped back: a look may come 1 ns before a silent call counts no more, and
    /// the next one finds that. Otherwise looks and what they wait for end at the same step.
    fn one_look(&self) -> u32 {
        if self.has_stepped_back { STEPS_TO_LOOK } else { 0 }
    }

    fn must_have_gone(&self, id: Id) -> bool {
        let call = &self.calls[id];
        !call.is_silent && !call.may_not_know_rate && call.woken.is_none()
    }

    /// A call that stands in the line of shared slots hears of a new rate when it has a slot.
    fn check_none_waits_for_ever(&self, limiter: Id, counts: impl Fn(Id) -> bool) -> Verdict {
        let never = self.permanent_refusals(limiter).next();
        let by_rate_alone = never == Some(Refusal::RateNever);
        let hears = |id: &&Id| counts(**id) && !(by_rate_alone && self.calls[**id].stands());
        let waits = self.limiters[limiter].line.iter().find(hears).filter(|_| never.is_some());
        demand(waits.is_none(), || format!("call {waits:?} waits for what never comes: {never:?}"))
    }

    fn check_none_waits_in_vain(
        &self,
        limiter: Id,
        room: usize,
        counts: impl Fn(Id) -> bool,
    ) -> Verdict {
        let waits = self.limiters[limiter].line.iter().find(|id| counts(**id));
        demand(room == 0 || waits.is_none(), || {
            format!("call {waits:?} waits, although there is room for {room}")
        })
    }
}
