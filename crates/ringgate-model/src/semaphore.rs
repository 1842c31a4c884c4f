//! A semaphore as four numbers and a queue: first in, first out.
//!
//! The front waiter collects permits until it has all it asked for. Permits are free only while no acquire
//! waits.

use std::collections::VecDeque;
use std::task::Poll;

/// Number of an acquire, as [`Semaphore::claim`] returns it.
pub type Id = usize;

/// Where semaphores differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The most permits that can be free. Further ones are dropped.
    pub capacity: usize,
    /// The most debt there can be. Further debt is dropped.
    pub max_debt: usize,
    /// The most permits there may be, free or held, and the most an acquire may ask for.
    pub max_permits: Option<usize>,
    /// A waiter keeps what it has collected after a close, until its future is polled or dropped, as with
    /// tokio's semaphore. Otherwise the close returns it.
    pub keeps_collected_at_close: bool,
}

/// How far an acquire has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its future was never polled. It has no place in the queue.
    New,
    /// It waits in the queue.
    Queued,
    /// It was woken and has its permits, but its future was not polled since.
    Granted,
    /// It was woken by the close, but its future was not polled since.
    Closed,
    /// It was woken because it asked for more than the maximum, but its future was not polled since.
    TooMany,
    /// Its future has completed or was dropped.
    Done,
}

/// Why an acquire never gets its permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The semaphore is closed.
    Closed,
    /// It asks for more than the maximum.
    TooMany,
}

/// Why there are no permits at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The semaphore is closed.
    Closed,
    /// Fewer permits are free.
    NoPermits,
}

/// What one acquire asked for, and what it has.
#[derive(Debug)]
struct Claim {
    asked: usize,
    collected: usize,
    /// Permits that its waker adds when it is called.
    gift: usize,
    stage: Stage,
}

/// Permits of a bounded semaphore, free or held.
#[derive(Debug)]
struct Bound {
    max: usize,
    existing: usize,
}

/// Permits, debt, and the queue of acquires.
#[derive(Debug)]
pub struct Semaphore {
    options: Options,
    bound: Option<Bound>,
    free: usize,
    debt: usize,
    is_closed: bool,
    claims: Vec<Claim>,
    queue: VecDeque<Id>,
}

impl Semaphore {
    /// A semaphore with this many permits.
    #[must_use]
    pub fn new(permits: usize, options: Options) -> Self {
        let bound = options.max_permits.map(|max| Bound { max, existing: permits });
        let (claims, queue) = (Vec::new(), VecDeque::new());
        Self { options, bound, free: permits, debt: 0, is_closed: false, claims, queue }
    }

    // ---- what can be seen ------------------------------------------------------------------------

