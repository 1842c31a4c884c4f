//! What a call gets: whether it may get that.

use super::{Answer, Call, Claim, Id, JUMP, Limiter, Model, Refusal, Seen, Stage, Verdict, demand};
use std::mem;
use std::ops::RangeInclusive;
use std::task::Poll;

impl Model {
    /// A call tried to go at once. `seen`: the limiter's shared slots now, if it has any. Wakes since then have been told.
    ///
    /// # Errors
    ///
    /// If this breaks a promise.
    pub fn tried(
        &mut self,
        limiter: Id,
        class: usize,
        answer: Answer,
        seen: Option<Seen>,
    ) -> Verdict {
        self.note_given_on(limiter, seen)?;
        if let Err(refusal) = answer {
            self.check_takes_none(limiter, seen)?;
            self.check_newcomer_refused(limiter)?;
            return self.check_refusal(limiter, class, refusal);
        }
        let waits = self.limiters[limiter].line.iter().find(|id| self.waits_for_turn(**id));
        demand(waits.is_none(), || format!("a newcomer passed call {waits:?}"))?;
        self.check_turns_left(limiter)?;
        self.admit(limiter, seen)
    }

    /// Only a call that has room by all other limits takes a shared slot.
    fn check_takes_none(&self, limiter: Id, seen: Option<Seen>) -> Verdict {
        let slots = self.limiters[limiter].shared.map(|slots| self.slots[slots].seen());
        demand(seen == slots, || format!("it was refused, and left {seen:?} of {slots:?}"))
    }

    /// A call was polled, and got this. `seen`: the limiter's shared slots now, if it has any. The wakes of others since
    /// then have been told, its own have not.
    ///
    /// # Errors
    ///
    /// If this breaks a promise.
    pub fn polled(&mut self, id: Id, got: Poll<Answer>, seen: Option<Seen>) -> Verdict {
        self.note_late_answer(id);
        let (was_woken, is_new) =
            (self.calls[id].woken.is_some(), self.calls[id].stage == Stage::New);
        let call = &mut self.calls[id];
        let turn_is_old = mem::take(&mut call.has_new_rate)
            | mem::take(&mut call.is_set_back)
            | mem::take(&mut call.may_pass);
        (call.woken, call.may_not_know_rate) = (None, false);
        let had_turn = call.given.take().is_some();
        if call.stage == Stage::Done {
            return demand(got.is_pending(), || format!("call {id} ended twice"));
        }
        let Some(limiter) = call.limiter else { return self.slot_polled(id, got) };
        self.move_deadline(id, is_new);
        let verdict = match got {
            Poll::Ready(Ok(())) => self.admitted(id, limiter, is_new, turn_is_old, seen),
            Poll::Ready(Err(refusal)) => self.refused(id, limiter, is_new, refusal, seen),
            Poll::Pending => {
                let stands = self.kept_waiting(id, limiter, is_new, was_woken, seen);
                stands.and_then(|stands| {
                    if stands && !turn_is_old { self.check_order(id, limiter) } else { Ok(()) }
                })
            }
        };
        if had_turn && self.calls[id].claim == Claim::None && self.calls[id].is_waiting() {
            self.went_in_vain(id, limiter);
        }
        verdict.map_err(|wrong| format!("call {id}: {wrong}"))
    }

    /// A turn that is answered in a later eighth of the grace takes a younger one with it out of the limiter's count: a
    /// documented inexactness. A call is then woken in vain, and waits in front of the others.
    pub(super) fn note_late_answer(&mut self, id: Id) {
        let call = &self.calls[id];
        if let (Some(limiter), Some(given)) = (call.limiter, call.given)
            && self.now / (self.grace / 8) != given / (self.grace / 8)
        {
            let until = self.now + self.grace / 4;
            let limiter = &mut self.limiters[limiter];
            limiter.disturbed_until = limiter.disturbed_until.max(until);
        }
    }

    /// A timeout starts at the first poll. It moves back with a clock that jumps back.
    fn move_deadline(&mut self, id: Id, is_new: bool) {
        let (now, call) = (self.now, &mut self.calls[id]);
        if is_new {
            call.deadline = call.timeout.map(|timeout| now.saturating_add(timeout));
        } else if call.seen.saturating_sub(now) > JUMP {
            let rest = |end: u64| end.saturating_sub(call.seen);
            call.deadline = call.deadline.map(|end| now.saturating_add(rest(end)));
        }
        (call.seen, call.shown_at) = (now, call.shown_at.max(now));
    }

