//! The limiter against what it promises.

use crate::bytes::Bytes;
use crate::wakes::{Task, Wakes};
use ringgate::time::{ManualClock, Timestamp};
use ringgate::{
    Limit, Limiter, LimiterAcquireOwned, NoSuchRateError, OwnedLimiterPermit, Priority, Rate,
    Refused, Semaphore,
};
use ringgate_model::limiter::{Answer, Id, JUMP, Model, Permits, Rates, Refusal, Seen, Verdict};
use std::mem;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// No limit is larger, so that the log stays one ring.
const LARGEST: u32 = 12;

/// Calls of several classes come, wait with and without timeout, are polled, fall silent, are lost or given up, while
/// time moves, the clock is set back, rates change, slots are taken by others and closed.
///
/// `ringgate_model::limiter` checks each answer. Once all woken calls were polled, no call waits while there is room.
/// After the grace silent calls hold up nobody.
///
/// Caught: a change of the rate, or a close, that wakes no call; a granted waiter not woken; a
/// newcomer that overtakes; a slot kept where the stamp is refused after all; a deadline added without
/// saturation; stamps not handed on as the log grows.
pub fn limiter(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut scene = Scene::new(&mut bytes);
    while !bytes.is_empty() {
        scene.step(&mut bytes);
        scene.check();
    }
    scene.end();
}

struct Waiting {
    task: Task<LimiterAcquireOwned>,
    id: Id,
    /// Wakes that the model knows.
    told: usize,
    is_silent: bool,
    /// It is not polled nor dropped before the end, as if it were leaked.
    is_lost: bool,
}

impl Waiting {
    fn is_due(&self) -> bool {
        !self.is_silent && self.task.is_woken()
    }
}

struct Scene {
    clock: ManualClock,
    limiter: Limiter,
    model: Model,
    rates: usize,
    has_classes: bool,
    /// Calls in flight are limited by this, which others use as well.
    slots: Option<Arc<Semaphore>>,
    calls: Vec<Waiting>,
    in_flight: Vec<OwnedLimiterPermit>,
    taken_by_others: usize,
}

#[track_caller]
fn demand(verdict: Verdict) {
    if let Err(wrong) = verdict {
        panic!("{wrong}");
    }
}

impl Scene {
    fn new(bytes: &mut Bytes) -> Self {
        let clock = ManualClock::new();
        let rules: Vec<(u32, u64)> = (0..bytes.within(0, 2)).map(|_| rule(bytes)).collect();
        let mut builder = Limiter::builder().margin(Duration::ZERO).clock(clock.clone());
        for (limit, window) in &rules {
            builder = builder.rate(Rate::new(*limit, Duration::from_nanos(*window)));
        }
        let free = bytes.below(5);
        let slots = bytes.flip().then(|| Arc::new(Semaphore::new(free)));
        if let Some(slots) = &slots {
            builder = builder.semaphore(Arc::clone(slots));
        }
        let own = bytes.flip().then(|| bytes.below(4));
        if let Some(own) = own {
            builder = builder.max_concurrent(own);
        }
        let mut model = Model::new(0);
        let shared = slots.is_some().then_some(0);
        model.slots.extend(shared.map(|_| Permits { free, ..Permits::default() }));
        model.limiter(Rates::new(&rules, 0), own, shared);
        Self {
            clock,
            limiter: builder.build(),
            model,
            rates: rules.len(),
            has_classes: bytes.flip(),
            slots,
            calls: Vec::new(),
            in_flight: Vec::new(),
            taken_by_others: 0,
        }
    }

    fn step(&mut self, bytes: &mut Bytes) {
        match bytes.within(0, 17) {
            0..=2 => self.come(bytes),
            3 => self.poll_one(bytes),
            4 => self.give_up(bytes),
            5 | 6 => self.finish(bytes),
            7 => self.try_acquire(bytes),
            8 | 9 => self.set_time(self.model.now + bytes.within(0, 40)),
            10 => self.set_back(bytes),
            11 => self.change(bytes),
            12 => self.others(bytes),
            13 => self.close(bytes),
            14 => self.fall_silent(bytes),
            15 => self.pass_grace(),
            _ => self.run(),
        }
    }

    fn class(&self, bytes: &mut Bytes) -> (usize, Priority) {
        let classes = [Priority::Normal, Priority::High, Priority::Low];
        let class = if self.has_classes { bytes.below(3) } else { 0 };
        (class, classes[class])
    }

