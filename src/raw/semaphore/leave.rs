//! How the owner of a node leaves: with its permits, refused, or cancelled.

use super::node::{NodeRef, Status, WaiterState};
use super::raw_semaphore::{RawSemaphore, Waitlist};
use super::transitions::complete_cancelled;
use super::unclaimed::Epoch;
use super::waiter::Waiter;
use super::wake::WakeRunner;
use crate::sync::atomic::Ordering;

impl RawSemaphore {
    /// Gives up the request. What it had collected or was granted goes to the waiters behind.
    pub(crate) fn cancel(&self, waiter: &mut Waiter) {
        let Some(node_ref) = waiter.node.take() else { return };
        let waitlist = self.waitlist();
        let node = waitlist.queue.node(node_ref.index);
        let mut wakes = WakeRunner::default();
        let (word, waker) = complete_cancelled(node);
        let mut back = waiter.asked();
        match word.status() {
            // MUTANTS: cancel 1
            Status::Granted => back = self.take_grant(waiter, node_ref, &mut wakes),
            Status::Refused => {
                self.release_node(node_ref, &mut wakes);
                // MUTANTS: cancel 2
                back = 0; // `refuse_front` gave it back
            }
            Status::Queued | Status::Cancelled => {
                // MUTANTS: cancel 3
                back -= word.need();
                self.unlink_or_defer(waitlist, node_ref, &mut wakes);
            }
        }
        self.assign_permits(u64::from(back), &mut wakes);
        wakes.drop(waker);
        wakes.finish();
    }

    /// Unlinks a node that was just cancelled, or leaves it over for the sweep.
    fn unlink_or_defer(&self, waitlist: &Waitlist, node_ref: NodeRef, wakes: &mut WakeRunner) {
        let Waitlist { queue, leftovers, .. } = waitlist;
        // MUTANTS: unlink_or_defer 1
        if self.state().front() == Some(node_ref) {
            self.retire(queue, node_ref, Status::Cancelled, wakes);
            return;
        }
        // MUTANTS: unlink_or_defer 2
        if queue.unlink(node_ref) {
            return;
        }
        // Its predecessor has left meanwhile. If that was the front, this node is the front now.
        if self.state().front() == Some(node_ref) {
            self.retire(queue, node_ref, Status::Cancelled, wakes);
            return;
        }
        // ORDERING: Relaxed: counts only decide when to sweep. One that another canceller overwrites makes
        // the sweep a little later.
        let count = leftovers.count.load(Ordering::Relaxed) + 1;
        // ORDERING: Relaxed, as above.
        leftovers.count.store(count, Ordering::Relaxed);
        // MUTANTS: unlink_or_defer 3
        // ORDERING: Relaxed, as above.
        if count >= leftovers.sweep_at.load(Ordering::Relaxed) {
            self.sweep_on(waitlist, wakes);
        }
    }

    /// The owner of a granted node frees it. Returns how many permits it has now: none if it had to claim its permit, and
    /// another has done so.
    pub(super) fn take_grant(
        &self,
        waiter: &Waiter,
        node_ref: NodeRef,
        wakes: &mut WakeRunner,
    ) -> u32 {
        let Waitlist { queue, unclaimed, .. } = self.waitlist();
        // ORDERING: Relaxed: a hint.
        let granted_in = queue.node(node_ref.index).granted_in.load(Ordering::Relaxed);
        // Before the claim: it acquires the grant, and with it the count.
        self.release_node(node_ref, wakes);
        // MUTANTS: take_grant
        if !waiter.must_claim() || unclaimed.claim(Epoch::from_number(granted_in)) {
            waiter.asked()
        } else {
            0
        }
    }

    /// The owner of a granted or refused node frees it, or leaves that to the last visitor. Retires it first
    /// if it is still the front.
    pub(super) fn release_node(&self, node_ref: NodeRef, wakes: &mut WakeRunner) {
        let queue = self.queue();
        let node = queue.node(node_ref.index);
        // ORDERING: Acquire pairs with the Release in `complete`: the permit's history, and a state no
        // older than the one in which this node was the front.
        let mut word = WaiterState(node.word.load(Ordering::Acquire));
        // MUTANTS: release_node 1
        if self.state().front() == Some(node_ref) {
            self.retire(queue, node_ref, Status::Granted, wakes);
        }
        if self.bound().is_some() {
            // A thread that makes a front checks whether it is satisfiable. That thread may have stalled.
            self.assign_permits(0, wakes);
        }
        loop {
            // MUTANTS: release_node 2
            let alone = word.visitors() == 0;
            let to = if alone { word.next_generation() } else { word.abandoned() };
            // ORDERING: Acquire pairs with the Release in `end_visit`: the visitors' reads of the waker
            // come before the owner takes it. Release hands the node to the last visitor.
            match node.word.compare_exchange(word.0, to.0, Ordering::AcqRel, Ordering::Relaxed) {
                // MUTANTS: release_node 3
                Ok(_) if alone => return wakes.drop(queue.pool.free(node_ref.index)),
                Ok(_) => return,
                Err(now) => word = WaiterState(now),
            }
        }
    }
}
