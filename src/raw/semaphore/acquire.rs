//! The polls of a request for permits, and what goes on from one that is not polled.

use super::enqueue::FrontLeaving;
use super::node::{NodeRef, Status, WaiterState};
use super::queue::Queue;
use super::raw_semaphore::RawSemaphore;
use super::state::Refusal;
use super::transitions::change_waker;
use super::unclaimed::Epoch;
use super::waiter::{Waiter, WakerId};
use super::wake::WakeRunner;
use crate::sync::atomic::Ordering;
use core::task::{Context, Poll};

impl RawSemaphore {
    pub(crate) fn poll(
        &self,
        waiter: &mut Waiter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        match waiter.node {
            Some(node_ref) => self.poll_queued(waiter, node_ref, cx),
            None => self.poll_new(waiter, cx),
        }
    }

    fn poll_new(&self, waiter: &mut Waiter, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        match self.try_acquire(waiter.asked()) {
            Err(Refusal::NoPermits) => self.begin_wait(waiter, cx),
            decided => Poll::Ready(decided),
        }
    }

    #[cold]
    fn begin_wait(&self, waiter: &mut Waiter, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let asked = waiter.asked();
        if u64::from(asked) > self.bound().max_permits() {
            return Poll::Ready(Err(Refusal::TooMany));
        }
        // The user's clone runs while all invariants hold.
        let waker = cx.waker().clone();
        waiter.waker = WakerId::of(&waker);
        let queue = &self.waitlist_or_new().queue;
        let Some(new) = queue.pool.alloc(waiter, waker) else {
            // No more waiters can queue: the task polls again at once.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        let mut wakes = WakeRunner::default();
        let decided = self.acquire_or_enqueue(queue, new, asked, &mut wakes);
        let Poll::Ready(acquired) = decided else {
            waiter.node = Some(new);
            wakes.finish();
            return decided;
        };
        wakes.drop(queue.pool.free(new.index));
        self.finish_poll(acquired.is_ok(), asked, wakes);
        decided
    }

    /// Acquires the permits if they have become free, else enqueues the node.
    fn acquire_or_enqueue(
        &self,
        queue: &Queue,
        new: NodeRef,
        asked: u32,
        wakes: &mut WakeRunner,
    ) -> Poll<Result<(), Refusal>> {
        loop {
            let state = self.state();
            // MUTANTS: acquire_or_enqueue 1
            if state.is_closed() {
                return Poll::Ready(Err(Refusal::Closed));
            }
            let Some(front) = state.front() else {
                // MUTANTS: acquire_or_enqueue 2
                if u64::from(asked) > self.bound().max_permits() {
                    return Poll::Ready(Err(Refusal::TooMany));
                }
                let free = state.permits();
                match u32::try_from(free).ok().and_then(|free| asked.checked_sub(free)) {
                    None | Some(0) => {
                        if self.cas_state(state, state.with_permits(free - u64::from(asked))) {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    Some(need) => {
                        // MUTANTS: acquire_or_enqueue 3
                        queue.pool.set_need(new, need);
                        let last = queue.tail_hint();
                        if self.cas_state(state, state.with_front(new)) {
                            queue.move_tail_hint(last, new);
                            return Poll::Pending;
                        }
                    }
                }
                continue;
            };
            // MUTANTS: acquire_or_enqueue 4
            queue.pool.set_need(new, asked);
            match queue.enqueue(front, new) {
                // MUTANTS: acquire_or_enqueue 5
                Ok(()) => return Poll::Pending,
                Err(FrontLeaving) => self.assign_permits(0, wakes),
            }
        }
    }

    fn poll_queued(
        &self,
        waiter: &mut Waiter,
        node_ref: NodeRef,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        let node = self.queue().node(node_ref.index);
        let mut wakes = WakeRunner::default();
        // ORDERING: Relaxed: if completed, `release_node` acquires.
        let mut word = WaiterState(node.word.load(Ordering::Relaxed));
        if word.is_queued() {
            // MUTANTS: poll_queued
            if self.is_closed() {
                self.cancel(waiter);
                return Poll::Ready(Err(Refusal::Closed));
            }
            if waiter.waker == WakerId::of(cx.waker()) {
                return Poll::Pending;
            }
            let old;
            (word, old) = change_waker(node, waiter, cx);
            wakes.drop(old);
            if word.is_queued() {
                wakes.finish();
                return Poll::Pending;
            }
        }
        Poll::Ready(self.finish_acquire(waiter, node_ref, word, wakes))
    }

    /// The owner of a granted or refused node takes what it was given and leaves.
    fn finish_acquire(
        &self,
        waiter: &mut Waiter,
        node_ref: NodeRef,
        word: WaiterState,
        mut wakes: WakeRunner,
    ) -> Result<(), Refusal> {
        waiter.node = None;
        let was_granted = word.status() == Status::Granted;
        let permits = if was_granted {
            self.take_grant(waiter, node_ref, &mut wakes)
        } else {
            self.release_node(node_ref, &mut wakes);
            0
        };
        let closed = self.is_closed();
        // MUTANTS: finish_acquire 1
        if permits == 0 && !closed {
            self.finish_poll(false, 0, wakes);
            return Err(if was_granted { Refusal::Lapsed } else { Refusal::TooMany });
        }
        // MUTANTS: finish_acquire 2
        if permits > 0 && closed {
            // Granted before the close; no permit is handed out after it.
            self.assign_permits(u64::from(permits), &mut wakes);
        }
        self.finish_poll(!closed, permits, wakes);
        if closed { Err(Refusal::Closed) } else { Ok(()) }
    }

    /// Ends a poll. If a user panic will be resumed, returns the acquired permits first.
    fn finish_poll(&self, acquired: bool, permits: u32, mut wakes: WakeRunner) {
        // MUTANTS: finish_poll
        if acquired && wakes.will_panic() {
            self.assign_permits(u64::from(permits), &mut wakes);
        }
        wakes.finish();
    }

    /// Claims a permit that was granted to a waiter before the look that `seen` tells of, if that waiter has not claimed
    /// it since: see [`Waiter::claiming`]. Notes this look in `seen`.
    pub(crate) fn claim_lapsed(&self, seen: &mut Option<Epoch>) -> bool {
        let Some(waitlist) = self.waitlist_if_any() else { return false };
        if self.is_closed() || !waitlist.unclaimed.claim_lapsed(seen) {
            return false;
        }
        // MUTANTS: claim_lapsed
        let is_owed = self.is_closed() || self.debt() > 0;
        if is_owed {
            // Granted before the close, or before it was removed; no permit is handed out after that.
            self.release(1);
        }
        !is_owed
    }
}
