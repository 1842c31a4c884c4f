//! The limiter and the window against a sequential model (`ringgate_model::limiter`): programs of
//! calls, drops, steps of time and changes of every limit, on a clock that the test sets. After every
//! step all that users can observe must match the model: answers, waits to the nanosecond, which calls
//! were woken and which were not, what remains, what is free, places in line and estimated waits.
//!
//! It runs on one thread, so that everything is exact. The models in `src` check threads. Where the log is
//! split (limits from 128 on), time only moves on and rates stay, so that all is exact, too.
//! `src/tests/oracle.rs` checks split logs without these restrictions.

use crate::common::{Wakes, cases, poll_with};
use crate::refusal::refusal;
use proptest::prelude::*;
use ringgate::time::{Clock, Sleep, Timestamp};
use ringgate::{
    AcquireError, Limiter, LimiterAcquire, LimiterPermit, OwnedLimiterPermit, Rate, Refused,
    Semaphore, SemaphorePermit, SlidingWindow, WindowAcquire,
};
use ringgate_model::limiter::{Answer, Concurrency, Id, Model, Permits, Rates, Refusal};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

// ---- what is tried -------------------------------------------------------------------------------

/// An index, modulo the number of items.
type Pick = usize;

#[derive(Debug, Clone)]
enum Op {
    Try {
        limiter: Pick,
        owned: bool,
    },
    /// Several calls at once, each of which ends at once.
    Burst {
        limiter: Pick,
        calls: usize,
    },
    /// A new call, polled at once or later.
    Call {
        limiter: Pick,
        timeout: Option<u64>,
        owned: bool,
        polled: bool,
    },
    /// With another waker than before, or the same.
    Poll(Pick, Woken),
    /// Polls all woken calls, as an executor does, until none is woken.
    Run {
        backwards: bool,
    },
    PollAgainAfterTheEnd(Pick),
    Drop(Pick),
    End(Pick),
    Time(Move),
    SetRate {
        limiter: Pick,
        n: usize,
        limit: u32,
        window: u64,
    },
    /// An operation on the shared slots themselves.
    Slots(SlotsOp),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Woken {
    BySame,
    ByAnother,
}

#[derive(Debug, Clone)]
enum Move {
    On(u64),
    Back(u64),
    /// To the instant at which the rate admits one more after `ahead` others, or 1 ns before.
    ToTurn {
        limiter: Pick,
        ahead: usize,
        early: bool,
    },
    ToDeadline(Pick),
    Years(u64),
}

#[derive(Debug, Clone)]
enum SlotsOp {
    Try,
    Wait,
    Add(usize),
    Forget(usize),
    Reduce(usize),
    Close,
}

/// Up to two rates.
#[derive(Debug, Clone)]
struct Shape {
    rules: Vec<(u32, u64)>,
    margin: u64,
}

#[derive(Debug, Clone, Copy)]
enum InFlight {
    Unlimited,
    None,
    /// Each limiter has this many of its own.
    Own(usize),
    /// One semaphore for both.
    Shared(usize),
}

#[derive(Clone)]
struct Program {
    start: u64,
    /// The longest that a timer sleeps. Below `u64::MAX` it may ring early.
    longest: u64,
    shapes: [Shape; 2],
    in_flight: InFlight,
    ops: Vec<Op>,
}

/// A line for each operation.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, longest, shapes, in_flight, ops } = self;
        writeln!(f, "from {start} ns, timers of at most {longest} ns, {in_flight:?}")?;
        shapes.iter().try_for_each(|shape| writeln!(f, "  {shape:?}"))?;
        ops.iter().try_for_each(|op| writeln!(f, "    {op:?}"))
    }
}

fn limits() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 1..=3_u32, 3 => 4..=30_u32, 1 => Just(0)]
}

fn windows() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 1..=12_u64, 3 => 13..=100_u64, 1 => Just(0), 1 => Just(100_000_000_000)]
}