    /// A new call, mostly polled at once.
    fn come(&mut self, bytes: &mut Bytes) {
        let timeout = bytes.flip().then(|| match bytes.byte() {
            255 => u64::MAX,
            nanos => nanos.into(),
        });
        let (class, priority) = self.class(bytes);
        let call = self.limiter.call().priority(priority);
        let call = timeout.map_or(call, |timeout| call.timeout(Duration::from_nanos(timeout)));
        let task = Task::new(Box::pin(call.acquire_owned()));
        let id = self.model.call(Some(0), class, timeout);
        self.calls.push(Waiting { task, id, told: 0, is_silent: false, is_lost: false });
        if bytes.byte() < 200 {
            self.poll(self.calls.len() - 1, false);
        }
    }

    fn poll_one(&mut self, bytes: &mut Bytes) {
        if !self.calls.is_empty() {
            let which = bytes.below(self.calls.len());
            self.calls[which].is_silent &= self.calls[which].is_lost;
            self.poll(which, bytes.flip());
        }
    }

    fn poll(&mut self, which: usize, moved: bool) {
        if self.calls[which].is_lost {
            return;
        }
        let mut call = self.calls.remove(which);
        self.model.calls[call.id].is_silent = call.is_silent;
        call.told = if moved { 0 } else { call.task.wakes() };
        let got = if moved { call.task.poll_with(Wakes::default()) } else { call.task.poll() };
        self.tell_wakes(false);
        let answer = match &got {
            Poll::Pending => Poll::Pending,
            Poll::Ready(got) => Poll::Ready(answer(got)),
        };
        demand(self.model.polled(call.id, answer, self.seen()));
        match got {
            Poll::Pending => {
                self.calls.insert(which, call);
                demand(self.model.check_shares());
            }
            Poll::Ready(got) => self.in_flight.extend(got.ok()),
        }
        self.tell_wakes(false);
        self.model.forget_turns();
    }

    fn seen(&self) -> Option<Seen> {
        self.slots.as_ref().map(|slots| Seen {
            free: slots.available_permits(),
            debt: slots.permits_owed(),
            waiters: slots.waiters(),
        })
    }

    fn tell_wakes(&mut self, by_timer: bool) {
        for call in &mut self.calls {
            let count = call.task.wakes();
            if mem::replace(&mut call.told, count) < count {
                self.model.woken(call.id, by_timer);
            }
        }
    }

    fn give_up(&mut self, bytes: &mut Bytes) {
        if let Some(call) = bytes.take(&mut self.calls) {
            if call.is_lost {
                return self.calls.push(call);
            }
            drop(call.task);
            self.model.drop_call(call.id);
        }
    }

    fn finish(&mut self, bytes: &mut Bytes) {
        if let Some(permit) = bytes.take(&mut self.in_flight) {
            drop(permit);
            self.model.end(0);
        }
    }

    fn try_acquire(&mut self, bytes: &mut Bytes) {
        let (class, priority) = self.class(bytes);
        let got = self.limiter.call().priority(priority).try_acquire_owned();
        self.tell_wakes(false);
        demand(self.model.tried(0, class, answer(&got), self.seen()));
        self.in_flight.extend(got.ok());
    }

    fn set_time(&mut self, now: u64) {
        self.tell_wakes(false);
        self.clock.set(Timestamp::from_nanos(now));
        self.model.set_time(now);
        self.tell_wakes(true);
    }

    fn set_back(&mut self, bytes: &mut Bytes) {
        let jump = if bytes.byte() < 16 { JUMP + 1 } else { 0 };
        self.set_time(self.model.now.saturating_sub(bytes.within(0, 40) + jump));
    }

    fn change(&mut self, bytes: &mut Bytes) {
        let (n, (limit, window)) = (bytes.below(3), rule(bytes));
        if n == 2 && limit == LARGEST {
            self.limiter.reset();
            return self.model.reset(0);
        }
        let rate = Rate::new(limit, Duration::from_nanos(window));
        let expected = if n < self.rates { Ok(()) } else { Err(NoSuchRateError) };
        assert_eq!(self.limiter.set_rate_at(n, rate), expected);
        assert_eq!(self.model.set_rate(0, n, limit, window), expected.is_ok());
    }

