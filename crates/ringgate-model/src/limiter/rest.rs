//! Whether a call waits although there is room for it.

use super::{Claim, Id, Model, Verdict, demand};

/// The grace, and one step for each of two looks, which come late by up to that.
const STEPS: u32 = 10;

impl Model {
    /// All woken calls have been polled, except silent ones. In a line without silent calls no call waits while there is
    /// room for it, or for what never comes.
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
            if line.iter().any(is_silent) {
                return Ok(());
            }
            self.check_none_waits_in_vain(limiter, |_| true)
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
        self.new_turns.clear();
    }

    /// Before a program moves the time in steps of an eighth of the grace.
    pub fn begin_grace(&mut self) {
        for limiter in &mut self.limiters {
            limiter.unused = (0, limiter.admissions);
        }
    }

    /// An eighth of the grace has passed, and all woken calls were polled, except silent ones. There are 64 of those at
    /// most. They must not keep others from room for longer than the grace. Returns true once that has been seen, or
    /// there is no room.
    ///
    /// Exempt, as documented or known:
    /// * a call that stands in the line of shared slots: a slot granted to a silent one stays with that;
    /// * a call not polled since a rate has changed. If the one that watches is silent, the others learn of it at the
    ///   time when they would have gone by the former rate.
    ///
    /// # Errors
    ///
    /// If a call is forgotten.
    pub fn check_step_of_grace(&mut self) -> Result<bool, String> {
        let mut is_seen = true;
        for limiter in 0..self.limiters.len() {
            let (room, admissions) = (self.room(limiter), self.limiters[limiter].admissions);
            let (steps, before) = self.limiters[limiter].unused;
            let is_unused = room > 0 && before == admissions;
            let steps = if is_unused { steps + 1 } else { 0 };
            self.limiters[limiter].unused = (steps, admissions);
            is_seen &= room == 0 || steps > STEPS;
            if steps > STEPS {
                self.check_none_waits_in_vain(limiter, |id| self.must_have_gone(id))?;
            }
        }
        Ok(is_seen)
    }

    fn must_have_gone(&self, id: Id) -> bool {
        let call = &self.calls[id];
        !call.is_silent && !call.has_new_rate && call.woken.is_none()
    }

    fn check_none_waits_in_vain(&self, limiter: Id, counts: impl Fn(Id) -> bool) -> Verdict {
        let line = &self.limiters[limiter].line;
        let waits = |id: &&Id| self.calls[**id].claim == Claim::None && counts(**id);
        let Some(id) = line.iter().find(waits) else { return Ok(()) };
        // A call learns of these when it tries to go.
        let is_open = self.limiters[limiter].rates.are_open(self.now) && self.own_free(limiter) > 0;
        let never = self.permanent_refusals(limiter).next().filter(|_| is_open);
        demand(never.is_none(), || format!("call {id} waits for what never comes: {never:?}"))?;
        let room = self.room(limiter);
        demand(room == 0, || format!("call {id} waits, although there is room for {room}"))
    }
}
