//! Links a node behind the last one (Michael and Scott 1996).

use super::node::{Link, NIL, NodeRef};
use super::queue::Queue;
use super::transitions::generation;
use crate::sync::atomic::Ordering;

/// The front has changed or is leaving: no thread can link behind it.
pub(super) struct FrontLeaving;

impl Queue {
    /// Links `new` behind the last node of the queue that starts at `front`.
    pub(super) fn enqueue(&self, front: NodeRef, new: NodeRef) -> Result<(), FrontLeaving> {
        let mut last = self.tail_hint();
        let mut at = last.unwrap_or(front);
        let mut before = None;
        loop {
            let node = self.node(at.index);
            // ORDERING: Acquire pairs with the Release of the link that wrote it, below or in
            // `unlink_after`, so that the successor is visible. It keeps the generation check after this
            // load.
            let next = Link(node.next.load(Ordering::Acquire));
            // MUTANTS: enqueue 1
            if next.is_marked() || generation(node) != at.generation {
                at = match before.take() {
                    _ if at == front => return Err(FrontLeaving),
                    // In the middle: it must be unlinked before the end can be reached through it.
                    Some(before) => {
                        // MUTANTS: enqueue 2
                        self.unlink_behind(before);
                        before
                    }
                    None => {
                        let told = last;
                        last = self.tail_hint();
                        let newer = last.filter(|_| last != told);
                        newer.or_else(|| self.linked_before(told?)).unwrap_or(front)
                    }
                };
                continue;
            }
            if next.index() != NIL {
                if let Some(successor) = self.successor(node, next) {
                    (before, at) = (Some(at), successor);
                }
                continue;
            }
            // ORDERING: Relaxed: published with the link.
            self.node(new.index).prev.store(at.bits(), Ordering::Relaxed);
            // Unmarked and of this life: `at` is in the queue. If it has left, its version has changed and
            // the exchange fails.
            // ORDERING: Release publishes the new node's fields to the Acquire loads of `next` above, in
            // `mark_front` and in `sweep_from`.
            let linked = node.next.compare_exchange(
                next.0,
                next.relinked(new.index).0,
                Ordering::Release,
                Ordering::Relaxed,
            );
            if linked.is_ok() {
                self.move_tail_hint(last, new);
                return Ok(());
            }
        }
    }
}
