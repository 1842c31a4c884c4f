//! What a limiter has to do, as a plain sequential program: a list of stamps, a line, a number of
//! slots. Written from the documentation; nothing in it is clever or fast.

use ringgate::{Limit, Refused};
use std::collections::VecDeque;
use std::task::Poll;

/// Calls and limiters go by their numbers.
pub(crate) type Id = usize;

/// Why a call is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum No {
    /// The rate, for so many ns.
    Rate(u64),
    RateForEver,
    /// No slot, until one is given back.
    Slots,
    SlotsForEver,
    Closed,
}

impl No {
    fn is_permanent(self) -> bool {
        matches!(self, Self::RateForEver | Self::SlotsForEver | Self::Closed)
    }
}

impl From<Refused> for No {
    fn from(refused: Refused) -> Self {
        let wait = refused.retry_after().map(|wait| u64::try_from(wait.as_nanos()).unwrap());
        match (refused.limit(), wait, refused.is_permanent()) {
            (Limit::Rate, Some(wait), false) => Self::Rate(wait),
            (Limit::Rate, None, true) => Self::RateForEver,
            (Limit::Concurrency, None, false) => Self::Slots,
            (Limit::Concurrency, None, true) => Self::SlotsForEver,
            (Limit::Closed, None, true) => Self::Closed,
            _ => panic!("a refusal that contradicts itself: {refused:?}"),
        }
    }
}

pub(crate) type Answer = Result<(), No>;

// ---- the rates -----------------------------------------------------------------------------------

/// Rules that hold together, and the stamps they count.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    /// Limit and window in ns.
    rules: Vec<(u32, u64)>,
    margin: u64,
    /// Never decreasing.
    stamps: Vec<u64>,
    /// How many stamps are remembered when more are to be: the largest limit, or twice as many as
    /// before, where a limit outgrew them.
    memory: usize,
}

impl Rates {
    pub(crate) fn new(rules: &[(u32, u64)], margin: u64) -> Self {
        let largest = rules.iter().map(|(limit, _)| *limit as usize).max().unwrap_or(0);
        Self { rules: rules.to_vec(), margin, stamps: Vec::new(), memory: largest.max(1) }
    }

    /// The rules that limit anything: zero of a limit always, zero of a window never.
    fn limiting(&self) -> impl Iterator<Item = (usize, u64)> {
        let limiting = self.rules.iter().filter(|(limit, window)| *limit == 0 || *window > 0);
        limiting.map(|(limit, window)| (*limit as usize, window + self.margin))
    }

    /// When these stamps let one more through; `None` for never.
    fn free_at(&self, stamps: &[u64]) -> Option<u64> {
        self.limiting().try_fold(0, |latest, (limit, window)| {
            let oldest = stamps.len().checked_sub(limit);
            let free_at = match oldest {
                None => 0,
                // A limit of zero.
                Some(none) if none == stamps.len() => return None,
                Some(oldest) => stamps[oldest] + window,
            };
            Some(free_at.max(latest))
        })
    }

    fn is_open(&self, now: u64) -> bool {
        self.free_at(&self.stamps).is_some_and(|free_at| free_at <= now)
    }

    /// The turn of a call with `ahead` others before it, each of which goes as soon as it can.
    pub(crate) fn turn(&self, ahead: usize, now: u64) -> Option<u64> {
        let mut foreseen = self.clone();
        for _ in 0..ahead {
            let turn = foreseen.free_at(&foreseen.stamps)?;
            foreseen.stamp(turn.max(now));
        }
        Some(foreseen.free_at(&foreseen.stamps)?.max(now))
    }

    fn stamp(&mut self, now: u64) {
        if self.limiting().next().is_some() {
            let newest = self.stamps.last().copied().unwrap_or(0);
            self.stamps.push(now.max(newest));
        }
    }

    fn remaining(&self, now: u64) -> u32 {
        let left = self.limiting().map(|(limit, window)| {
            let busy = self.stamps.iter().filter(|stamp| **stamp + window > now).count();
            u32::try_from(limit.saturating_sub(busy)).unwrap()
        });
        left.min().unwrap_or(u32::MAX)
    }

