//! The semaphore against a sequential model, and the model against tokio's semaphore: the same
//! operations on `ringgate::Semaphore` (borrowed, owned, bounded) and on `tokio::sync::Semaphore`
//! must all behave as the model says. All futures are polled by hand, without a runtime.

use crate::common::{Wakes, cases, poll_with};
use proptest::prelude::*;
use ringgate::{AcquireError, Semaphore, TryAcquireError};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

// ---- the model -----------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Never polled: no place in line.
    New,
    Queued,
    /// Granted, but its future has not been polled since.
    Granted,
    /// Told that the semaphore is closed, but not polled since.
    Closed,
    /// Told that there can never be as many, but not polled since.
    TooMany,
    Gone,
}

/// Why an acquire will never get its permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Never {
    Closed,
    TooMany,
}

/// One acquire: what it asked for and what it has collected.
#[derive(Debug)]
struct Claim {
    asked: usize,
    got: usize,
    stage: Stage,
}

/// Permits, and a line of claims: first in, first out.
#[derive(Debug)]
struct Model {
    free: usize,
    /// Permits there are, free or not, if that is bounded.
    made: usize,
    /// No more than these are ever there, or can be asked for.
    most: usize,
    /// Permits taken away that were in use: what is given back pays this first.
    debt: usize,
    closed: bool,
    claims: Vec<Claim>,
    line: VecDeque<usize>,
    /// Tokio gives back what a waiter had collected when its future goes, not at the close.
    late_return: bool,
}

impl Model {
    fn new(free: usize, most: usize, late_return: bool) -> Self {
        let (claims, line) = (Vec::new(), VecDeque::new());
        Self { free, made: free, most, debt: 0, closed: false, claims, line, late_return }
    }

    fn claim(&mut self, asked: usize) -> usize {
        self.claims.push(Claim { asked, got: 0, stage: Stage::New });
        self.claims.len() - 1
    }

    fn try_take(&mut self, asked: usize) -> Result<(), TryAcquireError> {
        if self.closed {
            return Err(TryAcquireError::Closed);
        }
        let left = self.free.checked_sub(asked).ok_or(TryAcquireError::NoPermits)?;
        self.free = left;
        Ok(())
    }

    fn try_take_all(&mut self) -> Result<usize, TryAcquireError> {
        let all = self.free;
        self.try_take(all.max(1)).map(|()| all)
    }

    fn poll(&mut self, id: usize) -> Poll<Result<(), Never>> {
        let Claim { asked, got, stage } = self.claims[id];
        match stage {
            Stage::New => match self.try_take(asked) {
                Err(TryAcquireError::NoPermits) if asked > self.most => {
                    self.finish(id, Err(Never::TooMany), 0)
                }
                Err(TryAcquireError::NoPermits) => self.join(id),
                taken => self.finish(id, taken.map_err(|_| Never::Closed), 0),
            },
            Stage::Queued => Poll::Pending,
            Stage::Granted if !self.closed => self.finish(id, Ok(()), 0),
            Stage::TooMany if !self.closed => self.finish(id, Err(Never::TooMany), 0),
            Stage::Granted | Stage::Closed => self.finish(id, Err(Never::Closed), got),
            Stage::TooMany => self.finish(id, Err(Never::Closed), 0),
            Stage::Gone => unreachable!(),
        }
    }

    fn join(&mut self, id: usize) -> Poll<Result<(), Never>> {
        // There is something to take along only if nobody waits.
        self.claims[id].got = std::mem::take(&mut self.free);
        self.claims[id].stage = Stage::Queued;
        self.line.push_back(id);
        Poll::Pending
    }

    fn finish(
        &mut self,
        id: usize,
        taken: Result<(), Never>,
        back: usize,
    ) -> Poll<Result<(), Never>> {
        self.claims[id].stage = Stage::Gone;
        self.give(back);
        Poll::Ready(taken)
    }