    // ---- admitted --------------------------------------------------------------------------------

    fn admitted(
        &mut self,
        id: Id,
        limiter: Id,
        is_new: bool,
        turn_is_old: bool,
        seen: Option<Seen>,
    ) -> Verdict {
        // Exempt:
        // * The order in the line of shared slots decides among those who stand there, and a call that leaves that
        //   line because the rate has become too low loses its place in it.
        // * Two calls had turns, then there was less room: a rate was lowered, or the clock stepped back, or a third call
        //   took them for silent. The older one was polled meanwhile. It then waits until the turn of the other is used or has
        //   expired.
        if !self.calls[id].stands() && !turn_is_old {
            self.check_order(id, limiter)?;
        }
        if is_new {
            self.check_turns_left(limiter)?;
        }
        if let Some(shared) = self.limiters[limiter].shared
            && self.end_claim(id)
        {
            // `admit` takes it.
            self.slots[shared].free += 1;
        }
        self.leave(id);
        // Before it found one for itself.
        self.note_given_on(limiter, seen)?;
        self.admit(limiter, seen)
    }

    /// An admission takes a slot and a stamp.
    fn admit(&mut self, limiter: Id, seen: Option<Seen>) -> Verdict {
        let now = self.now;
        demand(!self.limiters[limiter].is_closed, || "admitted after the close".into())?;
        let early = || format!("admitted {:?} too early", self.wait(limiter, 0));
        demand(self.is_open(limiter), early)?;
        demand(self.own_free(limiter) > 0, || "admitted without a slot".into())?;
        if let (Some(shared), Some(seen)) = (self.limiters[limiter].shared, seen) {
            if seen.balance() == self.slots[shared].seen().balance() {
                self.take_unclaimed(shared)?;
            } else {
                self.try_take(shared)
                    .map_err(|no| format!("admitted without a shared slot: {no:?}"))?;
            }
        }
        self.limiters[limiter].rates.stamp(now);
        self.limiters[limiter].held += 1;
        self.limiters[limiter].admissions += 1;
        Ok(())
    }

    /// Within a class first in, first out. Exempt are
    /// * an older call that was woken and not polled since: it may be silent, or a turn behind it is used first;
    /// * one that stands in the line of shared slots: only they are missing, and their line has its own order;
    /// * one that has found no room at its turn, if that has happened to this one, too. The limiter keeps such calls in order
    ///   unless it happens again to the first of several.
    fn check_order(&self, id: Id, limiter: Id) -> Verdict {
        let line = &self.limiters[limiter].line;
        let older = line.iter().take_while(|other| **other != id);
        let call = &self.calls[id];
        let is_behind =
            |other: &Call| other.class == call.class && !(other.went_in_vain && call.went_in_vain);
        let passed = older
            .filter(|other| is_behind(&self.calls[**other]))
            .find(|other| self.waits_for_turn(**other));
        demand(passed.is_none(), || format!("it passed call {passed:?}"))
    }

    /// It is in line, and was not woken: it has no turn.
    pub(super) fn waits_for_turn(&self, id: Id) -> bool {
        !self.is_unanswered(id) && !self.calls[id].stands()
    }

    /// A newcomer goes only if there is room for more than have a turn. Turns count for an eighth of the grace at
    /// least, unless the limiter has lost count. Exempt are shared slots: no turn holds one, the first who asks gets it.
    ///
    /// Calls that stand keep room while one of them, of any limiter, has yet to be granted a slot or to claim it. Once a
    /// silent call has answered and claimed the slot of a younger one, the younger one has nothing to come.
    fn check_turns_left(&self, limiter: Id) -> Verdict {
        if self.limiters[limiter].disturbed_until >= self.now.max(1) {
            return Ok(());
        }
        let has_turn = |id: &&Id| {
            let given = self.calls[**id].given.filter(|_| !self.calls[**id].stands());
            given.is_some_and(|given| self.now.abs_diff(given) < self.grace / 8)
        };
        let line = &self.limiters[limiter].line;
        let turns = line.iter().filter(has_turn).count();
        let keeps_room =
            |id: &&Id| self.may_get_slot(limiter) && self.keeps_room(&self.calls[**id]);
        let standing = line.iter().filter(keeps_room).count();
        let (slots, stamps) = (self.own_free(limiter), self.room_by_time(limiter));
        demand(slots.min(stamps) > turns + standing, || {
            format!(
                "a newcomer used one of {turns}+{standing} turns: {slots} slots, {stamps} stamps"
            )
        })
    }