    /// Whether there was such a rule.
    fn set(&mut self, n: usize, limit: u32, window: u64) -> bool {
        let Some(rule) = self.rules.get_mut(n) else { return false };
        *rule = (limit, window);
        if limit as usize > self.memory {
            self.stamps.drain(..self.stamps.len().saturating_sub(self.memory));
            self.memory = (2 * self.memory).max(limit as usize);
        }
        true
    }
}

// ---- the slots -----------------------------------------------------------------------------------

/// Permits, and the line of those who wait for one.
#[derive(Debug, Default)]
pub(crate) struct Permits {
    pub(crate) free: usize,
    /// Given back to nobody.
    pub(crate) debt: usize,
    pub(crate) is_closed: bool,
    pub(crate) line: VecDeque<Id>,
}

/// A limiter's limit on calls in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slots {
    Open,
    Shut,
    /// By number: limiters may share them.
    Of(usize),
}

// ---- the calls -----------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Never polled: no place in line.
    New,
    Line,
    /// First in line, until the rate is open; holds nothing.
    Rate,
    /// First in line, until there is a slot.
    Slot,
    Over,
}

/// How a call stands with the slots' line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    None,
    Queued,
    /// A slot that its future has not seen yet.
    Granted,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Call {
    /// `None`: waits for a permit of the shared slots, without a limiter.
    limiter: Option<Id>,
    timeout: Option<u64>,
    deadline: Option<u64>,
    stage: Stage,
    claim: Claim,
    /// A rate has changed since it looked.
    changed: bool,
    /// It must have been woken since its last poll.
    pub(crate) must_wake: bool,
    /// It may have been, as where a timer rings early.
    pub(crate) may_wake: bool,
}

impl Call {
    pub(crate) fn limiter(&self) -> Option<Id> {
        self.limiter
    }
}

#[derive(Debug)]
pub(crate) struct Limiter {
    pub(crate) rates: Rates,
    pub(crate) slots: Slots,
    /// The first one decides.
    pub(crate) line: VecDeque<Id>,
}

/// Limiters, their slots, and all calls there ever were.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) now: u64,
    /// Timers ring when their time has come, and not whenever time moves, or early.
    pub(crate) has_exact_timers: bool,
    pub(crate) limiters: Vec<Limiter>,
    pub(crate) slots: Vec<Permits>,
    pub(crate) calls: Vec<Call>,
}

impl Model {
    pub(crate) fn limiter(&mut self, rates: Rates, slots: Slots) {
        self.limiters.push(Limiter { rates, slots, line: VecDeque::new() });
    }

    pub(crate) fn call(&mut self, limiter: Option<Id>, timeout: Option<u64>) -> Id {
        self.calls.push(Call {
            limiter,
            timeout,
            deadline: None,
            stage: Stage::New,
            claim: Claim::None,
            changed: false,
            must_wake: false,
            may_wake: false,
        });
        self.calls.len() - 1
    }

    // ---- what can be asked -----------------------------------------------------------------------

    pub(crate) fn remaining(&self, limiter: Id) -> u32 {
        self.limiters[limiter].rates.remaining(self.now)
    }

    pub(crate) fn available(&self, limiter: Id) -> usize {
        match self.limiters[limiter].slots {
            Slots::Open => usize::MAX,
            Slots::Shut => 0,
            Slots::Of(slots) => self.slots[slots].free,
        }
    }

    pub(crate) fn position(&self, id: Id) -> Option<usize> {
        let line = &self.limiters[self.calls[id].limiter?].line;
        line.iter().position(|waiting| *waiting == id)
    }

    /// The place in the line for a permit of the shared slots.
    pub(crate) fn place_for_slot(&self, id: Id) -> Option<usize> {
        self.slots.first()?.line.iter().position(|waiting| *waiting == id)
    }

    pub(crate) fn estimated_wait(&self, id: Id) -> Option<u64> {
        let ahead = self.position(id)?;
        let turn = self.limiters[self.calls[id].limiter?].rates.turn(ahead, self.now)?;
        Some(turn - self.now)
    }

    pub(crate) fn deadline(&self, id: Id) -> Option<u64> {
        self.calls[id].deadline
    }

    // ---- what can be done --------------------------------------------------------------------------

