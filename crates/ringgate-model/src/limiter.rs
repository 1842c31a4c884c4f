//! Limiters as lists of stamps, queues of calls, and counts of slots, which limiters may share.
//!
//! The first call in a limiter's queue waits for the rate, then for a slot. The model tells which calls must
//! be woken, and which may be.

use crate::window::{Rule, Stamps};
use std::collections::VecDeque;
use std::task::Poll;

/// Number of a call or a limiter, counted from 0.
pub type Id = usize;

/// Why a call is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The rate admits it after this wait.
    Rate(u64),
    /// A rate's limit is zero.
    RateNever,
    /// No slot is free.
    Slots,
    /// There are no slots.
    SlotsNever,
    /// The slots are closed.
    Closed,
}

impl Refusal {
    fn is_permanent(self) -> bool {
        matches!(self, Self::RateNever | Self::SlotsNever | Self::Closed)
    }
}

/// What a call gets.
pub type Answer = Result<(), Refusal>;

// ---- the rates -----------------------------------------------------------------------------------

/// Rules that hold together, and the stamps they count.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Limit and window, without the margin.
    rules: Vec<(u32, u64)>,
    margin: u64,
    stamps: Stamps,
    /// How many stamps a change keeps: the largest limit so far, or twice as many as before if a limit
    /// outgrew that.
    memory: usize,
}

impl Rates {
    /// Rules as limit and window, and a margin for each window.
    #[must_use]
    pub fn new(rules: &[(u32, u64)], margin: u64) -> Self {
        let largest = rules.iter().map(|(limit, _)| *limit as usize).max().unwrap_or(0);
        Self { rules: rules.to_vec(), margin, stamps: Stamps::default(), memory: largest.max(1) }
    }

    /// The rules that limit anything: a limit of zero always does, a window of zero otherwise never.
    fn limiting(&self) -> impl Iterator<Item = Rule> {
        let limiting = self.rules.iter().filter(|(limit, window)| *limit == 0 || *window > 0);
        limiting.map(|(limit, window)| Rule { limit: *limit, window: window + self.margin })
    }

    /// When one more is admitted, which may be in the past; `None` for never.
    fn free_at(&self) -> Option<u64> {
        self.stamps.free_at(self.limiting(), 0)
    }

    fn is_open(&self, now: u64) -> bool {
        self.free_at().is_some_and(|free_at| free_at <= now)
    }

    /// The time that is told to a call with `ahead` others before it: when it is admitted, if each of them goes as soon as
    /// it can. With several rules it is the earliest possible: the latest that any rule demands by itself. `None` for never.
    #[must_use]
    pub fn turn(&self, ahead: usize, now: u64) -> Option<u64> {
        self.limiting()
            .try_fold(now, |latest, rule| Some(latest.max(self.turn_by(rule, ahead, now)?)))
    }

    /// The same by one rule.
    fn turn_by(&self, rule: Rule, ahead: usize, now: u64) -> Option<u64> {
        let mut foreseen = self.stamps.clone();
        for _ in 0..ahead {
            let turn = foreseen.free_at([rule], now)?;
            foreseen.admit(turn);
        }
        foreseen.free_at([rule], now)
    }

    fn stamp(&mut self, now: u64) {
        if self.limiting().next().is_some() {
            self.stamps.admit(now);
        }
    }

    fn remaining(&self, now: u64) -> u32 {
        self.stamps.remaining(self.limiting(), now)
    }

    /// Returns false if there is no such rule.
    fn set(&mut self, n: usize, limit: u32, window: u64) -> bool {
        let Some(rule) = self.rules.get_mut(n) else { return false };
        *rule = (limit, window);
        if limit as usize > self.memory {
            self.stamps.keep_newest(self.memory);
            self.memory = (2 * self.memory).max(limit as usize);
        }
        true
    }
}

// ---- the slots -----------------------------------------------------------------------------------

