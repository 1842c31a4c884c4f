//! Where nodes come from: a free list, filled up by [chunks](super::chunks).
//!
//! Nodes are never freed before the store. That is all the reclamation there is: no epochs, nothing
//! deferred. Free nodes form a stack (Treiber 1986) whose head carries a count of its changes,
//! against ABA.

use super::chunks::Chunks;
use super::line::Line;
use super::node::{INDEX_BITS, NIL, Next, Node, Ref, Word};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::leak::Canary;
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
        Self(((self.0 >> INDEX_BITS).wrapping_add(1)) << INDEX_BITS | u64::from(index))
    }
}

/// The nodes of one semaphore and the hints about its line.
pub(super) struct Store {
    free: CachePadded<AtomicU64>,
    /// Probably the last in line. Trusted for nothing: checked at each use.
    last: CachePadded<AtomicU64>,
    pub(super) leftovers: Leftovers,
    chunks: Chunks,
    /// Permits taken away that were in use: releases pay them first. Signed.
    debt: AtomicU64,
    /// Those who wait for the close alone.
    pub(super) watchers: Line,
    pub(super) made: Canary,
}

/// Cancelled waiters that were not unlinked at once, and the sweep that is to find them. Counts and
/// places that only say when and where to look.
pub(super) struct Leftovers {
    /// How many there are.
    pub(super) count: AtomicU64,
    /// How many of them call for a sweep.
    pub(super) sweep_at: AtomicU64,
    /// Where the sweep has come to; NIL between two sweeps.
    pub(super) reached: AtomicU64,
    /// The living it has passed.
    pub(super) passed: AtomicU64,
}

impl Leftovers {
    /// A sweep is not worth while for fewer than this.
    pub(super) const AT_LEAST: u64 =
        if cfg!(any(ringgate_loom, ringgate_shuttle)) { 1 } else { 32 };
    /// There are never many more than this: a release may have to go through them all.
    pub(super) const AT_MOST: u64 = 4096;

    fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            sweep_at: AtomicU64::new(Self::AT_LEAST),
            reached: AtomicU64::new(u64::from(NIL)),
            passed: AtomicU64::new(0),
        }
    }
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            free: CachePadded::new(AtomicU64::new(u64::from(NIL))),
            last: CachePadded::new(AtomicU64::new(u64::from(NIL))),
            leftovers: Leftovers::new(),
            chunks: Chunks::new(),
            debt: AtomicU64::new(0),
            watchers: Line::new(0),
            made: Canary::new(),
        }
    }

    pub(super) fn debt(&self) -> u64 {
        // ORDERING: Relaxed: a count for information, or in `settle_late`, where the exchange of the
        // state before it acquired every debt whose `settle` came earlier on that word.
        owed(self.debt.load(Ordering::Relaxed).cast_signed())
    }

    /// Adds to the debt, which saturates.
    pub(super) fn owe(&self, permits: u64) {
        self.change_debt(|debt| debt.saturating_add_unsigned(permits));
    }

    /// Takes off the debt what is gone; below nought if that is still to be written down.
    pub(super) fn cancel_debt(&self, permits: u64) {
        self.change_debt(|debt| debt.saturating_sub_unsigned(permits));
    }

    /// Takes up to `permits` off the debt, for the caller to pay; returns how many.
    pub(super) fn claim_debt(&self, permits: u64) -> u64 {
        let claimed = |debt| owed(debt).min(permits);
        claimed(self.change_debt(|debt| debt.saturating_sub_unsigned(claimed(debt))))
    }

    /// Returns the debt before the change.
    fn change_debt(&self, change: impl Fn(i64) -> i64) -> i64 {
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut debt = self.debt.load(Ordering::Relaxed);
        loop {
            // ORDERING: Relaxed: the permits paid are gone, so nothing is handed on; that there is
            // a debt is published with DEBT.
            match self.debt.compare_exchange_weak(
                debt,
                change(debt.cast_signed()).cast_unsigned(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return debt.cast_signed(),
                Err(now) => debt = now,
            }
        }
    }

    /// The node with this index, which must have come from this store.
    #[inline]
    pub(super) fn node(&self, index: u32) -> &Node {
        self.chunks.node(index)
    }

    /// A node of the caller's own, asking for `total` permits and still lacking `need`.
    ///
    /// `None` when all nodes there can be are in use.
    pub(super) fn prepare(&self, total: u32, need: u32, waker: Waker) -> Option<Ref> {
        let index = self.pop().or_else(|| self.bring())?;
        let node = self.node(index);
        // ORDERING: Relaxed: the node is ours alone; `pop` acquired its last owner's writes.
        let generation = Word(node.word.load(Ordering::Relaxed)).generation();
        // ORDERING: Relaxed, as above.
        let next = Next(node.next.load(Ordering::Relaxed));
        // SAFETY: exclusive, as above; no visitor is left in a node on the free list.
        let old = node.waker.with_mut(|slot| unsafe { (*slot).replace(waker) });
        debug_assert!(old.is_none());
        // ORDERING: Relaxed: published by the Release that links the node.
        node.total.store(total, Ordering::Relaxed);
        // ORDERING: Relaxed: a hint.
        node.prev.store(Ref::NONE.bits(), Ordering::Relaxed);
        // ORDERING: Release, as when the last life ended (`end_life`): this store hides that one.
        node.word.store(Word::queued(generation, need).0, Ordering::Release);
        // ORDERING: Release pairs with the Acquire of a straggler that reads `next` through an old
        // Ref: it then sees the new generation too, and drops what it read.
        node.next.store(next.relinked(NIL).0, Ordering::Release);
        Some(Ref { index, generation })
    }

    /// Sets what a still unlinked node lacks.
    pub(super) fn set_need(&self, node: Ref, need: u32) {
        // ORDERING: Release, as in `prepare`.
        self.node(node.index).word.store(Word::queued(node.generation, need).0, Ordering::Release);
    }

    /// Takes back a node with no owner and no visitor: one that is off the line and sealed (its
    /// word in the next life), or one that was never linked. Returns
    /// its waker, to be dropped when nothing is open any more.
    pub(super) fn recycle(&self, index: u32) -> Option<Waker> {
        let node = self.node(index);
        // SAFETY: the caller holds the node alone.
        let waker = node.waker.with_mut(|slot| unsafe { (*slot).take() });
        self.push(index, index);
        waker
    }

    /// What is probably the last node in line.
    pub(super) fn last(&self) -> Option<Ref> {
        // ORDERING: Acquire pairs with the Release below: what the node was when it was linked is
        // visible, so its generation and its `next` are at least that new.
        Ref::from_bits(self.last.load(Ordering::Acquire)).some()
    }

    /// Says that `node` is the last now, if `before` (as `last` told it) still is said to be.
    ///
    /// A thread that is late must not point the others back to where the end was long ago.
    pub(super) fn replace_last(&self, before: Option<Ref>, node: Ref) {
        let before = before.unwrap_or(Ref::NONE).bits();
        // ORDERING: Release pairs with the Acquire in `last`. Relaxed on failure: another has said so.
        let _ =
            self.last.compare_exchange(before, node.bits(), Ordering::Release, Ordering::Relaxed);
    }

    /// Pushes nodes that are linked from `first` to `last`.
    fn push(&self, first: u32, last: u32) {
        let node = self.node(last);
        // ORDERING: Relaxed: only the owner of a free node changes its `next`.
        let next = Next(node.next.load(Ordering::Relaxed));
        // ORDERING: Relaxed: the exchange below acquires nothing, `pop` reads the node itself.
        let mut head = Head(self.free.load(Ordering::Relaxed));
        loop {
            let link = next.relinked(head.index()).marked();
            // ORDERING: Release pairs with a straggler's Acquire, as in `prepare`.
            node.next.store(link.0, Ordering::Release);
            // ORDERING: Release pairs with the Acquire in `pop`: the taker sees the nodes as left.
            match self.free.compare_exchange_weak(
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

    /// Adds a node to those that go back together: sealed, off the line, its waker gone.
    pub(super) fn recycle_later(&self, together: &mut Together, index: u32) {
        let node = self.node(index);
        // SAFETY: the caller holds the node alone.
        debug_assert!(node.waker.with(|slot| unsafe { (*slot).is_none() }));
        if together.len == 0 {
            together.last = index;
        } else {
            // ORDERING: Relaxed: only the owner of a free node changes its `next`.
            let next = Next(node.next.load(Ordering::Relaxed));
            // ORDERING: Release pairs with a straggler's Acquire, as in `prepare`.
            node.next.store(next.relinked(together.first).marked().0, Ordering::Release);
        }
        together.first = index;
        together.len += 1;
        if together.len == Together::MOST {
            self.recycle_all(together);
        }
    }

    pub(super) fn recycle_all(&self, together: &mut Together) {
        if together.len > 0 {
            self.push(together.first, together.last);
            together.len = 0;
        }
    }

    fn pop(&self) -> Option<u32> {
        // ORDERING: Acquire pairs with the Release in `push`.
        let mut head = Head(self.free.load(Ordering::Acquire));
        while head.index() != NIL {
            // ORDERING: Relaxed: `head` acquired it; if the node is gone, the exchange fails.
            let next = Next(self.node(head.index()).next.load(Ordering::Relaxed));
            // ORDERING: Acquire on failure as for the load above. Success needs none of its own: the
            // load acquired the push, and the count makes this the same write.
            match self.free.compare_exchange_weak(
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

    /// Nodes that are neither new nor free.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(super) fn in_use(&self) -> u32 {
        // ORDERING: Relaxed: the models ask when nobody else is at it.
        let mut at = Head(self.free.load(Ordering::Relaxed)).index();
        let mut free = 0;
        while at != NIL {
            free += 1;
            // ORDERING: Relaxed, as above.
            at = Next(self.node(at).next.load(Ordering::Relaxed)).index();
        }
        self.chunks.nodes() - free
    }

    /// A node that was never used; the rest of its chunk becomes free.
    #[cold]
    fn bring(&self) -> Option<u32> {
        let indices = self.chunks.bring()?;
        if indices.len() > 1 {
            self.push(indices.start + 1, indices.end - 1);
        }
        Some(indices.start)
    }
}

/// Nodes that go back to the store by one compare-and-swap.
#[derive(Default)]
pub(super) struct Together {
    first: u32,
    last: u32,
    len: u32,
}

impl Together {
    /// So many at a time: a thread that stops for ever keeps these and the run it is at.
    const MOST: u32 = 64;
}

/// What there is to pay.
fn owed(debt: i64) -> u64 {
    debt.max(0).cast_unsigned()
}