    /// Somebody waits for a shared slot, or has one to claim.
    fn may_get_slot(&self, limiter: Id) -> bool {
        let slots = self.limiters[limiter].shared.map(|slots| &self.slots[slots]);
        slots.is_some_and(|slots| !slots.line.is_empty() || slots.unclaimed() > 0)
    }

    /// It stands in the line of shared slots. One that is silent keeps no room from others: it counts for a quarter of the
    /// grace at least, and for three quarters at most.
    fn keeps_room(&self, call: &Call) -> bool {
        call.stands() && self.now.abs_diff(call.stood_at) < self.grace / 4
    }

    // ---- refused ---------------------------------------------------------------------------------

    fn refused(
        &mut self,
        id: Id,
        limiter: Id,
        is_new: bool,
        refusal: Refusal,
        seen: Option<Seen>,
    ) -> Verdict {
        if refusal.is_permanent() {
            let right = self.permanent_refusals(limiter).any(|right| right == refusal);
            self.leave(id);
            self.note_given_on(limiter, seen)?;
            self.take_in_vain(limiter, seen)?;
            return demand(right, || format!("refused for good: {refusal:?}"));
        }
        let (now, deadline) = (self.now, self.calls[id].deadline);
        let deadline = deadline.ok_or_else(|| format!("refused without a timeout: {refusal:?}"))?;
        // It has tried without success, which others in line may know by now.
        self.give_up(id, limiter)?;
        self.leave(id);
        self.note_given_on(limiter, seen)?;
        self.take_in_vain(limiter, seen)?;
        if deadline <= now {
            return self.check_refusal(limiter, self.calls[id].class, refusal);
        }
        demand(is_new, || format!("refused before its deadline: {refusal:?}"))?;
        let (Refusal::Rate(wait) | Refusal::Paused(wait)) = refusal else {
            return Err(format!("refused at once: {refusal:?}"));
        };
        demand(now.saturating_add(wait) > deadline, || format!("could go in time, in {wait}"))?;
        self.check_refusal(limiter, self.calls[id].class, refusal)
    }

    /// All reasons for which no call is ever admitted; the first is told to a newcomer.
    pub(super) fn permanent_refusals(&self, limiter: Id) -> impl Iterator<Item = Refusal> {
        let Limiter { rates, own, shared, is_closed, .. } = &self.limiters[limiter];
        let reasons = [
            is_closed.then_some(Refusal::Closed),
            rates.are_never_open().then_some(Refusal::RateNever),
            (*own == Some(0)).then_some(Refusal::SlotsNever),
            shared.filter(|n| self.slots[*n].is_closed).map(|_| Refusal::Closed),
        ];
        reasons.into_iter().flatten()
    }

    /// A newcomer is refused only if calls in line may use the room. Those woken so long ago that their turns count no
    /// more, may not.
    fn check_newcomer_refused(&self, limiter: Id) -> Verdict {
        if self.permanent_refusals(limiter).next().is_some() {
            return Ok(());
        }
        let has_expired = |id: &Id| {
            let call = &self.calls[*id];
            // A clock that steps back may show its turn as older than a timer's wake, or younger.
            let woken = call.woken.max(call.given).filter(|_| !call.stands());
            let is_past = |since: u64, two_periods: u64| {
                let since = since.max(self.set_back_from);
                // The limiter may count it with those of the next period, if the clock has shown that one before.
                let one_more = if since < self.latest { two_periods / 2 } else { 0 };
                self.now.saturating_sub(since) >= two_periods + one_more
            };
            // Not by its last poll: it may have shown itself before the clock jumped back, and not again.
            let is_silent = call.stands() && is_past(call.shown_at, self.grace / 4 * 3);
            is_silent || woken.is_some_and(|woken| is_past(woken, self.grace / 4))
        };
        let line = &self.limiters[limiter].line;
        let may_go = line.iter().filter(|id| !has_expired(id)).count();
        let room = self.room(limiter);
        demand(room <= may_go, || {
            format!("a newcomer was not admitted: room for {room}, {may_go} in line")
        })
    }

