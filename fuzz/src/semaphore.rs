//! The semaphore against a queue and two numbers.

use crate::bytes::Bytes;
use crate::wakes::{Task, Wakes};
use ringgate::{Acquire, AcquireError, Semaphore, SemaphorePermit, TryAcquireError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

const MOST: u64 = Semaphore::MAX_PERMITS as u64;
const MOST_OWED: u64 = i64::MAX as u64;

/// Acquires, polls, drops, gives back, takes away and closes as the bytes say. After each step the
/// semaphore must show what a plain model of it shows, and whoever has been served must be awake.
///
/// Wakers may give permits from inside the semaphore. Crowds make the line grow and be swept.
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

/// Mostly few, so that they are used up; now and then as many as there can be.
fn amount(bytes: &mut Bytes) -> u64 {
    match bytes.byte() {
        huge @ 248.. => [u64::from(u32::MAX), MOST - 1, MOST, u64::MAX][usize::from(huge % 4)],
        few => u64::from(few % 6),
    }
}

/// The same for what takes fewer bits.
fn asked(bytes: &mut Bytes) -> u32 {
    u32::try_from(amount(bytes)).unwrap_or(u32::MAX)
}

fn to_usize(permits: u64) -> usize {
    usize::try_from(permits).unwrap_or(usize::MAX)
}

// ---- the model ---------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    InLine,
    Granted,
    /// Told of the close, with nothing left to give back.
    Closed,
    /// Told that there can never be as many, with nothing left to give back.
    TooMany,
}

/// What one acquire asked for, and how far it has come.
struct Claim {
    asked: u32,
    got: u64,
    /// Permits its waker adds when it is called.
    gift: u64,
    stage: Stage,
}

struct Model {
    free: u64,
    debt: u64,
    /// Permits there are, and may be, if that is bounded.
    made: u64,
    most: u64,
    is_closed: bool,
    claims: Vec<Claim>,
    line: VecDeque<usize>,
}

/// Why a future ended without permits.
#[derive(Debug, PartialEq, Eq)]
enum Denied {
    Closed,
    TooMany,
}

impl Model {
    fn try_take(&mut self, asked: u64) -> Result<(), TryAcquireError> {
        if self.is_closed {
            return Err(TryAcquireError::Closed);
        }
        self.free = self.free.checked_sub(asked).ok_or(TryAcquireError::NoPermits)?;
        Ok(())
    }

    fn try_take_all(&mut self) -> Result<u64, TryAcquireError> {
        let all = self.free;
        self.try_take(all.max(1)).map(|()| all)
    }

    fn poll(&mut self, id: usize, gift: u64) -> Poll<Result<(), Denied>> {
        match self.claims[id].stage {
            Stage::New => self.begin(id, gift),
            Stage::InLine => {
                self.claims[id].gift = gift;
                Poll::Pending
            }
            Stage::Granted if !self.is_closed => Poll::Ready(Ok(())),
            Stage::Granted => {
                self.give(u64::from(self.claims[id].asked));
                Poll::Ready(Err(Denied::Closed))
            }
            Stage::TooMany if !self.is_closed => Poll::Ready(Err(Denied::TooMany)),
            Stage::Closed | Stage::TooMany => Poll::Ready(Err(Denied::Closed)),
        }
    }

