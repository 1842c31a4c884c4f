//! The semaphore against a sequential model.

use crate::bytes::Bytes;
use crate::wakes::{Task, Wakes};
use ringgate::{Acquire, AcquireError, Semaphore, SemaphorePermit, TryAcquireError};
use ringgate_model::semaphore::{Denied, Options, Semaphore as Model, Stage, Unavailable};
use std::sync::Arc;
use std::task::Poll;

const MOST: u64 = Semaphore::MAX_PERMITS as u64;
const MOST_OWED: usize = isize::MAX.cast_unsigned();

/// Acquires, polls, drops, gives back, takes away and closes as the bytes say. After each step the
/// semaphore must show what a plain model of it shows, and every served waiter must be woken.
///
/// Wakers may add permits from inside the semaphore. Crowds make the line grow, and sweep it.
///
/// Caught: a cancelled waiter that keeps what it had collected; a waker not called; a debt that is not
/// paid first; what a waker gives from inside not handed on.
pub fn semaphore(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let permits = amount(&mut bytes);
    let bounded = bytes.flip();
    let make = if bounded { Semaphore::with_max_permits } else { Semaphore::new };
    let semaphore = Arc::new(make(to_usize(permits)));
    let mut scene = Scene::new(&semaphore, permits, bounded);
    while !bytes.is_empty() {
        scene.step(&mut bytes);
        scene.check();
    }
    scene.end(bytes.flip());
}

/// Mostly few, so that they are used up; sometimes the maximum or more.
fn amount(bytes: &mut Bytes) -> u64 {
    match bytes.byte() {
        huge @ 248.. => [u64::from(u32::MAX), MOST - 1, MOST, u64::MAX][usize::from(huge % 4)],
        few => u64::from(few % 6),
    }
}

/// The same in 32 bits.
fn asked(bytes: &mut Bytes) -> u32 {
    u32::try_from(amount(bytes)).unwrap_or(u32::MAX)
}

fn to_usize(permits: u64) -> usize {
    usize::try_from(permits).unwrap_or(usize::MAX)
}

// ---- both side by side -------------------------------------------------------------------------

struct Waiting<'a> {
    task: Task<Acquire<'a>>,
    id: usize,
}

struct Scene<'a> {
    semaphore: &'a Arc<Semaphore>,
    model: Model,
    waiting: Vec<Waiting<'a>>,
    held: Vec<SemaphorePermit<'a>>,
    steps: usize,
}

impl<'a> Scene<'a> {
    fn new(semaphore: &'a Arc<Semaphore>, permits: u64, bounded: bool) -> Self {
        let free =
            to_usize(permits.min(if bounded { u64::from(i32::MAX.unsigned_abs()) } else { MOST }));
        let model = Model::new(
            free,
            Options {
                capacity: Semaphore::MAX_PERMITS,
                max_debt: MOST_OWED,
                max_permits: bounded.then_some(free),
                keeps_collected_at_close: false,
            },
        );
        Self { semaphore, model, waiting: Vec::new(), held: Vec::new(), steps: 0 }
    }

    fn step(&mut self, bytes: &mut Bytes) {
        match bytes.within(0, 15) {
            0 => self.acquire(asked(bytes)),
            1 | 2 => {
                self.acquire(asked(bytes));
                self.poll(self.waiting.len() - 1, false, bytes);
            }
            3 | 4 => self.poll_one(bytes),
            5 => self.cancel_one(bytes),
            6 => self.try_acquire(bytes),
            7 | 8 => self.give_back(bytes),
            9 => self.rearrange(bytes),
            10 => self.add(to_usize(amount(bytes))),
            11 => self.take_away(bytes),
            12 => self.crowd(bytes),
            13 => self.cancel_many(bytes),
            14 => self.cancel_last(),
            _ if bytes.byte() < 16 => {
                self.semaphore.close();
                self.model.close();
            }
            _ => {}
        }
    }

    fn acquire(&mut self, asked: u32) {
        let id = self.model.claim(asked as usize);
        let task = Task::new(Box::pin(self.semaphore.acquire_many(asked)));
        self.waiting.push(Waiting { task, id });
    }

    fn poll_one(&mut self, bytes: &mut Bytes) {
        if !self.waiting.is_empty() {
            let which = bytes.below(self.waiting.len());
            self.poll(which, bytes.flip(), bytes);
        }
    }

    /// Polls, perhaps with another waker, which may add permits when it is called.
    fn poll(&mut self, which: usize, moved: bool, bytes: &mut Bytes) {
        let Waiting { task, id } = &mut self.waiting[which];
        let (got, expected) = if moved {
            let gift = bytes.below(4);
            let semaphore = Arc::clone(self.semaphore);
            let got = task.poll_with(Wakes::calling(move || semaphore.add_permits(gift)));
            (got, self.model.poll_with_gift(*id, gift))
        } else {
            (task.poll(), self.model.poll(*id))
        };
        let asked = self.model.asked(*id);
        let Poll::Ready(got) = got else {
            assert_eq!(expected, Poll::Pending, "it waits");
            return;
        };
        assert!(task.poll().is_pending(), "it has completed twice");
        assert_eq!(expected, Poll::Ready(got.as_ref().map(|_| ()).map_err(|error| denied(*error))));
        if let Ok(permit) = got {
            assert_eq!(permit.num_permits(), asked);
            self.held.push(permit);
        }
        self.waiting.remove(which);
    }

