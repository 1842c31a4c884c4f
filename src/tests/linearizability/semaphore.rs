//! The semaphore's histories.
//!
//! Each of these is one step: to take permits, to join the line, to be granted, to leave the line, to
//! close. An operation that gives permits back (a release, a drop, a close) first holds them. It then pays
//! front after front, each payment a step, before it ends. If its permits become free, it looks at the debt once
//! more, takes back what is owed, and pays, a step each. `reduce_permits` takes what is free, records the
//! rest as a debt, and then pays as much with what was released meanwhile, a step each; what others have paid for
//! meanwhile it releases again.

use super::{
    AtomicUsize, Call, Flag, Order, Ordering, Specification, Step, assert_explained, explain,
};
use crate::sync::thread;
use crate::tests::schedules::{below, check};
use crate::{AcquireOwned, OwnedSemaphorePermit, Semaphore, TryAcquireError};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

// ---- the specification -----------------------------------------------------------------------

/// A semaphore for a single thread.
#[derive(Clone, PartialEq, Default)]
struct Plain {
    free: u32,
    is_closed: bool,
    /// Oldest first. While it is not empty, no permit is free.
    line: Vec<Waiter>,
    /// Waiters that have been granted permits and not been polled since: name and number.
    granted: Vec<(u32, u32)>,
    debt: u32,
    /// Whether a debt was ever recorded. From then on debts are paid first.
    minds_debts: bool,
}

#[derive(Clone, PartialEq)]
struct Waiter {
    name: u32,
    need: u32,
    /// What it has collected.
    has: u32,
}

/// A call. Numbers identify waiters.
#[derive(Clone, Copy, Debug)]
enum Op {
    Try(u32),
    TryAll,
    Add(u32),
    /// The first poll of a waiter for this many permits.
    Join(u32, u32),
    /// A later poll.
    Poll(u32),
    Drop(u32),
    Forget(u32),
    Reduce(u32),
    Available,
    Owed,
    Close,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Answer {
    Done,
    Took(u32),
    NoPermits,
    Pending,
    Closed,
}

#[derive(Clone, PartialEq, Default)]
enum Progress {
    #[default]
    Begun,
    Serving(Serving),
    TakingBack(Serving, TakingBack),
    Settling(Settling),
}

/// What an operation does that has made so many permits free, as `hand` says.
#[derive(Clone, Copy, PartialEq)]
enum TakingBack {
    Look,
    /// So many are owed.
    Take(u32),
    /// It has so many in hand.
    Pay(u32),
}

/// An operation that assigns permits.
#[derive(Clone, PartialEq)]
struct Serving {
    answer: Answer,
    /// What is left to assign.
    hand: u32,
    /// It had not seen a close, or debts, when it began to assign.
    before_close: bool,
    before_debts: bool,
    /// It has paid the debt since it last assigned.
    has_settled: bool,
    /// What it does afterwards.
    then: Option<Settling>,
}

/// A reduction that pays a debt with free permits.
#[derive(Clone, PartialEq)]
struct Settling {
    taken: u32,
    owed: u32,
    paid: u32,
    next: Next,
}

#[derive(Clone, PartialEq)]
enum Next {
    Owe,
    /// It makes known that there may be a debt.
    Publish,
    Look,
    /// So many are owed.
    Take(u32),
    /// It has so many in hand.
    Pay(u32),
}

impl Specification for Plain {
    type Op = Op;
    type Answer = Answer;
    type Progress = Progress;

    fn steps(&self, op: &Op, at: &Progress) -> Vec<(Self, Step<Self>)> {
        let mut after = self.clone();
        match (at, op) {
            (Progress::Begun, Op::Reduce(permits)) => {
                let step = after.begin_reduction(*permits);
                vec![(after, step)]
            }
            (Progress::Begun, _) => {
                let (answer, hand) = after.first_step(*op);
                after.go_on(
                    *op,
                    Serving {
                        answer,
                        hand,
                        before_close: !self.is_closed,
                        before_debts: !self.minds_debts,
                        has_settled: false,
                        then: None,
                    },
                )
            }
            (Progress::Serving(serving), _) => self.serve(*op, serving),
            (Progress::TakingBack(serving, at), _) => after.take_back(*op, serving.clone(), *at),
            (Progress::Settling(settling), _) => after.settle(*op, settling.clone()),
        }
    }
}

impl Plain {
    fn new(free: u32) -> Self {
        Self { free, ..Self::default() }
    }