    fn give(&mut self, mut permits: usize) {
        loop {
            let paid = permits.min(self.debt);
            self.debt -= paid;
            permits -= paid;
            let Some(&front) = self.line.front() else { break };
            let claim = &mut self.claims[front];
            if claim.asked > self.most {
                claim.stage = Stage::TooMany;
                permits += std::mem::take(&mut claim.got);
                self.line.pop_front();
                continue;
            }
            let part = permits.min(claim.asked - claim.got);
            claim.got += part;
            permits -= part;
            if claim.got < claim.asked {
                return;
            }
            claim.stage = Stage::Granted;
            self.line.pop_front();
        }
        self.free += permits;
    }

    fn is_bounded(&self) -> bool {
        self.most < Semaphore::MAX_PERMITS
    }

    /// Returns how many there was room for.
    fn add(&mut self, permits: usize) -> usize {
        let added = if self.is_bounded() { permits.min(self.most - self.made) } else { permits };
        self.made += added;
        self.give(added);
        added
    }

    fn lose(&mut self, permits: usize) {
        self.made = self.made.saturating_sub(permits);
    }

    fn cancel(&mut self, id: usize) {
        self.line.retain(|waiting| *waiting != id);
        self.claims[id].stage = Stage::Gone;
        self.give(self.claims[id].got);
    }

    fn forget(&mut self, permits: usize) -> usize {
        let taken = permits.min(self.free);
        self.free -= taken;
        self.lose(taken);
        taken
    }

    /// Where that is more than there are to be, the debt goes with them. Returns how many fewer there are
    /// to be.
    fn forget_held(&mut self, permits: usize) -> usize {
        let lost = if self.is_bounded() { permits.min(self.made) } else { permits };
        self.debt -= permits - lost;
        self.lose(lost);
        lost
    }

    /// Returns how many went, now and in all.
    fn reduce(&mut self, permits: usize) -> (usize, usize) {
        let gone = if self.is_bounded() { permits.min(self.made) } else { permits };
        if self.is_bounded() {
            self.most = self.most.saturating_sub(permits);
        }
        let taken = gone.min(self.free);
        self.free -= taken;
        self.debt += gone - taken;
        self.lose(gone);
        self.give(0);
        (taken, gone)
    }

    fn close(&mut self) {
        self.closed = true;
        for id in std::mem::take(&mut self.line) {
            let claim = &mut self.claims[id];
            claim.stage = Stage::Closed;
            if !self.late_return {
                let back = std::mem::take(&mut claim.got);
                self.give(back);
            }
        }
    }
}

// ---- what is tested ------------------------------------------------------------------------------

/// A semaphore under test.
trait Subject {
    const LATE_RETURN: bool;
    type Permit;
    type Error;
    type Wait: Future<Output = Result<Self::Permit, Self::Error>>;

    fn acquire_many(&self, permits: u32) -> Self::Wait;
    fn try_acquire_many(&self, permits: u32) -> Result<Self::Permit, TryAcquireError>;
    fn forget(permit: Self::Permit);
    fn split(permit: &mut Self::Permit, permits: usize) -> Option<Self::Permit>;
    fn merge(permit: &mut Self::Permit, other: Self::Permit);
    fn num_permits(permit: &Self::Permit) -> usize;
    fn add_permits(&self, permits: usize);
    fn forget_permits(&self, permits: usize) -> usize;
    fn available_permits(&self) -> usize;
    fn close(&self);
    fn is_closed(&self) -> bool;

