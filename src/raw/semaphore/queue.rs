//! The nodes of the waiters as a linked list, and the hints about it.
//!
//! The list starts at the front that the semaphore's state names. It ends at the node whose `next` is
//! [`NIL`]. The tail and every `prev` are hints: the code checks them at each use.

use super::node::{Link, NIL, Node, NodeRef};
use super::pool::NodePool;
use super::transitions::generation;
use crate::sync::atomic::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

/// The nodes of one semaphore, free and queued.
pub(super) struct Queue {
    pub(super) pool: NodePool,
    /// Probably the last node.
    tail: CachePadded<AtomicU64>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { pool: NodePool::new(), tail: CachePadded::new(AtomicU64::new(u64::from(NIL))) }
    }

    /// The node with this index, which must have come from this queue's pool.
    #[inline]
    pub(super) fn node(&self, index: u32) -> &Node {
        self.pool.node(index)
    }

    /// Probably the last node.
    pub(super) fn tail_hint(&self) -> Option<NodeRef> {
        // ORDERING: Acquire pairs with the Release in `move_tail_hint`: the node is seen as it was when
        // it was linked, so its generation and its `next` are at least that new.
        NodeRef::from_bits(self.tail.load(Ordering::Acquire)).some()
    }

    /// Names `node` as the last one, if the hint still says `before`.
    ///
    /// So a late thread does not point the others back to a former end.
    pub(super) fn move_tail_hint(&self, before: Option<NodeRef>, node: NodeRef) {
        let before = before.unwrap_or(NodeRef::NONE).bits();
        // ORDERING: Release pairs with the Acquire in `tail_hint`. Relaxed on failure: another thread has
        // moved the hint.
        let _ =
            self.tail.compare_exchange(before, node.bits(), Ordering::Release, Ordering::Relaxed);
    }

    /// The node behind `node`, whose `next` was read as `next`; `None` if that has changed since.
    pub(super) fn successor(&self, node: &Node, next: Link) -> Option<NodeRef> {
        let generation = generation(self.node(next.index()));
        // The node is still linked, hence not reused before: the generation is that of the linked life.
        // ORDERING: Relaxed: kept after the Acquire load above; only compared.
        let unchanged = node.next.load(Ordering::Relaxed) == next.0;
        // MUTANTS: successor
        unchanged.then_some(NodeRef { index: next.index(), generation })
    }

    /// Whether the node is in the queue and another could be linked behind it.
    pub(super) fn is_linked(&self, at: NodeRef) -> bool {
        let node = self.node(at.index);
        // ORDERING: Acquire pairs with the Release that wrote `next`, and keeps the check of the
        // generation after it.
        let next = Link(node.next.load(Ordering::Acquire));
        !next.is_marked() && generation(node) == at.generation
    }

    /// A node in the queue before this one, by the hints. If the node that `prev` names is leaving too,
    /// the one before it, and so on.
    pub(super) fn linked_before(&self, mut at: NodeRef) -> Option<NodeRef> {
        /// At most this many leaving neighbours are passed.
        const BACK: u32 = if cfg!(ringgate_loom) { 2 } else { 8 };
        for _ in 0..BACK {
            // ORDERING: Relaxed: a hint, checked before it is used.
            let before = self.node(at.index).prev.load(Ordering::Relaxed);
            at = NodeRef::from_bits(before).some()?;
            if self.is_linked(at) {
                return Some(at);
            }
        }
        None
    }
}