/// Slots, and the queue of calls that wait for one.
#[derive(Debug, Default)]
pub struct Permits {
    /// Slots that are free.
    pub free: usize,
    /// Slots that were removed while held. The next ones returned pay for them.
    pub debt: usize,
    /// No slot is granted any more.
    pub is_closed: bool,
    /// Calls that wait for a slot.
    pub line: VecDeque<Id>,
}

/// A limiter's limit on calls in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// There is none.
    Unlimited,
    /// No call is ever in flight.
    Zero,
    /// Slots by their number in [`Model::slots`]. Limiters may share them.
    Limited(usize),
}

// ---- the calls -----------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Never polled. It has no place in the queue.
    New,
    Queued,
    /// First in the queue. It waits for the rate and holds nothing.
    AwaitingRate,
    /// First in the queue. It waits for a slot.
    AwaitingSlot,
    Done,
}

/// What a call has of the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    None,
    Queued,
    /// It has a slot, but its future was not polled since.
    Granted,
    /// The slots were closed while it waited for one.
    Closed,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// `None` if it waits for one of the first slots, without a limiter.
    limiter: Option<Id>,
    timeout: Option<u64>,
    deadline: Option<u64>,
    stage: Stage,
    claim: Claim,
    /// A rate has changed since its last poll.
    changed: bool,
    /// It must have been woken since its last poll.
    pub must_wake: bool,
    /// It may have been woken since, for example by a timer that rings early.
    pub may_wake: bool,
}

impl Call {
    /// The limiter that it asks.
    #[must_use]
    pub fn limiter(&self) -> Option<Id> {
        self.limiter
    }
}

/// One limiter.
#[derive(Debug)]
pub struct Limiter {
    /// Its rates.
    pub rates: Rates,
    /// Its limit on calls in flight.
    pub slots: Concurrency,
    /// Calls that wait. Only the first can be admitted.
    pub line: VecDeque<Id>,
}

/// Limiters, their slots, and all calls so far.
#[derive(Debug, Default)]
pub struct Model {
    /// The time.
    pub now: u64,
    /// Timers ring on time. Otherwise they may ring early, and whenever time moves.
    pub has_exact_timers: bool,
    /// The limiters.
    pub limiters: Vec<Limiter>,
    /// The slots.
    pub slots: Vec<Permits>,
    /// The calls.
    pub calls: Vec<Call>,
}

impl Model {
    /// Adds a limiter.
    pub fn limiter(&mut self, rates: Rates, slots: Concurrency) {
        self.limiters.push(Limiter { rates, slots, line: VecDeque::new() });
    }