    /// What goes beyond tokio's, if this one does.
    fn beyond(&self) -> Option<&Semaphore> {
        None
    }
    fn position(_: &Self::Wait) -> Option<usize> {
        None
    }
    fn why(_: &Self::Error) -> Never {
        Never::Closed
    }
    fn try_acquire_all(&self) -> Result<Self::Permit, TryAcquireError> {
        unreachable!("tokio's has no such operation")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as the trait has it for tokio's")]
fn why(error: &AcquireError) -> Never {
    assert_ne!(error.is_closed(), error.is_unsatisfiable());
    if error.is_closed() { Never::Closed } else { Never::TooMany }
}

/// What is the same for all.
macro_rules! common_operations {
    () => {
        fn forget(permit: Self::Permit) {
            permit.forget();
        }
        fn split(permit: &mut Self::Permit, permits: usize) -> Option<Self::Permit> {
            permit.split(permits)
        }
        fn merge(permit: &mut Self::Permit, other: Self::Permit) {
            permit.merge(other);
        }
        fn num_permits(permit: &Self::Permit) -> usize {
            permit.num_permits()
        }
        fn add_permits(&self, permits: usize) {
            (**self).add_permits(permits);
        }
        fn forget_permits(&self, permits: usize) -> usize {
            (**self).forget_permits(permits)
        }
        fn available_permits(&self) -> usize {
            (**self).available_permits()
        }
        fn close(&self) {
            (**self).close();
        }
        fn is_closed(&self) -> bool {
            (**self).is_closed()
        }
    };
}

impl<'a> Subject for &'a Semaphore {
    const LATE_RETURN: bool = false;
    type Permit = ringgate::SemaphorePermit<'a>;
    type Error = AcquireError;
    type Wait = ringgate::Acquire<'a>;

    fn acquire_many(&self, permits: u32) -> Self::Wait {
        (*self).acquire_many(permits)
    }
    fn try_acquire_many(&self, permits: u32) -> Result<Self::Permit, TryAcquireError> {
        (*self).try_acquire_many(permits)
    }
    fn beyond(&self) -> Option<&Semaphore> {
        Some(self)
    }
    fn position(wait: &Self::Wait) -> Option<usize> {
        wait.position()
    }
    fn why(error: &AcquireError) -> Never {
        why(error)
    }
    fn try_acquire_all(&self) -> Result<Self::Permit, TryAcquireError> {
        (*self).try_acquire_all()
    }
    common_operations!();
}

impl Subject for Arc<Semaphore> {
    const LATE_RETURN: bool = false;
    type Permit = ringgate::OwnedSemaphorePermit;
    type Error = AcquireError;
    type Wait = ringgate::AcquireOwned;

    fn acquire_many(&self, permits: u32) -> Self::Wait {
        Self::clone(self).acquire_many_owned(permits)
    }
    fn try_acquire_many(&self, permits: u32) -> Result<Self::Permit, TryAcquireError> {
        Self::clone(self).try_acquire_many_owned(permits)
    }
    fn beyond(&self) -> Option<&Semaphore> {
        Some(self)
    }
    fn position(wait: &Self::Wait) -> Option<usize> {
        wait.position()
    }
    fn why(error: &AcquireError) -> Never {
        why(error)
    }
    fn try_acquire_all(&self) -> Result<Self::Permit, TryAcquireError> {
        Self::clone(self).try_acquire_all_owned()
    }
    common_operations!();
}

type TokioWait =
    dyn Future<Output = Result<tokio::sync::OwnedSemaphorePermit, tokio::sync::AcquireError>>;

impl Subject for Arc<tokio::sync::Semaphore> {
    const LATE_RETURN: bool = true;
    type Permit = tokio::sync::OwnedSemaphorePermit;
    type Error = tokio::sync::AcquireError;
    type Wait = Pin<Box<TokioWait>>;

    fn acquire_many(&self, permits: u32) -> Self::Wait {
        Box::pin(Self::clone(self).acquire_many_owned(permits))
    }
    fn try_acquire_many(&self, permits: u32) -> Result<Self::Permit, TryAcquireError> {
        Self::clone(self).try_acquire_many_owned(permits).map_err(|error| match error {
            tokio::sync::TryAcquireError::Closed => TryAcquireError::Closed,
            tokio::sync::TryAcquireError::NoPermits => TryAcquireError::NoPermits,
        })
    }
    common_operations!();
}

// ---- the two side by side ------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Op {
    Create(u32),
    /// The future, and whether it is polled with another waker than before.
    Poll(prop::sample::Index, bool),
    /// Not for tokio's: once it has completed it stays pending.
    PollAgain(prop::sample::Index),
    Cancel(prop::sample::Index),
    TryAcquire(u32),
    /// Not for tokio's.
    TryAcquireAll,
    Release(prop::sample::Index),
    ForgetHeld(prop::sample::Index),
    Split(prop::sample::Index, usize),
    /// The last of those held into this one.
    Merge(prop::sample::Index),
    Add(usize),
    ForgetFree(usize),
    /// Not for tokio's.
    Reduce(usize),
    Close,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let index = any::<prop::sample::Index>;
    let op = prop_oneof![
        60 => (0..=4_u32).prop_map(Op::Create),
        90 => (index(), any::<bool>()).prop_map(|(which, fresh)| Op::Poll(which, fresh)),
        3 => index().prop_map(Op::PollAgain),
        25 => index().prop_map(Op::Cancel),
        5 => Just(Op::TryAcquireAll),
        6 => (index(), 0..=4_usize).prop_map(|(which, permits)| Op::Split(which, permits)),
        6 => index().prop_map(Op::Merge),
        15 => (0..=4_u32).prop_map(Op::TryAcquire),
        40 => index().prop_map(Op::Release),
        5 => index().prop_map(Op::ForgetHeld),
        15 => (0..=4_usize).prop_map(Op::Add),
        5 => (0..=4_usize).prop_map(Op::ForgetFree),
        5 => (0..=6_usize).prop_map(Op::Reduce),
        1 => Just(Op::Close),
    ];
    prop::collection::vec(op, 1..160)
}

struct Waiting<S: Subject> {
    future: Pin<Box<S::Wait>>,
    id: usize,
    waker: Arc<Wakes>,
    /// Wakes before the last poll.
    seen: usize,
}

struct Scene<S: Subject> {
    subject: S,
    model: Model,
    waiting: Vec<Waiting<S>>,
    /// Futures that have completed.
    over: Vec<Pin<Box<S::Wait>>>,
    held: Vec<(S::Permit, usize)>,
    /// Permits there should be in all; below zero where more were taken away than there are.
    total: isize,
}

fn signed(permits: usize) -> isize {
    permits.try_into().unwrap()
}

/// One of `items`, taken out.
fn take<T>(items: &mut Vec<T>, which: prop::sample::Index) -> Option<T> {
    (!items.is_empty()).then(|| items.remove(which.index(items.len())))
}

impl<S: Subject> Scene<S> {
    fn new(subject: S, permits: usize, most: usize) -> Self {
        let model = Model::new(permits, most, S::LATE_RETURN);
        let (waiting, over, held) = (Vec::new(), Vec::new(), Vec::new());
        Self { subject, model, waiting, over, held, total: signed(permits) }
    }

    fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match op {
            Op::Create(asked) => self.create(*asked),
            Op::Poll(which, fresh) => self.poll(*which, *fresh)?,
            Op::PollAgain(which) => self.poll_again(*which)?,
            Op::Cancel(which) => self.cancel(*which),
            Op::TryAcquireAll => self.try_acquire_all()?,
            Op::Split(which, permits) => self.split(*which, *permits)?,
            Op::Merge(which) => self.merge(*which),
            Op::TryAcquire(asked) => self.try_acquire(*asked)?,
            Op::Release(which) => self.release(*which),
            Op::ForgetHeld(which) => self.forget_held(*which),
            Op::Add(permits) => self.add(*permits),
            Op::ForgetFree(permits) => self.forget_free(*permits)?,
            Op::Reduce(permits) => self.reduce(*permits)?,
            Op::Close => {
                self.subject.close();
                self.model.close();
            }
        }
        self.check()
    }

    fn create(&mut self, asked: u32) {
        let future = Box::pin(self.subject.acquire_many(asked));
        let id = self.model.claim(asked as usize);
        self.waiting.push(Waiting { future, id, waker: Wakes::new(), seen: 0 });
    }

    fn poll(&mut self, which: prop::sample::Index, fresh: bool) -> Result<(), TestCaseError> {
        let Some(mut waiting) = take(&mut self.waiting, which) else { return Ok(()) };
        if fresh {
            waiting.waker = Wakes::new();
        }
        waiting.seen = waiting.waker.count();
        let waker = Waker::from(Arc::clone(&waiting.waker));
        let got = poll_with(waiting.future.as_mut(), &waker);
        let asked = self.model.claims[waiting.id].asked;
        let expected = self.model.poll(waiting.id);
        match got {
            Poll::Pending => {
                prop_assert!(expected.is_pending());
                self.waiting.push(waiting);
            }
            Poll::Ready(taken) => {
                prop_assert_eq!(expected, Poll::Ready(taken.as_ref().map(|_| ()).map_err(S::why)));
                self.held.extend(taken.ok().map(|permit| (permit, asked)));
                self.over.push(waiting.future);
            }
        }
        Ok(())
    }