    /// The first step of the operation: its answer, and what it has to assign.
    fn first_step(&mut self, op: Op) -> (Answer, u32) {
        let at_once = |answer| (answer, 0);
        match op {
            Op::Try(_) | Op::TryAll | Op::Join(..) if self.is_closed => at_once(Answer::Closed),
            Op::Try(permits) => at_once(self.try_take(permits)),
            Op::TryAll => at_once(self.try_take(self.free.max(1))),
            Op::Join(name, permits) => at_once(self.join(name, permits)),
            Op::Poll(name) => self.poll(name),
            Op::Drop(name) => (Answer::Done, self.remove(name)),
            Op::Add(permits) => (Answer::Done, permits),
            Op::Forget(permits) => {
                let taken = permits.min(self.free);
                self.free -= taken;
                at_once(Answer::Took(taken))
            }
            Op::Reduce(_) => unreachable!("hands nothing out"),
            Op::Available => at_once(Answer::Took(self.free)),
            Op::Owed => at_once(Answer::Took(self.debt)),
            Op::Close => {
                self.is_closed = true;
                at_once(Answer::Done)
            }
        }
    }

    fn try_take(&mut self, permits: u32) -> Answer {
        if self.free < permits {
            return Answer::NoPermits;
        }
        self.free -= permits;
        Answer::Took(permits)
    }

    fn join(&mut self, name: u32, permits: u32) -> Answer {
        if self.free >= permits {
            return self.try_take(permits);
        }
        let has = std::mem::take(&mut self.free);
        self.line.push(Waiter { name, need: permits - has, has });
        Answer::Pending
    }

    fn poll(&mut self, name: u32) -> (Answer, u32) {
        let granted = self.granted.iter().any(|(other, _)| *other == name);
        match (self.is_closed, granted) {
            (true, _) => (Answer::Closed, self.remove(name)),
            (false, true) => (Answer::Took(self.remove(name)), 0),
            (false, false) => (Answer::Pending, 0),
        }
    }

    /// Removes a waiter; returns what it had.
    fn remove(&mut self, name: u32) -> u32 {
        if let Some(place) = self.granted.iter().position(|(other, _)| *other == name) {
            return self.granted.remove(place).1;
        }
        let place = self.line.iter().position(|waiter| waiter.name == name);
        place.map_or(0, |place| self.line.remove(place).has)
    }

    /// After a step: the operation ends, or has more to do.
    fn go_on(self, op: Op, serving: Serving) -> Vec<(Self, Step<Self>)> {
        let mut next = Vec::new();
        let somebody_is_to_be_told = self.is_closed && !self.line.is_empty() && op.serves();
        if serving.hand == 0 && !(op.is_close() && somebody_is_to_be_told) {
            next.push((self.clone(), serving.end()));
        }
        if serving.hand > 0 || somebody_is_to_be_told {
            next.push((self, Step::Further(Progress::Serving(serving))));
        }
        next
    }

    /// A step of an operation that assigns, to the front alone.
    fn serve(&self, op: Op, serving: &Serving) -> Vec<(Self, Step<Self>)> {
        let mut next = Vec::new();
        let mut step = |make: &dyn Fn(&mut Self, &mut Serving)| {
            let (mut after, mut then) = (self.clone(), serving.clone());
            then.has_settled = false;
            make(&mut after, &mut then);
            next.extend(after.go_on(op, then));
        };
        let pays_debts = self.minds_debts && !serving.has_settled;
        // Once more if a debt came since: a thread that lost the race for the front reads anew.
        let may_settle = pays_debts || self.minds_debts && self.debt > 0;
        if may_settle && serving.hand > 0 {
            step(&|after, then| {
                let paid = then.hand.min(after.debt);
                after.debt -= paid;
                then.hand -= paid;
                then.has_settled = true;
            });
        }
        if !self.line.is_empty() && self.is_closed {
            step(&|after, then| then.hand += after.line.remove(0).has);
        }
        let may_pay = !pays_debts || serving.before_debts;
        let may_grant = !self.is_closed || serving.before_close;
        if !self.line.is_empty() && serving.hand > 0 && may_pay && may_grant {
            step(&|after, then| then.hand -= after.pay_front(then.hand));
        }
        let has_nothing_left = serving.hand == 0;
        if self.line.is_empty() && (!pays_debts || has_nothing_left) {
            let mut after = self.clone();
            after.free += serving.hand;
            let step = if self.minds_debts && !has_nothing_left {
                Step::Further(Progress::TakingBack(serving.clone(), TakingBack::Look))
            } else {
                serving.end()
            };
            next.push((after, step));
        }
        next
    }