fn shapes(least_rules: usize) -> impl Strategy<Value = Shape> {
    let rule = || (limits(), windows());
    let rules = prop_oneof![
        8 => prop::collection::vec(rule(), 1..2),
        4 => prop::collection::vec(rule(), 2..4),
        1 => prop::collection::vec(rule(), least_rules..2),
    ];
    let margins = prop_oneof![3 => Just(0), 1 => 1..=5_u64];
    (rules, margins).prop_map(|(rules, margin)| Shape { rules, margin })
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        8 => (0..=15_u64).prop_map(Move::On),
        2 => (1..=25_u64).prop_map(Move::Back),
        8 => (0..2_usize, 0..4_usize, any::<bool>())
            .prop_map(|(limiter, ahead, early)| Move::ToTurn { limiter, ahead, early }),
        3 => (0..9_usize).prop_map(Move::ToDeadline),
        1 => (0..=2_u64).prop_map(Move::Years),
    ]
}

fn slots_ops() -> impl Strategy<Value = SlotsOp> {
    prop_oneof![
        4 => Just(SlotsOp::Try),
        4 => Just(SlotsOp::Wait),
        4 => (0..=3_usize).prop_map(SlotsOp::Add),
        3 => (0..=3_usize).prop_map(SlotsOp::Forget),
        3 => (0..=3_usize).prop_map(SlotsOp::Reduce),
        1 => Just(SlotsOp::Close),
    ]
}

fn timeout() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 3 => (0..=30_u64).prop_map(Some), 1 => Just(Some(u64::MAX))]
}

fn op() -> impl Strategy<Value = Op> {
    let woken = prop_oneof![Just(Woken::BySame), Just(Woken::ByAnother)];
    prop_oneof![
        10 => (0..2_usize, any::<bool>()).prop_map(|(limiter, owned)| Op::Try { limiter, owned }),
        30 => (0..2_usize, timeout(), any::<bool>(), prop::bool::weighted(0.8))
            .prop_map(|(limiter, timeout, owned, polled)| Op::Call { limiter, timeout, owned, polled }),
        16 => (0..9_usize, woken).prop_map(|(which, woken)| Op::Poll(which, woken)),
        12 => any::<bool>().prop_map(|backwards| Op::Run { backwards }),
        2 => (0..9_usize).prop_map(Op::PollAgainAfterTheEnd),
        12 => (0..9_usize).prop_map(Op::Drop),
        16 => (0..9_usize).prop_map(Op::End),
        26 => moves().prop_map(Op::Time),
        6 => (0..2_usize, 0..3_usize, limits(), windows())
            .prop_map(|(limiter, n, limit, window)| Op::SetRate { limiter, n, limit, window }),
        8 => slots_ops().prop_map(Op::Slots),
    ]
}

fn programs(
    least_rules: usize,
    in_flight: impl Strategy<Value = InFlight>,
) -> impl Strategy<Value = Program> {
    let starts = prop_oneof![Just(0), Just(1_000), 0..=1_u64 << 60];
    let longest = prop_oneof![4 => Just(u64::MAX), 1 => 1..=10_u64];
    let shapes = [shapes(least_rules), shapes(least_rules)];
    let ops = prop::collection::vec(op(), 1..90);
    (starts, longest, shapes, in_flight, ops).prop_map(
        |(start, longest, shapes, in_flight, ops)| Program {
            start,
            longest,
            shapes,
            in_flight,
            ops,
        },
    )
}

/// One large rule, so that there are several rings.
fn split_programs() -> impl Strategy<Value = Program> {
    let shape = || {
        let rule = (128..=200_u32, 1..=12_u64);
        rule.prop_map(|rule| Shape { rules: vec![rule], margin: 0 })
    };
    let burst =
        (0..2_usize, 1..=210_usize).prop_map(|(limiter, calls)| Op::Burst { limiter, calls });
    let keeps = |op: &Op| !matches!(op, Op::SetRate { .. } | Op::Time(Move::Back(_)));
    let op = prop_oneof![1 => burst, 6 => op().prop_filter("exact on one ring only", keeps)];
    let ops = prop::collection::vec(op, 1..90);
    ([shape(), shape()], any_in_flight(), ops).prop_map(|(shapes, in_flight, ops)| Program {
        start: 0,
        longest: u64::MAX,
        shapes,
        in_flight,
        ops,
    })
}

fn any_in_flight() -> impl Strategy<Value = InFlight> {
    prop_oneof![
        2 => Just(InFlight::Unlimited),
        1 => Just(InFlight::None),
        4 => (1..=3_usize).prop_map(InFlight::Own),
        10 => (0..=3_usize).prop_map(InFlight::Shared),
    ]
}

