//! One waiter's record in the queue, and the packing of its words.
//!
//! ```text
//! word      [ need : 32 | generation : 28 | ABANDONED | REGISTERING | status : 2 ]
//!             while QUEUED: the permits it still lacks
//!             afterwards:   the visitors now reading the waker
//! next      [ version : 35 | index of the next node : 28 | MARK ]
//! NodeRef   [ 0 : 8 | generation : 28 | index : 28 ]   names one life of one node
//! ```
//!
//! The table of a node's states is at the head of the engine, [`raw::semaphore`](super).
//!
//! # Reuse
//!
//! A node's generation grows when the node goes back to the pool. A [`NodeRef`] from an earlier life
//! therefore fails its check and is not followed.
//!
//! # The waker slot
//!
//! The slot is plain memory. Each side has one rule:
//! * The owner writes the slot before it links the node. Later it writes only while the node is
//!   `QUEUED`, between setting and clearing `REGISTERING`, or after it has sealed the node with no
//!   visitor inside.
//! * Every other thread reads the slot only as a *visitor*. A visitor is counted in `word`, by a
//!   compare-and-swap that saw a completed life and no `REGISTERING`.
//!
//! A visitor wakes by reference and does not take the waker first. So a thread that stalls between the
//! decision to wake and the wake harms no one: the next thread that meets this node wakes it again.
//! An owner that finds visitors inside sets `ABANDONED` and goes; the last visitor frees the node.
//!
//! # How wide is wide enough
//!
//! A stale compare-and-swap on `word` succeeds wrongly only if its thread slept through an exact
//! multiple of 2^28 lives of this one node *and* resumed in the same state of that life. A life takes
//! at least 50 ns. So the thread must stall for 13 s and resume within one window of 50 ns, on a
//! semaphore that did nothing but reuse this node. `next` counts its writes on 35 bits (two for each
//! life: 850 s), the free list counts its changes on 36.

use crate::sync::atomic::{AtomicU32, AtomicU64};
use crate::sync::cell::UnsafeCell;
use crate::sync::leak::Tracked;
use core::task::Waker;

/// Index of "no node".
pub(super) const NIL: u32 = (1 << INDEX_BITS) - 1;
/// A semaphore can have 2^28 − 16 nodes.
pub(super) const INDEX_BITS: u32 = 28;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const GENERATION_BITS: u32 = 28;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

/// A waiter's record. It lives in the pool, is reused, and is freed with the pool.
#[repr(align(64))]
pub(super) struct Node {
    /// Need, generation and status: see [`WaiterState`].
    pub(super) word: AtomicU64,
    /// The next node in the queue: see [`Link`].
    pub(super) next: AtomicU64,
    /// The node before this one, as far as is known: see [`NodeRef`]. A hint, checked at each use.
    pub(super) prev: AtomicU64,
    /// How many permits the waiter asked for. Written before linking, constant for a life.
    pub(super) total: AtomicU32,
    /// Whether it must claim the permit that it is granted: 1, else 0. Written before linking, constant for a life.
    pub(super) must_claim: AtomicU32,
    /// When it was granted one: see [`Epoch`](super::unclaimed::Epoch). A hint.
    pub(super) granted_in: AtomicU32,
    /// The task to wake.
    pub(super) waker: UnsafeCell<Option<Waker>>,
    pub(super) made: Tracked,
}

// SAFETY: every field but `waker` is atomic. One exclusive owner reaches `waker`, or visitors that only
// read it, by the rules at the head of this file. `Waker` is Send + Sync.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Node {
    /// A free node, linked to the free node `next`.
    pub(super) fn new(next: u32) -> Self {
        Self {
            word: AtomicU64::new(0),
            next: AtomicU64::new(Link::new(next).marked().0),
            prev: AtomicU64::new(NodeRef::NONE.bits()),
            total: AtomicU32::new(0),
            must_claim: AtomicU32::new(0),
            granted_in: AtomicU32::new(0),
            waker: UnsafeCell::new(None),
            made: Tracked::new(),
        }
    }
}