    fn take_back(mut self, op: Op, serving: Serving, at: TakingBack) -> Vec<(Self, Step<Self>)> {
        let (goes_on, next) = match at {
            TakingBack::Look => {
                let owed = self.debt.min(serving.hand);
                (owed > 0, TakingBack::Take(owed))
            }
            TakingBack::Take(owed) => {
                let taken = owed.min(self.free);
                self.free -= taken;
                (taken > 0, TakingBack::Pay(taken))
            }
            TakingBack::Pay(taken) => {
                let paid = taken.min(self.debt);
                self.debt -= paid;
                let then = Serving {
                    hand: taken - paid,
                    has_settled: false,
                    before_debts: false,
                    ..serving
                };
                return self.go_on(op, then);
            }
        };
        let step = if goes_on {
            Step::Further(Progress::TakingBack(serving, next))
        } else {
            serving.end()
        };
        vec![(self, step)]
    }

    fn pay_front(&mut self, hand: u32) -> u32 {
        let front = &mut self.line[0];
        let paid = hand.min(front.need);
        front.need -= paid;
        front.has += paid;
        if front.need == 0 {
            let front = self.line.remove(0);
            self.granted.push((front.name, front.has));
        }
        paid
    }

    fn begin_reduction(&mut self, permits: u32) -> Step<Self> {
        let taken = permits.min(self.free);
        self.free -= taken;
        let owed = permits - taken;
        if owed == 0 {
            return Step::Answer(Answer::Took(taken));
        }
        let settling = Settling { taken, owed, paid: 0, next: Next::Owe };
        Step::Further(Progress::Settling(settling))
    }

    fn settle(mut self, op: Op, mut settling: Settling) -> Vec<(Self, Step<Self>)> {
        let mut ends = false;
        settling.next = match settling.next {
            Next::Owe => {
                self.debt += settling.owed;
                Next::Publish
            }
            Next::Publish => {
                self.minds_debts = true;
                Next::Look
            }
            Next::Look => {
                let owed = self.debt.min(settling.owed - settling.paid);
                ends = owed == 0;
                Next::Take(owed)
            }
            Next::Take(owed) => {
                let taken = owed.min(self.free);
                self.free -= taken;
                ends = taken == 0;
                Next::Pay(taken)
            }
            Next::Pay(taken) => {
                let paid = taken.min(self.debt);
                self.debt -= paid;
                settling.paid += paid;
                settling.next = Next::Publish;
                if taken > paid {
                    let serving = Serving {
                        answer: Answer::Done,
                        hand: taken - paid,
                        before_close: !self.is_closed,
                        before_debts: false,
                        has_settled: false,
                        then: Some(settling),
                    };
                    return self.go_on(op, serving);
                }
                Next::Publish
            }
        };
        let step = if ends {
            Step::Answer(Answer::Took(settling.taken + settling.paid))
        } else {
            Step::Further(Progress::Settling(settling))
        };
        vec![(self, step)]
    }
}

impl Serving {
    /// It has nothing left.
    fn end(&self) -> Step<Plain> {
        match &self.then {
            Some(settling) => Step::Further(Progress::Settling(settling.clone())),
            None => Step::Answer(self.answer),
        }
    }
}

impl Op {
    /// Whether it assigns permits or helps to.
    fn serves(self) -> bool {
        !matches!(
            self,
            Self::Try(_) | Self::TryAll | Self::Forget(_) | Self::Available | Self::Owed
        )
    }

    fn is_close(self) -> bool {
        matches!(self, Self::Close)
    }
}

/// The same, but an operation assigns all it has in one step. That is more than the semaphore promises.
/// (Without closes and debts.)
#[derive(Clone, PartialEq)]
struct InOneStep(Plain);

impl Specification for InOneStep {
    type Op = Op;
    type Answer = Answer;
    type Progress = ();

    fn steps(&self, op: &Op, (): &()) -> Vec<(Self, Step<Self>)> {
        let (mut thing, mut at) = (self.0.clone(), Progress::Begun);
        loop {
            let (after, step) = thing.steps(op, &at).pop().unwrap();
            thing = after;
            match step {
                Step::Answer(answer) => return vec![(Self(thing), Step::Answer(answer))],
                Step::Further(further) => at = further,
            }
        }
    }
}

// ---- recording -------------------------------------------------------------------------------

/// Makes calls and records them.
struct Caller {
    semaphore: Arc<Semaphore>,
    order: Arc<Order>,
    calls: Vec<Call<Op, Answer>>,
    line: Vec<Waiting>,
    /// For unique names.
    next_name: u32,
}

struct Waiting {
    name: u32,
    future: Pin<Box<AcquireOwned>>,
    flag: Arc<Flag>,
}

impl Waiting {
    fn poll(&mut self) -> Answer {
        let waker = Waker::from(Arc::clone(&self.flag));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => Answer::Pending,
            Poll::Ready(Ok(permit)) => keep(permit),
            Poll::Ready(Err(_)) => Answer::Closed,
        }
    }
}