// ---- a clock in the test's hand -----------------------------------------------------------------

type Timers = BTreeMap<u64, (u64, Waker)>;

/// It stands still, moves on or steps back. Its timers sleep until
/// their time, but for at most `longest`.
#[derive(Debug, Clone)]
struct HandClock {
    now: Arc<AtomicU64>,
    longest: u64,
    /// By number: when a timer rings and which waker it wakes, or `None` if it was dropped.
    timers: Sender<(u64, Option<(u64, Waker)>)>,
    number: Arc<AtomicU64>,
}

struct Timer {
    clock: HandClock,
    number: u64,
    rings_at: u64,
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        let longest = self.now().as_nanos().saturating_add(self.longest);
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        let rings_at = deadline.as_nanos().min(longest);
        Sleep::new(Timer { clock: self.clone(), number, rings_at })
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now().as_nanos() >= self.rings_at {
            return Poll::Ready(());
        }
        let ring = (self.rings_at, cx.waker().clone());
        self.clock.timers.send((self.number, Some(ring))).unwrap();
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // At the end of the test the receiver is gone.
        let _ = self.clock.timers.send((self.number, None));
    }
}

/// Moves the clock.
struct Hand {
    clock: HandClock,
    news: Receiver<(u64, Option<(u64, Waker)>)>,
    timers: Timers,
}

impl Hand {
    fn new(start: u64, longest: u64) -> Self {
        let (timers, news) = channel();
        let (now, number) = (Arc::new(AtomicU64::new(start)), Arc::default());
        Self { clock: HandClock { now, longest, timers, number }, news, timers: Timers::new() }
    }

    fn set(&mut self, now: u64) {
        self.clock.now.store(now, Ordering::SeqCst);
        for (number, ring) in self.news.try_iter() {
            match ring {
                Some(ring) => self.timers.insert(number, ring),
                None => self.timers.remove(&number),
            };
        }
        let rings: Vec<u64> = self
            .timers
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(number, _)| *number)
            .collect();
        rings.iter().filter_map(|number| self.timers.remove(number)).for_each(|(_, w)| w.wake());
    }
}

// ---- what is tested ------------------------------------------------------------------------------

fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// A limiter, or a window, which makes the same promises.
enum Front {
    Limiter(Limiter),
    Window(Box<SlidingWindow>),
}

impl Front {
    fn limiter(
        shape: &Shape,
        in_flight: InFlight,
        shared: &Arc<Semaphore>,
        clock: &HandClock,
    ) -> Self {
        let builder = Limiter::builder().margin(ns(shape.margin)).clock(clock.clone());
        let builder = match in_flight {
            InFlight::Unlimited => builder,
            InFlight::None => builder.max_concurrent(0),
            InFlight::Own(slots) => builder.max_concurrent(slots),
            InFlight::Shared(_) => builder.semaphore(Arc::clone(shared)),
        };
        let add = |builder: ringgate::LimiterBuilder, rule: &(u32, u64)| {
            builder.rate(Rate::new(rule.0, ns(rule.1)))
        };
        Self::Limiter(shape.rules.iter().fold(builder, add).build())
    }

    fn window(shape: &Shape, clock: &HandClock) -> Self {
        let builder = SlidingWindow::builder().clock(clock.clone()).margin(ns(shape.margin));
        let add = |builder: ringgate::SlidingWindowBuilder, rule: &(u32, u64)| {
            builder.rate(Rate::new(rule.0, ns(rule.1)))
        };
        Self::Window(Box::new(shape.rules.iter().fold(builder, add).build()))
    }