    pub(crate) fn try_acquire(&mut self, limiter: Id) -> Answer {
        let ahead = self.limiters[limiter].line.len();
        if ahead > 0 { Err(self.refusal(limiter, ahead)) } else { self.go(limiter) }
    }

    /// Once it is over it stays pending.
    pub(crate) fn poll(&mut self, id: Id) -> Poll<Answer> {
        let call = &mut self.calls[id];
        (call.must_wake, call.may_wake) = (false, false);
        let answer = self.poll_anew(id);
        // A timer that has rung early has it look again.
        self.calls[id].may_wake |= !self.has_exact_timers && self.has_timer(id);
        answer
    }

    fn poll_anew(&mut self, id: Id) -> Poll<Answer> {
        let call = &self.calls[id];
        match (call.limiter, call.stage) {
            (_, Stage::Over) => Poll::Pending,
            (None, _) => self.poll_slot_alone(id),
            (Some(limiter), Stage::New) => self.begin(id, limiter),
            (Some(limiter), _) => self.go_on(id, limiter),
        }
    }

    pub(crate) fn drop_call(&mut self, id: Id) {
        self.leave(id);
    }

    pub(crate) fn end(&mut self, limiter: Id) {
        if let Slots::Of(slots) = self.limiters[limiter].slots {
            self.give(slots, 1);
        }
    }

    /// Whether there was such a rate.
    pub(crate) fn set_rate(&mut self, limiter: Id, n: usize, limit: u32, window: u64) -> bool {
        let is_set = self.limiters[limiter].rates.set(n, limit, window);
        if is_set && let Some(first) = self.first_in(limiter, &[Stage::Rate, Stage::Slot]) {
            self.calls[first].changed = true;
            self.wake(first);
        }
        is_set
    }

    pub(crate) fn set_time(&mut self, now: u64) {
        self.now = now;
        for id in 0..self.calls.len() {
            let may_ring = !self.has_exact_timers && self.has_timer(id);
            self.calls[id].may_wake |= may_ring;
            if self.has_timer(id) && self.calls[id].deadline.is_some_and(|end| end <= now) {
                self.wake(id);
            }
        }
        for limiter in 0..self.limiters.len() {
            if self.limiters[limiter].rates.is_open(now)
                && let Some(first) = self.first_in(limiter, &[Stage::Rate])
            {
                self.wake(first);
            }
        }
    }

    // ---- the slots by themselves -------------------------------------------------------------------

    pub(crate) fn try_take(&mut self, slots: usize) -> Answer {
        let permits = &mut self.slots[slots];
        if permits.is_closed {
            return Err(No::Closed);
        }
        permits.free = permits.free.checked_sub(1).ok_or(No::Slots)?;
        Ok(())
    }

    /// Debts first, then those who wait.
    pub(crate) fn give(&mut self, slots: usize, mut count: usize) {
        let permits = &mut self.slots[slots];
        let paid = count.min(permits.debt);
        permits.debt -= paid;
        count -= paid;
        while count > 0
            && let Some(first) = self.slots[slots].line.pop_front()
        {
            count -= 1;
            self.calls[first].claim = Claim::Granted;
            self.wake(first);
        }
        self.slots[slots].free += count;
    }

    pub(crate) fn forget(&mut self, slots: usize, count: usize) -> usize {
        let permits = &mut self.slots[slots];
        let taken = count.min(permits.free);
        permits.free -= taken;
        taken
    }

    pub(crate) fn reduce(&mut self, slots: usize, count: usize) -> usize {
        let taken = self.forget(slots, count);
        self.slots[slots].debt += count - taken;
        taken
    }

    /// Tells those who wait for a permit, and the first in line of each limiter.
    pub(crate) fn close(&mut self, slots: usize) {
        self.slots[slots].is_closed = true;
        for waiting in std::mem::take(&mut self.slots[slots].line) {
            self.calls[waiting].claim = Claim::Closed;
            self.wake(waiting);
        }
        for limiter in 0..self.limiters.len() {
            if self.limiters[limiter].slots == Slots::Of(slots)
                && let Some(first) = self.first_in(limiter, &[Stage::Rate])
            {
                self.wake(first);
            }
        }
    }

    // ---- how a call goes on ------------------------------------------------------------------------

