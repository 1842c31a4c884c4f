//! The nodes of one semaphore: a free list, refilled by [chunks](super::chunks).
//!
//! The pool frees its nodes only when it is dropped. No other reclamation is needed: no epochs, nothing
//! deferred. Free nodes form a stack (Treiber 1986). Its head counts its changes, against ABA.

use super::chunks::Chunks;
use super::node::{INDEX_BITS, Link, NIL, Node, NodeRef, WaiterState};
use super::waiter::Waiter;
use crate::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;
use crossbeam_utils::CachePadded;

/// The free list's head: `[ changes : 36 | index : 28 ]`.
#[derive(Clone, Copy)]
struct Head(u64);

impl Head {
    fn index(self) -> u32 {
        (self.0 & ((1 << INDEX_BITS) - 1)) as u32
    }

    fn with_index(self, index: u32) -> Self {
        // MUTANTS: with_index
        Self(((self.0 >> INDEX_BITS).wrapping_add(1)) << INDEX_BITS | u64::from(index))
    }
}

pub(super) struct NodePool {
    head: CachePadded<AtomicU64>,
    chunks: Chunks,
}

impl NodePool {
    pub(super) fn new() -> Self {
        Self { head: CachePadded::new(AtomicU64::new(u64::from(NIL))), chunks: Chunks::new() }
    }

    /// The node with this index, which must have come from this pool.
    #[inline]
    pub(super) fn node(&self, index: u32) -> &Node {
        self.chunks.node(index)
    }

