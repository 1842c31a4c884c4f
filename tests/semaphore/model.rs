//! The semaphore against a sequential model, and the model against tokio's semaphore: the same
//! operations on `ringgate::Semaphore` (borrowed, owned, bounded) and on `tokio::sync::Semaphore`
//! must all match the model. The test polls all futures itself, without a runtime.

use crate::common::random::cases;
use crate::common::{Wakes, poll_with};
use proptest::prelude::*;
use ringgate::{AcquireError, Semaphore, TryAcquireError};
use ringgate_model::semaphore::{Denied, Options, Semaphore as Model, Stage, Unavailable};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

// ---- the semaphores under test ------------------------------------------------------------------------------

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

    /// The semaphore, if it has more operations than tokio's.
    fn beyond(&self) -> Option<&Semaphore> {
        None
    }
    fn position(_: &Self::Wait) -> Option<usize> {
        None
    }
    fn why(_: &Self::Error) -> Denied {
        Denied::Closed
    }
    fn try_acquire_all(&self) -> Result<Self::Permit, TryAcquireError> {
        unreachable!("tokio's has no such operation")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as the trait has it for tokio's")]
fn why(error: &AcquireError) -> Denied {
    assert_ne!(error.is_closed(), error.is_unsatisfiable());
    if error.is_closed() { Denied::Closed } else { Denied::TooMany }
}

fn unavailable(error: TryAcquireError) -> Unavailable {
    match error {
        TryAcquireError::Closed => Unavailable::Closed,
        TryAcquireError::NoPermits => Unavailable::NoPermits,
    }
}

/// Operations that are the same for all.
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
    fn why(error: &AcquireError) -> Denied {
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
    fn why(error: &AcquireError) -> Denied {
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
    /// Polls a future, perhaps with another waker than before.
    Poll(prop::sample::Index, bool),
    /// Polls a completed future, which stays pending. Not for tokio's.
    PollAgain(prop::sample::Index),
    Cancel(prop::sample::Index),
    TryAcquire(u32),
    /// Not for tokio's.
    TryAcquireAll,
    Release(prop::sample::Index),
    ForgetHeld(prop::sample::Index),
    Split(prop::sample::Index, usize),
    /// Merges the last held permit into this one.
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
    /// Permits there should be in all; negative if more were removed than there are.
    total: isize,
}

fn signed(permits: usize) -> isize {
    permits.try_into().unwrap()
}

/// Removes one of `items`.
fn take<T>(items: &mut Vec<T>, which: prop::sample::Index) -> Option<T> {
    (!items.is_empty()).then(|| items.remove(which.index(items.len())))
}

impl<S: Subject> Scene<S> {
    fn new(subject: S, permits: usize, most: Option<usize>) -> Self {
        let model = Model::new(
            permits,
            Options {
                capacity: Semaphore::MAX_PERMITS,
                max_debt: isize::MAX.cast_unsigned(),
                max_permits: most,
                keeps_collected_at_close: S::LATE_RETURN,
            },
        );
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
        let asked = self.model.asked(waiting.id);
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
        let permits = got.as_ref().map(S::num_permits).map_err(|error| unavailable(*error));
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
        prop_assert_eq!(
            got.as_ref().map(|_| ()).map_err(|error| unavailable(*error)),
            self.model.try_take(asked)
        );
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
        prop_assert_eq!(semaphore.permits_owed(), self.model.debt());
        prop_assert_eq!(semaphore.waiters(), self.model.waiters());
        for waiting in &self.waiting {
            prop_assert_eq!(S::position(&waiting.future), self.model.position(waiting.id));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        self.subject.beyond().map_or(Ok(()), |semaphore| self.check_beyond(semaphore))?;
        prop_assert_eq!(self.subject.available_permits(), self.model.free());
        prop_assert_eq!(self.subject.is_closed(), self.model.is_closed());
        for waiting in &self.waiting {
            let stage = self.model.stage(waiting.id);
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

    /// Returns everything. No permit may be lost or made.
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
        prop_assert_eq!(self.subject.available_permits(), self.model.free());
        prop_assert_eq!(signed(self.subject.available_permits()), self.total.max(0));
        if let Some(semaphore) = self.subject.beyond() {
            prop_assert_eq!(signed(semaphore.permits_owed()), -self.total.min(0));
        }
        Ok(())
    }
}

fn run<S: Subject>(
    subject: S,
    (permits, most): (usize, Option<usize>),
    ops: &[Op],
    backwards: bool,
) -> Result<(), TestCaseError> {
    let mut scene = Scene::new(subject, permits, most);
    for op in ops {
        scene.step(op)?;
    }
    scene.end(backwards)
}

fn unbounded(permits: usize) -> (usize, Option<usize>) {
    (permits, None)
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
    /// too many; that refusal reported as a close; a front waiter that can never be served left in the queue.
    #[test]
    fn a_bounded_one_does_what_the_model_does(
        permits in 0..=5_usize, ops in ops(), backwards: bool
    ) {
        run(&Semaphore::with_max_permits(permits), (permits, Some(permits)), &ops, backwards)?;
    }

    /// The model is right about what a drop-in replacement must do. Broken by: any change of the model, such
    /// as the same `keeps_collected_at_close` for both.
    #[test]
    fn tokios_semaphore_does_what_the_model_does(
        permits in 0..=5_usize, ops in ops(), backwards: bool
    ) {
        run(Arc::new(tokio::sync::Semaphore::new(permits)), unbounded(permits), &ops, backwards)?;
    }
}
