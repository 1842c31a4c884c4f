//! A program on the real limiters, and the model beside them.

use super::front::{Calling, Front, Permit, ns};
use super::hand::Hand;
use super::programs::{InFlight, Move, Op, Pick, Program, SlotsOp, Woken};
use crate::common::Wakes;
use crate::refusal::refusal;
use proptest::prelude::*;
use ringgate::Semaphore;
use ringgate_model::limiter::{Answer, Id, JUMP, Model, Permits, Rates, Seen, Verdict};
use std::mem;
use std::sync::Arc;
use std::task::{Poll, Waker};

struct Waiting<'a> {
    /// `None` if it was leaked.
    future: Option<Calling<'a>>,
    id: Id,
    wakes: Arc<Wakes>,
    /// Wakes that the model knows, of `wakes`.
    told: usize,
    /// Wakes before its last poll.
    seen: usize,
    /// Former wakers, and their counts when they were replaced.
    former: Vec<(Arc<Wakes>, usize)>,
    is_silent: bool,
    /// Wakes after its last poll.
    left: usize,
    /// How many of its last polls have woken itself, each but the first because the one before had.
    in_a_row: usize,
}

/// A poll may wake its own call: it hands out a turn and is the first, or its timer rang early.
const MAX_IN_A_ROW: usize = 2;

impl Waiting<'_> {
    fn was_woken(&self) -> bool {
        self.wakes.count() > self.seen
    }

    fn is_due(&self) -> bool {
        self.was_woken() && !self.is_silent
    }
}

struct Held<'a> {
    permit: Permit<'a>,
    /// `None` for a permit of the shared slots.
    limiter: Option<Id>,
}

pub(super) struct Scene<'a> {
    fronts: &'a [Front],
    shared: Option<&'a Semaphore>,
    hand: Hand,
    model: Model,
    has_classes: bool,
    waiting: Vec<Waiting<'a>>,
    over: Vec<Calling<'a>>,
    held: Vec<Held<'a>>,
    /// All shared slots there were, free or held, and how many of them were removed.
    slots: usize,
    removed: usize,
}

pub(super) type Checked = Result<(), TestCaseError>;

fn check(verdict: Verdict) -> Checked {
    verdict.map_err(TestCaseError::fail)
}

/// An index below `count`; `None` if that is zero.
fn one_of(pick: Pick, count: usize) -> Option<usize> {
    pick.checked_rem(count)
}