    /// How many calls are ahead of one that comes now, as a refusal counts them: those in line, without those that are
    /// silent. Some may have expired turns, or none.
    fn ahead(&self, limiter: Id, class: usize) -> RangeInclusive<usize> {
        let line = &self.limiters[limiter].line;
        let mixed = line.iter().any(|id| self.calls[*id].class != class);
        let is_fresh = |id: &&Id| {
            let call = &self.calls[**id];
            let is_new = |given| self.now.abs_diff(given) < self.grace / 8;
            if call.stands() { self.keeps_room(call) } else { call.given.is_none_or(is_new) }
        };
        let lost_count = self.limiters[limiter].disturbed_until >= self.now.max(1);
        let least = match (mixed, lost_count) {
            (true, _) => 0,
            (_, true) => line.iter().filter(|id| self.waits_for_turn(**id)).count(),
            _ => line.iter().filter(is_fresh).count(),
        };
        least..=line.len()
    }

    /// The reason is right, and so is the time.
    fn check_refusal(&self, limiter: Id, class: usize, refusal: Refusal) -> Verdict {
        let never = self.permanent_refusals(limiter).next();
        if never.is_some() || refusal.is_permanent() {
            return demand(never == Some(refusal), || format!("{refusal:?}, not {never:?}"));
        }
        let ahead = self.ahead(limiter, class);
        let wait = |ahead: usize| self.wait(limiter, ahead);
        let (least, most) = (wait(*ahead.start()), wait(*ahead.end()));
        let free = self.available(limiter);
        let is_right = match refusal {
            Refusal::Slots => least == Some(0) && free == 0,
            // Only turns are in the way. They end by then.
            Refusal::Rate(wait) if least == Some(0) && free > 0 && wait == self.grace / 4 => true,
            // Of the two, what lasts longer.
            Refusal::Paused(wait) => Some(wait) == self.paused_for(limiter) && least == Some(wait),
            Refusal::Rate(wait) => {
                let paused = self.paused_for(limiter).unwrap_or(0);
                wait > paused && least <= Some(wait) && most.is_none_or(|most| wait <= most)
            }
            _ => false,
        };
        demand(is_right, || {
            format!("{refusal:?}, but {ahead:?} in line wait {least:?}..={most:?}, {free} slots")
        })
    }

    // ---- kept waiting ------------------------------------------------------------------------------

    /// Returns whether it has begun to stand in the line of shared slots.
    fn kept_waiting(
        &mut self,
        id: Id,
        limiter: Id,
        is_new: bool,
        was_woken: bool,
        seen: Option<Seen>,
    ) -> Result<bool, String> {
        let deadline = self.calls[id].deadline;
        demand(deadline.is_none_or(|end| end > self.now), || "it stays after its deadline".into())?;
        if is_new {
            self.check_joins(id, limiter)?;
            self.calls[id].stage = Stage::Waiting;
            self.calls[id].came_first = self.limiters[limiter].line.is_empty();
            self.limiters[limiter].line.push(id);
        }
        let has_stood = self.settle_claim(id, limiter, seen)?;
        // Exempt: a call that stands in the line of shared slots hears of a new rate when it has a slot.
        if !self.calls[id].stands() {
            let Limiter { rates, is_closed, .. } = &self.limiters[limiter];
            let never = *is_closed || rates.are_never_open();
            demand(!never, || "it waits for what never comes".into())?;
            self.check_oldest_goes(id, limiter, was_woken)?;
        }
        Ok(has_stood)
    }

    /// A newcomer may join the line.
    fn check_joins(&self, id: Id, limiter: Id) -> Verdict {
        let never = self.permanent_refusals(limiter).next();
        demand(never.is_none(), || format!("it waits for what never comes: {never:?}"))?;
        self.check_newcomer_refused(limiter)?;
        let call = &self.calls[id];
        let least = *self.ahead(limiter, call.class).start();
        let wait = self.wait(limiter, least);
        let in_time = wait.is_some_and(|wait| {
            call.deadline.is_none_or(|end| self.now.saturating_add(wait) <= end)
        });
        demand(in_time, || format!("it waits in vain, for {wait:?}"))
    }

