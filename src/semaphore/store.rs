//! Where nodes come from: chunks of doubling size, and a free list.
//!
//! Chunks are never freed before the store, so an index once handed out names valid memory for as
//! long as the semaphore lives. That is all the reclamation there is: no epochs, nothing deferred.
//! Free nodes form a stack (Treiber 1986) whose head carries a count of its changes, against ABA.

use super::line::Line;
use super::node::{INDEX_BITS, NIL, Next, Node, Ref, Word};
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sync::leak::Canary;
use core::ptr;
use core::task::Waker;
use crossbeam_utils::CachePadded;

/// log2 of the first chunk's size. Small under the model checkers, so that they see chunks grow.
const FIRST_BITS: u32 = if cfg!(any(ringgate_loom, ringgate_shuttle)) { 1 } else { 4 };
const FIRST: u32 = 1 << FIRST_BITS;
const CHUNKS: usize = if cfg!(ringgate_loom) { 3 } else { (INDEX_BITS - FIRST_BITS) as usize };

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
    /// Nodes taken from the chunks so far.
    fresh: AtomicU32,
    /// Waiters cancelled in the middle of the line since the last sweep.
    pub(super) dead: AtomicU64,
    /// How many of them call for the next sweep.
    pub(super) sweep_at: AtomicU64,
    chunks: [AtomicPtr<Node>; CHUNKS],
    /// Permits taken away that were in use: releases pay them first.
    debt: AtomicU64,
    /// Those who wait for the close alone.
    pub(super) watchers: Line,
    pub(super) made: Canary,
}

impl Store {
    /// A sweep is not worth while for fewer dead than this.
    pub(super) const SWEEP_AT_LEAST: u64 =
        if cfg!(any(ringgate_loom, ringgate_shuttle)) { 1 } else { 32 };

    pub(super) fn new() -> Self {
        Self {
            free: CachePadded::new(AtomicU64::new(u64::from(NIL))),
            last: CachePadded::new(AtomicU64::new(u64::from(NIL))),
            fresh: AtomicU32::new(0),
            dead: AtomicU64::new(0),
            sweep_at: AtomicU64::new(Self::SWEEP_AT_LEAST),
            chunks: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            debt: AtomicU64::new(0),
            watchers: Line::new(0, Line::MAX_PERMITS),
            made: Canary::new(),
        }
    }

    pub(super) fn debt(&self) -> u64 {
        // ORDERING: Relaxed: a count for information, or in `settle_late`, where the exchange of the
        // state before it acquired every debt whose `settle` came earlier on that word.
        self.debt.load(Ordering::Relaxed)
    }

    /// Adds to the debt, which saturates.
    pub(super) fn owe(&self, permits: u64) {
        self.change_debt(|debt| debt.saturating_add(permits));
    }

    /// Takes up to `permits` off the debt, for the caller to pay; returns how many.
    pub(super) fn claim_debt(&self, permits: u64) -> u64 {
        self.change_debt(|debt| debt.saturating_sub(permits)).min(permits)
    }

    /// Returns the debt before the change.
    fn change_debt(&self, change: impl Fn(u64) -> u64) -> u64 {
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut debt = self.debt.load(Ordering::Relaxed);
        loop {
            // ORDERING: Relaxed: the permits paid are gone, so nothing is handed on; that there is
            // a debt is published with DEBT.
            match self.debt.compare_exchange_weak(
                debt,
                change(debt),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return debt,
                Err(now) => debt = now,
            }
        }
    }

    /// The node with this index, which must have come from this store.
    pub(super) fn node(&self, index: u32) -> &Node {
        let (chunk, offset) = place(index);
        // ORDERING: Acquire pairs with the Release in `chunk`, which published the nodes.
        let start = self.chunks[chunk].load(Ordering::Acquire);
        debug_assert!(!start.is_null());
        // SAFETY: an index is handed out only after its chunk was installed, and every way an
        // index travels (free list, `next`, state word, hint) is at least Release/Acquire. The
        // chunk has FIRST << chunk nodes, of which `offset` is one, and outlives `&self`.
        let node = unsafe { &*start.add(offset) };
        node.made.look();
        node
    }

    /// A node of the caller's own, asking for `total` permits and still lacking `need`.
    ///
    /// `None` when all 2^28 − 16 nodes are in use.
    pub(super) fn prepare(&self, total: u32, need: u32, waker: Waker) -> Option<Ref> {
        let index = self.pop().or_else(|| self.mint())?;
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
        let node = Ref::from_bits(self.last.load(Ordering::Acquire));
        (node.index != NIL).then_some(node)
    }

    pub(super) fn set_last(&self, node: Ref) {
        // ORDERING: Release pairs with the Acquire in `last`.
        self.last.store(node.bits(), Ordering::Release);
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
        // ORDERING: Relaxed, as above.
        self.fresh.load(Ordering::Relaxed) - free
    }

    /// The next node that was never used.
    fn mint(&self) -> Option<u32> {
        // ORDERING: Relaxed: a counter; the node's memory is published by `chunk`.
        let mut index = self.fresh.load(Ordering::Relaxed);
        loop {
            let (chunk, _) = place(index);
            if chunk >= CHUNKS {
                return None;
            }
            self.chunk(chunk);
            // ORDERING: Relaxed, as above.
            match self.fresh.compare_exchange_weak(
                index,
                index + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(index),
                Err(now) => index = now,
            }
        }
    }

    /// Makes sure the chunk is there. Of several threads that bring one, the first one's stays.
    fn chunk(&self, chunk: usize) {
        let slot = &self.chunks[chunk];
        // ORDERING: Relaxed: only whether there is one; `node` acquires it.
        if !slot.load(Ordering::Relaxed).is_null() {
            return;
        }
        let nodes: Box<[Node]> = (0..FIRST << chunk).map(|_| Node::new()).collect();
        let ours = Box::into_raw(nodes).cast::<Node>();
        // ORDERING: Release publishes the nodes to the Acquire in `node`.
        let installed =
            slot.compare_exchange(ptr::null_mut(), ours, Ordering::Release, Ordering::Relaxed);
        if installed.is_err() {
            // SAFETY: `ours` came from this very Box and was not published.
            unsafe { drop(boxed(ours, chunk)) };
        }
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

impl Drop for Store {
    fn drop(&mut self) {
        for (chunk, slot) in self.chunks.iter().enumerate() {
            // ORDERING: Relaxed: exclusive access.
            let start = slot.load(Ordering::Relaxed);
            if !start.is_null() {
                // SAFETY: `&mut self`: nobody is left; the chunk came from `chunk` with this size.
                unsafe { drop(boxed(start, chunk)) };
            }
        }
    }
}

/// The chunk as the Box it was.
///
/// # Safety
/// `start` came from `Store::chunk` for this `chunk`, and nothing refers to it any more.
unsafe fn boxed(start: *mut Node, chunk: usize) -> Box<[Node]> {
    let len = (FIRST as usize) << chunk;
    // SAFETY: the caller vouches for pointer and length.
    unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(start, len)) }
}

/// Chunk and offset of an index: chunk c holds the indices from FIRST·(2^c − 1) on.
fn place(index: u32) -> (usize, usize) {
    let shifted = index + FIRST;
    let chunk = shifted.ilog2() - FIRST_BITS;
    (chunk as usize, (shifted - (FIRST << chunk)) as usize)
}
