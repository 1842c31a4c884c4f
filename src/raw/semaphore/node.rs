//! One waiter's place in the line, and the packing of its words.
//!
//! ```text
//! word   [ need : 32 | generation : 28 | LEFT | BUSY | status : 2 ]
//!          while QUEUED: the permits still lacking
//!          afterwards:   the visitors now looking at the waker
//! next   [ version : 35 | index of the next node : 28 | MARK ]
//! Ref    [ 0 : 8 | generation : 28 | index : 28 ]   names one life of one node
//! ```
//!
//! **One life.** `QUEUED` ends exactly once, by one compare-and-swap on `word`: `GRANTED` (a
//! releaser), `CLOSED` (a closer) or `CANCELLED` (the owner). When a node goes back to the store
//! its generation grows, so a [`Ref`] kept from an earlier life is recognised, not followed.
//!
//! **The waker slot** is plain memory with one rule for each side:
//! * the owner writes it before the node is linked, and later only between setting and clearing
//!   `BUSY` while `QUEUED`, or once it has sealed the node with no visitor inside;
//! * anybody else reads it only as a *visitor*: counted in `word` by a compare-and-swap that saw a
//!   concluded life and no `BUSY`.
//!
//! A waker is woken by reference, never taken out. So a thread that stops for ever between
//! deciding to wake and waking harms nobody: the next one to meet this node wakes it again.
//! An owner that finds visitors inside sets `LEFT` and goes; the last visitor out recycles.
//!
//! **How wide is wide enough.** A stale compare-and-swap on `word` succeeds wrongly only if its
//! thread slept through exactly a multiple of 2^28 lives of this one node *and* woke up inside the
//! same state of that life. A life takes some 50 ns at the very least, so that is a stop of 13 s,
//! ended within one window of 50 ns out of 13 s, on a semaphore that did nothing but recycle this
//! node. `next` counts its writes on 35 bits (two for a life: 850 s), the free list its pops on 36.

use crate::sync::atomic::{AtomicU32, AtomicU64};
use crate::sync::cell::UnsafeCell;
use crate::sync::leak::Canary;
use core::task::Waker;

/// Index of "no node".
pub(super) const NIL: u32 = (1 << INDEX_BITS) - 1;
/// Nodes a semaphore can have: 2^28 − 16.
pub(super) const INDEX_BITS: u32 = 28;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const GENERATION_BITS: u32 = 28;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

/// A waiter's record. It lives in the store and is reused; it is never freed before the store.
#[repr(align(64))]
pub(super) struct Node {
    /// Need, generation and state: see [`Word`].
    pub(super) word: AtomicU64,
    /// The next in line: see [`Next`].
    pub(super) next: AtomicU64,
    /// Who was linked before it, as far as is known: see [`Ref`]. A hint, checked at each use.
    pub(super) prev: AtomicU64,
    /// What the waiter asked for in all. Written before linking, constant for a life.
    pub(super) total: AtomicU32,
    /// Whom to wake.
    pub(super) waker: UnsafeCell<Option<Waker>>,
    pub(super) made: Canary,
}

// SAFETY: every field but `waker` is atomic; `waker` is reached by one exclusive owner or by
// visitors that only read it, as the rules at the head of this file say. `Waker` is Send + Sync.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Node {
    /// A free node, linked to the free node `next`.
    pub(super) fn new(next: u32) -> Self {
        Self {
            word: AtomicU64::new(0),
            next: AtomicU64::new(Next::to(next).marked().0),
            prev: AtomicU64::new(Ref::NONE.bits()),
            total: AtomicU32::new(0),
            waker: UnsafeCell::new(None),
            made: Canary::new(),
        }
    }
}

/// One life of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ref {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Ref {
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
    Closed,
}

/// A value of [`Node::word`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    const STATUS: u64 = 0b0011;
    /// The owner is changing the waker: keep out.
    pub(super) const BUSY: u64 = 0b0100;
    /// The owner has gone: the last visitor recycles.
    const LEFT: u64 = 0b1000;
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
            _ => Status::Closed,
        }
    }

    pub(super) fn is_queued(self) -> bool {
        self.status() == Status::Queued
    }

    fn count(self) -> u32 {
        (self.0 >> Self::COUNT_SHIFT) as u32
    }

    /// Permits still lacking; meaningful while `QUEUED`.
    pub(super) fn need(self) -> u32 {
        debug_assert!(self.is_queued());
        self.count()
    }

    /// Visitors inside; meaningful once concluded.
    pub(super) fn visitors(self) -> u32 {
        debug_assert!(!self.is_queued());
        self.count()
    }

    pub(super) fn is_busy(self) -> bool {
        self.0 & Self::BUSY != 0
    }

    pub(super) fn has_left(self) -> bool {
        self.0 & Self::LEFT != 0
    }

    pub(super) fn left(self) -> Self {
        Self(self.0 | Self::LEFT)
    }

    /// The same waiter with `permits` fewer to wait for.
    pub(super) fn with_less_need(self, permits: u32) -> Self {
        debug_assert!(permits < self.need());
        Self(self.0 - (u64::from(permits) << Self::COUNT_SHIFT))
    }

    /// The end of the wait. Whoever concludes it as granted or closed is its first visitor,
    /// unless the owner is inside.
    pub(super) fn concluded(self, status: Status) -> Self {
        let visitors = u32::from(status != Status::Cancelled && !self.is_busy());
        let kept = self.0 & (GENERATION_MASK << Self::GENERATION_SHIFT | Self::BUSY);
        Self(u64::from(visitors) << Self::COUNT_SHIFT | kept | status as u64)
    }

    /// The word a free node carries: the next generation.
    pub(super) fn next_life(self) -> Self {
        Self::queued((self.generation() + 1) & ((1 << GENERATION_BITS) - 1), 0)
    }
}

/// A value of [`Node::next`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Next(pub(super) u64);

impl Next {
    const MARK: u64 = 1;
    const VERSION_SHIFT: u32 = INDEX_BITS + 1;

    /// The first version, unmarked.
    fn to(index: u32) -> Self {
        Self(u64::from(index) << 1)
    }

    pub(super) fn index(self) -> u32 {
        (self.0 >> 1 & INDEX_MASK) as u32
    }

    /// A marked node is on its way out (or free): nothing links behind it.
    pub(super) fn is_marked(self) -> bool {
        self.0 & Self::MARK != 0
    }

    pub(super) fn marked(self) -> Self {
        Self(self.0 | Self::MARK)
    }

    /// The next version, unmarked, pointing at `index`.
    pub(super) fn relinked(self, index: u32) -> Self {
        let version = (self.0 >> Self::VERSION_SHIFT).wrapping_add(1);
        Self(version << Self::VERSION_SHIFT | u64::from(index) << 1)
    }
}
