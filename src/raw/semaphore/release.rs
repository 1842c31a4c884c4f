//! Gives permits to waiters, front after front, or makes them free.

use super::node::{Node, NodeRef, Status, WaiterState};
use super::queue::Queue;
use super::raw_semaphore::{RawSemaphore, Waitlist};
use super::state::State;
use super::transitions::{Assignment, assign_to, begin_visit, complete};
use super::wake::{self, WakeRunner};
use crate::sync::atomic::Ordering;

impl RawSemaphore {
    pub(crate) fn release(&self, permits: u64) {
        // ORDERING: Relaxed: a guess; the exchange decides, the slow path loads anew.
        let mut state = State(self.state.load(Ordering::Relaxed));
        while state.is_plain() {
            let free = state.permits().saturating_add(permits).min(Self::MAX_PERMITS);
            // ORDERING: Release publishes the holder's work to the thread that takes these permits (the
            // Acquire in `try_acquire`, `cas_state` and on a node's word).
            match self.state.compare_exchange_weak(
                state.0,
                state.with_permits(free).0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => state = State(now),
            }
        }
        let mut wakes = WakeRunner::default();
        self.assign_permits(permits, &mut wakes);
        wakes.finish();
    }

    /// Assigns `permits` to the front of the queue, front after front. What remains when the queue is
    /// empty becomes free. Retires completed fronts on the way, and refuses every waiter once closed.
    #[cold]
    pub(super) fn assign_permits(&self, mut permits: u64, wakes: &mut WakeRunner) {
        loop {
            let state = self.state();
            // MUTANTS: assign_permits 1
            if state.has_debt() && permits > 0 {
                permits -= self.waitlist().debt.claim(permits);
            }
            let Some(front) = state.front() else {
                if permits > 0 {
                    permits = self.make_free(state, permits);
                }
                if permits == 0 {
                    return;
                }
                continue;
            };
            let queue = self.queue();
            let node = queue.node(front.index);
            // ORDERING: Acquire pairs with the Release in `complete`, `complete_cancelled` and
            // `change_waker`.
            let word = WaiterState(node.word.load(Ordering::Acquire));
            // MUTANTS: assign_permits 3
            if word.generation() != front.generation {
                continue;
            }
            let serves = !state.is_closed() && self.is_satisfiable(node);
            match word.status() {
                // MUTANTS: assign_permits 4
                Status::Queued if permits == 0 && serves => return,
                // Inside a waker: the operation outside continues.
                Status::Queued if wake::defer_to_outer(self.address(), permits) => return,
                Status::Queued if !serves => {
                    let back = self.refuse_front(queue, front, node, word, wakes);
                    permits = permits.saturating_add(back);
                }
                Status::Queued => match self.offer(node, word, permits) {
                    Assignment::Partial => return,
                    Assignment::Retry { left } => permits = left,
                    Assignment::Satisfied { left } => {
                        // MUTANTS: assign_permits 5
                        let deferred = self.wake_if_responsible(queue, front, node, word, wakes);
                        self.retire(queue, front, Status::Granted, wakes);
                        // MUTANTS: assign_permits 6
                        permits = left.saturating_add(deferred.unwrap_or(0));
                        // MUTANTS: assign_permits 7
                        if permits == 0 && deferred.is_none() && !self.bound().is_some() {
                            return;
                        }
                    }
                },
                completed => {
                    // MUTANTS: assign_permits 8
                    let awake =
                        completed == Status::Cancelled || wake::is_waking(self.address(), front);
                    // MUTANTS: assign_permits 9
                    if !awake && begin_visit(node, front) {
                        let deferred = self.wake(queue, front, node, wakes);
                        permits = permits.saturating_add(deferred.unwrap_or(0));
                    }
                    self.retire(queue, front, completed, wakes);
                }
            }
        }
    }

    /// Makes permits free while nobody waits. Returns what is to be released again: all of it if the state has changed.
    fn make_free(&self, state: State, permits: u64) -> u64 {
        let free = state.permits().saturating_add(permits).min(Self::MAX_PERMITS);
        if !self.cas_state(state, state.with_permits(free)) {
            return permits;
        }
        // MUTANTS: make_free
        self.take_back_for_debt(state, permits)
    }