    fn poll_again(&mut self, which: prop::sample::Index) -> Result<(), TestCaseError> {
        if self.subject.beyond().is_some() && !self.over.is_empty() {
            let over = which.get_mut(&mut self.over);
            prop_assert!(poll_with(over.as_mut(), Waker::noop()).is_pending());
        }
        Ok(())
    }

    fn try_acquire_all(&mut self) -> Result<(), TestCaseError> {
        if self.subject.beyond().is_none() {
            return Ok(());
        }
        let got = self.subject.try_acquire_all();
        let permits = got.as_ref().map(S::num_permits).map_err(Clone::clone);
        prop_assert_eq!(&permits, &self.model.try_take_all());
        self.held.extend(got.ok().zip(permits.ok()));
        Ok(())
    }

    fn split(&mut self, which: prop::sample::Index, permits: usize) -> Result<(), TestCaseError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let (permit, count) = which.get_mut(&mut self.held);
        let got = S::split(permit, permits);
        prop_assert_eq!(got.is_some(), permits <= *count);
        if let Some(part) = got {
            *count -= permits;
            self.held.push((part, permits));
        }
        Ok(())
    }

    fn merge(&mut self, which: prop::sample::Index) {
        let Some((other, permits)) = self.held.pop() else { return };
        if self.held.is_empty() {
            self.held.push((other, permits));
            return;
        }
        let (permit, count) = which.get_mut(&mut self.held);
        S::merge(permit, other);
        *count += permits;
    }

    fn cancel(&mut self, which: prop::sample::Index) {
        let Some(waiting) = take(&mut self.waiting, which) else { return };
        self.model.cancel(waiting.id);
    }

    fn try_acquire(&mut self, asked: u32) -> Result<(), TestCaseError> {
        let got = self.subject.try_acquire_many(asked);
        let asked = asked as usize;
        prop_assert_eq!(got.as_ref().map(|_| ()).map_err(Clone::clone), self.model.try_take(asked));
        self.held.extend(got.ok().map(|permit| (permit, asked)));
        Ok(())
    }

    fn release(&mut self, which: prop::sample::Index) {
        let Some((permit, permits)) = take(&mut self.held, which) else { return };
        drop(permit);
        self.model.give(permits);
    }

    fn forget_held(&mut self, which: prop::sample::Index) {
        let Some((permit, permits)) = take(&mut self.held, which) else { return };
        S::forget(permit);
        self.total -= signed(self.model.forget_held(permits));
    }

    fn add(&mut self, permits: usize) {
        self.subject.add_permits(permits);
        self.total += signed(self.model.add(permits));
    }

    fn forget_free(&mut self, permits: usize) -> Result<(), TestCaseError> {
        let taken = self.model.forget(permits);
        prop_assert_eq!(self.subject.forget_permits(permits), taken);
        self.total -= signed(taken);
        Ok(())
    }

    fn reduce(&mut self, permits: usize) -> Result<(), TestCaseError> {
        let Some(semaphore) = self.subject.beyond() else { return Ok(()) };
        let (taken, gone) = self.model.reduce(permits);
        prop_assert_eq!(semaphore.reduce_permits(permits), taken);
        self.total -= signed(gone);
        Ok(())
    }

    fn check_beyond(&self, semaphore: &Semaphore) -> Result<(), TestCaseError> {
        prop_assert_eq!(semaphore.permits_owed(), self.model.debt);
        prop_assert_eq!(semaphore.waiters(), self.model.line.len());
        for waiting in &self.waiting {
            let place = self.model.line.iter().position(|id| *id == waiting.id);
            prop_assert_eq!(S::position(&waiting.future), place);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        self.subject.beyond().map_or(Ok(()), |semaphore| self.check_beyond(semaphore))?;
        prop_assert_eq!(self.subject.available_permits(), self.model.free);
        prop_assert_eq!(self.subject.is_closed(), self.model.closed);
        for waiting in &self.waiting {
            let stage = self.model.claims[waiting.id].stage;
            let is_decided = matches!(stage, Stage::Granted | Stage::Closed | Stage::TooMany);
            let wakes = waiting.waker.count() - waiting.seen;
            prop_assert_eq!(wakes, usize::from(is_decided), "{:?}, wakes", stage);
            let is_kept = Arc::strong_count(&waiting.waker) > 1;
            prop_assert_eq!(is_kept, stage == Stage::Queued, "{:?}, is its waker kept", stage);
        }
        for (permit, permits) in &self.held {
            prop_assert_eq!(S::num_permits(permit), *permits);
        }
        Ok(())
    }

    /// Everything given back: nothing lost, nothing made.
    fn end(mut self, backwards: bool) -> Result<(), TestCaseError> {
        if backwards {
            self.waiting.reverse();
        }
        for waiting in self.waiting.drain(..) {
            self.model.cancel(waiting.id);
        }
        for (permit, permits) in self.held.drain(..) {
            drop(permit);
            self.model.give(permits);
        }
        prop_assert_eq!(self.subject.available_permits(), self.model.free);
        prop_assert_eq!(signed(self.subject.available_permits()), self.total.max(0));
        if let Some(semaphore) = self.subject.beyond() {
            prop_assert_eq!(signed(semaphore.permits_owed()), -self.total.min(0));
        }
        Ok(())
    }
}