    fn try_acquire(&self, owned: bool) -> Result<Permit<'_>, Refused> {
        match self {
            Self::Limiter(limiter) if owned => limiter.try_acquire_owned().map(Permit::Owned),
            Self::Limiter(limiter) => limiter.try_acquire().map(Permit::Borrowed),
            Self::Window(window) => window.try_acquire().map(|()| Permit::None),
        }
    }

    fn call(&self, timeout: Option<u64>, owned: bool) -> Calling<'_> {
        match (self, timeout.map(ns), owned) {
            (Self::Limiter(limiter), None, false) => Calling::Call(Box::pin(limiter.acquire())),
            (Self::Limiter(limiter), Some(timeout), false) => {
                Calling::Call(Box::pin(limiter.acquire_timeout(timeout)))
            }
            (Self::Limiter(limiter), None, true) => {
                Calling::Owned(Box::pin(limiter.acquire_owned()))
            }
            (Self::Limiter(limiter), Some(timeout), true) => {
                Calling::Owned(Box::pin(limiter.acquire_timeout_owned(timeout)))
            }
            (Self::Window(window), None, _) => Calling::Window(Box::pin(window.acquire())),
            (Self::Window(window), Some(timeout), _) => {
                Calling::Window(Box::pin(window.acquire_timeout(timeout)))
            }
        }
    }

    fn set_rate(&self, n: usize, limit: u32, window: u64) -> bool {
        match self {
            Self::Limiter(limiter) => limiter.set_rate_at(n, Rate::new(limit, ns(window))).is_ok(),
            Self::Window(front) => front.set_rate_at(n, Rate::new(limit, ns(window))).is_ok(),
        }
    }

    fn remaining(&self) -> u32 {
        match self {
            Self::Limiter(limiter) => limiter.remaining(),
            Self::Window(window) => window.remaining(),
        }
    }

    fn available(&self) -> usize {
        match self {
            Self::Limiter(limiter) => limiter.available_permits(),
            Self::Window(_) => usize::MAX,
        }
    }

    fn waiters(&self) -> usize {
        match self {
            Self::Limiter(limiter) => limiter.waiters(),
            Self::Window(window) => window.waiters(),
        }
    }
}

enum Permit<'a> {
    Borrowed(#[expect(dead_code, reason = "held")] LimiterPermit<'a>),
    Owned(#[expect(dead_code, reason = "held")] OwnedLimiterPermit),
    OfSlots(#[expect(dead_code, reason = "held")] SemaphorePermit<'a>),
    None,
}

enum Calling<'a> {
    Call(Pin<Box<LimiterAcquire<'a>>>),
    Owned(Pin<Box<dyn Future<Output = Result<OwnedLimiterPermit, Refused>> + Send>>),
    Window(Pin<Box<WindowAcquire<'a>>>),
    Slot(Pin<Box<ringgate::Acquire<'a>>>),
}

impl<'a> Calling<'a> {
    fn poll(&mut self, waker: &Waker) -> Poll<Result<Permit<'a>, Refusal>> {
        match self {
            Self::Call(call) => poll_with(call.as_mut(), waker)
                .map(|got| got.map(Permit::Borrowed).map_err(refusal)),
            Self::Owned(call) => {
                poll_with(call.as_mut(), waker).map(|got| got.map(Permit::Owned).map_err(refusal))
            }
            Self::Window(call) => poll_with(call.as_mut(), waker)
                .map(|got| got.map(|()| Permit::None).map_err(refusal)),
            Self::Slot(call) => poll_with(call.as_mut(), waker).map(|got| {
                let closed = |error: AcquireError| {
                    assert!(error.is_closed());
                    Refusal::Closed
                };
                got.map(Permit::OfSlots).map_err(closed)
            }),
        }
    }

    /// Place and estimated wait, if the future has them.
    fn stands(&self) -> Option<(Option<usize>, Option<Duration>)> {
        match self {
            Self::Call(call) => Some((call.position(), call.estimated_wait())),
            Self::Window(call) => Some((call.position(), call.estimated_wait())),
            Self::Owned(_) | Self::Slot(_) => None,
        }
    }

    /// The end of an `async` block must not be polled.
    fn may_be_polled_after_its_end(&self) -> bool {
        !matches!(self, Self::Owned(_))
    }
}

// ---- the two side by side ------------------------------------------------------------------------

struct Waiting<'a> {
    future: Calling<'a>,
    id: Id,
    wakes: Arc<Wakes>,
    /// Wakes before its last poll.
    seen: usize,
    /// Former wakers, and their counts when they were replaced.
    former: Vec<(Arc<Wakes>, usize)>,
}

impl Waiting<'_> {
    fn was_woken(&self) -> bool {
        self.wakes.count() > self.seen
    }
}

struct Held<'a> {
    permit: Permit<'a>,
    /// `None` for a permit of the shared slots.
    limiter: Option<Id>,
}