impl<'a> Scene<'a> {
    fn step(&mut self, op: &Op) -> Checked {
        match *op {
            Op::Try { limiter, class, owned } => {
                self.try_acquire(limiter % self.fronts.len(), class, owned)?;
            }
            Op::Burst { limiter, calls } => {
                for _ in 0..calls {
                    let held = self.held.len();
                    self.try_acquire(limiter % self.fronts.len(), 0, false)?;
                    if self.held.len() > held {
                        self.end(held);
                    }
                }
            }
            Op::Call { limiter, class, timeout, owned, polled } => {
                let (limiter, class) = (limiter % self.fronts.len(), self.class(class));
                let future = self.fronts[limiter].call(class, timeout, owned);
                let id = self.model.call(Some(limiter), class, timeout);
                self.add(future, id, polled)?;
            }
            Op::Poll(pick, woken) => {
                if let Some(index) = one_of(pick, self.waiting.len()) {
                    self.waiting[index].is_silent &= self.waiting[index].future.is_none();
                    self.poll(index, woken)?;
                }
            }
            Op::Run { backwards } => self.run(backwards)?,
            Op::PollAgainAfterTheEnd(pick) => {
                if let Some(index) = one_of(pick, self.over.len()) {
                    prop_assert!(self.over[index].poll(Waker::noop()).is_pending());
                }
            }
            Op::Silence(pick) => {
                if let Some(index) = one_of(pick, self.waiting.len()) {
                    self.silence(index);
                }
            }
            Op::Leak(pick) => {
                if let Some(index) = one_of(pick, self.waiting.len()) {
                    mem::forget(self.waiting[index].future.take());
                    self.silence(index);
                }
            }
            Op::Grace => self.pass_grace()?,
            Op::Drop(pick) => {
                if let Some(index) = one_of(pick, self.waiting.len()) {
                    self.drop_call(index);
                }
            }
            Op::End(pick) => {
                if let Some(index) = one_of(pick, self.held.len()) {
                    self.end(index);
                }
            }
            Op::Time(ref way) => self.pass(way)?,
            Op::SetRate { limiter, n, limit, window } => {
                let limiter = limiter % self.fronts.len();
                let is_set = self.fronts[limiter].set_rate(n, limit, window);
                prop_assert_eq!(is_set, self.model.set_rate(limiter, n, limit, window));
            }
            Op::Reset(limiter) => {
                let limiter = limiter % self.fronts.len();
                self.fronts[limiter].reset();
                self.model.reset(limiter);
            }
            Op::Pause { limiter, length } => {
                let limiter = limiter % self.fronts.len();
                if self.fronts[limiter].pause(length) {
                    self.model.pause(limiter, length);
                }
            }
            Op::Resume(limiter) => {
                let limiter = limiter % self.fronts.len();
                if self.fronts[limiter].resume() {
                    self.model.resume(limiter);
                }
            }
            Op::Close(limiter) => {
                let limiter = limiter % self.fronts.len();
                self.fronts[limiter].close();
                self.tell_wakes(false);
                self.model.close_limiter(limiter);
            }
            Op::Slots(ref op) => {
                if let Some(shared) = self.shared {
                    self.on_slots(shared, op)?;
                }
            }
        }
        self.check()
    }

    fn class(&self, class: usize) -> usize {
        if self.has_classes { class } else { 0 }
    }

    fn seen(&self) -> Option<Seen> {
        self.shared.map(|shared| Seen {
            free: shared.available_permits(),
            debt: shared.permits_owed(),
            waiters: shared.waiters(),
        })
    }

    /// Tells the model who was woken.
    fn tell_wakes(&mut self, by_timer: bool) {
        for waiting in &mut self.waiting {
            let count = waiting.wakes.count();
            if mem::replace(&mut waiting.told, count) < count {
                self.model.woken(waiting.id, by_timer);
            }
        }
    }

    fn try_acquire(&mut self, limiter: Id, class: usize, owned: bool) -> Checked {
        let class = self.class(class);
        let got = self.fronts[limiter].try_acquire(class, owned).map_err(refusal);
        self.tell_wakes(false);
        let answer = got.as_ref().map(|_| ()).map_err(|no| *no);
        check(self.model.tried(limiter, class, answer, self.seen()))?;
        self.held.extend(got.ok().map(|permit| Held { permit, limiter: Some(limiter) }));
        Ok(())
    }

    fn add(&mut self, future: Calling<'a>, id: Id, polled: bool) -> Checked {
        let (wakes, former) = (Wakes::new(), Vec::new());
        let (future, is_silent) = (Some(future), false);
        self.waiting.push(Waiting {
            future,
            id,
            wakes,
            told: 0,
            seen: 0,
            former,
            is_silent,
            left: 0,
            in_a_row: 0,
        });
        if polled { self.poll(self.waiting.len() - 1, Woken::BySame) } else { Ok(()) }
    }

    fn silence(&mut self, index: usize) {
        self.waiting[index].is_silent = true;
        self.model.calls[self.waiting[index].id].is_silent = true;
    }