fn run<S: Subject>(
    subject: S,
    (permits, most): (usize, usize),
    ops: &[Op],
    backwards: bool,
) -> Result<(), TestCaseError> {
    let mut scene = Scene::new(subject, permits, most);
    for op in ops {
        scene.step(op)?;
    }
    scene.end(backwards)
}

fn unbounded(permits: usize) -> (usize, usize) {
    (permits, Semaphore::MAX_PERMITS)
}

proptest! {
    #![proptest_config(cases(400))]

    /// Broken by: `assign_permits` not waking (no `wake_if_responsible` after `Assignment::Satisfied`);
    /// `cancel` giving back `asked` for a queued claim; `finish_acquire` not giving back after a close;
    /// `refuse_front` returning 0; `assign_permits` not paying the debt; `walk` counting the cancelled;
    /// `merge` losing or doubling what it takes; `split` keeping what it gave; `try_acquire_all` leaving
    /// one; a woken waiter met again and woken again, or its waker kept (`end_visit` takes no waker).
    #[test]
    fn it_does_what_the_model_does(
        permits in 0..=5_usize, ops in ops(), backwards: bool
    ) {
        run(&Semaphore::new(permits), unbounded(permits), &ops, backwards)?;
    }

    /// Broken by: as above.
    #[test]
    fn its_owned_permits_do_what_the_model_does(
        permits in 0..=5_usize, ops in ops(), backwards: bool
    ) {
        run(Arc::new(Semaphore::new(permits)), unbounded(permits), &ops, backwards)?;
    }

    /// Broken by: `add` without the bound; a forgotten permit that still counts; `begin_wait` lining up for
    /// too many; that refusal told as a close; a front that cannot be met any more left in the way.
    #[test]
    fn a_bounded_one_does_what_the_model_does(
        permits in 0..=5_usize, ops in ops(), backwards: bool
    ) {
        run(&Semaphore::with_max_permits(permits), (permits, permits), &ops, backwards)?;
    }

    /// The model is right about what a drop-in replacement has to do. Broken by: any change of the
    /// model's, such as `late_return` being the same for both.
    #[test]
    fn tokios_semaphore_does_what_the_model_does(
        permits in 0..=5_usize, ops in ops(), backwards: bool
    ) {
        run(Arc::new(tokio::sync::Semaphore::new(permits)), unbounded(permits), &ops, backwards)?;
    }
}