struct Scene<'a> {
    fronts: &'a [Front],
    shared: Option<&'a Semaphore>,
    hand: Hand,
    model: Model,
    waiting: Vec<Waiting<'a>>,
    over: Vec<Calling<'a>>,
    held: Vec<Held<'a>>,
}

type Checked = Result<(), TestCaseError>;

/// An index below `count`; `None` if that is zero.
fn one_of(pick: Pick, count: usize) -> Option<usize> {
    pick.checked_rem(count)
}

impl<'a> Scene<'a> {
    fn step(&mut self, op: &Op) -> Checked {
        match *op {
            Op::Try { limiter, owned } => self.try_acquire(limiter % self.fronts.len(), owned)?,
            Op::Burst { limiter, calls } => {
                for _ in 0..calls {
                    let held = self.held.len();
                    self.try_acquire(limiter % self.fronts.len(), false)?;
                    if self.held.len() > held {
                        self.end(held);
                    }
                }
            }
            Op::Call { limiter, timeout, owned, polled } => {
                let limiter = limiter % self.fronts.len();
                let future = self.fronts[limiter].call(timeout, owned);
                let id = self.model.call(Some(limiter), timeout);
                self.add(future, id, polled)?;
            }
            Op::Poll(pick, woken) => {
                if let Some(index) = one_of(pick, self.waiting.len()) {
                    self.poll(index, woken)?;
                }
            }
            Op::Run { backwards } => self.run(backwards)?,
            Op::PollAgainAfterTheEnd(pick) => {
                if let Some(index) = one_of(pick, self.over.len()) {
                    prop_assert!(self.over[index].poll(Waker::noop()).is_pending());
                }
            }
            Op::Drop(pick) => {
                if let Some(index) = one_of(pick, self.waiting.len()) {
                    let Waiting { future, id, .. } = self.waiting.remove(index);
                    drop(future);
                    self.model.drop_call(id);
                }
            }
            Op::End(pick) => {
                if let Some(index) = one_of(pick, self.held.len()) {
                    self.end(index);
                }
            }
            Op::Time(ref way) => self.pass(way),
            Op::SetRate { limiter, n, limit, window } => {
                let limiter = limiter % self.fronts.len();
                let is_set = self.fronts[limiter].set_rate(n, limit, window);
                prop_assert_eq!(is_set, self.model.set_rate(limiter, n, limit, window));
            }
            Op::Slots(ref op) => {
                if let Some(shared) = self.shared {
                    self.on_slots(shared, op)?;
                }
            }
        }
        self.check()
    }

    fn try_acquire(&mut self, limiter: Id, owned: bool) -> Checked {
        let got = self.fronts[limiter].try_acquire(owned).map_err(refusal);
        let answer = got.as_ref().map(|_| ()).map_err(|no| *no);
        prop_assert_eq!(answer, self.model.try_acquire(limiter));
        self.held.extend(got.ok().map(|permit| Held { permit, limiter: Some(limiter) }));
        Ok(())
    }

    fn add(&mut self, future: Calling<'a>, id: Id, polled: bool) -> Checked {
        let (wakes, former) = (Wakes::new(), Vec::new());
        self.waiting.push(Waiting { future, id, wakes, seen: 0, former });
        if polled { self.poll(self.waiting.len() - 1, Woken::BySame) } else { Ok(()) }
    }

    fn poll(&mut self, index: usize, woken: Woken) -> Checked {
        let mut waiting = self.waiting.remove(index);
        let before = waiting.wakes.count();
        waiting.seen = before;
        if woken == Woken::ByAnother {
            let former = std::mem::replace(&mut waiting.wakes, Wakes::new());
            waiting.former.push((former, before));
            waiting.seen = 0;
        }
        let got = waiting.future.poll(&Waker::from(Arc::clone(&waiting.wakes)));
        let answer: Poll<Answer> = match &got {
            Poll::Ready(got) => Poll::Ready(got.as_ref().map(|_| ()).map_err(|no| *no)),
            Poll::Pending => Poll::Pending,
        };
        prop_assert_eq!(answer, self.model.poll(waiting.id), "call {}", waiting.id);
        match got {
            Poll::Pending => self.waiting.insert(index, waiting),
            Poll::Ready(got) => {
                let limiter = self.model.calls[waiting.id].limiter();
                self.held.extend(got.ok().map(|permit| Held { permit, limiter }));
                self.over.extend(Some(waiting.future).filter(Calling::may_be_polled_after_its_end));
            }
        }
        Ok(())
    }

