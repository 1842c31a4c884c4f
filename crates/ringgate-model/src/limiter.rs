//! Limiters as lists of stamps, lists of calls in line, and counts of slots, which limiters may share.
//!
//! The model does not predict which call goes next. It is told what each call got and which calls were woken, and checks
//! that this is what the documentation promises:
//!
//! * an admission has room by every rate and takes a free slot;
//! * within a class calls that answer go first in, first out, and no newcomer passes a call that waits for its turn;
//! * a refusal is right, and tells the right time;
//! * a shared slot that was granted to a call is another's only after it was unclaimed for a quarter of the grace. It is the first one's in the
//!   line of those slots, unless that has happened to one who stands there before;
//! * no call waits while there is room for it: [`Model::check_rest`], [`Model::check_step_of_grace`].
//!
//! A call is *unanswered* if it was woken and not polled since. It may have a turn, or was woken by a timer: that cannot
//! be seen from outside. A call is *silent* if the program polls it no more.

mod admissions;
mod rest;

pub use crate::pause::Pause;
pub use crate::rates::{JUMP, Rates};
use std::collections::VecDeque;

/// Number of a call or a limiter, counted from 0.
pub type Id = usize;

/// Why a call is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The rate admits it after this wait.
    Rate(u64),
    /// A rate's limit is zero.
    RateNever,
    /// It is paused for so long.
    Paused(u64),
    /// No slot is free.
    Slots,
    /// There are no slots.
    SlotsNever,
    /// The limiter or the slots are closed.
    Closed,
}

impl Refusal {
    fn is_permanent(self) -> bool {
        matches!(self, Self::RateNever | Self::SlotsNever | Self::Closed)
    }
}

/// What a call gets.
pub type Answer = Result<(), Refusal>;

/// What was wrong.
pub type Verdict = Result<(), String>;

fn demand(is_so: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if is_so { Ok(()) } else { Err(otherwise()) }
}

/// What can be seen of shared slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Slots that are free.
    pub free: usize,
    /// Slots that were removed while held.
    pub debt: usize,
    /// How many wait in line.
    pub waiters: usize,
}

impl Seen {
    /// A slot that is returned makes it one more, whether it is free then, granted, or pays debt. A call that takes a free
    /// slot or joins the line makes it one less.
    fn balance(self) -> isize {
        self.free.cast_signed() - self.debt.cast_signed() - self.waiters.cast_signed()
    }
}

/// Slots that limiters share, and the line of those who wait for one.
///
/// A slot that is granted to a call of a limiter is *unclaimed* until that call is polled. If that takes long, another call
/// may take it; which grant it is from is not told apart.
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
    /// Calls of limiters that were granted a slot, and were not polled since.
    pub granted: Vec<Id>,
    /// How many of their slots others have taken.
    pub taken: usize,
}

impl Permits {
    /// Granted slots that nobody has claimed.
    #[must_use]
    pub fn unclaimed(&self) -> usize {
        self.granted.len() - self.taken
    }

    fn seen(&self) -> Seen {
        Seen { free: self.free, debt: self.debt, waiters: self.line.len() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Never polled. It has no place in line.
    New,
    Waiting,
    Done,
}

/// What a call has of the shared slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    None,
    Queued,
    /// It was granted a slot, but its future was not polled since.
    Granted,
    /// The slots were closed while it waited for one.
    Closed,
}

/// One call.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about its past")]
pub struct Call {
    /// `None` if it waits for one of the first shared slots, without a limiter.
    limiter: Option<Id>,
    /// Calls of one class go first in, first out. Class 1 is the most urgent.
    class: usize,
    timeout: Option<u64>,
    deadline: Option<u64>,
    /// What the clock showed at its last poll.
    seen: u64,
    stage: Stage,
    claim: Claim,
    /// When it began to stand in the line of shared slots.
    stood_at: u64,
    /// The latest that the clock has shown at a poll since then.
    shown_at: u64,
    /// How much time had passed when it was granted a shared slot.
    granted_at: u64,
    /// The time of the latest wake since its last poll.
    woken: Option<u64>,
    /// The time of the first of these that was no timer's: then it has a turn, or a slot.
    given: Option<u64>,
    /// Nobody was in line when it joined.
    came_first: bool,
    /// It had a turn, or a shared slot, and found no room after all.
    went_in_vain: bool,
    /// A rate has changed since its last poll.
    has_new_rate: bool,
    /// There was less room than calls in line, and perhaps it was not told.
    may_not_know_rate: bool,
    /// The clock has stepped back since its last poll.
    is_set_back: bool,
    /// It had a turn when an older call found no room at its own.
    may_pass: bool,
    /// The program does not poll it.
    pub is_silent: bool,
}

impl Call {
    /// The limiter that it asks.
    #[must_use]
    pub fn limiter(&self) -> Option<Id> {
        self.limiter
    }