    /// A node of the caller's own, for this waiter.
    ///
    /// `None` if all nodes that can exist are in use.
    pub(super) fn alloc(&self, waiter: &Waiter, waker: Waker) -> Option<NodeRef> {
        let asked = waiter.asked();
        let index = self.pop().or_else(|| self.alloc_fresh())?;
        let node = self.node(index);
        // ORDERING: Relaxed: the node is the caller's alone; `pop` acquired its last owner's writes.
        let generation = WaiterState(node.word.load(Ordering::Relaxed)).generation();
        // ORDERING: Relaxed, as above.
        let next = Link(node.next.load(Ordering::Relaxed));
        // SAFETY: exclusive, as above; a node on the free list has no visitor.
        let old = node.waker.with_mut(|slot| unsafe { (*slot).replace(waker) });
        debug_assert!(old.is_none());
        // ORDERING: Relaxed: published by the Release that links the node.
        node.total.store(asked, Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        node.must_claim.store(u32::from(waiter.must_claim()), Ordering::Relaxed);
        // ORDERING: Relaxed: a hint.
        node.prev.store(NodeRef::NONE.bits(), Ordering::Relaxed);
        // MUTANTS: alloc 1
        // ORDERING: Release, as in `bump_generation`, whose store this one hides.
        node.word.store(WaiterState::queued(generation, asked).0, Ordering::Release);
        // MUTANTS: alloc 2
        // ORDERING: Release pairs with the Acquire of a late thread that reads `next` through an old
        // NodeRef: that thread then sees the new generation too, and drops what it read.
        node.next.store(next.relinked(NIL).0, Ordering::Release);
        Some(NodeRef { index, generation })
    }

    /// Sets how many permits a node lacks that is not linked yet.
    pub(super) fn set_need(&self, node: NodeRef, need: u32) {
        let word = WaiterState::queued(node.generation, need);
        // ORDERING: Release, as in `alloc`.
        self.node(node.index).word.store(word.0, Ordering::Release);
    }

    /// Frees a node that has no owner and no visitor: one that is off the queue and sealed (its word in
    /// the next generation), or one that was never linked. Returns its waker, to be dropped once all
    /// invariants hold.
    pub(super) fn free(&self, index: u32) -> Option<Waker> {
        let node = self.node(index);
        // MUTANTS: free
        // SAFETY: the caller holds the node alone.
        let waker = node.waker.with_mut(|slot| unsafe { (*slot).take() });
        self.push(index, index);
        waker
    }

    /// Adds a node to a batch: sealed, off the queue, its waker gone.
    pub(super) fn free_later(&self, batch: &mut FreeBatch, index: u32) {
        let node = self.node(index);
        // SAFETY: the caller holds the node alone.
        debug_assert!(node.waker.with(|slot| unsafe { (*slot).is_none() }));
        if batch.len == 0 {
            batch.last = index;
        } else {
            // ORDERING: Relaxed: only the owner of a free node changes its `next`.
            let next = Link(node.next.load(Ordering::Relaxed));
            // ORDERING: Release pairs with a late thread's Acquire, as in `alloc`.
            node.next.store(next.relinked(batch.first).marked().0, Ordering::Release);
        }
        batch.first = index;
        batch.len += 1;
        if batch.len == FreeBatch::MAX {
            self.free_batch(batch);
        }
    }

    pub(super) fn free_batch(&self, batch: &mut FreeBatch) {
        if batch.len > 0 {
            // MUTANTS: free_batch
            self.push(batch.first, batch.last);
            batch.len = 0;
        }
    }

    /// Pushes nodes that are linked from `first` to `last`.
    fn push(&self, first: u32, last: u32) {
        let node = self.node(last);
        // ORDERING: Relaxed: only the owner of a free node changes its `next`.
        let next = Link(node.next.load(Ordering::Relaxed));
        // ORDERING: Relaxed: the exchange below acquires nothing, `pop` reads the node itself.
        let mut head = Head(self.head.load(Ordering::Relaxed));
        loop {
            let link = next.relinked(head.index()).marked();
            // ORDERING: Release pairs with a late thread's Acquire, as in `alloc`.
            node.next.store(link.0, Ordering::Release);
            // ORDERING: Release pairs with the Acquire in `pop`: the taker sees the nodes as they were
            // left.
            match self.head.compare_exchange_weak(
                head.0,
                head.with_index(first).0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = Head(now),
            }
        }
    }

    fn pop(&self) -> Option<u32> {
        // ORDERING: Acquire pairs with the Release in `push`.
        let mut head = Head(self.head.load(Ordering::Acquire));
        while head.index() != NIL {
            // ORDERING: Relaxed: `head` acquired it; if the node is gone, the exchange fails.
            let next = Link(self.node(head.index()).next.load(Ordering::Relaxed));
            // ORDERING: Acquire on failure as for the load above. Success needs none of its own: the
            // load acquired the push, and the count makes this the same write.
            match self.head.compare_exchange_weak(
                head.0,
                head.with_index(next.index()).0,
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(head.index()),
                Err(now) => head = Head(now),
            }
        }
        None
    }

    /// A node that was never used. The rest of its chunk becomes free.
    #[cold]
    fn alloc_fresh(&self) -> Option<u32> {
        let indices = self.chunks.alloc_chunk()?;
        // MUTANTS: alloc_fresh
        if indices.len() > 1 {
            self.push(indices.start + 1, indices.end - 1);
        }
        Some(indices.start)
    }

    /// Nodes that are neither fresh nor free.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(super) fn in_use(&self) -> u32 {
        // ORDERING: Relaxed: the models ask when no other thread runs.
        let mut at = Head(self.head.load(Ordering::Relaxed)).index();
        let mut free = 0;
        while at != NIL {
            free += 1;
            // ORDERING: Relaxed, as above.
            at = Link(self.node(at).next.load(Ordering::Relaxed)).index();
        }
        self.chunks.nodes() - free
    }
}

/// Nodes that are freed together, by one compare-and-swap.
#[derive(Default)]
pub(super) struct FreeBatch {
    first: u32,
    last: u32,
    len: u32,
}

impl FreeBatch {
    /// A thread that stalls for ever keeps one batch, and the run that it is unlinking.
    const MAX: u32 = 64;
}