    fn run(&mut self, backwards: bool) -> Checked {
        // Each call is polled at most a few times: for its turn, its slot, its rate again.
        for _ in 0..1000 {
            let woken = self.waiting.iter().position(Waiting::was_woken);
            let last = self.waiting.iter().rposition(Waiting::was_woken);
            let Some(index) = (if backwards { last } else { woken }) else { return Ok(()) };
            self.poll(index, Woken::BySame)?;
            self.check()?;
        }
        Err(TestCaseError::fail("they wake one another endlessly"))
    }

    fn end(&mut self, index: usize) {
        let Held { permit, limiter } = self.held.remove(index);
        drop(permit);
        match limiter {
            Some(limiter) => self.model.end(limiter),
            None => self.model.give(0, 1),
        }
    }

    fn pass(&mut self, way: &Move) {
        let now = self.model.now;
        let then = match *way {
            Move::On(by) => now + by,
            Move::Back(by) => now.saturating_sub(by),
            Move::ToTurn { limiter, ahead, early } => {
                let rates = &self.model.limiters[limiter % self.fronts.len()].rates;
                let turn = rates.turn(ahead, now).unwrap_or(now);
                turn.saturating_sub(u64::from(early)).max(now)
            }
            Move::ToDeadline(pick) => {
                let deadlines = self.waiting.iter().filter_map(|w| self.model.deadline(w.id));
                let near: Vec<u64> = deadlines.filter(|end| end - now.min(*end) < 1000).collect();
                one_of(pick, near.len()).map_or(now, |index| near[index].max(now))
            }
            Move::Years(years) => now + years * 365 * 24 * 3_600_000_000_000,
        };
        self.hand.set(then);
        self.model.set_time(then);
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
                let id = self.model.call(None, None);
                self.add(Calling::Slot(Box::pin(shared.acquire())), id, true)?;
            }
            SlotsOp::Add(count) => {
                shared.add_permits(count);
                self.model.give(0, count);
            }
            SlotsOp::Forget(count) => {
                prop_assert_eq!(shared.forget_permits(count), self.model.forget(0, count));
            }
            SlotsOp::Reduce(count) => {
                prop_assert_eq!(shared.reduce_permits(count), self.model.reduce(0, count));
            }
            SlotsOp::Close => {
                shared.close();
                self.model.close(0);
            }
        }
        Ok(())
    }

    // ---- what can be seen ----------------------------------------------------------------------

    fn check(&self) -> Checked {
        for (limiter, front) in self.fronts.iter().enumerate() {
            prop_assert_eq!(front.remaining(), self.model.remaining(limiter), "remaining");
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
        self.waiting.iter().try_for_each(|waiting| self.check_one(waiting))
    }

    fn check_one(&self, waiting: &Waiting<'_>) -> Checked {
        let (id, call) = (waiting.id, &self.model.calls[waiting.id]);
        if let Some((position, wait)) = waiting.future.stands() {
            prop_assert_eq!(position, self.model.position(id), "place of call {}", id);
            prop_assert_eq!(wait, self.model.estimated_wait(id).map(ns), "turn of call {}", id);
        }
        if let Calling::Slot(slot) = &waiting.future {
            prop_assert_eq!(slot.position(), self.model.place_for_slot(id), "place of call {}", id);
        }
        prop_assert!(waiting.was_woken() || !call.must_wake, "call {id} was not woken");
        prop_assert!(!waiting.was_woken() || call.may_wake, "call {id} was woken needlessly");
        let is_left_alone = waiting.former.iter().all(|(wakes, count)| wakes.count() == *count);
        prop_assert!(is_left_alone, "a waker of call {id} was woken after it had been replaced");
        Ok(())
    }

    /// Drops all waiting calls and ends all others. Every slot must be back, and once all windows have
    /// passed, the whole limit.
    fn finish(mut self, backwards: bool) -> Checked {
        while !self.waiting.is_empty() {
            self.step(&Op::Drop(if backwards { self.waiting.len() - 1 } else { 0 }))?;
        }
        while !self.held.is_empty() {
            self.step(&Op::End(if backwards { self.held.len() - 1 } else { 0 }))?;
        }
        self.step(&Op::Time(Move::Years(1)))?;
        for front in self.fronts {
            prop_assert_eq!(front.waiters(), 0);
        }
        Ok(())
    }
}