    /// Offers permits to the waiting front. One that must claim its permit finds it among the unclaimed.
    fn offer(&self, node: &Node, word: WaiterState, permits: u64) -> Assignment {
        // ORDERING: Relaxed: written before the node was linked. If it is of another life, the exchange of the word that
        // follows fails.
        if node.must_claim.load(Ordering::Relaxed) == 0 {
            return assign_to(node, word, permits);
        }
        let unclaimed = &self.waitlist().unclaimed;
        // MUTANTS: offer 1
        // First: a granted waiter finds its permit, and a thread that stalls in between keeps none.
        let epoch = unclaimed.add();
        // ORDERING: Relaxed: a hint, and a late thread may write it into a later life.
        node.granted_in.store(epoch.number(), Ordering::Relaxed);
        match assign_to(node, word, permits) {
            // MUTANTS: offer 2
            // Another has ended this wait. If the permit is claimed by now, it is in use.
            Assignment::Retry { left } if !unclaimed.claim(epoch) => {
                Assignment::Retry { left: left - 1 }
            }
            assignment => assignment,
        }
    }

    /// Whether the waiter at the front asks for no more than there can be.
    fn is_satisfiable(&self, front: &Node) -> bool {
        let bound = self.bound();
        // ORDERING: Relaxed: written before the node was linked. If it is of another life, the exchange of
        // the word that follows fails.
        !bound.is_some() || u64::from(front.total.load(Ordering::Relaxed)) <= bound.max_permits()
    }

    /// Tries to complete a waiting front as refused. Returns the permits that it had collected and those
    /// that its waker deferred.
    fn refuse_front(
        &self,
        queue: &Queue,
        front: NodeRef,
        node: &Node,
        word: WaiterState,
        wakes: &mut WakeRunner,
    ) -> u64 {
        // ORDERING: Relaxed: written before the node was linked, and of this life if `complete`
        // succeeds.
        let total = node.total.load(Ordering::Relaxed);
        if !complete(node, word, word.completed(Status::Refused)) {
            return 0;
        }
        let deferred = self.wake_if_responsible(queue, front, node, word, wakes);
        // MUTANTS: refuse_front
        u64::from(total - word.need()).saturating_add(deferred.unwrap_or(0))
    }

    // ---- debt --------------------------------------------------------------------------------

    /// Pays up to `most` of the debt with what is free; returns how much. `most` is what the caller itself removes.
    pub(super) fn settle(&self, waitlist: &Waitlist, most: u64, wakes: &mut WakeRunner) -> u64 {
        let mut paid = 0;
        loop {
            // ORDERING: Release, and a write even if DEBT is set. If it comes before a release's exchange
            // of this word, that release acquires the debt (in `state` or `cas_state`) and pays it. If
            // it comes after, its caller finds the released permits in the word, in `take_free`.
            self.state.fetch_or(State::DEBT, Ordering::Release);
            let (taken, claimed) = self.pay_with_free(waitlist, most - paid);
            paid += claimed;
            if taken > claimed {
                self.assign_permits(taken - claimed, wakes);
            }
            // MUTANTS: settle
            if taken == 0 {
                return paid;
            }
        }
    }

    /// After `released` permits were made free: takes as many back as are owed since the last look at the debt, and
    /// pays it. Returns what of them is to be released again, because others have paid.
    fn take_back_for_debt(&self, state: State, released: u64) -> u64 {
        if !state.has_debt() {
            return 0;
        }
        let (taken, claimed) = self.pay_with_free(self.waitlist(), released);
        taken - claimed
    }

    /// Takes up to `most` free permits, as many as are owed, and then pays with them. Returns how many it took, and how many of
    /// them were still owed.
    ///
    /// It has them in hand before it pays. A debt that is paid by permits that others can still take is no debt to those
    /// who add permits, and there would be too many. A thread that stalls in between keeps no more than it had to release
    /// or to remove.
    fn pay_with_free(&self, waitlist: &Waitlist, most: u64) -> (u64, u64) {
        // MUTANTS: pay_with_free
        let taken = self.take_free(waitlist.debt.owed().min(most));
        (taken, waitlist.debt.claim(taken))
    }
}