    fn cancel_one(&mut self, bytes: &mut Bytes) {
        let Some(waiting) = bytes.take(&mut self.waiting) else { return };
        self.cancel(waiting);
    }

    fn cancel_last(&mut self) {
        if let Some(waiting) = self.waiting.pop() {
            self.cancel(waiting);
        }
    }

    fn cancel(&mut self, waiting: Waiting<'a>) {
        let id = waiting.id;
        drop(waiting);
        self.model.cancel(id);
    }

    /// Many acquires at once, more than a chunk of the store holds.
    fn crowd(&mut self, bytes: &mut Bytes) {
        let asked = asked(bytes);
        for _ in 0..bytes.within(1, 40) {
            self.acquire(asked);
            self.poll(self.waiting.len() - 1, false, bytes);
        }
    }

    /// Cancels many at once in the middle of the line, enough for a sweep.
    fn cancel_many(&mut self, bytes: &mut Bytes) {
        let start = bytes.below(self.waiting.len() + 1);
        let end = (start + bytes.below(64)).min(self.waiting.len());
        let many: Vec<_> = self.waiting.drain(start..end).collect();
        for waiting in many {
            self.cancel(waiting);
        }
    }

    fn try_acquire(&mut self, bytes: &mut Bytes) {
        let (got, expected) = if bytes.byte().is_multiple_of(8) {
            (self.semaphore.try_acquire_all(), self.model.try_take_all())
        } else {
            let asked = asked(bytes);
            let expected = self.model.try_take(asked as usize).map(|()| asked as usize);
            (self.semaphore.try_acquire_many(asked), expected)
        };
        let got = got.map(|permit| {
            self.held.push(permit);
            self.held.last().map_or(0, SemaphorePermit::num_permits)
        });
        assert_eq!(got.map_err(unavailable), expected);
    }

    fn give_back(&mut self, bytes: &mut Bytes) {
        let Some(permit) = bytes.take(&mut self.held) else { return };
        let permits = permit.num_permits();
        drop(permit);
        self.model.give(permits);
    }

    /// Forgets, splits or merges permits.
    fn rearrange(&mut self, bytes: &mut Bytes) {
        let Some(mut permit) = bytes.take(&mut self.held) else { return };
        let before = permit.num_permits();
        match bytes.byte() % 3 {
            0 => {
                permit.forget();
                self.model.forget_held(before);
                return;
            }
            1 => {
                let wanted = to_usize(amount(bytes));
                let part = permit.split(wanted);
                assert_eq!(part.is_some(), wanted <= before);
                self.held.extend(part);
            }
            _ => {
                let Some(other) = bytes.take(&mut self.held) else { return self.held.push(permit) };
                let sum = before.saturating_add(other.num_permits());
                permit.merge(other);
                assert_eq!(permit.num_permits(), sum);
            }
        }
        self.held.push(permit);
    }

    fn add(&mut self, permits: usize) {
        self.semaphore.add_permits(permits);
        self.model.add(permits);
    }

    fn take_away(&mut self, bytes: &mut Bytes) {
        let permits = to_usize(amount(bytes));
        let (got, expected) = if bytes.flip() {
            (self.semaphore.forget_permits(permits), self.model.forget(permits))
        } else {
            (self.semaphore.reduce_permits(permits), self.model.reduce(permits).0)
        };
        assert_eq!(got, expected);
    }

    fn check(&mut self) {
        self.steps += 1;
        assert_eq!(self.semaphore.available_permits(), self.model.free());
        assert_eq!(self.semaphore.permits_owed(), self.model.debt());
        assert_eq!(self.semaphore.is_closed(), self.model.is_closed());
        assert_eq!(self.semaphore.waiters(), self.model.waiters());
        for waiting in &self.waiting {
            let stage = self.model.stage(waiting.id);
            let served = matches!(stage, Stage::Granted | Stage::Closed | Stage::TooMany);
            assert!(!served || waiting.task.is_woken(), "{stage:?}, and not woken");
        }
        // One at a time, because finding a place walks the line.
        if let Some(waiting) = self.waiting.get(self.steps % self.waiting.len().max(1)) {
            assert_eq!(waiting.task.future().position(), self.model.position(waiting.id));
        }
    }

    /// All waiters leave, and all permits are returned.
    fn end(mut self, backwards: bool) {
        if backwards {
            self.waiting.reverse();
        }
        for waiting in std::mem::take(&mut self.waiting) {
            self.cancel(waiting);
            self.check();
        }
        for permit in std::mem::take(&mut self.held) {
            let permits = permit.num_permits();
            drop(permit);
            self.model.give(permits);
        }
        self.check();
        assert_eq!(Arc::strong_count(self.semaphore), 1, "a waker is still kept");
    }
}

fn denied(error: AcquireError) -> Denied {
    assert!(error.is_closed() != error.is_unsatisfiable());
    if error.is_closed() { Denied::Closed } else { Denied::TooMany }
}

fn unavailable(error: TryAcquireError) -> Unavailable {
    match error {
        TryAcquireError::Closed => Unavailable::Closed,
        TryAcquireError::NoPermits => Unavailable::NoPermits,
    }
}