    /// Whether it has a place in line.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.stage == Stage::Waiting
    }

    fn stands(&self) -> bool {
        self.claim != Claim::None
    }
}

/// One limiter.
#[derive(Debug)]
pub struct Limiter {
    /// Its rates.
    pub rates: Rates,
    /// Until when it is paused.
    pub pause: Pause,
    /// Its own slots, if they are limited.
    pub own: Option<usize>,
    /// The number of the slots it shares.
    pub shared: Option<usize>,
    /// Calls in line in the order in which they joined, of all classes.
    pub line: Vec<Id>,
    /// Calls admitted that have not ended.
    held: usize,
    /// All admissions so far.
    admissions: u64,
    /// For how many steps there has been room that nobody used, and the admissions before them.
    unused: (u32, u64),
    /// The same for room with unclaimed slots.
    unclaimed: (u32, u64),
    is_closed: bool,
    /// How many turns in a row others had while an urgent call waited; `None` if none waited before.
    not_urgent: Option<usize>,
    /// Until when its count of turns may be too low.
    disturbed_until: u64,
}

/// Limiters, the slots they share, and all calls so far.
#[derive(Debug, Default)]
pub struct Model {
    /// The time.
    pub now: u64,
    /// How much time has passed, without steps back.
    passed: u64,
    /// What the clock showed before it stepped back without a jump, or 0. What was counted then may count so much longer,
    /// and a call sleeps so much longer: no timer rings by that.
    set_back_from: u64,
    /// The latest time that the clock has ever shown.
    latest: u64,
    /// It has stepped back at some time.
    has_stepped_back: bool,
    /// The grace of all limiters.
    pub grace: u64,
    /// The limiters.
    pub limiters: Vec<Limiter>,
    /// The shared slots.
    pub slots: Vec<Permits>,
    /// The calls.
    pub calls: Vec<Call>,
    /// Calls that were given a turn since [`check_shares`](Self::check_shares).
    new_turns: Vec<Id>,
}

