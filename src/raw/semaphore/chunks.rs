//! The memory of nodes: small chunks, found by number.
//!
//! ```text
//! index   [ chunk : 22 | offset in the chunk : 6 ]
//!
//! near    chunks 0..8            in the pool itself
//! far     8 | 16 | 32 | …        tables of twice as many chunks each, allocated when first needed
//! ```
//!
//! A chunk has at most 64 nodes (4 KiB), the first few have fewer, so no call builds more than that.
//! A thread that needs nodes takes a chunk number of its own. So threads that run short at the same time
//! add different chunks, and none of them works in vain. Only a table may be allocated twice at once
//! (8 bytes for each 4 KiB of nodes behind it); the first one stays.
//!
//! Nothing here is freed before the pool. An index, once handed out, names valid memory for as long as
//! the semaphore lives.

use super::node::{INDEX_BITS, NIL, Node};
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use core::ops::Range;
use core::ptr;

/// log2 of a chunk's size. Small under the model checkers, so that they see chunks grow.
const BITS: u32 = if cfg!(any(ringgate_loom, ringgate_shuttle)) { 1 } else { 6 };
/// Nodes of the first chunk.
const FIRST: u32 = if cfg!(any(ringgate_loom, ringgate_shuttle)) { 2 } else { 4 };
/// Chunks found without a table.
const NEAR: u32 = if cfg!(any(ringgate_loom, ringgate_shuttle)) { 1 } else { 8 };
/// Leaves out the last chunk, which would hold the index `NIL`.
const MAX_CHUNKS: u32 = if cfg!(ringgate_loom) { 8 } else { (1 << (INDEX_BITS - BITS)) - 1 };
/// Table k holds NEAR << k chunks, from number NEAR << k on.
const TABLES: usize = (((MAX_CHUNKS - 1) / NEAR).ilog2() + 1) as usize;

/// A pointer to the first node of a chunk.
type Slot = AtomicPtr<Node>;

/// All nodes of one pool.
pub(super) struct Chunks {
    /// How many chunk numbers are taken.
    taken: AtomicU32,
    near: [Slot; NEAR as usize],
    far: [AtomicPtr<Slot>; TABLES],
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            taken: AtomicU32::new(0),
            near: core::array::from_fn(|_| Slot::new(ptr::null_mut())),
            far: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// The node with this index, which must have come from here.
    #[inline]
    pub(super) fn node(&self, index: u32) -> &Node {
        let (chunk, offset) = (index >> BITS, index & ((1 << BITS) - 1));
        debug_assert!(offset < size(chunk));
        let slot = match self.near.get(chunk as usize) {
            Some(slot) => slot,
            None => self.far_slot(chunk),
        };
        // ORDERING: Acquire pairs with the Release in `alloc_chunk`, which published the nodes.
        let start = slot.load(Ordering::Acquire);
        debug_assert!(!start.is_null());
        // SAFETY: an index is handed out only after its chunk was installed. Every path an index
        // travels (free list, `next`, `prev`, state word, hint) is at least Release/Acquire, or is
        // checked against a generation that came by such a path. The chunk has `size(chunk)` nodes,
        // of which `offset` is one, and outlives `&self`.
        let node = unsafe { &*start.add(offset as usize) };
        node.made.check();
        node
    }

    /// Adds a chunk of fresh nodes, linked as for the free list, and returns their indices in that order.
    /// `None` if no more chunks can exist.
    pub(super) fn alloc_chunk(&self) -> Option<Range<u32>> {
        let chunk = self.take_number()?;
        let first = chunk << BITS;
        let indices = first..first + size(chunk);
        let link = |index: u32| if index + 1 < indices.end { index + 1 } else { NIL };
        let nodes: Box<[Node]> = indices.clone().map(|index| Node::new(link(index))).collect();
        let start = Box::into_raw(nodes).cast::<Node>();
        let slot = match self.near.get(chunk as usize) {
            Some(slot) => slot,
            None => self.far_slot_or_new(chunk),
        };
        // ORDERING: Release publishes the nodes to the Acquire in `node`. No other thread has this number.
        slot.store(start, Ordering::Release);
        Some(indices)
    }

