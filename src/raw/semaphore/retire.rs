//! Wakes a completed waiter and takes its node off the front of the queue.
//!
//! Any thread that meets a completed front does both, whichever thread completed it.

use super::node::{Link, NIL, Node, NodeRef, Status, WaiterState};
use super::queue::Queue;
use super::raw_semaphore::RawSemaphore;
use super::transitions::{bump_generation, generation, mark, seal_cancelled};
use super::wake::WakeRunner;
use crate::sync::atomic::Ordering;
use core::ptr;

impl RawSemaphore {
    /// Names this semaphore among those that a thread is inside of.
    pub(super) fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Wakes a waiter that this thread has completed. The thread is its first visitor, unless the owner was
    /// registering a waker: that owner sees for itself that it is served.
    pub(super) fn wake_if_responsible(
        &self,
        queue: &Queue,
        front: NodeRef,
        node: &Node,
        before: WaiterState,
        wakes: &mut WakeRunner,
    ) -> Option<u64> {
        // MUTANTS: wake_if_responsible
        if before.is_registering() { None } else { self.wake(queue, front, node, wakes) }
    }

    /// A visitor wakes the waiter and goes. Returns what operations inside the waker deferred.
    pub(super) fn wake(
        &self,
        queue: &Queue,
        node_ref: NodeRef,
        node: &Node,
        wakes: &mut WakeRunner,
    ) -> Option<u64> {
        wakes.inside(self.address(), node_ref, |wakes| {
            node.waker.with(|slot| {
                // SAFETY: as a visitor: no thread writes the slot while another is inside.
                wakes.wake(unsafe { (*slot).as_ref() });
            });
            // Also noted as inside: the drop of the waker may drop its task.
            end_visit(queue, node_ref, node, wakes);
        })
    }

    /// Takes the completed `front` off the queue, if it still is the front.
    pub(super) fn retire(
        &self,
        queue: &Queue,
        front: NodeRef,
        status: Status,
        wakes: &mut WakeRunner,
    ) {
        let Some(next) = self.mark_front(queue.node(front.index), front) else { return };
        // The mark keeps `next` as it is, so the successor stays linked until `state` moves on.
        let successor = (next.index() != NIL).then(|| NodeRef {
            index: next.index(),
            generation: generation(queue.node(next.index())),
        });
        loop {
            let state = self.state();
            // MUTANTS: retire 1
            if state.front() != Some(front) {
                return;
            }
            let to = successor.map_or(state.with_permits(0), |next| state.with_front(next));
            if self.cas_state(state, to) {
                break;
            }
        }
        // MUTANTS: retire 2
        if status == Status::Cancelled {
            free_cancelled(queue, front.index, wakes);
        }
    }

    /// Marks the front's `next`; `None` if it is no longer the front.
    fn mark_front(&self, node: &Node, front: NodeRef) -> Option<Link> {
        loop {
            // ORDERING: Acquire pairs with the Release in `enqueue` and `unlink_after`: it shows the
            // successor. It keeps the check of `state` after it.
            let next = Link(node.next.load(Ordering::Acquire));
            // MUTANTS: mark_front 1
            if self.state().front() != Some(front) {
                return None;
            }
            // MUTANTS: mark_front 2
            if next.is_marked() || mark(node, next) {
                return Some(next.marked());
            }
        }
    }
}

/// A visitor that has woken the waiter goes. The last one takes the waker, which is no longer needed, and
/// frees the node if its owner has gone before.
fn end_visit(queue: &Queue, node_ref: NodeRef, node: &Node, wakes: &mut WakeRunner) {
    let mut taken = None;
    // ORDERING: Relaxed: a guess; the exchange decides.
    let mut word = WaiterState(node.word.load(Ordering::Relaxed));
    loop {
        // MUTANTS: end_visit 1
        let takes = word.visitors() == 1 && !word.is_registering() && !word.is_abandoned();
        // MUTANTS: end_visit 2
        let to =
            if takes { word.0 | WaiterState::REGISTERING } else { word.0 - WaiterState::VISITOR };
        // ORDERING: Release: the read of the waker comes before the owner's freeing (Acquire in
        // `release_node`) and before another visitor takes it. Acquire, for the last one, as the owner's
        // in `release_node`.
        match node.word.compare_exchange_weak(word.0, to, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) if takes => {
                // SAFETY: the only visitor, and REGISTERING lets no other in. The owner does not touch
                // the slot while there is a visitor.
                taken = node.waker.with_mut(|slot| unsafe { (*slot).take() });
                // Still counted until the slot is untouched. REGISTERING is set, so the next round takes
                // the other branch.
                word = WaiterState(to);
            }
            // MUTANTS: end_visit 3
            Ok(_) if word.is_abandoned() && word.visitors() == 1 => {
                bump_generation(node, word);
                taken = taken.or(queue.pool.free(node_ref.index));
                break;
            }
            Ok(_) => break,
            Err(now) => word = WaiterState(now),
        }
    }
    wakes.drop(taken);
}

/// Frees a cancelled node that this thread has unlinked.
fn free_cancelled(queue: &Queue, index: u32, wakes: &mut WakeRunner) {
    // MUTANTS: free_cancelled
    seal_cancelled(queue.node(index));
    wakes.drop(queue.pool.free(index));
}