/// Permits are counted by the specification, not by guards.
fn keep(permit: OwnedSemaphorePermit) -> Answer {
    let permits = u32::try_from(permit.num_permits()).unwrap();
    permit.forget();
    Answer::Took(permits)
}

fn told(tried: Result<OwnedSemaphorePermit, TryAcquireError>) -> Answer {
    match tried {
        Ok(permit) => keep(permit),
        Err(TryAcquireError::NoPermits) => Answer::NoPermits,
        Err(TryAcquireError::Closed) => Answer::Closed,
    }
}

fn took(permits: usize) -> Answer {
    Answer::Took(u32::try_from(permits).unwrap())
}

impl Caller {
    fn new(semaphore: &Arc<Semaphore>, order: &Arc<Order>, number: u32) -> Self {
        let (semaphore, order) = (Arc::clone(semaphore), Arc::clone(order));
        Self { semaphore, order, calls: Vec::new(), line: Vec::new(), next_name: 100 * number }
    }

    /// A call that belongs to no waiter.
    fn call(&mut self, op: Op) {
        let semaphore = &self.semaphore;
        let make = |op: &Op| match *op {
            Op::Try(permits) => told(Arc::clone(semaphore).try_acquire_many_owned(permits)),
            Op::TryAll => told(Arc::clone(semaphore).try_acquire_all_owned()),
            Op::Add(permits) => {
                semaphore.add_permits(permits as usize);
                Answer::Done
            }
            Op::Forget(permits) => took(semaphore.forget_permits(permits as usize)),
            Op::Reduce(permits) => took(semaphore.reduce_permits(permits as usize)),
            Op::Available => took(semaphore.available_permits()),
            Op::Owed => took(semaphore.permits_owed()),
            Op::Close => {
                semaphore.close();
                Answer::Done
            }
            Op::Join(..) | Op::Poll(_) | Op::Drop(_) => unreachable!("a waiter's"),
        };
        self.calls.push(self.order.call(op, make));
    }

    fn join(&mut self, permits: u32) {
        let name = self.next_name;
        self.next_name += 1;
        let future = Box::pin(Arc::clone(&self.semaphore).acquire_many_owned(permits));
        let mut waiting = Waiting { name, future, flag: Arc::default() };
        let call = self.order.call(Op::Join(name, permits), |_| waiting.poll());
        if call.answer == Answer::Pending {
            self.line.push(waiting);
        }
        self.calls.push(call);
    }

    /// Polls a waiter, perhaps with another waker.
    fn poll(&mut self, place: usize) {
        let waiting = &mut self.line[place];
        if below(2) == 0 {
            waiting.flag = Arc::default();
        }
        let call = self.order.call(Op::Poll(waiting.name), |_| waiting.poll());
        if call.answer != Answer::Pending {
            self.line.remove(place);
        }
        self.calls.push(call);
    }

    fn drop(&mut self, place: usize) {
        let Waiting { name, future, .. } = self.line.remove(place);
        let drop_it = |_: &Op| {
            drop(future);
            Answer::Done
        };
        self.calls.push(self.order.call(Op::Drop(name), drop_it));
    }

    /// One of this caller's waiters.
    fn anyone(&self) -> Option<usize> {
        let waiting = u32::try_from(self.line.len()).unwrap();
        (waiting > 0).then(|| below(waiting) as usize)
    }

    /// Any call, sometimes one of these.
    fn any_call(&mut self, rare: &[Op]) {
        match (below(16), self.anyone()) {
            (0..=3, Some(place)) => self.poll(place),
            (4..=5, Some(place)) => self.drop(place),
            (0..=5 | 6..=8, _) => self.join(1 + below(3)),
            (9..=11, _) => self.call(Op::Add(1 + below(3))),
            (12, _) => self.call(Op::Try(1 + below(2))),
            (13, _) => self.call(Op::Available),
            (14, _) => self.call(if below(2) == 0 { Op::Forget(1 + below(2)) } else { Op::TryAll }),
            _ => self.call(rare[below(u32::try_from(rare.len()).unwrap()) as usize]),
        }
    }