    /// The end of its timeout, or of the wait for the rate.
    fn has_timer(&self, id: Id) -> bool {
        let call = &self.calls[id];
        match call.stage {
            Stage::New | Stage::Over => false,
            Stage::Line | Stage::Slot => call.deadline.is_some(),
            Stage::Rate => true,
        }
    }

    fn first_in(&self, limiter: Id, stages: &[Stage]) -> Option<Id> {
        let first = *self.limiters[limiter].line.front()?;
        stages.contains(&self.calls[first].stage).then_some(first)
    }

    fn wake(&mut self, id: Id) {
        let call = &mut self.calls[id];
        (call.must_wake, call.may_wake) = (true, true);
    }

    /// Why no slot will ever be had, if that is so.
    fn never_again(&self, limiter: Id) -> Option<No> {
        match self.limiters[limiter].slots {
            Slots::Open => None,
            Slots::Shut => Some(No::SlotsForEver),
            Slots::Of(slots) => self.slots[slots].is_closed.then_some(No::Closed),
        }
    }

    /// Where no slot will ever be had, that is the reason.
    fn outweigh(&self, limiter: Id, no: No) -> No {
        if no.is_permanent() { no } else { self.never_again(limiter).unwrap_or(no) }
    }

    /// Admits a call that nobody is before.
    fn go(&mut self, limiter: Id) -> Answer {
        let rates = &self.limiters[limiter].rates;
        let free_at = rates.free_at(&rates.stamps).ok_or(No::RateForEver)?;
        if free_at > self.now {
            return Err(self.outweigh(limiter, No::Rate(free_at - self.now)));
        }
        match self.limiters[limiter].slots {
            Slots::Open => {}
            Slots::Shut => return Err(No::SlotsForEver),
            Slots::Of(slots) => self.try_take(slots)?,
        }
        self.limiters[limiter].rates.stamp(self.now);
        Ok(())
    }

    /// What a call with so many before it is told.
    fn refusal(&self, limiter: Id, ahead: usize) -> No {
        let no = match self.limiters[limiter].rates.turn(ahead, self.now) {
            None => No::RateForEver,
            Some(turn) if turn > self.now => No::Rate(turn - self.now),
            Some(_) if self.available(limiter) == 0 => No::Slots,
            Some(_) => No::Rate(0),
        };
        self.outweigh(limiter, no)
    }

    fn begin(&mut self, id: Id, limiter: Id) -> Poll<Answer> {
        let ahead = self.limiters[limiter].line.len();
        let deadline = self.calls[id].timeout.map(|timeout| self.now.saturating_add(timeout));
        let answer = self.try_acquire(limiter);
        if answer.map_or_else(No::is_permanent, |()| true) {
            self.calls[id].stage = Stage::Over;
            return Poll::Ready(answer);
        }
        let turn = self.limiters[limiter].rates.turn(ahead, self.now);
        if deadline.is_some_and(|deadline| turn.is_none_or(|turn| turn > deadline)) {
            self.calls[id].stage = Stage::Over;
            return Poll::Ready(Err(self.refusal(limiter, ahead)));
        }
        (self.calls[id].stage, self.calls[id].deadline) = (Stage::Line, deadline);
        self.limiters[limiter].line.push_back(id);
        self.go_on(id, limiter)
    }

    /// When its time is over it gets what a newcomer would get.
    fn go_on(&mut self, id: Id, limiter: Id) -> Poll<Answer> {
        let mut answer = self.advance(id, limiter);
        if answer.is_pending() && self.calls[id].deadline.is_some_and(|end| end <= self.now) {
            self.leave(id);
            answer = Poll::Ready(self.try_acquire(limiter));
        }
        if answer.is_ready() {
            self.leave(id);
        }
        answer
    }