    /// Another user takes a slot or gives one back.
    fn others(&mut self, bytes: &mut Bytes) {
        let Some(slots) = &self.slots else { return };
        if bytes.flip() {
            let got = slots.try_acquire();
            assert_eq!(got.is_ok(), self.model.try_take(0).is_ok());
            if let Ok(slot) = got {
                slot.forget();
                self.taken_by_others += 1;
            }
        } else if self.taken_by_others > 0 {
            self.taken_by_others -= 1;
            slots.add_permits(1);
            self.model.give(0, 1);
        }
    }

    fn close(&mut self, bytes: &mut Bytes) {
        match (bytes.byte(), &self.slots) {
            (..16, Some(slots)) => {
                slots.close();
                self.model.close(0);
            }
            (16..20, _) => {
                self.limiter.close();
                self.tell_wakes(false);
                self.model.close_limiter(0);
            }
            _ => {}
        }
    }

    /// A call is not polled any more, some not even in the end.
    fn fall_silent(&mut self, bytes: &mut Bytes) {
        if self.calls.is_empty() || self.calls.iter().filter(|call| call.is_silent).count() > 60 {
            return;
        }
        let which = bytes.below(self.calls.len());
        let call = &mut self.calls[which];
        call.is_silent = true;
        self.model.calls[call.id].is_silent = true;
        call.is_lost |= bytes.byte() < 64;
    }

    /// Polls all woken calls, as a runtime does, until none is woken.
    fn run(&mut self) {
        self.poll_all_woken();
        demand(self.model.check_rest());
    }

    fn poll_all_woken(&mut self) {
        let most = 10 * (self.calls.len() + 1);
        for polls in 0.. {
            let Some(which) = self.calls.iter().position(Waiting::is_due) else { break };
            assert!(polls < most, "they wake one another endlessly");
            self.poll(which, false);
            // Notices a jump of the clock when the model does.
            self.check();
        }
    }

    fn pass_grace(&mut self) {
        self.poll_all_woken();
        self.model.begin_grace();
        for step in 0..80 {
            self.set_time(self.model.now + self.model.grace / 8);
            self.check();
            self.poll_all_woken();
            let is_seen = self.model.check_step_of_grace().unwrap_or_else(|e| panic!("{e}"));
            if is_seen && step >= 10 {
                break;
            }
        }
    }

    fn check(&mut self) {
        assert_eq!(self.limiter.remaining(), self.model.remaining(0));
        assert_eq!(self.limiter.available_permits(), self.model.available(0));
        assert_eq!(self.limiter.waiters(), self.model.limiters[0].line.len());
        if let Some(slots) = &self.slots {
            assert_eq!(slots.available_permits(), self.model.slots[0].free);
            assert_eq!(slots.waiters(), self.model.slots[0].line.len());
        }
        self.tell_wakes(false);
        demand(self.model.check_shares());
    }

    /// In the end all calls that answer are served: time moves, and calls end.
    fn end(&mut self) {
        for _ in 0..=self.calls.len() {
            for _ in self.in_flight.drain(..) {
                self.model.end(0);
            }
            self.tell_wakes(false);
            self.run();
            self.pass_grace();
        }
        self.check();
    }
}

fn answer<T>(got: &Result<T, Refused>) -> Answer {
    got.as_ref().map(drop).map_err(|refused| {
        let wait = refused.retry_after().map(|wait| u64::try_from(wait.as_nanos()).unwrap());
        match (refused.limit(), wait, refused.is_permanent()) {
            (Limit::Rate, Some(wait), false) => Refusal::Rate(wait),
            (Limit::Rate, None, true) => Refusal::RateNever,
            (Limit::Paused, Some(wait), false) => Refusal::Paused(wait),
            (Limit::Concurrency, None, false) => Refusal::Slots,
            (Limit::Concurrency, None, true) => Refusal::SlotsNever,
            (Limit::Closed, None, true) => Refusal::Closed,
            _ => panic!("a refusal that contradicts itself: {refused:?}"),
        }
    })
}

fn rule(bytes: &mut Bytes) -> (u32, u64) {
    let limit = match bytes.byte() {
        few @ ..=223 => 1 + u32::from(few % 3),
        many => u32::from(many) % (LARGEST + 1),
    };
    (limit, bytes.within(1, 60))
}
