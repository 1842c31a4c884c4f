//! The steps of one node's life, each a compare-and-swap on its `word` or its `next`.

use super::node::{Link, Node, NodeRef, Status, WaiterState};
use super::waiter::{Waiter, WakerId};
use crate::sync::atomic::Ordering;
use core::task::{Context, Waker};

pub(super) fn generation(node: &Node) -> u32 {
    // ORDERING: Acquire pairs with the Release in `bump_generation` and `NodePool::alloc`, and keeps the
    // caller's next read (of a `next` or of `state`) after this one.
    WaiterState(node.word.load(Ordering::Acquire)).generation()
}

pub(super) fn mark(node: &Node, next: Link) -> bool {
    // ORDERING: Release: a thread that sees the mark sees that the node is completed. Acquire is not
    // needed: the caller has loaded `next` with it, and its version makes this the same write.
    let marked = next.marked().0;
    node.next.compare_exchange(next.0, marked, Ordering::Release, Ordering::Relaxed).is_ok()
}

/// What became of permits offered to a waiting front.
pub(super) enum Assignment {
    /// All went into its need.
    Partial,
    /// Its need is met, and `left` permits remain.
    Satisfied { left: u64 },
    /// Its word has changed. All `left` permits remain.
    Retry { left: u64 },
}

/// Offers permits to the waiting front.
pub(super) fn assign_to(node: &Node, word: WaiterState, permits: u64) -> Assignment {
    debug_assert!(permits > 0);
    let need = u64::from(word.need());
    let (to, assignment) = match u32::try_from(permits) {
        Ok(part) if permits < need => (word.with_less_need(part), Assignment::Partial),
        _ => (word.completed(Status::Granted), Assignment::Satisfied { left: permits - need }),
    };
    if complete(node, word, to) { assignment } else { Assignment::Retry { left: permits } }
}

pub(super) fn complete(node: &Node, from: WaiterState, to: WaiterState) -> bool {
    // ORDERING: Release publishes the releaser's work to the owner's Acquire in `release_node`. Acquire
    // takes over what earlier partial assignments published, and the waker that the owner may have
    // changed (Release in `change_waker`).
    node.word.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Becomes a visitor of a completed node. Fails if this life is over, or if the owner is registering or
/// has abandoned the node.
pub(super) fn begin_visit(node: &Node, node_ref: NodeRef) -> bool {
    // ORDERING: Relaxed: a guess; the exchange compares all of it.
    let mut word = WaiterState(node.word.load(Ordering::Relaxed));
    loop {
        let completed = matches!(word.status(), Status::Granted | Status::Refused);
        // MUTANTS: begin_visit
        if word.generation() != node_ref.generation
            || !completed
            || word.is_registering()
            || word.is_abandoned()
        {
            return false;
        }
        // ORDERING: Acquire pairs with the Release of the owner's last `change_waker`, which may have
        // ended after the completion.
        match node.word.compare_exchange_weak(
            word.0,
            word.0 + WaiterState::VISITOR,
            Ordering::Acquire,
            Ordering::Relaxed,
        ) {
            Ok(_) => return true,
            Err(now) => word = WaiterState(now),
        }
    }
}

/// The owner replaces its waker. Returns the word that it found afterwards, and the old waker.
pub(super) fn change_waker(
    node: &Node,
    waiter: &mut Waiter,
    cx: &Context<'_>,
) -> (WaiterState, Option<Waker>) {
    let waker = cx.waker().clone();
    waiter.waker = WakerId::of(&waker);
    // ORDERING: Relaxed: while QUEUED no other thread touches the slot; if completed, `release_node`
    // acquires.
    let found = WaiterState(node.word.fetch_or(WaiterState::REGISTERING, Ordering::Relaxed));
    if !found.is_queued() {
        return (found, None);
    }
    // SAFETY: QUEUED and REGISTERING: no visitor enters until REGISTERING is cleared.
    let old = node.waker.with_mut(|slot| unsafe { (*slot).replace(waker) });
    // MUTANTS: change_waker
    // ORDERING: Release publishes the new waker to the Acquire in `complete` and `begin_visit`.
    let found = WaiterState(node.word.fetch_and(!WaiterState::REGISTERING, Ordering::Release));
    (found, old)
}

/// The owner ends its own wait, unless another thread has ended it. Returns the waker, and the word that
/// was replaced (`QUEUED`: the owner cancelled) or found.
pub(super) fn complete_cancelled(node: &Node) -> (WaiterState, Option<Waker>) {
    // ORDERING: Relaxed, as in `change_waker`.
    let mut word = WaiterState(node.word.fetch_or(WaiterState::REGISTERING, Ordering::Relaxed));
    if !word.is_queued() {
        return (word, None);
    }
    // SAFETY: QUEUED and REGISTERING: no visitor enters.
    let waker = node.waker.with_mut(|slot| unsafe { (*slot).take() });
    word = WaiterState(word.0 | WaiterState::REGISTERING);
    while word.is_queued() {
        // ORDERING: Acquire takes over the history of the permits collected so far (Release in
        // `complete`). Release: after this the node may be reused, so the taking of the waker comes
        // before (Acquire in `try_mark` and `assign_permits`).
        match node.word.compare_exchange_weak(
            word.0,
            word.completed(Status::Cancelled).0,
            Ordering::AcqRel,
            Ordering::Relaxed,
        ) {
            // MUTANTS: complete_cancelled
            Ok(_) => break,
            Err(now) => word = WaiterState(now),
        }
    }
    (word, waker)
}

/// Ends the life of a cancelled node that this thread has unlinked.
pub(super) fn seal_cancelled(node: &Node) {
    // ORDERING: Relaxed: the caller found it cancelled with Acquire, in `assign_permits` or `try_mark`.
    let word = WaiterState(node.word.load(Ordering::Relaxed));
    debug_assert!(word.status() == Status::Cancelled);
    bump_generation(node, word);
}

/// Seals a node that is the caller's alone: no owner, no visitor, off the queue.
pub(super) fn bump_generation(node: &Node, word: WaiterState) {
    // ORDERING: Release pairs with the Acquire in `generation` and every other check of a generation. A
    // thread that sees the new one sees that the node has left the queue, and does not read a stale
    // queue again and again.
    node.word.store(word.next_generation().0, Ordering::Release);
}