    fn advance(&mut self, id: Id, limiter: Id) -> Poll<Answer> {
        if self.limiters[limiter].line.front() != Some(&id) {
            return Poll::Pending;
        }
        if self.calls[id].stage == Stage::Slot {
            let changed = std::mem::take(&mut self.calls[id].changed);
            match self.poll_slot(id, self.limiters[limiter].slots) {
                Poll::Ready(slot) => return self.stamp(id, limiter, slot),
                Poll::Pending if !changed || self.limiters[limiter].rates.is_open(self.now) => {
                    return Poll::Pending;
                }
                // It has to wait for the new rate, and holds nothing meanwhile.
                Poll::Pending => self.withdraw(id),
            }
        }
        (self.calls[id].stage, self.calls[id].changed) = (Stage::Rate, false);
        let rates = &self.limiters[limiter].rates;
        match rates.free_at(&rates.stamps) {
            None => return Poll::Ready(Err(No::RateForEver)),
            Some(free_at) if free_at > self.now => {
                let never = self.never_again(limiter);
                return never.map_or(Poll::Pending, |never| Poll::Ready(Err(never)));
            }
            Some(_) => self.calls[id].stage = Stage::Slot,
        }
        match self.poll_slot(id, self.limiters[limiter].slots) {
            Poll::Ready(slot) => self.stamp(id, limiter, slot),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The slot is had, or never will be. If the rate is not open any more, the slot goes back and
    /// the call looks again.
    fn stamp(&mut self, id: Id, limiter: Id, slot: bool) -> Poll<Answer> {
        if !slot {
            return Poll::Ready(Err(self.never_again(limiter).unwrap_or(No::Closed)));
        }
        let rates = &mut self.limiters[limiter].rates;
        if rates.is_open(self.now) {
            rates.stamp(self.now);
            return Poll::Ready(Ok(()));
        }
        let is_over = rates.free_at(&rates.stamps).is_none();
        self.calls[id].stage = Stage::Rate;
        self.end(limiter);
        if is_over {
            return Poll::Ready(Err(No::RateForEver));
        }
        self.wake(id);
        Poll::Pending
    }

    /// Whether a slot is had; `false` if it never will be.
    fn poll_slot(&mut self, id: Id, slots: Slots) -> Poll<bool> {
        let slots = match slots {
            Slots::Open => return Poll::Ready(true),
            Slots::Shut => return Poll::Ready(false),
            Slots::Of(slots) => slots,
        };
        let is_closed = self.slots[slots].is_closed;
        match std::mem::replace(&mut self.calls[id].claim, Claim::None) {
            Claim::Granted if !is_closed => Poll::Ready(true),
            Claim::Granted => {
                self.give(slots, 1);
                Poll::Ready(false)
            }
            Claim::Closed => Poll::Ready(false),
            Claim::None => match self.try_take(slots) {
                Err(No::Slots) => {
                    self.slots[slots].line.push_back(id);
                    self.calls[id].claim = Claim::Queued;
                    Poll::Pending
                }
                taken => Poll::Ready(taken.is_ok()),
            },
            Claim::Queued => {
                self.calls[id].claim = Claim::Queued;
                Poll::Pending
            }
        }
    }

    fn poll_slot_alone(&mut self, id: Id) -> Poll<Answer> {
        self.calls[id].stage = Stage::Slot;
        self.poll_slot(id, Slots::Of(0)).map(|slot| {
            self.calls[id].stage = Stage::Over;
            if slot { Ok(()) } else { Err(No::Closed) }
        })
    }

    /// Gives up its place in the slots' line, or the slot it was granted.
    fn withdraw(&mut self, id: Id) {
        let limiter = self.calls[id].limiter.map(|limiter| self.limiters[limiter].slots);
        let Slots::Of(slots) = limiter.unwrap_or(Slots::Of(0)) else { return };
        match std::mem::replace(&mut self.calls[id].claim, Claim::None) {
            Claim::Queued => self.slots[slots].line.retain(|waiting| *waiting != id),
            Claim::Granted => self.give(slots, 1),
            Claim::None | Claim::Closed => {}
        }
    }

    /// Leaves the line, for whatever reason; the next one is woken if it is first now.
    fn leave(&mut self, id: Id) {
        if self.calls[id].claim != Claim::None {
            self.withdraw(id);
        }
        self.calls[id].stage = Stage::Over;
        let Some(limiter) = self.calls[id].limiter else { return };
        let line = &mut self.limiters[limiter].line;
        let was_first = line.front() == Some(&id);
        line.retain(|waiting| *waiting != id);
        if was_first && let Some(&next) = line.front() {
            self.wake(next);
        }
    }
}