    fn take_number(&self) -> Option<u32> {
        // ORDERING: Relaxed: a counter; `alloc_chunk` publishes what goes with the number.
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            if taken >= MAX_CHUNKS {
                return None;
            }
            // ORDERING: Relaxed, as above.
            match self.taken.compare_exchange_weak(
                taken,
                taken + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(taken),
                Err(now) => taken = now,
            }
        }
    }

    // ---- tables --------------------------------------------------------------------------------

    /// The slot of a chunk that has been added.
    fn far_slot(&self, chunk: u32) -> &Slot {
        let (table, offset) = locate(chunk);
        // ORDERING: Acquire pairs with the Release in `far_slot_or_new`, which published the slots.
        let slots = self.far[table].load(Ordering::Acquire);
        debug_assert!(!slots.is_null());
        // SAFETY: the chunk was installed through this table (see `node`), which has NEAR << table
        // slots, of which `offset` is one, and outlives `&self`.
        unsafe { &*slots.add(offset) }
    }

    fn far_slot_or_new(&self, chunk: u32) -> &Slot {
        let (table, _) = locate(chunk);
        // ORDERING: Relaxed: only whether a table exists; `far_slot` acquires it.
        if self.far[table].load(Ordering::Relaxed).is_null() {
            let slots: Box<[Slot]> =
                (0..NEAR << table).map(|_| Slot::new(ptr::null_mut())).collect();
            let ours = Box::into_raw(slots).cast::<Slot>();
            // ORDERING: Release publishes the slots to the Acquire in `far_slot`.
            let installed = self.far[table].compare_exchange(
                ptr::null_mut(),
                ours,
                Ordering::Release,
                Ordering::Relaxed,
            );
            // MUTANTS: far_slot_or_new
            if installed.is_err() {
                // SAFETY: `ours` came from this very Box and was not published.
                unsafe { drop(boxed(ours, NEAR << table)) };
            }
        }
        self.far_slot(chunk)
    }

    /// Nodes added so far.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(super) fn nodes(&self) -> u32 {
        // ORDERING: Relaxed: the models ask when no other thread runs.
        (0..self.taken.load(Ordering::Relaxed)).map(size).sum()
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        // ORDERING: Relaxed: exclusive access, as everywhere here.
        for chunk in 0..self.taken.load(Ordering::Relaxed) {
            let slot = match self.near.get(chunk as usize) {
                Some(slot) => slot,
                None => self.far_slot(chunk),
            };
            // ORDERING: Relaxed, as above.
            let start = slot.load(Ordering::Relaxed);
            // SAFETY: `&mut self`: no thread uses the pool or stalls inside `alloc_chunk`, which made the
            // chunk with this size.
            unsafe { drop(boxed(start, size(chunk))) };
        }
        for (table, slots) in self.far.iter().enumerate() {
            // ORDERING: Relaxed, as above.
            let slots = slots.load(Ordering::Relaxed);
            if !slots.is_null() {
                // SAFETY: as above; `far_slot_or_new` made it with this size.
                unsafe { drop(boxed(slots, NEAR << table)) };
            }
        }
    }
}

/// The slice as the Box it came from.
///
/// # Safety
/// `start` came from a boxed slice of this length, and nothing refers to it any longer.
unsafe fn boxed<T>(start: *mut T, len: u32) -> Box<[T]> {
    // SAFETY: the caller vouches for pointer and length.
    unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(start, len as usize)) }
}

/// How many nodes a chunk has: the first chunks are small.
fn size(chunk: u32) -> u32 {
    (1 << BITS).min(FIRST << chunk.min(BITS))
}

/// The table of a far chunk, and its offset there.
fn locate(chunk: u32) -> (usize, usize) {
    let table = (chunk / NEAR).ilog2();
    (table as usize, (chunk - (NEAR << table)) as usize)
}