fn model_of(program: &Program, fronts: usize) -> Model {
    let has_exact_timers = program.longest == u64::MAX;
    let mut model = Model { now: program.start, has_exact_timers, ..Model::default() };
    for shape in &program.shapes[..fronts] {
        let slots = match program.in_flight {
            InFlight::Unlimited => Concurrency::Unlimited,
            InFlight::None => Concurrency::Zero,
            InFlight::Shared(_) => Concurrency::Limited(0),
            InFlight::Own(_) => Concurrency::Limited(model.slots.len()),
        };
        if let (InFlight::Own(free), _) | (InFlight::Shared(free), 0) =
            (program.in_flight, model.slots.len())
        {
            model.slots.push(Permits { free, ..Permits::default() });
        }
        model.limiter(Rates::new(&shape.rules, shape.margin), slots);
    }
    model
}

fn run(program: &Program, fronts: &[Front], shared: Option<&Semaphore>, hand: Hand) -> Checked {
    let model = model_of(program, fronts.len());
    let (waiting, over, held) = (Vec::new(), Vec::new(), Vec::new());
    let mut scene = Scene { fronts, shared, hand, model, waiting, over, held };
    scene.check()?;
    for op in &program.ops {
        scene.step(op)?;
    }
    scene.finish(program.start % 2 == 1)
}

fn run_limiters(program: &Program) -> Checked {
    let hand = Hand::new(program.start, program.longest);
    let slots = if let InFlight::Shared(slots) = program.in_flight { slots } else { 0 };
    let shared = Arc::new(Semaphore::new(slots));
    let make = |shape| Front::limiter(shape, program.in_flight, &shared, &hand.clock);
    let fronts = program.shapes.each_ref().map(make);
    let is_shared = matches!(program.in_flight, InFlight::Shared(_));
    run(program, &fronts, is_shared.then_some(&*shared), hand)
}

proptest! {
    #![proptest_config(cases(1000))]

    /// Broken by: `try_admit_with_slot` stamping before it has the slot; `Queued::stamp` keeping the
    /// slot when the stamp is refused; `leave` forgetting the turn, or staying counted; `is_over_by` with
    /// `<`; `Core::set_rate` or `Semaphore::close` waking no call; a call in `AwaitingSlot` that ignores
    /// changes, or goes back to the rate at each; `try_admit` or `Admission::start` passing the line;
    /// `check_satisfiable` accepting every call; `escalate_if_permanent` ignoring a closed semaphore; no
    /// alarm; `yield_now` without a wake; `owned` futures without their timeout; `release` of two.
    #[test]
    fn a_limiter_does_what_the_model_does(program in programs(0, any_in_flight())) {
        run_limiters(&program)?;
    }

    /// Broken by: `Ring::check` asking only the first rule; `<` for `<=` in `busy_until` or `check_fast`; no
    /// clamp in `check_fast`; `Margin::add_to` not adding the margin; stamps that are not copied as the log
    /// grows; a deadline or a sleep 1 ns longer; a sleep that is not renewed.
    #[test]
    fn a_window_does_what_the_model_does(program in programs(1, Just(InFlight::Unlimited))) {
        let hand = Hand::new(program.start, program.longest);
        let front = Front::window(&program.shapes[0], &hand.clock);
        run(&program, &[front], None, hand)?;
    }
}

proptest! {
    #![proptest_config(cases(150))]

    /// Broken by: one ring refusing for all; shares without the rest; what remains, or a turn, of the
    /// first ring alone.
    #[test]
    fn a_limiter_whose_log_is_split_does_what_the_model_does(program in split_programs()) {
        run_limiters(&program)?;
    }
}