    fn poll(&mut self, index: usize, woken: Woken) -> Checked {
        if self.waiting[index].future.is_none() {
            return Ok(());
        }
        let mut waiting = self.waiting.remove(index);
        self.model.calls[waiting.id].is_silent = waiting.is_silent;
        let before = waiting.wakes.count();
        if before != waiting.left {
            waiting.in_a_row = 0;
        }
        (waiting.seen, waiting.told) = (before, before);
        if woken == Woken::ByAnother {
            let former = mem::replace(&mut waiting.wakes, Wakes::new());
            waiting.former.push((former, before));
            (waiting.seen, waiting.told) = (0, 0);
        }
        let Some(future) = &mut waiting.future else { return Ok(()) };
        let got = future.poll(&Waker::from(Arc::clone(&waiting.wakes)));
        self.tell_wakes(false);
        let answer: Poll<Answer> = match &got {
            Poll::Ready(got) => Poll::Ready(got.as_ref().map(|_| ()).map_err(|no| *no)),
            Poll::Pending => Poll::Pending,
        };
        check(self.model.polled(waiting.id, answer, self.seen()))?;
        match got {
            Poll::Pending => {
                let again = if waiting.was_woken() { waiting.in_a_row + 1 } else { 0 };
                prop_assert!(again <= MAX_IN_A_ROW, "call {} wakes itself endlessly", waiting.id);
                (waiting.in_a_row, waiting.left) = (again, waiting.wakes.count());
                self.waiting.insert(index, waiting);
                check(self.model.check_shares())?;
                self.tell_wakes(false);
                self.model.forget_turns();
            }
            Poll::Ready(got) => {
                let limiter = self.model.calls[waiting.id].limiter();
                self.held.extend(got.ok().map(|permit| Held { permit, limiter }));
                self.over.extend(waiting.future);
            }
        }
        Ok(())
    }

    fn run(&mut self, backwards: bool) -> Checked {
        self.poll_all_woken(backwards)?;
        check(self.model.check_rest())
    }

    fn poll_all_woken(&mut self, backwards: bool) -> Checked {
        // Each call is polled a few times: for a turn, for its time, for a slot.
        let most = 10 * (self.waiting.len() + 1);
        for _ in 0..most {
            let woken = self.waiting.iter().position(Waiting::is_due);
            let last = self.waiting.iter().rposition(Waiting::is_due);
            let Some(index) = (if backwards { last } else { woken }) else { return Ok(()) };
            self.poll(index, Woken::BySame)?;
            self.check()?;
        }
        Err(TestCaseError::fail("they wake one another endlessly"))
    }

    fn pass_grace(&mut self) -> Checked {
        self.poll_all_woken(false)?;
        self.model.begin_grace();
        for step in 0..80 {
            self.set_time(self.model.now + self.model.grace / 8)?;
            self.check()?;
            self.poll_all_woken(false)?;
            let is_seen = self.model.check_step_of_grace().map_err(TestCaseError::fail)?;
            if is_seen && step >= 10 {
                break;
            }
        }
        Ok(())
    }

    fn drop_call(&mut self, index: usize) {
        if self.waiting[index].future.is_some() {
            let Waiting { future, id, .. } = self.waiting.remove(index);
            drop(future);
            self.model.drop_call(id);
        }
    }

    fn end(&mut self, index: usize) {
        let Held { permit, limiter } = self.held.remove(index);
        drop(permit);
        match limiter {
            Some(limiter) => self.model.end(limiter),
            None => self.model.give(0, 1),
        }
        self.tell_wakes(false);
    }

    fn pass(&mut self, way: &Move) -> Checked {
        let now = self.model.now;
        let then = match *way {
            Move::On(by) => now + by,
            Move::Eighths(eighths) => now + eighths * (self.model.grace / 8),
            Move::Back(by) => now.saturating_sub(by),
            Move::Jump(seconds) => now.saturating_sub(seconds * JUMP + 1),
            Move::ToTurn { limiter, ahead, early } => {
                let wait = self.model.wait(limiter % self.fronts.len(), ahead);
                let turn = now + wait.filter(|wait| *wait < 1 << 50).unwrap_or(0);
                turn.saturating_sub(u64::from(early)).max(now)
            }
            Move::ToDeadline(pick) => {
                let deadlines = self.waiting.iter().filter_map(|w| self.model.deadline(w.id));
                let near: Vec<u64> = deadlines.filter(|end| end - now.min(*end) < 1000).collect();
                one_of(pick, near.len()).map_or(now, |index| near[index].max(now))
            }
            Move::Years(years) => now + years * 365 * 24 * 3_600_000_000_000,
        };
        self.set_time(then)
    }