    /// Permits that are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free
    }

    /// Permits that were removed while held. The next ones returned pay for them.
    #[must_use]
    pub fn debt(&self) -> usize {
        self.debt
    }

    /// True after [`close`](Self::close).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The number of acquires in the queue.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.queue.len()
    }

    /// The place of an acquire in the queue.
    #[must_use]
    pub fn position(&self, id: Id) -> Option<usize> {
        self.queue.iter().position(|waiting| *waiting == id)
    }

    /// How far an acquire has come.
    #[must_use]
    pub fn stage(&self, id: Id) -> Stage {
        self.claims[id].stage
    }

    /// The number of permits that an acquire asked for.
    #[must_use]
    pub fn asked(&self, id: Id) -> usize {
        self.claims[id].asked
    }

    // ---- acquiring -------------------------------------------------------------------------------

    /// A new acquire. It joins the queue at its first poll.
    pub fn claim(&mut self, asked: usize) -> Id {
        self.claims.push(Claim { asked, collected: 0, gift: 0, stage: Stage::New });
        self.claims.len() - 1
    }

    /// Takes permits if that many are free.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed or fewer permits are free.
    pub fn try_take(&mut self, asked: usize) -> Result<(), Unavailable> {
        if self.is_closed {
            return Err(Unavailable::Closed);
        }
        self.free = self.free.checked_sub(asked).ok_or(Unavailable::NoPermits)?;
        Ok(())
    }

    /// Takes all free permits and returns their number.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed or no permit is free.
    pub fn try_take_all(&mut self) -> Result<usize, Unavailable> {
        let all = self.free;
        self.try_take(all.max(1)).map(|()| all)
    }

    /// Polls an acquire. After completion it stays pending.
    pub fn poll(&mut self, id: Id) -> Poll<Result<(), Denied>> {
        let answer = match self.claims[id].stage {
            Stage::New => return self.begin(id),
            Stage::Queued | Stage::Done => return Poll::Pending,
            Stage::Granted | Stage::Closed | Stage::TooMany if self.is_closed => {
                self.cancel(id);
                return Poll::Ready(Err(Denied::Closed));
            }
            Stage::Granted => Ok(()),
            Stage::Closed => unreachable!("only a close has this told"),
            Stage::TooMany => Err(Denied::TooMany),
        };
        self.finish(id, answer)
    }

    /// Polls an acquire with a waker that adds `gift` permits when it is called for the first time.
    pub fn poll_with_gift(&mut self, id: Id, gift: usize) -> Poll<Result<(), Denied>> {
        let answer = self.poll(id);
        if answer.is_pending() {
            self.claims[id].gift = gift;
        }
        answer
    }

    fn begin(&mut self, id: Id) -> Poll<Result<(), Denied>> {
        let asked = self.claims[id].asked;
        match self.try_take(asked) {
            Ok(()) => self.finish(id, Ok(())),
            Err(Unavailable::Closed) => self.finish(id, Err(Denied::Closed)),
            Err(Unavailable::NoPermits) if asked > self.max() => {
                self.finish(id, Err(Denied::TooMany))
            }
            Err(Unavailable::NoPermits) => {
                // Permits are free only while the queue is empty.
                self.claims[id].collected = std::mem::take(&mut self.free);
                self.claims[id].stage = Stage::Queued;
                self.queue.push_back(id);
                Poll::Pending
            }
        }
    }

    fn finish(&mut self, id: Id, answer: Result<(), Denied>) -> Poll<Result<(), Denied>> {
        self.claims[id].stage = Stage::Done;
        Poll::Ready(answer)
    }

    /// Drops the future of an acquire. What it has goes back.
    pub fn cancel(&mut self, id: Id) {
        self.queue.retain(|waiting| *waiting != id);
        let claim = &mut self.claims[id];
        let is_over = std::mem::replace(&mut claim.stage, Stage::Done) == Stage::Done;
        let back = std::mem::take(&mut claim.collected);
        self.give(if is_over { 0 } else { back });
    }

    // ---- giving and removing ---------------------------------------------------------------------

    /// Returns permits: they pay the debt first, then go to the queue, then are free.
    pub fn give(&mut self, permits: usize) {
        let mut left = permits.min(self.options.capacity);
        loop {
            let paid = left.min(self.debt);
            self.debt -= paid;
            left -= paid;
            let Some(&front) = self.queue.front() else { break };
            let max = self.max();
            let claim = &mut self.claims[front];
            if claim.asked > max {
                claim.stage = Stage::TooMany;
                left += std::mem::take(&mut claim.collected);
            } else {
                let part = left.min(claim.asked - claim.collected);
                claim.collected += part;
                left -= part;
                if claim.collected < claim.asked {
                    return;
                }
                claim.stage = Stage::Granted;
            }
            self.queue.pop_front();
            left += self.wake(front);
        }
        self.free = (self.free + left).min(self.options.capacity);
    }

    /// Returns the number of permits that its waker makes.
    fn wake(&mut self, id: Id) -> usize {
        let gift = std::mem::take(&mut self.claims[id].gift);
        self.make(gift)
    }

    fn max(&self) -> usize {
        self.bound.as_ref().map_or(self.options.capacity, |bound| bound.max)
    }

    /// Counts new permits, and returns for how many of them there is room.
    fn make(&mut self, permits: usize) -> usize {
        let Some(bound) = &mut self.bound else { return permits };
        let made = permits.min(bound.max - bound.existing);
        bound.existing += made;
        made
    }

    /// Removes permits from the count, and returns how many of them there were.
    fn unmake(&mut self, permits: usize) -> usize {
        let Some(bound) = &mut self.bound else { return permits };
        let lost = permits.min(bound.existing);
        bound.existing -= lost;
        lost
    }

    /// Adds new permits, and returns for how many of them there was room.
    pub fn add(&mut self, permits: usize) -> usize {
        let made = self.make(permits.min(self.options.capacity));
        self.give(made);
        made
    }

    /// Removes permits that their holder forgets, and returns by how many the total shrinks. Those beyond
    /// the total were removed before: their debt ends.
    pub fn forget_held(&mut self, permits: usize) -> usize {
        let lost = self.unmake(permits);
        self.debt -= permits - lost;
        lost
    }

    /// Removes free permits, and returns how many.
    pub fn forget(&mut self, permits: usize) -> usize {
        let taken = permits.min(self.free);
        self.free -= taken;
        self.unmake(taken);
        taken
    }

    /// Removes permits, held ones included, and lowers the maximum. Returns how many were free, and how
    /// many were removed in all.
    pub fn reduce(&mut self, permits: usize) -> (usize, usize) {
        let permits = permits.min(self.options.capacity);
        let gone = self.unmake(permits);
        if let Some(bound) = &mut self.bound {
            bound.max = bound.max.saturating_sub(permits);
        }
        let taken = gone.min(self.free);
        self.free -= taken;
        self.debt = self.debt.saturating_add(gone - taken).min(self.options.max_debt);
        // The front waiter may now ask for more than the maximum.
        self.give(0);
        (taken, gone)
    }

    /// Denies all waiting and future acquires.
    pub fn close(&mut self) {
        self.is_closed = true;
        for id in std::mem::take(&mut self.queue) {
            self.claims[id].stage = Stage::Closed;
            let mut back = self.wake(id);
            if !self.options.keeps_collected_at_close {
                back += std::mem::take(&mut self.claims[id].collected);
            }
            self.give(back);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Denied, Options, Semaphore, Stage, Unavailable};
    use std::task::Poll;

    const PLAIN: Options = Options {
        capacity: 100,
        max_debt: 100,
        max_permits: None,
        keeps_collected_at_close: false,
    };

    fn queued(semaphore: &mut Semaphore, asked: usize) -> usize {
        let id = semaphore.claim(asked);
        assert!(semaphore.poll(id).is_pending());
        id
    }

    /// Broken by: no `take` of the free permits in `begin`; `push_front` for `push_back` there.
    #[test]
    fn the_front_waiter_collects_and_none_overtakes() {
        let mut semaphore = Semaphore::new(1, PLAIN);
        let (first, second) = (queued(&mut semaphore, 3), queued(&mut semaphore, 1));
        assert_eq!((semaphore.free(), semaphore.position(second)), (0, Some(1)));
        semaphore.give(1);
        assert_eq!(semaphore.stage(second), Stage::Queued);
        semaphore.give(2);
        assert_eq!(
            (semaphore.stage(first), semaphore.stage(second)),
            (Stage::Granted, Stage::Granted)
        );
        assert_eq!(semaphore.poll(first), Poll::Ready(Ok(())));
        semaphore.cancel(second);
        assert_eq!(semaphore.try_take_all(), Ok(1));
    }

    /// Broken by: the debt paid after the queue in `give`.
    #[test]
    fn returned_permits_pay_the_debt_first() {
        let mut semaphore = Semaphore::new(2, PLAIN);
        semaphore.try_take(2).unwrap();
        assert_eq!(semaphore.reduce(1), (0, 1));
        let id = queued(&mut semaphore, 1);
        semaphore.give(1);
        assert_eq!((semaphore.debt(), semaphore.stage(id)), (0, Stage::Queued));
    }

    /// Broken by: no `give(0)` in `reduce`; no bound in `make`.
    #[test]
    fn a_bounded_one_denies_more_than_its_maximum() {
        let mut semaphore = Semaphore::new(2, Options { max_permits: Some(2), ..PLAIN });
        assert_eq!(semaphore.add(1), 0);
        semaphore.try_take(1).unwrap();
        let id = queued(&mut semaphore, 2);
        semaphore.reduce(1);
        assert_eq!(semaphore.poll(id), Poll::Ready(Err(Denied::TooMany)));
    }

    /// Broken by: `keeps_collected_at_close` not asked for in `close`.
    #[test]
    fn a_close_returns_what_waiters_collected_now_or_later() {
        for keeps_collected_at_close in [false, true] {
            let mut semaphore = Semaphore::new(1, Options { keeps_collected_at_close, ..PLAIN });
            let id = queued(&mut semaphore, 2);
            semaphore.close();
            assert_eq!(semaphore.free(), usize::from(!keeps_collected_at_close));
            assert_eq!(semaphore.poll(id), Poll::Ready(Err(Denied::Closed)));
            assert_eq!(semaphore.free(), 1);
            assert_eq!(semaphore.try_take(1), Err(Unavailable::Closed));
        }
    }

    /// Broken by: no `wake` in `give`.
    #[test]
    fn what_a_waker_adds_is_handed_on() {
        let mut semaphore = Semaphore::new(0, PLAIN);
        let (first, second) = (semaphore.claim(1), semaphore.claim(1));
        assert!(semaphore.poll_with_gift(first, 1).is_pending());
        assert!(semaphore.poll(second).is_pending());
        semaphore.give(1);
        assert_eq!(semaphore.poll(second), Poll::Ready(Ok(())));
    }
}