    /// Adds a call. It joins the queue at its first poll.
    pub fn call(&mut self, limiter: Option<Id>, timeout: Option<u64>) -> Id {
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

    // ---- what can be seen -----------------------------------------------------------------------

    /// How many more the rates admit now.
    #[must_use]
    pub fn remaining(&self, limiter: Id) -> u32 {
        self.limiters[limiter].rates.remaining(self.now)
    }

    /// Slots that are free; `usize::MAX` without a limit.
    #[must_use]
    pub fn available(&self, limiter: Id) -> usize {
        match self.limiters[limiter].slots {
            Concurrency::Unlimited => usize::MAX,
            Concurrency::Zero => 0,
            Concurrency::Limited(slots) => self.slots[slots].free,
        }
    }

    /// The place of a call in its limiter's queue.
    #[must_use]
    pub fn position(&self, id: Id) -> Option<usize> {
        let line = &self.limiters[self.calls[id].limiter?].line;
        line.iter().position(|waiting| *waiting == id)
    }

    /// The place of a call in the queue for the first slots.
    #[must_use]
    pub fn place_for_slot(&self, id: Id) -> Option<usize> {
        self.slots.first()?.line.iter().position(|waiting| *waiting == id)
    }

    /// The least time that a queued call waits for the rate; `None` if the rate never admits it.
    #[must_use]
    pub fn estimated_wait(&self, id: Id) -> Option<u64> {
        let ahead = self.position(id)?;
        let turn = self.limiters[self.calls[id].limiter?].rates.turn(ahead, self.now)?;
        Some(turn - self.now)
    }

    /// When the timeout of a queued call ends.
    #[must_use]
    pub fn deadline(&self, id: Id) -> Option<u64> {
        self.calls[id].deadline
    }

    // ---- what can be done --------------------------------------------------------------------------

    /// Admits a call at once or refuses it.
    ///
    /// # Errors
    ///
    /// If calls wait, a rate is used up, or no slot is free.
    pub fn try_acquire(&mut self, limiter: Id) -> Answer {
        let ahead = self.limiters[limiter].line.len();
        if ahead > 0 { Err(self.refusal(limiter, ahead)) } else { self.try_admit(limiter) }
    }

    /// Polls a call. After completion it stays pending.
    pub fn poll(&mut self, id: Id) -> Poll<Answer> {
        let call = &mut self.calls[id];
        (call.must_wake, call.may_wake) = (false, false);
        let answer = self.poll_anew(id);
        // A timer may ring early.
        self.calls[id].may_wake |= !self.has_exact_timers && self.has_timer(id);
        answer
    }

    fn poll_anew(&mut self, id: Id) -> Poll<Answer> {
        let call = &self.calls[id];
        match (call.limiter, call.stage) {
            (_, Stage::Done) => Poll::Pending,
            (None, _) => self.poll_slot_alone(id),
            (Some(limiter), Stage::New) => self.begin(id, limiter),
            (Some(limiter), _) => self.proceed(id, limiter),
        }
    }

    /// Drops the future of a call.
    pub fn drop_call(&mut self, id: Id) {
        self.leave(id);
    }

    /// Ends an admitted call, which returns its slot.
    pub fn end(&mut self, limiter: Id) {
        if let Concurrency::Limited(slots) = self.limiters[limiter].slots {
            self.give(slots, 1);
        }
    }

    /// Changes a rate. Returns false if there is no such rate.
    pub fn set_rate(&mut self, limiter: Id, n: usize, limit: u32, window: u64) -> bool {
        let is_set = self.limiters[limiter].rates.set(n, limit, window);
        if is_set
            && let Some(first) = self.first_in(limiter, &[Stage::AwaitingRate, Stage::AwaitingSlot])
        {
            self.calls[first].changed = true;
            self.wake(first);
        }
        is_set
    }

    /// Moves the time, and rings the timers.
    pub fn set_time(&mut self, now: u64) {
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
                && let Some(first) = self.first_in(limiter, &[Stage::AwaitingRate])
            {
                self.wake(first);
            }
        }
    }

    // ---- the slots by themselves -------------------------------------------------------------------

    /// Takes a slot if one is free.
    ///
    /// # Errors
    ///
    /// If the slots are closed or none is free.
    pub fn try_take(&mut self, slots: usize) -> Answer {
        let permits = &mut self.slots[slots];
        if permits.is_closed {
            return Err(Refusal::Closed);
        }
        permits.free = permits.free.checked_sub(1).ok_or(Refusal::Slots)?;
        Ok(())
    }