    fn set_time(&mut self, now: u64) -> Checked {
        self.tell_wakes(false);
        self.hand.set(now);
        self.model.set_time(now);
        self.tell_wakes(true);
        for waiting in &self.waiting {
            let is_over = self.model.deadline(waiting.id).is_some_and(|end| end <= now);
            prop_assert!(waiting.was_woken() || !is_over, "call {} sleeps too long", waiting.id);
        }
        Ok(())
    }

    fn on_slots(&mut self, shared: &'a Semaphore, op: &SlotsOp) -> Checked {
        match *op {
            SlotsOp::Try => {
                let got = shared.try_acquire();
                prop_assert_eq!(got.is_ok(), self.model.try_take(0).is_ok());
                let held = |permit| Held { permit: Permit::OfSlots(permit), limiter: None };
                self.held.extend(got.ok().map(held));
            }
            SlotsOp::Wait => {
                let id = self.model.call(None, 0, None);
                self.add(Calling::Slot(Box::pin(shared.acquire())), id, true)?;
            }
            SlotsOp::Add(count) => {
                shared.add_permits(count);
                self.slots += count;
                self.model.give(0, count);
            }
            SlotsOp::Forget(count) => {
                let forgotten = shared.forget_permits(count);
                prop_assert_eq!(forgotten, self.model.forget(0, count));
                self.slots -= forgotten;
            }
            SlotsOp::Reduce(count) => {
                prop_assert_eq!(shared.reduce_permits(count), self.model.reduce(0, count));
                self.removed += count;
            }
            SlotsOp::Close => {
                shared.close();
                self.model.close(0);
            }
        }
        Ok(())
    }

    // ---- what can be seen ----------------------------------------------------------------------

    fn check(&mut self) -> Checked {
        for (limiter, front) in self.fronts.iter().enumerate() {
            prop_assert_eq!(front.remaining(), self.model.remaining(limiter), "remaining");
            let paused = self.model.paused_for(limiter).map(ns);
            prop_assert_eq!(front.paused_for(), paused, "paused");
            prop_assert_eq!(front.available(), self.model.available(limiter), "free slots");
            prop_assert_eq!(front.waiters(), self.model.limiters[limiter].line.len(), "waiting");
        }
        if let Some(shared) = self.shared {
            let slots = &self.model.slots[0];
            prop_assert_eq!(shared.available_permits(), slots.free);
            prop_assert_eq!(shared.permits_owed(), slots.debt);
            prop_assert_eq!(shared.waiters(), slots.line.len());
            prop_assert_eq!(shared.is_closed(), slots.is_closed);
        }
        // Who asks what remains may notice a jump of the clock.
        self.tell_wakes(false);
        check(self.model.check_shares())?;
        self.waiting.iter().try_for_each(|waiting| self.check_one(waiting))
    }

    fn check_one(&self, waiting: &Waiting<'_>) -> Checked {
        let (id, call) = (waiting.id, &self.model.calls[waiting.id]);
        if let Some((position, wait)) = waiting.future.as_ref().and_then(Calling::stands) {
            prop_assert_eq!(position.is_some(), call.is_waiting(), "place of call {}", id);
            let limiter = call.limiter().unwrap_or(0);
            // With several classes some may be counted twice.
            let most = self.model.limiters[limiter].line.len()
                * if self.model.is_of_one_class(limiter) { 1 } else { 2 };
            prop_assert!(position.is_none_or(|ahead| ahead < most), "place {position:?}");
            let told = position.and_then(|ahead| self.model.wait_behind(id, ahead)).map(ns);
            prop_assert_eq!(wait, told, "wait of call {}", id);
        }
        if let Some(Calling::Slot(slot)) = &waiting.future {
            prop_assert_eq!(slot.position(), self.model.place_for_slot(id), "place of call {}", id);
        }
        let is_left_alone = waiting.former.iter().all(|(wakes, count)| wakes.count() == *count);
        prop_assert!(is_left_alone, "a waker of call {id} was woken after it had been replaced");
        Ok(())
    }