/// One life of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NodeRef {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl NodeRef {
    /// No node.
    pub(super) const NONE: Self = Self { index: NIL, generation: 0 };

    /// `None` if it names no node.
    pub(super) fn some(self) -> Option<Self> {
        (self.index != NIL).then_some(self)
    }

    pub(super) const fn bits(self) -> u64 {
        (self.generation as u64) << INDEX_BITS | self.index as u64
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self {
            index: (bits & INDEX_MASK) as u32,
            generation: (bits >> INDEX_BITS & GENERATION_MASK) as u32,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Queued,
    Granted,
    Cancelled,
    /// The semaphore is closed, or can never have that many permits.
    Refused,
}

/// A value of [`Node::word`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct WaiterState(pub(super) u64);

impl WaiterState {
    const STATUS: u64 = 0b0011;
    /// The owner is changing the waker: keep out.
    pub(super) const REGISTERING: u64 = 0b0100;
    /// The owner has gone: the last visitor frees the node.
    const ABANDONED: u64 = 0b1000;
    const GENERATION_SHIFT: u32 = 4;
    const COUNT_SHIFT: u32 = 32;
    /// One visitor more.
    pub(super) const VISITOR: u64 = 1 << Self::COUNT_SHIFT;

    /// A waiter that still lacks `need` permits.
    pub(super) fn queued(generation: u32, need: u32) -> Self {
        Self(u64::from(need) << Self::COUNT_SHIFT | u64::from(generation) << Self::GENERATION_SHIFT)
    }

    pub(super) fn generation(self) -> u32 {
        (self.0 >> Self::GENERATION_SHIFT & GENERATION_MASK) as u32
    }

    pub(super) fn status(self) -> Status {
        match self.0 & Self::STATUS {
            0 => Status::Queued,
            1 => Status::Granted,
            2 => Status::Cancelled,
            _ => Status::Refused,
        }
    }

    pub(super) fn is_queued(self) -> bool {
        self.status() == Status::Queued
    }

    fn count(self) -> u32 {
        (self.0 >> Self::COUNT_SHIFT) as u32
    }

    /// Permits it still lacks; meaningful while `QUEUED`.
    pub(super) fn need(self) -> u32 {
        debug_assert!(self.is_queued());
        self.count()
    }

    /// Visitors inside; meaningful once completed.
    pub(super) fn visitors(self) -> u32 {
        debug_assert!(!self.is_queued());
        self.count()
    }

    pub(super) fn is_registering(self) -> bool {
        self.0 & Self::REGISTERING != 0
    }

    pub(super) fn is_abandoned(self) -> bool {
        self.0 & Self::ABANDONED != 0
    }

    pub(super) fn abandoned(self) -> Self {
        Self(self.0 | Self::ABANDONED)
    }

    /// The same waiter with `permits` fewer to wait for.
    pub(super) fn with_less_need(self, permits: u32) -> Self {
        debug_assert!(permits < self.need());
        Self(self.0 - (u64::from(permits) << Self::COUNT_SHIFT))
    }

    /// The end of the wait. A thread that grants or refuses is the first visitor, unless the owner is
    /// registering a waker.
    pub(super) fn completed(self, status: Status) -> Self {
        // MUTANTS: completed
        let visitors = u32::from(status != Status::Cancelled && !self.is_registering());
        let kept = self.0 & (GENERATION_MASK << Self::GENERATION_SHIFT | Self::REGISTERING);
        Self(u64::from(visitors) << Self::COUNT_SHIFT | kept | status as u64)
    }

    /// The word of a free node: the next generation.
    pub(super) fn next_generation(self) -> Self {
        // MUTANTS: next_generation
        Self::queued((self.generation() + 1) & ((1 << GENERATION_BITS) - 1), 0)
    }
}

/// A value of [`Node::next`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(pub(super) u64);

impl Link {
    const MARK: u64 = 1;
    const VERSION_SHIFT: u32 = INDEX_BITS + 1;

    /// The first version, unmarked.
    fn new(index: u32) -> Self {
        Self(u64::from(index) << 1)
    }

    pub(super) fn index(self) -> u32 {
        (self.0 >> 1 & INDEX_MASK) as u32
    }

    /// A marked node is leaving the queue, or is free: no thread links behind it.
    pub(super) fn is_marked(self) -> bool {
        self.0 & Self::MARK != 0
    }

    pub(super) fn marked(self) -> Self {
        Self(self.0 | Self::MARK)
    }

    /// The next version, unmarked, pointing at `index`.
    pub(super) fn relinked(self, index: u32) -> Self {
        // MUTANTS: relinked
        let version = (self.0 >> Self::VERSION_SHIFT).wrapping_add(1);
        Self(version << Self::VERSION_SHIFT | u64::from(index) << 1)
    }
}