impl Model {
    /// At this time, with the default grace of a second.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self { now, latest: now, grace: 1_000_000_000, ..Self::default() }
    }

    /// Adds a limiter with `own` slots, and with those of number `shared`.
    pub fn limiter(&mut self, rates: Rates, own: Option<usize>, shared: Option<usize>) {
        self.limiters.push(Limiter {
            rates,
            pause: Pause::default(),
            own,
            shared,
            line: Vec::new(),
            held: 0,
            admissions: 0,
            unused: (0, 0),
            unclaimed: (0, 0),
            is_closed: false,
            not_urgent: None,
            disturbed_until: 0,
        });
    }

    /// Adds a call. It joins the line at its first poll.
    pub fn call(&mut self, limiter: Option<Id>, class: usize, timeout: Option<u64>) -> Id {
        self.calls.push(Call {
            limiter,
            class,
            timeout,
            deadline: None,
            seen: 0,
            stage: Stage::New,
            claim: Claim::None,
            stood_at: 0,
            shown_at: 0,
            granted_at: 0,
            woken: None,
            given: None,
            came_first: false,
            went_in_vain: false,
            has_new_rate: false,
            may_not_know_rate: false,
            is_set_back: false,
            may_pass: false,
            is_silent: false,
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
        let shared = self.limiters[limiter].shared.map_or(usize::MAX, |n| self.slots[n].free);
        self.own_free(limiter).min(shared)
    }

    /// The limiter's own slots that are free. A call that stands in the line for shared slots holds none.
    fn own_free(&self, limiter: Id) -> usize {
        let Limiter { own, held, .. } = &self.limiters[limiter];
        own.map_or(usize::MAX, |own| own.saturating_sub(*held))
    }

    /// Unclaimed slots that were granted so long ago.
    fn unclaimed_for(&self, slots: usize, long: u64) -> usize {
        let is_old = |id: &&Id| self.passed - self.calls[**id].granted_at >= long;
        let Permits { granted, taken, .. } = &self.slots[slots];
        // Who is polled late may have claimed the slot of a younger one.
        granted.iter().filter(is_old).count().saturating_sub(*taken)
    }

    /// For how many calls there is room now.
    #[must_use]
    pub fn room(&self, limiter: Id) -> usize {
        self.available(limiter).min(self.room_by_time(limiter))
    }

    /// For how many calls there is room now, if slots are no matter.
    fn room_by_time(&self, limiter: Id) -> usize {
        if self.paused_for(limiter).is_some() { 0 } else { self.remaining(limiter) as usize }
    }

    /// What is left of a pause.
    #[must_use]
    pub fn paused_for(&self, limiter: Id) -> Option<u64> {
        self.limiters[limiter].pause.left(self.now)
    }

    /// Whether the rates admit one more now, and it is not paused.
    fn is_open(&self, limiter: Id) -> bool {
        self.paused_for(limiter).is_none() && self.limiters[limiter].rates.are_open(self.now)
    }

    /// How long a call waits for the rates and for the end of a pause behind `ahead` others; `None` for never.
    #[must_use]
    pub fn wait(&self, limiter: Id, ahead: usize) -> Option<u64> {
        let (paused, rates) = (self.paused_for(limiter), &self.limiters[limiter].rates);
        if paused == Some(u64::MAX - self.now) {
            // Until it is resumed.
            return paused.filter(|_| !rates.are_never_open());
        }
        rates.wait_after(paused.unwrap_or(0), ahead, self.now)
    }

    /// How many slots calls have been granted that were not polled since.
    #[must_use]
    pub fn with_silent(&self, slots: usize) -> usize {
        let waits_for_slot = |call: &&Call| call.limiter.is_none() && call.claim == Claim::Granted;
        self.slots[slots].unclaimed() + self.calls.iter().filter(waits_for_slot).count()
    }

    /// The place of a call in the line for the first shared slots.
    #[must_use]
    pub fn place_for_slot(&self, id: Id) -> Option<usize> {
        self.slots.first()?.line.iter().position(|waiting| *waiting == id)
    }

    /// How long a call waits for the rate behind `ahead` others.
    #[must_use]
    pub fn wait_behind(&self, id: Id, ahead: usize) -> Option<u64> {
        self.wait(self.calls[id].limiter?, ahead)
    }

    /// When the timeout of a call in line ends.
    #[must_use]
    pub fn deadline(&self, id: Id) -> Option<u64> {
        self.calls[id].deadline.filter(|_| self.calls[id].is_waiting())
    }

    /// Whether all in line are of one class.
    #[must_use]
    pub fn is_of_one_class(&self, limiter: Id) -> bool {
        let mut classes = self.limiters[limiter].line.iter().map(|id| self.calls[*id].class);
        let first = classes.next();
        classes.all(|class| Some(class) == first)
    }

    fn is_unanswered(&self, id: Id) -> bool {
        self.calls[id].woken.is_some()
    }

    // ---- what happens ------------------------------------------------------------------------------

    /// A call was woken, by a timer or not.
    pub fn woken(&mut self, id: Id, by_timer: bool) {
        let call = &mut self.calls[id];
        call.woken = Some(self.now);
        if !by_timer && call.given.is_none() {
            call.given = Some(self.now);
            self.new_turns.push(id);
        }
    }

    /// Moves the time.
    pub fn set_time(&mut self, now: u64) {
        let period = self.grace / 8;
        let is_back = now < self.now;
        if is_back {
            // After a jump all timers ring, and nothing counts any more.
            let longest = JUMP.max(self.grace / 4 * 3);
            let is_near = |from: &u64| from.saturating_sub(now) <= longest;
            let steps = [self.set_back_from, self.now].into_iter().filter(is_near);
            self.set_back_from = steps.max().unwrap_or(0);
        }
        for limiter in &mut self.limiters {
            limiter.rates.notice_jump(now);
            limiter.pause.see(now);
            if is_back && now / period != self.now / period {
                // The limiter counts turns by periods of time.
                limiter.disturbed_until = limiter.disturbed_until.max(self.now + 2 * period);
            }
        }
        for call in &mut self.calls {
            call.is_set_back |= is_back;
        }
        self.passed += now.saturating_sub(self.now);
        self.now = now;
        self.latest = self.latest.max(now);
        self.has_stepped_back |= is_back;
    }

    /// Changes a rate. Returns false if there is no such rate.
    pub fn set_rate(&mut self, limiter: Id, n: usize, limit: u32, window: u64) -> bool {
        let is_set = self.limiters[limiter].rates.set(n, limit, window, self.now);
        if is_set {
            self.rate_has_changed(limiter);
        }
        is_set
    }

    /// Begins a pause, unless a longer one is under way. `u64::MAX`: until it is resumed.
    pub fn pause(&mut self, limiter: Id, length: u64) {
        let now = self.now;
        self.limiters[limiter].pause.begin(length, now);
        // Calls may have turns.
        self.rate_has_changed(limiter);
    }

    /// Ends a pause.
    pub fn resume(&mut self, limiter: Id) {
        self.limiters[limiter].pause.end();
        self.rate_has_changed(limiter);
    }

    /// Forgets all admissions.
    pub fn reset(&mut self, limiter: Id) {
        self.limiters[limiter].rates.reset();
        self.rate_has_changed(limiter);
    }

    fn rate_has_changed(&mut self, limiter: Id) {
        let room = self.own_free(limiter).min(self.room_by_time(limiter));
        let line = &self.limiters[limiter].line;
        // Otherwise all were told.
        let is_scarce = room < line.len();
        for id in line {
            self.calls[*id].has_new_rate = true;
            self.calls[*id].may_not_know_rate |= is_scarce;
        }
    }

    /// A limiter was closed, and the wakes by that have been told. Those of calls that stand in the line of shared slots
    /// are no grants.
    pub fn close_limiter(&mut self, limiter: Id) {
        self.limiters[limiter].is_closed = true;
        for id in &self.limiters[limiter].line {
            if self.calls[*id].claim == Claim::Queued {
                self.calls[*id].given = None;
            }
        }
    }

    /// Ends an admitted call, which returns its slots.
    pub fn end(&mut self, limiter: Id) {
        self.limiters[limiter].held -= 1;
        if let Some(shared) = self.limiters[limiter].shared {
            self.give(shared, 1);
        }
    }

    /// Drops the future of a call.
    pub fn drop_call(&mut self, id: Id) {
        self.note_late_answer(id);
        self.leave(id);
    }

    // ---- the shared slots ----------------------------------------------------------------------------

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

    /// Returns slots: they pay the debt first, then go to the line, then are free.
    pub fn give(&mut self, slots: usize, mut count: usize) {
        let permits = &mut self.slots[slots];
        let paid = count.min(permits.debt);
        permits.debt -= paid;
        count -= paid;
        while count > 0
            && let Some(first) = self.slots[slots].line.pop_front()
        {
            count -= 1;
            let call = &mut self.calls[first];
            (call.claim, call.granted_at) = (Claim::Granted, self.passed);
            if call.limiter.is_some() {
                self.slots[slots].granted.push(first);
            }
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

    /// Closes slots.
    pub fn close(&mut self, slots: usize) {
        self.slots[slots].is_closed = true;
        for waiting in std::mem::take(&mut self.slots[slots].line) {
            self.calls[waiting].claim = Claim::Closed;
        }
    }

    /// Gives up its place in the line for slots, or the slot it was granted.
    fn withdraw(&mut self, id: Id) {
        if let Some(slots) = self.slots_of(id)
            && self.end_claim(id)
        {
            self.give(slots, 1);
        }
    }

    fn slots_of(&self, id: Id) -> Option<usize> {
        match self.calls[id].limiter {
            Some(limiter) => self.limiters[limiter].shared,
            None => Some(0),
        }
    }

    /// Stands no more. Returns whether it has a slot in hand: it was granted one, and there is still one unclaimed.
    fn end_claim(&mut self, id: Id) -> bool {
        let Some(slots) = self.slots_of(id) else { return false };
        let slots = &mut self.slots[slots];
        match std::mem::replace(&mut self.calls[id].claim, Claim::None) {
            Claim::Queued => slots.line.retain(|waiting| *waiting != id),
            Claim::Granted if self.calls[id].limiter.is_none() => return true,
            Claim::Granted => {
                let has_one = slots.unclaimed() > 0;
                slots.granted.retain(|granted| *granted != id);
                slots.taken -= usize::from(!has_one);
                return has_one;
            }
            Claim::None | Claim::Closed => {}
        }
        false
    }

    /// Another call takes a slot that was granted to a call that seems silent.
    fn take_unclaimed(&mut self, slots: usize) -> Verdict {
        demand(!self.slots[slots].is_closed, || "it took a granted slot after the close".into())?;
        let old = self.unclaimed_for(slots, self.grace / 4);
        demand(old > 0, || "it took a slot that was not unclaimed for long".into())?;
        self.slots[slots].taken += 1;
        Ok(())
    }

    /// A call of this limiter has looked, and given a slot of a silent call to the first in the line of those slots, or to
    /// the debt. The first was woken then, and has not been polled since.
    fn note_given_on(&mut self, limiter: Id, seen: Option<Seen>) -> Verdict {
        let (Some(slots), Some(seen)) = (self.limiters[limiter].shared, seen) else {
            return Ok(());
        };
        let was_given = |model: &Self| {
            let Permits { line, debt, .. } = &model.slots[slots];
            let is_given = line.front().is_some_and(|id| model.calls[*id].given.is_some());
            seen.debt < *debt || is_given
        };
        while was_given(self) {
            self.take_unclaimed(slots)?;
            self.give(slots, 1);
        }
        Ok(())
    }

    /// A call that has not gone took such slots and gave them back, so many as the slots seen show.
    fn take_in_vain(&mut self, limiter: Id, seen: Option<Seen>) -> Verdict {
        let (Some(slots), Some(seen)) = (self.limiters[limiter].shared, seen) else {
            return Ok(());
        };
        while seen.balance() > self.slots[slots].seen().balance() {
            self.take_unclaimed(slots)?;
            self.check_is_of_no_use(limiter)?;
            self.give(slots, 1);
        }
        Ok(())
    }

    /// A shared slot is of no use for now.
    fn check_is_of_no_use(&self, limiter: Id) -> Verdict {
        let is_open = self.is_open(limiter);
        demand(!is_open || self.own_free(limiter) == 0, || {
            "it gave up a slot that it could use".into()
        })
    }

    /// Leaves the line.
    fn leave(&mut self, id: Id) {
        self.withdraw(id);
        self.calls[id].stage = Stage::Done;
        if let Some(limiter) = self.calls[id].limiter {
            self.limiters[limiter].line.retain(|waiting| *waiting != id);
        }
    }
}
