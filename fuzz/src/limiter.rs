//! The limiter against a list of stamps and a queue.

use crate::bytes::Bytes;
use crate::stamps::{Rule, Stamps};
use crate::wakes::{Task, Wakes};
use ringgate::time::{Clock, ManualClock, Timestamp};
use ringgate::{Limit, Limiter, NoSuchRateError, OwnedLimiterPermit, Rate, Refused, Semaphore};
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// No limit is larger, so that the log stays one ring.
const LARGEST: u32 = 12;

/// Calls come, wait with and without timeout, are polled, forgotten for a while or given up, while
/// time moves, the clock is set back, rates change, slots are taken by others and closed.
///
/// A list of stamps must have room for each admission. Calls start in the order in which they came. No
/// slot is lost. Once all woken calls were polled, polling the others changes nothing.
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

type Call = dyn Future<Output = Result<OwnedLimiterPermit, Refused>> + Send;

struct Waiting {
    task: Task<Call>,
    /// When its timeout ends, if it is in line with one.
    timeout: Option<Duration>,
    deadline: Option<u64>,
    has_joined: bool,
}

struct Scene {
    clock: ManualClock,
    limiter: Limiter,
    stamps: Stamps,
    capacity: u32,
    /// Calls in flight are limited by this, which others use as well.
    slots: Option<Arc<Semaphore>>,
    /// The number of slots in all.
    all_slots: usize,
    /// In order of their first poll; those not polled yet may be anywhere.
    calls: Vec<Waiting>,
    in_flight: Vec<OwnedLimiterPermit>,
    taken_by_others: usize,
}

impl Scene {
    fn new(bytes: &mut Bytes) -> Self {
        let clock = ManualClock::new();
        let rules: Vec<Rule> = (0..bytes.within(0, 2)).map(|_| rule(bytes)).collect();
        let mut builder = Limiter::builder().margin(Duration::ZERO).clock(clock.clone());
        for rule in &rules {
            builder = builder.rate(Rate::new(rule.limit, Duration::from_nanos(rule.window)));
        }
        let all_slots = bytes.below(5);
        let slots = bytes.flip().then(|| Arc::new(Semaphore::new(all_slots)));
        let limiter = match &slots {
            Some(slots) => builder.semaphore(Arc::clone(slots)),
            None => builder,
        };
        let capacity = rules.iter().map(|rule| rule.limit).max().unwrap_or(0);
        Self {
            clock,
            limiter: limiter.build(),
            stamps: Stamps::new(rules.into_iter()),
            capacity,
            slots,
            all_slots,
            calls: Vec::new(),
            in_flight: Vec::new(),
            taken_by_others: 0,
        }
    }

    fn now(&self) -> u64 {
        self.clock.now().as_nanos()
    }

    fn step(&mut self, bytes: &mut Bytes) {
        match bytes.within(0, 15) {
            0..=2 => self.come(bytes),
            3 => self.poll_one(bytes),
            4 => drop(bytes.take(&mut self.calls)),
            5 | 6 => drop(bytes.take(&mut self.in_flight)),
            7 => self.try_acquire(),
            8 | 9 => self.clock.advance(Duration::from_nanos(bytes.within(0, 40))),
            10 => self.set_back(bytes),
            11 => self.change(bytes),
            12 => self.others(bytes),
            13 => self.close(bytes),
            _ => self.run(),
        }
    }

    /// A new call, mostly polled at once.
    fn come(&mut self, bytes: &mut Bytes) {
        let timeout = bytes.flip().then(|| match bytes.byte() {
            255 => Duration::MAX,
            nanos => Duration::from_nanos(nanos.into()),
        });
        let limiter = &self.limiter;
        let task: Task<Call> = Task::new(match timeout {
            Some(timeout) => Box::pin(limiter.acquire_timeout_owned(timeout)),
            None => Box::pin(limiter.acquire_owned()),
        });
        self.calls.push(Waiting { task, timeout, deadline: None, has_joined: false });
        if bytes.byte() < 200 {
            self.poll(self.calls.len() - 1, false);
        }
    }

    fn poll_one(&mut self, bytes: &mut Bytes) {
        if !self.calls.is_empty() {
            self.poll(bytes.below(self.calls.len()), bytes.flip());
        }
    }

    /// Polls one call. Returns true if it has ended.
    fn poll(&mut self, which: usize, moved: bool) -> bool {
        let mut call = self.calls.remove(which);
        let got = if moved { call.task.poll_with(Wakes::default()) } else { call.task.poll() };
        let is_over = got.is_ready();
        match got {
            Poll::Pending if call.has_joined => self.calls.insert(which, call),
            Poll::Pending => {
                let end = |timeout| Timestamp::from_nanos(self.now()).saturating_add(timeout);
                call.deadline = call.timeout.map(|timeout| end(timeout).as_nanos());
                call.has_joined = true;
                // Behind all calls that joined the line before it.
                self.calls.push(call);
            }
            Poll::Ready(Ok(permit)) => {
                let before = self.calls.iter().take(which).any(|other| other.has_joined);
                let in_line = self.calls.iter().any(|other| other.has_joined);
                assert!(!if call.has_joined { before } else { in_line }, "it has overtaken");
                self.admit(permit);
            }
            Poll::Ready(Err(refused)) => self.refuse(&call, refused),
        }
        is_over
    }

    fn admit(&mut self, permit: OwnedLimiterPermit) {
        let now = self.now();
        let free_at = self.stamps.free_at(now);
        let right = free_at == Some(now) || !self.stamps.is_exact(now);
        assert!(right, "admitted at {now}, not at {free_at:?}");
        self.stamps.admit(now);
        self.in_flight.push(permit);
    }