    /// Drops all waiting calls and ends all others. Every slot must be back except those that were granted to leaked calls,
    /// and once all windows have passed, the whole limit. Leaked calls stay in line.
    fn finish(mut self, backwards: bool) -> Checked {
        let pick = |count: usize| if backwards { count - 1 } else { 0 };
        let mut leaked = Vec::new();
        while !self.waiting.is_empty() {
            let index = pick(self.waiting.len());
            if self.waiting[index].future.is_none() {
                leaked.push(self.waiting.remove(index));
            } else {
                self.step(&Op::Drop(index))?;
            }
        }
        while !self.held.is_empty() {
            self.step(&Op::End(pick(self.held.len())))?;
        }
        self.step(&Op::Time(Move::Years(1)))?;
        let leaked = leaked.iter().filter(|call| self.model.calls[call.id].is_waiting());
        let leaked = leaked.filter(|call| self.model.calls[call.id].limiter().is_some()).count();
        if let Some(shared) = self.shared {
            let back = shared.available_permits() + self.model.with_silent(0) + self.removed;
            prop_assert_eq!(back, self.slots + shared.permits_owed(), "slots in the end");
        }
        let waiters: usize = self.fronts.iter().map(Front::waiters).sum();
        prop_assert_eq!(waiters, leaked);
        Ok(())
    }
}

fn model_of(program: &Program, fronts: usize) -> Model {
    let mut model = Model::new(program.start);
    let (own, shared) = match program.in_flight {
        InFlight::Unlimited => (None, None),
        InFlight::None => (Some(0), None),
        InFlight::Own(own) => (Some(own), None),
        InFlight::Shared(shared) => (None, Some(shared)),
        InFlight::Both { own, shared } => (Some(own), Some(shared)),
    };
    model.slots.extend(shared.map(|free| Permits { free, ..Permits::default() }));
    for shape in &program.shapes[..fronts] {
        model.limiter(Rates::new(&shape.rules, shape.margin), own, shared.map(|_| 0));
    }
    model
}

fn run(program: &Program, fronts: &[Front], shared: Option<&Semaphore>, hand: Hand) -> Checked {
    let mut scene = Scene {
        fronts,
        shared,
        hand,
        model: model_of(program, fronts.len()),
        has_classes: program.has_classes && matches!(fronts[0], Front::Limiter(_)),
        waiting: Vec::new(),
        over: Vec::new(),
        held: Vec::new(),
        slots: shared.map_or(0, Semaphore::available_permits),
        removed: 0,
    };
    scene.check()?;
    for op in &program.ops {
        scene.step(op)?;
    }
    scene.finish(program.start % 2 == 1)
}

pub(super) fn run_limiters(program: &Program) -> Checked {
    let hand = Hand::new(program.start, program.longest);
    let slots = match program.in_flight {
        InFlight::Shared(shared) | InFlight::Both { shared, .. } => Some(shared),
        _ => None,
    };
    let shared = Arc::new(Semaphore::new(slots.unwrap_or(0)));
    let make = |shape| Front::limiter(shape, program.in_flight, &shared, &hand.clock);
    let fronts = program.shapes.each_ref().map(make);
    run(program, &fronts, slots.map(|_| &*shared), hand)
}

pub(super) fn run_window(program: &Program) -> Checked {
    let hand = Hand::new(program.start, program.longest);
    let front = Front::window(&program.shapes[0], &hand.clock);
    run(program, &[front], None, hand)
}