    fn begin(&mut self, id: usize, gift: u64) -> Poll<Result<(), Denied>> {
        let asked = u64::from(self.claims[id].asked);
        match self.try_take(asked) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(TryAcquireError::Closed) => Poll::Ready(Err(Denied::Closed)),
            Err(TryAcquireError::NoPermits) if asked > self.most => {
                Poll::Ready(Err(Denied::TooMany))
            }
            Err(TryAcquireError::NoPermits) => {
                let got = std::mem::take(&mut self.free);
                let claim = &mut self.claims[id];
                (claim.got, claim.gift, claim.stage) = (got, gift, Stage::InLine);
                self.line.push_back(id);
                Poll::Pending
            }
        }
    }

    /// Pays the debt, then those in line; the rest is free.
    fn give(&mut self, permits: u64) {
        let mut left = permits.min(MOST);
        loop {
            let paid = left.min(self.debt);
            self.debt -= paid;
            left -= paid;
            let Some(&front) = self.line.front() else { break };
            let claim = &mut self.claims[front];
            if u64::from(claim.asked) > self.most {
                claim.stage = Stage::TooMany;
                let gift = std::mem::take(&mut claim.gift);
                left += std::mem::take(&mut claim.got) + self.added(gift);
                self.line.pop_front();
                continue;
            }
            let part = left.min(u64::from(claim.asked) - claim.got);
            claim.got += part;
            left -= part;
            if claim.got < u64::from(claim.asked) {
                return;
            }
            claim.stage = Stage::Granted;
            let gift = std::mem::take(&mut claim.gift);
            left += self.added(gift);
            self.line.pop_front();
        }
        self.free = (self.free + left).min(MOST);
    }

    fn is_bounded(&self) -> bool {
        self.most < MOST
    }

    /// How many of these there is room for; they are there from now on.
    fn added(&mut self, permits: u64) -> u64 {
        let added = if self.is_bounded() { permits.min(self.most - self.made) } else { permits };
        self.made = self.made.saturating_add(added);
        added
    }

    /// Where that is more than there are to be, the debt goes with them.
    fn forget_held(&mut self, permits: u64) {
        if self.is_bounded() {
            let lost = permits.min(self.made);
            self.made -= lost;
            self.debt -= permits - lost;
        }
    }

    fn cancel(&mut self, id: usize) {
        self.line.retain(|waiting| *waiting != id);
        let claim = &mut self.claims[id];
        let back = match claim.stage {
            Stage::New | Stage::Closed | Stage::TooMany => 0,
            Stage::InLine | Stage::Granted => claim.got,
        };
        self.give(back);
    }

    fn forget(&mut self, permits: u64) -> u64 {
        let taken = permits.min(self.free);
        self.free -= taken;
        if self.is_bounded() {
            self.made -= taken;
        }
        taken
    }

    fn reduce(&mut self, permits: u64) -> u64 {
        let mut gone = permits.min(MOST);
        if self.is_bounded() {
            self.most = self.most.saturating_sub(gone);
            gone = gone.min(self.made);
            self.made -= gone;
        }
        let taken = gone.min(self.free);
        self.free -= taken;
        self.debt = self.debt.saturating_add(gone - taken).min(MOST_OWED);
        self.give(0);
        taken
    }

    fn close(&mut self) {
        self.is_closed = true;
        for id in std::mem::take(&mut self.line) {
            let claim = &mut self.claims[id];
            claim.stage = Stage::Closed;
            let (got, gift) = (claim.got, std::mem::take(&mut claim.gift));
            let back = got + self.added(gift);
            self.give(back);
        }
    }
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
        let free = permits.min(if bounded { u64::from(u32::MAX) - 1 } else { MOST });
        let most = if bounded { free } else { MOST };
        let (claims, line) = (Vec::new(), VecDeque::new());
        let model = Model { free, debt: 0, made: free, most, is_closed: false, claims, line };
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
            10 => self.add(amount(bytes)),
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
        self.model.claims.push(Claim { asked, got: 0, gift: 0, stage: Stage::New });
        let task = Task::new(Box::pin(self.semaphore.acquire_many(asked)));
        self.waiting.push(Waiting { task, id: self.model.claims.len() - 1 });
    }

    fn poll_one(&mut self, bytes: &mut Bytes) {
        if !self.waiting.is_empty() {
            let which = bytes.below(self.waiting.len());
            self.poll(which, bytes.flip(), bytes);
        }
    }

    /// Polls, perhaps with another waker, which perhaps adds permits when it is called.
    fn poll(&mut self, which: usize, moved: bool, bytes: &mut Bytes) {
        let Waiting { task, id } = &mut self.waiting[which];
        let (got, gift) = if moved {
            let gift = bytes.within(0, 3);
            let semaphore = Arc::clone(self.semaphore);
            let calls = move || semaphore.add_permits(to_usize(gift));
            (task.poll_with(Wakes::calling(calls)), gift)
        } else {
            (task.poll(), self.model.claims[*id].gift)
        };
        let expected = self.model.poll(*id, gift);
        let asked = self.model.claims[*id].asked;
        let Poll::Ready(got) = got else {
            assert_eq!(expected, Poll::Pending, "it waits");
            return;
        };
        assert!(task.poll().is_pending(), "it has completed, and does so again");
        assert_eq!(expected, Poll::Ready(got.as_ref().map(|_| ()).map_err(|error| denied(*error))));
        if let Ok(permit) = got {
            assert_eq!(permit.num_permits(), asked as usize);
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

    /// Many come at once: more than a chunk of the store holds.
    fn crowd(&mut self, bytes: &mut Bytes) {
        let asked = asked(bytes);
        for _ in 0..bytes.within(1, 40) {
            self.acquire(asked);
            self.poll(self.waiting.len() - 1, false, bytes);
        }
    }

    /// Many leave at once, out of the middle of the line: more than a sweep waits for.
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
            let expected = self.model.try_take(asked.into()).map(|()| asked.into());
            (self.semaphore.try_acquire_many(asked), expected)
        };
        let got = got.map(|permit| {
            self.held.push(permit);
            self.held.last().map_or(0, |permit| permit.num_permits() as u64)
        });
        assert_eq!(got, expected);
    }

    fn give_back(&mut self, bytes: &mut Bytes) {
        let Some(permit) = bytes.take(&mut self.held) else { return };
        let permits = permit.num_permits() as u64;
        drop(permit);
        self.model.give(permits);
    }

    /// What a holder can do with its permits but give them back.
    fn rearrange(&mut self, bytes: &mut Bytes) {
        let Some(mut permit) = bytes.take(&mut self.held) else { return };
        let before = permit.num_permits();
        match bytes.byte() % 3 {
            0 => {
                permit.forget();
                return self.model.forget_held(before as u64);
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

    fn add(&mut self, permits: u64) {
        self.semaphore.add_permits(to_usize(permits));
        let added = self.model.added(permits.min(MOST));
        self.model.give(added);
    }

    fn take_away(&mut self, bytes: &mut Bytes) {
        let permits = amount(bytes);
        let (got, expected) = if bytes.flip() {
            (self.semaphore.forget_permits(to_usize(permits)), self.model.forget(permits))
        } else {
            (self.semaphore.reduce_permits(to_usize(permits)), self.model.reduce(permits))
        };
        assert_eq!(got as u64, expected);
    }

    fn check(&mut self) {
        self.steps += 1;
        assert_eq!(self.semaphore.available_permits() as u64, self.model.free);
        assert_eq!(self.semaphore.permits_owed() as u64, self.model.debt);
        assert_eq!(self.semaphore.is_closed(), self.model.is_closed);
        assert_eq!(self.semaphore.waiters(), self.model.line.len());
        for waiting in &self.waiting {
            let stage = self.model.claims[waiting.id].stage;
            let served = matches!(stage, Stage::Granted | Stage::Closed | Stage::TooMany);
            assert!(!served || waiting.task.is_woken(), "{stage:?}, and not woken");
        }
        // One at a time: to find a place the line is walked.
        if let Some(waiting) = self.waiting.get(self.steps % self.waiting.len().max(1)) {
            let place = self.model.line.iter().position(|id| *id == waiting.id);
            assert_eq!(waiting.task.future().position(), place);
        }
    }

    /// Everybody leaves and gives back.
    fn end(mut self, backwards: bool) {
        if backwards {
            self.waiting.reverse();
        }
        for waiting in std::mem::take(&mut self.waiting) {
            self.cancel(waiting);
            self.check();
        }
        for permit in std::mem::take(&mut self.held) {
            let permits = permit.num_permits() as u64;
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