    /// Returns slots: they pay the debt first, then go to the queue, then are free.
    pub fn give(&mut self, slots: usize, mut count: usize) {
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

    /// Removes free slots, and returns how many.
    pub fn forget(&mut self, slots: usize, count: usize) -> usize {
        let permits = &mut self.slots[slots];
        let taken = count.min(permits.free);
        permits.free -= taken;
        taken
    }

    /// Removes slots, held ones included, and returns how many were free.
    pub fn reduce(&mut self, slots: usize, count: usize) -> usize {
        let taken = self.forget(slots, count);
        self.slots[slots].debt += count - taken;
        taken
    }

    /// Closes slots, which wakes the calls that wait for one and the first call of each limiter.
    pub fn close(&mut self, slots: usize) {
        self.slots[slots].is_closed = true;
        for waiting in std::mem::take(&mut self.slots[slots].line) {
            self.calls[waiting].claim = Claim::Closed;
            self.wake(waiting);
        }
        for limiter in 0..self.limiters.len() {
            if self.limiters[limiter].slots == Concurrency::Limited(slots)
                && let Some(first) = self.first_in(limiter, &[Stage::AwaitingRate])
            {
                self.wake(first);
            }
        }
    }

    // ---- how a call goes on ------------------------------------------------------------------------

    /// True if it waits for the rate or has a timeout.
    fn has_timer(&self, id: Id) -> bool {
        let call = &self.calls[id];
        match call.stage {
            Stage::New | Stage::Done => false,
            Stage::Queued | Stage::AwaitingSlot => call.deadline.is_some(),
            Stage::AwaitingRate => true,
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

    /// The reason, if no slot will ever be free.
    fn never_a_slot(&self, limiter: Id) -> Option<Refusal> {
        match self.limiters[limiter].slots {
            Concurrency::Unlimited => None,
            Concurrency::Zero => Some(Refusal::SlotsNever),
            Concurrency::Limited(slots) => self.slots[slots].is_closed.then_some(Refusal::Closed),
        }
    }

    /// Makes a refusal permanent if no slot will ever be free.
    fn escalate_if_permanent(&self, limiter: Id, no: Refusal) -> Refusal {
        if no.is_permanent() { no } else { self.never_a_slot(limiter).unwrap_or(no) }
    }

    /// Admits or refuses a call while the queue is empty.
    fn try_admit(&mut self, limiter: Id) -> Answer {
        let rates = &self.limiters[limiter].rates;
        let free_at = rates.free_at().ok_or(Refusal::RateNever)?;
        if free_at > self.now {
            return Err(self.escalate_if_permanent(limiter, Refusal::Rate(free_at - self.now)));
        }
        match self.limiters[limiter].slots {
            Concurrency::Unlimited => {}
            Concurrency::Zero => return Err(Refusal::SlotsNever),
            Concurrency::Limited(slots) => self.try_take(slots)?,
        }
        self.limiters[limiter].rates.stamp(self.now);
        Ok(())
    }

    /// The refusal of a call with `ahead` others before it.
    fn refusal(&self, limiter: Id, ahead: usize) -> Refusal {
        let no = match self.limiters[limiter].rates.turn(ahead, self.now) {
            None => Refusal::RateNever,
            Some(turn) if turn > self.now => Refusal::Rate(turn - self.now),
            Some(_) if self.available(limiter) == 0 => Refusal::Slots,
            Some(_) => Refusal::Rate(0),
        };
        self.escalate_if_permanent(limiter, no)
    }

    fn begin(&mut self, id: Id, limiter: Id) -> Poll<Answer> {
        let ahead = self.limiters[limiter].line.len();
        let deadline = self.calls[id].timeout.map(|timeout| self.now.saturating_add(timeout));
        let answer = self.try_acquire(limiter);
        if answer.map_or_else(Refusal::is_permanent, |()| true) {
            self.calls[id].stage = Stage::Done;
            return Poll::Ready(answer);
        }
        let turn = self.limiters[limiter].rates.turn(ahead, self.now);
        if deadline.is_some_and(|deadline| turn.is_none_or(|turn| turn > deadline)) {
            self.calls[id].stage = Stage::Done;
            return Poll::Ready(Err(self.refusal(limiter, ahead)));
        }
        (self.calls[id].stage, self.calls[id].deadline) = (Stage::Queued, deadline);
        self.limiters[limiter].line.push_back(id);
        self.proceed(id, limiter)
    }

    /// At its deadline it gets what a new call would get.
    fn proceed(&mut self, id: Id, limiter: Id) -> Poll<Answer> {
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
        if self.calls[id].stage == Stage::AwaitingSlot {
            let changed = std::mem::take(&mut self.calls[id].changed);
            match self.poll_slot(id, self.limiters[limiter].slots) {
                Poll::Ready(slot) => return self.stamp(id, limiter, slot),
                Poll::Pending if !changed || self.limiters[limiter].rates.is_open(self.now) => {
                    return Poll::Pending;
                }
                // It holds nothing while it waits for the new rate.
                Poll::Pending => self.withdraw(id),
            }
        }
        (self.calls[id].stage, self.calls[id].changed) = (Stage::AwaitingRate, false);
        let rates = &self.limiters[limiter].rates;
        match rates.free_at() {
            None => return Poll::Ready(Err(Refusal::RateNever)),
            Some(free_at) if free_at > self.now => {
                let never = self.never_a_slot(limiter);
                return never.map_or(Poll::Pending, |never| Poll::Ready(Err(never)));
            }
            Some(_) => self.calls[id].stage = Stage::AwaitingSlot,
        }
        match self.poll_slot(id, self.limiters[limiter].slots) {
            Poll::Ready(slot) => self.stamp(id, limiter, slot),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Admits a call that has a slot. If the rate is not open any more, it returns the slot and waits again.
    /// Refuses it if it will never have one.
    fn stamp(&mut self, id: Id, limiter: Id, slot: bool) -> Poll<Answer> {
        if !slot {
            return Poll::Ready(Err(self.never_a_slot(limiter).unwrap_or(Refusal::Closed)));
        }
        let rates = &mut self.limiters[limiter].rates;
        if rates.is_open(self.now) {
            rates.stamp(self.now);
            return Poll::Ready(Ok(()));
        }
        let is_over = rates.free_at().is_none();
        self.calls[id].stage = Stage::AwaitingRate;
        self.end(limiter);
        if is_over {
            return Poll::Ready(Err(Refusal::RateNever));
        }
        self.wake(id);
        Poll::Pending
    }

    /// Ready with true once it has a slot, and with false if it never will.
    fn poll_slot(&mut self, id: Id, slots: Concurrency) -> Poll<bool> {
        let slots = match slots {
            Concurrency::Unlimited => return Poll::Ready(true),
            Concurrency::Zero => return Poll::Ready(false),
            Concurrency::Limited(slots) => slots,
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
                Err(Refusal::Slots) => {
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
        self.calls[id].stage = Stage::AwaitingSlot;
        self.poll_slot(id, Concurrency::Limited(0)).map(|slot| {
            self.calls[id].stage = Stage::Done;
            if slot { Ok(()) } else { Err(Refusal::Closed) }
        })
    }

    /// Gives up its place in the queue for slots, or the slot it was granted.
    fn withdraw(&mut self, id: Id) {
        let limiter = self.calls[id].limiter.map(|limiter| self.limiters[limiter].slots);
        let Concurrency::Limited(slots) = limiter.unwrap_or(Concurrency::Limited(0)) else {
            return;
        };
        match std::mem::replace(&mut self.calls[id].claim, Claim::None) {
            Claim::Queued => self.slots[slots].line.retain(|waiting| *waiting != id),
            Claim::Granted => self.give(slots, 1),
            Claim::None | Claim::Closed => {}
        }
    }

    /// Leaves the queue. The call that becomes the first is woken.
    fn leave(&mut self, id: Id) {
        if self.calls[id].claim != Claim::None {
            self.withdraw(id);
        }
        self.calls[id].stage = Stage::Done;
        let Some(limiter) = self.calls[id].limiter else { return };
        let line = &mut self.limiters[limiter].line;
        let was_first = line.front() == Some(&id);
        line.retain(|waiting| *waiting != id);
        if was_first && let Some(&next) = line.front() {
            self.wake(next);
        }
    }
}