    /// A future is refused permanently, or at its deadline.
    fn refuse(&self, call: &Waiting, refused: Refused) {
        if refused.is_permanent() {
            return match refused.limit() {
                Limit::Rate => assert!(self.stamps.rules().any(|rule| rule.limit == 0)),
                _ => assert!(self.slots.as_ref().is_some_and(|slots| slots.is_closed())),
            };
        }
        let over = call.deadline.is_some_and(|deadline| deadline <= self.now());
        let in_vain = !call.has_joined && call.timeout.is_some();
        assert!(over || in_vain, "refused before its time: {refused}");
    }

    fn try_acquire(&mut self) {
        let now = self.now();
        let in_line = self.calls.iter().any(|call| call.has_joined);
        let no_slot = self.slots.as_ref().is_some_and(|slots| slots.available_permits() == 0);
        let free_at = self.stamps.free_at(now);
        match self.limiter.try_acquire_owned() {
            Ok(permit) => {
                assert!(!in_line, "a newcomer overtakes");
                assert!(!no_slot, "there was no slot");
                self.admit(permit);
            }
            Err(refused) if in_line || refused.is_permanent() || !self.stamps.is_exact(now) => {}
            Err(refused) if free_at == Some(now) => {
                let closed = self.slots.as_ref().is_some_and(|slots| slots.is_closed());
                assert!(no_slot || closed, "refused although both limits are open");
                let limit = if closed { Limit::Closed } else { Limit::Concurrency };
                assert_eq!(refused.limit(), limit);
            }
            Err(refused) => {
                let told = refused.retry_after().map(|wait| wait.as_nanos());
                assert_eq!(told, free_at.map(|free_at| u128::from(free_at - now)));
            }
        }
    }

    fn set_back(&mut self, bytes: &mut Bytes) {
        let now = self.now().saturating_sub(bytes.within(0, 40));
        self.clock.set(Timestamp::from_nanos(now));
    }

    fn change(&mut self, bytes: &mut Bytes) {
        let (n, rule) = (bytes.below(3), rule(bytes));
        let got =
            self.limiter.set_rate_at(n, Rate::new(rule.limit, Duration::from_nanos(rule.window)));
        if n >= self.stamps.rules().count() {
            return assert_eq!(got, Err(NoSuchRateError));
        }
        assert_eq!(got, Ok(()));
        let grows = rule.limit > self.capacity;
        if grows {
            self.capacity = rule.limit.max(self.capacity * 2);
        }
        self.stamps.change(n, rule, grows);
    }

    /// Another user takes a slot or gives one back.
    fn others(&mut self, bytes: &mut Bytes) {
        let Some(slots) = &self.slots else { return };
        if bytes.flip() {
            if let Ok(slot) = slots.try_acquire() {
                slot.forget();
                self.taken_by_others += 1;
            }
        } else if self.taken_by_others > 0 {
            self.taken_by_others -= 1;
            slots.add_permits(1);
        }
    }

    fn close(&self, bytes: &mut Bytes) {
        if let Some(slots) = self.slots.as_ref().filter(|_| bytes.byte() < 16) {
            slots.close();
        }
    }

    /// Polls all woken calls, as a runtime does, until none is woken. Then a further poll must change nothing.
    fn run(&mut self) {
        for polls in 0.. {
            let woken = |call: &Waiting| call.has_joined && call.task.is_woken();
            let Some(which) = self.calls.iter().position(woken) else { break };
            assert!(polls < 10_000, "they wake one another endlessly");
            self.poll(which, false);
        }
        let mut which = 0;
        while let Some(call) = self.calls.get(which) {
            if call.has_joined {
                assert!(!self.poll(which, false), "its turn had come, and it was not woken");
            }
            which += 1;
        }
    }

    fn check(&self) {
        let in_line: Vec<&Waiting> = self.calls.iter().filter(|call| call.has_joined).collect();
        assert_eq!(self.limiter.waiters(), in_line.len());
        let used = self.in_flight.len() + self.taken_by_others;
        let Some(slots) = &self.slots else { return };
        assert!(used <= self.all_slots, "{used} in flight, of {}", self.all_slots);
        if in_line.is_empty() {
            assert_eq!(slots.available_permits(), self.all_slots - used, "a slot is lost");
        }
    }

    /// In the end all calls are served: time moves, and calls end.
    fn end(&mut self) {
        for which in (0..self.calls.len()).rev() {
            if !self.calls[which].has_joined {
                self.calls.remove(which);
            }
        }
        if let Some(slots) = &self.slots {
            slots.add_permits(std::mem::take(&mut self.taken_by_others));
        }
        let longest = self.stamps.rules().map(|rule| rule.window).max().unwrap_or(0);
        let far = self.stamps.newest().max(self.now()) + longest;
        self.clock.set(Timestamp::from_nanos(far));
        let has_slots = self.slots.is_none() || self.all_slots > 0;
        for _ in 0..=self.calls.len() {
            self.in_flight.clear();
            self.run();
            self.in_flight.clear();
            self.run();
            self.clock.advance(Duration::from_nanos(longest));
        }
        self.run();
        self.check();
        assert!(self.calls.is_empty() || !has_slots, "{} calls hang", self.calls.len());
    }
}

fn rule(bytes: &mut Bytes) -> Rule {
    let limit = match bytes.byte() {
        few @ ..=223 => 1 + u32::from(few % 3),
        many => u32::from(many) % (LARGEST + 1),
    };
    Rule { limit, window: bytes.within(1, 60) }
}