    /// When all other threads have ended: every served waiter was woken.
    fn finish(&mut self) {
        self.call(Op::Available);
        while let Some(waiting) = self.line.last() {
            let flag = Arc::clone(&waiting.flag);
            let place = self.line.len() - 1;
            let waiting = &mut self.line[place];
            let call = self.order.call(Op::Poll(waiting.name), |_| waiting.poll());
            assert!(call.answer == Answer::Pending || flag.is_up(), "not woken: {call:?}");
            self.calls.push(call);
            self.drop(place);
        }
        self.call(Op::Available);
        self.call(Op::Owed);
    }
}

/// Runs callers, some of which have waiters from the start. Returns all calls.
fn record(
    free: u32,
    any_call: impl Fn(&mut Caller) + Copy + Send + Sync + 'static,
) -> Vec<Call<Op, Answer>> {
    const THREADS: u32 = 3;
    const CALLS: u32 = 4;
    let semaphore = Arc::new(Semaphore::new(free as usize));
    let order = Arc::new(Order::default());
    let caller = |number| Caller::new(&semaphore, &order, number);
    let mut callers: Vec<_> = (0..THREADS).map(caller).collect();
    for _ in 0..below(4) {
        callers[below(THREADS) as usize].join(1 + below(3));
    }
    let run = |mut caller: Caller| {
        thread::spawn(move || {
            (0..CALLS).for_each(|_| any_call(&mut caller));
            caller
        })
    };
    let threads: Vec<_> = callers.into_iter().map(run).collect();
    let mut callers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    callers.iter_mut().for_each(Caller::finish);
    callers.into_iter().flat_map(|caller| caller.calls).collect()
}

// ---- the tests -------------------------------------------------------------------------------

fn check_histories(rare: &'static [Op]) {
    check(50_000, || {
        let free = below(4);
        let calls = record(free, |caller| caller.any_call(rare));
        assert_explained(Plain::new(free), calls);
    });
}

/// Broken by: `State::permits` not zero with QUEUE set; a newcomer linked behind the front instead of the
/// last; the rest after a grant lost, or assigned twice; a part payment made twice; permits not counted
/// that a waiter takes when it joins; a cancelled waiter that keeps what it collected or was granted;
/// `forget` that does not compare, or returns another number; a grant that wakes no waiter, or wakes the
/// waker of the previous poll; a front that is not marked; a link behind a marked node.
#[test]
fn shuttle_histories_of_a_semaphore_can_be_told_one_step_at_a_time() {
    check_histories(&[Op::TryAll, Op::Forget(2)]);
}

/// Broken by: a waiter granted before the close that takes its permits after it, or keeps them; a closer
/// that keeps what a waiter collected, or wakes no waiter; a poll that does not check for the close.
#[test]
fn shuttle_histories_of_a_semaphore_that_is_closed_can_be_told_one_step_at_a_time() {
    check_histories(&[Op::Close]);
}

/// Broken by: `make_free` without `take_back_for_debt`; serving waiters before debts; permits in hand that others have paid
/// for and that are not released again; DEBT set before the debt is recorded; `is_plain` checking only QUEUE.
#[test]
fn shuttle_histories_of_a_semaphore_that_is_reduced_can_be_told_one_step_at_a_time() {
    check_histories(&[Op::Reduce(1), Op::Reduce(2), Op::Reduce(3), Op::Owed, Op::Close]);
}

/// No more can be promised. Between the grants of one release, others see only the first, and no sequence
/// of whole calls explains what they see. So this also shows that the check can fail. Broken by: polling
/// the second before the first.
#[test]
fn shuttle_a_release_to_two_waiters_can_be_seen_half_done() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    check(1_000, move || {
        let semaphore = Arc::new(Semaphore::new(0));
        let order = Arc::new(Order::default());
        let mut waits = Caller::new(&semaphore, &order, 1);
        let mut releases = Caller::new(&semaphore, &order, 2);
        waits.join(1);
        waits.join(1);
        let releaser = thread::spawn(move || {
            releases.call(Op::Add(2));
            releases.calls
        });
        waits.poll(0);
        waits.poll(waits.line.len() - 1);
        let mut calls = releaser.join().unwrap();
        calls.append(&mut waits.calls);
        calls.sort_by_key(|call| call.begun);
        assert!(explain(Plain::new(0), &calls).is_ok(), "{calls:#?}");
        let half_done = explain(InOneStep(Plain::new(0)), &calls).is_err();
        count.fetch_add(usize::from(half_done), Ordering::SeqCst);
    });
    assert!(seen.load(Ordering::SeqCst) > 0, "one step explains every history");
}