    /// Finds out whether it stands in the line of shared slots now. Returns whether that is new.
    fn settle_claim(&mut self, id: Id, limiter: Id, seen: Option<Seen>) -> Result<bool, String> {
        let (Some(shared), Some(seen)) = (self.limiters[limiter].shared, seen) else {
            return Ok(false);
        };
        self.give_up(id, limiter)?;
        self.note_given_on(limiter, Some(seen))?;
        if seen.balance() > self.slots[shared].seen().balance() {
            let stood = self.calls[id].claim == Claim::Queued;
            demand(stood, || "it took a granted slot and did not go".into())?;
            // It took one while it stood, and waits in front of others now.
            self.withdraw(id);
            self.take_in_vain(limiter, Some(seen))?;
            self.went_in_vain(id, limiter);
        }
        if seen.waiters == self.slots[shared].line.len() + 1 && !self.calls[id].stands() {
            demand(self.is_open(limiter), || "it waits for a slot before its rate is open".into())?;
            demand(self.own_free(limiter) > 0, || "it has no slot of the limiter".into())?;
            demand(self.slots[shared].free == 0, || "it waits although a slot is free".into())?;
            self.calls[id].claim = Claim::Queued;
            (self.calls[id].stood_at, self.calls[id].shown_at) = (self.now, self.now);
            self.slots[shared].line.push_back(id);
            return Ok(true);
        }
        Ok(false)
    }

    /// A call that was granted a slot has not gone: another has its slot, or that is of no use to it.
    fn give_up(&mut self, id: Id, limiter: Id) -> Verdict {
        let Some(shared) = self.limiters[limiter].shared else { return Ok(()) };
        if self.calls[id].claim == Claim::Granted {
            self.went_in_vain(id, limiter);
            if self.end_claim(id) {
                self.check_is_of_no_use(limiter)?;
                self.give(shared, 1);
            }
        }
        Ok(())
    }

    /// It waits in front of others now. Some of those may have a turn already.
    fn went_in_vain(&mut self, id: Id, limiter: Id) {
        self.calls[id].went_in_vain = true;
        let line = &self.limiters[limiter].line;
        for other in line.iter().skip_while(|other| **other != id).skip(1) {
            self.calls[*other].may_pass |= self.calls[*other].given.is_some();
        }
    }

    /// The oldest call goes when it is polled after it was woken, if there is room for it and for all turns that may be
    /// out. So one that was silent goes first when it answers.
    fn check_oldest_goes(&self, id: Id, limiter: Id, was_woken: bool) -> Verdict {
        let line = &self.limiters[limiter].line;
        if !was_woken || line.first() != Some(&id) || !self.is_of_one_class(limiter) {
            return Ok(());
        }
        let others = line.iter().filter(|other| **other != id && !self.waits_for_turn(**other));
        if self.calls[id].went_in_vain && line[1..].iter().any(|id| self.calls[*id].went_in_vain) {
            // As in `check_order`.
            return Ok(());
        }
        let (others, room) = (others.count(), self.room(limiter));
        demand(room <= others, || format!("the oldest did not go: room for {room}, {others} turns"))
    }

    // ---- the shared slots by themselves -------------------------------------------------------------

    /// A call that waits for a shared slot without a limiter: its semaphore's line is exact.
    fn slot_polled(&mut self, id: Id, got: Poll<Answer>) -> Verdict {
        let expected = self.slot_answer(id);
        if expected.is_ready() {
            self.calls[id].stage = Stage::Done;
        }
        demand(got == expected, || format!("call {id} got {got:?}, not {expected:?}"))
    }

    fn slot_answer(&mut self, id: Id) -> Poll<Answer> {
        self.calls[id].stage = Stage::Waiting;
        match mem::replace(&mut self.calls[id].claim, Claim::None) {
            Claim::Granted if !self.slots[0].is_closed => Poll::Ready(Ok(())),
            Claim::Granted => {
                self.give(0, 1);
                Poll::Ready(Err(Refusal::Closed))
            }
            Claim::Closed => Poll::Ready(Err(Refusal::Closed)),
            Claim::Queued => {
                self.calls[id].claim = Claim::Queued;
                Poll::Pending
            }
            Claim::None => match self.try_take(0) {
                Err(Refusal::Slots) => {
                    self.slots[0].line.push_back(id);
                    self.calls[id].claim = Claim::Queued;
                    Poll::Pending
                }
                taken => Poll::Ready(taken),
            },
        }
    }
}
