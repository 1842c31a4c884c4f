//! Takes cancelled nodes out of the middle of the queue (Harris 2001, Michael 2002).
//!
//! A node is marked first, so that no thread links behind it any more. Then its predecessor's `next` skips
//! it. The thread whose compare-and-swap skips the node frees it.

use super::node::{Link, NIL, NodeRef, Status, WaiterState};
use super::pool::FreeBatch;
use super::queue::Queue;
use super::transitions::{generation, mark, seal_cancelled};
use crate::sync::atomic::Ordering;

impl Queue {
    /// Unlinks a cancelled node from the middle; false if it may still be linked.
    pub(super) fn unlink(&self, node_ref: NodeRef) -> bool {
        let Some(before) = self.linked_before(node_ref) else { return false };
        self.unlink_behind(before);
        // The thread that unlinks it seals it.
        generation(self.node(node_ref.index)) != node_ref.generation
    }

    /// Unlinks the cancelled nodes right behind `before`, if that is in the queue.
    pub(super) fn unlink_behind(&self, before: NodeRef) {
        let node = self.node(before.index);
        // ORDERING: Acquire pairs with the Release of the link that wrote it, in `enqueue` or
        // `unlink_after`.
        let next = Link(node.next.load(Ordering::Acquire));
        // MUTANTS: unlink_behind
        if next.is_marked() || generation(node) != before.generation || next.index() == NIL {
            return;
        }
        let mut batch = FreeBatch::default();
        self.unlink_after(before, next, &mut batch);
        self.pool.free_batch(&mut batch);
    }

    /// Unlinks the cancelled nodes behind `before`, whose `next` was read as `next`: a run of them by one
    /// compare-and-swap. False if the node behind is not cancelled.
    pub(super) fn unlink_after(&self, before: NodeRef, next: Link, batch: &mut FreeBatch) -> bool {
        /// A longer run takes several calls.
        const RUN: u32 = 64;
        let node = self.node(before.index);
        let mut end = next.index();
        for _ in 0..RUN {
            match self.try_mark(before, next, end) {
                Mark::Live if end == next.index() => return false,
                Mark::Live | Mark::Retry => break,
                Mark::Marked { successor } => end = successor,
            }
            if end == NIL {
                break;
            }
        }
        if end == next.index() {
            return true;
        }
        // ORDERING: Release carries on what the last one's `next` published, to the Acquire loads of
        // `next` in `enqueue`, `mark_front` and here. Acquire is not needed: `try_mark` acquired that the
        // nodes are cancelled and their wakers gone.
        let unlinked = node.next.compare_exchange(
            next.0,
            next.relinked(end).0,
            Ordering::Release,
            Ordering::Relaxed,
        );
        if unlinked.is_ok() && end != NIL {
            // ORDERING: Relaxed: a hint. If that node has left and been reused, the hint is wrong.
            self.node(end).prev.store(before.bits(), Ordering::Relaxed);
        }
        let mut index = next.index();
        // MUTANTS: unlink_after
        while unlinked.is_ok() && index != end {
            let node = self.node(index);
            // ORDERING: Relaxed: marked, hence as `try_mark` read it.
            let behind = Link(node.next.load(Ordering::Relaxed)).index();
            seal_cancelled(node);
            self.pool.free_later(batch, index);
            index = behind;
        }
        true
    }

    /// Marks the node `index` if it is cancelled. It is linked behind `before`, whose `next` was `next`,
    /// directly or through other marked nodes.
    fn try_mark(&self, before: NodeRef, next: Link, index: u32) -> Mark {
        let node = self.node(before.index);
        let child = self.node(index);
        // ORDERING: Acquire pairs with the Release in `complete_cancelled`: the canceller has taken the
        // waker.
        let word = WaiterState(child.word.load(Ordering::Acquire));
        // MUTANTS: try_mark 1
        if word.status() != Status::Cancelled {
            return Mark::Live;
        }
        // ORDERING: Acquire pairs with the Release in `enqueue`: it shows the successor. It keeps the
        // check below after it.
        let beyond = Link(child.next.load(Ordering::Acquire));
        // MUTANTS: try_mark 2
        // Still linked: `beyond` belongs to the life that was seen cancelled.
        // ORDERING: Relaxed: only compared.
        if node.next.load(Ordering::Relaxed) != next.0 {
            return Mark::Retry;
        }
        if beyond.index() == NIL {
            // Once it is marked, no thread can link behind it.
            let leaving = NodeRef { index, generation: word.generation() };
            // MUTANTS: try_mark 3
            self.move_tail_hint(Some(leaving), before);
        }
        // MUTANTS: try_mark 4
        if !(beyond.is_marked() || mark(child, beyond)) {
            return Mark::Retry;
        }
        Mark::Marked { successor: beyond.index() }
    }
}

/// What `try_mark` found.
enum Mark {
    /// The node is not cancelled.
    Live,
    /// The node is cancelled and marked.
    Marked { successor: u32 },
    /// The queue has changed.
    Retry,
}
